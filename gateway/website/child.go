package website

import (
	"context"
	"crypto/tls"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"net"
	"net/http"
	"net/url"
	"os"
	"runtime/debug"
	"strconv"
	"strings"
	"sync"
	"time"

	"latchkey/gateway/website/confine"
)

// The descriptors that the parent starts a child with.
const (
	controlFile = 3
	apiFile     = 4
)

const maxThreads = 64 // more would be a bug, and ends the child

// Site is the child's side. It is a [net.Listener] of the connections that the parent passes on.
type Site struct {
	Settings   json.RawMessage
	Protection confine.Protection // of this process

	control  *control
	api      *http.ClientConn
	conns    chan *passed
	stopping chan struct{}
	over     chan struct{} // closed when the control socket ends

	once sync.Once
}

// Enter confines this process, tells its parent that it is ready, and returns when the parent has
// sent the settings. The process cannot read files after that, so it must have read them before;
// time zones are in the program. After an error the process must end.
func Enter(bounds confine.Bounds) (*Site, error) {
	debug.SetMaxThreads(maxThreads)
	_, _ = time.Now().Zone() // reads the file of this machine's time zone
	c, err := connOf(os.NewFile(controlFile, "control"))
	if err != nil {
		return nil, errors.New("website: only the gateway starts this command")
	}
	pair, err := connOf(os.NewFile(apiFile, "api"))
	if err != nil {
		return nil, errors.New("website: only the gateway starts this command")
	}
	s := &Site{control: &control{conn: c}, conns: make(chan *passed), stopping: make(chan struct{}),
		over: make(chan struct{})}
	if s.Protection, err = confine.Apply(bounds); err != nil {
		why := err.Error()
		if errors.Is(err, confine.ErrNoFence) {
			why = s.Protection.Lacks()
		}
		return nil, errors.Join(err, s.control.send(message{Kind: kindUnfit, Why: why}, nil))
	}
	if err := s.dial(pair); err != nil {
		return nil, err
	}
	if err := s.control.send(message{Kind: kindReady}, nil); err != nil {
		return nil, err
	}
	m, _, err := s.control.receive(make([]byte, maxToChild))
	if err != nil || m.Kind != kindSettings {
		return nil, errors.Join(errors.New("website: no settings came"), err)
	}
	s.Settings = m.Settings
	go s.listen()
	return s, nil
}

// dial makes an HTTP/2 connection of the socket pair. A transport that dials by itself would dial
// once for each of the first requests.
func (s *Site) dial(pair net.Conn) error {
	var protocols http.Protocols
	protocols.SetUnencryptedHTTP2(true)
	t := &http.Transport{Protocols: &protocols, HTTP2: http2(), DisableCompression: true,
		DialContext: func(context.Context, string, string) (net.Conn, error) { return pair, nil }}
	var err error
	if s.api, err = t.NewClientConn(context.Background(), "http", "gateway:80"); err != nil {
		return fmt.Errorf("website: %w", err)
	}
	return nil
}

// ofConnection are headers about the visitor's connection. All visitors' requests share one
// connection to the parent, which knows nothing of these and would not be used again after a close.
var ofConnection = []string{"Connection", "Keep-Alive", "Proxy-Connection", "Te", "Transfer-Encoding", "Upgrade"}

// RoundTrip sends a request to the parent, for the visitor's connection in the request's context.
func (s *Site) RoundTrip(r *http.Request) (*http.Response, error) {
	p, ok := r.Context().Value(connKey{}).(*passed)
	if !ok {
		return nil, errors.New("website: a request of nobody")
	}
	out := r.Clone(r.Context())
	out.Close = false
	for _, name := range ofConnection {
		out.Header.Del(name)
	}
	out.Header.Set(connectionHeader, strconv.FormatUint(p.id, 10))
	resp, err := s.api.RoundTrip(out)
	if err != nil && s.api.Err() != nil {
		s.stop() // this process is of no use any more: the parent starts another one
	}
	return resp, err
}

// ServeHTTP passes a request to the parent and copies the answer, piece by piece as it comes.
func (s *Site) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if r.URL.Path == challengePath { // it is ours, not the visitors'
		http.NotFound(w, r)
		return
	}
	out := r.Clone(r.Context())
	out.URL.Scheme, out.URL.Host, out.Host, out.RequestURI = "http", "gateway", "", ""
	resp, err := s.RoundTrip(out)
	if err != nil {
		http.Error(w, "The gateway does not answer.", http.StatusBadGateway)
		return
	}
	defer func() { _ = resp.Body.Close() }()
	maps.Copy(w.Header(), resp.Header)
	w.WriteHeader(resp.StatusCode)
	flush := http.NewResponseController(w)
	if resp.ContentLength < 0 { // a stream: send the header now
		_ = flush.Flush()
	}
	b := make([]byte, 16<<10)
	for {
		n, err := resp.Body.Read(b)
		if n > 0 {
			if _, err := w.Write(b[:n]); err != nil {
				return
			}
			_ = flush.Flush() // some writers cannot flush, and need not
		}
		if err != nil {
			return
		}
	}
}

type connKey struct{}

// ConnContext is for [http.Server.ConnContext]. With it RoundTrip finds the connection of a
// request.
func (s *Site) ConnContext(ctx context.Context, c net.Conn) context.Context {
	if p := passedOf(c); p != nil {
		return context.WithValue(ctx, connKey{}, p)
	}
	return ctx
}

// Stopping returns a channel that is closed when the process should end in good order, or the
// parent has ended.
func (s *Site) Stopping() <-chan struct{} { return s.stopping }

// listen handles the parent's messages until the control socket ends.
func (s *Site) listen() {
	defer close(s.over)
	defer s.stop()
	var plain, named *tls.Certificate
	var name string
	buf := make([]byte, maxToChild)
	for {
		m, file, err := s.control.receive(buf)
		if err != nil {
			return
		}
		switch m.Kind {
		case kindPing:
			err = s.control.send(message{Kind: kindPong, ID: m.ID}, nil)
		case kindStop:
			s.stop()
		case kindCertificate:
			var c *tls.Certificate
			if m.Leaf == nil {
				return
			}
			if c, err = m.Leaf.unpack(); m.Leaf.Name == "" {
				plain = c
			} else {
				name, named = m.Leaf.Name, c
			}
		case kindConnection:
			err = s.receive(&passed{site: s, id: m.ID, plain: plain, name: name, named: named}, file)
		default:
			err = errors.New("website: unknown message")
		}
		if err != nil {
			return
		}
	}
}

func (s *Site) stop() {
	s.once.Do(func() { close(s.stopping) })
}

// receive makes a connection of a descriptor and passes it to Accept.
func (s *Site) receive(p *passed, file *os.File) error {
	if file == nil {
		return errors.New("website: a connection without a descriptor")
	}
	c, err := net.FileConn(file)
	_ = file.Close()
	if err != nil {
		return fmt.Errorf("website: %w", err)
	}
	p.Conn = c
	select {
	case s.conns <- p:
	case <-s.stopping:
		_ = p.Close()
	}
	return nil
}

// Accept returns the next connection that the parent passes on.
func (s *Site) Accept() (net.Conn, error) {
	select {
	case p := <-s.conns:
		return p, nil
	case <-s.stopping:
		return nil, net.ErrClosed
	}
}

// Close makes Accept return.
func (s *Site) Close() error {
	s.stop()
	return nil
}

// Addr returns an empty address: the child does not know it.
func (s *Site) Addr() net.Addr { return &net.TCPAddr{} }

// Known tells the parent that an account is signed in on a connection.
func (s *Site) Known(c net.Conn, account string) {
	if p := passedOf(c); p != nil {
		_ = s.control.send(message{Kind: kindKnown, ID: p.id, Account: account}, nil)
	}
}

// acmeProtocol is the only protocol that an ACME server offers when it checks a name (RFC 8737).
const acmeProtocol = "acme-tls/1"

// Certificate is for [tls.Config.GetCertificate]. It asks the parent only for the check of an ACME
// server.
func (s *Site) Certificate(hello *tls.ClientHelloInfo) (*tls.Certificate, error) {
	p := passedOf(hello.Conn)
	if p == nil {
		return nil, errors.New("website: not a connection of the gateway's")
	}
	here := p.named != nil && strings.EqualFold(hello.ServerName, p.name)
	if len(hello.SupportedProtos) == 1 && hello.SupportedProtos[0] == acmeProtocol {
		return s.challenge(p, hello.ServerName)
	}
	if here {
		return p.named, nil
	}
	return p.plain, nil
}

func (s *Site) challenge(p *passed, name string) (*tls.Certificate, error) {
	ctx, cancel := context.WithTimeout(context.WithValue(context.Background(), connKey{}, p), challenged)
	defer cancel()
	r, err := http.NewRequestWithContext(ctx, http.MethodGet,
		"http://gateway"+challengePath+"?name="+url.QueryEscape(name), http.NoBody)
	if err != nil {
		return nil, fmt.Errorf("website: %w", err)
	}
	resp, err := s.RoundTrip(r)
	if err != nil {
		return nil, fmt.Errorf("website: challenge: %w", err)
	}
	defer func() { _ = resp.Body.Close() }()
	var l leaf
	if resp.StatusCode != http.StatusOK {
		return nil, fmt.Errorf("website: challenge: %s", resp.Status)
	}
	if err := json.NewDecoder(io.LimitReader(resp.Body, maxToChild)).Decode(&l); err != nil {
		return nil, fmt.Errorf("website: challenge: %w", err)
	}
	return l.unpack()
}

// passed is a connection that the parent has passed on.
type passed struct {
	net.Conn
	site         *Site
	id           uint64
	plain, named *tls.Certificate
	name         string

	once sync.Once
	err  error
}

// Close ends the connection and tells the parent.
func (p *passed) Close() error {
	p.once.Do(func() {
		if c, ok := p.Conn.(*net.TCPConn); ok { // the parent has a descriptor, too
			_, _ = c.CloseWrite(), c.CloseRead()
		}
		p.err = p.Conn.Close()
		_ = p.site.control.send(message{Kind: kindDone, ID: p.id}, nil)
	})
	return p.err
}

// NetConn returns the wrapped connection.
func (p *passed) NetConn() net.Conn { return p.Conn }

// passedOf finds our connection inside its wrappers.
func passedOf(c net.Conn) *passed {
	for c != nil {
		if p, ok := c.(*passed); ok {
			return p
		}
		w, ok := c.(interface{ NetConn() net.Conn })
		if !ok {
			return nil
		}
		c = w.NetConn()
	}
	return nil
}
