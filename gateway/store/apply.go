package store

import (
	"context"
	"fmt"
	"strings"
	"time"

	"github.com/dgraph-io/badger/v4"

	"latchkey/gateway/access"
	"latchkey/gateway/audit"
	"latchkey/gateway/store/engine"
	"latchkey/gateway/store/folder"
	"latchkey/gateway/store/record"
	"latchkey/gateway/store/seal"
)

// MaxChanges is how many changes one [Store.Apply] takes at most. They become durable together or
// not at all, and a transaction has a limit.
const MaxChanges = 1000

const maxDetail = 1024

// Apply applies changes to the policy, all or none, with one event. It returns the event's sequence
// number once the changes are durable and [Store.Snapshot] has them. When free space is below
// Options.MinFree, only restrictions are accepted ([access.Restricts]). If there is no space even
// for them, and Options.Hold is set, they take effect in memory and the error is
// edit.ErrNotDurable. Other errors are those of [access.Policy.With], ErrTooBig (split the
// changes), ErrNoSpace, ErrFailed, ErrClosed, and ctx.Err(): then the changes may still be made.
func (s *Store) Apply(ctx context.Context, actor string, changes ...access.Change) (uint64, error) {
	switch {
	case len(changes) == 0:
		return 0, fmt.Errorf("store: apply: no changes: %w", access.ErrInvalid)
	case len(changes) > MaxChanges:
		return 0, fmt.Errorf("store: apply %d changes: %w: split them into changes of at most %d",
			len(changes), ErrTooBig, MaxChanges)
	}
	changes, err := storable(changes)
	if err != nil {
		return 0, err
	}
	var seq uint64
	err = s.submit(ctx, &request{run: func(b *batch) (err error) {
		seq, err = b.change(actor, changes)
		return err
	}})
	if err != nil {
		return 0, err
	}
	return seq, nil
}

// storable returns the changes as they will be read back from disk, so that the snapshot equals
// that of a reopened store.
func storable(changes []access.Change) ([]access.Change, error) {
	out := make([]access.Change, len(changes))
	for i, c := range changes {
		if (c.Put == nil) == (c.Delete == nil) {
			return nil, fmt.Errorf("store: change %d: want one of put and delete: %w", i+1, access.ErrInvalid)
		}
		out[i] = c
		if c.Put == nil {
			continue
		}
		key, plain, err := record.EncodeRecord(c.Put)
		if err != nil {
			return nil, err
		}
		if out[i].Put, err = record.DecodeRecord(key, plain); err != nil {
			return nil, fmt.Errorf("store: %v: %w: %w", key, access.ErrInvalid, err)
		}
	}
	return out, nil
}

// change applies changes if there is space for them. Restrictions may use more space, and act in
// memory if there is none.
func (b *batch) change(actor string, changes []access.Change) (uint64, error) {
	switch sp := &b.w.space; {
	case !sp.low:
	case !access.Restricts(b.w.s.Snapshot(), changes...):
		return 0, sp.err()
	case sp.none:
		return 0, b.holdChange(actor, changes)
	}
	return b.apply(actor, changes, b.w.s.opts.Now())
}

func (b *batch) apply(actor string, changes []access.Change, at time.Time) (uint64, error) {
	next, err := b.policy.With(changes...)
	if err != nil {
		return 0, fmt.Errorf("store: apply: %w", err)
	}
	st, err := b.stage(next, changes)
	if err != nil {
		return 0, err
	}
	list, err := record.Encode(1, st.list)
	if err != nil {
		return 0, fmt.Errorf("store: apply: %w", err)
	}
	listKey := record.ChangeKey(b.head.Seq + 1)
	gone := append(b.listRemovedAddresses(st.writes), b.listRemovedCursors(st.writes)...)
	for _, key := range gone {
		st.size += b.measureCost(key, nil)
	}
	if !b.fits(len(st.writes)+len(gone)+1+smallCount, st.size+b.measureCost(listKey, list)+smallBytes,
		st.raw+len(list)+smallBytes) {
		return 0, errNoRoom
	}
	if err := b.reserveLarge(st); err != nil {
		return 0, err
	}
	ev := record.Event{Event: audit.Event{At: at, Kind: audit.EventPolicy, Actor: actor,
		Digest: st.tally.Sum.Bytes(),
		Detail: b.describe(changes)}}
	trusted := b.policy.Site.TimeTrusted
	latest := b.head.Latest
	if next.Site.TimeTrusted != trusted {
		at, err := b.latestAfter(next.Site.TimeTrusted)
		if err != nil {
			return 0, err
		}
		b.head.Latest = at.at
	}
	before := b.policy
	b.policy = next
	if err := b.appendEvent(&ev); err != nil {
		b.policy, b.head.Latest = before, latest
		return 0, err
	}
	for key, plain := range st.writes {
		b.put(key, plain)
	}
	for _, key := range gone {
		b.put(key, nil)
		delete(b.w.addrs, key)
		delete(b.w.cursors, key)
		delete(b.w.dead, key)
	}
	b.put(listKey, list)
	b.head.Policy, b.head.PolicyAt = st.tally, ev.Seq
	b.changes = append(b.changes, record.PolicyChange{Seq: ev.Seq, Hash: ev.Hash, Before: before, After: next,
		Changes: changes})
	return ev.Seq, nil
}

// reserveLarge reserves space in the value log, for values that are too large for a memtable.
func (b *batch) reserveLarge(st *staged) error {
	if b.w.s.opts.InMemory {
		return nil
	}
	for _, plain := range st.writes {
		if len(plain)+seal.Overhead < engine.ValueThreshold {
			continue
		}
		switch err := folder.ReserveValueLog(b.w.s.opts.files().DB); {
		case folder.IsNoSpace(err):
			return b.w.space.err()
		case err != nil:
			return fmt.Errorf("store: apply: %w", err)
		}
		break
	}
	return nil
}

// staged is what a change would write.
type staged struct {
	writes    map[record.Key][]byte
	size, raw int
	tally     record.Tally
	list      record.ChangeRecord
}

// stage computes the writes that turn the records on disk into those of next. A record that several
// changes touch is written once, in its final form.
func (b *batch) stage(next *access.Policy, changes []access.Change) (*staged, error) {
	st := &staged{writes: make(map[record.Key][]byte, len(changes)), tally: b.head.Policy}
	for _, c := range changes {
		key, plain, err := ending(next, c)
		if err != nil {
			return nil, err
		}
		if _, done := st.writes[key]; done {
			continue
		}
		old, err := b.findPlain(key)
		if err != nil {
			return nil, err
		}
		if old == nil && plain == nil {
			continue // put and deleted again in one change
		}
		if old != nil {
			st.tally = st.tally.Without(b.w.leaf.Leaf(key, old))
		}
		var short []byte
		if plain != nil {
			leaf := b.w.leaf.Leaf(key, plain)
			st.tally = st.tally.With(leaf)
			short = leaf.Shorten()
		}
		st.writes[key] = plain
		st.size += b.measureCost(key, plain)
		st.raw += len(plain)
		st.list.Changed = append(st.list.Changed, record.ChangedRecord{Key: []byte(key), Leaf: short})
	}
	return st, nil
}

// ending returns the Badger key of the record that c changes, and its plaintext in next, or nil if
// it was deleted.
func ending(next *access.Policy, c access.Change) (record.Key, []byte, error) {
	r := c.Put
	if r == nil {
		r = c.Delete
	}
	if r, ok := next.Get(r); ok {
		return record.EncodeRecord(r)
	}
	key, err := record.FindKey(r)
	return key, nil, err
}

// describe describes the changes for people, with the names from before them.
func (b *batch) describe(changes []access.Change) string {
	const shown = 8
	lines := b.policy.DescribeAll(changes)
	text := record.CleanText(strings.Join(lines[:min(len(lines), shown)], "; "))
	if len(text) > maxDetail {
		text = record.CleanText(text[:maxDetail]) + "…"
	}
	if more := len(changes) - shown; more > 0 {
		text += fmt.Sprintf("; and %d more", more)
	}
	return text
}

// latestAfter returns the latest time of the events after seq.
func (b *batch) latestAfter(seq uint64) (latest eventTime, err error) {
	durable, _ := b.w.s.Head()
	if seq < b.cut.Seq {
		latest = eventTime{b.cut.Seq, b.cut.Latest}
	}
	err = b.w.s.db.ReadTxn(func(txn *badger.Txn) error {
		chain := b.w.s.reader.OpenChain(txn)
		for n := max(seq, b.cut.Seq) + 1; n <= durable; n++ {
			ev, err := chain.ReadEvent(n)
			if err != nil {
				return err
			}
			latest = later(latest, eventTime{n, ev.At})
		}
		return nil
	})
	for _, t := range b.times {
		if t.seq > seq {
			latest = later(latest, t)
		}
	}
	return latest, err
}

func later(a, b eventTime) eventTime {
	if b.at.After(a.at) {
		return b
	}
	return a
}
