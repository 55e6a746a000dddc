package transport

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"os"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/pion/dtls/v3"
	coap "github.com/plgd-dev/go-coap/v3/message"
	"github.com/plgd-dev/go-coap/v3/message/codes"
	"github.com/plgd-dev/go-coap/v3/message/pool"
	"github.com/plgd-dev/go-coap/v3/udp/coder"
	"go.uber.org/goleak"

	"latchkey/coapres/transport/message"
	"latchkey/coapres/transport/record"
	"latchkey/keys"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// memConn is one end of a datagram connection in memory. It has no socket, so it can be used in a
// synctest bubble.
type memConn struct {
	in     <-chan []byte
	out    chan<- []byte
	closed chan struct{}
	other  <-chan struct{}
	once   sync.Once
}

func newMemPair() (a, b *memConn) {
	up, down := make(chan []byte, 1024), make(chan []byte, 1024)
	a = &memConn{in: down, out: up, closed: make(chan struct{})}
	b = &memConn{in: up, out: down, closed: make(chan struct{}), other: a.closed}
	a.other = b.closed
	return a, b
}

func (c *memConn) Read(b []byte) (int, error) {
	select {
	case m := <-c.in:
		return copy(b, m), nil
	case <-c.closed:
		return 0, net.ErrClosed
	case <-c.other:
		return 0, io.EOF
	}
}

func (c *memConn) Write(b []byte) (int, error) {
	select {
	case <-c.closed:
		return 0, net.ErrClosed
	case c.out <- append([]byte(nil), b...):
		return len(b), nil
	}
}

func (c *memConn) Close() error { c.once.Do(func() { close(c.closed) }); return nil }

// memLink is the link of a Conn over a memConn.
type memLink struct {
	fixed
	*memConn
}

func (l memLink) Queue(m []byte) error { _, err := l.memConn.Write(m); return err }
func (memLink) RemoteAddr() net.Addr   { return stableAddr("mem") }

// nextDatagram returns the next datagram, or nil if none comes within d.
func (c *memConn) nextDatagram(d time.Duration) []byte {
	select {
	case m := <-c.in:
		return m
	case <-time.After(d):
		return nil
	}
}

// newMemLink runs a Conn over a memory connection until the test ends, and returns it with the
// other end.
func newMemLink(t *testing.T, h Handler) (*Conn, *memConn) {
	t.Helper()
	a, b := newMemPair()
	return runConn(t, a, h), b
}

func runConn(t *testing.T, nc *memConn, h Handler) *Conn {
	t.Helper()
	return runConnLogged(t, memLink{memConn: nc}, nc, h, orDiscard(nil))
}

func runConnLogged(t *testing.T, l link, nc *memConn, h Handler, log *slog.Logger) *Conn {
	t.Helper()
	c := newConn(l, connNumber.Add(1), "lk-memory")
	c.start(h, log, nil)
	c.open(nil)
	done := make(chan struct{})
	go func() {
		defer close(done)
		for b := make([]byte, message.MaxSize); ; {
			n, err := nc.Read(b)
			if err != nil {
				_ = c.Close()
				return
			}
			c.receive(b[:n], time.Now())
		}
	}()
	t.Cleanup(func() {
		_ = c.End()
		<-done
		<-c.Done()
	})
	return c
}

// site is a listener that is served until the test ends.
type site struct {
	*Listener
	secret keys.Secret
	opened chan *Conn
	closed chan *Conn

	mu     sync.Mutex
	failed []Failure // guarded by mu
	end    func()
}

// Two identities that the listener of a test knows. They share its secret.
const (
	known   keys.ID = "lk-0123456789"
	another keys.ID = "lk-9876543210"
)

// startSite starts a listener and serves it until the test ends. It knows the identities known and
// another. cfg need not have an address or a key look-up; if it has a look-up, that is called too, and the
// key that it returns is not used.
func startSite(t testing.TB, cfg Config, h Handler) *site {
	t.Helper()
	s := &site{secret: keys.NewSecret(), opened: make(chan *Conn, 64), closed: make(chan *Conn, 64)}
	if cfg.Addr == "" {
		cfg.Addr = freshAddr()
	}
	lookUp := cfg.PSK
	cfg.PSK = func(identity []byte) []byte {
		if lookUp != nil {
			lookUp(identity)
		}
		if string(identity) == string(known) || string(identity) == string(another) {
			return s.secret.PSK()
		}
		return keys.Decoy([]byte("test"), identity)
	}
	cfg.Failed = func(f Failure) {
		s.mu.Lock()
		defer s.mu.Unlock()
		s.failed = append(s.failed, f)
	}
	l, err := Listen(cfg)
	if err != nil {
		t.Fatal(err)
	}
	s.Listener = l
	ctx, cancel := context.WithCancel(context.Background())
	served := make(chan error, 1)
	go func() {
		served <- l.Serve(ctx, h, func(c *Conn) error { s.opened <- c; return nil },
			func(c *Conn) { s.closed <- c })
	}()
	s.end = sync.OnceFunc(func() {
		cancel()
		if err := receiveFrom(t, served); err != nil {
			t.Errorf("serve: got %v, want nil when its context ends", err)
		}
		if got := l.Sessions(); got != 0 {
			t.Errorf("got %d sessions after the end, want none", got)
		}
		if err := l.Close(); err != nil {
			t.Errorf("close: %v", err)
		}
		if err := l.Close(); err != nil {
			t.Errorf("close again: %v", err)
		}
	})
	t.Cleanup(s.end)
	return s
}

func (s *site) listFailures() []Failure {
	s.mu.Lock()
	defer s.mu.Unlock()
	return append([]Failure(nil), s.failed...)
}

// dialKnown opens an association of the node known, which ends with the test.
func (s *site) dialKnown(t *testing.T, h Handler) *Conn {
	t.Helper()
	c, err := s.tryDial(t, s.Addr().String(), known, s.secret, h)
	if err != nil {
		t.Fatal(err)
	}
	return c
}

func (s *site) tryDial(t *testing.T, addr string, id keys.ID, secret keys.Secret, h Handler) (*Conn, error) {
	t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	give := time.AfterFunc(patienceOfTests, cancel)
	c, err := Dial(ctx, addr, id, secret, h)
	give.Stop()
	if err != nil {
		cancel()
		return nil, err
	}
	t.Cleanup(func() {
		cancel()
		receiveFrom(t, c.Done())
	})
	return c, nil
}

// newPionNode returns the node known as pion's client, which has sent nothing yet. It sends the
// gateway's connection ID and has none of its own.
func (s *site) newPionNode(pc net.PacketConn) (*dtls.Conn, error) {
	return dtls.ClientWithOptions(pc, s.Addr(),
		dtls.WithPSK(func([]byte) ([]byte, error) { return s.secret.PSK(), nil }),
		dtls.WithPSKIdentityHint([]byte(known)),
		dtls.WithCipherSuites(suites[0]),
		dtls.WithConnectionIDGenerator(dtls.OnlySendCIDGenerator()),
		dtls.WithLoggerFactory(quiet))
}

// patienceOfTests is how long a test waits for something that happens at once on a quiet machine.
const patienceOfTests = time.Minute

// addresses counts the loopback addresses on which the tests of this process have listened.
var addresses atomic.Uint32

// freshAddr returns a loopback address on which nothing has listened before. The kernel soon reuses
// a port that becomes free, and then late datagrams of an earlier test would arrive there.
func freshAddr() string {
	n := addresses.Add(1)
	return fmt.Sprintf("127.%d.%d.%d:0", loopback(), n/250%200, 1+n%250)
}

// nodePort is the port of the nodes that come back. It is below the ports that the kernel assigns,
// so no other program has it.
const nodePort = 5685

// loopback returns the second byte of this process's own loopback addresses.
func loopback() int { return 64 + os.Getpid()%128 }

// receiveFrom receives from c, or fails the test after patienceOfTests.
func receiveFrom[T any](t testing.TB, c <-chan T) (v T) {
	t.Helper()
	select {
	case v = <-c:
	case <-time.After(patienceOfTests):
		t.Errorf("received nothing within %v", patienceOfTests)
	}
	return v
}

// eventually waits until f is true.
func eventually(t testing.TB, what string, f func() bool) {
	t.Helper()
	deadline := time.After(patienceOfTests)
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	for !f() {
		select {
		case <-deadline:
			t.Fatalf("not within %v: %s", patienceOfTests, what)
		case <-tick.C:
		}
	}
}

// postEcho sends a request to the other side and returns the body of the answer.
func postEcho(c *Conn, body string, limit time.Duration) (string, error) {
	ctx, cancel := context.WithTimeout(context.Background(), limit)
	defer cancel()
	m := pool.NewMessage(ctx)
	m.SetCode(codes.POST)
	m.MustSetPath("/echo")
	m.SetBody(strings.NewReader(body))
	a, err := c.Do(m)
	if err != nil {
		return "", err
	}
	b, err := a.ReadBody()
	if a.Code() != codes.Content {
		err = errors.Join(err, errors.New(a.Code().String()))
	}
	return string(b), err
}

// answerEcho answers a request with its own body.
func answerEcho(_ *Conn, req, resp *pool.Message, _ time.Time) {
	b, _ := req.ReadBody()
	resp.SetCode(codes.Content)
	resp.SetBody(strings.NewReader(string(b)))
}

// makeHello makes the smallest ClientHello: one suite, no extensions.
func makeHello(number byte, cookie []byte) []byte {
	body := append([]byte{0xfe, 0xfd}, bytes.Repeat([]byte{7}, 32)...)
	body = append(body, 0, byte(len(cookie)))
	body = append(body, cookie...)
	body = append(body, 0, 2, 0xc0, 0xa8, 1, 0)
	n := byte(len(body))
	r := []byte{record.Handshake, 0xfe, 0xff, 0, 0, 0, 0, 0, 0, 0, number, 0, record.HandshakeHeaderSize + n,
		record.ClientHello, 0, 0, n, 0, number, 0, 0, 0, 0, 0, n}
	return append(r, body...)
}

// encodeMessage encodes a message with go-coap's coder.
func encodeMessage(t testing.TB, typ coap.Type, code codes.Code, mid uint16, token []byte, path,
	body string) []byte {
	t.Helper()
	m := coap.Message{Type: typ, Code: code, MessageID: int32(mid), Token: token, Payload: []byte(body)}
	if path != "" {
		m.Options = coap.Options{{ID: coap.URIPath, Value: []byte(path)}}
	}
	b := make([]byte, message.MaxSize)
	n, err := coder.DefaultCoder.Encode(m, b)
	if err != nil {
		t.Fatal(err)
	}
	return b[:n]
}

func makeCON(t *testing.T, mid uint16, token, body string) []byte {
	return encodeMessage(t, coap.Confirmable, codes.POST, mid, []byte(token), "scan", body)
}

func makeNON(t *testing.T, mid uint16, token, body string) []byte {
	return encodeMessage(t, coap.NonConfirmable, codes.POST, mid, []byte(token), "scan", body)
}

func makeACK(t *testing.T, mid uint16, token, body string) []byte {
	return encodeMessage(t, coap.Acknowledgement, codes.Changed, mid, []byte(token), "", body)
}
