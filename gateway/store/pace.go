package store

import (
	"context"
	"sync/atomic"
	"time"

	"latchkey/gateway/store/record"
)

// pace is how long commits take.
type pace struct {
	began atomic.Int64 // of the commit under way, Unix ns; 0: none is
	ended atomic.Int64 // of the last one
	took  atomic.Int64 // ns, of the last one
}

func (p *pace) begin() { p.began.Store(time.Now().UnixNano()) }

func (p *pace) end() {
	now := time.Now().UnixNano()
	p.took.Store(now - p.began.Swap(0))
	p.ended.Store(now)
}

// probeEvery is how old a measurement may be. An idle store writes its head once in that time at
// most, and only when somebody asks.
const probeEvery = 30 * time.Second

// slowCommit is from what on a measurement is repeated sooner, so that a disk that is quick again
// is soon known to be; but what is measured takes a tenth of the time at most, because a tap waits
// behind it.
const (
	slowCommit    = 250 * time.Millisecond
	probeSlowDisk = 2 * time.Second
	probeShare    = 10
)

// Pace tells how long the last commit took, or the one under way takes already if that is longer.
// When the last was long ago it makes one, which changes nothing, and waits for it until ctx ends;
// not when there is no space for it.
func (s *Store) Pace(ctx context.Context) time.Duration {
	old := probeEvery
	if took := time.Duration(s.pace.took.Load()); took > slowCommit {
		old = min(max(probeSlowDisk, probeShare*took), probeEvery)
	}
	if p := &s.pace; p.began.Load() == 0 && time.Since(time.Unix(0, p.ended.Load())) > old && s.Low() == nil {
		// How long it takes is the answer, and Failed says the rest.
		_ = s.submit(ctx, &request{between: (*writer).probe})
	}
	took := time.Duration(s.pace.took.Load())
	if began := s.pace.began.Load(); began != 0 {
		took = max(took, time.Since(time.Unix(0, began)))
	}
	return took
}

// probe writes the head as it is.
func (w *writer) probe() error {
	b := w.newBatch()
	h, err := b.head.Encode()
	if err != nil {
		return err
	}
	b.put(record.HeadKey, h)
	w.finish(b)
	return w.s.Failed()
}

// Low returns nil, or why nothing is granted now: an error that is [ErrNoSpace].
func (s *Store) Low() error {
	if s.opts.InMemory && s.opts.Free == nil {
		return nil
	}
	sp := space{min: s.opts.MinFree}
	if n, err := s.free(); err != nil || n < sp.min || s.held.Load() > 0 {
		return sp.err()
	}
	return nil
}
