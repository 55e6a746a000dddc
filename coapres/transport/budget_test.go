package transport

import (
	"encoding/binary"
	"fmt"
	"net/netip"
	"testing"
	"time"
)

func addr4(i int) netip.Addr {
	return netip.AddrFrom4([4]byte(binary.BigEndian.AppendUint32(nil, 0x0a000000+uint32(i))))
}

// count is how many of n handshakes from an address are allowed at one moment.
func (b *budget) count(a netip.Addr, n int, now time.Time) (got int) {
	for range n {
		if ok, _ := b.allow(a, now); ok {
			got++
		}
	}
	return got
}

func TestBudget(t *testing.T) {
	now := time.Now()
	b := newBudget(totalRate)
	if got := b.count(addr4(1), 1000, now); got != sourceBurst {
		t.Errorf("one source: got %d, want %d", got, sourceBurst)
	}
	if got := b.count(addr4(2), 1000, now); got != sourceBurst {
		t.Errorf("another source: got %d, want %d", got, sourceBurst)
	}
	if got := b.count(addr4(1), 1000, now.Add(time.Second)); got != sourceRate {
		t.Errorf("the first a second later: got %d, want %d", got, sourceRate)
	}
	node := addr4(99)
	b.noteProven("lk-1", node)
	for i := range 100 { // everybody else uses up the total
		b.count(addr4(1000+i), 100, now.Add(time.Second))
	}
	if got := b.count(addr4(3), 10, now.Add(time.Second)); got != 0 {
		t.Errorf("a stranger in a flood: got %d, want none", got)
	}
	if got := b.count(node, 10, now.Add(time.Second)); got != 10 {
		t.Errorf("a known address in a flood: got %d of 10", got)
	}
	if ok, known := b.allow(netip.MustParseAddr("fe80::1%eth0"), now.Add(time.Minute)); !ok || known {
		t.Errorf("a link-local address: got %v, %v", ok, known)
	}
}

func TestBudgetIPv6(t *testing.T) {
	now := time.Now()
	b := newBudget(totalRate)
	got := b.count(netip.MustParseAddr("2001:db8::1"), 150, now) + b.count(netip.MustParseAddr("2001:db8::2"), 150, now)
	if got != sourceBurst {
		t.Errorf("two addresses of one /64: got %d, want %d", got, sourceBurst)
	}
	if got := b.count(netip.MustParseAddr("2001:db8:0:1::1"), 10, now); got != 10 {
		t.Errorf("another /64: got %d of 10", got)
	}
}

func TestBudgetIsBounded(t *testing.T) {
	now := time.Now()
	b := newBudget(totalRate)
	for i := range 2 * maxKnown {
		b.noteProven(fmt.Sprint(i), addr4(i))
		b.source(addr4(i), now).AllowN(now, 1)
		if i == maxSources-1 {
			break
		}
	}
	if l := b.source(addr4(maxSources), now); l != nil || len(b.sources) != maxSources {
		t.Errorf("got %d sources and a bucket for one more, want %d and none", len(b.sources), maxSources)
	}
	if l := b.source(addr4(maxSources), now.Add(time.Minute)); l == nil || len(b.sources) != 1 {
		t.Errorf("a minute later: got %d sources, want the new one alone", len(b.sources))
	}
	for i := range 2 * maxKnown {
		b.noteProven(fmt.Sprint(i), addr4(i))
	}
	if len(b.known) != maxKnown || len(b.seen) != maxKnown {
		t.Errorf("got %d known addresses of %d keys, want %d", len(b.known), len(b.seen), maxKnown)
	}
}

// One key makes one address known, the last.
func TestKnownAddresses(t *testing.T) {
	b := newBudget(totalRate)
	for i := range 1000 {
		b.noteProven("lk-stolen", addr4(i))
	}
	if len(b.known) != 1 || len(b.seen) != 1 || !b.isKnown(addr4(999)) {
		t.Errorf("a key that was everywhere: got %d known addresses, want the last", len(b.known))
	}
	b.noteProven("lk-other", addr4(999))
	b.noteProven("lk-stolen", addr4(1))
	if !b.isKnown(addr4(999)) || !b.isKnown(addr4(1)) {
		t.Error("an address is forgotten while another key was last proven there")
	}
	b.noteProven("lk-other", addr4(2))
	if b.isKnown(addr4(999)) {
		t.Error("an address is known that both keys have left")
	}
}
