// Package sink sends the events of the chain to servers of other people: each event at least once,
// and in order. There is one goroutine a sink. It has no queue but the batch that it is sending, so
// a slow server costs nobody anything; its place in the chain is durable. The package knows no
// protocol and makes no decision about doors.
package sink

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"reflect"
	"slices"
	"sync"
	"time"

	"latchkey/gateway/access"
	"latchkey/gateway/access/sinks"
	"latchkey/gateway/audit"
	"latchkey/gateway/cloudevent"
	"latchkey/gateway/feed"
	"latchkey/gateway/sink/sender"
	"latchkey/keys"
)

// Store keeps the events, how far each sink has got, and what its server has refused. *store.Store
// is one.
type Store interface {
	Events(ctx context.Context, from uint64, limit int) ([]audit.Event, error)
	Head() (seq uint64, hash keys.Hash)
	PolicyChanged() <-chan struct{}

	SinkCursor(ctx context.Context, id access.ID) (audit.SinkCursor, bool, error)
	// MoveSinkCursor stores a cursor, and dead letters together with it.
	MoveSinkCursor(ctx context.Context, id access.ID, to audit.SinkCursor, dead ...audit.DeadLetter) error
	DeadLetters(ctx context.Context, id access.ID, limit int) ([]audit.DeadLetter, error)
	RemoveDeadLetter(ctx context.Context, id access.ID, seq uint64) error
}

// Protocol makes the sender of a sink. It opens no connection. While one sender of a sink works,
// another may be made to test the sink or to send a dead letter again.
type Protocol func(sinks.Sink) (sender.Sender, error)

// Config says what an engine works on. Only Log may be nil.
type Config struct {
	Store  Store
	Feed   *feed.Feed
	Policy func() *access.Policy
	Source func() cloudevent.Source
	// Apply changes the policy. It is called to pause a sink.
	Apply     func(ctx context.Context, actor string, changes ...access.Change) (uint64, error)
	Protocols map[sinks.Protocol]Protocol
	Log       *slog.Logger

	times times // for tests; zero: the usual ones
}

// Engine sends events to all sinks of the policy. Its methods are safe for concurrent use.
type Engine struct {
	cfg Config

	mu     sync.Mutex
	states map[access.ID]*state // guarded by mu; of each sink that Run knows

	workers map[access.ID]*worker // of sinks that are not paused; only Run uses it
	over    chan struct{}         // a worker has ended by itself; buffered
}

// New returns an engine. It sends nothing before Run.
func New(cfg Config) *Engine {
	if cfg.Log == nil {
		cfg.Log = slog.New(slog.DiscardHandler)
	}
	cfg.times = cfg.times.withDefaults()
	return &Engine{cfg: cfg, states: map[access.ID]*state{}, workers: map[access.ID]*worker{},
		over: make(chan struct{}, 1)}
}

// Run sends until ctx ends, and follows changes of the policy. It returns nil after every sink's
// cursor is stored.
func (e *Engine) Run(ctx context.Context) error {
	var seen *access.Policy
	for {
		// Take the channel first, then look, so that nothing in between is missed.
		changed := e.cfg.Store.PolicyChanged()
		if p := e.cfg.Policy(); p != seen {
			seen = p
			e.follow(ctx, sinks.Kind.In(p))
		}
		select {
		case <-changed:
		case <-e.over:
			seen = nil
		case <-ctx.Done():
			for _, w := range e.workers {
				w.stop()
			}
			return nil
		}
	}
}

// follow starts and stops workers, so that each sink that is not paused has one that knows the
// present record.
func (e *Engine) follow(ctx context.Context, want map[access.ID]sinks.Sink) {
	e.mu.Lock()
	maps.DeleteFunc(e.states, func(id access.ID, _ *state) bool { _, is := want[id]; return !is })
	e.mu.Unlock()
	outdated := maps.Clone(e.workers)
	maps.DeleteFunc(outdated, func(id access.ID, w *worker) bool {
		return reflect.DeepEqual(want[id], w.sink) && !w.hasEnded()
	})
	for _, w := range outdated {
		w.cancel() // all of them, before waiting for one
	}
	for id, w := range outdated {
		w.stop()
		delete(e.workers, id)
	}
	for id, r := range want {
		st, moved := e.adopt(r)
		if _, runs := e.workers[id]; !runs && r.Paused == "" {
			e.workers[id] = e.startWorker(ctx, r, st, moved)
		}
	}
}

// adopt returns the state of a sink with its present record, and whether somebody moved its
// beginning since it was last seen.
func (e *Engine) adopt(r sinks.Sink) (st *state, moved bool) {
	e.mu.Lock()
	st = e.states[r.ID]
	if st == nil {
		st = &state{sink: r, failed: map[Failure]uint64{}}
		e.states[r.ID] = st
	}
	e.mu.Unlock()
	st.mu.Lock()
	defer st.mu.Unlock()
	st.moved = st.moved || st.sink.From != r.From
	st.sink = r
	if moved = st.moved && r.Paused == ""; moved {
		st.moved = false
	}
	return st, moved
}

// find returns the present record of a sink.
func (e *Engine) find(id access.ID) (sinks.Sink, error) {
	r, ok := sinks.Kind.In(e.cfg.Policy())[id]
	if !ok {
		return sinks.Sink{}, fmt.Errorf("sink %s: %w", id, access.ErrNotFound)
	}
	return r, nil
}

// newSender makes the sender of a sink.
func (e *Engine) newSender(r sinks.Sink) (sender.Sender, error) {
	protocol := e.cfg.Protocols[r.Protocol]
	if protocol == nil {
		return nil, sender.Halted("this gateway does not speak %s", r.Protocol)
	}
	return protocol(r)
}

// Test sends one event of type io.latchkey.test.v1, which is not in the chain. nil means that the
// server has taken it. The sink need not be in the policy.
func (e *Engine) Test(ctx context.Context, r sinks.Sink) error {
	from := e.cfg.Source()
	id, body, err := cloudevent.EncodeTest(from, time.Now())
	if err != nil {
		return err
	}
	return e.sendOnce(ctx, r, sender.Message{ID: id, Kind: "test", Site: string(from.Site), Body: body})
}

// Retry sends the event of a dead letter again, and removes the letter when the server has taken
// it. It fails with [access.ErrNotFound] if there is no such sink or dead letter.
func (e *Engine) Retry(ctx context.Context, id access.ID, seq uint64) error {
	r, err := e.find(id)
	if err != nil {
		return err
	}
	dead, err := e.cfg.Store.DeadLetters(ctx, id, maxDead+1)
	if err != nil {
		return err
	}
	if !slices.ContainsFunc(dead, func(d audit.DeadLetter) bool { return d.Seq == seq }) {
		return fmt.Errorf("sink: dead letter %d: %w", seq, access.ErrNotFound)
	}
	events, err := e.cfg.Store.Events(ctx, seq, 1)
	if err == nil && len(events) == 1 && events[0].Seq != seq {
		return fmt.Errorf("sink: event %d: %w: it was removed, because events are kept for a time", seq,
			access.ErrNotFound)
	}
	if err != nil || len(events) != 1 {
		return cmp.Or(err, fmt.Errorf("sink: event %d: %w", seq, access.ErrNotFound))
	}
	m, err := makeMessage(events[0], r, e.cfg.Source())
	if err != nil {
		return err
	}
	if err := e.sendOnce(ctx, r, m); err != nil {
		return err
	}
	if err := e.cfg.Store.RemoveDeadLetter(ctx, id, seq); err != nil {
		return err
	}
	e.mu.Lock()
	st := e.states[id]
	e.mu.Unlock()
	if st != nil {
		st.update(func() { st.dead = max(st.dead-1, 0) })
	}
	return nil
}

// sendOnce sends one message over a connection of its own.
func (e *Engine) sendOnce(ctx context.Context, r sinks.Sink, m sender.Message) error {
	ctx, cancel := context.WithTimeout(ctx, e.cfg.times.send)
	defer cancel()
	s, err := e.newSender(r)
	if err != nil {
		return fmt.Errorf("sink: %s", clean(err.Error()))
	}
	defer func() { _ = s.Close() }()
	taken, err := s.Send(ctx, []sender.Message{m})
	switch {
	case err != nil:
		return fmt.Errorf("sink: %s", clean(err.Error()))
	case taken != 1:
		return errors.New("sink: the server did not take the event")
	}
	return nil
}

// makeMessage returns an event as it is sent to a sink.
func makeMessage(ev audit.Event, r sinks.Sink, from cloudevent.Source) (sender.Message, error) {
	body, err := cloudevent.Encode(ev, from, cloudevent.Options{WithNames: !r.IDsOnly})
	return sender.Message{ID: from.ID(ev.Seq), Seq: ev.Seq, Kind: string(ev.Kind), Site: string(from.Site),
		Target: string(ev.Target.ID), Body: body}, err
}
