package store

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"latchkey/gateway/access"
	"latchkey/gateway/audit"
	"latchkey/gateway/store/record"
)

// gate can hold the writer right before it commits, and counts commits.
type gate struct {
	mu      sync.Mutex
	commits int // guarded by mu
	stall   bool
	arrived chan struct{}
	release chan struct{}
}

func newGate() *gate { return &gate{arrived: make(chan struct{}), release: make(chan struct{})} }

func (g *gate) beforeCommit() {
	g.mu.Lock()
	g.commits++
	stall := g.stall
	g.mu.Unlock()
	if stall {
		g.arrived <- struct{}{}
		<-g.release
	}
}

func (g *gate) set(stall bool) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.stall, g.commits = stall, 0
}

// runBehind runs f while the writer is held at a commit, then waits until n requests are queued,
// and releases the writer.
func (g *gate) runBehind(t *testing.T, s *Store, n int, f func()) {
	t.Helper()
	g.set(true)
	done := make(chan struct{})
	go func() {
		defer close(done)
		_, _ = s.Record(context.Background(), audit.Event{Kind: audit.EventReport, Detail: "stalled"})
	}()
	<-g.arrived
	g.set(false)
	f()
	waitFor(t, func() bool { return len(s.queue) == n })
	g.release <- struct{}{}
	<-done
}

func waitFor(t *testing.T, ok func() bool) {
	t.Helper()
	tick := time.NewTicker(time.Millisecond)
	defer tick.Stop()
	for range 10000 {
		if ok() {
			return
		}
		<-tick.C
	}
	t.Fatal("the condition did not become true in time")
}

func TestQueuedAttemptsShareOneCommit(t *testing.T) {
	g := newGate()
	s := buildHouse(t, Options{Dir: t.TempDir(), BeforeCommit: g.beforeCommit})
	var wg sync.WaitGroup
	seqs := make([]uint64, 64)
	g.runBehind(t, s, 64, func() {
		for i := range seqs {
			wg.Go(func() {
				a := scan(s, 1)
				a.Device = id(fmt.Sprint("reader", i))
				adm, err := s.Admit(context.Background(), a)
				if err != nil {
					t.Error(err)
				}
				seqs[i] = adm.Seq
			})
		}
	})
	wg.Wait()
	if g.commits != 1 {
		t.Errorf("got %d commits for 64 attempts, want 1", g.commits)
	}
	seen := map[uint64]bool{}
	for _, seq := range seqs {
		seen[seq] = true
	}
	if len(seen) != 64 || seen[0] {
		t.Errorf("got %d different events, want 64", len(seen))
	}
}

func TestSameCounterTwiceInOneBatch(t *testing.T) {
	g := newGate()
	s := buildHouse(t, Options{BeforeCommit: g.beforeCommit})
	other := s.CredentialID([]byte{9, 9, 9, 9})
	got := make(chan Admission, 3)
	admit := func(a access.Attempt) {
		adm, err := s.Admit(context.Background(), a)
		if err != nil {
			t.Error(err)
		}
		got <- adm
	}
	a, b := scan(s, 1), scan(s, 1)
	b.Credential = other
	g.runBehind(t, s, 3, func() {
		go admit(a)
		waitFor(t, func() bool { return len(s.queue) == 1 })
		go admit(a)
		waitFor(t, func() bool { return len(s.queue) == 2 })
		go admit(b)
	})
	var granted, repeats, replayed int
	for range 3 {
		switch adm := <-got; {
		case adm.Duplicate && adm.Decision.Granted:
			repeats++
		case adm.Decision.Granted:
			granted++
		case adm.Decision.Reason == access.ReasonReplayed:
			replayed++
		}
	}
	if granted != 1 || repeats != 1 || replayed != 1 || g.commits != 1 {
		t.Errorf("got %d granted, %d repeats, %d replayed in %d commits, want one each", granted, repeats,
			replayed, g.commits)
	}
}

func TestDecisionSeesThePolicyChangeBeforeItInTheBatch(t *testing.T) {
	g := newGate()
	s := buildHouse(t, Options{BeforeCommit: g.beforeCommit})
	applied := make(chan error, 1)
	admitted := make(chan Admission, 1)
	g.runBehind(t, s, 2, func() {
		go func() {
			_, err := s.Apply(context.Background(), "test", access.Change{Delete: access.Grant{ID: id("g1")}})
			applied <- err
		}()
		waitFor(t, func() bool { return len(s.queue) == 1 })
		go func() {
			adm, err := s.Admit(context.Background(), scan(s, 1))
			if err != nil {
				t.Error(err)
			}
			admitted <- adm
		}()
	})
	if err := <-applied; err != nil {
		t.Error(err)
	}
	if adm := <-admitted; adm.Decision.Granted || g.commits != 1 {
		t.Errorf("got %+v in %d commits, want denied in one", adm, g.commits)
	}
}

func TestSnapshotIsNewBeforeTheAnswer(t *testing.T) {
	s := buildHouse(t, Options{})
	for i := range 50 {
		name := fmt.Sprint("p", i)
		mustApply(t, s, putAll(access.Person{ID: id(name), Name: name})...)
		if _, ok := s.Snapshot().PersonByName(name); !ok {
			t.Fatalf("%s is not in the snapshot", name)
		}
	}
}

func TestFailedCommitEndsDeciding(t *testing.T) {
	ctx := context.Background()
	cause := errors.New("no such device")
	faults := map[string]func(s *Store, fail *bool){
		"commit refused": func(_ *Store, fail *bool) { *fail = true },
		"database gone": func(s *Store, _ *bool) {
			if err := s.db.Close(); err != nil {
				t.Fatal(err)
			}
		},
	}
	for name, fault := range faults {
		t.Run(name, func(t *testing.T) {
			var fail bool
			o := Options{Dir: t.TempDir(), Fault: func() error {
				if fail {
					return cause
				}
				return nil
			}}
			s := buildHouse(t, o)
			mustAdmit(t, s, scan(s, 1))
			seq, hash := s.Head()
			policy := s.Snapshot()
			fault(s, &fail)
			adm, err := s.Admit(ctx, scan(s, 2))
			if !errors.Is(err, ErrFailed) || adm != (Admission{}) {
				t.Errorf("got %+v, %v, want ErrFailed", adm, err)
			}
			if fail && !errors.Is(err, cause) {
				t.Errorf("got %v, want the cause in it", err)
			}
			fail = false
			_, errApply := s.Apply(ctx, "test", putAll(access.Person{ID: id("eve"), Name: "eve"})...)
			_, errRecord := s.Record(ctx, audit.Event{Kind: audit.EventStop})
			_, errEvents := s.Events(ctx, 1, 1)
			for _, err := range []error{errApply, errRecord, errEvents, s.Verify(ctx), s.Check(ctx),
				s.Failed()} {
				if !errors.Is(err, ErrFailed) {
					t.Errorf("got %v, want ErrFailed", err)
				}
			}
			if n, h := s.Head(); n != seq || h != hash || s.Snapshot() != policy {
				t.Error("the state changed although the commit failed")
			}
			_ = s.Close()
			s = mustOpen(t, o)
			if n, h := s.Head(); n != seq || h != hash {
				t.Errorf("got head %d after reopening, want %d", n, seq)
			}
			if got := mustAdmit(t, s, scan(s, 2)); !got.Decision.Granted {
				t.Errorf("got %+v, want granted", got)
			}
		})
	}
}

func TestEveryoneInAFailedBatchIsTold(t *testing.T) {
	g := newGate()
	var fail bool
	s := buildHouse(t, Options{BeforeCommit: g.beforeCommit, Fault: func() error {
		if fail {
			return errors.New("i/o error")
		}
		return nil
	}})
	errs := make(chan error, 8)
	fail = true
	g.runBehind(t, s, 8, func() {
		for i := range 8 {
			go func() {
				_, err := s.Admit(context.Background(), scan(s, uint64(i+1)))
				errs <- err
			}()
		}
	})
	for range 8 {
		if err := <-errs; !errors.Is(err, ErrFailed) {
			t.Errorf("got %v, want ErrFailed", err)
		}
	}
}

func TestCallerMayLeave(t *testing.T) {
	g := newGate()
	s := buildHouse(t, Options{BeforeCommit: g.beforeCommit})
	ctx, cancel := context.WithCancel(context.Background())
	left := make(chan error, 1)
	g.runBehind(t, s, 1, func() {
		go func() {
			_, err := s.Admit(ctx, scan(s, 1))
			left <- err
		}()
		waitFor(t, func() bool { return len(s.queue) == 1 })
		cancel()
		if err := <-left; !errors.Is(err, context.Canceled) {
			t.Errorf("got %v, want context.Canceled", err)
		}
	})
	if err := s.Check(context.Background()); err != nil {
		t.Error(err)
	}
	if got := mustAdmit(t, s, scan(s, 1)); !got.Duplicate {
		t.Errorf("got %+v, want the write to have happened", got)
	}
	if _, err := s.Admit(ctx, scan(s, 2)); !errors.Is(err, context.Canceled) {
		t.Errorf("got %v, want an ended context refused", err)
	}
}

func TestCloseAnswersEveryone(t *testing.T) {
	s := buildHouse(t, Options{})
	ctx := context.Background()
	var wg sync.WaitGroup
	for i := range 200 {
		wg.Go(func() {
			_, err := s.Admit(ctx, scan(s, uint64(i+1)))
			if err != nil && !errors.Is(err, ErrClosed) {
				t.Errorf("got %v, want nil or ErrClosed", err)
			}
		})
	}
	if err := s.Close(); err != nil {
		t.Error(err)
	}
	wg.Wait()
	if err := s.Close(); err != nil {
		t.Errorf("second close: %v", err)
	}
	for _, err := range []error{s.Check(ctx), s.Verify(ctx)} {
		if !errors.Is(err, ErrClosed) {
			t.Errorf("got %v, want ErrClosed", err)
		}
	}
}

func TestStoreRunsInABubble(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := mustOpen(t, Options{})
		mustApply(t, s, house(s)...)
		if got := mustAdmit(t, s, scan(s, 1)); !got.Decision.Granted {
			t.Errorf("got %+v, want granted", got)
		}
		time.Sleep(record.RepeatWindow + time.Second)
		if got := mustAdmit(t, s, scan(s, 1)); got.Decision.Reason != access.ReasonReplayed {
			t.Errorf("got %+v, want replayed", got)
		}
	})
}
