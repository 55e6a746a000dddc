package socket

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
	s, err := Open(":0", nil)
	if err != nil {
		t.Fatal(err)
	}
	port := s.Addr().(*net.UDPAddr).Port
	limit, err := os.ReadFile("/proc/sys/net/core/rmem_max")
	if err != nil {
		t.Fatal(err)
	}
	if most, err := strconv.Atoi(strings.TrimSpace(string(limit))); err != nil ||
		s.ReceiveBuffer != min(most, WantReceiveBuffer) {
		t.Errorf("got a receive buffer of %d bytes, want %d, or the most that the kernel allows: %d, %v",
			s.ReceiveBuffer, WantReceiveBuffer, most, err)
	}
	type got struct {
		body string
		from netip.AddrPort
	}
	in := make(chan got, 64)
	done := make(chan error, 1)
	go func() {
		done <- s.Read(func(b []byte, from netip.AddrPort) { in <- got{string(b), from} }, func() {})
	}()
	for _, host := range []string{"127.0.0.1", "::1"} {
		c, err := net.DialUDP("udp", nil, &net.UDPAddr{IP: net.ParseIP(host), Port: port})
		if err != nil {
			t.Fatal(err)
		}
		defer c.Close()
		if _, err := c.Write(make([]byte, MaxDatagram+1)); err != nil { // too long: dropped
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
					s.Queue([]byte(fmt.Sprint(w, " ", i)), g.from)
					s.Flush()
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
	s.Queue([]byte("x"), netip.MustParseAddrPort("127.0.0.1:0"))
	s.Flush()
	if got := s.Lost(); got != 1 {
		t.Errorf("got %d lost datagrams, want the one to port 0", got)
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	if err := receiveFrom(t, done); err != nil {
		t.Errorf("read after close: got %v, want nil", err)
	}
}

func TestOpenRefuses(t *testing.T) {
	s, err := Open("127.0.0.1:0", nil)
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	for _, a := range []string{s.Addr().String(), "no-port", "127.0.0.1:99999"} {
		if _, err := Open(a, nil); err == nil {
			t.Errorf("%s: got no error", a)
		}
	}
}

// receiveFrom receives from c, or fails the test.
func receiveFrom[T any](t *testing.T, c <-chan T) (v T) {
	t.Helper()
	select {
	case v = <-c:
	case <-time.After(time.Minute):
		t.Fatal("received nothing within a minute")
	}
	return v
}
