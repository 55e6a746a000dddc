// Package website runs the website as a confined child process of the gateway, so that somebody who
// takes it over gets no keys and no doors. [Server] is the gateway's side: it accepts connections
// within bounds, passes each to the child as a descriptor, restarts the child when it dies, and
// answers its requests. [Enter] is the child's side: it confines the process before it reads
// anything. The package knows no pages and no accounts.
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

// Config is what a Server needs. All but Settings, Env and the times are required.
type Config struct {
	Listener net.Listener // of TCP connections
	Bounds   limit.Connections
	// Child returns the command whose process calls [Enter]. The Server sets its environment,
	// descriptors and attributes.
	Child        func() *exec.Cmd
	Settings     any      // sent to the child as JSON when it is confined
	Env          []string // further environment of the child
	Certificates Certificates
	API          http.Handler // answers the child's requests; [VisitorOf] names the visitor
	Log          *slog.Logger

	Ping  time.Duration // time between two pings; default 5 s
	Hung  time.Duration // time without an answer after which the child is killed; default 20 s
	Grace time.Duration // time to end in good order; default 2 s
}

// Certificates provides the child's certificates.
type Certificates interface {
	// Leaves returns the certificate for connections to a local address, and the one for a single
	// name if there is one.
	Leaves(local netip.Addr) (plain *tls.Certificate, name string, named *tls.Certificate)
	// Challenge returns the certificate for an ACME server that checks a name over this connection
	// (RFC 8737).
	Challenge(name string, local, remote net.Addr) (*tls.Certificate, error)
}

// Server is the gateway's side. Its methods are safe for concurrent use.
type Server struct {
	cfg      Config
	listener *limit.Listener
	pace     *rate.Limiter // limits the lines of the child's log

	fit chan *child // the child that is ready for connections

	mu    sync.Mutex
	pid   int    // guarded by mu; of the child, 0 while there is none
	unfit string // guarded by mu; why there is no website
}

// Waits before the next child is started. After a child that lived less than a minute the wait
// doubles.
const (
	firstRest = 50 * time.Millisecond
	maxRest   = 30 * time.Second
	longLife  = time.Minute
)

// New returns a server. It serves nobody before Run.
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
	cfg.Bounds.Idle = math.MaxInt64 // only the child knows which connections are idle
	return &Server{cfg: cfg, listener: limit.NewListener(holding{cfg.Listener}, cfg.Bounds), pace: newPace(),
		fit: make(chan *child)}
}

// Unfit returns why there can be no website, or nothing.
func (s *Server) Unfit() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.unfit
}

// Run serves until ctx ends, and then returns nil. If a child cannot be confined it goes on without
// a website. An error is the listener's.
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

// tellProtection logs what protection the kernel lacks, although there is a website.
func (s *Server) tellProtection() {
	if p := confine.Look(); p.Seccomp && p.Landlock == 0 {
		s.cfg.Log.Warn("website confined by one fence only", "lacks", p.Lacks())
	} else if p.Seccomp && p.Lacks() != "" {
		s.cfg.Log.Info("website confined", "lacks", p.Lacks())
	}
}

// Close closes the listener. A server that runs ends when its ctx ends.
func (s *Server) Close() error {
	if err := s.listener.Close(); err != nil && !errors.Is(err, net.ErrClosed) {
		return fmt.Errorf("website: %w", err)
	}
	return nil
}

// accept passes connections to the child. While there is no child, one waits here and the others
// wait in the listener's backlog.
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

// keepChild runs one child after the other until ctx ends, or until one cannot be confined.
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
