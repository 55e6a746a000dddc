package reader

import (
	"context"
	"fmt"
	"net/netip"
	"time"

	"github.com/dgraph-io/badger/v4"

	"latchkey/gateway/access"
	"latchkey/gateway/store/record"
	"latchkey/gateway/store/seal"
)

// CompareRecords compares the records on disk with a policy, in their stored form.
func CompareRecords(disk []access.Change, p *access.Policy) error {
	have := make(map[record.Key]string, len(disk))
	for _, c := range disk {
		key, plain, err := record.EncodeRecord(c.Put)
		if err != nil {
			return err
		}
		have[key] = string(plain)
	}
	for r := range p.Records() {
		key, plain, err := record.EncodeRecord(r)
		if err != nil {
			return err
		}
		got, ok := have[key]
		if !ok && key == record.SiteKey && r == access.Record(record.Codecs.Policy.New().Site) {
			continue // a site that nobody has changed is not stored
		}
		if !ok || got != string(plain) {
			return fmt.Errorf("store: %v: memory and disk differ: %w", key, seal.ErrCorrupt)
		}
		delete(have, key)
	}
	for key := range have {
		return fmt.Errorf("store: %v: on disk and not in memory: %w", key, seal.ErrCorrupt)
	}
	return nil
}

// CompareSignIns compares the sign-ins on disk with those in memory.
func CompareSignIns(disk, memory map[record.Key]time.Time) error {
	for key, expiry := range disk {
		if at, known := memory[key]; !known || !at.Equal(expiry) {
			return fmt.Errorf("store: %v: memory and disk differ: %w", key, seal.ErrCorrupt)
		}
	}
	for key := range memory {
		if _, known := disk[key]; !known {
			return fmt.Errorf("store: %v: in memory and not on disk: %w", key, seal.ErrCorrupt)
		}
	}
	return nil
}

// CompareAddresses compares the addresses on disk with those in memory and with the devices of the
// policy.
func CompareAddresses(disk, memory map[record.Key]netip.AddrPort, p *access.Policy) error {
	for key, at := range disk {
		if known, ok := memory[key]; !ok || known != at {
			return fmt.Errorf("store: %v: memory and disk differ: %w", key, seal.ErrCorrupt)
		}
		if _, ok := p.Devices[key.ID()]; !ok {
			return fmt.Errorf("store: %v: of no device: %w", key, seal.ErrCorrupt)
		}
	}
	for key := range memory {
		if _, ok := disk[key]; !ok {
			return fmt.Errorf("store: %v: in memory and not on disk: %w", key, seal.ErrCorrupt)
		}
	}
	return nil
}

// CheckKinds returns an error if there is a key of an unknown kind.
func CheckKinds(txn *badger.Txn) error {
	it := txn.NewIterator(badger.IteratorOptions{})
	defer it.Close()
	for it.Rewind(); it.Valid(); it.Next() {
		key := record.Key(it.Item().Key())
		if _, ok := record.NameKind(key.Kind()); !ok || key.Kind() == record.KindMeta &&
			key != record.FormatKey && key != record.HeadKey && key != record.CutKey {
			return fmt.Errorf("store: %v: %w", key, seal.ErrCorrupt)
		}
	}
	return nil
}

// Upkeep limits the rate of a job that nobody waits for. A nil Upkeep does not limit.
type Upkeep struct {
	Quit  <-chan struct{} // closed when the job must end
	Over  error           // returned then
	Since time.Time       // when the present piece of work began
}

const (
	upkeepWork = 5 * time.Millisecond
	upkeepRest = 20 * time.Millisecond
)

// Rest waits a while after each few milliseconds of work.
func (p *Upkeep) Rest(ctx context.Context) error {
	if p == nil {
		return ctx.Err()
	}
	if time.Since(p.Since) < upkeepWork {
		select {
		case <-p.Quit:
			return p.Over
		default:
			return ctx.Err()
		}
	}
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-p.Quit:
		return p.Over
	case <-time.After(upkeepRest):
	}
	p.Since = time.Now()
	return nil
}
