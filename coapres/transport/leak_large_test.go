//go:build large

package transport

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"runtime"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"go.uber.org/goleak"
	"golang.org/x/time/rate"

	"latchkey/coapres/transport/limits"
)

// Ten thousand sessions leave no memory and no goroutine behind. They end in three ways in turn: by
// the node's close_notify, by the gateway's, and by a node that loses its power and comes back on
// its port. They come from many addresses, of which the one key makes only one known, so they come
// as fast as the budget allows strangers.
func TestLargeNothingIsLeftBehind(t *testing.T) {
	const handshakes, nodes, addresses = 10_000, 16, 250
	net8 := byte(loopback()) // the second byte of all addresses
	before := goleak.IgnoreCurrent()
	s := startSite(t, Config{}, answerEcho)
	var wg, drain sync.WaitGroup
	over, opened, closed := make(chan struct{}), 0, 0
	drain.Go(func() {
		for {
			select {
			case c := <-s.opened:
				if opened++; strings.HasPrefix(c.RemoteAddr().String(), fmt.Sprintf("127.%d.201.", net8)) {
					_ = c.End()
				}
			case <-s.closed:
				closed++
			case <-over:
				return
			}
		}
	})
	goroutines, heap := runtime.NumGoroutine(), heapInUse()
	pace := rate.NewLimiter(limits.HandshakeRate-50, limits.HandshakeRate)
	var begun, failed atomic.Int64
	for node := range byte(nodes) {
		wg.Go(func() {
			for i := begun.Add(1); i <= handshakes; i = begun.Add(1) {
				_ = pace.Wait(context.Background()) // with no deadline it does not fail
				at, end := &net.UDPAddr{IP: net.IPv4(127, net8, 200+byte(i%3), byte(1+i%addresses))},
					byte(i%3)
				if end == 2 {
					at.IP[15], at.Port = 1+node, nodePort
				}
				if err := s.shakeAndEnd(at, end); err != nil && failed.Add(1) < 5 {
					t.Errorf("handshake %d, from %v: %v", i, at, err)
				}
			}
			// The node comes back, and sends a close_notify at the end.
			at := &net.UDPAddr{IP: net.IPv4(127, net8, 202, 1+node), Port: nodePort}
			if err := s.shakeAndEnd(at, 3); err != nil {
				t.Error(err)
			}
		})
	}
	wg.Wait()
	if n := failed.Load(); n > 0 {
		t.Errorf("%d of %d handshakes failed", n, handshakes)
	}
	t.Cleanup(func() {
		if t.Failed() {
			t.Logf("left behind: %s", s.describeRemaining())
		}
	})
	eventually(t, "every session has ended",
		func() bool { return s.Sessions() == 0 && s.Stats().HalfOpen == 0 })
	eventually(t, "every goroutine has ended", // Serve's own may have begun after the count
		func() bool { return runtime.NumGoroutine() <= goroutines+1 })
	close(over)
	drain.Wait()
	s.Listener.mu.Lock()
	if len(s.peers)+len(s.cids)+len(s.holders) > 0 {
		t.Errorf("left behind: %d addresses, %d connection IDs, %d identities", len(s.peers), len(s.cids),
			len(s.holders))
	}
	s.Listener.mu.Unlock()
	eventually(t, "the heap is as small as before, within 1 MiB",
		func() bool { return heapInUse()-heap < 1<<20 })
	got := s.Stats()
	t.Logf("heap %+d KiB, %+v", (heapInUse()-heap)>>10, got)
	// These failed because the close_notify, or the node's next handshake, came before the gateway had
	// completed the handshake.
	hasty := s.listFailures()
	for _, f := range hasty {
		if f.Cause != CauseAbandoned ||
			strings.HasPrefix(f.Addr.String(), fmt.Sprintf("127.%d.201.", net8)) ||
			len(hasty) > handshakes/100 {
			t.Errorf("%d failures, one of them %+v: want few, and only of nodes that left at once",
				len(hasty), f)
			break
		}
	}
	if n := handshakes + nodes; got.Finished != uint64(n-len(hasty)) || opened != n-len(hasty) ||
		closed != opened {
		t.Errorf("%d finished, %d opened, %d closed, %d hasty: want %d in all", got.Finished, opened, closed,
			len(hasty), n)
	}
	if got.Replaced < handshakes/3-nodes-uint64(len(hasty)) {
		t.Errorf("%d sessions were replaced, want one for each node that came back", got.Replaced)
	}
	s.end()
	goleak.VerifyNone(t, before)
}

// Nodes that come back on their port at once leave no session behind, in whichever order their
// handshakes complete.
func TestLargeNodesComeBackAtOnce(t *testing.T) {
	const handshakes, nodes = 20_000, 16
	s := startSite(t, Config{HandshakeRate: handshakes}, answerEcho)
	over := make(chan struct{})
	var wg, drain sync.WaitGroup
	drain.Go(func() {
		for {
			select {
			case <-s.opened:
			case <-s.closed:
			case <-over:
				return
			}
		}
	})
	for node := range byte(nodes) {
		wg.Go(func() {
			at := &net.UDPAddr{IP: net.IPv4(127, byte(loopback()), 204, 1+node), Port: nodePort}
			for i := range handshakes / nodes {
				end := byte(2)
				if i%2 == 1 {
					end = 3
				}
				if err := s.shakeAndEnd(at, end); err != nil {
					t.Errorf("handshake %d, from %v: %v", i, at, err)
					return
				}
				if end == 3 && !s.isForgotten(at.AddrPort()) {
					t.Errorf("after handshake %d: left behind: %s", i, s.describeRemaining())
					return
				}
			}
		})
	}
	wg.Wait()
	close(over)
	drain.Wait()
}

// isForgotten waits until there is no association at an address.
func (s *site) isForgotten(at netip.AddrPort) bool {
	at = netip.AddrPortFrom(at.Addr().Unmap(), at.Port())
	for end := time.Now().Add(patienceOfTests / 2); time.Now().Before(end); time.Sleep(time.Millisecond) {
		s.Listener.mu.Lock()
		p := s.peers[at]
		s.Listener.mu.Unlock()
		if p == nil {
			return true
		}
	}
	return false
}

// describeRemaining describes the associations that are still in a table.
func (s *site) describeRemaining() string {
	var out strings.Builder
	s.Listener.mu.Lock()
	defer s.Listener.mu.Unlock()
	for _, a := range s.cids {
		a.mu.Lock()
		fmt.Fprintf(&out, "%v: number %d, phase %d, finished %v, %d records kept, ready %v, mute %v; ",
			a.at, a.number, a.phase, a.finished.Load(), len(a.kept), a.ready, a.mute.Load())
		a.mu.Unlock()
	}
	return out.String()
}

// heapInUse returns the bytes of the heap in use after a garbage collection.
func heapInUse() int64 {
	runtime.GC()
	runtime.GC() // frees what finalizers and pools still held
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return int64(m.HeapAlloc)
}

// shakeAndEnd opens a session from an address and ends it: 0 with a close_notify at once, 1 after
// the gateway's close_notify, 2 without any, 3 with a close_notify after a request was answered.
func (s *site) shakeAndEnd(from *net.UDPAddr, end byte) error {
	pc, err := net.ListenUDP("udp4", from)
	if err != nil {
		return err
	}
	defer func() { _ = pc.Close() }()
	dc, err := s.newPionNode(pc)
	if err != nil {
		return err
	}
	defer func() { _ = dc.Close() }()
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()
	if err := dc.HandshakeContext(ctx); err != nil {
		if end == 1 && strings.Contains(err.Error(), "CloseNotify") {
			return nil // it came before we had completed the handshake
		}
		return err
	}
	switch end {
	case 1:
		_ = dc.SetReadDeadline(time.Now().Add(5 * time.Second))
		if _, err := dc.Read(make([]byte, 2048)); err == nil || errors.Is(err, context.DeadlineExceeded) {
			return errors.New("no close_notify from the gateway")
		}
	case 2:
		_ = pc.Close()
	case 3:
		// A CoAP ping, which a Reset answers (RFC 7252 §4.3).
		if _, err := dc.Write([]byte{0x40, 0, 0, 1}); err != nil {
			return err
		}
		_ = dc.SetReadDeadline(time.Now().Add(5 * time.Second))
		if _, err := dc.Read(make([]byte, 2048)); err != nil {
			return err
		}
	}
	return nil
}
