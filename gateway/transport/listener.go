package transport

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/netip"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/pion/dtls/v3"
	"golang.org/x/time/rate"
)

// Config is what a listener needs. PSK is required.
type Config struct {
	Addr string // UDP "host:port"; port 0 takes a free one
	// PSK returns the key of an identity. For an unknown or revoked one it must return a decoy of the same length, never nil: an
	// unknown identity has to fail exactly as a wrong key does.
	PSK func(identity []byte) []byte
	// MaxSessions bounds live associations; a handshake above it is refused. Default 10,000.
	MaxSessions int
	// MaxHandshakes bounds half-open associations. Default 256.
	MaxHandshakes int
	// Handshake ends one that takes longer. Default 30 s.
	Handshake time.Duration
	// Idle ends an association that was silent for so long. Default 24 h.
	Idle time.Duration
	Log  *slog.Logger
	// Failed, if set, is told of each handshake that did not complete. It must not wait: other handshakes wait for it.
	Failed func(Failure)
}

// Listener accepts DTLS associations on one UDP socket.
type Listener struct {
	cfg    Config
	log    *slog.Logger
	inner  net.Listener
	accept chan *Conn
	ended  chan struct{} // closed when nothing will be accepted any more
	err    error         // why; set before ended is closed
	stop   context.CancelFunc
	close  sync.Once
	wg     sync.WaitGroup

	live, half atomic.Int64
}

// Listen binds the socket. Associations are accepted from then on; [Listener.Serve] answers them.
func Listen(cfg Config) (*Listener, error) {
	if cfg.PSK == nil {
		return nil, errors.New("transport: no key look-up")
	}
	if cfg.MaxSessions == 0 {
		cfg.MaxSessions = 10_000
	}
	if cfg.MaxHandshakes == 0 {
		cfg.MaxHandshakes = 256
	}
	if cfg.Handshake == 0 {
		cfg.Handshake = handshakeTime
	}
	if cfg.Idle == 0 {
		cfg.Idle = defaultIdle
	}
	addr, err := net.ResolveUDPAddr("udp", cfg.Addr)
	if err != nil {
		return nil, fmt.Errorf("transport: listen %s: %w", cfg.Addr, err)
	}
	l := &Listener{cfg: cfg, log: orDiscard(cfg.Log), accept: make(chan *Conn), ended: make(chan struct{})}
	attempts := rate.NewLimiter(200, 400)
	l.inner, err = dtls.ListenWithOptions("udp", addr,
		dtls.WithPSK(func(identity []byte) ([]byte, error) { return cfg.PSK(identity), nil }),
		dtls.WithCipherSuites(suites...),
		dtls.WithExtendedMasterSecret(dtls.RequireExtendedMasterSecret),
		dtls.WithConnectionIDGenerator(dtls.RandomCIDGenerator(cidLen)),
		dtls.WithReplayProtectionWindow(replayWindow),
		dtls.WithFlightInterval(flightInterval),
		dtls.WithLoggerFactory(quiet()),
		dtls.WithOnConnectionAttempt(func(addr net.Addr) error {
			if !attempts.Allow() || l.half.Load() >= int64(cfg.MaxHandshakes) {
				l.failed(addr, "", CauseBusy)
				return errBusy
			}
			return nil
		}),
	)
	if err != nil {
		return nil, fmt.Errorf("transport: listen %s: %w", cfg.Addr, err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	l.stop = cancel
	l.wg.Go(func() { l.acceptLoop(ctx) })
	return l, nil
}

var errBusy = errors.New("too many handshakes")

// Addr is the address the socket is bound to.
func (l *Listener) Addr() net.Addr { return l.inner.Addr() }

// Sessions is the number of live associations.
func (l *Listener) Sessions() int { return int(l.live.Load()) }

// acceptLoop starts a handshake for each new peer. ctx ends with Close.
func (l *Listener) acceptLoop(ctx context.Context) {
	defer close(l.ended)
	busy := rate.Sometimes{Interval: 10 * time.Second}
	for {
		c, err := l.inner.Accept()
		switch {
		case err == nil:
		case ctx.Err() != nil:
			l.err = net.ErrClosed
			return
		case errors.Is(err, errBusy): // whoever floods us must not flood the log too
			busy.Do(func() { l.log.Warn("handshakes refused", "err", err) })
			continue
		default: // the socket is gone, and every further call would say so
			l.err = err
			return
		}
		l.half.Add(1)
		l.wg.Go(func() {
			defer l.half.Add(-1)
			l.handshake(ctx, c.(*dtls.Conn))
		})
	}
}

// handshake runs one handshake to its end and hands the association over.
func (l *Listener) handshake(ctx context.Context, dc *dtls.Conn) {
	hctx, cancel := context.WithTimeout(ctx, l.cfg.Handshake)
	defer cancel()
	err := dc.HandshakeContext(hctx)
	st, ok := dc.ConnectionState() // also of a handshake that failed, if it got as far as a suite
	identity := string(st.IdentityHint)
	if err != nil || !ok {
		_ = dc.Close()
		if ctx.Err() == nil {
			l.failed(dc.RemoteAddr(), identity, causeOf(err, identity))
		}
		return
	}
	if int(l.live.Add(1)) > l.cfg.MaxSessions {
		l.live.Add(-1)
		_ = dc.Close()
		l.failed(dc.RemoteAddr(), identity, CauseFull)
		return
	}
	select {
	case l.accept <- newConn(dc, identity, l.cfg.Idle):
	case <-ctx.Done():
		l.live.Add(-1)
		_ = dc.Close()
	}
}

func (l *Listener) failed(addr net.Addr, identity string, cause Cause) {
	if l.cfg.Failed != nil {
		l.cfg.Failed(Failure{Addr: addrPort(addr), Identity: identity, Cause: cause})
	}
}

// causeOf reads pion's error, whose values it keeps to itself.
func causeOf(err error, identity string) Cause {
	var fatal *dtls.FatalError
	switch {
	case identity != "":
		return CauseKey
	case !errors.As(err, &fatal) || errors.Is(err, dtls.ErrConnClosed):
		return CauseAbandoned
	}
	for _, what := range []string{"cipher suites", "elliptic curves", "Extended Master Secret"} {
		if strings.Contains(fatal.Error(), what) {
			return CauseSuite
		}
	}
	return CauseMalformed
}

func addrPort(a net.Addr) netip.AddrPort {
	u, ok := a.(*net.UDPAddr)
	if !ok {
		return netip.AddrPort{}
	}
	ap := u.AddrPort()
	return netip.AddrPortFrom(ap.Addr().Unmap(), ap.Port())
}

// AcceptWithContext returns the next association whose handshake is complete, a *[Conn].
func (l *Listener) AcceptWithContext(ctx context.Context) (net.Conn, error) {
	select {
	case c := <-l.accept:
		return c, nil
	case <-ctx.Done():
		return nil, ctx.Err()
	case <-l.ended:
		return nil, l.err
	}
}

// Serve answers every association until ctx ends, then closes them, waits for their handlers and returns nil. open is called before the
// first message of an association is read and may refuse it; closed is called once after its end, when handlers may still be at work.
func (l *Listener) Serve(ctx context.Context, h Handler, open func(*Conn) error, closed func(*Conn)) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	var wg sync.WaitGroup
	defer wg.Wait()
	defer cancel()
	for {
		nc, err := l.AcceptWithContext(ctx)
		if err != nil {
			if ctx.Err() != nil {
				return nil
			}
			return fmt.Errorf("transport: serve: %w", err)
		}
		c := nc.(*Conn)
		wg.Go(func() {
			defer l.live.Add(-1)
			c.start(ctx, h, l.log)
			if err := open(c); err != nil {
				_ = c.End()
				_ = c.serve() // lets go-coap's own goroutines end
				c.finish()
				return
			}
			stop := context.AfterFunc(ctx, func() { _ = c.End() })
			err := c.serve()
			stop()
			if err != nil && idleTimeout(err) {
				l.log.Info("session idle", "addr", c.RemoteAddr())
			}
			closed(c)
			c.finish()
		})
	}
}

// Close ends the socket and all handshakes. Twice is harmless.
func (l *Listener) Close() error {
	var err error
	l.close.Do(func() {
		l.stop()
		err = l.inner.Close()
		l.wg.Wait()
	})
	return err
}
