package protect

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"sync"
	"testing"

	"latchkey/coapres/transport/record"
)

var suites = []Suite{PSKWithAES128CCM8, PSKWithAES128CCM, ECDHEPSKWithChaCha20Poly1305}

func (s Suite) name() string {
	return map[Suite]string{PSKWithAES128CCM8: "CCM_8", PSKWithAES128CCM: "CCM",
		ECDHEPSKWithChaCha20Poly1305: "ChaCha20"}[s]
}

func must[T any](v T, err error) T {
	if err != nil {
		panic(err)
	}
	return v
}

// makeKey returns the same key each time.
func makeKey(s Suite, seed byte) (k Key, key, iv []byte) {
	keySize, ivSize, _ := s.Sizes()
	key, iv = bytes.Repeat([]byte{seed}, keySize), bytes.Repeat([]byte{seed + 1}, ivSize)
	return must(NewKey(s, key, iv)), key, iv
}

// makePair returns a Sealer and the Opener for its records.
func makePair(s Suite, cid []byte) (*Sealer, *Opener) {
	k, _, _ := makeKey(s, 7)
	return must(NewSealer(k, cid, 1)), must(NewOpener(k, cid))
}

// forAll runs f for each suite, without and with a connection ID.
func forAll(t *testing.T, f func(t *testing.T, s Suite, cid []byte)) {
	for _, s := range suites {
		for _, size := range []int{0, 1, record.CIDSize, maxCID} {
			t.Run(fmt.Sprintf("%s, CID of %d bytes", s.name(), size), func(t *testing.T) {
				f(t, s, bytes.Repeat([]byte{0xc1}, size))
			})
		}
	}
}

func TestSealThenOpen(t *testing.T) {
	forAll(t, func(t *testing.T, suite Suite, cid []byte) {
		s, o := makePair(suite, cid)
		sc := new(Scratch)
		for i, size := range []int{0, 1, 60, 1280, MaxContent} {
			content := bytes.Repeat([]byte{byte(i)}, size)
			padding := 0
			if len(cid) > 0 && size < MaxContent {
				padding = i * 7
			}
			r := must(s.Seal([]byte("x"), record.ApplicationData, content, padding, sc))[1:]
			if len(r) != s.Overhead()+size+padding {
				t.Errorf("got %d bytes for %d, want %d more", len(r), size+padding, s.Overhead())
			}
			if len(cid) == record.CIDSize || len(cid) == 0 {
				if got, rest, ok := record.Split(r); !ok || len(rest) != 0 || len(got) != len(r) {
					t.Errorf("Split does not take %x for one record", r)
				}
			}
			got, err := o.Open([]byte("y"), r, sc)
			if err != nil || got.Type != record.ApplicationData || got.Number != uint64(i+1) || !got.Newest ||
				!bytes.Equal(got.Content, content) {
				t.Fatalf("got %+v, %v for %d bytes", got, err, size)
			}
			if _, err := o.Open(nil, r, sc); !errors.Is(err, ErrReplayed) {
				t.Errorf("again: got %v", err)
			}
		}
		for _, typ := range []uint8{record.Alert, record.Handshake} {
			r := must(s.Seal(nil, typ, []byte{1, 0}, 0, sc))
			if got, err := o.Open(nil, r, sc); err != nil || got.Type != typ || string(got.Content) != "\x01\x00" {
				t.Errorf("type %d: got %+v, %v", typ, got, err)
			}
		}
	})
}

// Nothing but the record itself is opened: no record that differs in one bit, is longer or shorter,
// and none of another key. What is refused leaves no trace in the buffer or in the window.
func TestOpenRefuses(t *testing.T) {
	forAll(t, func(t *testing.T, suite Suite, cid []byte) {
		s, o := makePair(suite, cid)
		sc, secret := new(Scratch), []byte("the content of a record")
		r := must(s.Seal(nil, record.ApplicationData, secret, 0, sc))
		refuse := func(what string, r []byte, o *Opener) {
			t.Helper()
			out := bytes.Repeat([]byte{0xaa}, len(r)+len(secret))
			before := bytes.Clone(r)
			if got, err := o.Open(out[:0], r, sc); err == nil || got.Content != nil {
				t.Fatalf("%s: opened as %+v", what, got)
			} else if !errors.Is(err, ErrForged) && !errors.Is(err, ErrMalformed) {
				t.Fatalf("%s: got %v", what, err)
			}
			if bytes.Contains(out, secret[:4]) || !bytes.Equal(r, before) {
				t.Fatalf("%s: %q is left, the record is %x", what, out, r)
			}
		}
		for bit := range 8 * len(r) {
			r[bit/8] ^= 1 << (bit % 8)
			refuse(fmt.Sprintf("bit %d", bit), r, o)
			r[bit/8] ^= 1 << (bit % 8)
		}
		for n := range r {
			refuse(fmt.Sprintf("%d bytes", n), r[:n], o)
			if n > s.header() {
				short := bytes.Clone(r[:n])
				binary.BigEndian.PutUint16(short[s.header()-2:], uint16(n-s.header()))
				refuse(fmt.Sprintf("%d bytes, with that length", n), short, o)
			}
		}
		refuse("with a byte more", append(bytes.Clone(r), 0), o)
		other, _, _ := makeKey(suite, 9)
		refuse("with another key", r, must(NewOpener(other, cid)))
		k, _, _ := makeKey(suite, 7)
		refuse("with another CID", r, must(NewOpener(k, append([]byte{1}, cid...)[:min(len(cid)+1, maxCID)])))
		if len(cid) > 0 {
			refuse("with a CID, where none was agreed on", r, must(NewOpener(k, nil)))
			plain := must(must(NewSealer(k, nil, 1)).Seal(nil, record.ApplicationData, secret, 0, sc))
			refuse("without the CID that was agreed on", plain, o)
		}
		if _, err := o.Open(nil, r, sc); err != nil {
			t.Errorf("the record itself: %v", err)
		}
	})
}

func TestSealRefuses(t *testing.T) {
	sc := new(Scratch)
	plain, _ := makePair(PSKWithAES128CCM8, nil)
	with, _ := makePair(PSKWithAES128CCM8, []byte("12345678"))
	for name, tc := range map[string]struct {
		s       *Sealer
		typ     uint8
		size    int
		padding int
	}{
		"a content too long":               {plain, record.ApplicationData, MaxContent + 1, 0},
		"a content too long with CID":      {with, record.ApplicationData, MaxContent + 1, 0},
		"padding without CID":              {plain, record.ApplicationData, 1, 1},
		"padding below zero":               {with, record.ApplicationData, 1, -1},
		"padding beyond the longest":       {with, record.ApplicationData, MaxContent, 1},
		"padding beyond every number":      {with, record.ApplicationData, 1, int(^uint(0) >> 1)},
		"an empty alert":                   {plain, record.Alert, 0, 0},
		"an empty handshake message":       {with, record.Handshake, 0, 0},
		"a ChangeCipherSpec":               {plain, record.ChangeCipherSpec, 1, 0},
		"a record with CID within another": {with, record.TLS12CID, 1, 0},
		"type 0":                           {with, 0, 1, 0},
	} {
		if r, err := tc.s.Seal(nil, tc.typ, make([]byte, tc.size), tc.padding, sc); !errors.Is(err, ErrContent) ||
			r != nil {
			t.Errorf("%s: got %d bytes, %v", name, len(r), err)
		}
	}
	if n := plain.End(); n != 1 {
		t.Errorf("the refused took numbers: the next is %d", n)
	}
}

// An authentic record may have a content that is not allowed. It is dropped, and its number counts:
// otherwise it could be sent again and again.
func TestOpenContent(t *testing.T) {
	cid := []byte("12345678")
	for name, tc := range map[string]struct {
		inner []byte
		want  error
		typ   uint8
		size  int
	}{
		"empty":                    {nil, ErrContent, 0, 0},
		"zeros only":               {make([]byte, 20), ErrContent, 0, 0},
		"one zero":                 {make([]byte, 1), ErrContent, 0, 0},
		"an empty alert":           {[]byte{record.Alert}, ErrContent, 0, 0},
		"an empty handshake":       {[]byte{record.Handshake, 0, 0}, ErrContent, 0, 0},
		"a ChangeCipherSpec":       {[]byte{1, record.ChangeCipherSpec}, ErrContent, 0, 0},
		"a record within":          {[]byte{1, record.TLS12CID}, ErrContent, 0, 0},
		"a type that is not known": {[]byte{1, 24, 0}, ErrContent, 0, 0},
		"empty application data":   {[]byte{record.ApplicationData}, nil, record.ApplicationData, 0},
		"the same, padded":         {[]byte{record.ApplicationData, 0, 0}, nil, record.ApplicationData, 0},
		"zeros before the type":    {[]byte{0, 0, record.ApplicationData, 0}, nil, record.ApplicationData, 2},
		"the longest": {append(make([]byte, MaxContent), record.ApplicationData), nil, record.ApplicationData,
			MaxContent},
		"mostly padding": {append([]byte{5, record.ApplicationData}, make([]byte, MaxContent-1)...), nil,
			record.ApplicationData, 1},
		"too long": {append(make([]byte, MaxContent), record.ApplicationData, 0), ErrMalformed, 0, 0},
	} {
		for _, suite := range suites {
			s, o := makePair(suite, cid)
			sc := new(Scratch)
			r := s.sealAny(record.TLS12CID, tc.inner, sc)
			out := bytes.Repeat([]byte{0xaa}, MaxContent+1)
			got, err := o.Open(out[:0], r, sc)
			if tc.want != nil && bytes.ContainsFunc(out[:min(len(tc.inner), len(out))], isNotZero) &&
				!errors.Is(tc.want, ErrMalformed) {
				t.Errorf("%s, %s: %x is left in the buffer", suite.name(), name, out[:len(tc.inner)])
			}
			if !errors.Is(err, tc.want) || got.Type != tc.typ || len(got.Content) != tc.size {
				t.Errorf("%s, %s: got %d bytes of type %d, %v", suite.name(), name, len(got.Content), got.Type, err)
			}
			if _, err := o.Open(nil, r, sc); errors.Is(tc.want, ErrMalformed) != errors.Is(err, ErrMalformed) ||
				err == nil {
				t.Errorf("%s, %s, again: got %v", suite.name(), name, err)
			}
		}
	}
	for _, suite := range suites { // without CID the type stands in the header
		_, o := makePair(suite, nil)
		sc := new(Scratch)
		for typ := range 256 {
			k, _, _ := makeKey(suite, 7)
			s := must(NewSealer(k, nil, uint64(typ)))
			r := s.sealAny(uint8(typ), nil, sc)
			want := ErrMalformed
			switch uint8(typ) {
			case record.ApplicationData:
				want = nil
			case record.Alert, record.Handshake:
				want = ErrContent
			}
			if _, err := o.Open(nil, r, sc); !errors.Is(err, want) {
				t.Errorf("%s, empty, type %d: got %v", suite.name(), typ, err)
			}
		}
	}
}

// sealAny seals as Seal does, but does not look at what it seals.
func (s *Sealer) sealAny(typ uint8, plain []byte, sc *Scratch) []byte {
	return s.sealBehind(append([]byte{typ, 0xfe, 0xfd},
		binary.BigEndian.AppendUint64(nil, epoch<<48|must(s.takeNumber()))...), plain, sc)
}

// sealBehind seals with a header that begins with h, up to the number.
func (s *Sealer) sealBehind(h, plain []byte, sc *Scratch) []byte {
	h = append(bytes.Clone(h), s.cid...)
	h = binary.BigEndian.AppendUint16(h, uint16(s.explicit()+len(plain)+int(s.tag)))
	explicit := bytes.Clone(h[3 : 3+s.explicit()])
	s.setNonce(sc, h[3:11], explicit)
	data := s.setData(sc, h, len(plain))
	out := append(h, explicit...)
	if s.chacha != nil {
		return s.chacha.Seal(out, sc.nonce[:], plain, data)
	}
	return s.mode.Seal(out, sc.nonce[:], plain, data, &sc.mode)
}

// A record that is authentic, but has another version, epoch or type in its header, is refused.
func TestOpenHeader(t *testing.T) {
	for _, cid := range []string{"", "12345678"} {
		for name, change := range map[string]func(h []byte){
			"version 1.0":    func(h []byte) { h[2] = 0xff },
			"version 1.3":    func(h []byte) { h[2] = 0xfc },
			"version of TLS": func(h []byte) { h[1], h[2] = 3, 3 },
			"version 2":      func(h []byte) { h[1] = 0xfd },
			"epoch 0":        func(h []byte) { h[4] = 0 },
			"epoch 2":        func(h []byte) { h[4] = 2 },
			"epoch 257":      func(h []byte) { h[3] = 1 },
			"another type":   func(h []byte) { h[0] ^= record.TLS12CID ^ record.ApplicationData },
			"none":           nil,
		} {
			for _, suite := range suites {
				s, o := makePair(suite, []byte(cid))
				h := []byte{record.ApplicationData, 0xfe, 0xfd, 0, 1, 0, 0, 0, 0, 0, 9}
				if cid != "" {
					h[0] = record.TLS12CID
				}
				want := error(nil)
				if change != nil {
					want = ErrMalformed
					change(h)
				}
				sc := new(Scratch)
				r := s.sealBehind(h, []byte{'a', record.ApplicationData}, sc)
				if _, err := o.Open(nil, r, sc); !errors.Is(err, want) {
					t.Errorf("%s, CID %q, change of %s: got %v", suite.name(), cid, name, err)
				}
			}
		}
	}
}

func isNotZero(r rune) bool { return r != 0 }

// The explicit nonce of CCM need not be epoch and number (RFC 6655 §3): it is taken from the record.
func TestExplicitNonce(t *testing.T) {
	s, o := makePair(PSKWithAES128CCM, nil)
	sc := new(Scratch)
	h := []byte{record.ApplicationData, 0xfe, 0xfd, 0, 1, 0, 0, 0, 0, 0, 5, 0, 8 + 2 + 16}
	explicit := []byte("anything")
	s.setNonce(sc, h[3:11], explicit)
	data := s.setData(sc, h, 2)
	r := s.mode.Seal(append(bytes.Clone(h), explicit...), sc.nonce[:], []byte("ab"), data, &sc.mode)
	if got, err := o.Open(nil, r, sc); err != nil || string(got.Content) != "ab" || got.Number != 5 {
		t.Errorf("got %+v, %v", got, err)
	}
	own := must(s.Seal(nil, record.ApplicationData, []byte("ab"), 0, sc))
	if !bytes.Equal(own[13:21], own[3:11]) {
		t.Errorf("the explicit nonce is % x, want % x", own[13:21], own[3:11])
	}
}

// Concurrent writers never get the same number, and a stopped Sealer gives none.
func TestNumbersAreUsedOnce(t *testing.T) {
	for _, suite := range suites {
		s, _ := makePair(suite, nil)
		const writers, each = 8, 2000
		var got [writers][]uint64
		var wg sync.WaitGroup
		for w := range writers {
			wg.Go(func() {
				sc, buf := new(Scratch), make([]byte, 0, 100)
				for range each {
					r, err := s.Seal(buf, record.ApplicationData, []byte{byte(w)}, 0, sc)
					if err != nil {
						t.Error(err)
						return
					}
					got[w] = append(got[w], binary.BigEndian.Uint64(r[3:]))
				}
			})
		}
		wg.Wait()
		all := slices.Concat(got[:]...)
		slices.Sort(all)
		for i, n := range all {
			if n != epoch<<48|uint64(i+1) {
				t.Fatalf("%s: number %d is %x", suite.name(), i, n)
			}
		}
		if n := s.End(); n != writers*each+1 {
			t.Errorf("the next would have been %d", n)
		}
		if _, err := s.Seal(nil, record.ApplicationData, nil, 0, new(Scratch)); !errors.Is(err, ErrNumbers) {
			t.Errorf("after the end: got %v", err)
		}
	}
}

// The same with nothing between the calls.
func TestNumbersWithoutSealing(t *testing.T) {
	s, _ := makePair(PSKWithAES128CCM8, nil)
	const writers, each = 4, 100_000
	var sums [writers]uint64
	var wg sync.WaitGroup
	for w := range writers {
		wg.Go(func() {
			for range each {
				sums[w] += must(s.takeNumber())
			}
		})
	}
	wg.Wait()
	const n uint64 = writers * each
	if got := sums[0] + sums[1] + sums[2] + sums[3]; got != n*(n+1)/2 || s.End() != n+1 {
		t.Errorf("the numbers of %d records have the sum %d, want %d", n, got, n*(n+1)/2)
	}
}

// While it ends, writers get numbers below what End returned, or none.
func TestEndWhileSealing(t *testing.T) {
	for range 50 {
		s, _ := makePair(PSKWithAES128CCM8, nil)
		var highest [4]uint64
		var wg sync.WaitGroup
		for w := range highest {
			wg.Go(func() {
				for sc := new(Scratch); ; {
					r, err := s.Seal(nil, record.ApplicationData, nil, 0, sc)
					if err != nil {
						return
					}
					highest[w] = binary.BigEndian.Uint64(r[3:]) & (1<<48 - 1)
				}
			})
		}
		next := s.End()
		wg.Wait()
		if slices.Max(highest[:]) >= next {
			t.Fatalf("number %d was used, but the next was to be %d", slices.Max(highest[:]), next)
		}
	}
}

func TestLastNumber(t *testing.T) {
	k, _, _ := makeKey(PSKWithAES128CCM8, 7)
	sc := new(Scratch)
	s, o := must(NewSealer(k, nil, MaxNumber-2)), must(NewOpener(k, nil))
	for range 2 {
		r := must(s.Seal(nil, record.ApplicationData, []byte("x"), 0, sc))
		if got, err := o.Open(nil, r, sc); err != nil || got.Number >= MaxNumber {
			t.Errorf("got %+v, %v", got, err)
		}
	}
	for range 3 {
		r, err := s.Seal(nil, record.ApplicationData, []byte("x"), 0, sc)
		if !errors.Is(err, ErrNumbers) || r != nil {
			t.Errorf("got %x, %v", r, err)
		}
	}
	if _, err := NewSealer(k, nil, MaxNumber+1); !errors.Is(err, ErrNumbers) {
		t.Errorf("first number too high: got %v", err)
	}
}

func TestKeys(t *testing.T) {
	for _, suite := range suites {
		keySize, ivSize, _ := suite.Sizes()
		for _, sizes := range [][2]int{{keySize - 1, ivSize}, {keySize + 1, ivSize}, {keySize, ivSize - 1},
			{keySize, ivSize + 1}, {0, 0}} {
			if _, err := NewKey(suite, make([]byte, sizes[0]), make([]byte, sizes[1])); err == nil {
				t.Errorf("%s: key and IV of %v bytes: got no error", suite.name(), sizes)
			}
		}
		k, key, _ := makeKey(suite, 'K')
		cid := []byte("12345678")
		s, o := must(NewSealer(k, cid, 1)), must(NewOpener(k, cid))
		cid[0] = 0
		if r := must(s.Seal(nil, record.Alert, []byte{1, 0}, 0, new(Scratch))); string(r[11:19]) != "12345678" ||
			string(o.cid) != "12345678" {
			t.Errorf("%s: the CID is %q in %x", suite.name(), o.cid, r)
		}
		key[0] = 0 // a copy was made
		if k.bytes[0] != 'K' || k.Suite() != suite {
			t.Errorf("%s: the key is %v", suite.name(), k.Suite())
		}
		for _, verb := range []string{"%v", "%+v", "%#v", "%s", "%x", "%q", "%d"} {
			for _, v := range []any{k, &k, struct{ Key Key }{k}} {
				if got := fmt.Sprintf(verb, v); strings.Contains(got, "KKK") || strings.Contains(got, "4b4b") ||
					strings.Contains(got, "75 75") {
					t.Errorf("%s prints %s", verb, got)
				}
			}
		}
		if _, err := NewSealer(k, make([]byte, maxCID+1), 0); err == nil {
			t.Error("a CID of 256 bytes: got no error")
		}
	}
	if _, err := NewKey(0xc0ae, make([]byte, 16), make([]byte, 4)); err == nil {
		t.Error("an unknown suite: got no error")
	}
	if _, err := NewSealer(Key{}, nil, 0); err == nil {
		t.Error("sealing without a key: got no error")
	}
	if _, err := NewOpener(Key{}, nil); err == nil {
		t.Error("opening without a key: got no error")
	}
}

func TestNothingAllocated(t *testing.T) {
	forAll(t, func(t *testing.T, suite Suite, cid []byte) {
		s, o := makePair(suite, cid)
		sc, content := new(Scratch), make([]byte, 60)
		buf, out := make([]byte, 0, 2000), make([]byte, 0, 2000)
		if n := testing.AllocsPerRun(200, func() {
			r, err := s.Seal(buf, record.ApplicationData, content, 0, sc)
			if err != nil {
				t.Fatal(err)
			}
			if _, err := o.Open(out, r, sc); err != nil {
				t.Fatal(err)
			}
			if _, err := o.Open(out, r, sc); err == nil {
				t.Fatal("opened again")
			}
			if r[len(r)-1]++; o.window.Top > 0 {
				o.window = Window{}
			}
			if _, err := o.Open(out, r, sc); !errors.Is(err, ErrForged) {
				t.Fatal(err)
			}
		}); n != 0 {
			t.Errorf("got %v allocations, want 0", n)
		}
	})
}

// The window does what a list of all received numbers would do.
func TestWindow(t *testing.T) {
	r := rand.New(rand.NewChaCha8([32]byte{1}))
	for range 300 {
		var w Window
		received, top := map[uint64]bool{}, uint64(0)
		base := r.Uint64N(1 << 40)
		for i := range 300 {
			n := base + r.Uint64N(uint64(100+i))
			if r.IntN(20) == 0 {
				n = base + r.Uint64N(1<<20)
			}
			fresh := len(received) == 0 || n > top || top-n < windowSize && !received[n]
			if got := w.Check(n); got != fresh {
				t.Fatalf("number %d, the newest is %d: got %v, want %v", n, top, got, fresh)
			}
			if !fresh || r.IntN(4) == 0 { // some turn out to be forged
				continue
			}
			newest := len(received) == 0 || n > top
			if got := w.Mark(n); got != newest {
				t.Fatalf("number %d, the newest is %d: got newest %v", n, top, got)
			}
			received[n], top = true, max(top, n)
		}
	}
	var w Window
	for _, tc := range []struct {
		number        uint64
		fresh, newest bool
	}{
		{0, true, true}, {0, false, false}, {63, true, true}, {0, false, false}, {1, true, false},
		{64, true, true}, {0, false, false}, {1, false, false}, {2, true, false}, {1<<48 - 1, true, true},
		{1<<48 - 1, false, false}, {1<<48 - 64, true, false}, {1<<48 - 65, false, false}, {64, false, false},
	} {
		if got := w.Check(tc.number); got != tc.fresh {
			t.Errorf("number %d: got %v", tc.number, got)
		} else if got && w.Mark(tc.number) != tc.newest {
			t.Errorf("number %d: newest is %v, want %v", tc.number, !tc.newest, tc.newest)
		}
	}
}

func TestAlerts(t *testing.T) {
	for _, tc := range []struct {
		content string
		want    Alert
		ends    bool
		text    string
	}{
		{"\x01\x00", CloseNotify, true, "warning close_notify"},
		{"\x02\x00", Alert{2, 0}, true, "fatal close_notify"},
		{"\x01\x64", NoRenegotiation, false, "warning no_renegotiation"},
		{"\x01\x5a", Alert{1, 90}, false, "warning user_canceled"},
		{"\x02\x28", Fatal(40), true, "fatal handshake_failure"},
		{"\x02\xff", Fatal(255), true, "fatal alert 255"},
	} {
		a, ok := ParseAlert([]byte(tc.content))
		if !ok || a != tc.want || a.Ends() != tc.ends || a.String() != tc.text ||
			string(a.AppendTo(nil)) != tc.content {
			t.Errorf("%x: got %v, %v; ends: %v", tc.content, a, ok, a.Ends())
		}
	}
	for _, content := range []string{"", "\x01", "\x01\x00\x00", "\x00\x00", "\x03\x00", "\x01\x00\x01\x00"} {
		if a, ok := ParseAlert([]byte(content)); ok || a != (Alert{}) {
			t.Errorf("%x: got %v", content, a)
		}
	}
}
