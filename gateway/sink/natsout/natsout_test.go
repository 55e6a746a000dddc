package natsout

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"github.com/nats-io/nkeys"
	"go.uber.org/goleak"

	"latchkey/gateway/access/sinks"
	"latchkey/gateway/endpoint"
	"latchkey/gateway/endpoint/badnet"
	"latchkey/gateway/sink/natstest"
	"latchkey/gateway/sink/sender"
	"latchkey/gateway/sink/sinktest"
	"latchkey/keys"
)

func TestMain(m *testing.M) {
	goleak.VerifyTestMain(m, goleak.Cleanup(func(code int) {
		natstest.Remove()
		os.Exit(code)
	}))
}

// rights are those that the README tells people to give.
const rights = `authorization { users: [
 {user: "CN=latchkey", permissions: {publish: "latchkey.>", subscribe: "_INBOX.>"}},
 {user: "CN=noanswer", permissions: {publish: "latchkey.>", subscribe: {deny: ">"}}},
 {user: "CN=reader", permissions: {publish: {deny: "latchkey.>"}}},
 {user: "CN=admin"}
]}`

// newSender makes a sender that is closed when the test ends.
func newSender(t testing.TB, e endpoint.Endpoint, place string) sender.Sender {
	t.Helper()
	s, err := New(sinks.Sink{ID: "a1b2c3d4e5", Endpoint: e, Place: place})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	})
	return s
}

var events = jetstream.StreamConfig{Name: "EVENTS", Subjects: []string{"latchkey.>"}}

// feed sends n events through cuts, delays, silence and restarts of the server.
func feed(t *testing.T, n int) {
	server := natstest.Start(t, true, rights)
	admin := server.Admin("admin")
	stream := server.Stream(admin, events)
	proxy := badnet.Start(t, server.Addr())
	s := newSender(t, server.EndpointAt(proxy.Addr(), "latchkey"), "")
	start := time.Now()
	sinktest.Feed(t, s, n, proxy.Faults(n/100, server.Stop, func() { server.Restart(rights) }))
	t.Logf("%d events in %v", n, time.Since(start).Round(time.Millisecond))
	if info, err := stream.Info(t.Context()); err != nil || info.State.Msgs != uint64(n) {
		t.Errorf("the stream has %+v, %v, want %d messages", info, err, n)
	}
	var r sinktest.Receipt
	for _, m := range natstest.Read(t, admin, "EVENTS", n) {
		var event struct{ ID, Type string }
		if err := json.Unmarshal(m.Data(), &event); err != nil {
			t.Fatal(err)
		}
		kind := strings.TrimSuffix(strings.TrimPrefix(event.Type, "io.latchkey."), ".v1")
		if want := "latchkey." + sinktest.Site + "." + kind; m.Subject() != want {
			t.Fatalf("subject %s, want %s", m.Subject(), want)
		}
		if got := m.Headers().Get("Content-Type"); got != contentType {
			t.Fatalf("content type %q", got)
		}
		if err := r.Add(event.ID); err != nil {
			t.Fatal(err)
		}
	}
	if r.Repeats > 0 {
		t.Errorf("%d repeats, which the stream knows by their id", r.Repeats)
	}
}

func TestNothingIsLostThroughFaults(t *testing.T) { feed(t, 4000) }

func TestAFullStreamTakesTheRestInOrder(t *testing.T) {
	server := natstest.Start(t, false, "")
	admin := server.Admin("")
	small := events
	small.MaxMsgs, small.Discard, small.Retention = 25, jetstream.DiscardNew, jetstream.WorkQueuePolicy
	stream := server.Stream(admin, small)
	s := newSender(t, server.Endpoint(""), "")
	taken, err := s.Send(t.Context(), sinktest.Make(1, 100))
	if taken != 25 || err == nil || sender.IsPermanent(err) {
		t.Fatalf("got %d, %v, want 25 and a failure that is not for good", taken, err)
	}
	// A worker makes room while we send.
	worker, err := stream.CreateConsumer(t.Context(), jetstream.ConsumerConfig{
		AckPolicy: jetstream.AckExplicitPolicy, MaxAckPending: 3})
	if err != nil {
		t.Fatal(err)
	}
	done := make(chan error, 1)
	go func() {
		var r sinktest.Receipt
		for r.Last() < 100 {
			m, err := worker.Next(jetstream.FetchMaxWait(sinktest.Within))
			if err != nil {
				done <- err
				return
			}
			var event struct{ ID string }
			err = errors.Join(json.Unmarshal(m.Data(), &event), r.Add(event.ID), m.DoubleAck(t.Context()))
			if err != nil {
				done <- err
				return
			}
		}
		done <- nil
	}()
	sinktest.Deliver(t, s, sinktest.Make(26, 100))
	if err := <-done; err != nil {
		t.Error(err)
	}
}

func TestTwoSitesInOneStreamHideNothing(t *testing.T) {
	server := natstest.Start(t, false, "")
	admin := server.Admin("")
	server.Stream(admin, jetstream.StreamConfig{Name: "ALL", Subjects: []string{"latchkey.>", "second.>"}})
	for _, place := range []string{"", "second"} {
		s := newSender(t, server.Endpoint(""), place)
		for _, site := range []string{"site1", "site2"} {
			batch := sinktest.Make(1, 3)
			for i := range batch {
				batch[i].Site = site
			}
			sinktest.Deliver(t, s, batch)
			sinktest.Deliver(t, s, batch) // once more, as after a restart
		}
	}
	seen := map[string]int{}
	for _, m := range natstest.Read(t, admin, "ALL", 12) {
		seen[m.Subject()+" "+m.Headers().Get("Nats-Msg-Id")]++
	}
	if len(seen) != 12 {
		t.Errorf("got %v, want each of 12 messages once", seen)
	}
}

func TestNoStreamTakesNothing(t *testing.T) {
	server := natstest.Start(t, false, "")
	admin := server.Admin("")
	s := newSender(t, server.Endpoint(""), "")
	fails := func(want string) {
		t.Helper()
		ctx, cancel := context.WithTimeout(t.Context(), sinktest.Within)
		defer cancel()
		taken, err := s.Send(ctx, sinktest.Make(1, 3))
		if taken != 0 || err == nil || sender.IsPermanent(err) || !strings.Contains(err.Error(), want) {
			t.Errorf("got %d, %v, want a failure that is not for good: %q", taken, err, want)
		}
	}
	fails("no stream takes the subject latchkey.")
	// Somebody who listens, and somebody who answers, are no stream.
	thank := func(m *nats.Msg) { m.Respond([]byte("thanks")) }
	subscription, err := admin.Conn().Subscribe("latchkey.>", thank)
	if err != nil {
		t.Fatal(err)
	}
	if err := admin.Conn().Flush(); err != nil {
		t.Fatal(err)
	}
	fails("invalid")
	if err := errors.Join(subscription.Unsubscribe(), admin.Conn().Flush()); err != nil {
		t.Fatal(err)
	}
	server.Stream(admin, events)
	sinktest.Deliver(t, s, sinktest.Make(1, 3))
}

// TestWhatIsForGood tells apart what pauses a sink, and what makes a dead letter.
func TestWhatIsForGood(t *testing.T) {
	secure := natstest.Start(t, true, rights)
	secure.Stream(secure.Admin("admin"), events)
	users := natstest.Start(t, false, `max_payload: 2000
authorization { users: [{user: latchkey, password: secret}] }`)
	limited := events
	limited.MaxMsgSize = 500
	users.Stream(users.Admin("latchkey:secret"), limited)
	off := natstest.Start(t, false, `accounts { A { users: [{user: latchkey, password: secret}] } }`)

	login := func(s *natstest.Server, password string) endpoint.Endpoint {
		e := s.Endpoint("")
		e.User, e.Password = "latchkey", keys.Hide(password)
		return e
	}
	without := secure.Endpoint("latchkey")
	without.Cert, without.Key = "", keys.Hidden{}
	stranger := secure.Endpoint("latchkey")
	stranger.CA = natstest.Start(t, true, rights).CA.PEM
	public := secure.Endpoint("latchkey")
	public.Private = false
	plain := endpoint.Endpoint{URL: "nats://" + secure.Addr(), Private: true}
	clear := secure.Endpoint("latchkey")
	clear.URL = "tls://" + users.Addr()
	seed := login(users, "SU"+strings.Repeat("A", 56))
	seed.User = ""
	long := func(n int) []sender.Message {
		batch := sinktest.Make(1, 3)
		batch[1].Body = append(batch[1].Body, strings.Repeat(" ", n)...)
		return batch
	}
	three := sinktest.Make(1, 3)
	const halt, refusal, temporary = "halt", "refusal", "temporary"
	for name, try := range map[string]struct {
		endpoint endpoint.Endpoint
		batch    []sender.Message
		taken    int
		kind     string
		want     string
	}{
		"no right to the subject":      {secure.Endpoint("reader"), three, 0, halt, "ermissions"},
		"no right to the answer":       {secure.Endpoint("noanswer"), three, 0, halt, "ermissions"},
		"a user that nobody knows":     {secure.Endpoint("nobody"), three, 0, halt, "uthorization"},
		"wrong password":               {login(users, "other"), three, 0, halt, "uthorization"},
		"a seed that is none":          {seed, three, 0, halt, "seed"},
		"no certificate":               {without, three, 0, halt, "certificate"},
		"the server's is unknown":      {stranger, three, 0, halt, "certificate"},
		"a private address":            {public, three, 0, halt, "--private"},
		"the server wants TLS":         {plain, three, 0, halt, "secure connection required"},
		"the server has no TLS":        {clear, three, 0, halt, "secure connection not available"},
		"too large for the stream":     {login(users, "secret"), long(600), 1, refusal, "size exceeds"},
		"too large for the server":     {login(users, "secret"), long(3000), 1, refusal, "larger than the server"},
		"the account has no JetStream": {login(off, "secret"), three, 0, temporary, "no stream"},
	} {
		t.Run(name, func(t *testing.T) {
			s := newSender(t, try.endpoint, "")
			// The end of a connection may arrive before the reason does, which is not for good.
			var taken int
			var err error
			kind := ""
			late := time.Now().Add(sinktest.Within)
			for kind != try.kind && time.Now().Before(late) {
				taken, err = s.Send(t.Context(), try.batch)
				var h *sender.Halt
				var r *sender.Refusal
				switch {
				case errors.As(err, &h):
					kind = halt
				case errors.As(err, &r):
					kind = refusal
				case err != nil:
					kind = temporary
				}
			}
			if kind != try.kind || taken != try.taken || !strings.Contains(err.Error(), try.want) {
				t.Errorf("got %d, %s, %v, want %d, %s, %q", taken, kind, err, try.taken, try.kind, try.want)
			}
		})
	}
}

func TestRevokedRightsPauseAndComeBack(t *testing.T) {
	server := natstest.Start(t, true, rights)
	admin := server.Admin("admin")
	server.Stream(admin, events)
	s := newSender(t, server.Endpoint("latchkey"), "")
	sinktest.Deliver(t, s, sinktest.Make(1, 10))
	server.Restart(strings.Replace(rights, `publish: "latchkey.>", subscribe: "_INBOX.>"`,
		`publish: "latchkey.*.decision", subscribe: "_INBOX.>"`, 1))
	var taken int
	var err error
	for err == nil || !sender.IsPermanent(err) {
		taken, err = s.Send(t.Context(), sinktest.Make(12, 20)) // 12 is a decision
	}
	if taken > 1 {
		t.Errorf("taken %d, want one at most", taken)
	}
	server.Restart(rights)
	sinktest.Deliver(t, s, sinktest.Make(11, 20))
	natstest.Read(t, admin, "EVENTS", 20)
}

// TestOtherWaysToSayWhoWeAre has a token, an NKey and a credentials file.
func TestOtherWaysToSayWhoWeAre(t *testing.T) {
	pair, err := nkeys.CreateUser()
	if err != nil {
		t.Fatal(err)
	}
	public, err1 := pair.PublicKey()
	seed, err2 := pair.Seed()
	if err := errors.Join(err1, err2); err != nil {
		t.Fatal(err)
	}
	program, err := natstest.Build()
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	if out, err := exec.Command(program, "-operator", dir).CombinedOutput(); err != nil {
		t.Fatalf("%s: %v", out, err)
	}
	conf, err1 := os.ReadFile(filepath.Join(dir, "operator.conf"))
	creds, err2 := os.ReadFile(filepath.Join(dir, "user.creds"))
	if err := errors.Join(err1, err2); err != nil {
		t.Fatal(err)
	}
	for name, try := range map[string]struct{ lines, secret string }{
		"credentials": {string(conf), string(creds)},
		"token":       {"authorization { token: a-token }", "a-token"},
		"nkey":        {fmt.Sprintf("authorization { users: [{nkey: %s}] }", public), string(seed)},
	} {
		t.Run(name, func(t *testing.T) {
			server := natstest.Start(t, false, try.lines)
			e := server.Endpoint("")
			e.Password = keys.Hide(try.secret)
			if err := e.Check("nats"); err != nil {
				t.Fatal(err)
			}
			s := newSender(t, e, "")
			taken, err := s.Send(t.Context(), sinktest.Make(1, 1))
			if taken != 0 || !strings.Contains(fmt.Sprint(err), "no stream") {
				t.Errorf("got %d, %v, want that we are let in and find no stream", taken, err)
			}
		})
	}
}

// greeting is the first line of a server.
const greeting = `INFO {"server_id":"x","version":"2.15.3","headers":true,"max_payload":1048576,` +
	`"jetstream":true}` + "\r\n"

// TestAServerCannotHarmUs has what a broken or hostile server may send. A panic of the library would
// end the test.
func TestAServerCannotHarmUs(t *testing.T) {
	for name, bytes := range map[string]string{
		"nothing":             "",
		"another protocol":    "HTTP/1.1 400 Bad Request\r\n\r\n",
		"a line without end":  strings.Repeat("x", 100<<10),
		"a message of 100 GB": greeting + "PONG\r\nMSG a 1 99999999999\r\nx",
		"a message of 900 kB": greeting + "PONG\r\nMSG a 1 900000\r\n" +
			strings.Repeat("x", 900000) + "\r\n",
		"a message of negative size": greeting + "PONG\r\nMSG a 1 -5\r\n",
		"more head than message":     greeting + "PONG\r\nHMSG a 1 50 10\r\n0123456789\r\n",
		"a message that goes on":     greeting + "PONG\r\nMSG a 1 1\r\nxx\r\n",
		"a message nobody asked for": greeting + "PONG\r\nMSG a 77 1\r\nx\r\n",
		"INFO that is no JSON":       "INFO {]}\r\n",
		"PUB":                        greeting + "PONG\r\nPUB a 1\r\nx\r\n",
		"an error":                   greeting + "-ERR 'x\x1b[31m'\r\n",
		"other servers to connect to": strings.Replace(greeting, "}",
			`,"connect_urls":["127.0.0.1:1"]}`, 1) + "PONG\r\n",
	} {
		t.Run(name, func(t *testing.T) {
			s := newSender(t, endpoint.Endpoint{URL: "nats://" + badnet.Answer(t, bytes), Private: true}, "")
			taken, err := s.Send(t.Context(), sinktest.Make(1, 1))
			if taken != 0 || err == nil || sender.IsPermanent(err) || strings.Contains(err.Error(), "\x1b") {
				t.Errorf("got %d, %v", taken, err)
			}
		})
	}
}

func TestSendEndsWithItsContext(t *testing.T) {
	server := natstest.Start(t, false, "")
	server.Stream(server.Admin(""), events)
	proxy := badnet.Start(t, server.Addr())
	s := newSender(t, server.EndpointAt(proxy.Addr(), ""), "")
	sinktest.Deliver(t, s, sinktest.Make(1, 3))
	proxy.Freeze()
	ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	start := time.Now()
	if taken, err := s.Send(ctx, sinktest.Make(4, 6)); taken != 0 || err == nil || sender.IsPermanent(err) {
		t.Errorf("got %d, %v, want a failure that is not for good", taken, err)
	}
	if err := s.Close(); err != nil {
		t.Error(err)
	}
	if taken, err := s.Send(ctx, sinktest.Make(4, 6)); taken != 0 || err == nil || sender.IsPermanent(err) {
		t.Errorf("while it connects: got %d, %v, want a failure that is not for good", taken, err)
	}
	if took := time.Since(start); took > 10*closeWithin {
		t.Errorf("it took %v", took)
	}
	proxy.Thaw()
	sinktest.Deliver(t, s, sinktest.Make(4, 6))

	silent, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer silent.Close()
	greets := newSender(t, endpoint.Endpoint{URL: "nats://" + silent.Addr().String(), Private: true}, "")
	ctx, cancel = context.WithCancel(t.Context())
	defer cancel()
	heard := make(chan struct{})
	go func() {
		defer close(heard)
		if c, err := silent.Accept(); err == nil {
			c.Write([]byte(greeting[:strings.Index(greeting, "\n")+1]))
			c.Read(make([]byte, 1000)) // CONNECT, which it does not answer
			cancel()
			c.Read(make([]byte, 1000))
			c.Close()
		}
	}()
	taken, err := greets.Send(ctx, sinktest.Make(1, 1))
	if taken != 0 || !errors.Is(err, context.Canceled) {
		t.Errorf("a server that only greets: got %d, %v, want the end of the context", taken, err)
	}
	<-heard
}

func TestAPlaceIsTheBeginningOfASubject(t *testing.T) {
	for place, want := range map[string]bool{"": true, "home": true, "home.doors": true, "a.*": false,
		">": false, "a..b": false, ".a": false, "a.": false, "a b": false, "$JS": false, "a$": true,
		"ä": false} {
		if _, err := New(sinks.Sink{Place: place}); (err == nil) != want {
			t.Errorf("%q: got %v, want taken: %v", place, err, want)
		}
	}
}

// BenchmarkSend has TLS and a stream on disk, on loopback. Each event is stored before the next one
// is sent.
func BenchmarkSend(b *testing.B) {
	server := natstest.Start(b, true, rights)
	server.Stream(server.Admin("admin"), events)
	s := newSender(b, server.Endpoint("latchkey"), "")
	next := 1
	b.ReportAllocs()
	for b.Loop() {
		sinktest.Deliver(b, s, sinktest.Make(next, next+99))
		next += 100
	}
	b.ReportMetric(float64(next-1)/b.Elapsed().Seconds(), "events/s")
}
