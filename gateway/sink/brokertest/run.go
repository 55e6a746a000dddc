package brokertest

import (
	"context"
	"errors"
	"sync"
	"testing"
	"time"

	"latchkey/gateway/endpoint/badnet"
	"latchkey/gateway/sink/sender"
	"latchkey/gateway/sink/sinktest"
)

// Shared returns a function that starts a server when it is first called, for all tests of a
// package, and one that stops it.
func Shared() (use func(*testing.T) *Rabbit, stop func()) {
	var once sync.Once
	var r *Rabbit
	use = func(t *testing.T) *Rabbit {
		t.Helper()
		once.Do(func() { r = StartRabbit(t) })
		if r == nil {
			t.Fatal("the server did not start")
		}
		return r
	}
	return use, func() {
		if r != nil {
			r.Stop()
		}
	}
}

// Check ends the test if there is an error.
func Check(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// MustSend sends a batch and fails unless all of it is taken.
func MustSend(t *testing.T, s sender.Sender, all []sender.Message) {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	if n, err := s.Send(ctx, all); n != len(all) || err != nil {
		t.Fatalf("got %d taken and %v, want all %d", n, err, len(all))
	}
}

// MustHalt fails unless the server refuses the messages for good.
func MustHalt(t *testing.T, s sender.Sender, all []sender.Message) {
	t.Helper()
	n, err := s.Send(context.Background(), all)
	var halt *sender.Halt
	if n != 0 || !errors.As(err, &halt) {
		t.Fatalf("got %d taken and %v, want a halt", n, err)
	}
	t.Log(err)
}

// UntilHalt sends until the server refuses for good. Nothing may be taken.
func UntilHalt(t *testing.T, s sender.Sender, all []sender.Message) {
	t.Helper()
	late := time.Now().Add(time.Minute)
	for {
		n, err := s.Send(context.Background(), all)
		var halt *sender.Halt
		switch {
		case errors.As(err, &halt):
			t.Log(err)
			return
		case n > 0 || err == nil || time.Now().After(late):
			t.Fatalf("got %d taken and %v, want a halt", n, err)
		}
	}
}

// MustWait fails unless nothing is taken for a reason that is temporary, and returns it.
func MustWait(t *testing.T, s sender.Sender, within time.Duration, all []sender.Message) error {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), within)
	defer cancel()
	n, err := s.Send(ctx, all)
	if n != 0 || err == nil || sender.IsPermanent(err) {
		t.Fatalf("got %d taken and %v, want none for now", n, err)
	}
	return err
}

// Fault is done to a run, at a hundredth of it.
type Fault struct {
	Name string
	At   int
	Do   func() error
}

// Faults are what may happen to a server and to the way to it, each of which cuts connections.
func (r *Rabbit) Faults(p *badnet.Proxy) []Fault {
	return []Fault{
		{"the network cuts the connection", 20, func() error { p.Cut(); return nil }},
		{"the server closes the connection", 35, func() error { return r.Control("close_all_connections", "test") }},
		{"the server crashes and starts", 50, func() error { return errors.Join(r.Kill(), r.Start()) }},
		{"the server stops and starts", 70, func() error { r.Halt(); return r.Start() }},
	}
}

// RunFaults sends the messages 1 to n in batches of a hundred, and does each fault at its place,
// while a batch is on its way. It fails on a permanent error.
func RunFaults(t *testing.T, s sender.Sender, n int, faults ...Fault) {
	t.Helper()
	start := time.Now()
	ctx, cancel := context.WithTimeout(context.Background(), 20*time.Minute)
	defer cancel()
	for at := 1; at <= n; {
		done := make(chan error, 1)
		if len(faults) > 0 && at*100/n >= faults[0].At {
			f := faults[0]
			faults = faults[1:]
			t.Logf("message %d: %s", at, f.Name)
			go func() { done <- f.Do() }()
		} else {
			done <- nil
		}
		taken, err := s.Send(ctx, sinktest.Make(at, min(at+99, n)))
		at += taken
		Check(t, <-done)
		if sender.IsPermanent(err) || ctx.Err() != nil {
			t.Fatalf("message %d: %v", at, err)
		}
		if err != nil {
			t.Logf("message %d: %v", at, err)
			<-time.After(100 * time.Millisecond) // as the engine waits before it tries again
		}
	}
	t.Log(time.Since(start))
}

// CheckAll fails unless the messages 1 to n are there, and each came first after those before it.
// It returns how many came twice.
func CheckAll(t *testing.T, got []Delivery, n int) (twice int) {
	t.Helper()
	var r sinktest.Receipt
	for _, d := range got {
		Check(t, r.Add(d.ID))
	}
	if r.Last() != n {
		t.Fatalf("got the messages up to %d, want %d", r.Last(), n)
	}
	t.Logf("%d messages, %d of them twice", n, r.Repeats)
	return r.Repeats
}

// CheckOnce fails unless a queue holds the messages 1 to n in order, each once.
func (r *Rabbit) CheckOnce(t *testing.T, queue string, n int) {
	t.Helper()
	got, err := r.Read(queue)
	Check(t, err)
	if twice := CheckAll(t, got, n); twice > 0 {
		t.Fatalf("%d messages came twice", twice)
	}
}
