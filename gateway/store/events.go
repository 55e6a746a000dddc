package store

import (
	"context"
	"fmt"
	"slices"
	"sync"
	"time"

	"github.com/dgraph-io/badger/v4"

	"latchkey/gateway/audit"
	"latchkey/gateway/store/record"
	"latchkey/keys"
)

// Record chains an event that is neither a decision nor a policy change. When it is durable, Record
// returns it with Seq, Prev, Hash and, if it was zero, At. A start event gets the policy digest. A
// receipt also becomes the outcome of the attempt in Cause, for a repetition of that attempt.
// Errors are ErrRefused, ErrNoSpace (when nearly nothing is left), ErrFailed, ErrClosed and
// ctx.Err().
func (s *Store) Record(ctx context.Context, ev audit.Event) (audit.Event, error) {
	return s.RecordQueued(ctx, ev, nil)
}

// RecordQueued is Record for callers that need not wait for the disk. queued is called once: when
// the event is refused, or when its place is fixed, so that later requests to the store see it and
// become durable after it.
func (s *Store) RecordQueued(ctx context.Context, ev audit.Event, queued func()) (audit.Event, error) {
	r := s.newRecording()
	r.event, r.queued = record.Event{Event: ev}, queued
	if err := s.submit(ctx, &r.request); err != nil {
		return audit.Event{}, err // r may still be queued
	}
	ev = r.event.Event
	r.event, r.queued = record.Event{}, nil
	s.recordings.Put(r)
	return ev, nil
}

// recording is a request of [Store.Record]. Those that were answered are used again.
type recording struct {
	request
	event record.Event
}

func (s *Store) newRecording() *recording {
	if r, ok := s.recordings.Get().(*recording); ok {
		return r
	}
	r := &recording{}
	r.run = func(b *batch) error { return b.recordEvent(&r.event) }
	return r
}

func (b *batch) recordEvent(ev *record.Event) error {
	switch ev.Kind {
	case audit.EventDecision, audit.EventPolicy, audit.EventRestore, "":
		return fmt.Errorf("store: record %q event: %w", ev.Kind, ErrRefused)
	}
	// A receipt is always kept: it belongs to a command for which there was space, such as to lock
	// a door.
	if sp := &b.w.space; sp.none || sp.full && ev.Kind != audit.EventReceipt {
		return sp.err()
	}
	if ev.At.IsZero() {
		ev.At = b.w.s.opts.Now()
	}
	ev.Digest = keys.Hash{}
	if ev.Kind == audit.EventStart {
		ev.Digest = b.head.Policy.Sum.Bytes()
	}
	if ev.Kind == audit.EventReceipt && (ev.Cause == 0 || ev.Cause > b.head.Seq) {
		return fmt.Errorf("store: receipt of event %d: there is none: %w", ev.Cause, ErrRefused)
	}
	return b.appendEvent(ev)
}

// Events returns up to limit durable events whose sequence number is from or above, oldest first. If
// events were removed, it begins at [Store.First] at the earliest.
func (s *Store) Events(ctx context.Context, from uint64, limit int) ([]audit.Event, error) {
	if err := s.checkUsable(ctx); err != nil {
		return nil, err
	}
	last, _ := s.Head()
	if from > last || limit <= 0 {
		return nil, nil
	}
	var out []audit.Event
	err := s.readIfOpen(ctx, func(txn *badger.Txn) error {
		// Here, because events that are removed from now on are still in txn.
		from = max(from, s.First())
		last = min(last, from+uint64(limit)-1)
		out = make([]audit.Event, 0, last-from+1)
		chain := s.reader.OpenChain(txn)
		for seq := from; seq <= last; seq++ {
			if err := ctx.Err(); err != nil {
				return err
			}
			ev, err := chain.ReadEvent(seq)
			if err != nil {
				return err
			}
			out = append(out, ev.Event)
		}
		return nil
	})
	if err != nil {
		return nil, err
	}
	return out, nil
}

// Newest returns the newest n events, oldest first.
func (s *Store) Newest(ctx context.Context, n int) ([]audit.Event, error) {
	last, _ := s.Head()
	if n <= 0 {
		return nil, nil
	}
	from := uint64(1)
	if last > uint64(n) {
		from = last - uint64(n) + 1
	}
	return s.Events(ctx, from, n)
}

// clockSlack is how many events in a row may be too old before EventsSince stops looking: a clock
// that was wrong for a while leaves events with wrong times between good ones.
const clockSlack = 4096

// EventsSince returns the newest events, up to limit of them, whose time is not before t, oldest
// first.
func (s *Store) EventsSince(ctx context.Context, t time.Time, limit int) ([]audit.Event, error) {
	var out []audit.Event
	seq, _ := s.Head()
	err := s.readIfOpen(ctx, func(txn *badger.Txn) error {
		chain, first := s.reader.OpenChain(txn), s.First()
		for older := 0; seq >= first && older < clockSlack && len(out) < limit; seq-- {
			if err := ctx.Err(); err != nil {
				return err
			}
			ev, err := chain.ReadEvent(seq)
			if err != nil {
				return err
			}
			if ev.At.Before(t) {
				older++
				continue
			}
			older = 0
			out = append(out, ev.Event)
		}
		return nil
	})
	if err != nil {
		return nil, err
	}
	slices.Reverse(out)
	return out, nil
}

// Changed returns a channel that is closed after the next commit with events, and when the store
// closes. Take the channel first and then read with [Store.Events], so that you miss no event.
func (s *Store) Changed() <-chan struct{} { return s.newEvents.wait() }

// PolicyChanged returns a channel that is closed after the next change of the policy, and when the
// store closes. Take the channel first and then the snapshot, so that you miss no change.
func (s *Store) PolicyChanged() <-chan struct{} { return s.newPolicy.wait() }

// bell wakes all who wait. The zero value is ready for use.
type bell struct {
	mu   sync.Mutex
	next chan struct{} // guarded by mu; closed at the next ring; nil if nobody waits
}

func (b *bell) wait() <-chan struct{} {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.next == nil {
		b.next = make(chan struct{})
	}
	return b.next
}

func (b *bell) ring() {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.next != nil {
		close(b.next)
		b.next = nil
	}
}
