package transport

import (
	"context"
	"net"
	"slices"
	"sync/atomic"
	"testing"
	"time"

	"github.com/pion/dtls/v3"
)

// A node loses its power in the middle of a handshake and comes back on its port. The older handshake
// completes last, and must not end the session that the node uses.
func TestOlderHandshakeCompletesLast(t *testing.T) {
	var calls atomic.Int32
	asked, release := make(chan struct{}), make(chan struct{})
	s := startSite(t, Config{PSK: func([]byte) []byte {
		if calls.Add(1) == 1 {
			close(asked)
			<-release
		}
		return nil
	}}, answerEcho)
	from := &net.UDPAddr{IP: net.IPv4(127, byte(loopback()), 203, 1), Port: nodePort}
	dial := func() (net.PacketConn, *dtls.Conn) {
		pc, err := net.ListenUDP("udp4", from)
		if err != nil {
			t.Fatal(err)
		}
		dc, err := s.newPionNode(pc)
		if err != nil {
			t.Fatal(err)
		}
		return pc, dc
	}
	ctx, cancel := context.WithTimeout(t.Context(), patienceOfTests)
	defer cancel()
	power, older := dial()
	over := make(chan error, 1)
	go func() { over <- older.HandshakeContext(ctx) }()
	receiveFrom(t, asked) // its Finished has come: it is in the same datagram
	_ = power.Close()
	_ = older.Close()
	if err := receiveFrom(t, over); err == nil {
		t.Error("the handshake without power completed")
	}
	pc, newer := dial()
	defer pc.Close()
	defer newer.Close()
	if err := newer.HandshakeContext(ctx); err != nil {
		t.Error(err)
	}
	eventually(t, "the newer handshake is complete", func() bool { return s.Sessions() == 1 })
	close(release)
	eventually(t, "the older handshake is given up", func() bool {
		return slices.ContainsFunc(s.listFailures(), func(f Failure) bool { return f.Cause == CauseAbandoned })
	})
	if _, err := newer.Write([]byte{0x40, 0, 0, 1}); err != nil { // a ping
		t.Error(err)
	}
	_ = newer.SetReadDeadline(time.Now().Add(patienceOfTests))
	if n, err := newer.Read(make([]byte, 2048)); n != 4 || err != nil {
		t.Errorf("read %d bytes, %v: want a Reset", n, err)
	}
	if got := s.Stats(); got.Sessions != 1 || got.HalfOpen != 0 || got.Replaced != 0 || got.Undecryptable != 0 {
		t.Errorf("got %+v, want one session, and that it was never replaced", got)
	}
}
