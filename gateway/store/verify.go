package store

import (
	"context"
	"fmt"
	"time"

	"github.com/dgraph-io/badger/v4"

	"latchkey/gateway/access"
)

// Verify walks the whole chain and names the first event that is missing, does not open, or does not follow the one before.
func (s *Store) Verify(ctx context.Context) error {
	return s.verify(ctx, nil)
}

// VerifyHead is [Store.Verify], and checks that the chain contains the event seq with that hash: a head that was kept elsewhere.
// Only this finds a store that was rolled back or cut as a whole.
func (s *Store) VerifyHead(ctx context.Context, seq uint64, hash access.Hash) error {
	return s.verify(ctx, &kept{seq, hash})
}

type kept struct {
	seq  uint64
	hash access.Hash
}

func (s *Store) verify(ctx context.Context, k *kept) error {
	return s.view(ctx, func(txn *badger.Txn) error {
		img := &image{}
		if err := s.readMeta(txn, img); err != nil {
			return err
		}
		err := s.walk(ctx, txn, &img.head, 0, access.Hash{}, func(ev *stored) error {
			if k != nil && k.seq == ev.Seq && ev.Hash != k.hash {
				return fmt.Errorf("its hash is not the one kept elsewhere: %w", ErrCorrupt)
			}
			return nil
		})
		switch last := img.head.seq; {
		case err != nil:
			return err
		case k != nil && k.seq > last:
			return fmt.Errorf("store: event %d: missing: the chain ends at %d, so the store was rolled back or cut: %w", k.seq, last, ErrCorrupt)
		case k != nil && k.seq == 0 && k.hash != (access.Hash{}):
			return fmt.Errorf("store: head 0 has no hash: %w", ErrCorrupt)
		}
		return nil
	})
}

// Check holds everything against everything: the chain, counters against events, policy against digest, memory against disk, sign-ins too. It runs
// between two batches and holds up writers meanwhile.
func (s *Store) Check(ctx context.Context) error {
	return s.submit(ctx, &request{between: func(w *writer) error { return w.check(ctx) }})
}

func (w *writer) check(ctx context.Context) error {
	s := w.s
	return s.db.View(func(txn *badger.Txn) error {
		img, err := s.read(ctx, txn)
		if err != nil {
			return err
		}
		now := s.now.Load()
		var latest time.Time
		err = s.walk(ctx, txn, &img.head, 0, access.Hash{}, func(ev *stored) error {
			if ev.Seq > now.policy.Site.TimeTrusted && ev.At.After(latest) {
				latest = ev.At
			}
			return nil
		})
		if err != nil {
			return err
		}
		if img.head != now.head {
			return fmt.Errorf("store: %v: memory and disk differ: %w", headKey, ErrCorrupt)
		}
		if !latest.Equal(now.head.latest) {
			return fmt.Errorf("store: %v: latest event time is %v, want %v: %w", headKey, now.head.latest, latest, ErrCorrupt)
		}
		if err := s.compareChanges(ctx, txn); err != nil {
			return err
		}
		if err := sameRecords(img.records, now.kept); err != nil {
			return err
		}
		want, err := s.replayCounters(ctx, txn, &img.head)
		if err != nil {
			return err
		}
		if err := compareCounters(want, img.counters.under); err != nil {
			return err
		}
		for device, c := range w.counters.byDevice {
			if read := img.counters.of(device); read == nil || *read != *c {
				return fmt.Errorf("store: %v: memory and disk differ: %w", counterKey(device), ErrCorrupt)
			}
		}
		if err := sameSignIns(img.signIns, w.signIns); err != nil {
			return err
		}
		if err := sameAddresses(img.addrs, w.addrs, now.policy); err != nil {
			return err
		}
		return s.onlyKnown(txn)
	})
}

// sameRecords compares the records on disk with a policy, in their stored form.
func sameRecords(disk []access.Change, p *access.Policy) error {
	have := make(map[recordKey]string, len(disk))
	for _, c := range disk {
		key, plain, err := encodeRecord(c.Put)
		if err != nil {
			return err
		}
		have[key] = string(plain)
	}
	for r := range p.Records() {
		key, plain, err := encodeRecord(r)
		if err != nil {
			return err
		}
		got, ok := have[key]
		if !ok && key == siteRec && r == access.Record(access.New().Site) {
			continue // a site nobody has changed is not stored
		}
		if !ok || got != string(plain) {
			return fmt.Errorf("store: %v: memory and disk differ: %w", key, ErrCorrupt)
		}
		delete(have, key)
	}
	for key := range have {
		return fmt.Errorf("store: %v: on disk and not in memory: %w", key, ErrCorrupt)
	}
	return nil
}

// onlyKnown finds keys of no known kind.
func (s *Store) onlyKnown(txn *badger.Txn) error {
	it := txn.NewIterator(badger.IteratorOptions{})
	defer it.Close()
	for it.Rewind(); it.Valid(); it.Next() {
		key := recordKey(it.Item().Key())
		if _, ok := kindNames[key.kind()]; !ok || key.kind() == kindMeta && key != formatKey && key != headKey {
			return fmt.Errorf("store: %v: %w", key, ErrCorrupt)
		}
	}
	return nil
}
