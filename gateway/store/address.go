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

// The store keeps the last address of each node, so that a gateway that starts again can send it a
// hint. An address is not part of the policy: it makes no event and no digest covers it. It also
// proves nothing about who is there.

// Addresses returns the last addresses of devices, by their record ids. The map belongs to the
// caller.
func (s *Store) Addresses(ctx context.Context) (map[access.ID]netip.AddrPort, error) {
	out := make(map[access.ID]netip.AddrPort)
	err := s.readIfOpen(ctx, func(txn *badger.Txn) error {
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

// PutAddresses stores the addresses of at most [MaxChanges] devices, durably and in one write. left
// is how many did not fit; call again with those. A device that is not in the policy is skipped, so
// there are never more addresses than devices. Errors are ErrNoSpace, ErrFailed, ErrClosed, and
// ctx.Err(): then the addresses may still be written.
func (s *Store) PutAddresses(ctx context.Context, at map[access.ID]netip.AddrPort) (left int, err error) {
	rest := 0
	err = s.submit(ctx, &request{run: func(b *batch) (err error) {
		rest, err = b.putAddresses(at)
		return err
	}})
	if err != nil {
		return 0, err // the writer may be at work on rest still
	}
	return rest, nil
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
		if written == MaxChanges || !b.hasRoom() {
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

// listRemovedAddresses returns the keys of the addresses whose devices a change removes.
func (b *batch) listRemovedAddresses(writes map[record.Key][]byte) (gone []record.Key) {
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
