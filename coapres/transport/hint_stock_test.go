//lint:file-ignore SA1019 stock go-coap still takes what is deprecated in pion

package transport

import (
	"context"
	"net"
	"sync"
	"testing"
	"time"

	piondtls "github.com/pion/dtls/v3"
	"github.com/plgd-dev/go-coap/v3/dtls"
	"github.com/plgd-dev/go-coap/v3/message/codes"
	coapOptions "github.com/plgd-dev/go-coap/v3/options"
	"github.com/plgd-dev/go-coap/v3/pkg/runner/periodic"

	"latchkey/coapres/transport/record"
)

// stockConfig returns the configuration of a program with stock pion, with or without a connection
// ID.
func (s *site) stockConfig(cid bool) *piondtls.Config {
	c := &piondtls.Config{
		PSK:                  func([]byte) ([]byte, error) { return s.secret.PSK(), nil },
		PSKIdentityHint:      []byte(known),
		CipherSuites:         []piondtls.CipherSuiteID{piondtls.TLS_PSK_WITH_AES_128_CCM_8},
		ExtendedMasterSecret: piondtls.RequireExtendedMasterSecret,
	}
	if cid {
		c.ConnectionIDGenerator = piondtls.OnlySendCIDGenerator()
	}
	return c
}

// Stock go-coap on stock pion ignores hints while it is idle, and gets none from us during its
// handshake.
func TestStockGoCoAPSurvivesHints(t *testing.T) {
	s := startSite(t, Config{}, answerEcho)
	for _, cid := range []bool{false, true} {
		n := newNAT(t, s.Addr())
		stop := make(chan struct{})
		done := make(chan struct{})
		hellos := s.Stats().Hellos
		go func() { // send records from its address that would otherwise get a hint
			defer close(done)
			eventually(t, "it has sent its hello", func() bool { return s.Stats().Hellos > hellos })
			for {
				select {
				case <-stop:
					return
				case <-time.After(time.Millisecond):
					n.sendToGateway(newRecord(record.ApplicationData, 1, 60))
					n.sendToGateway(newRecord(record.TLS12CID, 1, 60))
				}
			}
		}()
		c, err := dtls.Dial(n.addr(), s.stockConfig(cid),
			coapOptions.WithPeriodicRunner(periodic.New(t.Context().Done(), 100*time.Millisecond)))
		close(stop)
		<-done
		if err != nil {
			t.Fatalf("cid %v: %v", cid, err)
		}
		receiveFrom(t, s.opened)
		for i := range 5 {
			for range 400 {
				n.sendToNode(record.HelloRequest)
			}
			ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
			a, err := c.Get(ctx, "/echo")
			cancel()
			if err != nil || a.Code() != codes.Content {
				t.Fatalf("cid %v: request %d after hints: got %v, %v", cid, i, a, err)
			}
		}
		if got := s.Stats(); got.Hints != 0 {
			t.Errorf("cid %v: got %d hints, want none", cid, got.Hints)
		}
		_ = c.Close()
		<-c.Done()
		receiveFrom(t, s.closed)
	}
}

// An attacker forges hints with our record number during the handshake of stock pion, which go-coap
// uses. After the first ClientHello pion takes the hint for the gateway's first message and drops
// the HelloVerifyRequest. At every later stage the handshake succeeds.
func TestStockPionSurvivesForgedHints(t *testing.T) {
	s := startSite(t, Config{}, answerEcho)
	for i, stage := range []struct {
		name  string
		after func(hellos int, up bool, b []byte) bool // tells whether the hint follows this datagram
	}{
		{"after the ClientHello", func(hellos int, up bool, _ []byte) bool { return up && hellos == 1 }},
		{"after the HelloVerifyRequest",
			func(hellos int, up bool, _ []byte) bool { return up && hellos == 2 }},
		{"after the ServerHelloDone", func(_ int, up bool, b []byte) bool {
			return up && b[0] == record.Handshake && b[record.HeaderSize] == record.ClientKeyExchange
		}},
		{"after the client's Finished",
			func(_ int, up bool, b []byte) bool { return !up && b[0] == record.ChangeCipherSpec }},
	} {
		for _, cid := range []bool{false, true} {
			n := newNAT(t, s.Addr())
			var mu sync.Mutex // the two directions run in goroutines of their own
			var hellos, sent int
			n.tapDatagrams(func(up bool, b []byte) {
				mu.Lock()
				defer mu.Unlock()
				if up && b[0] == record.Handshake && b[record.HeaderSize] == record.ClientHello {
					hellos++
				}
				if sent == 0 && stage.after(hellos, up, b) {
					sent++
					n.sendToNode(record.HelloRequest)
				}
			})
			to, err := net.ResolveUDPAddr("udp", n.addr())
			if err != nil {
				t.Fatal(err)
			}
			c, err := piondtls.Dial("udp", to, s.stockConfig(cid))
			if err != nil {
				t.Fatal(err)
			}
			limit := 10 * time.Second
			if i == 0 {
				limit = time.Second // the handshake fails only at its time limit
			}
			ctx, cancel := context.WithTimeout(t.Context(), limit)
			err = c.HandshakeContext(ctx)
			cancel()
			t.Logf("%s, cid %v: %v", stage.name, cid, err)
			if err == nil {
				receiveFrom(t, s.opened) // before it sends its close_notify
			} else if i > 0 {
				t.Errorf("%s, cid %v: %v", stage.name, cid, err)
			}
			_ = c.Close()
			if err == nil {
				receiveFrom(t, s.closed)
			}
			mu.Lock()
			if sent == 0 {
				t.Errorf("%s, cid %v: no hint was sent", stage.name, cid)
			}
			mu.Unlock()
		}
	}
	if got := s.Stats().Hints; got != 0 {
		t.Errorf("the gateway sent %d hints, want none", got)
	}
}
