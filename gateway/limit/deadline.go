package limit

import (
	"context"
	"sync"
	"sync/atomic"
	"time"
)

// Deadline is a context that ends at a time and not before. It is for a wait that every request
// makes: [context.WithDeadline] makes ten objects, and a Deadline is used again after Release.
// [Deadlines.Begin] makes one.
type Deadline struct {
	from  *Deadlines
	at    time.Time
	ended atomic.Bool
	done  chan struct{}
	timer *time.Timer // nil: it had ended when it began
}

var _ context.Context = (*Deadline)(nil)

// Deadlines makes deadlines and keeps those that were released. The zero value is ready for use. Its
// methods are safe for concurrent use.
type Deadlines struct {
	free sync.Pool // of those that have not ended, so that their channels are still open
}

// Begin returns a context that ends at that time; one in the past has ended when Begin returns. The
// caller releases it.
func (ds *Deadlines) Begin(at time.Time) *Deadline {
	wait := time.Until(at)
	if wait <= 0 {
		d := &Deadline{at: at, done: make(chan struct{})}
		d.end()
		return d
	}
	if d, ok := ds.free.Get().(*Deadline); ok {
		d.at = at
		d.timer.Reset(wait)
		return d
	}
	d := &Deadline{from: ds, at: at, done: make(chan struct{})}
	d.timer = time.AfterFunc(wait, d.end)
	return d
}

func (d *Deadline) end() {
	d.ended.Store(true)
	close(d.done)
}

// Release stops the timer. Nothing may use d, or a context that was derived from it, any more.
func (d *Deadline) Release() {
	if d.timer != nil && d.timer.Stop() { // it has not ended, and will not
		d.from.free.Put(d)
	}
}

// Deadline implements [context.Context].
func (d *Deadline) Deadline() (time.Time, bool) { return d.at, true }

// Done implements [context.Context].
func (d *Deadline) Done() <-chan struct{} { return d.done }

// Err implements [context.Context].
func (d *Deadline) Err() error {
	if d.ended.Load() {
		return context.DeadlineExceeded
	}
	return nil
}

// Value implements [context.Context]: there are none.
func (d *Deadline) Value(any) any { return nil }
