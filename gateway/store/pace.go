package store

import (
	"context"
	"time"
)

// probeEvery is how old a measurement may be. An idle store writes its head at most once in that
// time, and only when somebody asks for the pace.
const probeEvery = 30 * time.Second

// slowCommit is the duration from which a commit counts as slow. Then the measurement is repeated
// sooner, to notice when the disk is fast again. But probes take at most a tenth of the time,
// because a tap must wait for them.
const (
	slowCommit    = 250 * time.Millisecond
	probeSlowDisk = 2 * time.Second
	probeShare    = 10
)

// MeasurePace returns how long the last commit took, or how long the present one has already taken
// if that is longer. If the last commit was long ago, MeasurePace makes one that changes nothing
// and waits for it until ctx ends. It makes none when there is no space.
func (s *Store) MeasurePace(ctx context.Context) time.Duration {
	old := probeEvery
	if took := s.pace.Took(); took > slowCommit {
		old = min(max(probeSlowDisk, probeShare*took), probeEvery)
	}
	if s.pace.Idle() > old && s.CheckSpace() == nil {
		// Only its duration matters here; Failed returns an error.
		_ = s.submit(ctx, &request{between: (*writer).probe})
	}
	return max(s.pace.Took(), s.pace.Running())
}

// probe writes the head again, unchanged.
func (w *writer) probe() error {
	b := w.newBatch()
	b.putHead()
	w.finishBatch(b)
	return w.s.Failed()
}

// CheckSpace returns [ErrNoSpace] if there is too little free space to grant anything, and nil
// otherwise.
func (s *Store) CheckSpace() error {
	if s.opts.InMemory && s.opts.Free == nil {
		return nil
	}
	sp := space{min: s.opts.MinFree}
	if n, err := s.measureFree(); err != nil || n < sp.min || s.held.Load() > 0 {
		return sp.err()
	}
	return nil
}
