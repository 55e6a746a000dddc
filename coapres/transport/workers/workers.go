// Package workers runs jobs that may wait, in as many goroutines as wait and one more. It does not
// know what a job does.
//
// Jobs are short, mostly: one goroutine then does one after the other, and what they have to send is
// sent at once. But any job may wait for seconds, and nothing else may wait for it. Go does not tell
// when a goroutine waits. So before a worker begins a job while there is more to do, it wakes another
// worker. That one runs as soon as there is a processor: on one processor when the first one waits or
// has done everything. No timer is involved.
package workers

import (
	"runtime"
	"slices"
	"sync"
)

// Pool runs jobs of one kind.
type Pool[J any] struct {
	most int // jobs that run or wait for a worker
	keep int // workers that may stay when there is nothing to do
	run  func(J)
	done func() // called when a worker has run a job and no other waits, or another one waits long

	mu     sync.Mutex
	jobs   []J             // guarded by mu; a ring, its size a power of two
	first  int             // guarded by mu
	count  int             // guarded by mu; in jobs
	all    int             // guarded by mu; jobs that run or wait for a worker
	due    bool            // guarded by mu; a job was run since done was called
	woken  bool            // guarded by mu; a worker is about to look for a job
	idle   []chan struct{} // guarded by mu; the last one waits for the shortest time
	unused int             // guarded by mu; the first ones of idle, that Trim would end
	closed bool            // guarded by mu
}

// New returns a Pool without workers. run runs a job. done is called soon after the last of several
// jobs. At most this number of jobs run at once. Of the workers that have nothing to do so many are
// kept, because a new one has to grow its stack first; the others end.
func New[J any](most, keep int, run func(J), done func()) *Pool[J] {
	return &Pool[J]{most: most, keep: keep, run: run, done: done}
}

// Do lets a worker run a job. It never waits: if too many jobs run already, or after Close, the job
// is refused.
func (p *Pool[J]) Do(j J) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.closed || p.all >= p.most {
		return false
	}
	p.all++
	p.push(j)
	p.wake()
	return true
}

// Trim ends the workers that had nothing to do since the last call.
func (p *Pool[J]) Trim() {
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, c := range p.idle[:p.unused] {
		close(c)
	}
	p.idle = slices.Delete(p.idle, 0, p.unused)
	p.unused = len(p.idle)
}

// Close lets the workers end that have nothing to do. Jobs that run or wait are not affected.
func (p *Pool[J]) Close() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.closed = true
	for _, c := range p.idle {
		close(c)
	}
	p.idle, p.unused = nil, 0
}

// wake makes sure that a worker is about to look for a job. The caller holds p.mu.
func (p *Pool[J]) wake() {
	if p.woken {
		return
	}
	p.woken = true
	if n := len(p.idle); n > 0 {
		c := p.idle[n-1]
		p.idle, p.unused = p.idle[:n-1], min(p.unused, n-1)
		c <- struct{}{} // it has room for one
		return
	}
	go p.work()
}

// work is one worker.
func (p *Pool[J]) work() {
	var wait chan struct{}
	yielded := false
	p.mu.Lock()
	p.woken = false
	for {
		for p.count > 0 {
			j := p.pop()
			if p.count > 0 || p.due { // j may wait, but neither the others nor what is due
				p.wake()
			}
			p.mu.Unlock()
			p.run(j)
			p.mu.Lock()
			p.all--
			p.due, yielded = true, false
		}
		if p.due && p.all > 0 && !yielded {
			// Jobs that have waited for the same thing, a write to disk, end together. What they
			// have to send should leave together too.
			yielded = true
			p.mu.Unlock()
			runtime.Gosched()
			p.mu.Lock()
			continue
		}
		if p.due {
			p.due = false
			p.mu.Unlock()
			p.done()
			p.mu.Lock()
			continue
		}
		if p.closed || len(p.idle) >= p.keep {
			p.mu.Unlock()
			return
		}
		if wait == nil {
			wait = make(chan struct{}, 1)
		}
		p.idle = append(p.idle, wait)
		p.mu.Unlock()
		if _, ok := <-wait; !ok {
			return
		}
		p.mu.Lock()
		p.woken = false
	}
}

// push adds a job to the ring. The caller holds p.mu.
func (p *Pool[J]) push(j J) {
	if p.count == len(p.jobs) {
		grown := make([]J, max(2*len(p.jobs), 8))
		for i := range p.count {
			grown[i] = p.jobs[(p.first+i)%len(p.jobs)]
		}
		p.jobs, p.first = grown, 0
	}
	p.jobs[(p.first+p.count)%len(p.jobs)] = j
	p.count++
}

// pop takes the oldest job. The caller holds p.mu.
func (p *Pool[J]) pop() (j J) {
	var none J
	j, p.jobs[p.first] = p.jobs[p.first], none
	p.first = (p.first + 1) % len(p.jobs)
	p.count--
	return j
}
