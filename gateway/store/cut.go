package store

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/dgraph-io/badger/v4"

	"latchkey/gateway/access"
	"latchkey/gateway/access/sinks"
	"latchkey/gateway/audit"
	"latchkey/gateway/store/reader"
	"latchkey/gateway/store/record"
)

// cutEvents is how many events are removed in one batch. Attempts that come meanwhile are in the
// same batch or in the next.
const cutEvents = 512

// First returns the number of the first event that is kept.
func (s *Store) First() uint64 { return s.removed.Load() + 1 }

// Removed says which events were removed because they were old.
func (s *Store) Removed() audit.Removed {
	c := &s.now.Load().cut
	if c.Seq == 0 {
		return audit.Removed{}
	}
	return audit.Removed{Before: c.Seq + 1, At: c.At, Days: c.Days}
}

// Age finds old events. It keeps its place, so that no event is looked at twice.
type Age struct {
	Old  uint64 // the newest event at the end of a page up to which all events are old
	next uint64 // the newest event that was looked at
	line reader.Timeline
}

// FindOld moves a.Old to the newest event at the end of a page up to which all events are from
// before a time, at a limited rate. now must be right. It may also be called after events were
// removed.
func (s *Store) FindOld(ctx context.Context, a *Age, now, before time.Time) error {
	p := s.newUpkeep()
	for more := true; more; {
		err := s.readIfOpen(ctx, func(txn *badger.Txn) error {
			cut := &s.now.Load().cut
			if a.line.Now = now; a.next <= cut.Seq {
				a.Old, a.next, a.line.Latest = cut.Seq, cut.Seq, cut.Newest
			}
			last, _ := s.Head()
			old, next, again, err := s.reader.FindOld(ctx, txn, &a.line, a.next, last, before, cutEvents)
			if old > a.next {
				a.Old = old
			}
			a.next, more = next, again
			return err
		})
		if err == nil {
			err = p.Rest(ctx)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// Hold is what keeps events from being removed.
type Hold struct {
	Sink  access.ID // it has not taken them; empty: the counters follow from them
	First uint64    // the first event that is kept
	Owed  uint64    // the first event that the sink has not taken
}

// Holds returns what keeps events from being removed now. There is at least one hold.
func (s *Store) Holds(ctx context.Context) (out []Hold, err error) {
	err = s.submit(ctx, &request{between: func(w *writer) error {
		b := w.newBatch()
		out = b.holds()
		w.spare = b
		return nil
	}})
	return out, err
}

// holds returns what keeps events as of this batch. The event of a sink's cursor is kept too,
// because a sink begins anew if the chain does not have it.
func (b *batch) holds() []Hold {
	out := []Hold{{First: b.head.CountersAt}}
	for id, r := range sinks.Kind.In(b.policy) {
		h := Hold{Sink: id, First: max(b.w.cursors[record.CursorKey(id)].Seq, r.From-1)}
		h.Owed = h.First + 1
		for _, key := range b.listDead(id) {
			if _, seq := key.Dead(); seq >= r.From && seq < h.Owed {
				h.First, h.Owed = min(seq, h.First), seq
			}
		}
		out = append(out, h)
	}
	return out
}

// errOutdated says that something has changed since the events were read.
var errOutdated = errors.New("outdated")

// RemoveOldest removes the oldest events up to event `to`, but whole pages and only some hundreds of
// them, and nothing that [Store.Holds] keeps. It returns the newest event that is removed now, which
// is the same as before if there is nothing to remove. days is how long events are kept. Other
// errors than those of [Store.Record] are about the chain.
func (s *Store) RemoveOldest(ctx context.Context, to uint64, days int) (uint64, error) {
	for {
		seq, err := s.removeOldest(ctx, to, days)
		if !errors.Is(err, errOutdated) {
			return seq, err
		}
	}
}

func (s *Store) removeOldest(ctx context.Context, to uint64, days int) (uint64, error) {
	now := s.now.Load()
	if last := now.head.Seq; to >= now.head.CountersAt && last > now.head.CountersAt {
		// Few events come: otherwise the counters would be written by themselves.
		err := s.submit(ctx, &request{between: func(w *writer) error { return w.writeCounters() }})
		if err != nil {
			return now.cut.Seq, err
		}
		now = s.now.Load()
	}
	holds, err := s.Holds(ctx)
	if err != nil {
		return now.cut.Seq, err
	}
	for _, h := range holds {
		to = min(to, max(h.First, 1)-1)
	}
	if to <= now.cut.Seq {
		return now.cut.Seq, nil
	}
	var old *reader.Oldest
	trusted := now.kept.Site.TimeTrusted
	err = s.readIfOpen(ctx, func(txn *badger.Txn) (err error) {
		most := min(cutEvents, int(s.db.MaxBatchCount())/5) // an event may have two keys
		old, err = s.reader.ReadOldest(ctx, txn, now.cut, to, most, trusted, now.head.PolicyAt,
			s.opts.Now())
		return err
	})
	if err != nil || len(old.Keys) == 0 {
		return now.cut.Seq, err
	}
	old.Cut.At, old.Cut.Days = s.opts.Now().Round(0).UTC(), days
	plain, err := old.Cut.Encode(s.keys.Sign)
	if err != nil {
		return now.cut.Seq, fmt.Errorf("store: %v: %w", record.CutKey, err)
	}
	err = s.submit(ctx, &request{run: func(b *batch) error {
		if b.cut != now.cut || b.policy.Site.TimeTrusted != trusted {
			return errOutdated
		}
		return b.removeOldest(old, plain)
	}})
	return s.now.Load().cut.Seq, err
}

func (b *batch) removeOldest(old *reader.Oldest, plain []byte) error {
	if b.w.space.full {
		return b.w.space.err()
	}
	for _, h := range b.holds() {
		if old.Cut.Seq >= h.First {
			return errOutdated
		}
	}
	gone := old.Keys
	for key := range b.w.dead { // a sink that begins behind the event does not want it any more
		if _, seq := key.Dead(); seq <= old.Cut.Seq && len(gone) < len(old.Keys)+maxDead {
			gone = append(gone, key)
		}
	}
	size := b.measureCost(record.CutKey, plain) + smallBytes
	for _, key := range gone {
		size += b.measureCost(key, nil)
	}
	if !b.fits(len(gone)+smallCount, size, len(plain)+smallBytes) {
		return errNoRoom
	}
	for _, key := range gone {
		b.put(key, nil)
		delete(b.w.dead, key)
	}
	b.put(record.CutKey, plain)
	b.cut, b.head.Cut = old.Cut, old.Cut.Seq
	// Readers must not look for these events from now on. Those that began before still see them.
	b.w.s.removed.Store(old.Cut.Seq)
	return nil
}

// writeCounters writes the counters that moved, so that opening the store needs no older events.
func (w *writer) writeCounters() error {
	b := w.newBatch()
	if err := b.checkpoint(1); err != nil {
		return err
	}
	b.putHead()
	w.finishBatch(b)
	return w.s.Failed()
}

func (s *Store) newUpkeep() *reader.Upkeep {
	return &reader.Upkeep{Quit: s.quit, Over: fmt.Errorf("store: %w", ErrClosed), Since: time.Now()}
}

// Reclaim gives back the disk space of removed events if that is much: see [engine.DB.Reclaim].
func (s *Store) Reclaim(ctx context.Context) (gained int64, again bool, err error) {
	s.reads.RLock() // the store is not closed meanwhile
	defer s.reads.RUnlock()
	if err := s.checkUsable(ctx); err != nil || s.opts.InMemory {
		return 0, false, err
	}
	p := s.newUpkeep()
	return s.db.Reclaim(func() error { return p.Rest(ctx) }, func(bytes int64) bool {
		free, err := s.measureFree()
		return err == nil && free > uint64(bytes)+s.opts.MinFree
	})
}
