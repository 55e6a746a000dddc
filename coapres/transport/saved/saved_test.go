package saved

import (
	"bytes"
	"errors"
	"math/rand/v2"
	"net/netip"
	"reflect"
	"strings"
	"testing"
	"time"

	"latchkey/coapres/transport/record/protect"
)

var allSuites = []protect.Suite{protect.PSKWithAES128CCM8, protect.PSKWithAES128CCM,
	protect.ECDHEPSKWithChaCha20Poly1305}

func makeKey(t testing.TB, suite protect.Suite, fill byte) protect.Key {
	t.Helper()
	key, iv, _ := suite.Sizes()
	k, err := protect.NewKey(suite, bytes.Repeat([]byte{fill}, key), bytes.Repeat([]byte{fill + 1}, iv))
	if err != nil {
		t.Fatal(err)
	}
	return k
}

func makeAssociation(t testing.TB, suite protect.Suite) Association {
	t.Helper()
	return Association{Identity: "lk-0123456789", Sealing: makeKey(t, suite, 1), Opening: makeKey(t, suite, 3),
		OurCID: []byte("ours-cid"), PeerCID: []byte{}, Next: 77, Window: protect.Window{Top: 99, Seen: 0b1011},
		Home: netip.MustParseAddrPort("192.0.2.1:5684"), MessageID: 0xabcd, Tokens: 12,
		Heard: time.Unix(1_700_000_000, 5), Note: []byte("note")}
}

// makeFullest returns the longest association.
func makeFullest(t testing.TB) Association {
	t.Helper()
	a := makeAssociation(t, protect.ECDHEPSKWithChaCha20Poly1305)
	a.Identity, a.Note = strings.Repeat("i", maxIdentity), make([]byte, MaxNote)
	a.OurCID, a.PeerCID = make([]byte, maxCID), make([]byte, maxCID)
	a.Home = netip.MustParseAddrPort("[2001:db8:1111:2222:3333:4444:5555:6666%" + strings.Repeat("z", 49) +
		"]:65535")
	if n := len(a.Home.String()); n != maxAddress {
		t.Fatalf("the longest address has %d bytes, want %d", n, maxAddress)
	}
	return a
}

func TestRoundTrip(t *testing.T) {
	want := State{At: time.Unix(1_700_000_100, 7), Event: 42, Hash: [32]byte{1, 2, 3}}
	for _, suite := range allSuites {
		want.Associations = append(want.Associations, makeAssociation(t, suite))
	}
	want.Associations = append(want.Associations, makeFullest(t))
	b := want.AppendTo(nil)
	got, err := Parse(b)
	if err != nil {
		t.Fatal(err)
	}
	for i := range want.Associations {
		a, b := &got.Associations[i], &want.Associations[i]
		if !a.Sealing.Equal(b.Sealing) || !a.Opening.Equal(b.Opening) || a.Sealing.Equal(b.Opening) {
			t.Errorf("association %d: other keys", i)
		}
		a.Sealing, a.Opening, b.Sealing, b.Opening = protect.Key{}, protect.Key{}, protect.Key{}, protect.Key{}
	}
	if !reflect.DeepEqual(got, want) {
		t.Errorf("got %+v, want %+v", got, want)
	}
	clear(b)
	if got.Associations[0].Identity != "lk-0123456789" || string(got.Associations[0].Note) != "note" {
		t.Error("the result shares memory with the bytes")
	}
}

// Every byte that is missing, added or out of its bounds is refused.
func TestParseRefuses(t *testing.T) {
	s := State{At: time.Unix(1, 0), Associations: []Association{
		makeAssociation(t, protect.PSKWithAES128CCM8), makeAssociation(t, protect.PSKWithAES128CCM)}}
	whole := s.AppendTo(nil)
	for n := range whole {
		if _, err := Parse(whole[:n]); !errors.Is(err, ErrMalformed) {
			t.Fatalf("cut to %d bytes: got %v", n, err)
		}
	}
	const first = headSize + 2
	for name, change := range map[string]func(b []byte) []byte{
		"a byte behind":        func(b []byte) []byte { return append(b, 0) },
		"another version":      func(b []byte) []byte { b[0]++; return b },
		"more than there are":  func(b []byte) []byte { b[headSize-1]++; return b },
		"fewer than there are": func(b []byte) []byte { b[headSize-1]--; return b },
		"far too many":         func(b []byte) []byte { b[headSize-4] = 0xff; return b },
		"another suite":        func(b []byte) []byte { b[first]++; return b },
		"no numbers left":      func(b []byte) []byte { b[first+2] = 0x80; return b },
		"nothing was received": func(b []byte) []byte { clear(b[first+18 : first+26]); return b },
		"not an address": func(b []byte) []byte {
			return bytes.Replace(b, []byte("192."), []byte("19x."), 1)
		},
		"no identity": func(b []byte) []byte {
			return bytes.Replace(b, []byte("\x0dlk-0123456789"), []byte("\x00lk-0123456789"), 1)
		},
		"too large": func(b []byte) []byte { return append(b, make([]byte, MaxSize)...) },
	} {
		if _, err := Parse(change(bytes.Clone(whole))); !errors.Is(err, ErrMalformed) {
			t.Errorf("%s: got %v, want ErrMalformed", name, err)
		}
	}
}

// The largest state has no more than MaxSize bytes.
func TestLargestState(t *testing.T) {
	s := State{Associations: make([]Association, MaxAssociations)}
	a := makeFullest(t)
	for i := range s.Associations {
		s.Associations[i] = a
	}
	b := s.AppendTo(nil)
	if len(b) != MaxSize {
		t.Errorf("got %d bytes, want MaxSize, %d", len(b), MaxSize)
	}
	if _, err := Parse(b); err != nil {
		t.Error(err)
	}
}

// A Sealer goes on above all numbers that were used, each time at another one, and an Opener
// accepts no number again.
func TestGoOn(t *testing.T) {
	a := makeAssociation(t, protect.PSKWithAES128CCM8)
	var sc protect.Scratch
	for _, c := range []struct{ next, most uint64 }{
		{1, 1<<31 - 1}, {1<<32 - 1<<29, 1 << 28}, // half of what is left below 2^32
		{1<<32 - 1<<29 + 2, 1 << 40}, {1 << 32, 1 << 40}, {1 << 46, 1 << 40},
	} {
		a.Next = c.next
		seen := map[uint64]bool{}
		far := 0
		for range 100 {
			s, err := a.Sealer()
			if err != nil {
				t.Fatal(err)
			}
			first := s.End()
			if first <= a.Next || first > a.Next+c.most || seen[first] {
				t.Fatalf("got first number %d after %d", first, a.Next)
			}
			if seen[first] = true; first-a.Next > c.most/16 {
				far++
			}
		}
		if far < 50 { // 94 on average
			t.Errorf("only %d of 100 jumps from %d are far", far, a.Next)
		}
	}
	a.Next = protect.MaxNumber - 2
	if _, err := a.Sealer(); !errors.Is(err, protect.ErrNumbers) {
		t.Errorf("at the end of the numbers: got %v", err)
	}
	node, err := protect.NewSealer(a.Opening, a.OurCID, 96)
	if err != nil {
		t.Fatal(err)
	}
	o, err := a.Opener()
	if err != nil {
		t.Fatal(err)
	}
	for n := uint64(96); n < 104; n++ { // the window has 99, 98 and 96
		r, err := node.Seal(nil, 23, []byte("x"), 0, &sc)
		if err != nil {
			t.Fatal(err)
		}
		_, err = o.Open(nil, r, &sc)
		if old := n <= 99 && n != 97; old != errors.Is(err, protect.ErrReplayed) || !old && err != nil {
			t.Errorf("record %d: got %v", n, err)
		}
	}
}

// FuzzParse checks that whatever parses is what AppendTo makes of it.
func FuzzParse(f *testing.F) {
	s := State{At: time.Unix(1_700_000_000, 0), Event: 3}
	f.Add(s.AppendTo(nil))
	for _, suite := range allSuites {
		s.Associations = append(s.Associations, makeAssociation(f, suite))
		f.Add(s.AppendTo(nil))
	}
	s.Associations = []Association{makeFullest(f)}
	f.Add(s.AppendTo(nil))
	f.Fuzz(func(t *testing.T, b []byte) {
		s, err := Parse(b)
		if err != nil {
			if !errors.Is(err, ErrMalformed) {
				t.Errorf("got %v", err)
			}
			return
		}
		if got := s.AppendTo(nil); !bytes.Equal(got, b) {
			t.Errorf("got %x again, want %x", got, b)
		}
		for i := range s.Associations {
			if _, err := s.Associations[i].Opener(); err != nil {
				t.Error(err)
			}
			if _, err := s.Associations[i].Sealer(); err != nil && !errors.Is(err, protect.ErrNumbers) {
				t.Error(err)
			}
		}
	})
}

// Changed states are refused or read as what they are: a short form of the fuzzer.
func TestParseChanged(t *testing.T) {
	s := State{Associations: []Association{makeAssociation(t, protect.PSKWithAES128CCM8), makeFullest(t)}}
	whole := s.AppendTo(nil)
	r := rand.New(rand.NewPCG(1, 2))
	for range 20_000 {
		b := bytes.Clone(whole)
		for range 1 + r.IntN(3) {
			b[r.IntN(len(b))] = byte(r.Uint32())
		}
		if s, err := Parse(b); err == nil && !bytes.Equal(s.AppendTo(nil), b) {
			t.Fatalf("read as something else: %x", b)
		}
	}
}
