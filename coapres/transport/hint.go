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

// Hint sends one hint to each of these addresses, in their order, and no faster than the gateway
// can take the handshakes that follow. It is for the start of a gateway: nodes at these addresses
// learn at once that their sessions are gone. It returns when all are sent or ctx ends.
func (l *Listener) Hint(ctx context.Context, addrs []netip.AddrPort) {
	select {
	case <-l.resumed:
	case <-ctx.Done():
	}
	pace := rate.NewLimiter(limits.HintRate, 1)
	for _, to := range addrs {
		if !to.IsValid() || pace.Wait(ctx) != nil {
			continue
		}
		l.mu.Lock()
		free := l.peers[to] == nil && !l.hints.MayBeInHandshake(to, time.Now())
		l.mu.Unlock()
		if free {
			l.queueHint(to, true)
			l.socket.Flush()
		}
	}
}
