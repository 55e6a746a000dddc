package transport

import (
	"context"
	"fmt"
	"net"
	"net/netip"
	"time"

	"github.com/pion/dtls/v3"

	"latchkey/keys"
)

// Dial opens an association as a node does: it proves the key in secret to the gateway at addr ("host:port") and then answers the
// gateway's requests with h, which may be nil. The association ends with ctx; see [Conn.Done].
func Dial(ctx context.Context, addr string, identity keys.ID, secret keys.Secret, h Handler) (*Conn, error) {
	ua, err := net.ResolveUDPAddr("udp", addr)
	if err != nil {
		return nil, fmt.Errorf("transport: dial %s: %w", addr, err)
	}
	pc, err := net.ListenUDP("udp", nil)
	if err != nil {
		return nil, fmt.Errorf("transport: dial %s: %w", addr, err)
	}
	gateway := ua.AddrPort()
	g := &guard{UDPConn: pc, gateway: netip.AddrPortFrom(gateway.Addr().Unmap(), gateway.Port())}
	dc, err := dtls.ClientWithOptions(g, ua,
		dtls.WithPSK(func([]byte) ([]byte, error) { return secret.PSK(), nil }),
		dtls.WithPSKIdentityHint([]byte(identity)),
		dtls.WithCipherSuites(suites[0]),
		dtls.WithExtendedMasterSecret(dtls.RequireExtendedMasterSecret),
		dtls.WithConnectionIDGenerator(dtls.OnlySendCIDGenerator()),
		dtls.WithReplayProtectionWindow(replayWindow),
		dtls.WithFlightInterval(flightInterval),
		dtls.WithLoggerFactory(newPionLog()),
	)
	if err != nil {
		_ = pc.Close()
		return nil, fmt.Errorf("transport: dial %s: %w", addr, err)
	}
	hctx, cancel := context.WithTimeout(ctx, handshakeTime)
	defer cancel()
	if err := dc.HandshakeContext(hctx); err != nil {
		_ = dc.Close()
		_ = pc.Close()
		if why := g.refusal(); why != "" {
			err = fmt.Errorf("%w (somebody at its address says %s)", err, why)
		}
		return nil, fmt.Errorf("transport: handshake with %s: %w", addr, err)
	}
	g.done.Store(true)
	c := newConn(ownSocket{dc, pc}, connNumber.Add(1), string(identity), 24*time.Hour)
	c.start(ctx, h, orDiscard(nil))
	stop := context.AfterFunc(ctx, func() { _ = c.End() })
	go func() {
		_ = c.serve()
		stop()
		c.finish()
	}()
	return c, nil
}

// ownSocket closes the node's socket with its association.
type ownSocket struct {
	net.Conn
	pc *net.UDPConn
}

func (o ownSocket) Close() error {
	err := o.Conn.Close()
	_ = o.pc.Close()
	return err
}
