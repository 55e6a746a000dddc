package e2e

import (
	"bytes"
	"context"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"latchkey/coapres/wire"
	"latchkey/gateway/access/sinks"
	"latchkey/gateway/admin/api"
	"latchkey/gateway/audit"
	"latchkey/gateway/faultdisk"
	"latchkey/gateway/homeassistant/hatest"
	"latchkey/gateway/mqtt/mosquitto"
	"latchkey/gateway/store"
	"latchkey/keys"
)

// receiver is a webhook that keeps all that it gets.
type receiver struct {
	*httptest.Server
	t    *testing.T
	slow time.Duration // before each answer

	mu    sync.Mutex
	hangs chan struct{} // guarded by mu; until it is closed, no request is answered
	bytes bytes.Buffer  // guarded by mu; headers and bodies
	taken []received    // guarded by mu; as they came, also twice
}

// received is what a receiver reads of an event.
type received struct {
	ID, Type, Sequence, ChainHash, PrevHash string
}

func startReceiver(t *testing.T) *receiver {
	c := &receiver{t: t, hangs: make(chan struct{})}
	c.answer()
	c.Server = httptest.NewServer(http.HandlerFunc(c.take))
	t.Cleanup(c.Close)
	return c
}

// hang makes it answer no request until answer is called.
func (c *receiver) hang() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.hangs = make(chan struct{})
}

func (c *receiver) answer() {
	c.mu.Lock()
	defer c.mu.Unlock()
	close(c.hangs)
}

func (c *receiver) take(w http.ResponseWriter, r *http.Request) {
	body, err := io.ReadAll(r.Body)
	if err != nil {
		return // the gateway was killed
	}
	var all []received
	if body[0] == '[' {
		err = json.Unmarshal(body, &all)
	} else {
		all = make([]received, 1)
		err = json.Unmarshal(body, &all[0])
	}
	if err != nil {
		c.t.Errorf("%v in %s", err, body)
	}
	c.mu.Lock()
	hangs := c.hangs
	c.mu.Unlock()
	select {
	case <-hangs:
	case <-r.Context().Done():
		return
	}
	c.mu.Lock()
	c.taken = append(c.taken, all...)
	_ = r.Header.Write(&c.bytes)
	c.bytes.Write(body)
	c.mu.Unlock()
	select {
	case <-time.After(c.slow):
	case <-r.Context().Done():
	}
}

func (c *receiver) list() []received {
	c.mu.Lock()
	defer c.mu.Unlock()
	return slices.Clone(c.taken)
}

// newest returns the number of the newest event that came.
func (c *receiver) newest() (seq uint64) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, r := range c.taken {
		seq = max(seq, r.number(c.t))
	}
	return seq
}

func (r received) number(t *testing.T) uint64 {
	t.Helper()
	n, err := strconv.ParseUint(r.Sequence, 10, 64)
	if err != nil {
		t.Errorf("sequence %q: %v", r.Sequence, err)
	}
	return n
}

// check checks that all events up to the newest came, in order, each linked to the one before by its
// hash; and that one that came again is the same as before. It returns how many came again.
func (c *receiver) check() (again int) {
	c.t.Helper()
	var first []received // of each number, from 1
	for _, r := range c.list() {
		n := r.number(c.t)
		switch {
		case n == uint64(len(first))+1:
			if n > 1 && r.PrevHash != first[n-2].ChainHash || r.ID != fmt.Sprintf("1.%d", n) {
				c.t.Fatalf("got %+v after %+v", r, first[len(first)-1:])
			}
			first = append(first, r)
		case n > uint64(len(first)):
			c.t.Fatalf("event %d came after %d", n, len(first))
		case first[n-1] != r:
			c.t.Fatalf("event %d came again as %+v, and was %+v", n, r, first[n-1])
		default:
			again++
		}
	}
	return again
}

// addSink makes a sink of all events to the receiver.
func (s *site) addSink(c *receiver) {
	s.t.Helper()
	s.call("POST", "/v1/sinks", api.NewSink{Name: "hook", Protocol: "webhook", From: "start",
		Endpoint: api.Endpoint{URL: c.URL, Private: true}})
}

// fill records events, as many at a time as the store likes.
func (s *site) fill(n int) {
	s.t.Helper()
	var wg sync.WaitGroup
	for range 32 {
		wg.Go(func() {
			for range n / 32 {
				_, err := s.store.Record(context.Background(), audit.Event{Kind: audit.EventReport})
				if err != nil {
					s.t.Error(err)
				}
			}
		})
	}
	wg.Wait()
}

// killWhileSending kills a gateway again and again while it sends to a webhook. Somebody taps all
// the while.
func killWhileSending(t *testing.T, events, kills int) {
	c := startReceiver(t)
	c.slow = 20 * time.Millisecond
	d := newDoor(t, store.Options{})
	d.fill(events)
	c.hang() // until the gateway is a process
	d.addSink(c)
	d.handOverStore()
	c.answer()
	p := d.runProcess()
	simulatedNodes(d)("front-lock", keys.KindLock, d.lockKey)
	reader := simulatedNodes(d)("front-reader", keys.KindReader, d.readerKey)
	tap := func() (wire.Verdict, error) {
		ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
		defer cancel()
		return reader.Scan(ctx, annsCard)
	}
	for kill := range kills {
		due := c.newest() + uint64(events/(kills+1))
		eventually(t, "events come", 20*time.Second, func() bool { return c.newest() >= due })
		p.kill()
		t.Logf("kill %d after event %d", kill+1, c.newest())
		p = d.runProcess()
	}
	t.Cleanup(func() { p.stop() })
	eventually(t, "the door opens", 30*time.Second, func() bool {
		v, err := tap()
		return err == nil && v.Verdict == wire.Granted
	})
	eventually(t, "the receipt of the last tap comes", 20*time.Second, func() bool {
		all := c.list()
		return len(all) > 0 && c.newest() > uint64(events) && slices.ContainsFunc(all,
			func(r received) bool { return r.Type == "io.latchkey.receipt.v1" })
	})
	again := c.check()
	t.Logf("%d events, %d of them came again", c.newest(), again)
	if most := kills * (100 + 100*int(time.Second/c.slow)); again > most {
		t.Errorf("%d events came again, want at most those of a second for each kill, %d", again, most)
	}
}

func TestNothingIsLostWhenTheGatewayIsKilled(t *testing.T) {
	t.Parallel()
	killWhileSending(t, 3_200, 2)
}

// tapTimes taps n times and returns how long that took, sorted.
func (d *door) tapTimes(n int) (took []time.Duration) {
	d.t.Helper()
	for range n {
		began := time.Now()
		if v, err := d.scan(annsCard); err != nil || v.Verdict != wire.Granted {
			d.t.Errorf("got %+v, %v, want granted", v, err)
		}
		took = append(took, time.Since(began))
	}
	slices.Sort(took)
	return took
}

// A sink that hangs costs the taps nothing, and keeps nothing in memory but its batch.
func sinkThatHangs(t *testing.T, taps, events int) {
	c := startReceiver(t)
	d := newDoor(t, store.Options{})
	d.stop()
	d.requestRate = 10_000
	d.start()
	d.connectNodes(d.addr, d.addr)
	d.tapTimes(taps / 10) // warm
	for round := range 2 {
		without := d.tapTimes(taps)
		c.hang()
		if round == 0 {
			d.addSink(c)
		} else {
			d.call("PATCH", "/v1/sinks/hook", map[string]bool{"paused": false})
		}
		with := d.tapTimes(taps)
		t.Logf("taps without: p50 %v, p99 %v; with a sink that hangs: p50 %v, p99 %v", without[taps/2],
			without[taps*99/100], with[taps/2], with[taps*99/100])
		if round == 1 {
			break
		}
		before := heapInUse()
		d.fill(events)
		var v api.Sink
		d.askAPI("test", "GET", "/v1/sinks/hook", nil, &v)
		if v.Status == nil || v.Status.LagEvents < uint64(events) {
			t.Errorf("got %+v, want a lag of all events", v.Status)
		}
		// Several tries: while the store writes out what it holds in memory, it needs some 6 MiB more.
		grown := func() int64 { return int64(heapInUse()) - int64(before) }
		after := grown()
		eventually(t, "memory is as before", 10*time.Second, func() bool {
			now := grown()
			after = min(after, now)
			return now <= int64(events)*200 // each is 400 bytes or more as it is sent
		})
		t.Logf("memory: %d KiB before, %+d KiB after %d events that wait", before>>10, after>>10, events)
		d.call("PATCH", "/v1/sinks/hook", map[string]bool{"paused": true})
		c.answer()
	}
	c.answer()
	head, _ := d.store.Head()
	eventually(t, "all events come", 60*time.Second, func() bool { return c.newest() >= head })
	c.check()
}

func heapInUse() uint64 {
	var m runtime.MemStats
	runtime.GC()
	runtime.GC()
	runtime.ReadMemStats(&m)
	return m.HeapAlloc
}

func TestSinkThatHangs(t *testing.T) { sinkThatHangs(t, 300, 6_400) }

// A sink sends to no private address without being allowed to, whatever name leads there. The same
// is true of an integration.
func TestPrivateAddressesAreRefused(t *testing.T) {
	t.Parallel()
	s := newSite(t, store.Options{})
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = l.Close() })
	came := make(chan string, 100)
	go func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			came <- c.RemoteAddr().String()
			_ = c.Close()
		}
	}()
	_, port, _ := net.SplitHostPort(l.Addr().String())
	schemes := map[sinks.Protocol]string{sinks.Webhook: "https", sinks.MQTT: "mqtts", sinks.NATS: "tls",
		sinks.AMQP091: "amqps", sinks.AMQP10: "amqps"}
	for protocol, scheme := range schemes {
		for _, host := range []string{"127.0.0.1", "localhost", "[::ffff:127.0.0.1]", "0.0.0.0"} { // at once
			at := api.Endpoint{URL: scheme + "://" + host + ":" + port, User: "ann", Password: "x"}
			if code := s.askAPI("test", "POST", "/v1/sinks", api.NewSink{Name: "private", Protocol: protocol,
				Place: "/queues/events", Endpoint: at}, nil); code != 422 {
				t.Errorf("%s to %s: got %d, want 422", protocol, host, code)
			}
		}
		// A name is judged by where it leads when the connection opens.
		name := string(protocol)
		s.call("POST", "/v1/sinks", api.NewSink{Name: name, Protocol: protocol, Place: "/queues/events",
			Endpoint: api.Endpoint{URL: scheme + "://LocalHost:" + port, User: "ann", Password: "x"}})
		var said struct{ Title, Detail string }
		code := s.askAPI("test", "POST", "/v1/sinks/"+name+"/test", map[string]string{}, &said)
		if code/100 == 2 || !strings.Contains(fmt.Sprint(said), "--private") {
			t.Errorf("%s: got %d %+v, want a refusal that names --private", protocol, code, said)
		}
	}
	s.call("POST", "/v1/integrations", map[string]any{"name": "home", "protocol": "mqtt",
		"endpoint": map[string]string{"url": "mqtts://LocalHost:" + port}})
	eventually(t, "the integration has failed", 20*time.Second, func() bool {
		var v api.Integration
		s.askAPI("test", "GET", "/v1/integrations/home", nil, &v)
		return v.Status != nil && strings.Contains(v.Status.LastError, "--private")
	})
	select {
	case from := <-came:
		t.Errorf("a connection came from %s", from)
	default:
	}
}

// Nothing that must stay in the house is in any byte that a server gets.
func TestCanariesStayInTheHouse(t *testing.T) { t.Parallel(); canariesStay(t) }

// moreSink is one more sink, with what reads all that its server got.
type moreSink struct {
	api.NewSink
	read func() string
}

func canariesStay(t *testing.T, more ...moreSink) {
	c := startReceiver(t)
	d := newDoor(t, store.Options{})
	broker := mosquitto.Start(t, mosquitto.Options{Users: map[string]string{
		"latchkey": "canary-of-the-broker", "homeassistant": "two", "watcher": "three"}})
	watch := broker.Subscribe("watcher", "%t %p", "#")
	for _, sink := range append(more,
		moreSink{NewSink: api.NewSink{Name: "hook", Protocol: sinks.Webhook,
			Endpoint: api.Endpoint{URL: c.URL, Private: true}}},
		moreSink{NewSink: api.NewSink{Name: "topics", Protocol: sinks.MQTT,
			Endpoint: inRequest(broker.Endpoint("latchkey"))}}) {
		sink.Name, sink.IDsOnly, sink.From = "canary-"+sink.Name, true, "start"
		d.call("POST", "/v1/sinks", sink.NewSink)
	}
	d.connectNodes(d.addr, d.addr)
	d.seeEverything(broker)
	head, _ := d.store.Head()
	last := fmt.Sprintf("%020d", head)
	eventually(t, "all events come", 20*time.Second, func() bool { return c.newest() >= head })

	var topics strings.Builder
	for !strings.Contains(topics.String(), last) {
		line := watch.Next()
		if strings.HasPrefix(line, "latchkey/") { // what is for Home Assistant has names
			topics.WriteString(line + "\n")
		}
	}
	c.mu.Lock()
	got := map[string]string{"webhook": c.bytes.String(), "broker": topics.String()}
	c.mu.Unlock()
	for _, sink := range more {
		server, all := sink.Name, ""
		eventually(t, "all events come to "+server, 20*time.Second, func() bool {
			all += sink.read()
			return strings.Contains(all, last)
		})
		got[server] = all
	}
	for server, all := range got {
		d.checkCanaries(server, all)
	}
}

// seeEverything makes the house see a tap, an unknown card, sign-ins, a tampered device, a change of
// everything, and a command that is refused. Everything has a name that begins with canary.
func (d *door) seeEverything(broker *mosquitto.Broker) {
	d.t.Helper()
	rename := func(kind, name string) {
		d.call("PATCH", "/v1/"+kind+"/"+name, map[string]string{"name": "canary-" + name})
	}
	rename("targets", "front-door")
	rename("persons", "ann")
	d.enrolDevice("canary-bell", keys.KindReader, d.id)
	for _, uid := range [][]byte{annsCard, unknownCard} {
		if _, err := d.scan(uid); err != nil {
			d.t.Fatal(err)
		}
	}
	d.call("POST", "/v1/accounts", map[string]string{"name": "canary-owner", "role": "owner",
		"password": "canary battery staple"})
	d.call("PUT", "/v1/persons/canary-ann/pin", api.NewPIN{Code: "580274"})
	for _, granted := range []bool{true, false} {
		if _, err := d.store.Record(d.t.Context(), audit.Event{Kind: audit.EventSignIn, Actor: "canary-typed",
			Granted: granted, Reason: audit.ReasonRefused,
			Detail: "from 203.0.113.77, with password"}); err != nil {
			d.t.Fatal(err)
		}
	}
	if err := d.reader.Report(d.t.Context(),
		wire.Report{Measurements: []wire.Measurement{makeFlag("tamper", true)}}); err != nil {
		d.t.Fatal(err)
	}
	d.lock.Drop()
	d.call("POST", "/v1/integrations", api.NewIntegration{Name: "canary-home", Protocol: "mqtt", Base: "home",
		Endpoint: inRequest(broker.Endpoint("latchkey"))})
	d.call("POST", "/v1/grants", api.NewGrant{Integration: "canary-home", Target: "canary-front-door",
		Actions: []string{"unlock"}, CodeOf: "canary-ann"})
	set := "home/" + string(d.store.SiteID()) + "/" + string(d.id) + "/set"
	eventually(d.t, "a command is refused, and a device tampered with", 10*time.Second, func() bool {
		broker.Publish("homeassistant", set, hatest.Command("unlock", "0123456789abcdef", time.Now(),
			hatest.Code("580274")))
		events := d.listEvents()
		has := func(kind audit.EventKind) bool {
			return slices.ContainsFunc(events, func(ev audit.Event) bool { return ev.Kind == kind })
		}
		return has(audit.EventIntegration) && has(audit.EventAlarm)
	})
}

// checkCanaries checks that a server got events of each kind that the house has seen, and no canary.
func (d *door) checkCanaries(server, got string) {
	d.t.Helper()
	for _, kind := range []audit.EventKind{audit.EventDecision, audit.EventReceipt, audit.EventPolicy,
		audit.EventSession, audit.EventAlarm, audit.EventSignIn, audit.EventIntegration, audit.EventStart} {
		if !strings.Contains(got, "io.latchkey."+string(kind)+".v1") {
			d.t.Errorf("%s: no event of kind %s has come", server, kind)
		}
	}
	for _, canary := range d.canaries() {
		if i := strings.Index(strings.ToLower(got), strings.ToLower(canary)); i >= 0 {
			d.t.Errorf("%s: %q is in …%s…", server, canary, got[max(0, i-200):min(len(got), i+100)])
		}
	}
}

var unknownCard = []byte{0xca, 0xfe, 0xba, 0xbe, 0x99, 0x88, 0x77}

// canaries are texts that must not leave the house.
func (d *door) canaries() []string {
	all := []string{"canary", "580274", "203.0.113", "battery", "argon2", "whsec_", "0123456789abcdef"}
	for _, uid := range [][]byte{annsCard, unknownCard} {
		all = append(all, hex.EncodeToString(uid), base64.StdEncoding.EncodeToString(uid),
			`"`+hex.EncodeToString(uid[len(uid)-2:])+`"`, "…"+hex.EncodeToString(uid[len(uid)-2:]))
	}
	p := d.store.Snapshot()
	for id := range p.Credentials {
		all = append(all, id.String())
	}
	for _, k := range []keys.Key{d.lockKey, d.readerKey} {
		all = append(all, string(k.ID), k.Secret.Reveal())
	}
	return all
}

// While the disk is full, a sink cannot keep its place. It goes on when there is space again, and
// nothing is lost.
func TestSinkGoesOnAfterAFullDisk(t *testing.T) {
	t.Parallel()
	mnt := faultdisk.Mount(t, "tmpfs", 320)
	c := startReceiver(t)
	c.slow = 20 * time.Millisecond
	d := newDoor(t, store.Options{Dir: filepath.Join(mnt, "data")})
	d.fill(3_200)
	c.hang()
	d.addSink(c)
	d.handOverStore()
	a := &ownGateway{d: d, program: buildCommand(t, t.TempDir(), "latchkey/cli/latchkey")}
	a.api = http.Client{Timeout: 20 * time.Second,
		Transport: &http.Transport{DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
			return new(net.Dialer).DialContext(ctx, "unix", d.socketPath())
		}}}
	a.start()
	d.lock = d.runNode("front-lock", keys.KindLock, d.lockKey, d.addr)
	d.reader = d.runNode("front-reader", keys.KindReader, d.readerKey, d.addr)
	granted := func() bool {
		a.checkAlive()
		v, err := d.scan(annsCard)
		return err == nil && v.Verdict == wire.Granted
	}
	c.answer()
	eventually(t, "events come", 20*time.Second, func() bool { return c.newest() >= 500 })
	empty := faultdisk.Fill(t, mnt)
	a.waitForHealth(http.StatusServiceUnavailable)
	eventually(t, "it goes on sending", 20*time.Second, func() bool { return c.newest() >= 3_200 })
	a.endProcess(syscall.SIGKILL)
	a.start()
	a.waitForHealth(http.StatusServiceUnavailable)
	empty()
	a.waitForHealth(http.StatusOK)
	eventually(t, "the door opens again", 30*time.Second, granted)
	receipts := func() (n int) {
		for _, r := range c.list() {
			if r.Type == "io.latchkey.receipt.v1" && r.number(t) > 3_200 {
				n++
			}
		}
		return n
	}
	eventually(t, "the receipt of the last tap comes", 20*time.Second, func() bool { return receipts() > 0 })
	t.Logf("%d events, %d of them came again", c.newest(), c.check())
	a.endProcess(syscall.SIGTERM)
}
