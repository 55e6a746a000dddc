package wirebytes

import (
	"sync"
	"testing"

	"latchkey/coapres/device"
)

// What a reader and the gateway send to each other, in datagrams and bytes of UDP payload: [up,
// down]. The figures depend on the formats, the cipher suite and the libraries, and are the same in
// every run. Each byte costs battery. If you change one on purpose, put the new figure here, say in
// the commit why it is worth it, and update bench/README.md.
var (
	// Handshake, registration and first scan.
	wantConnect = [2]Count{{Datagrams: 5, PayloadBytes: 503}, {Datagrams: 5, PayloadBytes: 339}}
	// Each further scan: the scan up, the verdict down.
	wantScan = [2]Count{{Datagrams: 1, PayloadBytes: 84}, {Datagrams: 1, PayloadBytes: 57}}
)

// counter counts what passes through a relay.
type counter struct {
	mu  sync.Mutex
	all Traffic // guarded by mu; without IPBytes
}

func (c *counter) tap(dir device.Direction, b []byte) {
	c.mu.Lock()
	defer c.mu.Unlock()
	way := &c.all.Up
	if dir == device.Down {
		way = &c.all.Down
	}
	way.Datagrams++
	way.PayloadBytes += len(b)
}

func (c *counter) since(t Traffic) Traffic {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.all.Minus(t)
}

// A busy machine may cause a retransmission, which adds a datagram. So each piece of work is done a
// few times, and the smallest count is compared.
func TestGateBytesOnTheWire(t *testing.T) {
	s := newSite(t)
	gateway := s.reader.Gateway
	var connects, scans []Traffic
	for range 3 {
		// A relay for each session, because a close_notify may arrive late.
		relay, err := device.NewRelay(gateway, 1)
		if err != nil {
			t.Fatal(err)
		}
		defer func() { _ = relay.Close() }()
		var c counter
		relay.Tap(c.tap)
		s.reader.Gateway = relay.Addr()
		if err := s.reader.Connect(t.Context()); err != nil {
			t.Fatal(err)
		}
		connects = append(connects, c.since(Traffic{}))
		for range 3 {
			before := c.since(Traffic{})
			if err := s.reader.Scan(t.Context()); err != nil {
				t.Fatal(err)
			}
			scans = append(scans, c.since(before))
		}
		s.reader.Close()
	}
	for _, tc := range []struct {
		name string
		got  []Traffic
		want [2]Count
	}{{"handshake, registration and a scan", connects, wantConnect}, {"one more scan", scans, wantScan}} {
		least := tc.got[0]
		for _, g := range tc.got {
			if g.Total().Datagrams < least.Total().Datagrams {
				least = g
			}
		}
		if least.Up != tc.want[0] || least.Down != tc.want[1] {
			t.Errorf("%s: got %+v up and %+v down, want %+v and %+v; all: %v", tc.name, least.Up, least.Down,
				tc.want[0], tc.want[1], tc.got)
		}
	}
}
