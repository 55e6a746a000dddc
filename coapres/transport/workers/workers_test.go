package workers

import (
	"runtime"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// Of jobs that wait, none delays another one or what others have to send, on one processor too.
func TestNothingWaitsForAJobThatWaits(t *testing.T) {
	for _, processors := range []int{1, 2} {
		for place := range 8 {
			defer runtime.GOMAXPROCS(runtime.GOMAXPROCS(processors))
			synctest.Test(t, func(t *testing.T) {
				release := make(chan struct{})
				var run, sent atomic.Int32
				var ready atomic.Int32
				p := New(100, 2, func(waits bool) {
					if waits {
						<-release
					}
					run.Add(1)
					ready.Add(1)
				}, func() { sent.Add(ready.Swap(0)) })
				for i := range 8 {
					if !p.Do(i == place || i == 7) {
						t.Fatal("refused")
					}
				}
				synctest.Wait()
				want := int32(6)
				if place == 7 {
					want = 7
				}
				if run.Load() != want || sent.Load() != want {
					t.Errorf("%d processors, job %d waits: %d are run and %d sent, want %d", processors, place,
						run.Load(), sent.Load(), want)
				}
				close(release)
				synctest.Wait()
				if run.Load() != 8 || sent.Load() != 8 {
					t.Errorf("at the end %d are run and %d sent, want 8", run.Load(), sent.Load())
				}
				p.Close()
			})
		}
	}
}

// Short jobs that come together are run by one worker, and sent together.
func TestShortJobsAreSentTogether(t *testing.T) {
	defer runtime.GOMAXPROCS(runtime.GOMAXPROCS(1))
	synctest.Test(t, func(t *testing.T) {
		sent := 0
		p := New(100, 2, func(int) {}, func() { sent++ })
		for i := range 32 {
			p.Do(i)
		}
		synctest.Wait()
		if sent != 1 {
			t.Errorf("sent %d times, want once", sent)
		}
		p.Close()
	})
}

// Jobs that have waited for the same thing are sent together.
func TestJobsThatWaitedAreSentTogether(t *testing.T) {
	defer runtime.GOMAXPROCS(runtime.GOMAXPROCS(1))
	synctest.Test(t, func(t *testing.T) {
		const jobs = 64
		release := make(chan struct{})
		sent := 0
		p := New(100, 2, func(int) { <-release }, func() { sent++ })
		for i := range jobs {
			p.Do(i)
		}
		synctest.Wait()
		close(release)
		synctest.Wait()
		if sent == 0 || sent > jobs/2 { // mostly once; a slow machine may interrupt them
			t.Errorf("sent %d times for %d jobs that ended together", sent, jobs)
		}
		p.Close()
	})
}

// More jobs than the bound are refused, and then there is room again. Few workers stay.
func TestBound(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const most, keep = 10, 3
		release := make(chan struct{})
		var running atomic.Int32
		p := New(most, keep, func(int) {
			running.Add(1)
			<-release
			running.Add(-1)
		}, func() {})
		for i := range 3 * most {
			if got, want := p.Do(i), i < most; got != want {
				t.Errorf("job %d: accepted %v, want %v", i, got, want)
			}
		}
		synctest.Wait()
		if got := running.Load(); got != most {
			t.Errorf("%d jobs run, want %d", got, most)
		}
		if p.Do(0) {
			t.Error("accepted one more while all run")
		}
		close(release)
		synctest.Wait()
		if got := p.countIdle(); got != keep {
			t.Errorf("got %d workers without work, want %d", got, keep)
		}
		if !p.Do(0) {
			t.Error("refused a job when none runs")
		}
		synctest.Wait()
		p.Close() // synctest fails if a worker is left
		if p.Do(0) {
			t.Error("accepted a job after Close")
		}
	})
}

// Workers that nobody needs any more end when they were not needed between two calls of Trim. One
// more than there were jobs may have been woken.
func TestTrim(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var release chan struct{}
		p := New(100, 20, func(int) { <-release }, func() {})
		for round, jobs := range []int{10, 4, 4, 1, 0, 3, 0} {
			release = make(chan struct{})
			for range jobs {
				p.Do(0)
			}
			synctest.Wait()
			close(release)
			synctest.Wait()
			p.Trim()
			synctest.Wait()
			if got := p.countIdle(); got < jobs || got > jobs+1 || jobs == 0 && got > 0 {
				t.Errorf("round %d: got %d workers after %d jobs at once", round, got, jobs)
			}
		}
		p.Close() // synctest fails if a worker is left
	})
}

func (p *Pool[J]) countIdle() int {
	p.mu.Lock()
	defer p.mu.Unlock()
	return len(p.idle)
}

// Many callers at once: each job that is accepted is run once, and sent.
func TestManyCallers(t *testing.T) {
	const callers, each = 8, 2000
	var accepted, ran, ready, sent atomic.Int64
	p := New(64, 2, func(int) {
		if ran.Add(1)%97 == 0 {
			time.Sleep(time.Millisecond)
		}
		ready.Add(1)
	}, func() { sent.Add(ready.Swap(0)) })
	defer p.Close()
	var wg sync.WaitGroup
	for range callers {
		wg.Go(func() {
			for i := range each {
				if p.Do(i) {
					accepted.Add(1)
				} else {
					runtime.Gosched()
				}
			}
		})
	}
	wg.Wait()
	for end := time.Now().Add(time.Minute); sent.Load() < accepted.Load(); time.Sleep(time.Millisecond) {
		if time.Now().After(end) {
			t.Fatalf("%d accepted, %d run, %d sent within a minute", accepted.Load(), ran.Load(), sent.Load())
		}
	}
	if ran.Load() != accepted.Load() || accepted.Load() == 0 {
		t.Errorf("%d accepted, %d run", accepted.Load(), ran.Load())
	}
}
