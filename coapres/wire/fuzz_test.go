package wire

import (
	"bytes"
	"errors"
	"maps"
	"reflect"
	"testing"
)

// dropElective returns a message without unknown elective members, by an independent library.
func dropElective(t testing.TB, kind string, b []byte) []byte {
	t.Helper()
	var m map[uint64]any
	if err := strict.Unmarshal(b, &m); err != nil {
		t.Fatalf("%x: %v", b, err)
	}
	maps.DeleteFunc(m, func(k uint64, _ any) bool { return k >= firstElective && (kind != "state" || k > 33) })
	less, err := deterministic.Marshal(m)
	if err != nil {
		t.Fatal(err)
	}
	return less
}

// fuzzParser checks a parser: it does not panic, CBOR that parses is the only encoding of its value
// except for elective members, and JSON that parses survives a round trip.
func fuzzParser(f *testing.F, kind string) {
	parse := parsers[kind]
	for _, v := range readVectors(f) {
		if v.words[0] != kind {
			continue
		}
		b := v.parseBody(f)
		f.Add(b, false)
		if m, err := parse(CBOR, b); err == nil {
			j, _ := m.Encode(JSON)
			f.Add(j, true)
			f.Add(append(j[:len(j)-1], `,"x-a":[1,"b",true],"x-b":-7}`...), true)
		}
	}
	f.Fuzz(func(t *testing.T, b []byte, isJSON bool) {
		format := CBOR
		if isJSON {
			format = JSON
		}
		m, err := parse(format, b)
		if err != nil {
			if !errors.Is(err, ErrMalformed) {
				t.Fatalf("got %v, want ErrMalformed", err)
			}
			return
		}
		for _, other := range []Format{CBOR, JSON} {
			enc, err := m.Encode(other)
			if err != nil {
				t.Fatal(err)
			}
			if len(enc) > MaxBody {
				t.Fatalf("got %d bytes, want at most %d", len(enc), MaxBody)
			}
			if other == CBOR && format == CBOR {
				if want := dropElective(t, kind, b); !bytes.Equal(enc, want) || len(enc) == len(b) &&
					!bytes.Equal(enc, b) {
					t.Fatalf("%x: got %x, want %x", b, enc, want)
				}
			}
			if again, err := parse(other, enc); err != nil || !reflect.DeepEqual(again, m) {
				t.Fatalf("got %#v, %v, want %#v", again, err, m)
			}
		}
	})
}

func FuzzParseScan(f *testing.F)    { fuzzParser(f, "scan") }
func FuzzParseAct(f *testing.F)     { fuzzParser(f, "act") }
func FuzzParseVerdict(f *testing.F) { fuzzParser(f, "verdict") }
func FuzzParseCommand(f *testing.F) { fuzzParser(f, "command") }
func FuzzParseReceipt(f *testing.F) { fuzzParser(f, "receipt") }
func FuzzParseState(f *testing.F)   { fuzzParser(f, "state") }

func FuzzParseReport(f *testing.F) {
	for _, tc := range packs {
		f.Add([]byte(tc.json), true)
		if r, err := ParseReport(SenMLJSON, []byte(tc.json)); err == nil {
			b, _ := r.Encode(SenMLCBOR)
			f.Add(b, false)
		}
	}
	for _, p := range cborPacks {
		f.Add(decodeHex(f, p.hex), false)
	}
	f.Fuzz(func(t *testing.T, b []byte, isJSON bool) {
		format := SenMLCBOR
		if isJSON {
			format = SenMLJSON
		}
		r, err := ParseReport(format, b)
		if err != nil {
			if !errors.Is(err, ErrMalformed) {
				t.Fatalf("got %v, want ErrMalformed", err)
			}
			return
		}
		for _, other := range []Format{SenMLCBOR, SenMLJSON} {
			enc, err := r.Encode(other)
			if errors.Is(err, ErrTooLong) || r.Age == 0 && len(r.Measurements) == 0 {
				continue // a base name makes each record too long, or an age of zero is alone
			}
			if err != nil {
				t.Fatal(err)
			}
			if again, err := ParseReport(other, enc); err != nil || !reflect.DeepEqual(again, r) {
				t.Fatalf("got %#v, %v, want %#v", again, err, r)
			}
		}
	})
}
