package limit_test

import (
	"bufio"
	"bytes"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"net/http/httptrace"
	"os"
	"strings"
	"testing"
	"time"

	"golang.org/x/net/http2"
	"golang.org/x/net/http2/hpack"

	"latchkey/gateway/limit"
)

var (
	budget = limit.Budget{Requests: 4, Bytes: 4000}
	half   = limit.Budget{Requests: 2, Bytes: 2000}
	class  = limit.Class{All: budget, Each: half, Body: 1000, Read: 2 * time.Second, Write: 10 * time.Second}

	requests    = limit.Requests{Strangers: class, Known: class}
	connections = limit.Connections{All: 8, EachAddr: 4, Known: 4, EachKnown: 2, Idle: 10 * time.Second}
)

// server serves over TLS. A request with the header Account is signed in. /wait answers when the
// test closes open; /body answers with what was sent.
type server struct {
	*httptest.Server
	t       *testing.T
	entered chan limit.Client
	open    chan struct{} // closed: /wait answers
	ended   chan error    // the cause if the context of /wait ends before that
}

func serve(t *testing.T, c limit.Connections, b limit.Requests) *server {
	t.Helper()
	s := &server{t: t, entered: make(chan limit.Client, 100), open: make(chan struct{}),
		ended: make(chan error, 100)}
	mux := http.NewServeMux()
	mux.HandleFunc("/wait", func(w http.ResponseWriter, r *http.Request) {
		_, _ = io.Copy(io.Discard, r.Body)
		s.entered <- limit.ClientOf(r.Context())
		select {
		case <-s.open:
		case <-r.Context().Done():
			s.ended <- context.Cause(r.Context())
		}
	})
	mux.HandleFunc("/last", func(_ http.ResponseWriter, r *http.Request) {
		limit.Detach(r.Context())
		s.entered <- limit.ClientOf(r.Context())
		<-s.open
	})
	mux.HandleFunc("/page", func(w http.ResponseWriter, _ *http.Request) {
		_, _ = io.WriteString(w, "a page")
	})
	mux.HandleFunc("/body", func(w http.ResponseWriter, r *http.Request) {
		b, err := io.ReadAll(r.Body)
		if err != nil {
			http.Error(w, err.Error(), http.StatusBadRequest)
			return
		}
		_, _ = w.Write(b)
	})
	s.Server = httptest.NewUnstartedServer(limit.NewHandler(mux,
		func(r *http.Request) limit.Client { return limit.Client{Account: r.Header.Get("Account")} }, b))
	l := limit.NewListener(s.Listener, c)
	s.Listener, s.Config.ConnContext, s.EnableHTTP2 = l, l.ConnContext, true
	s.Config.HTTP2 = &http.HTTP2Config{MaxConcurrentStreams: 16}
	s.StartTLS()
	t.Cleanup(s.Close)
	return s
}

// newClient returns a client with its own connections from an address of this machine.
func (s *server) newClient(addr string) *http.Client {
	d := net.Dialer{LocalAddr: &net.TCPAddr{IP: net.ParseIP(addr)}}
	tr := &http.Transport{DialContext: d.DialContext,
		TLSClientConfig:   s.Client().Transport.(*http.Transport).TLSClientConfig.Clone(),
		ForceAttemptHTTP2: true}
	s.t.Cleanup(tr.CloseIdleConnections)
	return &http.Client{Transport: tr, Timeout: 20 * time.Second}
}

// ask sends a request and returns the status of the answer; 0 if there is none.
func (s *server) ask(c *http.Client, account, path string, body io.Reader) int {
	r, err := http.NewRequest(http.MethodPost, s.URL+path, body)
	if err != nil {
		s.t.Error(err)
		return 0
	}
	if account != "" {
		r.Header.Set("Account", account)
	}
	resp, err := c.Do(r)
	if err != nil {
		return 0
	}
	defer func() { _ = resp.Body.Close() }()
	_, _ = io.Copy(io.Discard, resp.Body)
	return resp.StatusCode
}

// holdRequests starts n requests that stay under way, each on a connection of its own.
func (s *server) holdRequests(n int, addr, account string) {
	s.t.Helper()
	for range n {
		go s.ask(s.newClient(addr), account, "/wait", nil)
		select {
		case c := <-s.entered:
			if c.Account != account || c.Addr != addr {
				s.t.Errorf("got %+v, want %s at %s", c, account, addr)
			}
		case <-time.After(10 * time.Second):
			s.t.Fatal("a request has not reached its handler")
		}
	}
}

func (s *server) want(status int, addr, account, path string, body io.Reader) {
	s.t.Helper()
	if got := s.ask(s.newClient(addr), account, path, body); got != status {
		s.t.Errorf("%q at %s: POST %s: got %d, want %d", account, addr, path, got, status)
	}
}

func TestStrangersDoNotLimitSignedInClients(t *testing.T) {
	t.Parallel()
	s := serve(t, limit.Connections{All: 50, EachAddr: 50, Known: 40, EachKnown: 20, Idle: 10 * time.Second},
		requests)
	s.holdRequests(2, "127.0.0.1", "")
	s.want(429, "127.0.0.1", "", "/body", nil) // the limit of the address
	s.want(200, "127.0.0.2", "", "/body", nil)
	s.holdRequests(2, "127.0.0.2", "")
	s.want(429, "127.0.0.2", "", "/body", nil)
	// The limit of all strangers is reached, but each new address may still have one request.
	s.want(200, "127.0.0.3", "", "/body", nil)
	for _, addr := range []string{"127.0.0.3", "127.0.0.4", "127.0.0.5", "127.0.0.6"} {
		s.holdRequests(1, addr, "")
		s.want(429, addr, "", "/body", nil)
	}
	s.want(429, "127.0.0.7", "", "/body", nil)
	s.want(200, "127.0.0.1", "ann", "/body", nil)
	s.holdRequests(2, "127.0.0.1", "ann")
	s.want(429, "127.0.0.4", "ann", "/body", nil) // the limit of the account, at any address
	s.want(200, "127.0.0.1", "bob", "/body", nil)
	for range 3 { // detached requests are not counted here
		go s.ask(s.newClient("127.0.0.1"), "cid", "/last", nil)
		<-s.entered
	}
	s.want(200, "127.0.0.1", "cid", "/body", nil)
	close(s.open)
}

// The rate of strangers' requests is limited; signed-in clients at the same address are not.
func TestRateOfStrangersRequests(t *testing.T) {
	t.Parallel()
	b := requests
	b.Strangers.Rate, b.Strangers.EachRate = 1, 1
	s := serve(t, limit.Connections{All: 50, EachAddr: 50, Known: 40, EachKnown: 20, Idle: 10 * time.Second},
		b)
	for _, addr := range []string{"127.0.0.1", "127.0.0.2"} { // the first uses up the rate of all
		got := map[int]int{}
		for range 10 {
			got[s.ask(s.newClient(addr), "", "/body", nil)]++
		}
		if got[429] == 0 || got[200]+got[429] != 10 || got[200] == 0 && addr == "127.0.0.1" {
			t.Errorf("%s: got %v, want the first answered, and others refused", addr, got)
		}
	}
	for range 10 {
		s.want(200, "127.0.0.1", "ann", "/body", nil)
	}
}

func TestBodies(t *testing.T) {
	t.Parallel()
	s := serve(t, connections, requests)
	for _, tt := range []struct {
		name   string
		body   io.Reader
		status int
	}{
		{"as long as allowed", strings.NewReader(strings.Repeat("x", 1000)), 200},
		{"too long", strings.NewReader(strings.Repeat("x", 1001)), 413},
		{"too long, without a length", io.MultiReader(strings.NewReader(strings.Repeat("x", 1001))), 400},
		{"short, without a length", io.MultiReader(strings.NewReader("x")), 200},
		{"none", nil, 200},
	} {
		t.Run(tt.name, func(t *testing.T) {
			if got := s.ask(s.newClient("127.0.0.1"), "", "/body", tt.body); got != tt.status {
				t.Errorf("got %d, want %d", got, tt.status)
			}
		})
	}
}

func TestBodyThatNeverEnds(t *testing.T) {
	t.Parallel()
	s := serve(t, connections, requests)
	for _, account := range []string{"", "ann"} {
		body, _ := io.Pipe() // the client closes it when the answer arrives
		if got := s.ask(s.newClient("127.0.0.1"), account, "/body", body); got != 400 {
			t.Errorf("%q: got %d, want 400 when the time for a body is over", account, got)
		}
	}
	s.want(200, "127.0.0.1", "", "/body", nil) // its claim was given back
}

// An HTTP/1.1 server keeps reading after the body, to notice when the client disconnects. The
// deadline for the body must not end the request then.
func TestDeadlineOfTheBodyIsNotThatOfTheAnswer(t *testing.T) {
	t.Parallel()
	s := serve(t, connections, requests)
	for _, body := range []string{"", "a=b"} {
		c := s.dial("http/1.1")
		if _, err := fmt.Fprintf(c, "POST /wait HTTP/1.1\r\nHost: localhost\r\nContent-Length: %d\r\n\r\n%s",
			len(body), body); err != nil {
			t.Fatal(err)
		}
		<-s.entered
		select {
		case err := <-s.ended:
			t.Errorf("%q: the request was ended: %v", body, err)
		case <-time.After(3 * class.Read / 2):
		}
		_ = c.Close()
		<-s.ended
	}
}

// dial returns a TLS connection with this protocol.
func (s *server) dial(proto string) *tls.Conn {
	s.t.Helper()
	cfg := s.Client().Transport.(*http.Transport).TLSClientConfig.Clone()
	cfg.NextProtos = []string{proto}
	c, err := tls.Dial("tcp", s.Listener.Addr().String(), cfg)
	if err != nil {
		s.t.Fatal(err)
	}
	s.t.Cleanup(func() { _ = c.Close() })
	return c
}

// isClosed waits until the other side has closed the connection, and tells whether it did.
func isClosed(c net.Conn, within time.Duration) bool {
	_ = c.SetReadDeadline(time.Now().Add(within))
	_, err := io.Copy(io.Discard, c)
	var timeout net.Error
	return !errors.As(err, &timeout) || !timeout.Timeout()
}

func TestIdleConnectionsOfStrangers(t *testing.T) {
	t.Parallel()
	b := connections
	b.Idle = 2 * time.Second
	s := serve(t, b, requests)
	silent, err := net.Dial("tcp", s.Listener.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = silent.Close() }()
	for name, c := range map[string]net.Conn{"no handshake": silent,
		"HTTP/1.1 without a request": s.dial("http/1.1"), "HTTP/2 without a preface": s.dial("h2")} {
		if !isClosed(c, 10*time.Second) {
			t.Errorf("%s: the connection is still open", name)
		}
	}
	for account, want := range map[string]bool{"": true, "ann": false} {
		c := s.dial("http/1.1")
		if _, err := fmt.Fprintf(c, "GET /body HTTP/1.1\r\nHost: localhost\r\nAccount: %s\r\n\r\n",
			account); err != nil {
			t.Fatal(err)
		}
		resp, err := http.ReadResponse(bufio.NewReader(c), nil)
		if err != nil || resp.StatusCode != 200 {
			t.Fatalf("%q: got %v, %v", account, resp, err)
		}
		within := 10 * time.Second
		if !want {
			within = 2 * b.Idle
		}
		if got := isClosed(c, within); got != want {
			t.Errorf("%q: after an answer: closed is %v, want %v", account, got, want)
		}
	}
}

func TestNewConnectionClosesTheOldestOfAFullAddress(t *testing.T) {
	t.Parallel()
	s := serve(t, connections, requests)
	signedIn := s.newClient("127.0.0.1")
	if got := s.ask(signedIn, "ann", "/body", nil); got != 200 {
		t.Fatalf("got %d", got)
	}
	var crowd []net.Conn
	for range 20 {
		crowd = append(crowd, s.dial("http/1.1"))
	}
	for i, c := range crowd[:17] {
		if !isClosed(c, 10*time.Second) {
			t.Errorf("connection %d is still open", i)
		}
	}
	for i, c := range crowd[17:] {
		if isClosed(c, 100*time.Millisecond) {
			t.Errorf("connection %d is closed although there is room", 17+i)
		}
	}
	s.want(200, "127.0.0.2", "", "/body", nil)
	reused := false
	r, err := http.NewRequestWithContext(traceReuse(t.Context(), &reused), http.MethodGet, s.URL+"/body", nil)
	if err != nil {
		t.Fatal(err)
	}
	r.Header.Set("Account", "ann")
	if resp, err := signedIn.Do(r); err != nil || resp.StatusCode != 200 || !reused {
		t.Errorf("a signed-in client lost its connection because of the others: %v", err)
	} else {
		_ = resp.Body.Close()
	}
}

// openUnread opens a connection with HTTP/2 whose window has no room for answers. The function
// requests a page on a stream.
func (s *server) openUnread() (*http2.Framer, func(stream uint32) error) {
	s.t.Helper()
	c := s.dial("h2")
	_ = c.SetDeadline(time.Now().Add(10 * time.Second))
	frames := http2.NewFramer(c, c)
	_, err := io.WriteString(c, http2.ClientPreface)
	if err := errors.Join(err, frames.WriteSettings(http2.Setting{ID: http2.SettingInitialWindowSize,
		Val: 0})); err != nil {
		s.t.Fatal(err)
	}
	var head bytes.Buffer
	enc := hpack.NewEncoder(&head)
	return frames, func(stream uint32) error {
		head.Reset()
		for _, h := range [][2]string{{":method", "GET"}, {":scheme", "https"}, {":authority", "localhost"},
			{":path", "/page"}} {
			_ = enc.WriteField(hpack.HeaderField{Name: h[0], Value: h[1]})
		}
		return frames.WriteHeaders(http2.HeadersFrameParam{StreamID: stream, BlockFragment: head.Bytes(),
			EndHeaders: true, EndStream: true})
	}
}

// A request whose answer waits for its reader counts as under way, although its handler has ended.
func TestAnswersThatNobodyReadsAreUnderWay(t *testing.T) {
	t.Parallel()
	s := serve(t, connections, requests)
	frames, ask := s.openUnread()
	for i := range uint32(3) {
		if err := ask(2*i + 1); err != nil {
			t.Fatal(err)
		}
	}
	got, dec := map[string]int{}, hpack.NewDecoder(4096, nil)
	for got["200"]+got["429"] < 3 {
		fr, err := frames.ReadFrame()
		if err != nil {
			t.Fatalf("%v, %v", got, err)
		}
		if h, ok := fr.(*http2.HeadersFrame); ok {
			fields, err := dec.DecodeFull(h.HeaderBlockFragment())
			if err != nil {
				t.Fatal(err)
			}
			got[fields[0].Value]++
		}
	}
	if got["200"] != 2 || got["429"] != 1 {
		t.Errorf("got %v, want two answers and one refusal", got)
	}
}

func TestCancelledRequestsCount(t *testing.T) {
	t.Parallel()
	s := serve(t, connections, requests)
	frames, ask := s.openUnread()
	asked := 0
	go func() {
		for id := uint32(1); asked < 100_000; id += 2 {
			if ask(id) != nil || frames.WriteRSTStream(id, http2.ErrCodeCancel) != nil {
				return
			}
			asked++
		}
	}()
	for {
		if _, err := frames.ReadFrame(); err != nil {
			if errors.Is(err, os.ErrDeadlineExceeded) {
				t.Error("the connection is still open")
			}
			return
		}
	}
}

// The body of a stranger's request is read at a limited pace; that of a signed-in client is not.
func TestPace(t *testing.T) {
	t.Parallel()
	paced := connections
	paced.Burst, paced.Pace = 4<<10, 4<<10 // at this pace the body takes longer than a stranger's deadline
	long := requests
	long.Strangers.Body, long.Strangers.All.Bytes, long.Strangers.Each.Bytes = 64<<10, 64<<10, 64<<10
	long.Known = long.Strangers
	long.Known.Read = 20 * time.Second
	s := serve(t, paced, long)
	for account, status := range map[string]int{"": 400, "ann": 200} {
		c := s.newClient("127.0.0.1")
		for _, body := range []string{"x", strings.Repeat("x", 50<<10)} {
			if got := s.ask(c, account, "/body", strings.NewReader(body)); len(body) > 1 && got != status {
				t.Errorf("%q: %d bytes: got %d, want %d", account, len(body), got, status)
			}
		}
	}
}

// With HTTP/2 an answer waits until the client's window has room. A refusal must not wait for that.
func TestRefusalIsNotHeldUp(t *testing.T) {
	t.Parallel()
	s := serve(t, connections, requests)
	s.holdRequests(2, "127.0.0.1", "")
	frames, ask := s.openUnread()
	if err := ask(1); err != nil {
		t.Fatal(err)
	}
	ended, away := false, false
	for !ended || !away {
		fr, err := frames.ReadFrame()
		if err != nil {
			t.Fatalf("stream ended: %v, GOAWAY received: %v: %v", ended, away, err)
		}
		switch fr := fr.(type) {
		case *http2.HeadersFrame:
			ended = ended || fr.StreamEnded()
		case *http2.GoAwayFrame:
			away = true
		}
	}
	close(s.open)
}

// traceReuse records whether a request uses a connection that existed already.
func traceReuse(ctx context.Context, reused *bool) context.Context {
	return httptrace.WithClientTrace(ctx,
		&httptrace.ClientTrace{GotConn: func(i httptrace.GotConnInfo) { *reused = i.Reused }})
}
