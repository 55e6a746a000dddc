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
	leaf := newLeafer(s.keys.Digest)
	seen := make(map[recordKey]bool)
	for _, c := range codecs.rows {
		err := s.each(ctx, txn, c.prefix(), func(key recordKey, plain []byte) error {
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
	want, err := s.replayCounters(ctx, txn, &img.head)
	if err != nil {
		return err
	}
	if err := compareCounters(want, img.counters.under); err != nil {
		return err
	}
	return fmt.Errorf("store: counters: the records do not agree with their digest: %w", ErrCorrupt)
}

// replayCounters works out from the chain alone what the counter records must be.
func (s *Store) replayCounters(ctx context.Context, txn *badger.Txn, h *head) (*counters, error) {
	want := newCounters(nil)
	err := s.walk(ctx, txn, h, 0, access.Hash{}, func(ev *stored) error {
		if ev.Seq <= h.countersAt {
			want.take(ev)
		}
		return nil
	})
	return want, err
}

// compareCounters names the first counter in got that is not as the chain has it. The attempt, and when it was decided, are not in events of
// version 1.
func compareCounters(want, got *counters) error {
	for _, id := range slices.Sorted(maps.Keys(want.byDevice)) {
		w, g := *want.of(id), got.of(id)
		if g == nil {
			return fmt.Errorf("store: %v: missing: %w", counterKey(id), ErrCorrupt)
		}
		if w.digest == [32]byte{} {
			w.digest, w.at = g.digest, g.at
		}
		if w != *g {
			return fmt.Errorf("store: %v: at %d, and the chain says %d: %w", counterKey(id), g.last, w.last, ErrCorrupt)
		}
	}
	for _, id := range slices.Sorted(maps.Keys(got.byDevice)) {
		if want.of(id) == nil {
			return fmt.Errorf("store: %v: no event moved it: %w", counterKey(id), ErrCorrupt)
		}
	}
	return nil
}
