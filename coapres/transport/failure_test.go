package transport

import (
	"context"
	"net"
	"net/netip"
	"testing"
	"time"

	"github.com/pion/dtls/v3"

	"latchkey/coapres/transport/record"
	"latchkey/keys"
)

// What is told of a failed handshake is what the peer claimed, and from where.
func TestFailures(t *testing.T) {
	for _, tc := range []struct {
		rule  string
		try   func(t *testing.T, s *site) netip.AddrPort // a peer's try, and its address
		claim string
		want  Cause
	}{
		{"a wrong key", func(t *testing.T, s *site) netip.AddrPort { return s.fails(t, string(known)) }, string(known), CauseKey},
		{"an unknown identity, whatever its bytes", func(t *testing.T, s *site) netip.AddrPort { return s.fails(t, "\x00\xffnobody") },
			"\x00\xffnobody", CauseKey},
		{"no common suite", func(t *testing.T, s *site) netip.AddrPort {
			return s.fails(t, string(known), dtls.WithCipherSuites(dtls.TLS_PSK_WITH_AES_128_GCM_SHA256))
		}, "", CauseSuite},
		{"no extended master secret", func(t *testing.T, s *site) netip.AddrPort {
			return s.fails(t, string(known), dtls.WithExtendedMasterSecret(dtls.DisableExtendedMasterSecret))
		}, "", CauseSuite},
		{"a peer that says hello and no more", func(t *testing.T, s *site) netip.AddrPort {
			n, c := s.throughNAT(t, nil)
			within(t, s.opened) // or its goodbye could come first, and count as a failure
			_ = c.End()
			u, err := net.DialUDP("udp", nil, s.Addr().(*net.UDPAddr))
			if err != nil {
				t.Fatal(err)
			}
			t.Cleanup(func() { _ = u.Close() })
			halfOpen(t, u, n.firstFlight())
			return u.LocalAddr().(*net.UDPAddr).AddrPort()
		}, "", CauseAbandoned},
		{"a hello in pieces, which is not answered", func(t *testing.T, s *site) netip.AddrPort {
			c := newRaw(t, "127.0.0.1", s.Addr(), nil)
			b := helloBytes(0, nil)
			b[record.HeaderSize+11]-- // the fragment is shorter than the message
			c.send(b)
			if got := c.within(100 * time.Millisecond); got != 0 {
				t.Errorf("got %d bytes", got)
			}
			return c.addr()
		}, "", CauseMalformed},
	} {
		t.Run(tc.rule, func(t *testing.T) {
			t.Parallel()
			s := listen(t, Config{Handshake: 3 * time.Second}, echo)
			from := tc.try(t, s)
			eventually(t, "the failure is told", func() bool { return len(s.failures()) > 0 })
			got := s.failures()
			if len(got) != 1 || got[0].Identity != tc.claim || got[0].Cause != tc.want || got[0].Addr.Port() != from.Port() || !got[0].Addr.Addr().IsLoopback() {
				t.Errorf("got %+v, want one: %s of %q from port %d", got, tc.want, tc.claim, from.Port())
			}
		})
	}
}

// fails tries to open an association with a key that is not the identity's, and returns from where.
func (s *site) fails(t *testing.T, identity string, opts ...dtls.ClientOption) netip.AddrPort {
	t.Helper()
	wrong := keys.NewSecret()
	pc, err := net.ListenUDP("udp", &net.UDPAddr{IP: net.IPv4(127, 0, 0, 1)})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = pc.Close() })
	dc, err := dtls.ClientWithOptions(pc, s.Addr(), append([]dtls.ClientOption{
		dtls.WithPSK(func([]byte) ([]byte, error) { return wrong.PSK(), nil }),
		dtls.WithPSKIdentityHint([]byte(identity)),
		dtls.WithCipherSuites(suites[0]),
		dtls.WithLoggerFactory(newPionLog()),
	}, opts...)...)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = dc.Close() })
	ctx, cancel := context.WithTimeout(context.Background(), patienceOfTests)
	defer cancel()
	go func() { // it tries until the gateway has told of it
		for ; len(s.failures()) == 0 && ctx.Err() == nil; time.Sleep(5 * time.Millisecond) {
		}
		cancel()
	}()
	if err := dc.HandshakeContext(ctx); err == nil {
		t.Fatal("a session was opened")
	}
	return pc.LocalAddr().(*net.UDPAddr).AddrPort()
}

// Who has sent a Finished that proves no key is told of in seconds, however long a handshake may
// take, and hears nothing of it.
func TestWrongKeyIsToldSoon(t *testing.T) {
	t.Parallel()
	s := listen(t, Config{Handshake: time.Minute}, echo)
	c := newRaw(t, "127.0.0.1", s.Addr(), keys.NewSecret().PSK())
	for _, step := range []step{stepHello, stepKeyExchange, stepChangeCipher, stepFinished} {
		if err := c.do(step); err != nil {
			t.Fatal(err)
		}
	}
	eventually(t, "the failure is told", func() bool { f := s.failures(); return len(f) == 1 && f[0].Cause == CauseKey })
	if err := c.hear(200*time.Millisecond, func(r []byte) bool { return r[0] == record.Alert }); err == nil {
		t.Error("got an alert, want silence")
	}
}
