package transport

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"

	"github.com/pion/dtls/v3"

	"latchkey/coapres/transport/takeover"
	"latchkey/keys"
)

// nodeEnd holds what [Conn.Renew] needs to open another association of the same node.
type nodeEnd struct {
	guard    *guard
	gateway  *net.UDPAddr
	identity keys.ID
	secret   keys.Secret
}

// Dial opens an association as a node does: it proves the key in secret to the gateway at addr
// ("host:port") and then answers the gateway's requests with h, which may be nil. The association
// ends when ctx ends; see [Conn.Done].
func Dial(ctx context.Context, addr string, identity keys.ID, secret keys.Secret, h Handler) (*Conn, error) {
	return DialFrom(ctx, netip.Addr{}, addr, identity, secret, h)
}

// DialFrom is [Dial] from the address source of this machine. If source is not valid, the system
// chooses the address.
func DialFrom(ctx context.Context, source netip.Addr, addr string, identity keys.ID, secret keys.Secret,
	h Handler) (*Conn, error) {
	if err := takeover.Check(); err != nil {
		return nil, fmt.Errorf("transport: %w", err)
	}
	ua, err := net.ResolveUDPAddr("udp", addr)
	if err != nil {
		return nil, fmt.Errorf("transport: dial %s: %w", addr, err)
	}
	s, err := openNodeSocket(source, ua.AddrPort())
	if err != nil {
		return nil, fmt.Errorf("transport: dial %s: %w", addr, err)
	}
	return s.dial(ctx, nodeEnd{gateway: ua, identity: identity, secret: secret}, h)
}

// Renew opens another association with the same key from the same port. When its handshake is
// complete, the old one ends without a close_notify. Until then, or if the handshake fails, the old
// one stays in use. It is for a node that received a hint. c must come from [Dial] or Renew.
func (c *Conn) Renew(ctx context.Context, h Handler) (*Conn, error) {
	if c.node == nil {
		return nil, errors.New("transport: the gateway begins no handshake")
	}
	next, err := c.node.guard.s.dial(ctx, *c.node, h)
	if err != nil {
		return nil, err
	}
	c.node.guard.mute.Store(true)
	_ = c.End()
	return next, nil
}

func (s *nodeSocket) dial(ctx context.Context, e nodeEnd, h Handler) (*Conn, error) {
	g, err := s.addGuard(e.gateway)
	if err != nil {
		return nil, fmt.Errorf("transport: dial %s: %w", e.gateway, err)
	}
	e.guard = g
	dc, err := dtls.ClientWithOptions(g.pipe, e.gateway,
		dtls.WithPSK(func([]byte) ([]byte, error) { return e.secret.PSK(), nil }),
		dtls.WithPSKIdentityHint([]byte(e.identity)),
		dtls.WithCipherSuites(suites[0]),
		dtls.WithExtendedMasterSecret(dtls.RequireExtendedMasterSecret),
		dtls.WithConnectionIDGenerator(dtls.OnlySendCIDGenerator()),
		dtls.WithFlightInterval(flightInterval),
		dtls.WithLoggerFactory(quiet),
	)
	if err != nil {
		g.abandon()
		return nil, fmt.Errorf("transport: dial %s: %w", e.gateway, err)
	}
	hctx, cancel := context.WithTimeout(ctx, nodeHandshakeTime)
	defer cancel()
	err = dc.HandshakeContext(hctx)
	if g.done.Store(true); err != nil {
		_ = dc.Close()
		g.abandon()
		if why := g.nameAlert(); why != "" {
			err = fmt.Errorf("%w (somebody at its address says %s)", err, why)
		}
		return nil, fmt.Errorf("transport: handshake with %s: %w", e.gateway, err)
	}
	if err := g.takeOver(dc); err != nil {
		g.abandon()
		return nil, err
	}
	c := newConn(g, connNumber.Add(1), string(e.identity))
	c.node, g.conn = &e, c
	c.start(h, orDiscard(nil), nil)
	g.begin()
	stop := context.AfterFunc(ctx, func() { _ = c.End() })
	c.open(func(*Conn) { stop() })
	if s.isClosed() { // since the handshake
		_ = c.Close()
	}
	return c, nil
}

// Hinted holds a token when a hint has come: somebody says, without proof, that the gateway does
// not have this session any more. [Conn.Ping] finds out. Only a node's end gets hints.
func (c *Conn) Hinted() <-chan struct{} {
	if c.node == nil {
		return nil
	}
	return c.node.guard.hints
}
