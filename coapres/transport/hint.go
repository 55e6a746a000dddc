package transport

import (
	"context"
	"net/netip"
	"time"

	"golang.org/x/time/rate"

	"latchkey/coapres/transport/limits"
	"latchkey/coapres/transport/record"
)

// A hint is a HelloRequest in plaintext (RFC 5246 §7.4.1.1). It says that the gateway has no
// session with that address. It proves nothing, so a node only asks on its session whether that is
// true. An encrypted HelloRequest would end OpenSSL's sessions.

// answerLost answers a datagram with lost records by one hint, unless a handshake is under way at
// its address, or the records may belong to a session that was saved.
func (l *Listener) answerLost(from netip.AddrPort, now time.Time) {
	if l.saving.Load() {
		return
	}
	l.mu.Lock()
	p := l.peers[from]
	known := l.budget.IsKnown(from.Addr())
	ok := (p == nil || len(p.half) == 0) && !l.hints.MayBeInHandshake(from, now) &&
		l.hints.Allow(from, known, now)
	l.mu.Unlock()
	if ok {
		l.queueHint(from, known)
	}
}

func (l *Listener) queueHint(to netip.AddrPort, known bool) {
	l.counts.hints.Add(1)
	l.socket.QueueUnproven(record.HelloRequest, to, known)
}

// LastSeen is where a key was last proven, to a process before this one.
type LastSeen struct {
	Identity string
	Addr     netip.AddrPort
}

// Hint sends one hint to each of these addresses, in their order, and no faster than gateway and
// nodes complete the handshakes that follow. It is for the start of a gateway: nodes at these addresses
// learn at once that their sessions are gone. Until a key is proven elsewhere, its address counts as
// known. Hint returns when all are sent or ctx ends.
func (l *Listener) Hint(ctx context.Context, seen []LastSeen) {
	select {
	case <-l.resumed:
	case <-ctx.Done():
	}
	addresses := map[netip.Addr]bool{}
	l.mu.Lock()
	for _, s := range seen {
		addresses[s.Addr.Addr()] = true
		if s.Addr.IsValid() && l.holders[s.Identity] == nil {
			l.budget.NoteProven(s.Identity, s.Addr.Addr())
		}
	}
	l.mu.Unlock()
	pace := rate.NewLimiter(rate.Limit(limits.StartRate(len(addresses))), 1)
	for _, s := range seen {
		if !s.Addr.IsValid() || pace.Wait(ctx) != nil {
			continue
		}
		l.awaitHandshakes(ctx)
		l.mu.Lock()
		now := time.Now()
		free := l.peers[s.Addr] == nil && !l.hints.MayBeInHandshake(s.Addr, now)
		l.mu.Unlock()
		if free {
			l.queueHint(s.Addr, true)
			l.socket.Flush()
		}
	}
}

// awaitHandshakes waits while many handshakes from known addresses are under way, but not for long:
// somebody at such an address could keep them up.
func (l *Listener) awaitHandshakes(ctx context.Context) {
	for range 10 {
		l.mu.Lock()
		many := l.reserved.Len() > l.cfg.MaxHandshakes/2
		l.mu.Unlock()
		if !many || ctx.Err() != nil {
			return
		}
		time.Sleep(10 * time.Millisecond)
	}
}
