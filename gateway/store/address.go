package store

import (
	"context"
	"fmt"
	"maps"
	"net/netip"
	"slices"

	"github.com/dgraph-io/badger/v4"

	"latchkey/gateway/access"
	"latchkey/gateway/store/record"
)

// Where an actuator was last heard is kept so that a gateway that starts again can ask it first. It
// is no policy: it makes no event and is under no digest, and what is sent there proves nothing.

// Addresses returns where devices were last, by their record ids. The map is the caller's.
func (s *Store) Addresses(ctx context.Context) (map[access.ID]netip.AddrPort, error) {
	out := make(map[access.ID]netip.AddrPort)
	err := s.view(ctx, func(txn *badger.Txn) error {
		return s.reader.ForEach(ctx, txn, record.KindAddress, func(key record.Key, plain []byte) (err error) {
			out[key.ID()], err = record.DecodeAddress(plain)
			return err
		})
	})
	if err != nil {
		return nil, err
	}
	return out, nil
}

// PutAddresses notes where devices are, durably and in one write, at most [MaxChanges] of them:
// left is how many had no place and are to be put again. A device that is not in the policy is
// skipped, so there are never more than devices. Errors are ErrNoSpace, ErrFailed, ErrClosed, and
// ctx.Err(): in that last case they may still be written.
func (s *Store) PutAddresses(ctx context.Context, at map[access.ID]netip.AddrPort) (left int, err error) {
	err = s.submit(ctx, &request{run: func(b *batch) (err error) {
		left, err = b.putAddresses(at)
		return err
	}})
	return left, err
}

func (b *batch) putAddresses(at map[access.ID]netip.AddrPort) (left int, err error) {
	if b.w.space.low {
		return 0, b.w.space.err()
	}
	if len(b.writes) > 0 && !b.fits(min(len(at), MaxChanges)+smallCount, MaxChanges*128, MaxChanges*128) {
		return 0, errNoRoom
	}
	written := 0
	for _, device := range slices.Sorted(maps.Keys(at)) {
		key := record.AddressKey(device)
		if _, ok := b.policy.Devices[device]; !ok || !at[device].IsValid() || b.w.addrs[key] == at[device] {
			continue
		}
		if written == MaxChanges || !b.roomy() {
			left++
			continue
		}
		plain, err := record.EncodeAddress(at[device])
		if err != nil {
			return 0, fmt.Errorf("store: %v: %w", key, err)
		}
		b.put(key, plain)
		b.w.addrs[key] = at[device]
		written++
	}
	return left, nil
}

// addressesOf returns the keys of the addresses of the devices that a change removes.
func (b *batch) addressesOf(writes map[record.Key][]byte) (gone []record.Key) {
	for key, plain := range writes {
		if key.Kind() != record.KindDevice || plain != nil {
			continue
		}
		if at := record.AddressKey(key.ID()); b.w.addrs[at].IsValid() {
			gone = append(gone, at)
		}
	}
	return gone
}

// sameAddresses compares the addresses on disk with those in memory, and with the devices that
// there are.
func sameAddresses(disk, memory map[record.Key]netip.AddrPort, p *access.Policy) error {
	for key, at := range disk {
		if known, ok := memory[key]; !ok || known != at {
			return fmt.Errorf("store: %v: memory and disk differ: %w", key, ErrCorrupt)
		}
		if _, ok := p.Devices[key.ID()]; !ok {
			return fmt.Errorf("store: %v: of no device: %w", key, ErrCorrupt)
		}
	}
	for key := range memory {
		if _, ok := disk[key]; !ok {
			return fmt.Errorf("store: %v: in memory and not on disk: %w", key, ErrCorrupt)
		}
	}
	return nil
}
