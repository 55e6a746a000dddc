package wire

import (
	"bufio"
	"encoding/hex"
	"errors"
	"fmt"
	"math/big"
	"os"
	"reflect"
	"strconv"
	"strings"
	"testing"
)

// message is the interface of the six messages.
type message interface {
	Encode(Format) ([]byte, error)
	Append([]byte, Format) ([]byte, error)
}

func adaptParser[M message](parse func(Format, []byte) (M, error)) func(Format, []byte) (message, error) {
	return func(f Format, b []byte) (message, error) { return parse(f, b) }
}

var parsers = map[string]func(Format, []byte) (message, error){
	"scan":    adaptParser(ParseScan),
	"act":     adaptParser(ParseAct),
	"verdict": adaptParser(ParseVerdict),
	"command": adaptParser(ParseCommand),
	"state":   adaptParser(ParseState),
	"receipt": adaptParser(ParseReceipt),
}

// vector is one line of testdata/vectors.txt.
type vector struct {
	line  int
	words []string
}

func (v vector) name() string { return fmt.Sprintf("line %d", v.line) }

func readVectors(t testing.TB) (vs []vector) {
	t.Helper()
	f, err := os.Open("testdata/vectors.txt")
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	sc := bufio.NewScanner(f)
	for n := 1; sc.Scan(); n++ {
		line := sc.Text()
		if line == "" || line[0] == '#' {
			continue
		}
		if len(line) > 400 || strings.Contains(line, "  ") || strings.TrimSpace(line) != line {
			t.Errorf("line %d breaks the grammar at the head of the file", n)
		}
		vs = append(vs, vector{n, strings.Split(line, " ")})
	}
	if err := sc.Err(); err != nil {
		t.Fatal(err)
	}
	return vs
}

func (v vector) parseBody(t testing.TB) []byte {
	t.Helper()
	if v.words[2] == "-" {
		return nil
	}
	b, err := hex.DecodeString(v.words[2])
	if err != nil {
		t.Fatalf("%s: %v", v.name(), err)
	}
	return b
}

// fieldsAt returns the index of a line's first field.
func (v vector) fieldsAt() int {
	if v.words[1] == "more" {
		return 4
	}
	return 3
}

// parseMessage builds the message from the fields of a line. Every field must be named once.
func (v vector) parseMessage(t *testing.T) message {
	t.Helper()
	num := map[string]int64{}
	var uid []byte
	for _, w := range v.words[v.fieldsAt():] {
		name, value, _ := strings.Cut(w, "=")
		var err error
		if name == "uid" {
			uid, err = hex.DecodeString(value)
		} else {
			num[name], err = strconv.ParseInt(value, 10, 64)
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	get := func(name string) int64 {
		n, ok := num[name]
		if !ok {
			t.Errorf("%s: %s is not named", v.name(), name)
		}
		delete(num, name)
		return n
	}
	state := func() State {
		return State{
			ID: uint64(get("id")), On: get("on") == 1, Level: uint8(get("level")),
			Contact: Contact(get("contact")),
			Left:    uint32(get("left")),
		}
	}
	defer func() {
		if len(num) != 0 {
			t.Errorf("%s: names a field that the message does not have", v.name())
		}
	}()
	switch v.words[0] {
	case "scan":
		return Scan{N: uint64(get("n")), UID: uid, Age: int32(get("age"))}
	case "act":
		return Act{N: uint64(get("n")), Action: Action(get("action")), Level: uint8(get("level")),
			Age: int32(get("age"))}
	case "verdict":
		return Verdict{Verdict: Outcome(get("verdict")), Last: uint64(get("last"))}
	case "command":
		return Command{
			ID: uint64(get("id")), Action: Action(get("action")), Level: uint8(get("level")),
			Duration: uint32(get("duration")),
			Age:      int32(get("age")), Epoch: uint32(get("epoch")),
		}
	case "state":
		s := state()
		s.Obeyed, s.ObeyedEpoch = uint64(get("obeyed")), uint32(get("epoch"))
		return s
	}
	return Receipt{Result: Result(get("result")), State: state()}
}

func TestVectors(t *testing.T) {
	seen := map[string]int{}
	for _, v := range readVectors(t) {
		kind, verdict := v.words[0], v.words[1]
		if kind == "echo" || kind == "report" {
			continue
		}
		parse := parsers[kind]
		if parse == nil {
			t.Fatalf("%s: unknown message %q", v.name(), kind)
		}
		seen[kind+" "+verdict]++
		b := v.parseBody(t)
		got, err := parse(CBOR, b)
		switch verdict {
		case "bad":
			if !errors.Is(err, ErrMalformed) {
				t.Errorf("%s: %s: got %v, want ErrMalformed", v.name(), strings.Join(v.words[3:], " "), err)
			}
			zero := reflect.Zero(reflect.TypeOf(got)).Interface()
			if !reflect.DeepEqual(got, zero) {
				t.Errorf("%s: the message of a refused body is not empty", v.name())
			}
		case "ok", "more":
			if err != nil {
				t.Errorf("%s: %v", v.name(), err)
				continue
			}
			want, known := v.parseMessage(t), v.words[v.fieldsAt()-1]
			if !reflect.DeepEqual(got, want) {
				t.Errorf("%s: got %#v, want %#v", v.name(), got, want)
			}
			if enc, err := want.Encode(CBOR); err != nil || hex.EncodeToString(enc) != known {
				t.Errorf("%s: got %x, %v, want %s", v.name(), enc, err, known)
			}
			roundTripJSON(t, parse, want)
		default:
			t.Errorf("%s: neither ok, more nor bad", v.name())
		}
	}
	for kind := range parsers {
		if seen[kind+" ok"] < 4 || seen[kind+" bad"] < 8 {
			t.Errorf("%s: got %d good and %d bad vectors, want more", kind, seen[kind+" ok"],
				seen[kind+" bad"])
		}
		if grows := kind == "verdict" || kind == "state" ||
			kind == "receipt"; grows != (seen[kind+" more"] >= 3) {
			t.Errorf("%s: got %d vectors with elective members", kind, seen[kind+" more"])
		}
	}
}

func roundTripJSON(t *testing.T, parse func(Format, []byte) (message, error), m message) {
	t.Helper()
	b, err := m.Encode(JSON)
	if err != nil {
		t.Errorf("%#v: %v", m, err)
		return
	}
	if len(b) > MaxBody {
		t.Errorf("%#v: got %d bytes of JSON, want at most %d", m, len(b), MaxBody)
	}
	if got, err := parse(JSON, b); err != nil || !reflect.DeepEqual(got, m) {
		t.Errorf("%s: got %#v, %v, want %#v", b, got, err, m)
	}
}

// The freshness rule is in another package. This test computes it with integers of any size, to
// check the file itself.
func TestEchoVectors(t *testing.T) {
	n := func(s string) *big.Int {
		i, ok := new(big.Int).SetString(s, 10)
		if !ok {
			t.Fatalf("not a number: %q", s)
		}
		if !i.IsInt64() || int64(int32(i.Int64())) != i.Int64() {
			t.Errorf("%s does not fit an int32", s)
		}
		return i
	}
	less := func(a, b *big.Int) bool { return a.Cmp(b) < 0 }
	count := map[string]int{}
	for _, v := range readVectors(t) {
		if v.words[0] != "echo" {
			continue
		}
		e, age, w := n(v.words[1]), n(v.words[2]), n(v.words[3])
		want := "stale"
		switch {
		case less(age, big.NewInt(-60000)), less(big.NewInt(601000), age):
			want = "bad"
		case e.Sign() < 0, less(big.NewInt(600000), e):
		default:
			limit := new(big.Int).Div(e, big.NewInt(1000))
			limit.Add(limit, e).Add(limit, big.NewInt(1))
			if !less(limit, age) && !less(w, new(big.Int).Sub(e, age)) {
				want = "fresh"
			}
		}
		if got := v.words[4]; got != want {
			t.Errorf("%s: got %s, want %s", v.name(), got, want)
		}
		count[v.words[3]+" "+want]++
	}
	for _, kind := range []string{"3000 fresh", "3000 stale", "3000 bad", "1500 fresh", "1500 stale",
		"1500 bad"} {
		if count[kind] < 10 {
			t.Errorf("%s: got %d lines, want at least 10", kind, count[kind])
		}
	}
}

// parseMeasurement parses one record of a report line.
func (v vector) parseMeasurement(t *testing.T, word string) (m Measurement) {
	t.Helper()
	spec, value, ok := strings.Cut(word, "=")
	parts := strings.Split(spec, ":")
	if !ok || len(parts) < 2 || len(parts) > 3 || len(parts) == 3 && parts[0] != "number" {
		t.Fatalf("%s: not a record: %q", v.name(), word)
	}
	m.Name = parts[1]
	switch parts[0] {
	case "number":
		n, err := strconv.ParseInt(value, 10, 32)
		if err != nil {
			t.Fatalf("%s: %v", v.name(), err)
		}
		m.Type, m.Number, m.Unit = NumberValue, float64(n), strings.Join(parts[2:], "")
	case "flag":
		if value != "0" && value != "1" {
			t.Fatalf("%s: not a flag: %q", v.name(), word)
		}
		m.Type, m.Flag = FlagValue, value == "1"
	case "text":
		m.Type, m.Text = TextValue, value
	default:
		t.Fatalf("%s: not a record: %q", v.name(), word)
	}
	return m
}

func TestReportVectors(t *testing.T) {
	n := 0
	for _, v := range readVectors(t) {
		if v.words[0] != "report" {
			continue
		}
		n++
		age, err := strconv.ParseInt(v.words[2], 10, 32)
		if err != nil {
			t.Fatalf("%s: %v", v.name(), err)
		}
		want := Report{Age: int32(age)}
		for _, w := range v.words[3:] {
			want.Measurements = append(want.Measurements, v.parseMeasurement(t, w))
		}
		if got, err := ParseReport(SenMLCBOR, decodeHex(t, v.words[1])); err != nil ||
			!reflect.DeepEqual(got, want) {
			t.Errorf("%s: got %+v, %v, want %+v", v.name(), got, err, want)
		}
		if enc, err := want.Encode(SenMLCBOR); err != nil || hex.EncodeToString(enc) != v.words[1] {
			t.Errorf("%s: got %x, %v, want %s", v.name(), enc, err, v.words[1])
		}
	}
	if n < 20 {
		t.Errorf("got %d reports, want at least 20", n)
	}
}
