package store

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"runtime"
	"time"

	"github.com/dgraph-io/badger/v4"

	"latchkey/gateway/access"
	"latchkey/gateway/store/record"
)

// maxBatch is how many requests go into one synced transaction at most.
const maxBatch = 256

// request is one wish to write. The writer calls run until it returns something else than
// errNoRoom, and answers once.
type request struct {
	run     func(*batch) error  // changes the batch only if it returns nil
	between func(*writer) error // instead of run: needs the writer alone, with nothing uncommitted
	// Called once whatever is submitted later comes after it, or it is refused; nil: nobody asks.
	queued  func()
	done    chan error // buffered
	durable time.Time  // for the caller, after done
}

// answer is what a request gets once its batch is durable.
type answer struct {
	to  *request
	err error // why it changed nothing
}

// errNoRoom asks the writer to commit what it has and to run the request again on an empty batch.
var errNoRoom = errors.New("no room in this batch")

// submit hands a request to the writer and waits. When ctx ends while it is queued or being
// written, the caller gets ctx.Err() and the write may still happen.
func (s *Store) submit(ctx context.Context, r *request) error {
	r.done = make(chan error, 1)
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
	if err := s.usable(ctx); err != nil {
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

// writer is the one goroutine that writes. What it holds is nobody else's, and as of the last
// commit; signIns and addrs are as of the batch in the making, and after one that fails there is no
// other.
type writer struct {
	s        *Store
	leaf     record.Leafer
	space    space
	counters *record.Counters
	moved    map[access.ID]struct{}        // whose counters are not on disk as they are
	leaves   map[access.ID]record.Sum      // of the counter records on disk
	signIns  map[record.Key]time.Time      // when each expires
	addrs    map[record.Key]netip.AddrPort // where each device was last
	held     []heldChange                  // restrictions that act and are not kept yet, oldest first
	spare    *batch                        // an empty one; or nil
}

func (w *writer) run() {
	defer close(w.s.gone)
	for {
		var again <-chan time.Time
		if w.space.restless() {
			again = time.After(spaceEvery)
		}
		select {
		case <-again:
			w.lookAtSpace()
		case <-w.s.quit:
			w.refuseQueued()
			return
		case r := <-w.s.queue:
			for r != nil {
				r = w.batch(r)
			}
		}
	}
}

// lookAtSpace finds out what may be written now, and keeps the restrictions that wait for it.
func (w *writer) lookAtSpace() {
	if w.space.look() {
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
	if len(w.held) > 0 { // they are not in the policy that a batch decides by
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

// batch runs first and whatever is queued behind it, commits it all at once, and answers. It
// returns a request that must begin the next batch, or nil.
func (w *writer) batch(first *request) (next *request) {
	if err := w.s.Failed(); err != nil {
		first.done <- err
		return nil
	}
	if first.between != nil {
		first.done <- first.between(w)
		return nil
	}
	w.lookAtSpace()
	b := w.newBatch()
	if err := b.checkpoint(); err != nil {
		first.done <- err
		return nil
	}
	for r := first; r != nil; {
		if r.between != nil || !b.roomy() {
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
			r = w.another()
		}
	}
	w.finish(b)
	return next
}

// another returns what is queued, or nil. It gives way once first: callers that were just answered
// come back within one batch.
func (w *writer) another() *request {
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

// finish makes the batch durable, shows it to readers, and only then answers.
func (w *writer) finish(b *batch) {
	err := w.commit(b)
	if err != nil {
		w.s.diskFailed(err)
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
	b.done()
}

func (w *writer) commit(b *batch) error {
	if len(b.writes) == 0 {
		return nil
	}
	h, err := b.head.Encode()
	if err != nil {
		return err
	}
	b.put(record.HeadKey, h)
	w.s.pace.begin()
	defer w.s.pace.end()
	if w.s.opts.BeforeCommit != nil {
		w.s.opts.BeforeCommit()
	}
	if w.s.opts.Fault != nil {
		if err := w.s.opts.Fault(); err != nil {
			return err
		}
	}
	return w.s.db.Update(func(txn *badger.Txn) error {
		for key, plain := range b.writes {
			if plain == nil {
				err = txn.Delete([]byte(key))
			} else {
				err = txn.Set([]byte(key), w.s.sealer.Seal(string(key), plain))
			}
			if err != nil {
				return fmt.Errorf("%v: %w", key, err)
			}
		}
		return nil
	})
}

// settle makes counters that an event moved the writer's own.
func (w *writer) settle(over *record.Counters) {
	for device, c := range over.ByDevice {
		w.counters.Put(device, c)
		w.moved[device] = struct{}{}
	}
}

// adopt makes a committed batch the state.
func (w *writer) adopt(b *batch) {
	for device, leaf := range b.leaves {
		w.leaves[device] = leaf
		delete(w.moved, device)
	}
	w.settle(b.counters)
	next := &published{policy: b.policy, kept: b.policy, head: b.head}
	if len(w.held) > 0 {
		next.policy = w.s.now.Load().policy
	}
	before := w.s.now.Swap(next)
	if b.head.Seq != before.head.Seq {
		w.s.signal()
	}
}
