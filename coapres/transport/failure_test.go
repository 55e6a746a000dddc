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

// The report of a failed handshake has its cause, the identity that the peer claimed, and the
// peer's address.
func TestFailures(t *testing.T) {
	for _, tc := range []struct {
		rule string
		// Makes a handshake fail and returns the peer's address.
		try   func(t *testing.T, s *site) netip.AddrPort
		claim string
		want  Cause
	}{
		{"a wrong key", func(t *testing.T, s *site) netip.AddrPort {
			return s.failHandshake(t, string(known))
		}, string(known), CauseKey},
		{"an unknown identity, whatever its bytes",
			func(t *testing.T, s *site) netip.AddrPort { return s.failHandshake(t, "\x00\xffnobody") },
			"\x00\xffnobody", CauseKey},
		{"no common suite", func(t *testing.T, s *site) netip.AddrPort {
			return s.failHandshake(t, string(known),
				dtls.WithCipherSuites(dtls.TLS_PSK_WITH_AES_128_GCM_SHA256))
		}, "", CauseSuite},
		{"no extended master secret", func(t *testing.T, s *site) netip.AddrPort {
			return s.failHandshake(t, string(known),
				dtls.WithExtendedMasterSecret(dtls.DisableExtendedMasterSecret))
		}, "", CauseSuite},
		{"a peer that sends nothing after its hello", func(t *testing.T, s *site) netip.AddrPort {
			n, c := s.throughNAT(t, nil)
			// Otherwise its close_notify could come before the handshake is complete, and count as
			// a failure.
			receiveFrom(t, s.opened)
			_ = c.End()
			u, err := net.DialUDP("udp", nil, s.Addr().(*net.UDPAddr))
			if err != nil {
				t.Fatal(err)
			}
			t.Cleanup(func() { _ = u.Close() })
			beginHandshake(t, u, n.firstHello())
			return u.LocalAddr().(*net.UDPAddr).AddrPort()
		}, "", CauseAbandoned},
		{"a fragmented hello, which is not answered", func(t *testing.T, s *site) netip.AddrPort {
			c := newRawClient(t, "127.0.0.1", s.Addr(), nil)
			b := makeHello(0, nil)
			b[record.HeaderSize+11]-- // the fragment is shorter than the message
			c.send(b)
			if got := c.countBytes(100 * time.Millisecond); got != 0 {
				t.Errorf("got an answer of %d bytes, want none", got)
			}
			return c.localAddr()
		}, "", CauseMalformed},
	} {
		t.Run(tc.rule, func(t *testing.T) {
			t.Parallel()
			s := startSite(t, Config{Handshake: 3 * time.Second}, answerEcho)
			from := tc.try(t, s)
			eventually(t, "the failure is reported", func() bool { return len(s.listFailures()) > 0 })
			got := s.listFailures()
			if len(got) != 1 || got[0].Identity != tc.claim || got[0].Cause != tc.want ||
				got[0].Addr.Port() != from.Port() || !got[0].Addr.Addr().IsLoopback() {
				t.Errorf("got %+v, want one failure: %s of %q from port %d", got, tc.want, tc.claim,
					from.Port())
			}
		})
	}
}

// failHandshake tries to open a session with a key that does not belong to the identity, and
// returns its address.
func (s *site) failHandshake(t *testing.T, identity string, opts ...dtls.ClientOption) netip.AddrPort {
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
		dtls.WithLoggerFactory(quiet),
	}, opts...)...)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = dc.Close() })
	ctx, cancel := context.WithTimeout(context.Background(), patienceOfTests)
	defer cancel()
	go func() { // the client tries until the gateway has reported the failure
		for ; len(s.listFailures()) == 0 && ctx.Err() == nil; time.Sleep(5 * time.Millisecond) {
		}
		cancel()
	}()
	if err := dc.HandshakeContext(ctx); err == nil {
		t.Fatal("a session was opened")
	}
	return pc.LocalAddr().(*net.UDPAddr).AddrPort()
}

// A Finished that does not prove the key is reported within seconds, however long a handshake may
// take, and the peer gets no alert.
func TestWrongKeyIsReportedSoon(t *testing.T) {
	t.Parallel()
	s := startSite(t, Config{Handshake: time.Minute}, answerEcho)
	c := newRawClient(t, "127.0.0.1", s.Addr(), keys.NewSecret().PSK())
	for _, step := range []step{stepHello, stepKeyExchange, stepChangeCipher, stepFinished} {
		if err := c.doStep(step); err != nil {
			t.Fatal(err)
		}
	}
	eventually(t, "the failure is reported",
		func() bool { f := s.listFailures(); return len(f) == 1 && f[0].Cause == CauseKey })
	if err := c.receiveUntil(200*time.Millisecond,
		func(r []byte) bool { return r[0] == record.Alert }); err == nil {
		t.Error("got an alert, want none")
	}
}
