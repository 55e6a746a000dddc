//go:build large

package transport

import (
	"context"
	"errors"
	"fmt"
	"net"
	"runtime"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/pion/dtls/v3"
	"go.uber.org/goleak"
	"golang.org/x/time/rate"
)

// Ten thousand handshakes, and three ends in turn: the node's goodbye, the gateway's, and a node
// without power that comes back on its port. They leave nothing behind. They come from many
// addresses, and one key makes one of them known: as fast as the budget lets strangers.
func TestLargeNothingIsLeftBehind(t *testing.T) {
	const handshakes, nodes, addresses = 10_000, 16, 250
	net8 := byte(loopback()) // the second byte of all addresses
	before := goleak.IgnoreCurrent()
	s := listen(t, Config{}, echo)
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
	goroutines, heap := runtime.NumGoroutine(), heapNow()
	pace := rate.NewLimiter(totalRate-50, totalBurst/2)
	var begun, failed atomic.Int64
	for node := range byte(nodes) {
		wg.Go(func() {
			for i := begun.Add(1); i <= handshakes; i = begun.Add(1) {
				_ = pace.Wait(context.Background()) // with no deadline it does not fail
				at, end := &net.UDPAddr{IP: net.IPv4(127, net8, 200+byte(i%3), byte(1+i%addresses))}, byte(i%3)
				if end == 2 {
					at.IP[15], at.Port = 1+node, nodePort
				}
				if err := s.shake(at, end); err != nil && failed.Add(1) < 5 {
					t.Errorf("handshake %d, from %v: %v", i, at, err)
				}
			}
			if err := s.shake(&net.UDPAddr{IP: net.IPv4(127, net8, 202, 1+node), Port: nodePort}, 3); err != nil { // its power is back, for a goodbye
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
			t.Logf("left behind: %s", s.remaining())
		}
	})
	eventually(t, "every session has ended", func() bool { return s.Sessions() == 0 && s.Stats().HalfOpen == 0 })
	eventually(t, "every goroutine has ended", func() bool { return runtime.NumGoroutine() <= goroutines })
	close(over)
	drain.Wait()
	s.Listener.mu.Lock()
	if len(s.peers)+len(s.cids)+len(s.holders) > 0 {
		t.Errorf("left behind: %d addresses, %d connection IDs, %d identities", len(s.peers), len(s.cids), len(s.holders))
	}
	s.Listener.mu.Unlock()
	eventually(t, "the heap is as it was, within 1 MiB", func() bool { return heapNow()-heap < 1<<20 })
	got := s.Stats()
	t.Logf("heap %+d KiB, %+v", (heapNow()-heap)>>10, got)
	hasty := s.failures() // their goodbye came before the gateway was through with their handshake
	for _, f := range hasty {
		if f.Cause != CauseAbandoned || !strings.HasPrefix(f.Addr.String(), fmt.Sprintf("127.%d.200.", net8)) || len(hasty) > handshakes/100 {
			t.Errorf("%d failures, one of them %+v: want few, and none but of nodes that said goodbye at once", len(hasty), f)
			break
		}
	}
	if n := handshakes + nodes; got.Finished != uint64(n-len(hasty)) || opened != n-len(hasty) || closed != opened {
		t.Errorf("%d finished, %d opened, %d closed, %d hasty: want %d in all", got.Finished, opened, closed, len(hasty), n)
	}
	if got.Replaced < handshakes/3-nodes {
		t.Errorf("%d sessions were replaced, want one for each return", got.Replaced)
	}
	s.end()
	goleak.VerifyNone(t, before)
}

// nodePort is where a node keeps its port. No other program has it: it lies below those that the
// kernel hands out.
const nodePort = 5685

// remaining names the associations that are in a table, for people.
func (s *site) remaining() string {
	var out strings.Builder
	s.Listener.mu.Lock()
	defer s.Listener.mu.Unlock()
	for _, a := range s.cids {
		a.mu.Lock()
		fmt.Fprintf(&out, "%v: number %d, phase %d, finished %v, %d records wait, %d taken, closed %v; ", a.at, a.number, a.phase, a.finished.Load(),
			len(a.queue), a.turn, a.closed)
		a.mu.Unlock()
	}
	return out.String()
}

// heapNow is the bytes in use after a collection.
func heapNow() int64 {
	runtime.GC()
	runtime.GC() // what finalizers and pools held on to
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return int64(m.HeapAlloc)
}

// shake opens a session from an address and ends it: 0 with a goodbye at once, 1 when the gateway
// says its own, 2 without a word, 3 with a goodbye when it was served.
func (s *site) shake(from *net.UDPAddr, end byte) error {
	pc, err := net.ListenUDP("udp4", from)
	if err != nil {
		return err
	}
	defer func() { _ = pc.Close() }()
	dc, err := dtls.ClientWithOptions(pc, s.Addr(),
		dtls.WithPSK(func([]byte) ([]byte, error) { return s.secret.PSK(), nil }),
		dtls.WithPSKIdentityHint([]byte(known)),
		dtls.WithCipherSuites(suites[0]),
		dtls.WithConnectionIDGenerator(dtls.OnlySendCIDGenerator()),
		dtls.WithLoggerFactory(newPionLog()))
	if err != nil {
		return err
	}
	defer func() { _ = dc.Close() }()
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()
	if err := dc.HandshakeContext(ctx); err != nil {
		if end == 1 && strings.Contains(err.Error(), "CloseNotify") {
			return nil // it came before we were through with the handshake
		}
		return err
	}
	switch end {
	case 1:
		_ = dc.SetReadDeadline(time.Now().Add(5 * time.Second))
		if _, err := dc.Read(make([]byte, 2048)); err == nil || errors.Is(err, context.DeadlineExceeded) {
			return errors.New("no goodbye from the gateway")
		}
	case 2:
		_ = pc.Close()
	case 3:
		if _, err := dc.Write([]byte{0x40, 0, 0, 1}); err != nil { // a CoAP ping, which a Reset answers (RFC 7252 §4.3)
			return err
		}
		_ = dc.SetReadDeadline(time.Now().Add(5 * time.Second))
		if _, err := dc.Read(make([]byte, 2048)); err != nil {
			return err
		}
	}
	return nil
}
