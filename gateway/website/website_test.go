package website_test

import (
	"bytes"
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"math/big"
	"net"
	"net/http"
	"net/netip"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"latchkey/gateway/limit"
	"latchkey/gateway/website"
)

// site is a website that runs this test binary as its child.
type site struct {
	t      *testing.T
	server *website.Server
	addr   string
	log    *buffer
	leaves *leaves
	api    atomic.Int64 // requests that reached the API
	stop   func()       // waits for the end

	idle []func() // close connections that are not used
}

func newSite(t *testing.T, role string, change func(*website.Config)) *site {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	s := &site{t: t, addr: l.Addr().String(), log: &buffer{}, leaves: &leaves{}}
	s.leaves.plain.Store(newCertificate(t, "plain"))
	cfg := website.Config{Listener: l, Bounds: limit.Connections{All: 300, EachAddr: 300, Known: 100,
		EachKnown: 100},
		Child:    func() *exec.Cmd { return exec.Command("/proc/self/exe") },
		Settings: map[string]string{"name": "door"}, Env: []string{childRole + "=" + role},
		Certificates: s.leaves,
		API:          http.HandlerFunc(s.serveAPI), Log: slog.New(slog.NewTextHandler(s.log, nil))}
	if change != nil {
		change(&cfg)
	}
	s.server = website.New(cfg)
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- s.server.Run(ctx) }()
	s.stop = sync.OnceFunc(func() {
		for _, f := range s.idle {
			f()
		}
		cancel()
		if err := <-done; err != nil {
			t.Errorf("website: %v", err)
		}
	})
	t.Cleanup(s.stop)
	return s
}

// serveAPI answers like the gateway's API.
func (s *site) serveAPI(w http.ResponseWriter, r *http.Request) {
	s.api.Add(1)
	if r.URL.Path == "/api/forever" {
		for n := 0; r.Context().Err() == nil; n++ {
			_, _ = fmt.Fprintln(w, n)
			_ = http.NewResponseController(w).Flush()
			select {
			case <-r.Context().Done():
			case <-time.After(10 * time.Millisecond):
			}
		}
		return
	}
	v, ok := website.VisitorOf(r.Context())
	_, _ = fmt.Fprint(w, v.Remote, " ", ok)
}

// newVisitor returns a client with its own connections.
func (s *site) newVisitor() *http.Client {
	tr := &http.Transport{ForceAttemptHTTP2: true, TLSClientConfig: &tls.Config{InsecureSkipVerify: true}}
	s.idle = append(s.idle, tr.CloseIdleConnections)
	return &http.Client{Transport: tr, Timeout: 20 * time.Second}
}

func (s *site) get(c *http.Client, path string) (string, error) {
	resp, err := c.Get("https://" + s.addr + path)
	if err != nil {
		return "", err
	}
	defer func() { _ = resp.Body.Close() }()
	b, err := io.ReadAll(resp.Body)
	if err == nil && resp.StatusCode != http.StatusOK {
		err = errors.New(resp.Status)
	}
	return string(b), err
}

func (s *site) want(c *http.Client, path, text string) {
	s.t.Helper()
	got, err := s.get(c, path)
	if err != nil || !strings.Contains(got, text) {
		s.t.Fatalf("%s: got %q, %v, want %q\n%s", path, got, err, text, s.log)
	}
}

func (s *site) eventually(what string, ok func() bool) {
	s.t.Helper()
	for deadline := time.Now().Add(20 * time.Second); !ok(); time.Sleep(5 * time.Millisecond) {
		if time.Now().After(deadline) {
			s.t.Fatalf("%s: not within 20 s\n%s", what, s.log)
		}
	}
}

// findChild returns the process id of the website's child. There is one once a page has been
// served.
func (s *site) findChild() int {
	s.t.Helper()
	tasks, err := os.ReadDir("/proc/self/task")
	if err != nil {
		s.t.Fatal(err)
	}
	for _, task := range tasks {
		b, _ := os.ReadFile("/proc/self/task/" + task.Name() + "/children")
		for _, f := range strings.Fields(string(b)) {
			if pid, _ := strconv.Atoi(f); s.server.Owns(pid) {
				return pid
			}
		}
	}
	s.t.Fatal("no child")
	return 0
}

// leaves returns certificates, like the gateway.
type leaves struct {
	plain, named, challenge atomic.Pointer[tls.Certificate]
}

func (l *leaves) Leaves(netip.Addr) (*tls.Certificate, string, *tls.Certificate) {
	return l.plain.Load(), "door.example", l.named.Load()
}

func (l *leaves) Challenge(name string, _, remote net.Addr) (*tls.Certificate, error) {
	if c := l.challenge.Load(); c != nil && name == "door.example" && remote != nil {
		return c, nil
	}
	return nil, errors.New("none")
}

func newCertificate(t *testing.T, name string) *tls.Certificate {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	der, err := x509.CreateCertificate(rand.Reader, &x509.Certificate{SerialNumber: big.NewInt(1),
		NotAfter: time.Now().Add(time.Hour), DNSNames: []string{name}},
		&x509.Certificate{SerialNumber: big.NewInt(1)}, key.Public(), key)
	if err != nil {
		t.Fatal(err)
	}
	return &tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key}
}

// buffer is a log that several goroutines may write and read.
type buffer struct {
	mu sync.Mutex
	b  bytes.Buffer // guarded by mu
}

func (b *buffer) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.b.Write(p)
}

func (b *buffer) String() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.b.String()
}

// The child serves pages, answers of the API and streams under the strictest filter, which ends it
// at any system call that is not in the list.
func TestPagesComeFromTheChild(t *testing.T) {
	s := newSite(t, "strict", nil)
	c := s.newVisitor()
	s.want(c, "/hello", "127.0.0.1:")
	page, err := s.get(c, "/hello")
	if err != nil {
		t.Fatal(err)
	}
	s.want(c, "/api/who", page+" true") // the address is the parent's word, and the same
	var wg sync.WaitGroup
	for range 8 {
		c := s.newVisitor()
		wg.Go(func() {
			for range 50 {
				if _, err := s.get(c, "/api/who"); err != nil {
					t.Error(err)
					return
				}
			}
		})
	}
	wg.Wait()
	s.eventually("what the child says is logged",
		func() bool { return strings.Contains(s.log.String(), `settings={\"name\":\"door\"}`) })
}

// The headers that a visitor sends about its connection do not apply to the child's connection to
// the parent: a request to close it must not end the website for everybody.
func TestVisitorsConnectionIsTheirsAlone(t *testing.T) {
	s := newSite(t, "strict", nil)
	for _, head := range []string{"Connection: close", "Connection: TE, close", "Connection: Upgrade",
		"Upgrade: h2c", "TE: deflate", "Keep-Alive: timeout=5", "Proxy-Connection: keep-alive"} {
		c := s.newVisitor()
		c.Transport.(*http.Transport).ForceAttemptHTTP2 = false
		r, err := http.NewRequestWithContext(t.Context(), http.MethodGet, "https://"+s.addr+"/pass/api/who",
			http.NoBody)
		if err != nil {
			t.Fatal(err)
		}
		name, value, _ := strings.Cut(head, ": ")
		r.Header.Set(name, value)
		resp, err := c.Do(r)
		if err != nil {
			t.Fatalf("%s: %v", head, err)
		}
		text, _ := io.ReadAll(resp.Body)
		_ = resp.Body.Close()
		if resp.StatusCode != http.StatusOK || !strings.Contains(string(text), "true") {
			t.Errorf("%s: got %d %q, want the answer of the API", head, resp.StatusCode, text)
		}
		s.want(s.newVisitor(), "/api/who", "true")
	}
}

// If a child cannot reach its parent any more, it ends, and the next one can.
func TestWebsiteWithoutItsParentIsReplaced(t *testing.T) {
	s := newSite(t, "strict", nil)
	s.want(s.newVisitor(), "/api/who", "true")
	s.want(s.newVisitor(), "/cut", "cut: <nil>")
	s.eventually("a website that reaches its parent", func() bool {
		got, err := s.get(s.newVisitor(), "/api/who")
		return err == nil && strings.Contains(got, "true")
	})
}

func TestManyStreamsDoNotHoldUpPages(t *testing.T) {
	s := newSite(t, "strict", nil)
	for range 270 { // more than the 250 streams that HTTP/2 allows by default
		resp, err := s.newVisitor().Get("https://" + s.addr + "/api/forever")
		if err != nil {
			t.Fatalf("%v\n%s", err, s.log)
		}
		if _, err := resp.Body.Read(make([]byte, 1)); err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = resp.Body.Close() })
	}
	s.want(s.newVisitor(), "/api/who", "true")
}

func TestCertificates(t *testing.T) {
	s := newSite(t, "strict", nil)
	served := func(name string, protocols ...string) string {
		t.Helper()
		c, err := tls.Dial("tcp", s.addr, &tls.Config{ServerName: name, InsecureSkipVerify: true,
			NextProtos: protocols})
		if err != nil {
			return err.Error()
		}
		defer func() { _ = c.Close() }()
		return c.ConnectionState().PeerCertificates[0].DNSNames[0]
	}
	for _, step := range []struct {
		name   string
		change func()
		server string
		alpn   []string
		want   string
	}{
		{"the first", func() {}, "door.example", nil, "plain"},
		{"an ACME check that nobody asked for", func() {}, "door.example", []string{"acme-tls/1"},
			"remote error: tls: internal error"},
		{"a certificate for the name has arrived",
			func() { s.leaves.named.Store(newCertificate(t, "named")) },
			"door.example", nil, "named"},
		{"another name", func() {}, "localhost", nil, "plain"},
		{"a renewed certificate", func() { s.leaves.plain.Store(newCertificate(t, "renewed")) },
			"localhost", nil,
			"renewed"},
		{"an ACME check", func() { s.leaves.challenge.Store(newCertificate(t, "challenge")) }, "door.example",
			[]string{"acme-tls/1"}, "challenge"},
		{"an ACME check of another name", func() {}, "other.example", []string{"acme-tls/1"},
			"remote error: tls: internal error"},
		{"a browser during the check", func() {}, "door.example", []string{"h2", "http/1.1"}, "named"},
	} {
		step.change()
		if got := served(step.server, step.alpn...); got != step.want {
			t.Errorf("%s: got %q, want %q", step.name, got, step.want)
		}
	}
}

// Only the child can get the key of an ACME check, not a visitor.
func TestVisitorsGetNoChallenge(t *testing.T) {
	s := newSite(t, "strict", nil)
	s.leaves.challenge.Store(newCertificate(t, "challenge"))
	for _, path := range []string{"/pass/website/challenge", "/pass/website/%63hallenge"} {
		if got, err := s.get(s.newVisitor(), path+"?name=door.example"); err == nil ||
			strings.Contains(got, "Key") {
			t.Errorf("%s: got %.40q, %v", path, got, err)
		}
	}
	if n := s.api.Load(); n != 0 {
		t.Errorf("got %d requests of the API, want none", n)
	}
}

func TestChildStartsAgain(t *testing.T) {
	s := newSite(t, "site", nil)
	s.want(s.newVisitor(), "/hello", "127")
	if _, err := s.get(s.newVisitor(), "/panic"); err == nil {
		t.Error("a page that ends the process was answered")
	}
	s.want(s.newVisitor(), "/hello", "127")
	s.eventually("why it died is logged", func() bool {
		l := s.log.String()
		return strings.Contains(l, "a mistake of ours") &&
			strings.Contains(l, `website ended" why="exit status 2"`)
	})
	if strings.Contains(s.log.String(), "\x1b[2J") {
		t.Error("control characters of the child reach the log")
	}
	open := s.newVisitor()
	s.want(open, "/hello", "127")
	pid := s.findChild()
	if err := unix.Kill(pid, unix.SIGKILL); err != nil {
		t.Fatal(err)
	}
	s.eventually("another child serves", func() bool { _, err := s.get(open, "/hello"); return err == nil })
	if now := s.findChild(); now == pid {
		t.Error("the killed child still runs")
	}
}

func TestChildThatHangsIsKilled(t *testing.T) {
	s := newSite(t, "site", func(c *website.Config) {
		c.Ping, c.Hung = 50*time.Millisecond,
			500*time.Millisecond
	})
	s.want(s.newVisitor(), "/hello", "127")
	if err := unix.Kill(s.findChild(), unix.SIGSTOP); err != nil {
		t.Fatal(err)
	}
	// Connections that were passed to the hung child are lost with it.
	s.eventually("the next child serves",
		func() bool { _, err := s.get(s.newVisitor(), "/hello"); return err == nil })
	if !strings.Contains(s.log.String(), "did not answer for 500ms") {
		t.Errorf("got %s", s.log)
	}
}

func TestStopWaitsForAnswers(t *testing.T) {
	s := newSite(t, "strict", nil)
	resp, err := s.newVisitor().Get("https://" + s.addr + "/slow")
	if err != nil {
		t.Fatalf("%v\n%s", err, s.log)
	}
	defer func() { _ = resp.Body.Close() }()
	pid := s.findChild()
	s.stop()
	if b, err := io.ReadAll(resp.Body); err != nil || string(b) != "to the end" {
		t.Errorf("got %q, %v, want the complete page", b, err)
	}
	if err := unix.Kill(pid, 0); !errors.Is(err, unix.ESRCH) {
		t.Errorf("the child still runs: %v", err)
	}
	if strings.Contains(s.log.String(), "level=ERROR") {
		t.Errorf("got %s", s.log)
	}
}

// Without seccomp there is no website, but the gateway goes on.
func TestNoWebsiteWithoutSeccomp(t *testing.T) {
	s := newSite(t, "unfit", nil)
	s.eventually("the reason is known", func() bool {
		return strings.Contains(s.server.Unfit(), "CONFIG_SECCOMP_FILTER")
	})
	s.eventually("nobody listens", func() bool { _, err := net.Dial("tcp", s.addr); return err != nil })
	s.stop()
}

// The parent bounds the connections, whatever the child does: an address with too many loses its
// oldest. Connections with a sign-in stay open, once the child has told the parent of it. Nobody waits
// for that, so it may come after the answer.
func TestBoundsAreTheParents(t *testing.T) {
	for try := 1; ; try++ {
		s := newSite(t, "site", func(c *website.Config) {
			c.Bounds = limit.Connections{All: 8, EachAddr: 8, Known: 4, EachKnown: 2}
		})
		closed, again, address := s.crowd()
		if again != address && try < 10 {
			continue // the crowd was faster than the child
		}
		if again != address {
			t.Errorf("a signed-in connection: got %q, want %q, the same connection", again, address)
		}
		for i, over := range closed {
			if over != (i < 13) {
				t.Errorf("connection %d: closed is %v, want that only the oldest are closed", i, over)
			}
		}
		return
	}
}

// crowd signs in on one connection and opens 20 others. It tells which of those were closed, and from
// which address the first one sent afterwards and before.
func (s *site) crowd() (closed []bool, again, address string) {
	s.t.Helper()
	known := s.newVisitor()
	r, _ := http.NewRequest(http.MethodGet, "https://"+s.addr+"/hello", http.NoBody)
	r.Header.Set("Account", "ann")
	first, err := known.Do(r)
	if err != nil {
		s.t.Fatalf("%v\n%s", err, s.log)
	}
	body, _ := io.ReadAll(first.Body)
	_ = first.Body.Close()
	var crowd []net.Conn
	for range 20 {
		c, err := net.Dial("tcp", s.addr)
		if err != nil {
			s.t.Fatal(err)
		}
		defer func() { _ = c.Close() }()
		crowd = append(crowd, c)
	}
	for i, c := range crowd {
		wait := 10 * time.Second
		if i >= 12 {
			wait = 100 * time.Millisecond
		}
		_ = c.SetReadDeadline(time.Now().Add(wait))
		_, err := c.Read(make([]byte, 1))
		closed = append(closed, !errors.Is(err, os.ErrDeadlineExceeded))
	}
	if again, err = s.get(known, "/hello"); err != nil {
		s.t.Fatal(err)
	}
	return closed, again, string(body)
}
