package sink

import (
	"context"
	"time"

	"latchkey/gateway/access/sinks"
	"latchkey/gateway/audit"
	"latchkey/gateway/cloudevent"
	"latchkey/gateway/feed"
	"latchkey/gateway/sink/sender"
	"latchkey/keys"
)

// worker sends the events of one sink until it is stopped or the sink is paused. Its fields are for
// its goroutine, but for sink, which nobody changes, and state.
type worker struct {
	e      *Engine
	sink   sinks.Sink
	from   cloudevent.Source
	state  *state
	cancel context.CancelFunc
	ended  chan struct{}

	sender sender.Sender
	events *feed.Cursor
	cursor audit.SinkCursor // up to where all is done
	stored time.Time        // when the cursor was last stored
	moved  bool             // the cursor is not stored
	behind bool             // the cursor could not be stored, and that is logged

	tries    int       // to send the first message of the batch
	failures int       // in a row
	failedAt time.Time // when it last failed, or when the worker began
	took     bool      // the server has taken something since
}

func (e *Engine) startWorker(ctx context.Context, r sinks.Sink, st *state, moved bool) *worker {
	ctx, cancel := context.WithCancel(ctx)
	w := &worker{e: e, sink: r, from: e.cfg.Source(), state: st, cancel: cancel, ended: make(chan struct{}),
		failedAt: time.Now()}
	go func() {
		defer cancel()
		w.run(ctx, moved)
		close(w.ended)
		select {
		case e.over <- struct{}{}:
		default: // Run will look anyway
		}
	}()
	return w
}

// hasEnded tells whether the worker has ended by itself.
func (w *worker) hasEnded() bool {
	select {
	case <-w.ended:
		return true
	default:
		return false
	}
}

// stop ends the worker and waits for it.
func (w *worker) stop() {
	w.cancel()
	<-w.ended
}

func (w *worker) run(ctx context.Context, moved bool) {
	if err := w.begin(ctx, moved); err != nil {
		w.giveUp(ctx, err)
		return
	}
	defer func() {
		if w.sender != nil {
			_ = w.sender.Close()
		}
		w.store()
	}()
	for {
		events, err := w.next(ctx)
		if err != nil {
			w.giveUp(ctx, err)
			return
		}
		if !w.pass(ctx, events) {
			return
		}
	}
}

// giveUp reports that the chain cannot be read, and waits a while before another worker tries.
func (w *worker) giveUp(ctx context.Context, err error) {
	if ctx.Err() != nil {
		return
	}
	w.e.cfg.Log.Error("sink stopped", "sink", w.sink.Name, "err", err)
	w.state.update(func() { w.state.set(Failing, clean(err.Error())) })
	select {
	case <-time.After(w.e.cfg.times.first):
	case <-ctx.Done():
	}
}

// begin finds the place in the chain. moved says that somebody has moved the beginning.
func (w *worker) begin(ctx context.Context, moved bool) error {
	st := w.e.cfg.Store
	cursor, known, err := st.SinkCursor(ctx, w.sink.ID)
	if err != nil {
		return err
	}
	dead, err := st.DeadLetters(ctx, w.sink.ID, maxDead+1)
	if err != nil {
		return err
	}
	if known && !moved && cursor.Seq+1 >= w.sink.From { // else it goes on where somebody let it begin
		same, err := w.isInChain(ctx, cursor)
		if err != nil {
			return err
		}
		if !same {
			w.e.cfg.Log.Warn("the chain is not the one that a sink was sent: it is sent again from "+
				"its beginning", "sink", w.sink.Name, "event", cursor.Seq)
			moved = true
		}
	}
	if !known || moved || cursor.Seq+1 < w.sink.From {
		cursor.Seq, cursor.Hash = w.sink.From-1, keys.Hash{}
		w.moved = moved
	}
	cursor.Epoch = w.from.Epoch
	w.cursor, w.events = cursor, w.e.cfg.Feed.Events(cursor.Seq+1)
	w.state.update(func() {
		w.state.cursor, w.state.dead = cursor, len(dead)
		w.state.set(Waiting, "")
	})
	return nil
}

// isInChain tells whether the event of a cursor is in the chain as it was then. After a restore it
// may not be.
func (w *worker) isInChain(ctx context.Context, c audit.SinkCursor) (bool, error) {
	if c.Hash == (keys.Hash{}) {
		return true, nil
	}
	events, err := w.e.cfg.Store.Events(ctx, c.Seq, 1)
	return len(events) == 1 && events[0].Hash == c.Hash, err
}

// next waits for events. Meanwhile it stores the cursor and notes a recovery.
func (w *worker) next(ctx context.Context) ([]audit.Event, error) {
	for {
		wait, cancel := ctx, context.CancelFunc(func() {})
		if due := w.tend(); !due.IsZero() {
			wait, cancel = context.WithDeadline(ctx, due)
		}
		news, err := w.events.Next(wait)
		over := wait.Err() != nil && ctx.Err() == nil
		cancel()
		if err == nil || !over {
			return news.Events, err
		}
	}
}

// sleep waits for a time, or until ctx ends. It does what next does meanwhile.
func (w *worker) sleep(ctx context.Context, d time.Duration) {
	end := time.Now().Add(d)
	for {
		due := w.tend()
		if due.IsZero() || due.After(end) {
			due = end
		}
		t := time.NewTimer(time.Until(due))
		select {
		case <-t.C:
			if !time.Now().Before(end) {
				return
			}
		case <-ctx.Done():
			t.Stop()
			return
		}
	}
}

// tend stores the cursor and notes a recovery if it is time for that, and returns when it is time
// next; zero: never.
func (w *worker) tend() (due time.Time) {
	now, times := time.Now(), w.e.cfg.times
	if w.moved {
		if due = w.stored.Add(times.store); !due.After(now) {
			w.store()
			if due = (time.Time{}); w.moved { // it failed
				due = now.Add(times.store)
			}
		}
	}
	if w.cursor.Failing.IsZero() || !w.took {
		return due
	}
	over := w.failedAt.Add(times.quiet)
	if over.After(now) {
		if due.IsZero() || over.Before(due) {
			due = over
		}
		return due
	}
	w.noteRecovery()
	return due
}

// store writes the cursor if it has moved.
func (w *worker) store() {
	if w.moved && w.write(w.cursor) {
		w.moved = false
	}
}

// write writes a cursor, with dead letters, and tells whether it did.
func (w *worker) write(to audit.SinkCursor, dead ...audit.DeadLetter) bool {
	// Not bound to the worker's context: the place is stored when that ends.
	ctx, cancel := context.WithTimeout(context.Background(), storeWithin)
	defer cancel()
	w.stored = time.Now()
	err := w.e.cfg.Store.MoveSinkCursor(ctx, w.sink.ID, to, dead...)
	if err != nil && !w.behind {
		w.e.cfg.Log.Error("place of a sink not stored: events are sent twice after a restart",
			"sink", w.sink.Name, "event", to.Seq, "err", err)
	}
	w.behind = err != nil
	return err == nil
}
