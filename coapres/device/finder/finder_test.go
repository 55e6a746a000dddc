package finder

import (
	"context"
	"net/netip"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"golang.org/x/net/dns/dnsmessage"
)

var local = dnsmessage.Question{Name: dnsmessage.MustNewName("gw.local."), Type: dnsmessage.TypeA,
	Class: dnsmessage.ClassINET}

// makeAnswer returns an answer to q with these addresses.
func makeAnswer(t testing.TB, id uint16, q dnsmessage.Question, addrs ...[4]byte) []byte {
	t.Helper()
	m := dnsmessage.Message{Header: dnsmessage.Header{ID: id, Response: true, Authoritative: true},
		Questions: []dnsmessage.Question{q}}
	for _, a := range addrs {
		m.Answers = append(m.Answers, dnsmessage.Resource{
			Header: dnsmessage.ResourceHeader{Name: q.Name, Class: 0x8001, TTL: 120},
			Body:   &dnsmessage.AResource{A: a}})
	}
	b, err := m.Pack()
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func TestParseAnswer(t *testing.T) {
	one, two := [4]byte{10, 0, 0, 1}, [4]byte{10, 0, 0, 2}
	good := makeAnswer(t, 7, local, one, two)
	other := local
	other.Name = dnsmessage.MustNewName("other.local.")
	question := slices.Clone(good)
	question[2] &^= 0x80
	for _, tt := range []struct {
		name string
		b    []byte
		want int
	}{
		{"two addresses", good, 2},
		{"another id", makeAnswer(t, 8, local, one), 0},
		{"another question", makeAnswer(t, 7, other, one), 0},
		{"a question, not an answer", question, 0},
		{"cut in the second answer", good[:len(good)-1], 1},
		{"cut in the header", good[:11], 0},
		{"nothing", nil, 0},
	} {
		t.Run(tt.name, func(t *testing.T) {
			if got := parseAnswer(tt.b, 7, local); len(got) != tt.want {
				t.Errorf("got %v, want %d addresses", got, tt.want)
			}
		})
	}
}

func FuzzParseAnswer(f *testing.F) {
	f.Add(makeAnswer(f, 7, local, [4]byte{10, 0, 0, 1}, [4]byte{10, 0, 0, 2}))
	f.Fuzz(func(t *testing.T, b []byte) {
		found := parseAnswer(b, 7, local)
		if len(found) > len(b)/12 { // an answer takes so many bytes at least
			t.Fatalf("%d addresses in %d bytes", len(found), len(b))
		}
		g := New("gw.local:5684", netip.Addr{})
		for _, a := range found {
			g.add(a)
		}
		if len(g.found) > mostFound {
			t.Fatalf("%d addresses are kept, want at most %d", len(g.found), mostFound)
		}
	})
}

func TestIsLocal(t *testing.T) {
	for host, want := range map[string]bool{"gw.local": true, "GW.Local": true, "gw.local.": true, "a.b.local": true,
		"local": false, ".local": false, "xlocal": false, "gw.locals": false, "local.example": false} {
		if got := isLocal(host); got != want {
			t.Errorf("%q: got %v, want %v", host, got, want)
		}
	}
}

func addr(last byte) netip.Addr { return netip.AddrFrom4([4]byte{10, 0, 0, last}) }

func TestAnAddressIsUsedAsItStands(t *testing.T) {
	for _, gateway := range []string{"192.0.2.1:5684", "[2001:db8::1]:5684", "no port", "gw.local:coaps"} {
		f := New(gateway, netip.Addr{})
		for range 3 {
			got, within, err := f.Next(t.Context())
			if got != gateway || within != 0 || err != nil {
				t.Errorf("got %q, %v, %v, want %q without a limit", got, within, err, gateway)
			}
			if f.Refuse() {
				t.Error("another address is left, want none")
			}
		}
	}
}

func TestWhatWorkedIsFirstAndWhatDidNotIsLast(t *testing.T) {
	f := New("gw.local:5684", netip.Addr{})
	next := func(want netip.Addr) {
		t.Helper()
		got, within, err := f.Next(t.Context())
		if err != nil || got != netip.AddrPortFrom(want, 5684).String() || within != Try {
			t.Fatalf("got %q, %v, %v, want %v", got, within, err, want)
		}
	}
	answered := func(last ...byte) {
		f.phase, f.found = trying, nil
		for _, l := range last {
			f.add(addr(l))
		}
	}
	answered(1, 2)
	next(addr(1))
	if !f.Refuse() {
		t.Fatal("no address is left, want the second")
	}
	next(addr(2))
	f.Keep()
	next(addr(2)) // without a question
	if !f.Refuse() {
		t.Fatal("nothing is left, want a question")
	}
	answered(1, 3)
	next(addr(3)) // 1 did not have the key
	f.Refuse()
	next(addr(1))
	if f.Refuse() {
		t.Fatal("an address is left, want none")
	}
	for i := range byte(20) {
		answered(100 + i)
		next(addr(100 + i))
		f.Refuse()
	}
	if len(f.refused) != mostRefused {
		t.Errorf("%d are remembered, want %d", len(f.refused), mostRefused)
	}
	// Those that were refused make room.
	answered(119, 118, 117, 116, 5)
	next(addr(5))
	f.Keep()
	if slices.Contains(f.refused, addr(5)) || f.last != addr(5) {
		t.Errorf("got %v as last", f.last)
	}
}

func TestNoGroupAndNobodyIsCalled(t *testing.T) {
	f := New("gw.local:5684", netip.Addr{})
	for _, a := range []string{"0.0.0.0", "224.0.0.251", "255.255.255.255", "::", "ff02::fb", "fe80::1"} {
		f.add(netip.MustParseAddr(a))
	}
	if len(f.found) != 0 {
		t.Errorf("got %v, want none", f.found)
	}
}

func TestAtMostOneQuestionASecond(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := New("gw.local:5684", netip.Addr{})
		f.asked = time.Now()
		ctx, cancel := context.WithTimeout(t.Context(), askAgain-time.Millisecond)
		defer cancel()
		if err := f.ask(ctx); err != context.DeadlineExceeded {
			t.Errorf("got %v, want that it still waits after a second less one millisecond", err)
		}
	})
}
