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

// messages are the types of the handshake messages in the clear of a datagram, and whether it holds
// an encrypted one: a Finished.
func messages(b []byte) (types []byte, finished bool) {
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

// stages are when a forger sends his hints. Each is told of every datagram and says whether this is
// the one after which.
var stages = []struct {
	name string
	now  func(hellos int, dir device.Direction, b []byte) bool
}{
	{"after the ClientHello", func(hellos int, dir device.Direction, b []byte) bool { return hellos == 1 }},
	{"after the HelloVerifyRequest", func(hellos int, dir device.Direction,
		b []byte) bool {
		return hellos == 2
	}},
	{"after the ServerHelloDone", func(_ int, dir device.Direction, b []byte) bool {
		types, _ := messages(b)
		return dir == device.Down && bytes.IndexByte(types, 14) >= 0
	}},
	{"after the client's Finished", func(_ int, dir device.Direction, b []byte) bool {
		_, finished := messages(b)
		return dir == device.Up && finished
	}},
}

// ahead are hints with the record numbers that a client waits for, which the gateway never sends.
func ahead() (all [][]byte) {
	for n := range byte(12) {
		b := bytes.Clone(hint)
		b[10] = n
		all = append(all, b)
	}
	return all
}

// forge has a relay send hints to its node once, at a stage. sent tells that it did.
func forge(r *device.Relay, stage int, hints [][]byte) (sent *atomic.Bool) {
	sent = new(atomic.Bool)
	hellos := 0
	at := func(dir device.Direction, b []byte) bool {
		if types, _ := messages(b); dir == device.Up && bytes.IndexByte(types, 1) >= 0 {
			hellos++
		}
		return !sent.Load() && stages[stage].now(hellos, dir, b)
	}
	var due atomic.Bool
	r.Lose(func(dir device.Direction, b []byte) bool {
		due.Store(at(dir, b))
		return due.Load() && dir == device.Down // it goes by the hands of the forger
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

// tries has a client of a kind ask the gateway through a relay and tells whether it got its answer.
func (d *door) tries(t *testing.T, name string, addr string) (ok bool, said string) {
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
		c := d.stock(name, d.readerKey)
		c.t, c.addr = t, addr
		said = c.call("/.well-known/core")
		return strings.Contains(said, "</scan>"), said
	}
	c := chats(t, addr, d.readerKey)[name]()
	return c.gets(1, 12*time.Second), string(c.all())
}

// underForgedHints has each client make a handshake at each stage of which somebody forges hints.
// lives tells whether it must get in.
func underForgedHints(t *testing.T, hints [][]byte, lives func(client string, stage int) bool) {
	for _, name := range append(append([]string{"latchkey"}, chatClients...), stockClients...) {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			d := newDoor(t, store.Options{})
			for s, stage := range stages {
				r := relay(t, d.addr)
				sent := forge(r, s, hints)
				began := time.Now()
				ok, said := d.tries(t, name, r.Addr())
				_ = r.Close()
				t.Logf("%s: got in: %v, in %v", stage.name, ok, time.Since(began).Round(time.Millisecond))
				switch {
				case !sent.Load():
					t.Errorf("%s: no hint was sent", stage.name)
				case !ok && lives(name, s):
					t.Errorf("%s: it did not get in, and printed %q", stage.name, said)
				}
			}
			if ok, said := d.tries(t, name, d.addr); !ok {
				t.Errorf("when nobody forges any: it did not get in, and printed %q", said)
			}
			if got := d.metric("latchkey_hints_total"); got != 0 {
				t.Errorf("got %d hints of the gateway", got)
			}
		})
	}
}

// Hints as the gateway sends them, forged in the middle of a handshake. After their first
// ClientHello GnuTLS and Mbed TLS give up at one; it is where the gateway sends none. From then on
// its record number is an old one, and every client goes on.
func TestStockHandshakesUnderForgedHints(t *testing.T) {
	t.Parallel()
	underForgedHints(t, [][]byte{hint}, func(client string, stage int) bool {
		return stage > 0 || client == "latchkey" || strings.Contains(client, "openssl")
	})
}
