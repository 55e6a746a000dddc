package e2e

import (
	"context"
	"errors"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/plgd-dev/go-coap/v3/message/codes"

	"latchkey/coapres"
	"latchkey/coapres/device"
	"latchkey/coapres/wire"
	"latchkey/gateway/audit"
	"latchkey/gateway/store"
	"latchkey/keys"
)

// A reader taps without a pause, and each commit takes longer than a command may wait. Each tap
// gets an answer while the reader waits for it, the reader keeps its session, and the door stays
// shut.
func TestTapsOnASlowDiskAreAnswered(t *testing.T) {
	t.Parallel()
	const commit = coapres.CommandWindow + 100*time.Millisecond
	var slow atomic.Bool
	d := newDoor(t, store.Options{BeforeCommit: func() {
		if slow.Load() {
			time.Sleep(commit) // stands for a slow disk
		}
	}})
	d.connectNodes(d.addr, d.addr)
	d.tapUntilGranted("on a quick disk", time.Now())
	slow.Store(true)
	defer slow.Store(false)
	moves := d.lock.Moves()
	for i := range 5 {
		began := time.Now()
		v, err := d.scan(annsCard)
		took := time.Since(began)
		t.Logf("tap %d: %v %v after %v", i, v, err, took.Round(time.Millisecond))
		var code *device.CodeError
		switch {
		case errors.As(err, &code) && code.Code == codes.ServiceUnavailable:
		case err != nil:
			t.Errorf("tap %d: got %v after %v, want an answer", i, err, took)
		case v.Verdict != wire.Retry:
			t.Errorf("tap %d: got %v, want retry", i, v)
		case took < commit:
			t.Errorf("tap %d: got %v after %v, which is before its decision can be durable", i, v, took)
		}
	}
	if n := d.reader.Sessions(); n != 1 {
		t.Errorf("got %d sessions, want the reader's first to continue", n)
	}
	slow.Store(false)
	eventually(t, "the outcome of every tap is recorded", 10*time.Second,
		func() bool { return d.countReceipts() == 1+5 })
	if n := d.lock.Moves() - moves; n != 0 {
		t.Errorf("the lock moved %d times, want no command that is late", n)
	}
	d.tapUntilOpen(t)
}

// countReceipts returns the number of events with an outcome of a command.
func (s *site) countReceipts() (n int) {
	for _, ev := range s.listEvents() {
		if ev.Kind == audit.EventReceipt {
			n++
		}
	}
	return n
}

// The outcome of a tap waits for a commit of something else. The next tap's decision is then
// written in the same commit as the outcome: a tap never waits for more than the commit under way
// and its own.
func TestOutcomeAndNextDecisionShareACommit(t *testing.T) {
	t.Parallel()
	// If arm is set, the next commit is a decision: queue an event behind it, and hold that event's
	// commit.
	var arm atomic.Bool
	var hold atomic.Bool
	var commits, moved atomic.Int64 // moved: the number of commits when the lock last moved
	held, release := make(chan struct{}), make(chan struct{})
	var d *door
	d = newDoor(t, store.Options{BeforeCommit: func() {
		commits.Add(1)
		switch {
		case arm.CompareAndSwap(true, false):
			queued := make(chan struct{})
			go func() {
				_, _ = d.store.RecordQueued(context.Background(), audit.Event{Kind: audit.EventReport,
					Detail: "of something else"}, func() { close(queued) })
			}()
			<-queued
			hold.Store(true)
		case hold.CompareAndSwap(true, false):
			select {
			case held <- struct{}{}:
				<-release
			case <-t.Context().Done():
			}
		}
	}})
	d.lock = d.runDevice(device.Config{Name: "front-lock", Kind: keys.KindLock, Changed: func(st wire.State) {
		if st.On {
			moved.Store(commits.Load())
		}
	}}, d.lockKey, d.addr)
	d.awaitLockState()
	c := d.dialReader(d.addr)
	// The gateway records these things in goroutines of their own.
	eventually(t, "the nodes' first use of their keys and the lock's registration are recorded", 5*time.Second,
		func() bool {
			k := d.store.Snapshot().Keys
			return k[d.lockKey.ID].State == keys.Active && k[d.readerKey.ID].State == keys.Active &&
				slices.ContainsFunc(d.listEvents(), func(ev audit.Event) bool { return ev.Kind == audit.EventSession })
		})
	releaseCommit := sync.OnceFunc(func() { close(release) })
	t.Cleanup(releaseCommit) // before the site ends
	// Repeat until the second scan reaches the store in time, which this test cannot observe.
	for n := uint64(1); ; n += 2 {
		eventually(t, "the outcomes of the earlier scans are recorded", 5*time.Second,
			func() bool { return d.countReceipts() == int(n-1) })
		first, second := c.fetchEcho(), c.fetchEcho()
		arm.Store(true)
		if code, v := c.scan(n, annsCard, first, 0); code != codes.Changed || v.Verdict != wire.Granted {
			t.Fatalf("got %v, %+v, want granted", code, v)
		}
		<-held
		sent := time.Now()
		done := make(chan wire.Verdict, 1)
		go func() {
			_, v := c.scan(n+1, annsCard, second, 0)
			done <- v
		}()
		eventually(t, "the gateway has read the second scan", 5*time.Second,
			func() bool { return d.lastHeard(d.readerID).After(sent) })
		<-time.After(time.Duration(n) * 20 * time.Millisecond)
		before := commits.Load()
		release <- struct{}{}
		if v := <-done; v.Verdict != wire.Granted {
			t.Fatalf("the second scan: got %+v, want granted", v)
		}
		if got := moved.Load() - before; got == 1 {
			return
		} else if n > 8 { // more scans than the burst of a reader
			t.Fatalf("got %d commits until the second decision is durable, want one", got)
		}
	}
}
