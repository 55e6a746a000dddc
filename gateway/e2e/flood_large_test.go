//go:build large || long

package e2e

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"latchkey/coapres/device"
	"latchkey/coapres/wire"
	"latchkey/gateway/access"
	"latchkey/gateway/store"
	"latchkey/keys"
)

// The floods of this test, and what they may cost the gateway.
const (
	floodSources = 20_000
	floodRate    = 5000
	mostGrowth   = 32 << 20 // bytes of resident memory during the flood
	mostKept     = 16 << 20 // bytes of resident memory after it
	farAway      = 60 * time.Millisecond
)

// serveApart ends the gateway of a site and serves its store from another process, on the same
// port. program is the latchkey program, and may have a command line before it that executes it. It
// returns the process ID.
func (s *site) serveApart(program ...string) int {
	s.t.Helper()
	s.stop()
	if err := s.store.Close(); err != nil {
		s.t.Fatal(err)
	}
	cmd := exec.Command(program[0], append(program[1:], "--data", s.dir, "serve", "--listen", s.addr,
		"--clock", "rtc")...)
	var log syncBuffer
	cmd.Stderr = &log
	if err := cmd.Start(); err != nil {
		s.t.Fatal(err)
	}
	ended := make(chan error, 1)
	go func() { ended <- cmd.Wait() }()
	s.t.Cleanup(func() {
		_ = cmd.Process.Signal(syscall.SIGTERM)
		kill := time.AfterFunc(20*time.Second, func() { _ = cmd.Process.Kill() })
		defer kill.Stop()
		if err := <-ended; err != nil {
			s.t.Errorf("latchkey serve: %v\n%s", err, log.String())
		}
		s.openStore() // for the check at the end
	})
	eventually(s.t, "the gateway listens", 20*time.Second, func() bool {
		select {
		case err := <-ended:
			ended <- err
			s.t.Fatalf("latchkey serve: %v\n%s", err, log.String())
		default:
		}
		return strings.Contains(log.String(), "msg=listening")
	})
	return cmd.Process.Pid
}

// residentMemory returns a process's resident memory in bytes.
func residentMemory(t *testing.T, pid int) int { return readStatus(t, pid, "VmRSS") }

// readStatus returns a size from /proc/PID/status, in bytes.
func readStatus(t *testing.T, pid int, name string) int {
	t.Helper()
	b, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", pid))
	if err != nil {
		t.Error(err)
	}
	for line := range strings.Lines(string(b)) {
		if rest, ok := strings.CutPrefix(line, name+":"); ok {
			n, err := strconv.Atoi(strings.TrimSpace(strings.TrimSuffix(strings.TrimSpace(rest), "kB")))
			if err != nil {
				t.Error(err)
			}
			return n << 10
		}
	}
	t.Errorf("process %d: no %s in its status", pid, name)
	return 0
}

// entrance is a door of a test, with its nodes and a card.
type entrance struct {
	name   string
	uid    []byte
	reader *device.Device
	lock   *device.Device
	taps   int
	worst  time.Duration
}

// tapInTime taps and checks that the door opens within a second.
func (e *entrance) tapInTime(t *testing.T) {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
	defer cancel()
	began := time.Now()
	v, err := e.reader.Scan(ctx, e.uid)
	took := time.Since(began)
	if err != nil || v.Verdict != wire.Granted || took > time.Second {
		t.Errorf("%s: tap %d: got %+v, %v after %v, want granted within 1 s", e.name, e.taps, v, err, took)
	}
	e.taps++
	e.worst = max(e.worst, took)
}

// timeRegistration starts a node with this key and returns how long it took until it was
// registered.
func timeRegistration(t *testing.T, k keys.Key, addr string) time.Duration {
	t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	d := device.New(device.Config{Name: "side-reader", Kind: keys.KindReader, Gateway: addr, Identity: k.ID,
		Secret: k.Secret})
	done := make(chan struct{})
	go func() { defer close(done); _ = d.Run(ctx) }()
	defer func() { cancel(); <-done }()
	ready, stop := context.WithTimeout(ctx, 10*time.Second)
	defer stop()
	began := time.Now()
	if err := d.Ready(ready); err != nil {
		t.Errorf("a new handshake from far away: %v", err)
	}
	return time.Since(began)
}

// runFlood runs the flood program and returns its counts. It may be called in any goroutine.
func runFlood(t *testing.T, program, to string, sources, rate int, delay time.Duration) map[string]int {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), 30*time.Second)
	defer cancel()
	cmd := exec.CommandContext(ctx, program, "-to", to, "-sources", strconv.Itoa(sources), "-rate",
		strconv.Itoa(rate), "-delay", delay.String())
	out, err := cmd.CombinedOutput()
	if err != nil {
		t.Errorf("the flood: %v\n%s", err, out)
	}
	said := map[string]int{}
	for line := range strings.Lines(string(out)) {
		name, number := "", 0
		if _, err := fmt.Sscan(line, &name, &number); err == nil {
			said[name] = number
		}
	}
	return said
}

// Twenty thousand ClientHellos from unknown addresses, five thousand a second, cost the gateway
// almost nothing. It sends no more bytes than it receives, and serves every node with a key as
// before: near or far, in an old session or a new one.
func TestLargeFlood(t *testing.T) {
	bin := t.TempDir()
	gatewayProgram, floodProgram := buildCommand(t, bin, "latchkey/cli/latchkey"),
		buildCommand(t, bin, "latchkey/bench/flood")
	s := newSite(t, store.Options{})
	doors := []*entrance{{name: "near", uid: []byte{4, 3, 2, 1}}, {name: "far", uid: []byte{4, 3, 2, 2}}}
	type pair struct{ reader, lock keys.Key }
	all := map[string]pair{}
	for _, e := range doors {
		id := s.addTarget(e.name, access.Door, time.Second)
		_, readerKey := s.enrolDevice(e.name+"-reader", keys.KindReader, id)
		_, lockKey := s.enrolDevice(e.name+"-lock", keys.KindLock, id)
		s.addPerson(e.name+"-person", e.uid, id)
		all[e.name] = pair{readerKey, lockKey}
	}
	_, sideKey := s.enrolDevice("side-reader", keys.KindReader, s.addTarget("side", access.Door, time.Second))
	pid := s.serveApart(gatewayProgram)
	addr := func(name string) string {
		if name == "near" {
			return s.addr
		}
		return newRouter(t, s.addr, farAway).addr()
	}
	for _, e := range doors {
		e.lock = s.runNode(e.name+"-lock", keys.KindLock, all[e.name].lock, addr(e.name))
		e.reader = s.runNode(e.name+"-reader", keys.KindReader, all[e.name].reader, addr(e.name))
	}
	for _, e := range doors { // the first tap may wait for the lock's state
		eventually(t, e.name+" opens", 10*time.Second, func() bool {
			v, err := e.reader.Scan(context.Background(), e.uid)
			return err == nil && v.Verdict == wire.Granted
		})
		e.tapInTime(t)
	}
	timeRegistration(t, sideKey, addr("far"))
	before := residentMemory(t, pid)

	said := make(chan map[string]int, 1)
	go func() { said <- runFlood(t, floodProgram, s.addr, floodSources, floodRate, farAway) }()
	over := make(chan struct{})
	var wg sync.WaitGroup
	during := func(f func()) {
		wg.Go(func() {
			for pace := time.NewTicker(150 * time.Millisecond); ; {
				f()
				select {
				case <-over:
					pace.Stop()
					return
				case <-pace.C:
				}
			}
		})
	}
	for _, e := range doors {
		e.taps, e.worst = 0, 0
		during(func() { e.tapInTime(t) })
	}
	var handshakes []time.Duration
	side := addr("far")
	during(func() { handshakes = append(handshakes, timeRegistration(t, sideKey, side)) })
	peak := before
	during(func() { peak = max(peak, residentMemory(t, pid)) })
	whole := <-said
	close(over)
	wg.Wait()
	after := residentMemory(t, pid)
	for end := time.Now().Add(10 * time.Second); after > before+mostKept &&
		time.Now().Before(end); after = residentMemory(t, pid) {
		time.Sleep(100 * time.Millisecond)
	}
	// 3 s are long enough to see whether the gateway retransmits.
	patient := runFlood(t, floodProgram, s.addr, 300, 300, 3*time.Second)
	t.Logf("flood: %v, and with a long wait for answers %v", whole, patient)
	t.Logf("resident: %d KiB before, %d at most, %d after", before>>10, peak>>10, after>>10)
	for _, e := range doors {
		t.Logf("%s: %d taps, %v at most", e.name, e.taps, e.worst)
		if e.taps < 5 {
			t.Errorf("%s: only %d taps during the flood", e.name, e.taps)
		}
	}
	t.Logf("new sessions from far away: %v", handshakes)
	if len(handshakes) < 2 {
		t.Errorf("only %d new sessions during the flood", len(handshakes))
	}
	for _, took := range handshakes {
		if took > 5*time.Second {
			t.Errorf("a new session took %v, want less than 5 s", took)
		}
	}
	if whole["sent"] != floodSources || whole["milliseconds"] > 2*1000*floodSources/floodRate ||
		whole["answered"] < floodSources/2 ||
		patient["answered"] != 300 {
		t.Errorf("got %v and %v: want %d hellos, about %d a second, most of them answered: otherwise this test shows little",
			whole, patient, floodSources, floodRate)
	}
	if more := max(whole["excess"], patient["excess"]); more > 0 {
		t.Errorf("the gateway sent %d bytes more to an unproven address than came from it", more)
	}
	if peak-before >= mostGrowth {
		t.Errorf("resident memory grew by %d KiB, want less than %d", (peak-before)>>10, mostGrowth>>10)
	}
	if after-before > mostKept {
		t.Errorf("after the flood resident memory is %d KiB larger than before, want %d at most",
			(after-before)>>10, mostKept>>10)
	}
}
