package load

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os/exec"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/plgd-dev/go-coap/v3/message"
	"github.com/plgd-dev/go-coap/v3/message/codes"
	"github.com/plgd-dev/go-coap/v3/udp/coder"
)

// An open loop counts a stall in each operation that it delayed, a closed loop counts it once.
func TestStall(t *testing.T) {
	const stall = 300 * time.Millisecond
	var first atomic.Bool
	do := func() {
		if first.CompareAndSwap(false, true) {
			time.Sleep(stall)
		}
	}
	open := RunOpenLoop(t.Context(), 1, 100, 60, func(context.Context, int, time.Time) (time.Time,
		error) {
		do()
		return time.Time{}, nil
	})
	if open.Count() != 60 {
		t.Fatalf("open: %d operations, want 60", open.Count())
	}
	if got, least := open.At(80), 50e3; got < least {
		t.Errorf("open: a fifth of the operations was due in the stall of 300 ms; "+
			"80%% took %v µs or less, want at least %v", got, least)
	}
	first.Store(false)
	closed, took := RunClosedLoop(t.Context(), 1, 500*time.Millisecond,
		func(context.Context, int) error { do(); time.Sleep(time.Millisecond); return nil })
	if took < 500*time.Millisecond {
		t.Errorf("closed: took %v, want half a second", took)
	}
	if closed.Max() < float64(stall.Microseconds()) || closed.At(50) > 200e3 {
		t.Errorf("closed: longest %v µs and median %v, want the stall once", closed.Max(), closed.At(50))
	}
}

func TestFailuresStay(t *testing.T) {
	bad := errors.New("bad")
	do := func(_ context.Context, w int, due time.Time) (time.Time, error) {
		if w == 0 {
			return due.Add(2 * time.Second), bad
		}
		return due.Add(time.Millisecond), nil
	}
	l := RunOpenLoop(t.Context(), 4, 1000, 20, do)
	if n, first := l.Failed(); n != 5 || first != bad || l.Count() != 20 {
		t.Errorf("got %d of %d failed, %v; want 5 of 20, %v", n, l.Count(), first, bad)
	}
	if got := l.At(90); got < 1.99e6 || got > 2.01e6 {
		t.Errorf("90%%: got %v µs, want the 2 s of a failed one", got)
	}
	if got := l.At(50); got < 990 || got > 1010 {
		t.Errorf("50%%: got %v µs, want 1000", got)
	}
}

func TestOpenEndsWithItsContext(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	l := RunOpenLoop(ctx, 2, 1000, 10, func(context.Context, int, time.Time) (time.Time,
		error) {
		cancel()
		return time.Time{}, nil
	})
	if n, first := l.Failed(); l.Count() != 10 || n == 0 || !errors.Is(first, context.Canceled) {
		t.Errorf("got %d operations, %d failed, %v; want all ten, and those after the end failed",
			l.Count(), n, first)
	}
}

func TestCurveAndMerge(t *testing.T) {
	a, b := NewLatencies(), NewLatencies()
	for i := range 100 {
		a.Add(time.Duration(i+1)*time.Millisecond, nil)
		b.Add(time.Duration(i+101)*time.Millisecond, nil)
	}
	a.Merge(b)
	if a.Count() != 200 || a.Max() < 199e3 || a.Max() > 201e3 {
		t.Errorf("got %d up to %v µs, want 200 up to 200 ms", a.Count(), a.Max())
	}
	c := a.Curve()
	if !slices.IsSortedFunc(c, func(x, y [2]float64) int { return int(x[1] - y[1]) }) || c[0][0] != 0 ||
		c[len(c)-1][0] < 99 {
		t.Errorf("got %v, want growing times from 0 to above 99%%", c)
	}
	if a.Reset(); a.Count() != 0 || a.Curve() != nil {
		t.Error("the set is not empty after Reset")
	}
}

// A process runs on its CPU, its CPU time and memory are read, and it is ended.
func TestProcess(t *testing.T) {
	cpus, err := CPUs()
	if err != nil {
		t.Fatal(err)
	}
	last := cpus[len(cpus)-1]
	cmd := exec.Command("sh", "-c", `grep ^Cpus_allowed_list: /proc/self/status; `+
		`i=0; while [ $i -lt 300000 ]; do i=$((i+1)); done; exec sleep 60`)
	var out strings.Builder
	cmd.Stdout = &out
	p, err := Start(t.Context(), cmd, []int{last})
	if err != nil {
		t.Fatal(err)
	}
	var u Usage
	for end := time.Now().Add(30 * time.Second); u.CPU < 50*time.Millisecond; {
		if u, err = p.Usage(); err != nil {
			t.Fatal(err)
		}
		if time.Now().After(end) {
			t.Fatalf("after 30 s: %+v", u)
		}
	}
	if u.RSS < 100<<10 || u.Peak < u.RSS {
		t.Errorf("got %+v", u)
	}
	if err := p.Stop(); err != nil {
		t.Error(err)
	}
	if err := p.Stop(); err == nil {
		t.Error("the process was ended by a signal, and a second Stop returns no error")
	}
	if got := strings.Fields(out.String()); len(got) != 2 || got[1] != fmt.Sprint(last) {
		t.Errorf("got %q, want only CPU %d", out.String(), last)
	}
	if _, err := UsageOf(p.PID()); err == nil {
		t.Error("UsageOf returns figures of a process that has ended")
	}
}

func TestUsageIsReadFromProc(t *testing.T) {
	stat := "7 (odd) name) S 1 2 3 4 5 6 7 8 9 10 150 25 0 0"
	if d, err := cpuTime([]byte(stat)); d != 1750*time.Millisecond || err != nil {
		t.Errorf("got %v, %v, want 1.75 s", d, err)
	}
	if d, err := cpuTime([]byte("7 (x) S 1")); err == nil {
		t.Errorf("got %v of a short line", d)
	}
	status := []byte("Name:\tx\nVmHWM:\t   20 kB\nVmRSS:\t    12 kB\nOdd:\t5\n")
	if n, err := kilobytes(status, "VmRSS:"); n != 12<<10 || err != nil {
		t.Errorf("got %d, %v, want %d", n, err, 12<<10)
	}
	for _, name := range []string{"Odd:", "None:"} {
		if n, err := kilobytes(status, name); err == nil {
			t.Errorf("%s: got %d, want an error", name, n)
		}
	}
}

// A request whose answer is lost is retransmitted, and a late answer to another request is not
// taken for its answer.
func TestSessionRetransmits(t *testing.T) {
	c, err := net.ListenPacket("udp4", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = c.Close() }()
	go func() {
		b := make([]byte, 2048)
		for n := 0; ; n++ {
			size, from, err := c.ReadFrom(b)
			if err != nil {
				return
			}
			m := message.Message{Options: make(message.Options, 0, 8)}
			if _, err := coder.DefaultCoder.Decode(b[:size], &m); err != nil {
				t.Error(err)
				return
			}
			if n == 0 {
				continue // lost
			}
			for _, mid := range []int32{m.MessageID - 1, m.MessageID} {
				a := message.Message{Type: message.Acknowledgement, Code: codes.Changed, MessageID: mid,
					Token: m.Token, Payload: []byte{byte(m.MessageID - mid)}}
				size, err := coder.DefaultCoder.Encode(a, b[1024:])
				if err == nil {
					_, err = c.WriteTo(b[1024:1024+size], from)
				}
				if err != nil {
					t.Error(err)
				}
			}
		}
	}()
	s, err := DialPlain(c.LocalAddr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = s.Close() }()
	a, err := s.Do(Request{Code: codes.PUT, Path: "/x", Payload: []byte("y")})
	if err != nil || a.Code != codes.Changed || len(a.Payload) != 1 || a.Payload[0] != 0 || s.Repeats != 1 {
		t.Errorf("got %+v, %v after %d retransmissions, want its own 2.04 after one", a, err, s.Repeats)
	}
}
