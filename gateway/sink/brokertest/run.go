package brokertest

import (
	"context"
	"errors"
	"sync"
	"testing"
	"time"

	"latchkey/gateway/endpoint/badnet"
	"latchkey/gateway/sink/broker"
	"latchkey/gateway/sink/sender"
	"latchkey/gateway/sink/sinktest"
)

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

// Faults are what may happen to a server and to the ways to it, each of which cuts connections.
func (r *Rabbit) Faults(ways ...*badnet.Proxy) []Fault {
	return []Fault{
		{"the network cuts the connection", 20, func() error {
			for _, p := range ways {
				p.Cut()
			}
			return nil
		}},
		{"the server closes the connection", 35, r.CloseConnections},
		{"the server crashes and starts", 50, func() error { return errors.Join(r.Kill(), r.Start()) }},
		{"the server stops and starts", 70, func() error { return errors.Join(r.Halt(), r.Resume()) }},
	}
}

// RunFaults lets each sender send the messages 1 to n in batches of a hundred, all at the same
// time, and does each fault at its place, while batches are on their way. It fails on a permanent
// error. The senders are named by their protocol.
func RunFaults(t *testing.T, senders map[string]sender.Sender, n int, faults ...Fault) {
	t.Helper()
	start := time.Now()
	ctx, cancel := context.WithTimeout(context.Background(), 20*time.Minute)
	defer cancel()
	next := map[string]*int{}
	for name := range senders {
		first := 1
		next[name] = &first
	}
	for at := 1; at <= n; { // at is the next message of the slowest
		done := make(chan error, 1)
		if len(faults) > 0 && at*100/n >= faults[0].At {
			f := faults[0]
			faults = faults[1:]
			t.Logf("message %d: %s", at, f.Name)
			go func() { done <- f.Do() }()
		} else {
			done <- nil
		}
		var sending sync.WaitGroup
		for name, s := range senders {
			sending.Go(func() { sendSome(ctx, t, name, s, next[name], n) })
		}
		sending.Wait()
		Check(t, <-done)
		if t.Failed() {
			t.FailNow()
		}
		at = n + 1
		for _, first := range next {
			at = min(at, *first)
		}
	}
	t.Log(time.Since(start))
}

// sendSome sends up to a hundred messages from the next on, and moves next over what was taken.
func sendSome(ctx context.Context, t *testing.T, name string, s sender.Sender, next *int, n int) {
	if *next > n {
		return
	}
	taken, err := s.Send(ctx, sinktest.Make(*next, min(*next+99, n)))
	*next += taken
	switch {
	case sender.IsPermanent(err) || ctx.Err() != nil:
		t.Errorf("%s, message %d: %v", name, *next, err)
	case err != nil:
		t.Logf("%s, message %d: %v", name, *next, err)
		<-time.After(100 * time.Millisecond) // as the engine waits before it tries again
	}
}

// CheckAll fails unless the messages 1 to n are there, and each came first after those before it.
// It returns how many came twice.
func CheckAll(t *testing.T, got []broker.Delivery, n int) (twice int) {
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
