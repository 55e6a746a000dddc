package wire

import "testing"

func benchParse(b *testing.B, f Format, m message, parse func(Format, []byte) error) {
	body, err := m.Encode(f)
	if err != nil {
		b.Fatal(err)
	}
	b.ReportAllocs()
	for b.Loop() {
		if err := parse(f, body); err != nil {
			b.Fatal(err)
		}
	}
}

var (
	benchScan    = Scan{N: 123456, UID: []byte{4, 0xa1, 0xb2, 0xc3, 0xd4, 0xe5, 0x80}, Age: -12}
	benchVerdict = Verdict{Granted, 123456}
	benchCommand = Command{ID: 987654, Action: Unlock, Duration: 3000, Age: 40}
	benchReceipt = Receipt{Done, State{ID: 987654, On: true, Left: 3000}}
)

func parseScan(f Format, b []byte) error    { _, err := ParseScan(f, b); return err }
func parseVerdict(f Format, b []byte) error { _, err := ParseVerdict(f, b); return err }
func parseCommand(f Format, b []byte) error { _, err := ParseCommand(f, b); return err }
func parseReceipt(f Format, b []byte) error { _, err := ParseReceipt(f, b); return err }

func BenchmarkParseScan(b *testing.B)     { benchParse(b, CBOR, benchScan, parseScan) }
func BenchmarkParseScanJSON(b *testing.B) { benchParse(b, JSON, benchScan, parseScan) }
func BenchmarkParseVerdict(b *testing.B)  { benchParse(b, CBOR, benchVerdict, parseVerdict) }
func BenchmarkParseCommand(b *testing.B)  { benchParse(b, CBOR, benchCommand, parseCommand) }
func BenchmarkParseReceipt(b *testing.B)  { benchParse(b, CBOR, benchReceipt, parseReceipt) }

func benchAppend(b *testing.B, m interface {
	Append([]byte, Format) ([]byte, error)
}, f Format) {
	buf := make([]byte, 0, MaxBody)
	b.ReportAllocs()
	for b.Loop() {
		if _, err := m.Append(buf, f); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkAppendScan(b *testing.B)        { benchAppend(b, benchScan, CBOR) }
func BenchmarkAppendVerdict(b *testing.B)     { benchAppend(b, benchVerdict, CBOR) }
func BenchmarkAppendVerdictJSON(b *testing.B) { benchAppend(b, benchVerdict, JSON) }
func BenchmarkAppendCommand(b *testing.B)     { benchAppend(b, benchCommand, CBOR) }

func BenchmarkParseReport(b *testing.B) {
	body := decodeHex(b, "84 a3 00 63616765 01 626d73 02 38f9 a2 00 67636f6e74616374 04 f5 a3 00 63766363 01 6156 02 f94300 a3 00 6472737369 01 6364426d 02 383c")
	b.ReportAllocs()
	for b.Loop() {
		if _, err := ParseReport(SenMLCBOR, body); err != nil {
			b.Fatal(err)
		}
	}
}

// Parsing a scan allocates its UID. No other parsing or encoding of these messages allocates.
func TestAllocations(t *testing.T) {
	buf := make([]byte, 0, MaxBody)
	for _, tc := range []struct {
		name  string
		m     message
		parse func(Format, []byte) error
		want  float64
	}{
		{"scan", benchScan, parseScan, 1},
		{"verdict", benchVerdict, parseVerdict, 0},
		{"command", benchCommand, parseCommand, 0},
		{"receipt", benchReceipt, parseReceipt, 0},
	} {
		body, err := tc.m.Encode(CBOR)
		if err != nil {
			t.Fatal(err)
		}
		if got := testing.AllocsPerRun(100, func() { _ = tc.parse(CBOR, body) }); got > tc.want {
			t.Errorf("parse %s: got %v allocations, want %v", tc.name, got, tc.want)
		}
		if got := testing.AllocsPerRun(100, func() { _, _ = tc.m.Append(buf, CBOR) }); got > 0 {
			t.Errorf("append %s: got %v allocations, want none", tc.name, got)
		}
	}
}
