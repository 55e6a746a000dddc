package transport

import (
	"fmt"
	"net"
	"net/netip"
	"os"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"
)

// On a socket of both families, with many writers at once, each datagram of either family arrives
// once.
func TestSocket(t *testing.T) {
	s, err := openSocket(":0")
	if err != nil {
		t.Fatal(err)
	}
	port := s.conn.LocalAddr().(*net.UDPAddr).Port
	limit, err := os.ReadFile("/proc/sys/net/core/rmem_max")
	if err != nil {
		t.Fatal(err)
	}
	if most, err := strconv.Atoi(strings.TrimSpace(string(limit))); err != nil ||
		s.receiveBuffer != min(most, receiveBuffer) {
		t.Errorf("got a receive buffer of %d bytes, want %d, or the most that the kernel allows: %d, %v",
			s.receiveBuffer, receiveBuffer, most, err)
	}
	type got struct {
		body string
		from netip.AddrPort
	}
	in := make(chan got, 64)
	done := make(chan error, 1)
	go func() { done <- s.read(func(b []byte, from netip.AddrPort) { in <- got{string(b), from} }) }()
	for _, host := range []string{"127.0.0.1", "::1"} {
		c, err := net.DialUDP("udp", nil, &net.UDPAddr{IP: net.ParseIP(host), Port: port})
		if err != nil {
			t.Fatal(err)
		}
		defer c.Close()
		if _, err := c.Write(make([]byte, maxDatagram+1)); err != nil { // too long: dropped
			t.Fatal(err)
		}
		if _, err := c.Write([]byte("hello")); err != nil {
			t.Fatal(err)
		}
		g := receiveFrom(t, in)
		if g.body != "hello" || g.from != c.LocalAddr().(*net.UDPAddr).AddrPort() {
			t.Errorf("%s: got %q from %s, want hello from %s", host, g.body[:min(len(g.body), 16)], g.from,
				c.LocalAddr())
		}
		const writers, each = 8, 50
		// Limits what is under way, because the other side's buffer is small.
		underway := make(chan struct{}, 64)
		var wg sync.WaitGroup
		for w := range writers {
			wg.Go(func() {
				for i := range each {
					underway <- struct{}{}
					s.write([]byte(fmt.Sprint(w, " ", i)), g.from)
				}
			})
		}
		seen := map[string]int{}
		buf := make([]byte, 64)
		_ = c.SetReadDeadline(time.Now().Add(time.Minute))
		for range writers * each {
			n, err := c.Read(buf)
			if err != nil {
				t.Fatalf("%s: after %d: %v", host, len(seen), err)
			}
			seen[string(buf[:n])]++
			<-underway
		}
		wg.Wait()
		if len(seen) != writers*each {
			t.Errorf("%s: got %d different datagrams, want %d", host, len(seen), writers*each)
		}
	}
	s.write([]byte("x"), netip.MustParseAddrPort("127.0.0.1:0"))
	if got := s.lost.Load(); got != 1 {
		t.Errorf("got %d lost datagrams, want the one to port 0", got)
	}
	if err := s.conn.Close(); err != nil {
		t.Fatal(err)
	}
	if err := receiveFrom(t, done); err != nil {
		t.Errorf("read after close: got %v, want nil", err)
	}
}

func TestOpenSocketRefuses(t *testing.T) {
	s, err := openSocket("127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer s.conn.Close()
	for _, a := range []string{s.conn.LocalAddr().String(), "no-port", "127.0.0.1:99999"} {
		if _, err := openSocket(a); err == nil {
			t.Errorf("%s: got no error", a)
		}
	}
}

// fillSendBuffer makes a socket believe that n bytes of its send buffer are in use.
func (s *socket) fillSendBuffer(n int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.unsent = func() int { return n }
}

// Hellos from unused addresses would fill the send buffer with our answers, which the kernel keeps
// for seconds. So strangers are the first that get no answer when the buffer fills. Nodes still get
// answers and commands, and no writer ever waits.
func TestSendBufferIsKeptFromStrangers(t *testing.T) {
	s := startSite(t, Config{}, answerEcho)
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
	all := s.socket.sendBuffer
	if all < 64<<10 {
		t.Fatalf("got a send buffer of %d bytes", all)
	}
	for _, tc := range []struct {
		taken           int
		stranger, known bool
	}{
		{0, true, true},
		{all/4 - 1, true, true},
		{all / 4, false, true},
		{all / 2, false, false},
		{all - 1, false, false},
	} {
		s.socket.fillSendBuffer(tc.taken)
		if got := greeted("127.0.0.2"); got != tc.stranger {
			t.Errorf("%d of %d bytes taken: a stranger was answered: %v, want %v", tc.taken, all, got,
				tc.stranger)
		}
		if got := greeted("127.0.0.1"); got != tc.known {
			t.Errorf("%d of %d bytes taken: an address where a node was seen was answered: %v, want %v",
				tc.taken, all, got, tc.known)
		}
		if _, err := postEcho(c, "tap", 5*time.Second); err != nil {
			t.Errorf("%d of %d bytes taken: no answer to a node: %v", tc.taken, all, err)
		}
		if _, err := postEcho(g, "command", 5*time.Second); err != nil {
			t.Errorf("%d of %d bytes taken: no command to a node: %v", tc.taken, all, err)
		}
	}
	s.socket.fillSendBuffer(all)
	before := s.Stats().Lost
	answer := make(chan error, 1)
	go func() {
		_, err := postEcho(c, "tap", 5*time.Second)
		answer <- err
	}()
	eventually(t, "the answer is lost, and no writer waits", func() bool { return s.Stats().Lost > before })
	s.socket.fillSendBuffer(0)
	if err := receiveFrom(t, answer); err != nil {
		t.Errorf("with space in the buffer again: %v", err)
	}
}
