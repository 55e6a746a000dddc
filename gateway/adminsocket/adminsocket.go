// Package adminsocket serves the admin API on a unix socket. Whoever can open the socket may do
// everything: it has mode 0600, in a folder with mode 0700. Each request carries the user at the
// other end, as the kernel names it. Package admin defines the operations and who may do them.
package adminsocket

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"net/http"
	"os"
	"time"

	"latchkey/gateway/account"
	"latchkey/gateway/limit"
)

// Bounds of the socket, so that a script that went wrong does not take the memory that doors need.
var (
	conns = limit.Connections{All: 64, EachAddr: 64, Known: 48, EachKnown: 48, Idle: 10 * time.Second}

	requests = limit.Requests{Known: limit.Class{
		All:  limit.Budget{Requests: 48, Bytes: 8 << 20},
		Each: limit.Budget{Requests: 48, Bytes: 8 << 20},
		Body: 1 << 20, Read: 30 * time.Second,
		Write: 15 * time.Minute, // a check of a long chain of events takes minutes
	}}
)

// Server serves the socket. [Listen] makes one.
type Server struct {
	listener net.Listener
	http     *http.Server
}

// Listen binds the socket and replaces any file at its path. The caller holds the store's lock, so
// no other gateway uses that file. Processes for which refuse is true are not served.
func Listen(path string, refuse func(pid int) bool, api http.Handler) (*Server, error) {
	if err := os.Remove(path); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("gateway: admin socket: %w", err)
	}
	l, err := net.Listen("unix", path)
	if err != nil {
		return nil, fmt.Errorf("gateway: admin socket: %w", err)
	}
	if err := os.Chmod(path, 0o600); err != nil {
		return nil, errors.Join(fmt.Errorf("gateway: admin socket: %w", err), l.Close())
	}
	bounded := limit.NewListener(refusing{l, refuse}, conns)
	one := func(*http.Request) limit.Client { return limit.Client{Account: "admin socket"} }
	return &Server{listener: bounded, http: &http.Server{Handler: limit.NewHandler(api, one, requests),
		ReadHeaderTimeout: 5 * time.Second, IdleTimeout: time.Minute, MaxHeaderBytes: 16 << 10,
		ConnContext: func(ctx context.Context, c net.Conn) context.Context {
			ctx = bounded.ConnContext(ctx, c)
			if own, ok := c.(interface{ NetConn() net.Conn }); ok {
				c = own.NetConn()
			}
			return account.WithPrincipal(ctx, account.NewUnixPeer(userOf(c)))
		}}}, nil
}

// Serve serves until ctx ends and then returns nil.
func (s *Server) Serve(ctx context.Context) error {
	stop := context.AfterFunc(ctx, func() { _ = s.Close() })
	defer stop()
	if err := s.http.Serve(s.listener); !errors.Is(err, http.ErrServerClosed) {
		return fmt.Errorf("gateway: admin socket: %w", err)
	}
	return nil
}

// Close waits a moment for requests under way and ends the rest. Twice is harmless.
func (s *Server) Close() error {
	ctx, cancel := context.WithTimeout(context.Background(), time.Second)
	defer cancel()
	if s.http.Shutdown(ctx) != nil {
		_ = s.http.Close()
	}
	if err := s.listener.Close(); err != nil && !errors.Is(err, net.ErrClosed) {
		return fmt.Errorf("gateway: admin socket: %w", err)
	}
	return nil
}

// refusing closes the connections of some processes before a byte of them is read.
type refusing struct {
	net.Listener
	refuse func(pid int) bool
}

func (l refusing) Accept() (net.Conn, error) {
	for {
		c, err := l.Listener.Accept()
		if err != nil {
			return nil, err
		}
		if cred := peerCredentials(c); cred == nil || !l.refuse(int(cred.Pid)) {
			return c, nil
		}
		_ = c.Close()
	}
}
