package transport

import (
	"encoding/binary"
	"net/netip"
	"time"

	"latchkey/coapres/transport/record"
)

// handleDatagram splits a datagram into records and dispatches each of them.
func (l *Listener) handleDatagram(b []byte, from netip.AddrPort) {
	now := time.Now()
	w := workspaces.Get().(*workspace)
	defer workspaces.Put(w)
	lost := false
	for len(b) > 0 {
		r, rest, ok := record.Split(b)
		if !ok {
			l.counts.ignored.Add(1)
			break
		}
		lost = l.dispatchRecord(r, from, now, w) || lost
		b = rest
	}
	if lost {
		l.answerLost(from, now)
	}
}

// dispatchRecord dispatches one record. It tells whether r belongs to a session that this gateway
// does not have: see [record.IsLost].
func (l *Listener) dispatchRecord(r []byte, from netip.AddrPort, at time.Time, w *workspace) (lost bool) {
	switch {
	case r[0] == record.TLS12CID && record.IsEncrypted(r):
		l.mu.Lock()
		a := l.cids[[record.CIDSize]byte(r[11:])]
		ok := a != nil && a.admits(r)
		l.mu.Unlock()
		if !ok {
			l.counts.ignored.Add(1)
			return a == nil && record.IsLost(r)
		}
		l.deliverEncrypted(a, r, from, at, w)
	case record.IsEncrypted(r):
		return l.dispatchEncrypted(r, from, at, w)
	case binary.BigEndian.Uint16(r[3:]) == 0:
		l.dispatchPlaintext(r, from)
	default:
		l.counts.ignored.Add(1)
	}
	return false
}

// deliverEncrypted gives an encrypted record to an association, which opens it or keeps it.
func (l *Listener) deliverEncrypted(a *association, r []byte, from netip.AddrPort, at time.Time,
	w *workspace) {
	kept, room := a.keep(r, from, at, false)
	if !kept {
		a.receive(r, from, at, w)
		return
	}
	// pion needs the Finished. What is visibly something else it would only drop.
	if hs := a.pion.Load(); hs != nil && !a.finished.Load() && r[0] != record.ApplicationData {
		room = hs.pipe.Give(r, queueHalf) && room
	}
	if !room {
		l.counts.overflow.Add(1)
	}
}

// dispatchPlaintext lets through the plaintext records that a handshake needs. They are not
// authenticated, so they reach only associations in their handshake: a plaintext alert would make
// pion end an established one.
func (l *Listener) dispatchPlaintext(r []byte, from netip.AddrPort) {
	switch {
	case r[0] == record.Handshake && len(r) > record.HeaderSize && r[record.HeaderSize] == record.ClientHello:
		l.answerHello(r, from)
		return
	case r[0] == record.Handshake:
		if typ, number, ok := record.ParseHandshake(r); ok && typ == record.ClientKeyExchange && number == 2 {
			l.deliverToHalfOpen(r, from, true)
			return
		}
	case r[0] == record.ChangeCipherSpec && len(r) == record.HeaderSize+1 && r[record.HeaderSize] == 1:
		l.deliverToHalfOpen(r, from, false)
		return
	}
	l.counts.ignored.Add(1)
}

// deliverToHalfOpen gives a record to each half-open association of an address. Only the keys can
// tell which of them it is for.
func (l *Listener) deliverToHalfOpen(r []byte, from netip.AddrPort, exchange bool) {
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
		l.givePlaintext(a, r)
	}
	if n == 0 {
		l.counts.ignored.Add(1)
	}
}

// givePlaintext gives a plaintext record to an association in its handshake.
func (l *Listener) givePlaintext(a *association, r []byte) {
	if hs := a.pion.Load(); hs == nil || !hs.pipe.Give(r, queueHalf) {
		l.counts.overflow.Add(1)
	}
}

// dispatchEncrypted gives a record without CID to the live association of its address. It also
// gives it to the half-open ones, because it may be a Finished. lost tells that there is no session
// for that address.
func (l *Listener) dispatchEncrypted(r []byte, from netip.AddrPort, at time.Time, w *workspace) (lost bool) {
	var to [maxPerPeer + 1]*association
	n := 0
	l.mu.Lock()
	p := l.peers[from]
	if p != nil {
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
		l.deliverEncrypted(a, r, from, at, w)
	}
	if n == 0 {
		l.counts.ignored.Add(1)
	}
	return p == nil && record.IsLost(r)
}

// admits tells whether an encrypted record may be kept or opened. Before the handshake is complete
// their size and number are limited. The caller holds l.mu.
func (a *association) admits(r []byte) bool {
	if a.phase == live || a.finished.Load() {
		return true
	}
	if !a.exchange || len(r) > earlyRecord || a.early >= earlyCount {
		return false
	}
	if a.early == 0 { // this is the Finished: with the right key the handshake ends in a moment
		a.finish = time.AfterFunc(min(finishTime, a.l.cfg.Handshake), a.cancel)
	}
	a.early++
	return true
}

// recordMove records a live association's new address. If another association is at that address
// already, it keeps the address: the CID still finds this one.
func (l *Listener) recordMove(a *association) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if a.phase != live {
		return
	}
	l.counts.recordMove.Add(1)
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
