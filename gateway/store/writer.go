package store

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"runtime"
	"time"

	"latchkey/gateway/access"
	"latchkey/gateway/audit"
	"latchkey/gateway/store/record"
)

// maxBatch is the largest number of requests in one synced transaction.
const maxBatch = 256

// request is one request to write. The writer calls run until it does not return errNoRoom, and
// answers once.
type request struct {
	run     func(*batch) error  // changes the batch only if it returns nil
	between func(*writer) error // instead of run: runs between two batches, with nothing uncommitted
	// Called once: when the request is refused, or when all later requests come after it. May be
	// nil.
	queued  func()
	done    chan error // buffered
	durable time.Time  // for the caller, after done
}

// answer is what a request gets when its batch is durable.
type answer struct {
	to  *request
	err error // not nil: why it changed nothing
}

// errNoRoom asks the writer to commit the batch and to run the request again on an empty one.
var errNoRoom = errors.New("no room in this batch")

// submit queues a request for the writer and waits for the answer. If ctx ends meanwhile, the
// caller gets ctx.Err() and the write may still happen.
func (s *Store) submit(ctx context.Context, r *request) error {
	if r.done == nil {
		r.done = make(chan error, 1)
	}
	err := s.enqueue(ctx, r)
	if r.queued != nil {
		r.queued()
	}
	if err != nil {
		return err
	}
	select {
	case err := <-r.done:
		return err
	case <-ctx.Done():
		return ctx.Err()
	case <-s.gone:
	}
	select {
	case err := <-r.done:
		return err
	default: // queued after the writer's last look
		return fmt.Errorf("store: %w", ErrClosed)
	}
}

func (s *Store) enqueue(ctx context.Context, r *request) error {
	if err := s.checkUsable(ctx); err != nil {
		return err
	}
	select {
	case s.queue <- r:
		return nil
	case <-s.quit:
		return fmt.Errorf("store: %w", ErrClosed)
	case <-ctx.Done():
		return ctx.Err()
	}
}

// writer is the state of the one goroutine that writes. No other goroutine uses it. It is the state
// after the last commit. Only signIns, addrs, cursors and dead already include the open batch; if
// that fails there is no next batch.
type writer struct {
	s        *Store
	leaf     record.Leafer
	space    space
	counters *record.Counters
	moved    map[access.ID]struct{}        // devices whose counter records on disk are out of date
	leaves   map[access.ID]record.Sum      // of the counter records on disk
	signIns  map[record.Key]time.Time      // when each expires
	addrs    map[record.Key]netip.AddrPort // the last address of each device
	cursors  map[record.Key]audit.SinkCursor
	dead     map[record.Key]bool // keys of the dead letters of all sinks
	held     []heldChange        // restrictions that are in effect but not durable, oldest first
	spare    *batch              // an empty one; or nil
}

func (w *writer) run() {
	defer close(w.s.gone)
	for {
		var again <-chan time.Time
		if w.space.mustMeasureAgain() {
			again = time.After(spaceEvery)
		}
		select {
		case <-again:
			w.measureSpace()
		case <-w.s.quit:
			w.refuseQueued()
			return
		case r := <-w.s.queue:
			for r != nil {
				r = w.runBatch(r)
			}
		}
	}
}

// measureSpace finds out what may be written now, and makes held restrictions durable if there is
// space.
func (w *writer) measureSpace() {
	if w.space.measure() {
		switch {
		case w.space.none:
			w.s.log.Error("no space: restrictions act in memory only", "err", w.space.err())
		case w.space.low:
			w.s.log.Error("space low: doors stay shut, restrictions go on", "err", w.space.err())
		default:
			w.s.log.Info("space again")
		}
	}
	w.keepHeld()
	if len(w.held) > 0 { // a batch decides by the durable policy, which lacks them
		w.space.low, w.space.full, w.space.none = true, true, true
	}
	w.s.held.Store(int64(len(w.held)))
}

func (w *writer) refuseQueued() {
	for {
		select {
		case r := <-w.s.queue:
			r.done <- fmt.Errorf("store: %w", ErrClosed)
		default:
			return
		}
	}
}

// runBatch runs first and all that is queued behind it, commits them together, and answers. It
// returns a request that must begin the next batch, or nil.
func (w *writer) runBatch(first *request) (next *request) {
	if err := w.s.Failed(); err != nil {
		first.done <- err
		return nil
	}
	if first.between != nil {
		first.done <- first.between(w)
		return nil
	}
	w.measureSpace()
	b := w.newBatch()
	if err := b.checkpoint(w.s.opts.checkpoint); err != nil {
		first.done <- err
		return nil
	}
	for r := first; r != nil; {
		if r.between != nil || !b.hasRoom() {
			next = r
			break
		}
		err := r.run(b)
		if err == errNoRoom && len(b.writes) > 0 || errors.Is(err, ErrNoSpace) && r != first {
			next = r // there may be space since the batch began
			break
		}
		if err == errNoRoom {
			err = fmt.Errorf("store: %w: split it into smaller changes", ErrTooBig)
		}
		b.answers = append(b.answers, answer{r, err})
		r = nil
		if len(b.answers) < maxBatch {
			r = w.nextQueued()
		}
	}
	w.finishBatch(b)
	return next
}

// nextQueued returns the next queued request, or nil. It first yields to other goroutines once, so
// that callers that were just answered can come back within the same batch.
func (w *writer) nextQueued() *request {
	for range 2 {
		select {
		case r := <-w.s.queue:
			return r
		default:
			runtime.Gosched()
		}
	}
	return nil
}

// finishBatch makes the batch durable, shows it to readers, and only then answers.
func (w *writer) finishBatch(b *batch) {
	err := w.commit(b)
	if err != nil {
		w.s.failDisk(err)
		err = w.s.Failed()
	} else if len(b.writes) > 0 {
		w.adopt(b)
	}
	now := w.s.opts.Now()
	for _, a := range b.answers {
		a.to.durable = now
		if a.err == nil {
			a.err = err
		}
		a.to.done <- a.err
	}
	b.recycle()
}

func (w *writer) commit(b *batch) error {
	if len(b.writes) == 0 {
		return nil
	}
	b.putHead()
	w.s.pace.Begin()
	defer w.s.pace.End()
	if w.s.opts.BeforeCommit != nil {
		w.s.opts.BeforeCommit()
	}
	if w.s.opts.Fault != nil {
		if err := w.s.opts.Fault(); err != nil {
			return err
		}
	}
	b.sealed.Reset()
	for key, plain := range b.writes {
		if plain == nil {
			b.sealed.Delete(string(key))
		} else {
			b.sealed.Put(w.s.sealer, string(key), plain)
		}
	}
	return w.s.db.Write(&b.sealed)
}

// mergeCounters copies counters that moved into the writer's own.
func (w *writer) mergeCounters(over *record.Counters) {
	for device, c := range over.ByDevice {
		w.counters.Put(device, c)
		w.moved[device] = struct{}{}
	}
}

// adopt makes a committed batch the present state.
func (w *writer) adopt(b *batch) {
	for device, leaf := range b.leaves {
		w.leaves[device] = leaf
		delete(w.moved, device)
	}
	w.mergeCounters(b.counters)
	next := &published{policy: b.policy, kept: b.policy, head: b.head, cut: b.cut}
	if len(w.held) > 0 {
		next.policy = w.s.now.Load().policy
	}
	if f := w.s.onChange.Load(); f != nil {
		for _, c := range b.changes {
			(*f)(c)
		}
	}
	before := w.s.now.Swap(next)
	if b.head.Seq != before.head.Seq {
		w.s.newEvents.ring()
	}
	if next.policy != before.policy {
		w.s.newPolicy.ring()
	}
}
