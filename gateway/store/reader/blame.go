package reader

import (
	"bytes"
	"context"
	"fmt"
	"maps"
	"slices"

	"github.com/dgraph-io/badger/v4"

	"latchkey/gateway/store/record"
	"latchkey/gateway/store/seal"
)

// blamePolicy names the record that makes the policy disagree with its digest. It uses the change
// records, which list what each policy event wrote.
func (r *Reader) blamePolicy(ctx context.Context, txn *badger.Txn, img *Image) error {
	if err := r.CompareChanges(ctx, txn, img); err != nil {
		return err
	}
	return fmt.Errorf("store: policy: the records do not agree with their digest: %w", seal.ErrCorrupt)
}

// CompareChanges compares the policy records with the change records and names the first record
// that differs. About a record that was last written by a removed event it says nothing.
func (r *Reader) CompareChanges(ctx context.Context, txn *badger.Txn, img *Image) error {
	want := make(map[record.Key][]byte) // empty: deleted
	err := r.ForEach(ctx, txn, record.KindChange, func(key record.Key, plain []byte) error {
		if key.Seq() <= img.Cut.Seq {
			return fmt.Errorf("it was removed and is back: %w", seal.ErrCorrupt)
		}
		rec, err := record.Decode[record.ChangeRecord](plain)
		for _, c := range rec.Changed {
			want[record.Key(c.Key)] = c.Leaf
		}
		return err
	})
	if err != nil {
		return err
	}
	leaf := record.NewLeafer(r.digest)
	seen := make(map[record.Key]bool)
	for _, c := range record.Codecs.Rows {
		err := r.ForEach(ctx, txn, c.Prefix(), func(key record.Key, plain []byte) error {
			seen[key] = true
			switch short, known := want[key]; {
			case !known && img.Cut.Seq > 0: // a removed event wrote it
			case !known:
				return fmt.Errorf("no policy event wrote it: %w", seal.ErrCorrupt)
			case len(short) == 0:
				return fmt.Errorf("it was deleted and is back: %w", seal.ErrCorrupt)
			case !bytes.Equal(short, leaf.Leaf(key, plain).Shorten()):
				return fmt.Errorf("not as it was last written: %w", seal.ErrCorrupt)
			}
			return nil
		})
		if err != nil {
			return err
		}
	}
	for _, key := range slices.Sorted(maps.Keys(want)) {
		if len(want[key]) > 0 && !seen[key] {
			return fmt.Errorf("store: %v: missing: %w", key, seal.ErrCorrupt)
		}
	}
	return nil
}

// blameCounters names the device whose counter does not agree with the chain.
func (r *Reader) blameCounters(ctx context.Context, txn *badger.Txn, img *Image) error {
	want, err := r.ReplayCounters(ctx, txn, img)
	if err != nil {
		return err
	}
	if err := CompareCounters(want, img.Counters.Under); err != nil {
		return err
	}
	return fmt.Errorf("store: counters: the records do not agree with their digest: %w", seal.ErrCorrupt)
}

// ReplayCounters computes from the chain what the counter records must be. It takes a counter that
// a removed event moved as it is.
func (r *Reader) ReplayCounters(ctx context.Context, txn *badger.Txn, img *Image) (*record.Counters, error) {
	want := record.NewCounters(nil)
	for device, c := range img.Counters.Under.ByDevice {
		if c.Seq <= img.Cut.Seq {
			want.Put(device, c)
		}
	}
	err := r.WalkAll(ctx, txn, img, func(ev *record.Event) error {
		if ev.Seq <= img.Head.CountersAt {
			want.Take(ev)
		}
		return nil
	})
	return want, err
}

// CompareCounters names the first counter in got that differs from the chain. It cannot compare the
// digest and time of an attempt from an event of version 1, which has neither.
func CompareCounters(want, got *record.Counters) error {
	for _, id := range slices.Sorted(maps.Keys(want.ByDevice)) {
		w, g := *want.Find(id), got.Find(id)
		if g == nil {
			return fmt.Errorf("store: %v: missing: %w", record.CounterKey(id), seal.ErrCorrupt)
		}
		if w.Digest == [32]byte{} {
			w.Digest, w.At = g.Digest, g.At
		}
		if w != *g {
			return fmt.Errorf("store: %v: at %d, and the chain says %d: %w", record.CounterKey(id), g.Last,
				w.Last, seal.ErrCorrupt)
		}
	}
	for _, id := range slices.Sorted(maps.Keys(got.ByDevice)) {
		if want.Find(id) == nil {
			return fmt.Errorf("store: %v: no event moved it: %w", record.CounterKey(id), seal.ErrCorrupt)
		}
	}
	return nil
}
