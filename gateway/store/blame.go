package store

import (
	"bytes"
	"context"
	"fmt"
	"maps"
	"slices"

	"github.com/dgraph-io/badger/v4"

	"latchkey/gateway/access"
)

// blamePolicy names the record that makes the policy disagree with its digest, by the lists of what each policy event wrote.
func (s *Store) blamePolicy(ctx context.Context, txn *badger.Txn) error {
	if err := s.compareChanges(ctx, txn); err != nil {
		return err
	}
	return fmt.Errorf("store: policy: the records do not agree with their digest: %w", ErrCorrupt)
}

// compareChanges holds the policy records against the lists of what was written and names the first that differs.
func (s *Store) compareChanges(ctx context.Context, txn *badger.Txn) error {
	want := make(map[recordKey][]byte) // empty: deleted
	err := s.each(ctx, txn, kindChange, func(_ recordKey, plain []byte) error {
		rec, err := decode[changeRecord](plain)
		for _, c := range rec.Changed {
			want[recordKey(c.Key)] = c.Leaf
		}
		return err
	})
	if err != nil {
		return err
	}
	leaf := newLeafer(s.keys.digest)
	seen := make(map[recordKey]bool)
	for _, kind := range policyKinds {
		err := s.each(ctx, txn, kind, func(key recordKey, plain []byte) error {
			seen[key] = true
			switch short, known := want[key]; {
			case !known:
				return fmt.Errorf("no policy event wrote it: %w", ErrCorrupt)
			case len(short) == 0:
				return fmt.Errorf("it was deleted and is back: %w", ErrCorrupt)
			case !bytes.Equal(short, shorten(leaf.leaf(key, plain))):
				return fmt.Errorf("not as it was last written: %w", ErrCorrupt)
			}
			return nil
		})
		if err != nil {
			return err
		}
	}
	for _, key := range slices.Sorted(maps.Keys(want)) {
		if len(want[key]) > 0 && !seen[key] {
			return fmt.Errorf("store: %v: missing: %w", key, ErrCorrupt)
		}
	}
	return nil
}

// shorten is the part of a leaf that a change record keeps: enough to tell versions of a record apart.
func shorten(leaf sum) []byte {
	b := leaf.bytes()
	return b[:16]
}

// blameCounters names the device whose counter does not agree with the chain.
func (s *Store) blameCounters(ctx context.Context, txn *badger.Txn, img *image) error {
	want, err := s.replayCounters(ctx, txn)
	if err != nil {
		return err
	}
	if err := compareCounters(want, img.counters); err != nil {
		return err
	}
	return fmt.Errorf("store: counters: the records do not agree with their digest: %w", ErrCorrupt)
}

// replayCounters works out from the chain alone what the counters must be. Digests and times of decision are not in the chain.
func (s *Store) replayCounters(ctx context.Context, txn *badger.Txn) (map[access.ID]*counter, error) {
	want := make(map[access.ID]*counter)
	bySeq := make(map[uint64]*counter)
	err := s.each(ctx, txn, kindEvent, func(key recordKey, plain []byte) error {
		ev, err := decodeEvent(key.seq(), plain)
		if err != nil {
			return err
		}
		switch {
		case ev.Kind == access.EventReceipt:
			if c := bySeq[ev.Cause]; c != nil {
				c.outcome = ev.Outcome
			}
		case ev.Kind == access.EventDecision && counts(ev.Source, ev.Device.ID) && ev.Counter > lastOf(want[ev.Device.ID]):
			c := &counter{last: ev.Counter, seq: ev.Seq,
				decision: access.Decision{Granted: ev.Granted, Reason: ev.Reason, Rule: ev.Rule, Person: ev.Person.ID}}
			want[ev.Device.ID] = c
			bySeq[ev.Seq] = c
		}
		return nil
	})
	return want, err
}

func lastOf(c *counter) uint64 {
	if c == nil {
		return 0
	}
	return c.last
}

// compareCounters names the first counter in got that is not as the chain has it.
func compareCounters(want, got map[access.ID]*counter) error {
	for _, id := range slices.Sorted(maps.Keys(want)) {
		w, g := want[id], got[id]
		if g == nil {
			return fmt.Errorf("store: %v: missing: %w", counterKey(id), ErrCorrupt)
		}
		if g.last != w.last || g.seq != w.seq || g.decision != w.decision || g.outcome != w.outcome {
			return fmt.Errorf("store: %v: at %d, and the chain says %d: %w", counterKey(id), g.last, w.last, ErrCorrupt)
		}
	}
	for _, id := range slices.Sorted(maps.Keys(got)) {
		if want[id] == nil {
			return fmt.Errorf("store: %v: no event moved it: %w", counterKey(id), ErrCorrupt)
		}
	}
	return nil
}
