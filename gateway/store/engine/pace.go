package engine

import (
	"sync/atomic"
	"time"
)

// Pace measures how long commits take. The zero value is ready for use.
type Pace struct {
	began atomic.Int64 // of the commit under way, Unix ns; 0: none is
	ended atomic.Int64 // of the last one
	took  atomic.Int64 // ns, of the last one
}

// Begin records that a commit begins.
func (p *Pace) Begin() { p.began.Store(time.Now().UnixNano()) }

// End records that it has ended.
func (p *Pace) End() {
	now := time.Now().UnixNano()
	p.took.Store(now - p.began.Swap(0))
	p.ended.Store(now)
}

// Took returns how long the last commit took.
func (p *Pace) Took() time.Duration { return time.Duration(p.took.Load()) }

// Running returns how long the commit under way has taken so far, or 0.
func (p *Pace) Running() time.Duration {
	if began := p.began.Load(); began != 0 {
		return time.Since(time.Unix(0, began))
	}
	return 0
}

// Idle returns the time since the last commit, or 0 while one is under way.
func (p *Pace) Idle() time.Duration {
	if p.began.Load() != 0 {
		return 0
	}
	return time.Since(time.Unix(0, p.ended.Load()))
}
