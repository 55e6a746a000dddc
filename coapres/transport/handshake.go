package transport

import (
	"container/list"
	"context"
	"crypto/rand"
	"net/netip"
	"slices"
	"time"

	"github.com/pion/dtls/v3"

	"latchkey/coapres/transport/limits"
	"latchkey/coapres/transport/pipe"
	"latchkey/coapres/transport/record"
)

// answerHello answers a ClientHello. The new handshake runs beside a live association and does not
// change it (RFC 6347 §4.2.8).
func (l *Listener) answerHello(r []byte, from netip.AddrPort) {
	now := time.Now()
	l.counts.hellos.Add(1)
	l.mu.Lock()
	l.hints.NoteHello(from, now)
	known := l.budget.IsKnown(from.Addr())
	l.mu.Unlock()
	h, err := record.ParseHello(r)
	if err != nil {
		l.counts.ignored.Add(1)
		l.reportFailure(Failure{Addr: from, Cause: CauseMalformed})
		return
	}
	if l.stateless && !l.cookies.IsValid(from, h, now) {
		l.sendCookie(h, from, known, now)
		return
	}
	digest := h.Digest()
	l.mu.Lock()
	p := l.peers[from]
	if p == nil {
		p = &peer{}
	}
	if p.live != nil && p.live.digest == digest {
		l.mu.Unlock() // a late repetition of the hello that began it
		return
	}
	for _, a := range p.half {
		if a.digest == digest || !l.stateless && a.sameHello(h) {
			l.mu.Unlock()
			l.givePlaintext(a, r) // a repetition, or the hello with pion's own cookie
			return
		}
	}
	if l.stateless && h.Number != 1 || l.ctx.Err() != nil {
		l.mu.Unlock()
		return
	}
	ok, known := l.budget.Allow(from.Addr(), now)
	if !ok || !l.makeRoom(p, known, now) {
		l.mu.Unlock()
		l.warnBusy(from)
		l.reportFailure(Failure{Addr: from, Cause: CauseBusy})
		return
	}
	a, ctx, err := l.newAssociation(from, h, digest)
	if err != nil {
		l.mu.Unlock()
		l.log.Error("handshake not begun", "addr", from.String(), "err", err)
		return
	}
	a.known = known
	l.addHalf(a, p)
	first := r
	hs := a.pion.Load()
	if l.stateless {
		first = h.First()
		hs.cookie, hs.second = append([]byte(nil), h.Cookie...), append([]byte(nil), r...)
		hs.shift = h.Sequence - 1
	}
	hs.pipe.Give(first, queueHalf)
	l.wg.Go(func() { l.runHandshake(ctx, a) })
	l.mu.Unlock()
	l.counts.handshakes.Add(1)
}

// sendCookie asks the address of a first hello to prove that it receives what we send.
func (l *Listener) sendCookie(h record.Hello, from netip.AddrPort, known bool, now time.Time) {
	if h.Number != 0 {
		l.counts.ignored.Add(1) // its cookie is wrong or has expired
		return
	}
	l.socket.QueueUnproven(l.cookies.MakeRequest(from, h, now), from, known)
	l.counts.cookies.Add(1)
}

// addHalf adds a half-open association. The caller holds l.mu and has made room for it.
func (l *Listener) addHalf(a *association, p *peer) {
	l.peers[a.at] = p // makeRoom may have emptied it
	p.half = append(p.half, a)
	l.cids[a.cid] = a
	if a.known {
		a.slot = l.reserved.PushBack(a)
	} else {
		a.slot = l.strangers.PushBack(a)
	}
}

// makeRoom evicts half-open associations until one more fits: first the oldest of the same peer,
// then those of whichever group exceeds its share. A quarter of the places is reserved for known
// addresses, which may also use what strangers leave free. Strangers may not use that quarter. It
// evicts none that may still complete: nobody tells the node, and it would wait until its handshake
// times out, while a hello that is dropped comes again after a second. The caller holds l.mu.
func (l *Listener) makeRoom(p *peer, known bool, now time.Time) (ok bool) {
	if len(p.half) >= maxPerPeer {
		l.evict(p.half[0])
	}
	for {
		strange, reserved := l.strangers.Len(), l.reserved.Len()
		full := strange+reserved >= l.cfg.MaxHandshakes
		group := l.reserved
		switch {
		case !known && strange > 0 && strange >= l.cfg.MaxHandshakes-l.cfg.MaxHandshakes/4, full &&
			reserved == 0:
			group = l.strangers
		case !full:
			return true
		}
		oldest := findOldest(group)
		if now.Sub(oldest.begun) < l.cfg.settle {
			return false
		}
		l.evict(oldest)
	}
}

// findOldest returns the oldest association of the source that has the most. So a flood from one
// source evicts its own associations first.
func findOldest(half *list.List) (oldest *association) {
	n := map[netip.Prefix]int{}
	most := 0
	for e := half.Front(); e != nil; e = e.Next() {
		s := limits.SourceOf(e.Value.(*association).at.Addr())
		n[s]++
		most = max(most, n[s])
	}
	for e := half.Front(); e != nil; e = e.Next() {
		if oldest = e.Value.(*association); n[limits.SourceOf(oldest.at.Addr())] == most {
			break
		}
	}
	return oldest
}

func (l *Listener) evict(a *association) {
	l.warnBusy(a.at)
	a.evicted = true
	l.dropLocked(a)
	a.cancel() // the association's own goroutine does the rest
}

// warnBusy logs a warning, but rarely: a flood of handshakes must not flood the log too.
func (l *Listener) warnBusy(from netip.AddrPort) {
	l.busy.Do(func() {
		l.log.Warn("handshakes refused: too many at once; devices come back by themselves", "addr",
			from.String())
	})
}

// newAssociation makes an association for a hello. The caller holds l.mu.
func (l *Listener) newAssociation(from netip.AddrPort, h record.Hello,
	digest [32]byte) (*association, context.Context, error) {
	a := &association{l: l, number: connNumber.Add(1), at: from, digest: digest, begun: time.Now(),
		current: from,
		home:    from,
		proven:  true} // its cookie came back; pion's own, if it asks for one, is shorter than a hello
	_, _ = rand.Read(a.cid[:]) // never fails
	p := pipe.New(peerAddr{from}, a.writeHandshake)
	dc, err := dtls.ServerWithOptions(p, peerAddr{from},
		dtls.WithPSK(func(identity []byte) ([]byte, error) {
			id := string(identity)
			a.identity.Store(&id)
			return l.cfg.PSK(identity), nil
		}),
		dtls.WithCipherSuites(suites...),
		dtls.WithExtendedMasterSecret(dtls.RequireExtendedMasterSecret),
		dtls.WithConnectionIDGenerator(func() []byte { a.usesCID.Store(true); return a.cid[:] }),
		dtls.WithFlightInterval(gatewayFlightInterval),
		dtls.WithLoggerFactory(quiet),
	)
	if err != nil {
		return nil, nil, err
	}
	a.pion.Store(&negotiation{dc: dc, pipe: p, random: h.Random()})
	ctx, cancel := context.WithTimeout(l.ctx, l.cfg.Handshake)
	a.cancel = cancel
	return a, ctx, nil
}

// sameHello tells whether h belongs to the same attempt of a client. A hello that brings pion's own
// cookie has the same random.
func (a *association) sameHello(h record.Hello) bool {
	hs := a.pion.Load()
	return hs != nil && hs.random == h.Random()
}

// runHandshake runs one handshake to its end, takes the session over from pion, and passes it to
// Serve.
func (l *Listener) runHandshake(ctx context.Context, a *association) {
	defer a.endHandshake()
	hs := a.pion.Load()
	err := hs.dc.HandshakeContext(ctx)
	id := ""
	if p := a.identity.Load(); p != nil {
		id = *p
	}
	if err == nil {
		if err = a.takeOver(hs.dc); err != nil {
			l.log.Error("session not taken over", "addr", a.at.String(), "err", err)
		}
	}
	if err != nil {
		l.mu.Lock()
		f := Failure{Addr: a.at, Identity: id, Cause: a.findCause(id)}
		l.mu.Unlock()
		a.mute.Store(true)
		_ = hs.dc.Close()
		a.pion.Store(nil)
		l.dropAssociation(a)
		if l.ctx.Err() == nil {
			l.reportFailure(f)
		}
		return
	}
	a.pion.Store(nil)
	c := newConn(a, a.number, id)
	c.shared = &l.shared
	a.conn = c
	old, cause := l.establish(a, id)
	if cause != "" {
		_ = c.Close() // the other side has the keys: send a close_notify, unless it has newer ones
		l.reportFailure(Failure{Addr: a.at, Identity: id, Cause: cause})
		return
	}
	if old != nil && old.at == a.at { // no close_notify: the node there has new keys, or is another node
		old.mute.Store(true)
	}
	select {
	case l.accepted <- c:
	case <-l.ctx.Done():
		_ = c.Close()
	}
	if old != nil {
		_ = old.conn.End()
		l.mu.Lock()
		delete(l.leaving, old)
		l.mu.Unlock()
	}
}

// endHandshake stops the timers of a's handshake, and frees them.
func (a *association) endHandshake() {
	a.l.mu.Lock()
	defer a.l.mu.Unlock()
	a.cancel()
	a.cancel = func() {}
	if a.finish != nil {
		a.finish.Stop()
		a.finish = nil
	}
}

// findCause returns why a's handshake did not complete. The caller holds l.mu.
func (a *association) findCause(identity string) Cause {
	switch a.alert.Load() {
	case 40, 70, 71: // handshake_failure, protocol_version, insufficient_security (RFC 5246 §7.2.2)
		return CauseSuite
	}
	switch {
	case a.finished.Load(): // the key was proven, and the node closed before we had finished
	case a.early > 0 && identity != "":
		return CauseKey
	case a.evicted:
		return CauseBusy
	}
	return CauseAbandoned
}

// establish makes a the live association of its address. It returns the association that the caller
// must end: the one that was at this address, or, when there is no more room, the one that the same
// key has elsewhere. Two handshakes from one address may complete in another order than they began:
// then the newer one stays, because the node that began it has forgotten the older one.
func (l *Listener) establish(a *association, id string) (old *association, refused Cause) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if a.phase != half {
		if a.evicted {
			return nil, CauseBusy
		}
		return nil, CauseAbandoned // it has already closed
	}
	p := l.peers[a.at]
	old = p.live
	if old != nil && old.usesCID.Load() && *old.identity.Load() != id {
		old = nil // another node behind the same router, which has moved: its CID finds it
	}
	if old == nil && l.sessions >= l.cfg.MaxSessions {
		if old = l.holders[id]; old == nil {
			l.dropLocked(a)
			return nil, CauseFull
		}
	}
	if old != nil && old.number > a.number {
		l.forget(a)
		return nil, CauseAbandoned
	}
	for _, o := range slices.Clone(p.half) {
		if o.number < a.number && o.finished.Load() && *o.identity.Load() == id {
			l.forget(o)
		}
	}
	l.removeHalf(a, p)
	if old != nil {
		l.dropLocked(old)
		l.leaving[old] = true
		l.counts.replaced.Add(1)
	}
	a.phase = live
	p.live = a
	l.peers[a.at] = p
	l.sessions++
	l.holders[id] = a
	l.counts.finished.Add(1)
	l.budget.NoteProven(id, a.at.Addr())
	return old, ""
}

// forget ends an association of which the node knows nothing any more. It sends nothing: the node
// has other keys by now. The caller holds l.mu.
func (l *Listener) forget(a *association) {
	a.mute.Store(true)
	l.dropLocked(a)
}

func (l *Listener) removeHalf(a *association, p *peer) {
	if a.slot == nil {
		return
	}
	if a.known {
		l.reserved.Remove(a.slot)
	} else {
		l.strangers.Remove(a.slot)
	}
	a.slot = nil
	for i, o := range p.half {
		if o == a {
			p.half = append(p.half[:i:i], p.half[i+1:]...)
			return
		}
	}
}

func (l *Listener) reportFailure(f Failure) {
	if l.cfg.Failed != nil {
		l.cfg.Failed(f)
	}
}
