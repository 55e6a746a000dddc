package sink

import (
	"context"
	"errors"
	"fmt"
	"reflect"
	"time"

	"latchkey/gateway/access"
	"latchkey/gateway/access/edit"
	"latchkey/gateway/audit"
	"latchkey/gateway/sink/sender"
	"latchkey/keys"
)

// Bounds of a batch.
const (
	maxBatch = 100
	maxBytes = 256 << 10
	// maxDead is how many dead letters a sink may have. Beyond that its server wants none of our
	// events, and the sink is paused.
	maxDead = 1000
)

// batch is messages with the hashes of their events.
type batch struct {
	messages []sender.Message
	hashes   []keys.Hash
}

// fill makes a batch of the first of these events, and returns how many of them are done with when
// the batch is: also those that the sink does not want. An error is about the event behind these.
func (w *worker) fill(events []audit.Event) (b batch, done int, err error) {
	bytes := 0
	for _, ev := range events {
		if w.sink.Wants(ev.Kind) {
			var m sender.Message
			if m, err = makeMessage(ev, w.sink, w.from); err != nil {
				break
			}
			if bytes += len(m.Body); len(b.messages) == maxBatch || bytes > maxBytes && len(b.messages) > 0 {
				break
			}
			b.messages, b.hashes = append(b.messages, m), append(b.hashes, ev.Hash)
		}
		done++
	}
	return b, done, err
}

// pass sends events. It returns false if the worker must end.
func (w *worker) pass(ctx context.Context, events []audit.Event) bool {
	for len(events) > 0 {
		b, done, err := w.fill(events)
		if !w.send(ctx, b) {
			return false
		}
		if done > 0 {
			w.advance(events[done-1].Seq, events[done-1].Hash)
		}
		if events = events[done:]; err != nil { // nobody can send it
			if !w.bury(ctx, events[0].Seq, events[0].Hash, err.Error()) {
				return false
			}
			events = events[1:]
		}
		w.tend()
	}
	return ctx.Err() == nil
}

// advance moves the cursor to an event.
func (w *worker) advance(seq uint64, hash keys.Hash) {
	if seq == w.cursor.Seq {
		return
	}
	w.cursor.Seq, w.cursor.Hash, w.moved, w.tries = seq, hash, true, 0
	w.state.update(func() { w.state.cursor = w.cursor })
}

// send sends a batch until the server has taken or refused each message of it. It returns false if
// the worker must end: it was stopped, or the sink is paused.
func (w *worker) send(ctx context.Context, b batch) bool {
	for len(b.messages) > 0 {
		if w.failures == 0 {
			w.state.update(func() { w.state.set(Sending, "") })
		}
		taken, err := w.trySend(ctx, b.messages)
		if taken > 0 {
			w.advance(b.messages[taken-1].Seq, b.hashes[taken-1])
			w.took, w.failures = true, 0
			w.state.update(func() { w.state.taken += uint64(taken) })
			b.messages, b.hashes = b.messages[taken:], b.hashes[taken:]
		}
		if ctx.Err() != nil {
			return false
		}
		var refusal *sender.Refusal
		var halt *sender.Halt
		switch {
		case err == nil: // all of it, or some: go on
		case errors.As(err, &halt):
			if w.pause(ctx, halt.Why) {
				return false
			}
		case errors.As(err, &refusal) && len(b.messages) > 0:
			m := b.messages[0]
			if !w.bury(ctx, m.Seq, b.hashes[0], refusal.Why) {
				return false
			}
			if m.Kind != string(audit.EventSink) { // else an event about a sink would make another
				w.noteFailure(fmt.Sprintf("event %d refused: %s", m.Seq, refusal.Why))
			}
			b.messages, b.hashes, w.failures = b.messages[1:], b.hashes[1:], 0
		default:
			w.backOff(ctx, err)
		}
		if ctx.Err() != nil {
			return false
		}
	}
	w.state.update(func() { w.state.set(Waiting, "") })
	return true
}

// trySend sends messages once. It makes the sender first if there is none.
func (w *worker) trySend(ctx context.Context, messages []sender.Message) (taken int, err error) {
	if w.sender == nil {
		if w.sender, err = w.e.newSender(w.sink); err != nil {
			w.sender = nil
			return 0, sender.Halted("%v", err)
		}
	}
	bound, cancel := context.WithTimeout(ctx, w.e.cfg.times.send)
	defer cancel()
	w.tries++
	taken, err = w.sender.Send(bound, messages)
	taken = min(max(taken, 0), len(messages))
	switch {
	case taken > 0 && bound.Err() != nil && ctx.Err() == nil:
		err = nil // slow, but it takes them
	case err == nil && taken < len(messages):
		err = fmt.Errorf("the server has taken %d of %d events", taken, len(messages))
	}
	return taken, err
}

// bury makes a dead letter of an event, and moves the cursor over it. It returns false if the
// worker must end.
func (w *worker) bury(ctx context.Context, seq uint64, hash keys.Hash, why string) bool {
	letter := audit.DeadLetter{Seq: seq, Why: clean(why), Tries: max(w.tries, 1), At: time.Now().UTC()}
	full := false
	w.state.update(func() {
		w.state.failed[Refused]++
		w.state.noteError(letter.Why)
		full = w.state.dead >= maxDead
	})
	// Before the cursor moves: what cannot be kept as a dead letter is not passed by.
	many := fmt.Sprintf("the server has refused %d events, the last for: %s", maxDead, letter.Why)
	for full && ctx.Err() == nil && !w.pause(ctx, many) {
	}
	if full {
		return false
	}
	to := w.cursor
	to.Seq, to.Hash = seq, hash
	for !w.write(to, letter) {
		w.backOff(ctx, errors.New("a dead letter cannot be stored"))
		if ctx.Err() != nil {
			return false
		}
		to.Failing = w.cursor.Failing
	}
	w.advance(seq, hash)
	w.moved = false
	w.state.update(func() { w.state.dead++ })
	return true
}

// pause pauses the sink, in whose record it says why. It returns false if that could not be
// written; then it has waited a while.
func (w *worker) pause(ctx context.Context, why string) bool {
	why = clean(why)
	w.state.update(func() { w.state.failed[Halted]++; w.state.noteError(why) })
	r, err := w.e.find(w.sink.ID)
	if err != nil || !reflect.DeepEqual(r, w.sink) {
		return true // removed or changed meanwhile: a new worker knows
	}
	r.Paused = why
	apply, cancel := context.WithTimeout(ctx, storeWithin)
	defer cancel()
	_, err = w.e.cfg.Apply(apply, actor, access.Change{Put: r})
	if ctx.Err() != nil {
		return true // stopped; the change may be written or not
	}
	if err != nil && !errors.Is(err, edit.ErrNotDurable) {
		w.e.cfg.Log.Error("sink not paused", "sink", w.sink.Name, "reason", why, "err", err)
		w.backOff(ctx, errors.New(why))
		return false
	}
	w.e.cfg.Log.Error("sink paused", "sink", w.sink.Name, "reason", why)
	return true
}

// actor is who pauses a sink, in events.
const actor = "gateway"
