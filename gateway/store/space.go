package store

import (
	"errors"
	"fmt"
	"time"

	"latchkey/gateway/store/folder"
)

// space is how much the writer may still write. It asks the file system before every batch, which
// costs a microsecond.
type space struct {
	free    func() (uint64, error) // nil: there is no end of it
	min     uint64
	ballast *folder.Ballast
	stuck   func() bool // whether a memtable waits for space already

	low  bool // below min: no grants, no policy changes but restrictions
	full bool // below a quarter of it: nothing but restrictions
	none bool // not even those
}

// defaultBallast leaves 32 MiB for compactions. Tests that are not about space have less.
var defaultBallast int64 = 48 << 20

// spaceEvery is how often a writer without work looks, while it waits for space.
const spaceEvery = time.Second

// look asks, and takes what the ballast lacks. If the question itself fails the disk counts as
// full. It tells whether the answer is another than before.
func (sp *space) look() (changed bool) {
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

// restless tells whether it is to be looked again soon although nobody asks.
func (sp *space) restless() bool {
	return sp.free != nil && (sp.low || sp.ballast.Lacks())
}

// Space tells, in bytes, what the store takes on disk, what is free there, and below how much
// nothing is granted any more. Of a store in memory it is errors.ErrUnsupported.
func (s *Store) Space() (used, free, least uint64, err error) {
	if s.opts.InMemory {
		return 0, 0, 0, fmt.Errorf("store: space: %w in memory", errors.ErrUnsupported)
	}
	if free, err = s.free(); err != nil {
		return 0, 0, 0, fmt.Errorf("store: %w", err)
	}
	used, err = folder.MeasureUse(s.opts.Dir)
	if err != nil {
		return 0, 0, 0, fmt.Errorf("store: space: %w", err)
	}
	return used, free, s.opts.MinFree, nil
}

func (s *Store) free() (uint64, error) {
	if s.opts.Free != nil {
		return s.opts.Free()
	}
	return folder.MeasureFree(s.opts.Dir)
}

func (sp *space) err() error {
	return fmt.Errorf("store: %w: want %d MiB free", ErrNoSpace, sp.min>>20)
}
