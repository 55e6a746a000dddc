package transport

import (
	"net"
	"sync/atomic"
	"testing"
	"time"
)

// Hellos from unused addresses would fill the send buffer with our answers, which the kernel keeps
// for seconds. So strangers are the first that get no answer when the buffer fills. Nodes still get
// answers and commands.
func TestSendBufferIsKeptFromStrangers(t *testing.T) {
	var taken atomic.Int64
	s := startSite(t, Config{unsent: func() int { return int(taken.Load()) }}, answerEcho)
	c := s.dialKnown(t, answerEcho) // from here on 127.0.0.1 is known
	g := receiveFrom(t, s.opened)
	n := newNAT(t, s.Addr())
	if _, err := s.tryDial(t, n.addr(), known, s.secret, nil); err != nil {
		t.Fatal(err)
	}
	receiveFrom(t, s.opened)
	hello := n.firstHello()
	greeted := func(host string) bool {
		u, err := net.DialUDP("udp", &net.UDPAddr{IP: net.ParseIP(host)}, s.Addr().(*net.UDPAddr))
		if err != nil {
			t.Fatal(err)
		}
		defer u.Close()
		before := s.Stats()
		if _, err := u.Write(hello); err != nil {
			t.Fatal(err)
		}
		eventually(t, "the hello is read", func() bool { return s.Stats().Cookies > before.Cookies })
		if s.Stats().Lost > before.Lost {
			return false
		}
		_ = u.SetReadDeadline(time.Now().Add(5 * time.Second))
		_, err = u.Read(make([]byte, 64))
		return err == nil
	}
	all := s.socket.SendBuffer
	if all < 64<<10 {
		t.Fatalf("got a send buffer of %d bytes", all)
	}
	for _, tc := range []struct {
		in              int
		stranger, known bool
	}{
		{0, true, true},
		{all/4 - 1, true, true},
		{all / 4, false, true},
		{all / 2, false, false},
		{all - 1, false, false},
	} {
		taken.Store(int64(tc.in))
		if got := greeted("127.0.0.2"); got != tc.stranger {
			t.Errorf("%d of %d bytes taken: a stranger was answered: %v, want %v", tc.in, all, got,
				tc.stranger)
		}
		if got := greeted("127.0.0.1"); got != tc.known {
			t.Errorf("%d of %d bytes taken: an address where a node was seen was answered: %v, want %v",
				tc.in, all, got, tc.known)
		}
		if _, err := postEcho(c, "tap", 5*time.Second); err != nil {
			t.Errorf("%d of %d bytes taken: no answer to a node: %v", tc.in, all, err)
		}
		if _, err := postEcho(g, "command", 5*time.Second); err != nil {
			t.Errorf("%d of %d bytes taken: no command to a node: %v", tc.in, all, err)
		}
	}
}
