//go:build long

package e2e

import (
	"encoding/json"
	"fmt"
	"net/http"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"latchkey/gateway/access/sinks"
	"latchkey/gateway/admin/api"
	"latchkey/gateway/audit"
	"latchkey/gateway/sink/brokertest"
	"latchkey/gateway/store"
	"latchkey/keys"
)

// A sink of each protocol sends 100,000 events through all faults, from a gateway that is killed
// again and again, to a real server with TLS.
func TestLongFaults(t *testing.T) {
	rabbit := sync.OnceValue(func() *brokertest.Rabbit {
		r := brokertest.StartRabbit(t)
		t.Cleanup(r.Stop)
		return r
	})
	program := buildCommand(t, t.TempDir(), "latchkey/cli/latchkey")
	events := 100_000
	if testing.Short() {
		events = 20_000
	}
	for protocol, start := range map[sinks.Protocol]func(*testing.T, func() *brokertest.Rabbit) *faultyServer{
		sinks.Webhook: startHook, sinks.AMQP091: startRabbitQueue(sinks.AMQP091),
		sinks.AMQP10: startRabbitQueue(sinks.AMQP10), sinks.MQTT: startMosquitto, sinks.NATS: startNATS} {
		t.Run(string(protocol), func(t *testing.T) {
			sendThroughFaults(t, program, start(t, rabbit), events)
		})
	}
}

// sending is a gateway that sends to a faulty server.
type sending struct {
	*ownGateway
	to            *faultyServer
	kills, stops  int
	cuts          int // of the gateway's connections
	restarts      int // of the server, which cut the receiver's connection, too
	lastSeen      api.SinkStatus
	policyChanges int // only the goroutine of live uses it
}

// kill ends the gateway like a crash and starts it.
func (s *sending) kill() { s.kills++; s.endProcess(syscall.SIGKILL); s.start() }

// restart ends the gateway in order and starts it.
func (s *sending) restart() { s.stops++; s.endProcess(syscall.SIGTERM); s.start() }

// await waits until the status of the sink is as is says.
func (s *sending) await(what string, is func(api.SinkStatus) bool) api.SinkStatus {
	s.d.t.Helper()
	late := time.Now().Add(8 * time.Minute)
	for tick := time.NewTicker(5 * time.Millisecond); ; <-tick.C {
		s.lastSeen = s.readSink("home")
		if is(s.lastSeen) {
			tick.Stop()
			return s.lastSeen
		}
		s.checkAlive()
		if time.Now().After(late) {
			s.d.t.Fatalf("waited in vain: %s; the sink is %+v", what, s.lastSeen)
		}
	}
}

// awaitFailing waits until the sink fails for a reason.
func (s *sending) awaitFailing(why string) {
	s.d.t.Helper()
	s.await("it fails: "+why, func(v api.SinkStatus) bool {
		return v.State == "failing" && strings.Contains(v.Why, why)
	})
}

// awaitPause waits until the sink is paused, and checks that it is so after a restart as well.
func (s *sending) awaitPause(restart func()) {
	s.d.t.Helper()
	paused := func(v api.SinkStatus) bool { return v.State == "paused" }
	before := s.await("it is paused", paused)
	restart()
	if after := s.await("it is paused after a restart", paused); after.Why != before.Why {
		s.d.t.Errorf("it was paused for %q, and is so for %q", before.Why, after.Why)
	}
}

func (s *sending) resume() {
	s.d.t.Helper()
	if status, _, text := s.askAPI("PATCH", "/v1/sinks/home", `{"paused":false}`); status/100 != 2 {
		s.d.t.Errorf("resume: got %d %s", status, text)
	}
}

// cut cuts connections until the sink has noticed.
func (s *sending) cut() {
	s.d.t.Helper()
	failed := s.readSink("home").Failed
	s.await("a cut is noticed", func(v api.SinkStatus) bool {
		if v.Failed > failed {
			return true
		}
		s.cuts++
		s.to.proxy.Cut()
		return false
	})
}

// fault is something that happens while events are sent.
type fault struct {
	name string
	do   func()
}

func (s *sending) faults() []fault {
	to := s.to
	return []fault{
		{"the gateway is killed", s.kill},
		{"the network cuts the connection", s.cut},
		{"the gateway is killed", s.kill},
		{"the network lets nothing through, and then cuts the connection", func() {
			to.proxy.Freeze()
			<-time.After(2 * time.Second)
			s.cuts++
			to.proxy.Cut()
			to.proxy.Thaw()
		}},
		{"the gateway is stopped", s.restart},
		{"the server has no room, and the gateway is killed meanwhile", func() {
			to.fill()
			s.awaitFailing(to.full)
			s.kill()
			s.awaitFailing(to.full)
			to.empty()
		}},
		{"the server ends and starts", func() {
			s.cuts++
			s.restarts++
			to.halt()
			s.awaitFailing("")
			to.start()
		}},
		{"the gateway is killed", s.kill},
		{"the server's certificate is a wrong one, and the gateway is killed meanwhile", func() {
			to.proxy.Lead(to.wrong)
			s.cuts++
			to.proxy.Cut()
			s.awaitPause(s.kill)
			if !strings.Contains(s.lastSeen.Why, "certificate") {
				s.d.t.Errorf("paused for %q, want its certificate", s.lastSeen.Why)
			}
			to.proxy.Lead(to.addr)
			s.resume()
		}},
		{"the gateway is stopped", s.restart},
		{"the gateway's rights are revoked, and it is stopped meanwhile", func() {
			s.cuts += 2
			s.restarts += 2 // some servers learn of rights only so
			to.revoke()
			s.awaitPause(s.restart)
			to.allow()
			s.resume()
		}},
		{"the server ends, the gateway is killed, and both start", func() {
			s.cuts++
			s.restarts++
			to.halt()
			s.kill()
			s.awaitFailing("")
			to.start()
		}},
		{"the network cuts the connection", s.cut},
		{"the gateway is killed", s.kill},
	}
}

// live taps, and changes the policy, until stop is closed.
func (s *sending) live(stop chan struct{}) {
	for n := 0; ; n++ {
		select {
		case <-stop:
			return
		case <-time.After(50 * time.Millisecond):
		}
		_, _ = s.d.scan(annsCard) // the gateway may be down
		if n%10 != 0 {
			continue
		}
		if status, _, _ := s.askAPI("POST", "/v1/persons", fmt.Sprintf(`{"name":"guest%d"}`, n)); status ==
			http.StatusCreated {
			s.policyChanges++
		}
	}
}

func sendThroughFaults(t *testing.T, program string, to *faultyServer, events int) {
	d := newDoor(t, store.Options{})
	d.fillWith(events, audit.EventReport, audit.EventThrottle)
	to.sink.Name, to.sink.From = "home", "start"
	to.proxy.Freeze() // until the gateway is a process
	d.call("POST", "/v1/sinks", to.sink)
	d.handOverStore()
	to.proxy.Cut()
	to.proxy.Thaw()
	s := &sending{ownGateway: d.newOwnGateway(program), to: to}
	s.start()
	d.lock = d.runNode("front-lock", keys.KindLock, d.lockKey, d.addr)
	d.reader = d.runNode("front-reader", keys.KindReader, d.readerKey, d.addr)
	stop, alive := make(chan struct{}), sync.WaitGroup{}
	alive.Go(func() { s.live(stop) })

	began := time.Now()
	faults := s.faults()
	for i, f := range faults {
		due := uint64(events * (i + 1) / (len(faults) + 1))
		at := s.await(fmt.Sprintf("event %d is sent", due),
			func(v api.SinkStatus) bool { return v.Seq >= due }).Seq
		if at >= uint64(events) { // the server is fast, or the fault before took long
			t.Logf("only live events are left")
		}
		start := time.Now()
		f.do()
		t.Logf("event %d: %s; %v; %s %s", at, f.name, time.Since(start).Round(time.Millisecond),
			s.lastSeen.State, s.lastSeen.Why)
	}
	close(stop)
	alive.Wait()
	head := s.await("all is sent",
		func(v api.SinkStatus) bool { return v.Seq > uint64(events) && v.LagEvents == 0 }).Seq
	t.Logf("%d events in %v; the gateway was killed %d times and stopped %d times; %d changes of the policy",
		head, time.Since(began).Round(time.Second), s.kills, s.stops, s.policyChanges)
	if s.lastSeen.Dead > 0 {
		t.Errorf("%d dead letters", s.lastSeen.Dead)
	}
	s.endProcess(syscall.SIGTERM)
	got := to.read(head)
	s.checkGot(got, head)
	if to.judge != nil {
		said, err := to.judge()
		if t.Log(said); err != nil {
			t.Error(err)
		}
	}
}

// fillWith records events of these kinds, as many at a time as the store likes.
func (s *site) fillWith(n int, kinds ...audit.EventKind) {
	s.t.Helper()
	var wg sync.WaitGroup
	for range 32 {
		wg.Go(func() {
			for i := range n/32 + 1 {
				ev := audit.Event{Kind: kinds[i%len(kinds)],
					Device: audit.Named{ID: "0a1b2c3d4e", Name: "front-reader"}, Card: "e580"}
				if _, err := s.store.Record(s.t.Context(), ev); err != nil {
					s.t.Error(err)
				}
			}
		})
	}
	wg.Wait()
}

// checkGot checks what the server got: each event from 1 to the last, first in order, with its hash
// in the chain of the store; what came twice is the same; the SDK of CloudEvents takes all of it.
func (s *sending) checkGot(bodies []string, last uint64) {
	t := s.d.t
	t.Helper()
	st, err := store.Open(t.Context(), s.d.opts)
	if err != nil {
		t.Fatal(err)
	}
	defer func() {
		if err := st.Close(); err != nil {
			t.Error(err)
		}
	}()
	var first []string // of each number, from 1
	var chain []audit.Event
	kinds := map[string]int{}
	repeats, back, furthest, before := 0, 0, uint64(0), uint64(0)
	for _, body := range bodies {
		var r received
		if err := json.Unmarshal([]byte(body), &r); err != nil {
			t.Fatalf("%s: %v", body, err)
		}
		n := r.number(t)
		if n != before+1 {
			back++
			furthest = max(furthest, before+1-n)
		}
		switch before = n; {
		case n == 0 || n > uint64(len(first))+1:
			t.Fatalf("event %d came after %d", n, len(first))
		case n <= uint64(len(first)):
			if repeats++; body != first[n-1] {
				t.Fatalf("event %d came again as %s, and was %s", n, body, first[n-1])
			}
			continue
		}
		if len(chain) == 0 {
			if chain, err = st.Events(t.Context(), n, 1000); err != nil || len(chain) == 0 {
				t.Fatalf("event %d is not in the store: %v", n, err)
			}
		}
		if ev := chain[0]; ev.Seq != n || fmt.Sprintf("%x", ev.Hash[:]) != r.ChainHash ||
			r.ID != fmt.Sprintf("1.%d", n) || r.Type != "io.latchkey."+string(ev.Kind)+".v1" {
			t.Fatalf("got %s, and in the store is %+v", body, ev)
		}
		chain = chain[1:]
		first = append(first, body)
		kinds[r.Type]++
	}
	if uint64(len(first)) < last {
		t.Errorf("%d events came, want %d", len(first), last)
	}
	t.Logf("%d events came; %d of them twice, after %d steps back, of %d events at most; %v", len(first),
		repeats, back, furthest, kinds)
	// At each of these, what is not known to be taken is sent again, or what is not known to be read is
	// read again.
	if most := s.kills + s.stops + s.cuts + s.restarts; s.to.once && repeats > 0 || back > most {
		t.Errorf("events came twice after %d steps back, want at most %d", back, most)
	}
	for _, kind := range []audit.EventKind{audit.EventDecision, audit.EventReceipt, audit.EventPolicy,
		audit.EventSession, audit.EventSink, audit.EventStart, audit.EventStop} {
		if kinds["io.latchkey."+string(kind)+".v1"] == 0 {
			t.Errorf("no event of kind %s has come", kind)
		}
	}
	if all := strings.Join(first, "\n"); strings.Contains(all, `"e580"`) {
		t.Error("digits of a card were sent")
	} else {
		judgeEvents(t, all, len(first))
	}
}

// judgeEvents lets the SDK of CloudEvents validate events, one a line, and follow their hashes.
func judgeEvents(t *testing.T, lines string, n int) {
	t.Helper()
	judge := filepath.Join(t.TempDir(), "sdk")
	if out, err := exec.Command("go", "build", "-C", filepath.Join("..", "cloudevent", "peers", "sdk"), "-o",
		judge, ".").CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	cmd := exec.Command(judge)
	cmd.Stdin = strings.NewReader(lines + "\n")
	out, err := cmd.CombinedOutput()
	if want := fmt.Sprintf("%d valid, %d linked\n", n, n-1); err != nil || string(out) != want {
		t.Errorf("the SDK: got %s, %v, want %s", out, err, want)
	}
}
