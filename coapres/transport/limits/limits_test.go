package limits

import (
	"encoding/binary"
	"fmt"
	"net/netip"
	"testing"
	"time"
)

func makeAddr(i int) netip.Addr {
	return netip.AddrFrom4([4]byte(binary.BigEndian.AppendUint32(nil, 0x0a000000+uint32(i))))
}

// countAllowed returns how many of n handshakes from an address are allowed at one moment.
func (b *Budget) countAllowed(a netip.Addr, n int, now time.Time) (got int) {
	for range n {
		if ok, _ := b.Allow(a, now); ok {
			got++
		}
	}
	return got
}

func TestBudget(t *testing.T) {
	now := time.Now()
	b := NewBudget(HandshakeRate)
	if got := b.countAllowed(makeAddr(1), 1000, now); got != SourceBurst {
		t.Errorf("one source: got %d, want %d", got, SourceBurst)
	}
	if got := b.countAllowed(makeAddr(2), 1000, now); got != SourceBurst {
		t.Errorf("another source: got %d, want %d", got, SourceBurst)
	}
	if got := b.countAllowed(makeAddr(1), 1000, now.Add(time.Second)); got != SourceRate {
		t.Errorf("the first a second later: got %d, want %d", got, SourceRate)
	}
	node := makeAddr(99)
	b.NoteProven("lk-1", node)
	for i := range 100 { // other sources use up the total
		b.countAllowed(makeAddr(1000+i), 100, now.Add(time.Second))
	}
	if got := b.countAllowed(makeAddr(3), 10, now.Add(time.Second)); got != 0 {
		t.Errorf("a stranger in a flood: got %d, want none", got)
	}
	if got := b.countAllowed(node, 10, now.Add(time.Second)); got != 10 {
		t.Errorf("a known address in a flood: got %d of 10", got)
	}
	if ok, known := b.Allow(netip.MustParseAddr("fe80::1%eth0"), now.Add(time.Minute)); !ok ||
		known {
		t.Errorf("a link-local address: got %v, %v", ok, known)
	}
}

func TestBudgetIPv6(t *testing.T) {
	now := time.Now()
	b := NewBudget(HandshakeRate)
	got := b.countAllowed(netip.MustParseAddr("2001:db8::1"), 150, now) +
		b.countAllowed(netip.MustParseAddr("2001:db8::2"), 150, now)
	if got != SourceBurst {
		t.Errorf("two addresses of one /64: got %d, want %d", got, SourceBurst)
	}
	if got := b.countAllowed(netip.MustParseAddr("2001:db8:0:1::1"), 10, now); got != 10 {
		t.Errorf("another /64: got %d of 10", got)
	}
}

func TestBudgetIsBounded(t *testing.T) {
	now := time.Now()
	b := NewBudget(HandshakeRate)
	for i := range 2 * maxKnown {
		b.NoteProven(fmt.Sprint(i), makeAddr(i))
		b.FindBucket(makeAddr(i), now).AllowN(now, 1)
		if i == MaxSources-1 {
			break
		}
	}
	if l := b.FindBucket(makeAddr(MaxSources), now); l != nil || b.Len() != MaxSources {
		t.Errorf("got %d sources and a bucket for one more, want %d and none", b.Len(), MaxSources)
	}
	if l := b.FindBucket(makeAddr(MaxSources), now.Add(time.Minute)); l == nil || b.Len() > MaxSources {
		t.Errorf("a minute later: got %d sources and a bucket for the new one: %v", b.Len(), l != nil)
	}
	for i := range MaxSources {
		if b.FindBucket(makeAddr(maxKnown+i), now.Add(time.Minute)) == nil {
			t.Fatalf("a minute later: %d new sources got a bucket, want %d", i, MaxSources)
		}
	}
	for i := range 2 * maxKnown {
		b.NoteProven(fmt.Sprint(i), makeAddr(i))
	}
	if len(b.known) != maxKnown || len(b.seen) != maxKnown {
		t.Errorf("got %d known addresses of %d keys, want %d", len(b.known), len(b.seen), maxKnown)
	}
}

// A key makes only one address known: the one where it was last proven.
func TestKnownAddresses(t *testing.T) {
	b := NewBudget(HandshakeRate)
	for i := range 1000 {
		b.NoteProven("lk-stolen", makeAddr(i))
	}
	if len(b.known) != 1 || len(b.seen) != 1 || !b.IsKnown(makeAddr(999)) {
		t.Errorf("a key proven at 1,000 addresses: got %d known addresses, want only the last one",
			len(b.known))
	}
	b.NoteProven("lk-other", makeAddr(999))
	b.NoteProven("lk-stolen", makeAddr(1))
	if !b.IsKnown(makeAddr(999)) || !b.IsKnown(makeAddr(1)) {
		t.Error("an address is unknown although another key was last proven there")
	}
	b.NoteProven("lk-other", makeAddr(2))
	if b.IsKnown(makeAddr(999)) {
		t.Error("an address is still known after both keys were proven elsewhere")
	}
}
