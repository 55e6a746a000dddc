//go:build long

package e2e

import (
	"bytes"
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"latchkey/gateway/access/sinks"
	"latchkey/gateway/admin/api"
	"latchkey/gateway/cloudevent"
	"latchkey/gateway/endpoint"
	"latchkey/gateway/endpoint/badnet"
	"latchkey/gateway/endpoint/testca"
	"latchkey/gateway/mqtt/mosquitto"
	"latchkey/gateway/sink/brokertest"
	"latchkey/gateway/sink/natstest"
	"latchkey/gateway/sink/webhook"
	"latchkey/keys"
)

// faultyServer is a server that a sink sends to, with all that may happen to it and to the way to
// it. The gateway has a client certificate.
type faultyServer struct {
	sink  api.NewSink // leads to the proxy
	proxy *badnet.Proxy
	addr  string // of the server
	wrong string // address of another server, whose certificate does not fit

	halt, start   func()                 // the server ends, and starts with all that it had
	fill, empty   func()                 // it has no room for more, and has room again
	full          string                 // part of what the sink says then
	revoke, allow func()                 // the gateway's rights end, and come back
	read          func(uint64) []string  // all events that it got, as they came, up to this one at least
	judge         func() (string, error) // what else there is to say about what it got
	once          bool                   // it drops repeats
}

// proxied returns an endpoint of the gateway's by way of the proxy.
func proxied(t *testing.T, scheme string, p *badnet.Proxy, ca *testca.Authority, user string) api.Endpoint {
	t.Helper()
	cert, key := ca.Issue(t, user)
	return inRequest(endpoint.Endpoint{URL: scheme + "://" + p.Addr(), CA: ca.PEM, Cert: cert,
		Key: keys.Hide(key), Private: true})
}

// startImpostor starts a TLS server with the certificate of another authority, until the test ends.
func startImpostor(t *testing.T) (addr string) {
	t.Helper()
	cert, key := testca.New(t).Issue(t, "localhost")
	pair, err := tls.X509KeyPair([]byte(cert), []byte(key))
	if err != nil {
		t.Fatal(err)
	}
	l, err := tls.Listen("tcp", "127.0.0.1:0", &tls.Config{Certificates: []tls.Certificate{pair}})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = l.Close() })
	go func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			go func() {
				_ = c.SetDeadline(time.Now().Add(10 * time.Second))
				_, _ = io.Copy(io.Discard, c)
				_ = c.Close()
			}()
		}
	}()
	return l.Addr().String()
}

// hook is a webhook with TLS that knows its clients by certificate.
type hook struct {
	t      *testing.T
	addr   string
	conf   *tls.Config
	secret string
	verify *json.Encoder // every request goes to the library of Standard Webhooks

	mu       sync.Mutex
	server   *http.Server // guarded by mu
	status   int          // guarded by mu; 0: it takes events
	requests int          // guarded by mu
	bodies   []string     // guarded by mu; of the events that it took
}

func (h *hook) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	body, err := io.ReadAll(r.Body)
	if err != nil {
		return // the connection is cut
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	h.requests++
	if err := h.verify.Encode(map[string]any{"secret": h.secret, "header": r.Header,
		"body": string(body)}); err != nil {
		h.t.Error(err)
	}
	if h.status != 0 {
		w.Header().Set("Retry-After", "1")
		w.WriteHeader(h.status)
		return
	}
	raw := []json.RawMessage{body}
	if r.Header.Get("Content-Type") == cloudevent.BatchContentType {
		if err := json.Unmarshal(body, &raw); err != nil {
			h.t.Error(err)
		}
	}
	for _, b := range raw {
		h.bodies = append(h.bodies, string(b))
	}
	w.WriteHeader(http.StatusNoContent)
}

func (h *hook) answer(status int) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.status = status
}

func (h *hook) halt() {
	h.mu.Lock()
	s := h.server
	h.mu.Unlock()
	_ = s.Close()
}

func (h *hook) start() {
	var l net.Listener
	eventually(h.t, "the port is free", 5*time.Second, func() (ok bool) {
		var err error
		l, err = net.Listen("tcp", h.addr)
		return err == nil
	})
	h.addr = l.Addr().String()
	s := &http.Server{Handler: h, TLSConfig: h.conf.Clone(), ErrorLog: log.New(io.Discard, "", 0)}
	h.mu.Lock()
	h.server = s
	h.mu.Unlock()
	go func() { _ = s.ServeTLS(l, "", "") }()
}

func startHook(t *testing.T, _ func() *brokertest.Rabbit) *faultyServer {
	judge := filepath.Join(t.TempDir(), "verify")
	source := filepath.Join("..", "sink", "webhook", "peers", "verify")
	if out, err := exec.Command("go", "build", "-C", source, "-o", judge, ".").CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	verify := exec.Command(judge)
	in, err := verify.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	var said bytes.Buffer
	verify.Stdout, verify.Stderr = &said, &said
	if err := verify.Start(); err != nil {
		t.Fatal(err)
	}
	ca := testca.New(t)
	cert, key := ca.Issue(t, "localhost")
	pair, err := tls.X509KeyPair([]byte(cert), []byte(key))
	if err != nil {
		t.Fatal(err)
	}
	clients := x509.NewCertPool()
	clients.AppendCertsFromPEM([]byte(ca.PEM))
	h := &hook{t: t, addr: "127.0.0.1:0", secret: webhook.MintSecret().Reveal(), verify: json.NewEncoder(in),
		conf: &tls.Config{Certificates: []tls.Certificate{pair}, ClientCAs: clients,
			ClientAuth: tls.RequireAndVerifyClientCert}}
	h.start()
	t.Cleanup(func() { h.halt(); _ = in.Close(); _ = verify.Wait() })
	p := badnet.Start(t, h.addr)
	return &faultyServer{proxy: p, addr: h.addr, wrong: startImpostor(t),
		sink: api.NewSink{Protocol: sinks.Webhook, Secret: h.secret,
			Endpoint: proxied(t, "https", p, ca, "gateway")},
		halt: h.halt, start: h.start,
		fill: func() { h.answer(http.StatusServiceUnavailable) }, empty: func() { h.answer(0) },
		full:   "HTTP 503",
		revoke: func() { h.answer(http.StatusForbidden) }, allow: func() { h.answer(0) },
		read: func(uint64) []string {
			h.mu.Lock()
			defer h.mu.Unlock()
			return h.bodies
		},
		judge: func() (string, error) {
			h.halt()
			if err := errors.Join(in.Close(), verify.Wait()); err != nil {
				return "", fmt.Errorf("%w: %s", err, said.String())
			}
			if got, want := said.String(), fmt.Sprintln(h.requests); got != want {
				return "", fmt.Errorf("%s signatures fit, want %s", got, want)
			}
			return fmt.Sprintf("%d signatures fit", h.requests), nil
		}}
}

// startRabbitQueue makes a queue in RabbitMQ, for one of its two protocols.
func startRabbitQueue(protocol sinks.Protocol) func(*testing.T, func() *brokertest.Rabbit) *faultyServer {
	return func(t *testing.T, use func() *brokertest.Rabbit) *faultyServer {
		r, check := use(), func(err error) { t.Helper(); brokertest.Check(t, err) }
		queue, user := "queue-"+string(protocol), "gateway-"+string(protocol)
		check(r.DeclareQueue(queue, 10_000_000)) // a policy can make it less, and nothing is dropped then
		// RabbitMQ 3.10 cannot tell by AMQP 1.0 that a queue is full when it refuses several messages at
		// once: its session crashes (function_clause for basic.nack), and with it the connection.
		place, write, full := "/amq/queue/"+queue, "^amq.default$", ""
		if protocol == sinks.AMQP091 {
			place, write, full = "latchkey", "^latchkey$", "a queue is full"
			check(r.DeclareExchange(place))
			check(r.Bind(queue, place, "#"))
		}
		allow := func() { check(r.AddUser(user, "unused", write)) }
		allow()
		addr := "127.0.0.1:" + r.TLSPort
		p := badnet.Start(t, addr)
		return &faultyServer{proxy: p, addr: addr, wrong: startImpostor(t),
			sink: api.NewSink{Protocol: protocol, Place: place, Endpoint: proxied(t, "amqps", p, r.CA, user)},
			halt: func() { check(r.Kill()) }, start: func() { check(r.Start()) },
			fill:  func() { check(r.LimitQueue(queue)) },
			empty: func() { check(r.UnlimitQueues()) }, full: full,
			revoke: func() {
				// RabbitMQ remembers the rights of a channel for as long as the channel is busy.
				check(r.ClearPermissions(user))
				check(r.CloseConnections())
			},
			allow: allow,
			read: func(uint64) (bodies []string) {
				all, err := r.Read(queue)
				check(err)
				for _, d := range all {
					bodies = append(bodies, string(d.Body))
				}
				return bodies
			}}
	}
}

const mosquittoACL = `user latchkey
topic write latchkey/+/event/#
user reader
topic read latchkey/#
`

func startMosquitto(t *testing.T, _ func() *brokertest.Rabbit) *faultyServer {
	b := mosquitto.Start(t, mosquitto.Options{TLS: true, ACL: mosquittoACL, Persistent: true})
	other := mosquitto.Start(t, mosquitto.Options{TLS: true})
	reader := b.Subscribe("reader", "%p", "latchkey/#")
	p := badnet.Start(t, b.Addr())
	rights := func(acl string) { b.SetACL(acl); b.Restart() }
	return &faultyServer{proxy: p, addr: b.Addr(), wrong: other.Addr(),
		sink: api.NewSink{Protocol: sinks.MQTT, Endpoint: inRequest(b.EndpointAt(p.Addr(), "latchkey"))},
		halt: b.Stop, start: b.Restart,
		// mosquitto refuses nothing when a subscriber's queue is full: it says that it has taken the
		// message, and drops it. So here it is a broker that is too busy to answer.
		fill: p.Freeze, empty: p.Thaw, full: "",
		revoke: func() { rights(strings.Replace(mosquittoACL, "event/#", "nothing/#", 1)) },
		allow:  func() { rights(mosquittoACL) },
		read: func(last uint64) (all []string) {
			for end := fmt.Sprintf(`"id":"1.%d"`, last); ; {
				line := reader.Next()
				if all = append(all, line); strings.Contains(line, end) {
					return all
				}
			}
		}}
}

const natsRights = `authorization { users: [
 {user: "CN=latchkey", permissions: {publish: "latchkey.>", subscribe: "_INBOX.>"}},
 {user: "CN=admin"}
]}`

func startNATS(t *testing.T, _ func() *brokertest.Rabbit) *faultyServer {
	t.Cleanup(natstest.Remove)
	s, other := natstest.Start(t, true, natsRights), natstest.Start(t, true, natsRights)
	js := s.Admin("admin")
	events := jetstream.StreamConfig{Name: "EVENTS", Subjects: []string{"latchkey.>"}, MaxMsgs: -1,
		Discard: jetstream.DiscardNew, Storage: jetstream.FileStorage, Duplicates: time.Hour}
	stream := s.Stream(js, events)
	limit := func(more int64) {
		var err error
		eventually(t, "the limit of the stream is changed", 10*time.Second, func() bool {
			var info *jetstream.StreamInfo
			if info, err = stream.Info(t.Context()); err != nil {
				return false
			}
			events.MaxMsgs = -1
			if more > 0 {
				events.MaxMsgs = int64(info.State.Msgs) + more
			}
			_, err = js.UpdateStream(t.Context(), events)
			return err == nil
		})
	}
	p := badnet.Start(t, s.Addr())
	return &faultyServer{proxy: p, addr: s.Addr(), wrong: other.Addr(), once: true,
		sink: api.NewSink{Protocol: sinks.NATS, Endpoint: inRequest(s.EndpointAt(p.Addr(), "latchkey"))},
		halt: s.Stop, start: func() { s.Restart(natsRights) },
		fill: func() { limit(100) }, empty: func() { limit(0) }, full: "maximum messages exceeded",
		revoke: func() { s.Restart(strings.Replace(natsRights, `"latchkey.>"`, `"nothing.>"`, 1)) },
		allow:  func() { s.Restart(natsRights) },
		read: func(uint64) (all []string) {
			var info *jetstream.StreamInfo
			eventually(t, "the stream is there", 10*time.Second, func() (ok bool) {
				ctx, cancel := context.WithTimeout(t.Context(), 5*time.Second)
				defer cancel()
				var err error
				info, err = stream.Info(ctx)
				return err == nil
			})
			for _, m := range natstest.Read(t, js, "EVENTS", int(info.State.Msgs)) {
				all = append(all, string(m.Data()))
			}
			return all
		}}
}
