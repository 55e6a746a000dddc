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
		return s.walk(ctx, txn, &img.head, k, func(access.Event) {})
	})
}

// walk checks every event up to the head and shows each to seen.
func (s *Store) walk(ctx context.Context, txn *badger.Txn, h *head, k *kept, seen func(access.Event)) error {
	var prev access.Hash
	var seq uint64
	err := s.each(ctx, txn, kindEvent, func(key recordKey, plain []byte) error {
		if seq++; key.seq() != seq {
			return fmt.Errorf("event %d is missing before it: %w", seq, ErrCorrupt)
		}
		ev, err := decodeEvent(seq, plain)
		switch {
		case err != nil:
			return err
		case ev.Prev != prev:
			return fmt.Errorf("does not follow event %d: %w", seq-1, ErrCorrupt)
		case k != nil && k.seq == seq && ev.Hash != k.hash:
			return fmt.Errorf("its hash is not the one kept elsewhere: %w", ErrCorrupt)
		}
		prev = ev.Hash
		seen(ev)
		return nil
	})
	switch {
	case err != nil:
		return err
	case seq != h.seq:
		return fmt.Errorf("store: event %d: missing: the head says there are %d: %w", seq+1, h.seq, ErrCorrupt)
	case prev != h.hash:
		return fmt.Errorf("store: event %d: its hash is not the head's: %w", seq, ErrCorrupt)
	case k != nil && k.seq > seq:
		return fmt.Errorf("store: event %d: missing: the chain ends at %d, so the store was rolled back or cut: %w", k.seq, seq, ErrCorrupt)
	case k != nil && k.seq == 0 && k.hash != (access.Hash{}):
		return fmt.Errorf("store: head 0 has no hash: %w", ErrCorrupt)
	}
	return nil
}

// Check holds everything against everything: the chain, counters against events, policy against digest, memory against disk. It runs
// between two batches and holds up writers meanwhile.
func (s *Store) Check(ctx context.Context) error {
	return s.submit(ctx, &request{between: func() error { return s.check(ctx) }})
}

func (s *Store) check(ctx context.Context) error {
	return s.db.View(func(txn *badger.Txn) error {
		img, err := s.read(ctx, txn)
		if err != nil {
			return err
		}
		now := s.now.Load()
		var latest time.Time
		err = s.walk(ctx, txn, &img.head, nil, func(ev access.Event) {
			if ev.Seq > now.policy.Site.TimeTrusted && ev.At.After(latest) {
				latest = ev.At
			}
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
		if err := sameRecords(img.records, now.policy); err != nil {
			return err
		}
		want, err := s.replayCounters(ctx, txn)
		if err != nil {
			return err
		}
		if err := compareCounters(want, img.counters); err != nil {
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
