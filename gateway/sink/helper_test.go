package sink

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"log"
	"log/slog"
	"math/big"
	"net"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"go.uber.org/goleak"

	"latchkey/gateway/access"
	"latchkey/gateway/access/sinks"
	"latchkey/gateway/audit"
	"latchkey/gateway/cloudevent"
	"latchkey/gateway/endpoint"
	"latchkey/gateway/feed"
	"latchkey/gateway/sink/webhook"
	"latchkey/gateway/store"
	"latchkey/keys"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// quick are times that are short enough for tests.
var quick = times{send: 10 * time.Second, store: 20 * time.Millisecond, first: 5 * time.Millisecond,
	most: 40 * time.Millisecond, later: time.Hour, quiet: 300 * time.Millisecond}

// site is a store with an engine that sends its events.
type site struct {
	t     testing.TB
	dir   string
	store *keeper
	open  sync.RWMutex // held for writing while the store is opened again
	times times
	stop  func() // ends the engine, if it runs
	apply func(ctx context.Context, actor string, changes ...access.Change) (uint64, error)

	engine *Engine
}

func newSite(t testing.TB) *site {
	t.Helper()
	s := &site{t: t, dir: t.TempDir(), store: &keeper{}, times: quick, stop: func() {}}
	s.store.open(t, s.dir)
	s.apply = func(ctx context.Context, actor string, changes ...access.Change) (uint64, error) {
		return s.store.Apply(ctx, actor, changes...)
	}
	t.Cleanup(func() {
		s.stop()
		s.store.close(t)
	})
	return s
}

// run starts an engine. One that runs is stopped first.
func (s *site) run() {
	s.t.Helper()
	s.stop()
	s.engine = New(Config{Store: s.store, Feed: feed.New(s.store, slog.New(slog.DiscardHandler)),
		Policy: s.store.Snapshot, Apply: s.apply, times: s.times,
		Source:    func() cloudevent.Source { return cloudevent.Source{Site: s.store.SiteID(), Epoch: 1} },
		Protocols: map[sinks.Protocol]Protocol{sinks.Webhook: webhook.New}})
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	engine := s.engine
	go func() { ended <- engine.Run(ctx) }()
	s.stop = sync.OnceFunc(func() {
		cancel()
		if err := <-ended; err != nil {
			s.t.Errorf("the engine: %v", err)
		}
	})
}

// restart ends the engine, opens the store again, and runs an engine on it.
func (s *site) restart() {
	s.t.Helper()
	s.stop()
	s.open.Lock()
	s.store.close(s.t)
	s.store.open(s.t, s.dir)
	s.open.Unlock()
	s.run()
}

// put adds or changes a sink.
func (s *site) put(r sinks.Sink) {
	s.t.Helper()
	if _, err := s.store.Apply(s.t.Context(), "ada", access.Change{Put: r}); err != nil {
		s.t.Fatal(err)
	}
}

// get returns the present record of a sink.
func (s *site) get(id access.ID) sinks.Sink { return sinks.Kind.In(s.store.Snapshot())[id] }

// note makes n events of a kind.
func (s *site) note(kind audit.EventKind, n int) {
	s.t.Helper()
	var wg sync.WaitGroup
	for range min(n, 32) {
		wg.Go(func() {
			for range n / min(n, 32) {
				s.record(kind)
			}
		})
	}
	for range n % min(n, 32) {
		s.record(kind)
	}
	wg.Wait()
}

func (s *site) record(kind audit.EventKind) {
	s.open.RLock()
	defer s.open.RUnlock()
	ev := audit.Event{Kind: kind, Device: audit.Named{ID: "0a1b2c3d4e", Name: "front-reader"}, Card: "e580"}
	if _, err := s.store.Record(context.Background(), ev); err != nil {
		s.t.Error(err)
	}
}

func (s *site) head() uint64 {
	seq, _ := s.store.Head()
	return seq
}

// status waits until the status of the only sink is as is says.
func (s *site) status(what string, is func(Status) bool) Status {
	s.t.Helper()
	var last Status
	wait(s.t, func() string { return fmt.Sprintf("%s; the status is %+v", what, last) }, func() bool {
		all, err := s.engine.Status(s.t.Context())
		if err != nil {
			s.t.Fatal(err)
		}
		if len(all) != 1 {
			return false
		}
		last = all[0]
		return is(last)
	})
	return last
}

// caughtUp waits until the only sink has sent all events, and nothing fails.
func (s *site) caughtUp() Status {
	s.t.Helper()
	return s.status("caught up", func(st Status) bool { return st.State == Waiting && st.Lag == 0 })
}

// events returns the events of a kind in the chain.
func (s *site) events(kind audit.EventKind) (out []audit.Event) {
	s.t.Helper()
	all, err := s.store.Events(s.t.Context(), 1, int(s.head()))
	if err != nil {
		s.t.Fatal(err)
	}
	return slices.DeleteFunc(all, func(ev audit.Event) bool { return ev.Kind != kind })
}

// wait waits until a condition holds.
func wait(t testing.TB, what func() string, is func() bool) {
	t.Helper()
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	deadline := time.After(2 * time.Minute)
	for !is() {
		select {
		case <-tick.C:
		case <-deadline:
			t.Fatalf("waited in vain for: %s", what())
		}
	}
}

// taken is an event as a receiver sees it.
type taken struct {
	ID        string `json:"id"`
	Source    string `json:"source"`
	Type      string `json:"type"`
	Sequence  string `json:"sequence"`
	ChainHash string `json:"chainhash"`
	PrevHash  string `json:"prevhash"`
	body      string
}

// receiver is a TLS server that takes events.
type receiver struct {
	*httptest.Server
	mu     sync.Mutex
	answer func(r *http.Request, events []taken) int // guarded by mu; returns a status; 0 cuts the connection
	took   []taken                                   // guarded by mu; of answers of 2xx
}

func startReceiver(t testing.TB) *receiver {
	t.Helper()
	c := &receiver{}
	c.Server = httptest.NewUnstartedServer(c)
	c.Config.ErrorLog = log.New(io.Discard, "", 0)
	c.StartTLS()
	t.Cleanup(c.Close)
	return c
}

func (c *receiver) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	body, err := io.ReadAll(r.Body)
	if err != nil {
		return
	}
	raw := []json.RawMessage{body}
	if r.Header.Get("Content-Type") == cloudevent.BatchContentType {
		err = json.Unmarshal(body, &raw)
	}
	events := make([]taken, len(raw))
	for i := range raw {
		err = errors.Join(err, json.Unmarshal(raw[i], &events[i]))
		events[i].body = string(raw[i])
	}
	if err != nil {
		w.WriteHeader(http.StatusBadRequest)
		return
	}
	c.mu.Lock()
	answer := c.answer
	c.mu.Unlock()
	status := http.StatusNoContent
	if answer != nil {
		status = answer(r, events)
	}
	if status == 0 || status < 300 {
		c.mu.Lock()
		c.took = append(c.took, events...)
		c.mu.Unlock()
	}
	if status == 0 { // it has taken them, and we never learn of it
		panic(http.ErrAbortHandler)
	}
	w.WriteHeader(status)
}

// answers sets what the receiver answers; nil: it takes everything.
func (c *receiver) answers(f func(r *http.Request, events []taken) int) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.answer = f
}

func (c *receiver) all() []taken {
	c.mu.Lock()
	defer c.mu.Unlock()
	return slices.Clone(c.took)
}

// sink returns the sink of the receiver.
func (c *receiver) sink(name string) sinks.Sink {
	return sinks.Sink{ID: access.NewID(), Name: name, Protocol: sinks.Webhook, From: 1,
		Secrets: []keys.Hidden{webhook.MintSecret()},
		Endpoint: endpoint.Endpoint{URL: c.URL, Private: true,
			CA: string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: c.Certificate().Raw}))}}
}

// checkComplete checks that events from..to came, each at least once, first in order, chained, and
// twice only up to so many. It returns them without those that came again.
func checkComplete(t *testing.T, took []taken, from, to uint64, most int) (once []taken) {
	t.Helper()
	seen, again := map[string]bool{}, 0
	for _, ev := range took {
		if seen[ev.ID] {
			again++
			continue
		}
		seen[ev.ID] = true
		once = append(once, ev)
	}
	if uint64(len(once)) != to-from+1 {
		t.Errorf("got %d events, want %d", len(once), to-from+1)
	}
	for i, ev := range once {
		seq := from + uint64(i)
		if ev.ID != fmt.Sprintf("1.%d", seq) || strings.TrimLeft(ev.Sequence, "0") != fmt.Sprint(seq) {
			t.Fatalf("got event %s, want %d", ev.ID, seq)
		}
		if i > 0 && ev.PrevHash != once[i-1].ChainHash {
			t.Fatalf("event %d does not follow on the one before", seq)
		}
	}
	if again > most {
		t.Errorf("%d events came again, want at most %d", again, most)
	}
	t.Logf("%d events, %d again", len(once), again)
	return once
}

// keeper is a store that counts how often a cursor is written.
type keeper struct {
	*store.Store
	moves atomic.Int64
	low   atomic.Bool // there is no space
}

func (k *keeper) MoveSinkCursor(ctx context.Context, id access.ID, to audit.SinkCursor,
	dead ...audit.DeadLetter) error {
	k.moves.Add(1)
	return k.Store.MoveSinkCursor(ctx, id, to, dead...)
}

// open opens the store in dir.
func (k *keeper) open(t testing.TB, dir string) {
	t.Helper()
	var err error
	k.Store, err = store.Open(context.Background(), store.Options{Dir: dir, Free: func() (uint64, error) {
		if k.low.Load() {
			return 63 << 20, nil
		}
		return 1 << 40, nil
	}})
	if err != nil {
		t.Fatal(err)
	}
}

func (k *keeper) close(t testing.TB) {
	t.Helper()
	if err := errors.Join(k.Verify(context.Background()), k.Close()); err != nil {
		t.Error(err)
	}
}

// id returns the id of an event as receivers see it.
func (s *site) id(seq uint64) string { return fmt.Sprintf("1.%d", seq) }

// ownCertificate returns a certificate that signs itself, for 127.0.0.1.
func ownCertificate(t *testing.T) tls.Certificate {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	now := time.Now()
	template := &x509.Certificate{SerialNumber: big.NewInt(1), NotBefore: now.Add(-time.Hour),
		NotAfter: now.Add(time.Hour), IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)}}
	raw, err := x509.CreateCertificate(rand.Reader, template, template, &key.PublicKey, key)
	if err != nil {
		t.Fatal(err)
	}
	return tls.Certificate{Certificate: [][]byte{raw}, PrivateKey: key}
}

func (s *site) remove(r sinks.Sink) {
	s.t.Helper()
	if _, err := s.store.Apply(s.t.Context(), "ada", access.Change{Delete: r}); err != nil {
		s.t.Fatal(err)
	}
}
