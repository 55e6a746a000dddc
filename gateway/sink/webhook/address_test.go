package webhook

import (
	"context"
	"encoding/binary"
	"errors"
	"net"
	"net/netip"
	"strings"
	"sync"
	"testing"
	"time"

	"latchkey/gateway/access/sinks"
	"latchkey/gateway/endpoint"
	"latchkey/gateway/endpoint/dial"
	"latchkey/keys"
)

// nameServer answers every question with one address.
type nameServer struct {
	mu   sync.Mutex
	addr netip.Addr // guarded by mu
}

func (n *nameServer) lead(addr string) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.addr = netip.MustParseAddr(addr)
}

// answer returns the answer (RFC 1035 §4) to a question: its A record, and no AAAA record.
func (n *nameServer) answer(q []byte) []byte {
	const header = 12
	end := header
	for q[end] != 0 {
		end += 1 + int(q[end])
	}
	end += 5 // the root, the type and the class
	out := append([]byte(nil), q[:end]...)
	out[2], out[3] = 0x81, 0x80
	binary.BigEndian.PutUint16(out[6:], 0)
	clear(out[8:header])
	if binary.BigEndian.Uint16(q[end-4:]) == 1 {
		n.mu.Lock()
		a := n.addr.As4()
		n.mu.Unlock()
		out[7] = 1
		out = append(out, 0xc0, header, 0, 1, 0, 1, 0, 0, 0, 0, 0, 4)
		out = append(out, a[:]...)
	}
	return out
}

// startNameServer makes this process resolve names at a server of its own.
func startNameServer(t *testing.T) *nameServer {
	t.Helper()
	n := &nameServer{}
	pc, err := net.ListenPacket("udp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	var wg sync.WaitGroup
	wg.Go(func() {
		buf := make([]byte, 1500)
		for {
			l, from, err := pc.ReadFrom(buf)
			if err != nil {
				return
			}
			_, _ = pc.WriteTo(n.answer(buf[:l]), from)
		}
	})
	usual := net.DefaultResolver
	net.DefaultResolver = &net.Resolver{PreferGo: true,
		Dial: func(ctx context.Context, _, _ string) (net.Conn, error) {
			return new(net.Dialer).DialContext(ctx, "udp", pc.LocalAddr().String())
		}}
	t.Cleanup(func() {
		net.DefaultResolver = usual
		_ = pc.Close()
		wg.Wait()
	})
	return n
}

// A name may lead elsewhere tomorrow. What counts is where it leads when we connect.
func TestNameThatLeadsInside(t *testing.T) {
	names := startNameServer(t)
	c := startReceiver(t, nil)
	_, port, err := net.SplitHostPort(c.Listener.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	// The certificate of httptest is for this name.
	s := sinks.Sink{Secrets: []keys.Hidden{MintSecret()}, Endpoint: endpoint.Endpoint{
		URL: "https://example.com:" + port, CA: sinkTo(c.Server).Endpoint.CA}}
	for _, private := range []bool{false, true} {
		s.Endpoint.Private = private
		sender := newTestSender(t, s, 10*time.Second)
		for _, addr := range []string{"169.254.169.254", "0.0.0.0", "224.0.0.1", "10.0.0.1", "192.168.1.1",
			"100.64.0.1", "127.0.0.1"} {
			if private && (strings.HasPrefix(addr, "1") && addr != "169.254.169.254" && addr != "127.0.0.1") {
				continue // allowed, and nobody is there
			}
			names.lead(addr)
			_, err := sender.Send(t.Context(), messages(1))
			allowed := private && addr == "127.0.0.1"
			if allowed != (err == nil) || !allowed && !errors.Is(err, dial.ErrAddress) {
				t.Errorf("private %v, %s: got %v, want allowed %v", private, addr, err, allowed)
			}
			if outcome := outcomeOf(err); !allowed && outcome != "temporary" {
				t.Errorf("%s: got %s, want temporary: the name may lead elsewhere again", addr, outcome)
			}
		}
	}
	if n := len(c.requests()); n != 1 {
		t.Errorf("got %d requests, want the one that was allowed", n)
	}
}
