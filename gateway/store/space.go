package store

import (
	"errors"
	"fmt"
	"time"

	"latchkey/gateway/store/folder"
)

// space knows how much the writer may still write. It asks the file system before every batch,
// which takes a microsecond.
type space struct {
	free    func() (uint64, error) // nil: unlimited
	min     uint64
	ballast *folder.Ballast
	stuck   func() bool // whether a memtable waits for space

	low  bool // below min: nothing is granted, and only restrictions change the policy
	full bool // below a quarter of min: only restrictions
	none bool // not even restrictions
}

// defaultBallast leaves 32 MiB for compactions. Tests that are not about space use less.
var defaultBallast int64 = 48 << 20

// spaceEvery is how often an idle writer checks the free space while it waits for space.
const spaceEvery = time.Second

// measure asks for the free space and fills the ballast. If that fails the disk counts as full. It
// tells whether the answer has changed.
func (sp *space) measure() (changed bool) {
	if sp.free == nil {
		return false
	}
	n, err := sp.free()
	if err == nil && sp.ballast.Fill(n, sp.min) {
		n, err = sp.free()
	}
	low, none := sp.low, sp.none
	sp.low, sp.full = err != nil || n < sp.min, err != nil || n < sp.min/4
	sp.none = sp.full && (err != nil || n+uint64(sp.ballast.Has()) < folder.BallastKept ||
		sp.stuck != nil && sp.stuck())
	return sp.low != low || sp.none != none
}

// mustMeasureAgain tells whether to look again soon, even without a request.
func (sp *space) mustMeasureAgain() bool {
	return sp.free != nil && (sp.low || sp.ballast.Lacks())
}

// Space returns, in bytes, what the store takes on disk, what is free there, and the least free
// space at which doors still open. For a store in memory the error is errors.ErrUnsupported.
func (s *Store) Space() (used, free, least uint64, err error) {
	if s.opts.InMemory {
		return 0, 0, 0, fmt.Errorf("store: space: %w in memory", errors.ErrUnsupported)
	}
	if free, err = s.measureFree(); err != nil {
		return 0, 0, 0, fmt.Errorf("store: %w", err)
	}
	used, err = folder.MeasureUse(s.opts.Dir)
	if err != nil {
		return 0, 0, 0, fmt.Errorf("store: space: %w", err)
	}
	return used, free, s.opts.MinFree, nil
}

func (s *Store) measureFree() (uint64, error) {
	if s.opts.Free != nil {
		return s.opts.Free()
	}
	return folder.MeasureFree(s.opts.Dir)
}

func (sp *space) err() error {
	return fmt.Errorf("store: %w: want %d MiB free", ErrNoSpace, sp.min>>20)
}
