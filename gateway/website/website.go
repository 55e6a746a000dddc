// Package website runs the website as a confined child of the gateway, so that whoever takes it
// over has neither keys nor doors. [Server] is the gateway's side: it accepts connections within
// bounds, passes each on as a descriptor, starts the child again when it dies, and answers its
// requests. [Enter] is the child's side: it confines the process before it reads anything. The
// package knows no pages and no accounts.
package website

import (
	"context"
	"crypto/tls"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"math"
	"net"
	"net/http"
	"net/netip"
	"os/exec"
	"sync"
	"time"

	"golang.org/x/time/rate"

	"latchkey/gateway/limit"
	"latchkey/gateway/website/confine"
)

// Config says what is served by whom. All but Settings, Env and the times are required.
type Config struct {
	Listener net.Listener // of TCP connections
	Bounds   limit.Connections
	// Child makes the command whose process calls [Enter]. Its environment, descriptors and
	// attributes are set here.
	Child        func() *exec.Cmd
	Settings     any      // JSON for the child, once it is confined
	Env          []string // of the child, besides what it always has
	Certificates Certificates
	API          http.Handler // what the child may ask for; [VisitorOf] tells on whose behalf
	Log          *slog.Logger

	Ping  time.Duration // between two pings; default 5 s
	Hung  time.Duration // without an answer to a ping, until the child is killed; default 20 s
	Grace time.Duration // to end in good order; default 2 s
}

// Certificates is where the child's certificates come from.
type Certificates interface {
	// Leaves returns the certificate for connections to a local address, and the one for a single
	// name if there is one.
	Leaves(local netip.Addr) (plain *tls.Certificate, name string, named *tls.Certificate)
	// Challenge returns what an ACME server wants to see that checks a name over this connection
	// (RFC 8737).
	Challenge(name string, local, remote net.Addr) (*tls.Certificate, error)
}

// Server is the gateway's side. Its methods are safe for concurrent use.
type Server struct {
	cfg      Config
	listener *limit.Listener
	pace     *rate.Limiter // of the lines of the child's log

	fit chan *child // offers the child that takes connections

	mu    sync.Mutex
	pid   int    // guarded by mu; of the child, 0 while there is none
	unfit string // guarded by mu; why there is no website
}

// How long it rests before the next child: after a life of less than a minute twice as long as the
// time before.
const (
	firstRest = 50 * time.Millisecond
	maxRest   = 30 * time.Second
	longLife  = time.Minute
)

// New returns a server that nobody is served by before Run.
func New(cfg Config) *Server {
	defaults := func(d *time.Duration, to time.Duration) {
		if *d == 0 {
			*d = to
		}
	}
	defaults(&cfg.Ping, 5*time.Second)
	defaults(&cfg.Hung, 20*time.Second)
	defaults(&cfg.Grace, 2*time.Second)
	if cfg.Log == nil {
		cfg.Log = slog.New(slog.DiscardHandler)
	}
	cfg.Bounds.Idle = math.MaxInt64 // which connections are idle is known where they are served
	return &Server{cfg: cfg, listener: limit.NewListener(holding{cfg.Listener}, cfg.Bounds), pace: newPace(),
		fit: make(chan *child)}
}

// Unfit tells why there is no website; empty while there is one, or may be.
func (s *Server) Unfit() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.unfit
}

// Run serves until ctx ends, and returns nil then. It also goes on, without a website, where a
// child cannot be confined. An error is the listener's.
func (s *Server) Run(ctx context.Context) error {
	s.tellProtection()
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	var wg sync.WaitGroup
	failed := make(chan error, 1)
	wg.Go(func() {
		if err := s.accept(ctx); err != nil {
			failed <- err
			cancel()
		}
	})
	s.keepChild(ctx)
	_ = s.listener.Close()
	wg.Wait()
	select {
	case err := <-failed:
		return err
	default:
		return nil
	}
}

// tellProtection logs what the kernel lacks, where there is a website all the same.
func (s *Server) tellProtection() {
	if p := confine.Look(); p.Seccomp && p.Landlock == 0 {
		s.cfg.Log.Warn("website confined by one fence only", "lacks", p.Lacks())
	} else if p.Seccomp && p.Lacks() != "" {
		s.cfg.Log.Info("website confined", "lacks", p.Lacks())
	}
}

// Close closes the listener of a server that does not run, or ends one that does once its ctx ends.
func (s *Server) Close() error {
	if err := s.listener.Close(); err != nil && !errors.Is(err, net.ErrClosed) {
		return fmt.Errorf("website: %w", err)
	}
	return nil
}

// accept passes connections on. While there is no child, one waits here and the others in the
// listener's backlog.
func (s *Server) accept(ctx context.Context) error {
	for {
		c, err := s.listener.Accept()
		if err != nil {
			if ctx.Err() != nil || errors.Is(err, net.ErrClosed) {
				return nil
			}
			return fmt.Errorf("website: %w", err)
		}
		select {
		case to := <-s.fit:
			to.pass(c)
		case <-ctx.Done():
			_ = c.Close()
			return nil
		}
	}
}

// keepChild has one child at a time until ctx ends, or until one says that it cannot be confined.
func (s *Server) keepChild(ctx context.Context) {
	rest := firstRest
	for {
		began := time.Now()
		why := s.runChild(ctx)
		lived := time.Since(began)
		switch {
		case ctx.Err() != nil:
			return
		case s.Unfit() != "":
			s.cfg.Log.Error("no website: its process cannot be confined; doors go on", "missing", s.Unfit())
			return
		case lived > longLife:
			rest = firstRest
		}
		s.cfg.Log.Error("website ended", "why", why, "lived", lived.Round(time.Millisecond).String(), "again",
			rest.String())
		select {
		case <-time.After(rest):
		case <-ctx.Done():
			return
		}
		rest = min(2*rest, maxRest)
	}
}

func (s *Server) settings() (json.RawMessage, error) {
	b, err := json.Marshal(s.cfg.Settings)
	if err != nil {
		return nil, fmt.Errorf("website: settings: %w", err)
	}
	return b, nil
}
