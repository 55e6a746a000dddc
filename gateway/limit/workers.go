package limit

import "sync"

// keepIdle is how many goroutines of [Workers] may wait for work.
const keepIdle = 32

// Workers runs functions in goroutines. It uses them again, because a new goroutine must first grow
// its stack. The zero value is ready for use. Its methods are safe for concurrent use.
type Workers struct {
	mu   sync.Mutex
	over bool          // guarded by mu; nothing may begin any more
	idle []chan func() // guarded by mu; of the goroutines that wait for work, the newest last

	busy sync.WaitGroup // functions
	all  sync.WaitGroup // goroutines
}

// Go runs f in a goroutine and returns true. After End it returns false.
func (w *Workers) Go(f func()) bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.over {
		return false
	}
	w.busy.Add(1)
	if n := len(w.idle) - 1; n >= 0 {
		w.idle[n] <- f // has room for one
		w.idle = w.idle[:n]
		return true
	}
	w.all.Add(1)
	go w.work(f)
	return true
}

// work runs f and what comes after it.
func (w *Workers) work(f func()) {
	defer w.all.Done()
	work := make(chan func(), 1)
	for f != nil {
		f()
		w.busy.Done()
		f = w.next(work)
	}
}

// next waits for the next function. It returns nil when the goroutine must end.
func (w *Workers) next(work chan func()) func() {
	w.mu.Lock()
	if w.over || len(w.idle) >= keepIdle {
		w.mu.Unlock()
		return nil
	}
	w.idle = append(w.idle, work)
	w.mu.Unlock()
	return <-work
}

// End makes Go return false from now on. Twice is harmless.
func (w *Workers) End() {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.over = true
	for _, work := range w.idle {
		close(work)
	}
	w.idle = nil
}

// Wait waits until all functions have returned and, after End, all goroutines have ended.
func (w *Workers) Wait() {
	w.busy.Wait()
	w.mu.Lock()
	over := w.over
	w.mu.Unlock()
	if over {
		w.all.Wait()
	}
}
