package e2e

import (
	"bytes"
	"context"
	"encoding/binary"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"latchkey/coapres/device"
	"latchkey/gateway/store"
	"latchkey/keys"
)

// parseMessages returns the types of the plaintext handshake messages in a datagram, and whether it
// contains an encrypted one, which is a Finished.
func parseMessages(b []byte) (types []byte, finished bool) {
	for len(b) >= 25 {
		n := 13 + int(binary.BigEndian.Uint16(b[11:]))
		if b[0] == 25 || n > len(b) {
			break
		}
		if b[0] == 22 && b[4] == 0 {
			types = append(types, b[13])
		}
		finished = finished || b[0] == 22 && b[4] == 1
		b = b[n:]
	}
	return types, finished || len(b) > 14 && b[0] == 20 && b[14] == 22 || len(b) > 0 && b[0] == 25
}

// stages are the points of a handshake after which a forger sends his hints. now is called with
// every datagram and tells whether this is the one.
var stages = []struct {
	name string
	now  func(hellos int, dir device.Direction, b []byte) bool
}{
	{"after the ClientHello", func(hellos int, dir device.Direction, b []byte) bool { return hellos == 1 }},
	{"after the HelloVerifyRequest", func(hellos int, dir device.Direction, b []byte) bool {
		return hellos == 2
	}},
	{"after the ServerHelloDone", func(_ int, dir device.Direction, b []byte) bool {
		types, _ := parseMessages(b)
		return dir == device.Down && bytes.IndexByte(types, 14) >= 0
	}},
	{"after the client's Finished", func(_ int, dir device.Direction, b []byte) bool {
		_, finished := parseMessages(b)
		return dir == device.Up && finished
	}},
}

// ahead returns hints with the record numbers that a client expects next. The gateway never sends
// such hints.
func ahead() (all [][]byte) {
	for n := range byte(12) {
		b := bytes.Clone(hint)
		b[10] = n
		all = append(all, b)
	}
	return all
}

// forgeHints makes a relay send hints to its node once, at a stage. sent becomes true then.
func forgeHints(r *device.Relay, stage int, hints [][]byte) (sent *atomic.Bool) {
	sent = new(atomic.Bool)
	hellos := 0
	at := func(dir device.Direction, b []byte) bool {
		if types, _ := parseMessages(b); dir == device.Up && bytes.IndexByte(types, 1) >= 0 {
			hellos++
		}
		return !sent.Load() && stages[stage].now(hellos, dir, b)
	}
	var due atomic.Bool
	r.Lose(func(dir device.Direction, b []byte) bool {
		due.Store(at(dir, b))
		return due.Load() && dir == device.Down // the tap below forwards it, so that the hints come after it
	})
	r.Tap(func(dir device.Direction, b []byte) {
		if !due.Swap(false) {
			return
		}
		sent.Store(true)
		if dir == device.Down {
			r.Inject(device.Down, b)
		}
		for _, h := range hints {
			r.Inject(device.Down, h)
		}
	})
	return sent
}

// tryClient starts a client that sends a request to addr, and tells whether it got an answer.
func (d *door) tryClient(t *testing.T, name string, addr string) (ok bool, said string) {
	t.Helper()
	switch {
	case name == "latchkey":
		n := device.New(device.Config{Name: "front-lock", Kind: keys.KindLock, Gateway: addr,
			Identity: d.lockKey.ID, Secret: d.lockKey.Secret, Retry: time.Hour})
		done := make(chan struct{})
		ctx, cancel := context.WithTimeout(t.Context(), 12*time.Second)
		go func() {
			defer close(done)
			_ = n.Run(ctx)
		}()
		err := n.Ready(ctx)
		cancel()
		<-done
		return err == nil, ""
	case strings.HasPrefix(name, "coap-client"):
		c := d.stockClient(name, d.readerKey)
		c.t, c.addr = t, addr
		said = c.sendRequest("/.well-known/core")
		return strings.Contains(said, "</scan>"), said
	}
	c := newChats(t, addr, d.readerKey)[name]()
	return c.getAnswer(1, 12*time.Second), string(c.allPrinted())
}

// checkUnderForgedHints makes handshakes with each client, one per stage, and forges hints at that
// stage. mustConnect tells whether the handshake must succeed.
func checkUnderForgedHints(t *testing.T, hints [][]byte, mustConnect func(client string, stage int) bool) {
	for _, name := range append(append([]string{"latchkey"}, chatClients...), stockClients...) {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			d := newDoor(t, store.Options{})
			for s, stage := range stages {
				r := newRelay(t, d.addr)
				sent := forgeHints(r, s, hints)
				began := time.Now()
				ok, said := d.tryClient(t, name, r.Addr())
				_ = r.Close()
				t.Logf("%s: connected: %v, in %v", stage.name, ok, time.Since(began).Round(time.Millisecond))
				switch {
				case !sent.Load():
					t.Errorf("%s: no hint was sent", stage.name)
				case !ok && mustConnect(name, s):
					t.Errorf("%s: it did not connect, and printed %q", stage.name, said)
				}
			}
			if ok, said := d.tryClient(t, name, d.addr); !ok {
				t.Errorf("without forged hints: it did not connect, and printed %q", said)
			}
			if got := d.readMetric("latchkey_hints_total"); got != 0 {
				t.Errorf("the gateway sent %d hints, want none", got)
			}
		})
	}
}

// Hints like the gateway's own, forged in the middle of a handshake. After their first ClientHello,
// GnuTLS and Mbed TLS give up when a hint comes; the gateway itself sends none then. At later
// stages the hint's record number is old, so every client ignores it.
func TestStockHandshakesUnderForgedHints(t *testing.T) {
	t.Parallel()
	checkUnderForgedHints(t, [][]byte{hint}, func(client string, stage int) bool {
		return stage > 0 || client == "latchkey" || strings.Contains(client, "openssl")
	})
}
