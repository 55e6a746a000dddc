package reader

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/dgraph-io/badger/v4"

	"latchkey/gateway/audit"
	"latchkey/gateway/store/record"
	"latchkey/gateway/store/seal"
)

// readCut reads the statement of the events that were removed. The head says whether there is one.
func (r *Reader) readCut(txn *badger.Txn, h *record.Head) (c record.Cut, err error) {
	plain, err := r.Find(txn, record.CutKey)
	switch {
	case err != nil || plain == nil && h.Cut == 0:
		return c, err
	case plain == nil:
		return c, fmt.Errorf("store: %v: missing, and the head says that the events up to %d were removed: %w",
			record.CutKey, h.Cut, seal.ErrCorrupt)
	}
	if c, err = record.DecodeCut(plain, r.signer); err != nil {
		return c, fmt.Errorf("store: %v: %w", record.CutKey, err)
	}
	if c.Seq != h.Cut || c.Seq >= h.CountersAt {
		return c, fmt.Errorf("store: %v: it is about the events up to %d, and the head says %d: %w",
			record.CutKey, c.Seq, h.Cut, seal.ErrCorrupt)
	}
	return c, nil
}

// checkBorder checks that the first event that is kept follows those that were removed.
func (r *Reader) checkBorder(chain *Chain, c *record.Cut) error {
	if c.Seq == 0 {
		return nil
	}
	ev, err := chain.ReadEvent(c.Seq + 1)
	if err == nil && ev.Prev != c.Hash {
		err = fmt.Errorf("store: event %d: does not follow event %d, which was removed: %w", ev.Seq, c.Seq,
			seal.ErrCorrupt)
	}
	return err
}

// WalkAll walks the whole chain, as [Reader.Walk] does, from the first event that is kept. It also
// refuses events that were removed and are back.
func (r *Reader) WalkAll(ctx context.Context, txn *badger.Txn, img *Image,
	seen func(*record.Event) error) error {
	if first := firstPage(txn); first != 0 && first <= img.Cut.Seq {
		return fmt.Errorf("store: event %d: it was removed and is back: %w", first, seal.ErrCorrupt)
	}
	return r.Walk(ctx, txn, &img.Head, img.Cut.Seq, img.Cut.Hash, seen)
}

// firstPage returns the number of the first event on the first page in the database, or 0.
func firstPage(txn *badger.Txn) uint64 {
	it := txn.NewIterator(badger.IteratorOptions{Prefix: []byte{record.KindEvent}})
	defer it.Close()
	if it.Rewind(); !it.Valid() {
		return 0
	}
	return record.Key(it.Item().Key()).Seq()
}

// Timeline follows the times of events in the order of the chain. A clock that was wrong for a while
// leaves times that cannot be right.
type Timeline struct {
	Now    time.Time // a trusted time
	Latest time.Time // the latest time that can be right
}

const (
	// mayGoBack is how far an event may be before an earlier one: a clock is corrected now and then.
	mayGoBack = time.Hour
	// firstYear is before any event of a right clock.
	firstYear = 2026
)

// Take notes the time of the next event, and tells whether it can be right.
func (t *Timeline) Take(at time.Time) bool {
	if at.After(t.Now) || at.Year() < firstYear || at.Before(t.Latest.Add(-mayGoBack)) {
		return false
	}
	if at.After(t.Latest) {
		t.Latest = at
	}
	return true
}

var errEnough = errors.New("enough")

// FindOld returns the newest event at the end of a page up to which all events are from before a
// time, as far as their times can be right: an event whose time cannot be right is old if a later
// one is. It looks from the event after `from` on, whose number it returns if there is none, at no
// more events than most, and only up to event `to`. next is the last one that it has looked at, and
// more says that there are others.
func (r *Reader) FindOld(ctx context.Context, txn *badger.Txn, line *Timeline, from, to uint64, before time.Time,
	most int) (old, next uint64, more bool, err error) {
	old, next = from, from
	looked := 0
	err = r.eachPage(ctx, txn, from, func(page []record.Event) error {
		if last := page[len(page)-1].Seq; last > to {
			return errEnough
		}
		sane, after := false, *line
		for i := range page {
			if sane = after.Take(page[i].At); sane && !page[i].At.Before(before) {
				return errEnough
			}
		}
		*line = after
		if next = page[len(page)-1].Seq; sane {
			old = next
		}
		if looked += len(page); looked >= most {
			more = true
			return errEnough
		}
		return nil
	})
	return old, next, more, err
}

// eachPage calls f with each page after an event, until f returns errEnough.
func (r *Reader) eachPage(ctx context.Context, txn *badger.Txn, after uint64,
	f func(page []record.Event) error) error {
	start := record.EventKey(after + 1)
	err := r.forEachFrom(ctx, txn, start[:1], start, func(key record.Key, plain []byte) error {
		page, err := record.DecodePage(key.Seq(), plain)
		if err != nil {
			return fmt.Errorf("store: %v: %w", key, err)
		}
		return f(page)
	})
	if errors.Is(err, errEnough) {
		return nil
	}
	return err
}

// Oldest is the oldest events of a store, whole pages of them.
type Oldest struct {
	Cut  record.Cut   // the statement once they are removed; the caller sets At and Days
	Keys []record.Key // of their pages and change records
}

// ReadOldest returns the events after those that were removed, up to event `to`, but no more than
// most, and whole pages. It checks that they follow one another. trusted is Site.TimeTrusted, and
// policyAt the policy event that the head names.
func (r *Reader) ReadOldest(ctx context.Context, txn *badger.Txn, c record.Cut, to uint64, most int,
	trusted, policyAt uint64, now time.Time) (*Oldest, error) {
	out := &Oldest{Cut: c}
	line := Timeline{Now: now, Latest: c.Newest}
	if trusted >= c.Seq {
		out.Cut.Latest = time.Time{}
	}
	err := r.eachPage(ctx, txn, c.Seq, func(page []record.Event) error {
		if page[len(page)-1].Seq > to || page[len(page)-1].Seq-c.Seq > uint64(most) && len(out.Keys) > 0 {
			return errEnough
		}
		if first := &page[0]; first.Seq != out.Cut.Seq+1 || first.Prev != out.Cut.Hash {
			return fmt.Errorf("store: event %d: does not follow event %d: %w", first.Seq, out.Cut.Seq,
				seal.ErrCorrupt)
		}
		out.Keys = append(out.Keys, record.EventKey(page[0].Seq))
		for i := range page {
			out.take(&page[i], &line, trusted, policyAt)
		}
		return nil
	})
	out.Cut.Newest = line.Latest
	return out, err
}

func (o *Oldest) take(ev *record.Event, line *Timeline, trusted, policyAt uint64) {
	line.Take(ev.At)
	o.Cut.Seq, o.Cut.Hash = ev.Seq, ev.Hash
	if ev.Seq > trusted && ev.At.After(o.Cut.Latest) {
		o.Cut.Latest = ev.At
	}
	if ev.Kind != audit.EventPolicy {
		return
	}
	o.Keys = append(o.Keys, record.ChangeKey(ev.Seq))
	if ev.Seq == policyAt {
		o.Cut.PolicyAt, o.Cut.Policy = ev.Seq, ev.Digest
	}
}
