package website

import (
	"context"
	"encoding/json"
	"errors"
	"net"
	"net/http"
	"net/netip"
	"strconv"
	"sync"
	"time"
)

// The child sends requests to the API by HTTP/2 without TLS over a socket pair, so that a slow
// stream blocks no other. Each request names the visitor's connection by its number. We look up the
// address of that connection ourselves.

// connectionHeader holds the number of the visitor's connection.
const connectionHeader = "Latchkey-Connection"

// challengePath is the path at which the child requests the certificate of an ACME check.
const challengePath = "/website/challenge"

const (
	apiStreams = 4096        // at one time: pages and event streams of all connections together
	apiStream  = 64 << 10    // unread bytes on a stream to the child
	apiPair    = 1 << 20     // and on all streams
	apiHead    = 64 << 10    // bytes of a request's head
	challenged = time.Minute // how long an ACME check may take
)

// Visitor is the visitor behind a request of the child: the two ends of the connection, which the
// kernel has told us.
type Visitor struct{ Remote, Local netip.AddrPort }

type visitorKey struct{}

// VisitorOf returns the visitor behind a request of the child.
func VisitorOf(ctx context.Context) (Visitor, bool) {
	v, ok := ctx.Value(visitorKey{}).(Visitor)
	return v, ok
}

// PeerOf returns the visitor's address. It is from the kernel, not from the child.
func PeerOf(r *http.Request) (netip.AddrPort, bool) {
	v, ok := VisitorOf(r.Context())
	return v.Remote, ok
}

// http2 bounds what each side buffers for the other.
func http2() *http.HTTP2Config {
	return &http.HTTP2Config{MaxConcurrentStreams: apiStreams, MaxReceiveBufferPerStream: apiStream,
		MaxReceiveBufferPerConnection: apiPair}
}

// serveAPI answers the child until the pair is closed.
func (c *child) serveAPI(ctx context.Context) {
	var protocols http.Protocols
	protocols.SetUnencryptedHTTP2(true)
	server := &http.Server{Handler: c, Protocols: &protocols, HTTP2: http2(), MaxHeaderBytes: apiHead,
		ReadHeaderTimeout: 10 * time.Second,
		BaseContext:       func(net.Listener) context.Context { return ctx }}
	l := &oneListener{conn: c.api, over: make(chan struct{})}
	stop := context.AfterFunc(ctx, func() { _ = server.Close() })
	defer stop()
	_ = server.Serve(l)
	_ = server.Close()
}

// ServeHTTP answers a request of the child, if its visitor's connection is open now.
func (c *child) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	id, err := strconv.ParseUint(r.Header.Get(connectionHeader), 10, 64)
	conn := c.conn(id)
	if err != nil || conn == nil {
		http.Error(w, "no such connection", http.StatusMisdirectedRequest)
		return
	}
	r.Header.Del(connectionHeader)
	if r.URL.Path == challengePath {
		c.serveChallenge(w, r, conn)
		return
	}
	remote, _ := netip.ParseAddrPort(conn.RemoteAddr().String())
	local, _ := netip.ParseAddrPort(conn.LocalAddr().String())
	r.RemoteAddr = conn.RemoteAddr().String()
	c.s.cfg.API.ServeHTTP(w, r.WithContext(context.WithValue(r.Context(), visitorKey{},
		Visitor{remote, local})))
}

func (c *child) serveChallenge(w http.ResponseWriter, r *http.Request, conn net.Conn) {
	name := r.URL.Query().Get("name")
	got, err := c.s.cfg.Certificates.Challenge(name, conn.LocalAddr(), conn.RemoteAddr())
	if err == nil && got == nil {
		err = errors.New("no challenge for this name")
	}
	var l *leaf
	if err == nil {
		l, err = packLeaf(name, got)
	}
	if err != nil {
		http.Error(w, "no challenge for this name", http.StatusNotFound)
		return
	}
	_ = json.NewEncoder(w).Encode(l)
}

// oneListener accepts one connection. The next Accept waits until the end.
type oneListener struct {
	conn net.Conn

	once sync.Once
	over chan struct{}
}

func (l *oneListener) Accept() (c net.Conn, err error) {
	if c, l.conn = l.conn, nil; c != nil {
		return c, nil
	}
	<-l.over
	return nil, net.ErrClosed
}

func (l *oneListener) Close() error {
	l.once.Do(func() { close(l.over) })
	return nil
}

func (l *oneListener) Addr() net.Addr { return &net.UnixAddr{Net: "unix"} }
