package transport

import (
	"cmp"
	"container/list"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/netip"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/time/rate"

	"latchkey/coapres/transport/limits"
	"latchkey/coapres/transport/record"
	"latchkey/coapres/transport/saved"
	"latchkey/coapres/transport/socket"
	"latchkey/coapres/transport/takeover"
	"latchkey/coapres/transport/workers"
)

// Config is what a listener needs. PSK is required.
type Config struct {
	Addr string // UDP "host:port"; port 0 takes a free one
	// PSK returns the key of an identity. For an unknown or revoked one it must return a decoy of
	// the same length, never nil: an unknown identity has to fail exactly as a wrong key does.
	PSK func(identity []byte) []byte
	// MaxSessions bounds live associations; a handshake above it is refused. Default 10,000.
	MaxSessions int
	// MaxHandshakes bounds half-open associations. Default 256; a quarter is kept for addresses
	// where nodes were last seen.
	MaxHandshakes int
	// HandshakeRate bounds the handshakes per second of strangers' addresses. Addresses where a
	// node was last seen have as many again. Default 400.
	HandshakeRate int
	// Handshake is the longest time of a handshake. Default 30 s.
	Handshake time.Duration
	// Idle ends an association after so long a silence. Default 24 h.
	Idle time.Duration
	Log  *slog.Logger
	// Failed, if set, is called for each handshake that did not complete. It must not block.
	Failed func(Failure)
	// Moved, if set, is called in a goroutine of its own when a node sends from a new address: see
	// [Conn.Path].
	Moved func(*Conn)
	// Refused, if set, is called for each request that was refused because of its options, with the
	// code and the diagnostic payload of the answer. It must not block.
	Refused func(c *Conn, code byte, why string)
	// Save, if set, is asked about each live association when Serve ends. If ok, that association is
	// not closed but can go on in another process: see [Listener.Saved]. It must not block.
	Save func(*Conn) (note []byte, ok bool)
	// Resume, if set, returns associations of an earlier process, which go on in this one: see
	// [Conn.Resumed]. It is called once, and nothing is read before it returns. It may wait until ctx
	// ends.
	Resume func(ctx context.Context) []saved.Association

	settle   time.Duration // for tests: instead of settleTime
	stateful bool          // for tests: as if pion had changed, see pioncookie.go
	unsent   func() int    // for tests: as if so many bytes of the send buffer were in use
	handled  int           // for tests: instead of maxHandled
}

// Listener accepts DTLS associations on one UDP socket. One goroutine splits every datagram and
// gives each record to its association. It answers all other records itself, or drops them.
type Listener struct {
	cfg      Config
	log      *slog.Logger
	socket   *socket.Socket
	shared   shared
	accepted chan *Conn
	ctx      context.Context //nolint:containedctx // it ends with Close, not with a caller
	stop     context.CancelFunc
	resumed  chan struct{} // closed when what Config.Resume returned is in place
	saving   atomic.Bool   // Serve saves the sessions, or has saved them
	ended    chan struct{} // closed when nothing is read any more
	err      error         // why it ended; set before ended is closed
	close    sync.Once
	wg       sync.WaitGroup

	cookies   *record.Cookies // used by the reading goroutine
	stateless bool
	busy      rate.Sometimes // used by the reading goroutine

	mu        sync.Mutex
	budget    *limits.Budget                        // guarded by mu
	hints     *limits.Hints                         // guarded by mu
	peers     map[netip.AddrPort]*peer              // guarded by mu
	cids      map[[record.CIDSize]byte]*association // guarded by mu
	strangers *list.List                            // guarded by mu; half-open associations, oldest first
	reserved  *list.List                            // guarded by mu; half-open ones of known addresses
	sessions  int                                   // guarded by mu; live associations
	// Guarded by mu; the newest live association of each identity.
	holders map[string]*association
	leaving map[*association]bool // guarded by mu; replaced and not ended yet
	saved   []suspended           // guarded by mu
	counts  struct {              // see Stats
		hellos, cookies, handshakes, finished, replaced, recordMove, ignored, overflow, hints, replayed,
		undecryptable atomic.Uint64
	}
}

// peer is what is known of one address and port.
type peer struct {
	live *association
	half []*association // oldest first
}

// Stats are counts since Listen, except for the first four.
type Stats struct {
	Sessions, HalfOpen int  // now
	ReceiveBuffer      int  // bytes, as the kernel granted them; 0 if it does not say
	Stateless          bool // a first ClientHello costs no memory

	Hellos     uint64 // ClientHellos, of any kind
	Cookies    uint64 // HelloVerifyRequests sent
	Handshakes uint64 // begun: the cookie came back
	Finished   uint64 // completed
	// Sessions ended by a newer handshake from their own address, or with their own key when there
	// was no room.
	Replaced uint64
	Moved    uint64 // new addresses of sessions
	Ignored  uint64 // records for no association, or that must not come in plaintext
	// Records dropped because a queue was full, and requests because all workers were busy.
	Overflow      uint64
	Undecryptable uint64 // records that failed to decrypt
	Replayed      uint64 // records that came twice or too late
	Lost          uint64 // datagrams that could not be sent
	Hints         uint64 // HelloRequests sent: see [Listener.Hint]
}

// Listen binds the socket. Associations are accepted from then on; [Listener.Serve] answers them.
func Listen(cfg Config) (*Listener, error) {
	if cfg.PSK == nil {
		return nil, errors.New("transport: no key look-up")
	}
	if err := takeover.Check(); err != nil {
		return nil, fmt.Errorf("transport: %w", err)
	}
	if cfg.MaxSessions == 0 {
		cfg.MaxSessions = 10_000
	}
	if cfg.MaxHandshakes == 0 {
		cfg.MaxHandshakes = 256
	}
	if cfg.HandshakeRate == 0 {
		cfg.HandshakeRate = limits.HandshakeRate
	}
	if cfg.Handshake == 0 {
		cfg.Handshake = handshakeTime
	}
	if cfg.settle == 0 {
		cfg.settle = settleTime
	}
	if cfg.Idle == 0 {
		cfg.Idle = defaultIdle
	}
	s, err := socket.Open(cfg.Addr, cfg.unsent)
	if err != nil {
		return nil, err
	}
	l := &Listener{cfg: cfg, log: orDiscard(cfg.Log), socket: s, accepted: make(chan *Conn),
		resumed: make(chan struct{}), ended: make(chan struct{}), cookies: record.NewCookies(time.Now()),
		stateless: cookieErr == nil && !cfg.stateful, busy: rate.Sometimes{Interval: 10 * time.Second},
		budget: limits.NewBudget(cfg.HandshakeRate), hints: limits.NewHints(time.Now()),
		peers: map[netip.AddrPort]*peer{},
		cids:  map[[record.CIDSize]byte]*association{}, strangers: list.New(),
		reserved: list.New(), holders: map[string]*association{}, leaving: map[*association]bool{}}
	l.shared = shared{workers.New(cmp.Or(cfg.handled, maxHandled), keptWorkers, request.answer, s.Flush),
		func() { l.counts.overflow.Add(1) }, cfg.Moved, cfg.Refused}
	if !l.stateless {
		l.log.Warn("this build has an unsuitable version of pion, so a flood of hellos can use up memory: "+
			"use another build", "err", cookieErr)
	}
	if got := s.ReceiveBuffer; got > 0 && got < socket.WantReceiveBuffer {
		l.log.Info("small receive buffer: bursts may lose datagrams; sysctl net.core.rmem_max=4194304 "+
			"allows more", "bytes", got, "asked", socket.WantReceiveBuffer)
	}
	l.ctx, l.stop = context.WithCancel(context.Background())
	go func() {
		defer close(l.ended)
		l.resume()
		if l.err = s.Read(l.handleDatagram, s.Flush); l.err == nil {
			l.err = net.ErrClosed
		}
	}()
	return l, nil
}

// Addr returns the address that the socket is bound to.
func (l *Listener) Addr() net.Addr { return l.socket.Addr() }

// Sessions returns the number of live associations.
func (l *Listener) Sessions() int {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.sessions
}

// Stats returns the counts.
func (l *Listener) Stats() Stats {
	l.mu.Lock()
	sessions, half := l.sessions, l.strangers.Len()+l.reserved.Len()
	l.mu.Unlock()
	c := &l.counts
	return Stats{Sessions: sessions, HalfOpen: half, ReceiveBuffer: l.socket.ReceiveBuffer,
		Stateless: l.stateless,
		Hellos:    c.hellos.Load(), Cookies: c.cookies.Load(), Handshakes: c.handshakes.Load(),
		Finished: c.finished.Load(),
		Replaced: c.replaced.Load(), Moved: c.recordMove.Load(), Ignored: c.ignored.Load(),
		Overflow:      c.overflow.Load(),
		Undecryptable: c.undecryptable.Load(), Replayed: c.replayed.Load(),
		Lost:  l.socket.Lost(),
		Hints: c.hints.Load()}
}

// dropAssociation removes an association from all tables.
func (l *Listener) dropAssociation(a *association) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.dropLocked(a)
}

func (l *Listener) dropLocked(a *association) {
	if a.phase == gone {
		return
	}
	if a.phase == live {
		l.sessions--
		id := *a.identity.Load()
		if l.holders[id] == a {
			delete(l.holders, id)
		}
	}
	a.phase = gone
	delete(l.cids, a.cid)
	p := l.peers[a.at]
	if p == nil {
		return
	}
	l.removeHalf(a, p)
	if p.live == a {
		p.live = nil
	}
	if p.live == nil && len(p.half) == 0 {
		delete(l.peers, a.at)
	}
}

// accept returns the next association whose handshake is complete.
func (l *Listener) accept(ctx context.Context) (*Conn, error) {
	select {
	case c := <-l.accepted:
		return c, nil
	case <-ctx.Done():
		return nil, ctx.Err()
	case <-l.ended:
		return nil, l.err
	case <-l.ctx.Done():
		return nil, net.ErrClosed
	}
}

// Close ends all handshakes, ends all associations with a close_notify, and closes the socket.
// Twice is harmless.
func (l *Listener) Close() error {
	var err error
	l.close.Do(func() {
		l.stop()
		all := l.listLive() // from here on no handshake begins
		for _, a := range all {
			_ = a.conn.Close()
		}
		l.wg.Wait()
		l.shared.pool.Close()
		if err = l.socket.Close(); errors.Is(err, net.ErrClosed) {
			err = nil // the socket was closed before
		}
		<-l.ended
	})
	return err
}
