package load

import (
	"net"
	"net/netip"
	"testing"
	"time"
)

// A flood is bounded and does not leave this machine.
func TestFloodBounds(t *testing.T) {
	good := Flood{To: netip.MustParseAddrPort("127.0.0.1:5684"), Sources: 100, Rate: 1000,
		Delay: time.Millisecond}
	if err := good.check(); err != nil {
		t.Fatal(err)
	}
	for name, change := range map[string]func(*Flood){
		"another machine":    func(f *Flood) { f.To = netip.MustParseAddrPort("192.0.2.1:5684") },
		"IPv6":               func(f *Flood) { f.To = netip.MustParseAddrPort("[::1]:5684") },
		"no port":            func(f *Flood) { f.To = netip.MustParseAddrPort("127.0.0.1:0") },
		"no address":         func(f *Flood) { f.To = netip.AddrPort{} },
		"no sources":         func(f *Flood) { f.Sources = 0 },
		"too many sources":   func(f *Flood) { f.Sources = maxSources + 1 },
		"no rate":            func(f *Flood) { f.Rate = 0 },
		"more than a minute": func(f *Flood) { f.Sources, f.Rate = 60_000, 1000 },
		"no delay":           func(f *Flood) { f.Delay = 0 },
		"too many sockets":   func(f *Flood) { f.Delay = 1001 * time.Millisecond },
	} {
		f := Flood{To: good.To, Sources: good.Sources, Rate: good.Rate, Delay: good.Delay}
		change(&f)
		if err := f.Run(t.Context()); err == nil {
			t.Errorf("%s: got no error", name)
		}
	}
}

// Each source sends one hello, and what comes back is counted.
func TestFloodCounts(t *testing.T) {
	c, err := net.ListenUDP("udp4", &net.UDPAddr{IP: net.IPv4(127, 0, 0, 1)})
	if err != nil {
		t.Fatal(err)
	}
	const sources = 40
	from := make(chan map[netip.Addr]int, 1)
	go func() {
		seen := map[netip.Addr]int{}
		for b := make([]byte, 2048); ; {
			n, at, err := c.ReadFromUDPAddrPort(b)
			if err != nil {
				from <- seen
				return
			}
			if seen[at.Addr()]++; len(seen)%2 == 0 {
				_, _ = c.WriteToUDPAddrPort(b[:n-1], at)
			}
		}
	}()
	f := Flood{To: c.LocalAddr().(*net.UDPAddr).AddrPort(), Sources: sources, Rate: 1000, Delay: time.Second}
	if err := f.Run(t.Context()); err != nil {
		t.Fatal(err)
	}
	_ = c.Close()
	if seen := <-from; len(seen) != sources {
		t.Errorf("hellos came from %d addresses, want %d", len(seen), sources)
	}
	// On a busy machine an answer may come too late.
	sent, answered := f.Answered()
	if sent != sources || answered < 1 || answered > sources/2 || f.excess != -1 {
		t.Errorf("got %d sent, %d answered, excess %d; want %d, %d, -1", sent, answered, f.excess, sources,
			sources/2)
	}
}
