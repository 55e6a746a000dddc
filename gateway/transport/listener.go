package transport

import (
	"container/list"
	"context"
	"crypto/rand"
	"encoding/binary"
	"errors"
	"log/slog"
	"net"
	"net/netip"
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
	// MaxHandshakes bounds half-open associations. Default 256; a quarter is kept for addresses where nodes were last seen.
	MaxHandshakes int
	// Handshake ends one that takes longer. Default 30 s.
	Handshake time.Duration
	// Idle ends an association that was silent for so long. Default 24 h.
	Idle time.Duration
	Log  *slog.Logger
	// Failed, if set, is told of each handshake that did not complete. It must not block.
	Failed func(Failure)
	// Moved, if set, is told, in a goroutine of its own, that a node speaks from a new address: see [Conn.Path].
	Moved func(*Conn)

	stateful bool // as if pion had changed: see pioncookie.go
}

// Listener accepts DTLS associations on one UDP socket. One goroutine takes every datagram apart and gives each record to the association
// that it is for; all else it answers itself, or drops.
type Listener struct {
	cfg    Config
	log    *slog.Logger
	socket *socket
	accept chan *Conn
	ctx    context.Context // ends with Close
	stop   context.CancelFunc
	ended  chan struct{} // closed when nothing is read any more
	err    error         // why; set before ended is closed
	close  sync.Once
	wg     sync.WaitGroup
	pion   *pionLog

	cookies   *cookies // of the reading goroutine
	stateless bool
	busy      rate.Sometimes // of the reading goroutine

	mu       sync.Mutex
	budget   *budget                       // guarded by mu
	peers    map[netip.AddrPort]*peer      // guarded by mu
	cids     map[[cidLen]byte]*association // guarded by mu
	strange  *list.List                    // guarded by mu; half-open associations, oldest first
	reserved *list.List                    // guarded by mu; those of known addresses
	sessions int                           // guarded by mu; live associations
	holders  map[string]*association       // guarded by mu; the newest live association of each identity
	counts   struct {                      // see Stats
		hellos, cookies, handshakes, finished, replaced, moved, ignored, overflow atomic.Uint64
	}
}

// peer is what is known of one address and port.
type peer struct {
	live *association
	half []*association // oldest first
}

// Stats are counts since Listen, but for the first four.
type Stats struct {
	Sessions, HalfOpen int  // now
	ReceiveBuffer      int  // bytes, as the kernel granted them; 0 if it does not say
	Stateless          bool // a first ClientHello leaves nothing behind

	Hellos        uint64 // ClientHellos, of any kind
	Cookies       uint64 // HelloVerifyRequests sent
	Handshakes    uint64 // begun: the cookie came back
	Finished      uint64 // completed
	Replaced      uint64 // sessions ended by a newer handshake from their own address, or with their own key when there is no room
	Moved         uint64 // new addresses of sessions
	Ignored       uint64 // records for nobody, or that nobody may send in the clear
	Overflow      uint64 // records dropped because their association does not keep up
	Undecryptable uint64 // records that failed to decrypt
	Replayed      uint64 // records that came twice, or too late
	Lost          uint64 // datagrams that could not be sent
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
	s, err := openSocket(cfg.Addr)
	if err != nil {
		return nil, err
	}
	l := &Listener{cfg: cfg, log: orDiscard(cfg.Log), socket: s, accept: make(chan *Conn), ended: make(chan struct{}), pion: newPionLog(),
		cookies: newCookies(time.Now()), stateless: cookieErr == nil && !cfg.stateful, busy: rate.Sometimes{Interval: 10 * time.Second},
		budget: newBudget(), peers: map[netip.AddrPort]*peer{}, cids: map[[cidLen]byte]*association{}, strange: list.New(),
		reserved: list.New(), holders: map[string]*association{}}
	if !l.stateless {
		l.log.Warn("a flood of hellos can use up memory: this build's pion is not the one it was made for, so take another build", "err", cookieErr)
	}
	if got := s.receiveBuffer; got > 0 && got < receiveBuffer {
		l.log.Info("small receive buffer: bursts may lose datagrams; sysctl net.core.rmem_max=4194304 allows more", "bytes", got, "asked", receiveBuffer)
	}
	l.ctx, l.stop = context.WithCancel(context.Background())
	go func() {
		defer close(l.ended)
		if l.err = s.read(l.datagram); l.err == nil {
			l.err = net.ErrClosed
		}
	}()
	return l, nil
}

// Addr is the address the socket is bound to.
func (l *Listener) Addr() net.Addr { return l.socket.conn.LocalAddr() }

// Sessions is the number of live associations.
func (l *Listener) Sessions() int {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.sessions
}

// Stats returns what was counted.
func (l *Listener) Stats() Stats {
	l.mu.Lock()
	sessions, half := l.sessions, l.strange.Len()+l.reserved.Len()
	l.mu.Unlock()
	c := &l.counts
	return Stats{Sessions: sessions, HalfOpen: half, ReceiveBuffer: l.socket.receiveBuffer, Stateless: l.stateless,
		Hellos: c.hellos.Load(), Cookies: c.cookies.Load(), Handshakes: c.handshakes.Load(), Finished: c.finished.Load(),
		Replaced: c.replaced.Load(), Moved: c.moved.Load(), Ignored: c.ignored.Load(), Overflow: c.overflow.Load(),
		Undecryptable: l.pion.undecryptable.Load(), Replayed: l.pion.replayed.Load(), Lost: l.socket.lost.Load()}
}

// datagram takes a datagram apart. Each record goes its own way.
func (l *Listener) datagram(b []byte, from netip.AddrPort) {
	for len(b) > 0 {
		r, rest, ok := splitRecord(b)
		if !ok {
			l.counts.ignored.Add(1)
			return
		}
		l.record(r, from)
		b = rest
	}
}

func (l *Listener) record(r []byte, from netip.AddrPort) {
	switch epoch := binary.BigEndian.Uint16(r[3:]); {
	case r[0] == recordCID && encrypted(r):
		l.mu.Lock()
		a := l.cids[[cidLen]byte(r[11:])]
		ok := a != nil && a.admits(r)
		again := ok && a.phase == live && r[4] == 1 && [6]byte(r[5:]) == [6]byte{}
		l.mu.Unlock()
		if again {
			a.again()
		}
		l.deliver(r, from, ok, a)
	case encrypted(r):
		l.encrypted(r, from)
	case epoch == 0:
		l.plain(r, from)
	default:
		l.counts.ignored.Add(1)
	}
}

// plain is the whitelist of epoch 0. None of it is authenticated, so it reaches only associations that are in their handshake: pion would
// end an established one.
func (l *Listener) plain(r []byte, from netip.AddrPort) {
	switch {
	case r[0] == recordHandshake && len(r) > recordHeader && r[recordHeader] == msgClientHello:
		l.hello(r, from)
		return
	case r[0] == recordHandshake:
		if typ, number, ok := handshakeOf(r); ok && typ == msgClientKeyExchange && number == 2 {
			l.toHalf(r, from, true)
			return
		}
	case r[0] == recordCCS && len(r) == recordHeader+1 && r[recordHeader] == 1:
		l.toHalf(r, from, false)
		return
	}
	l.counts.ignored.Add(1)
}

// toHalf gives a record to every association of an address that is in its handshake: which of them it is for, only its keys can tell.
func (l *Listener) toHalf(r []byte, from netip.AddrPort, exchange bool) {
	var to [maxPerPeer]*association
	n := 0
	l.mu.Lock()
	if p := l.peers[from]; p != nil {
		n = copy(to[:], p.half)
	}
	for _, a := range to[:n] {
		a.exchange = a.exchange || exchange
	}
	l.mu.Unlock()
	for _, a := range to[:n] {
		l.deliver(r, from, true, a)
	}
	if n == 0 {
		l.counts.ignored.Add(1)
	}
}

// encrypted gives a record without CID to the live association of its address, and to those in their handshake: it may be a Finished.
func (l *Listener) encrypted(r []byte, from netip.AddrPort) {
	var to [maxPerPeer + 1]*association
	n := 0
	l.mu.Lock()
	if p := l.peers[from]; p != nil {
		if p.live != nil && !p.live.usesCID.Load() {
			to[n] = p.live
			n++
		}
		for _, a := range p.half {
			if a.exchange && a.admits(r) {
				to[n] = a
				n++
			}
		}
	}
	l.mu.Unlock()
	for _, a := range to[:n] {
		l.deliver(r, from, true, a)
	}
	if n == 0 {
		l.counts.ignored.Add(1)
	}
}

// admits tells whether an encrypted record may reach pion, which keeps what comes before it has the keys. The caller holds l.mu.
func (a *association) admits(r []byte) bool {
	if a.phase == live || a.finished.Load() {
		return true
	}
	if !a.exchange || len(r) > earlyRecord || a.early >= earlyCount {
		return false
	}
	if a.early == 0 { // the Finished is there, and if the key is right this one ends in a moment
		time.AfterFunc(min(finishTime, a.l.cfg.Handshake), a.cancel)
	}
	a.early++
	return true
}

func (l *Listener) deliver(r []byte, from netip.AddrPort, ok bool, a *association) {
	if !ok {
		l.counts.ignored.Add(1)
		return
	}
	room := queueLive
	if !a.finished.Load() {
		room = queueHalf
	}
	if !a.push(r, from, room) {
		l.counts.overflow.Add(1)
	}
}

// hello answers a ClientHello. It touches no live association: the new handshake runs beside it (RFC 6347 §4.2.8).
func (l *Listener) hello(r []byte, from netip.AddrPort) {
	now := time.Now()
	l.counts.hellos.Add(1)
	h, err := parseHello(r)
	if err != nil {
		l.counts.ignored.Add(1)
		l.failed(Failure{Addr: from, Cause: CauseMalformed})
		return
	}
	if l.stateless && !l.cookies.valid(from, h, now) {
		if h.number == 0 {
			l.mu.Lock()
			known := l.budget.isKnown(from.Addr())
			l.mu.Unlock()
			l.socket.offer(l.cookies.request(from, h, now), from, known)
			l.counts.cookies.Add(1)
		} else {
			l.counts.ignored.Add(1) // a cookie of another time
		}
		return
	}
	digest := h.digest()
	l.mu.Lock()
	p := l.peers[from]
	if p == nil {
		p = &peer{}
	}
	if p.live != nil && p.live.digest == digest {
		l.mu.Unlock() // a late repeat of the hello that began it
		return
	}
	for _, a := range p.half {
		if a.digest == digest || !l.stateless && a.sameHello(h) {
			l.mu.Unlock()
			l.deliver(r, from, true, a) // a repeat, or the one with pion's own cookie
			return
		}
	}
	if l.stateless && h.number != 1 || l.ctx.Err() != nil {
		l.mu.Unlock()
		return
	}
	ok, known := l.budget.allow(from.Addr(), now)
	if !ok {
		l.mu.Unlock()
		l.warnBusy(from)
		l.failed(Failure{Addr: from, Cause: CauseBusy})
		return
	}
	a, ctx, err := l.newAssociation(from, h, digest)
	if err != nil {
		l.mu.Unlock()
		l.log.Error("handshake not begun", "addr", from.String(), "err", err)
		return
	}
	a.known = known
	l.makeRoom(p, known)
	l.peers[from] = p // makeRoom may have emptied it
	p.half = append(p.half, a)
	l.cids[a.cid] = a
	if known {
		a.slot = l.reserved.PushBack(a)
	} else {
		a.slot = l.strange.PushBack(a)
	}
	first := r
	if l.stateless {
		first = h.first()
		a.cookie, a.second = append([]byte(nil), h.cookie...), append([]byte(nil), r...)
		a.shift = h.sequence - 1
	}
	a.push(first, from, queueHalf)
	l.wg.Go(func() { l.handshake(ctx, a) })
	l.mu.Unlock()
	l.counts.handshakes.Add(1)
}

// makeRoom evicts until one more half-open association fits: the oldest of its peer, then one of those that have more than their share. A
// quarter is kept for known addresses and the rest for strangers, who may not use that quarter; known addresses may use what is free. The
// caller holds l.mu.
func (l *Listener) makeRoom(p *peer, known bool) {
	if len(p.half) >= maxPerPeer {
		l.evict(p.half[0])
	}
	for {
		strange, reserved := l.strange.Len(), l.reserved.Len()
		full := strange+reserved >= l.cfg.MaxHandshakes
		switch {
		case !known && strange > 0 && strange >= l.cfg.MaxHandshakes-l.cfg.MaxHandshakes/4, full && reserved == 0:
			l.evict(crowd(l.strange))
		case full:
			l.evict(crowd(l.reserved))
		default:
			return
		}
	}
}

// crowd is the oldest association of the source that has the most: nobody pushes out what came from elsewhere while he has more himself.
func crowd(half *list.List) (oldest *association) {
	n := map[netip.Prefix]int{}
	most := 0
	for e := half.Front(); e != nil; e = e.Next() {
		s := sourceOf(e.Value.(*association).at.Addr())
		n[s]++
		most = max(most, n[s])
	}
	for e := half.Front(); e != nil; e = e.Next() {
		if oldest = e.Value.(*association); n[sourceOf(oldest.at.Addr())] == most {
			break
		}
	}
	return oldest
}

func (l *Listener) evict(a *association) {
	l.warnBusy(a.at)
	a.evicted = true
	l.dropLocked(a)
	a.cancel() // its own goroutine does the rest
}

// warnBusy says it now and then: whoever floods us must not flood the log too.
func (l *Listener) warnBusy(from netip.AddrPort) {
	l.busy.Do(func() {
		l.log.Warn("handshakes refused: too many at once; devices come back by themselves", "addr", from.String())
	})
}

// newAssociation makes an association for a hello. The caller holds l.mu.
func (l *Listener) newAssociation(from netip.AddrPort, h hello, digest [32]byte) (*association, context.Context, error) {
	a := &association{l: l, at: from, digest: digest, random: [32]byte(h.record[recordHeader+handshakeHeader+2:]), current: from,
		home:   from,
		proven: true} // its cookie came back; where pion asks for its own, that is shorter than any hello
	a.wake.L = &a.mu
	_, _ = rand.Read(a.cid[:]) // never fails
	dc, err := dtls.ServerWithOptions(a, peerAddr{from},
		dtls.WithPSK(func(identity []byte) ([]byte, error) {
			id := string(identity)
			a.identity.Store(&id)
			return l.cfg.PSK(identity), nil
		}),
		dtls.WithCipherSuites(suites...),
		dtls.WithExtendedMasterSecret(dtls.RequireExtendedMasterSecret),
		dtls.WithConnectionIDGenerator(func() []byte { a.usesCID.Store(true); return a.cid[:] }),
		dtls.WithReplayProtectionWindow(replayWindow),
		dtls.WithFlightInterval(flightInterval),
		dtls.WithLoggerFactory(l.pion),
	)
	if err != nil {
		return nil, nil, err
	}
	a.dc = dc
	ctx, cancel := context.WithTimeout(l.ctx, l.cfg.Handshake)
	a.cancel = cancel
	return a, ctx, nil
}

// sameHello tells whether h is of the same client's attempt: pion's own cookie leaves the random as it was.
func (a *association) sameHello(h hello) bool {
	return a.random == [32]byte(h.record[recordHeader+handshakeHeader+2:])
}

// handshake runs one handshake to its end and hands the association over.
func (l *Listener) handshake(ctx context.Context, a *association) {
	defer a.cancel()
	err := a.dc.HandshakeContext(ctx)
	id := ""
	if p := a.identity.Load(); p != nil {
		id = *p
	}
	if err != nil {
		l.mu.Lock()
		f := Failure{Addr: a.at, Identity: id, Cause: a.cause(id)}
		l.mu.Unlock()
		a.mute.Store(true)
		_ = a.dc.Close()
		_ = a.Close()
		if l.ctx.Err() == nil {
			l.failed(f)
		}
		return
	}
	old, cause := l.establish(a, id)
	if cause != "" {
		_ = a.dc.Close() // the other side has keys: it is told
		_ = a.Close()
		l.failed(Failure{Addr: a.at, Identity: id, Cause: cause})
		return
	}
	c := newConn(established{a.dc, a}, id, l.cfg.Idle)
	c.moved = l.cfg.Moved
	if old != nil {
		if old.at == a.at { // without a close_notify: the node there has new keys, or is another
			old.mute.Store(true)
		}
		_ = old.dc.Close()
	}
	select {
	case l.accept <- c:
	case <-l.ctx.Done():
		_ = a.dc.Close()
		_ = a.Close()
	}
}

// cause tells why a's handshake did not complete. The caller holds l.mu.
func (a *association) cause(identity string) Cause {
	switch a.alert.Load() {
	case 40, 70, 71: // handshake_failure, protocol_version, insufficient_security (RFC 5246 §7.2.2)
		return CauseSuite
	}
	switch {
	case a.finished.Load(): // the key was proven, and the node said goodbye before we were through
	case a.early > 0 && identity != "":
		return CauseKey
	case a.evicted:
		return CauseBusy
	}
	return CauseAbandoned
}

// establish makes a the live association of its address. The one that it replaces is returned and is to be ended: what was there before, or,
// when there is no more room, what the same key had elsewhere.
func (l *Listener) establish(a *association, id string) (old *association, refused Cause) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if a.phase != half {
		if a.evicted {
			return nil, CauseBusy
		}
		return nil, CauseAbandoned // it has said goodbye already
	}
	p := l.peers[a.at]
	old = p.live
	if old != nil && old.usesCID.Load() && *old.identity.Load() != id {
		old = nil // another node's, which has moved on behind the same router: its CID finds it
	}
	if old == nil && l.sessions >= l.cfg.MaxSessions {
		if old = l.holders[id]; old == nil {
			l.dropLocked(a)
			return nil, CauseFull
		}
	}
	l.leaveHalf(a, p)
	if old != nil {
		l.dropLocked(old)
		l.counts.replaced.Add(1)
	}
	a.phase = live
	p.live = a
	l.peers[a.at] = p
	l.sessions++
	l.holders[id] = a
	l.counts.finished.Add(1)
	l.budget.proven(id, a.at.Addr())
	return old, ""
}

// drop takes an association out of every table.
func (l *Listener) drop(a *association) {
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
	l.leaveHalf(a, p)
	if p.live == a {
		p.live = nil
	}
	if p.live == nil && len(p.half) == 0 {
		delete(l.peers, a.at)
	}
}

func (l *Listener) leaveHalf(a *association, p *peer) {
	if a.slot == nil {
		return
	}
	if a.known {
		l.reserved.Remove(a.slot)
	} else {
		l.strange.Remove(a.slot)
	}
	a.slot = nil
	for i, o := range p.half {
		if o == a {
			p.half = append(p.half[:i:i], p.half[i+1:]...)
			return
		}
	}
}

// moved notes a live association's new address. One that is there already keeps it: the CID finds this one.
func (l *Listener) moved(a *association) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if a.phase != live {
		return
	}
	l.counts.moved.Add(1)
	a.mu.Lock()
	to := a.current
	a.mu.Unlock()
	if p := l.peers[a.at]; p != nil && p.live == a {
		if p.live = nil; len(p.half) == 0 {
			delete(l.peers, a.at)
		}
	}
	a.at = to
	p := l.peers[to]
	if p == nil {
		p = &peer{}
		l.peers[to] = p
	}
	if p.live == nil {
		p.live = a
	}
}

func (l *Listener) failed(f Failure) {
	if l.cfg.Failed != nil {
		l.cfg.Failed(f)
	}
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
	case <-l.ctx.Done():
		return nil, net.ErrClosed
	}
}

// Close ends all handshakes, every association, with a close_notify, and the socket. Twice is harmless.
func (l *Listener) Close() error {
	var err error
	l.close.Do(func() {
		l.stop()
		l.mu.Lock() // from here on no handshake begins
		var all []*association
		for _, a := range l.cids {
			if a.phase == live {
				all = append(all, a)
			}
		}
		l.mu.Unlock()
		for _, a := range all {
			l.wg.Go(func() { _ = a.dc.Close() })
		}
		l.wg.Wait()
		if err = l.socket.conn.Close(); errors.Is(err, net.ErrClosed) {
			err = nil // lost before
		}
		<-l.ended
	})
	return err
}
