package store

import (
	"bytes"
	"context"
	"fmt"
	"maps"
	"slices"

	"github.com/dgraph-io/badger/v4"

	"latchkey/gateway/access"
	"latchkey/gateway/store/record"
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
	want := make(map[record.Key][]byte) // empty: deleted
	err := s.each(ctx, txn, record.KindChange, func(_ record.Key, plain []byte) error {
		rec, err := record.Decode[record.ChangeRecord](plain)
		for _, c := range rec.Changed {
			want[record.Key(c.Key)] = c.Leaf
		}
		return err
	})
	if err != nil {
		return err
	}
	leaf := record.NewLeafer(s.keys.Digest)
	seen := make(map[record.Key]bool)
	for _, c := range record.Codecs.Rows {
		err := s.each(ctx, txn, c.Prefix(), func(key record.Key, plain []byte) error {
			seen[key] = true
			switch short, known := want[key]; {
			case !known:
				return fmt.Errorf("no policy event wrote it: %w", ErrCorrupt)
			case len(short) == 0:
				return fmt.Errorf("it was deleted and is back: %w", ErrCorrupt)
			case !bytes.Equal(short, shorten(leaf.Leaf(key, plain))):
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
func shorten(leaf record.Sum) []byte {
	b := leaf.Bytes()
	return b[:16]
}

// blameCounters names the device whose counter does not agree with the chain.
func (s *Store) blameCounters(ctx context.Context, txn *badger.Txn, img *image) error {
	want, err := s.replayCounters(ctx, txn, &img.head)
	if err != nil {
		return err
	}
	if err := compareCounters(want, img.counters.Under); err != nil {
		return err
	}
	return fmt.Errorf("store: counters: the records do not agree with their digest: %w", ErrCorrupt)
}

// replayCounters works out from the chain alone what the counter records must be.
func (s *Store) replayCounters(ctx context.Context, txn *badger.Txn, h *record.Head) (*record.Counters, error) {
	want := record.NewCounters(nil)
	err := s.walk(ctx, txn, h, 0, access.Hash{}, func(ev *record.Event) error {
		if ev.Seq <= h.CountersAt {
			want.Take(ev)
		}
		return nil
	})
	return want, err
}

// compareCounters names the first counter in got that is not as the chain has it. The attempt, and when it was decided, are not in events of
// version 1.
func compareCounters(want, got *record.Counters) error {
	for _, id := range slices.Sorted(maps.Keys(want.ByDevice)) {
		w, g := *want.Find(id), got.Find(id)
		if g == nil {
			return fmt.Errorf("store: %v: missing: %w", record.CounterKey(id), ErrCorrupt)
		}
		if w.Digest == [32]byte{} {
			w.Digest, w.At = g.Digest, g.At
		}
		if w != *g {
			return fmt.Errorf("store: %v: at %d, and the chain says %d: %w", record.CounterKey(id), g.Last, w.Last, ErrCorrupt)
		}
	}
	for _, id := range slices.Sorted(maps.Keys(got.ByDevice)) {
		if want.Find(id) == nil {
			return fmt.Errorf("store: %v: no event moved it: %w", record.CounterKey(id), ErrCorrupt)
		}
	}
	return nil
}
