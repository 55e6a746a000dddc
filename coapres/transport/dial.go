package transport

import (
	"context"
	"errors"
	"fmt"
	"net"
	"time"

	"github.com/pion/dtls/v3"

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
	ua, err := net.ResolveUDPAddr("udp", addr)
	if err != nil {
		return nil, fmt.Errorf("transport: dial %s: %w", addr, err)
	}
	s, err := openNodeSocket(ua.AddrPort())
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
	g, err := s.addGuard()
	if err != nil {
		return nil, fmt.Errorf("transport: dial %s: %w", e.gateway, err)
	}
	e.guard = g
	dc, err := dtls.ClientWithOptions(g, e.gateway,
		dtls.WithPSK(func([]byte) ([]byte, error) { return e.secret.PSK(), nil }),
		dtls.WithPSKIdentityHint([]byte(e.identity)),
		dtls.WithCipherSuites(suites[0]),
		dtls.WithExtendedMasterSecret(dtls.RequireExtendedMasterSecret),
		dtls.WithConnectionIDGenerator(dtls.OnlySendCIDGenerator()),
		dtls.WithReplayProtectionWindow(replayWindow),
		dtls.WithFlightInterval(flightInterval),
		dtls.WithLoggerFactory(newPionLog()),
	)
	if err != nil {
		_ = g.Close()
		return nil, fmt.Errorf("transport: dial %s: %w", e.gateway, err)
	}
	hctx, cancel := context.WithTimeout(ctx, handshakeTime)
	defer cancel()
	if err := dc.HandshakeContext(hctx); err != nil {
		_ = dc.Close()
		_ = g.Close()
		if why := g.nameAlert(); why != "" {
			err = fmt.Errorf("%w (somebody at its address says %s)", err, why)
		}
		return nil, fmt.Errorf("transport: handshake with %s: %w", e.gateway, err)
	}
	g.done.Store(true)
	c := newConn(ownSocket{dc, g}, connNumber.Add(1), string(e.identity), 24*time.Hour)
	c.node = &e
	c.start(ctx, h, orDiscard(nil))
	stop := context.AfterFunc(ctx, func() { _ = c.End() })
	go func() {
		_ = c.serve()
		stop()
		c.finish()
	}()
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

// pingLimit is how long Ping waits. It repeats the ping after pingRepeat, and again after twice
// that time.
const (
	pingLimit  = time.Second
	pingRepeat = pingLimit / 4
)

var errNoPong = errors.New("transport: a ping was not answered")

// Ping asks the other side for a Reset (RFC 7252 §4.3), at most three times within one second. It
// returns nil if a Reset came: whoever sent it has this association's keys.
func (c *Conn) Ping(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, pingLimit)
	defer cancel()
	pong, answered := context.WithCancelCause(ctx)
	defer answered(nil)
	mid := uint16(c.cc.GetMessageID())
	c.awaitReset(mid, answered)
	defer c.forgetRequest(mid)
	if err := c.exchange.sendPing(mid, pingRepeat); err != nil {
		return err
	}
	select {
	case <-pong.Done():
	case <-c.Context().Done():
	}
	if context.Cause(pong) != errReset {
		return errNoPong
	}
	return nil
}

// ownSocket gives the node's socket the same life as its association.
type ownSocket struct {
	net.Conn
	guard *guard
}

func (o ownSocket) Close() error {
	err := o.Conn.Close()
	_ = o.guard.Close()
	return err
}
