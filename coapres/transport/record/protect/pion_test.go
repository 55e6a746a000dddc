package protect

import (
	"bytes"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/pion/dtls/v3/pkg/crypto/ciphersuite"
	"github.com/pion/dtls/v3/pkg/protocol"
	"github.com/pion/dtls/v3/pkg/protocol/recordlayer"

	"latchkey/coapres/transport/record"
)

// pionCipher is pion's record protection.
type pionCipher interface {
	Encrypt(*recordlayer.RecordLayer, []byte) ([]byte, error)
	Decrypt(recordlayer.Header, []byte) ([]byte, error)
}

func newPion(s Suite, key, iv []byte) pionCipher {
	switch s {
	case PSKWithAES128CCM8:
		return must(ciphersuite.NewCCM(ciphersuite.CCMTagLength8, key, iv, key, iv))
	case PSKWithAES128CCM:
		return must(ciphersuite.NewCCM(ciphersuite.CCMTagLength, key, iv, key, iv))
	}
	return must(ciphersuite.NewChaCha20Poly1305(key, iv, key, iv))
}

// pionSeal seals as pion's connection does.
func pionSeal(c pionCipher, number uint64, cid []byte, typ uint8, content []byte,
	padding int) ([]byte, error) {
	h := recordlayer.Header{Version: protocol.Version1_2, Epoch: 1, SequenceNumber: number,
		ContentType: protocol.ContentType(typ)}
	if len(cid) > 0 {
		inner := recordlayer.InnerPlaintext{Content: content, RealType: protocol.ContentType(typ),
			Zeros: uint(padding)}
		var err error
		if content, err = inner.Marshal(); err != nil {
			return nil, err
		}
		h.ContentType, h.ConnectionID = protocol.ContentTypeConnectionID, cid
	}
	h.ContentLen = uint16(len(content))
	raw, err := h.Marshal()
	if err != nil {
		return nil, err
	}
	return c.Encrypt(&recordlayer.RecordLayer{Header: h}, append(raw, content...))
}

// pionOpen opens as pion's connection does.
func pionOpen(c pionCipher, cid, r []byte) (typ uint8, content []byte, err error) {
	h := recordlayer.Header{}
	if len(cid) > 0 {
		h.ConnectionID = make([]byte, len(cid))
	}
	out, err := c.Decrypt(h, bytes.Clone(r))
	if err != nil {
		return 0, nil, err
	}
	if content = out[record.HeaderSize+len(cid):]; len(cid) == 0 {
		return r[0], content, nil
	}
	var inner recordlayer.InnerPlaintext
	err = inner.Unmarshal(content)
	return uint8(inner.RealType), inner.Content, err
}

// aRecord is one record of the comparison with pion.
type aRecord struct {
	suite          Suite
	key, iv, cid   []byte
	number         uint64
	typ            uint8
	content        []byte
	padding        int
	flip           int // the bit that is flipped, modulo the number of bits
	sealed, opened []byte
}

// compare checks that pion and we seal the same bytes, that each opens what the other sealed, and
// that we refuse it when one bit is flipped, and when it comes again.
func (a *aRecord) compare(sc *Scratch) error {
	k := must(NewKey(a.suite, a.key, a.iv))
	s, o := must(NewSealer(k, a.cid, a.number)), must(NewOpener(k, a.cid))
	p := newPion(a.suite, a.key, a.iv)
	var err error
	if a.sealed, err = s.Seal(a.sealed[:0], a.typ, a.content, a.padding, sc); err != nil {
		return err
	}
	theirs, err := pionSeal(p, a.number, a.cid, a.typ, a.content, a.padding)
	if err != nil || !bytes.Equal(a.sealed, theirs) {
		return fmt.Errorf("sealed as %x, pion has %x, %w", a.sealed, theirs, err)
	}

	typ, content, err := pionOpen(p, a.cid, a.sealed)
	if err != nil || typ != a.typ || !bytes.Equal(content, a.content) {
		return fmt.Errorf("pion opens ours as type %d, %x, %w", typ, content, err)
	}
	bit := a.flip % (8 * len(theirs))
	theirs[bit/8] ^= 1 << (bit % 8)
	if got, err := o.Open(a.opened[:0], theirs, sc); err == nil {
		return fmt.Errorf("bit %d flipped: opened as %+v", bit, got)
	}
	theirs[bit/8] ^= 1 << (bit % 8)
	got, err := o.Open(a.opened[:0], theirs, sc)
	if err != nil || got.Type != a.typ || got.Number != a.number || !got.Newest ||
		!bytes.Equal(got.Content, a.content) {
		return fmt.Errorf("opened as %+v, %w", got, err)
	}
	if cap(got.Content) > cap(a.opened) {
		a.opened = got.Content
	}
	if again, err := o.Open(nil, theirs, sc); err == nil {
		return fmt.Errorf("opened again as %+v", again)
	}
	return nil
}

// compareRandom compares n random records.
func compareRandom(t *testing.T, n int) {
	t.Helper()
	r := rand.New(rand.NewChaCha8([32]byte{2}))
	fill := func(b []byte) []byte {
		for i := range b {
			b[i] = byte(r.Uint32())
		}
		return b
	}
	sc, a := new(Scratch), aRecord{}
	room := [4][]byte{make([]byte, maxKey), make([]byte, maxIV), make([]byte, maxCID), make([]byte, 2000)}
	counts := map[string]int{}
	for i := range n {
		a.suite = suites[i%len(suites)]
		keySize, ivSize, _ := a.suite.Sizes()
		a.key, a.iv = fill(room[0][:keySize]), fill(room[1][:ivSize])
		a.cid, a.padding = fill(room[2][:[]int{0, 0, 1, 8, 8, 8, 32, r.IntN(maxCID + 1)}[r.IntN(8)]]), 0
		if len(a.cid) > 0 {
			a.padding = max(0, r.IntN(60)-30)
		}
		a.number = r.Uint64N(MaxNumber) >> r.IntN(47)
		a.typ = []uint8{record.ApplicationData, record.ApplicationData, record.Handshake, record.Alert}[r.IntN(4)]
		a.content = fill(room[3][:1+r.IntN([]int{2, 80, 300, 1999}[r.IntN(4)])])
		a.flip = int(r.Uint32() >> 1)
		if err := a.compare(sc); err != nil {
			t.Fatalf("%s, CID %x, number %d, type %d, %x: %v", a.suite.name(), a.cid, a.number, a.typ, a.content, err)
		}
		counts[fmt.Sprintf("%s, CID %v", a.suite.name(), len(a.cid) > 0)]++
	}
	t.Log(counts)
}

func TestRecordsAsPion(t *testing.T) { compareRandom(t, 6000) }

// FuzzRecord compares one record with pion. Its seeds reach every statement of Seal except the
// refusals, and with those of FuzzOpen every statement of Open.
func FuzzRecord(f *testing.F) {
	for suite := range uint8(3) {
		f.Add(suite, bytes.Repeat([]byte{suite}, 44), []byte{}, uint64(1), uint8(0), []byte("a scan"), uint16(0),
			uint16(9))
		f.Add(suite, bytes.Repeat([]byte{suite}, 44), []byte("12345678"), uint64(1<<46), uint8(1), []byte{1, 0},
			uint16(30), uint16(300))
		f.Add(suite, bytes.Repeat([]byte{suite}, 44), bytes.Repeat([]byte{1}, maxCID), uint64(0), uint8(2),
			bytes.Repeat([]byte{0}, 1280), uint16(0), uint16(40))
	}
	sc := new(Scratch)
	f.Fuzz(func(t *testing.T, suite uint8, key, cid []byte, number uint64, typ uint8, content []byte, padding,
		flip uint16) {
		a := aRecord{suite: suites[int(suite)%len(suites)], cid: cid, number: number % MaxNumber,
			typ:     []uint8{record.ApplicationData, record.Alert, record.Handshake}[typ%3],
			content: content, padding: int(padding), flip: int(flip)}
		keySize, ivSize, _ := a.suite.Sizes()
		if len(key) < keySize+ivSize || len(cid) > maxCID || len(content) == 0 ||
			len(content)+int(padding) > MaxContent || len(cid) == 0 && padding > 0 {
			return // pion has no empty content
		}
		a.key, a.iv = key[:keySize], key[keySize:keySize+ivSize]
		if err := a.compare(sc); err != nil {
			t.Fatal(err)
		}
	})
}

// FuzzOpen gives Open what somebody without the key could send: any bytes, and records that were
// changed. None may be opened. And it gives it what a node with the key could send: any inner
// plaintext. With the seeds of FuzzRecord, its seeds reach every statement of Open.
func FuzzOpen(f *testing.F) {
	sc := new(Scratch)
	for _, c := range captures() { // sessions of OpenSSL and Mbed TLS
		for _, d := range c.load(f).datagrams {
			f.Add(uint8(slices.Index(suites, c.suite)), c.serverCID != "", false, d.b)
		}
	}
	for i, suite := range suites {
		for _, cid := range []string{"", "12345678"} {
			s, _ := makePair(suite, []byte(cid))
			r := must(s.Seal(nil, record.ApplicationData, []byte("content"), 0, sc))
			f.Add(uint8(i), cid != "", false, r)
			f.Add(uint8(i), cid != "", false, r[:20])
			forged := bytes.Clone(r)
			forged[len(r)-1] ^= 0x80
			f.Add(uint8(i), cid != "", false, forged)
			f.Add(uint8(i), cid == "", false, r)
		}
		for _, inner := range []string{"", "\x00\x00", "content\x17\x00\x00", "\x15", "\x01\x00\x15", "\x01\x14"} {
			f.Add(uint8(i), true, true, []byte(inner))
			f.Add(uint8(i), false, true, []byte(inner))
		}
	}
	f.Fuzz(func(t *testing.T, suite uint8, withCID, authentic bool, b []byte) {
		var cid []byte
		if withCID {
			cid = []byte("12345678")
		}
		s, o := makePair(suites[int(suite)%len(suites)], cid)
		if authentic {
			if len(b) <= MaxContent {
				openAuthentic(t, s, o, b, sc)
			}
			return
		}
		own := must(s.Seal(nil, record.ApplicationData, []byte("content"), 0, sc))
		before := bytes.Clone(b)
		got, err := o.Open(nil, b, sc)
		if opened := err == nil; opened != bytes.Equal(b, own) {
			t.Errorf("%x: got %+v, %v", b, got, err)
		}
		if !bytes.Equal(b, before) {
			t.Errorf("%x was changed to %x", before, b)
		}
		// A forged record does not move the window.
		if _, err := o.Open(nil, own, sc); err != nil && !bytes.Equal(b, own) {
			t.Errorf("after %x the record itself: %v", b, err)
		}
	})
}

// openAuthentic seals b, as an inner plaintext or as a type and a content, and opens it.
func openAuthentic(t *testing.T, s *Sealer, o *Opener, b []byte, sc *Scratch) {
	t.Helper()
	typ, content := uint8(record.TLS12CID), b
	if len(s.cid) == 0 && len(b) > 0 {
		typ, content = b[0], b[1:]
	}
	got, err := o.Open(nil, s.sealAny(typ, content, sc), sc)
	if errors.Is(err, ErrContent) || errors.Is(err, ErrMalformed) && len(s.cid) == 0 {
		return
	}
	again := append([]byte{got.Type}, got.Content...)
	if len(s.cid) > 0 {
		again = append(bytes.Clone(got.Content), got.Type)
		again = append(again, make([]byte, len(b)-len(again))...)
	}
	if err != nil || !bytes.Equal(again, b) || !isContent(got.Type, got.Content) {
		t.Errorf("%x: got %+v, %v", b, got, err)
	}
	if alert, ok := ParseAlert(got.Content); ok && !bytes.Equal(alert.AppendTo(nil), got.Content) {
		t.Errorf("%x is another alert: %v", got.Content, alert)
	}
}

// The benchmarks have 60 bytes of content, as a scan.
func BenchmarkSeal(b *testing.B) { benchmark(b, false) }
func BenchmarkOpen(b *testing.B) { benchmark(b, true) }

func benchmark(b *testing.B, open bool) {
	content, sc := make([]byte, 60), new(Scratch)
	for _, suite := range suites {
		for _, cid := range [][]byte{nil, []byte("12345678")} {
			with := map[bool]string{true: "-CID"}[cid != nil]
			k, key, iv := makeKey(suite, 7)
			s, o, p := must(NewSealer(k, cid, 1)), must(NewOpener(k, cid)), newPion(suite, key, iv)
			r := must(s.Seal(nil, record.ApplicationData, content, 0, sc))
			buf := make([]byte, 0, 200)
			b.Run(suite.name()+with+"/ours", func(b *testing.B) {
				b.ReportAllocs()
				for b.Loop() {
					if !open {
						_, _ = s.Seal(buf, record.ApplicationData, content, 0, sc)
						continue
					}
					o.window = Window{}
					if _, err := o.Open(buf, r, sc); err != nil {
						b.Fatal(err)
					}
				}
			})
			b.Run(suite.name()+with+"/pion", func(b *testing.B) {
				b.ReportAllocs()
				in := make([]byte, len(r))
				for b.Loop() {
					if !open {
						if _, err := pionSeal(p, 1, cid, record.ApplicationData, content, 0); err != nil {
							b.Fatal(err)
						}
						continue
					}
					h := recordlayer.Header{ConnectionID: cid}
					copy(in, r) // pion decrypts in place
					if _, err := p.Decrypt(h, in); err != nil {
						b.Fatal(err)
					}
				}
			})
		}
	}
}
