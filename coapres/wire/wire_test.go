package wire

import (
	"bytes"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"math"
	"reflect"
	"strings"
	"testing"

	"github.com/fxamacker/cbor/v2"
)

func TestZeroValuesDeny(t *testing.T) {
	var v Verdict
	if v.Verdict != Denied || v.Verdict.String() != "denied" {
		t.Errorf("the zero verdict: got %v, want denied", v.Verdict)
	}
	if got, err := v.Encode(JSON); err != nil || string(got) != `{"verdict":"denied","last":0}` {
		t.Errorf("the zero verdict: got %s, %v", got, err)
	}
	if got, err := ParseVerdict(CBOR, []byte{0xa2, 6, 1, 7}); err == nil || got.Verdict != Denied {
		t.Errorf("a broken grant: got %v, %v, want denied and an error", got, err)
	}
	if got, err := ParseReceipt(CBOR, []byte{0xa2, 0x0a, 0xf5, 0x0c, 1, 0}); err == nil ||
		got.Result != Refused || got.On {
		t.Errorf("a broken receipt: got %v, %v, want refused and an error", got, err)
	}
	if Action(0).Valid() {
		t.Error("the zero action is valid")
	}
}

func TestVerdictHasOneLength(t *testing.T) {
	for _, last := range []uint64{0, 1, 23, 24, 255, 256, 1 << 16, 1 << 32, maxCounter} {
		want := -1
		for _, o := range []Outcome{Denied, Granted, Retry} {
			b, err := Verdict{Verdict: o, Last: last}.Encode(CBOR)
			if err != nil {
				t.Fatal(err)
			}
			if want < 0 {
				want = len(b)
			}
			if len(b) != want {
				t.Errorf("last %d: %v has %d bytes, want %d", last, o, len(b), want)
			}
		}
	}
}

func TestJSON(t *testing.T) {
	scan := Scan{N: 1, UID: []byte{0x04, 0xa1, 0xb2, 0xc3, 0xd4, 0xe5, 0x80}, Age: -12}
	fresh := Scan{N: 1, UID: scan.UID}
	for _, tc := range []struct {
		name, kind, body string
		want             message // nil: refused
	}{
		{"a scan", "scan", `{"n":1,"uid":"04a1b2c3d4e580","age":-12}`, scan},
		{"any order and white space", "scan",
			" {\n\"age\" : -12,\t\"uid\":\"04a1b2c3d4e580\", \"n\":1 }\r\n", scan},
		{"hex in upper and lower case", "scan", `{"n":1,"uid":"04A1b2C3d4E580","age":-12}`, scan},
		{"an escape in a name does not change the name", "scan",
			`{"\u006e":1,"uid":"04a1b2c3d4e580","age":-12}`, scan},
		{"a missing age is zero", "scan", `{"n":1,"uid":"04a1b2c3d4e580"}`, fresh},
		{"an explicit age of zero", "scan", `{"n":1,"uid":"04a1b2c3d4e580","age":0}`, fresh},
		{"a verdict", "verdict", `{"verdict":"granted","last":1}`, Verdict{Granted, 1}},
		{"an act by name", "act", `{"n":1,"action":"toggle"}`, Act{N: 1, Action: Toggle}},
		{"a level", "act", `{"n":1,"action":"level","level":0}`, Act{N: 1, Action: Level}},
		{"a command", "command", `{"id":9,"action":"unlock","duration":3000}`,
			Command{ID: 9, Action: Unlock, Duration: 3000}},
		{"elective names are skipped", "verdict",
			`{"x-a":1,"verdict":"granted","x-b":"é","last":1,"x-c":[1,-2,"d",true,false],"x-":[]}`,
			Verdict{Granted, 1}},
		{"an elective name in a state", "state", `{"on":true,"x-battery":3287}`, State{On: true}},
		{"an elective name in a receipt", "receipt",
			`{"result":"done","on":false,"id":3,"x-battery":18446744073709551615}`,
			Receipt{Done, State{ID: 3}}},
		{"an elective name with an escape", "verdict", `{"verdict":"granted","last":1,"\u0078-a":1}`,
			Verdict{Granted, 1}},
		{"a state", "state", `{"on":true,"contact":"open","left":10}`,
			State{On: true, Contact: ContactOpen, Left: 10}},
		{"a receipt", "receipt", `{"result":"done","on":false,"id":3}`, Receipt{Done, State{ID: 3}}},

		{"empty", "scan", ``, nil},
		{"null", "scan", `null`, nil},
		{"an array", "scan", `[{"n":1,"uid":"04a1b2c3d4e580"}]`, nil},
		{"an empty object", "scan", `{}`, nil},
		{"repeated name", "scan", `{"n":1,"n":1,"uid":"04a1b2c3d4e580"}`, nil},
		{"name repeated with an escape", "scan", `{"n":1,"\u006e":1,"uid":"04a1b2c3d4e580"}`, nil},
		{"name in another case", "scan", `{"N":1,"uid":"04a1b2c3d4e580"}`, nil},
		{"unknown name", "scan", `{"n":1,"uid":"04a1b2c3d4e580","x":1}`, nil},
		{"elective name in a scan", "scan", `{"n":1,"uid":"04a1b2c3d4e580","x-a":1}`, nil},
		{"elective name in an act", "act", `{"n":1,"action":"toggle","x-a":1}`, nil},
		{"elective name in a command", "command", `{"id":9,"action":"unlock","x-a":1}`, nil},
		{"unknown name in a verdict", "verdict", `{"verdict":"granted","last":1,"y":1}`, nil},
		{"elective name in another case", "verdict", `{"verdict":"granted","last":1,"X-a":1}`, nil},
		{"elective name repeated", "verdict", `{"verdict":"granted","last":1,"x-a":1,"x-a":1}`, nil},
		{"elective name repeated with an escape", "verdict",
			`{"verdict":"granted","last":1,"x-a":1,"\u0078-a":1}`, nil},
		{"elective null", "verdict", `{"verdict":"granted","last":1,"x-a":null}`, nil},
		{"elective fraction", "verdict", `{"verdict":"granted","last":1,"x-a":1.0}`, nil},
		{"elective exponent", "verdict", `{"verdict":"granted","last":1,"x-a":1e1}`, nil},
		{"elective minus zero", "verdict", `{"verdict":"granted","last":1,"x-a":-0}`, nil},
		{"elective object", "verdict", `{"verdict":"granted","last":1,"x-a":{}}`, nil},
		{"elective array in an array", "verdict", `{"verdict":"granted","last":1,"x-a":[1,[]]}`, nil},
		{"elective object in an array", "verdict", `{"verdict":"granted","last":1,"x-a":[{}]}`, nil},
		{"elective null in an array", "verdict", `{"verdict":"granted","last":1,"x-a":[null]}`, nil},
		{"empty name", "scan", `{"n":1,"uid":"04a1b2c3d4e580","":1}`, nil},
		{"name of another message", "scan", `{"n":1,"uid":"04a1b2c3d4e580","last":1}`, nil},
		{"integer key", "scan", `{"1":1,"2":"04a1b2c3d4e580"}`, nil},
		{"data after it", "scan", `{"n":1,"uid":"04a1b2c3d4e580"} {}`, nil},
		{"comma at the end", "scan", `{"n":1,"uid":"04a1b2c3d4e580",}`, nil},
		{"cut short", "scan", `{"n":1,"uid":"04a1b2c3d4e580"`, nil},
		{"fraction", "scan", `{"n":1.5,"uid":"04a1b2c3d4e580"}`, nil},
		{"whole number with a fraction", "scan", `{"n":1.0,"uid":"04a1b2c3d4e580"}`, nil},
		{"exponent", "scan", `{"n":1e1,"uid":"04a1b2c3d4e580"}`, nil},
		{"minus zero", "scan", `{"n":1,"uid":"04a1b2c3d4e580","age":-0}`, nil},
		{"number as text", "scan", `{"n":"1","uid":"04a1b2c3d4e580"}`, nil},
		{"null number", "scan", `{"n":null,"uid":"04a1b2c3d4e580"}`, nil},
		{"object as number", "scan", `{"n":{},"uid":"04a1b2c3d4e580"}`, nil},
		{"n zero", "scan", `{"n":0,"uid":"04a1b2c3d4e580"}`, nil},
		{"n above 2^53-1", "scan", `{"n":9007199254740992,"uid":"04a1b2c3d4e580"}`, nil},
		{"n beyond 64 bits", "scan", `{"n":18446744073709551617,"uid":"04a1b2c3d4e580"}`, nil},
		{"age above int32", "scan", `{"n":1,"uid":"04a1b2c3d4e580","age":2147483648}`, nil},
		{"odd hex", "scan", `{"n":1,"uid":"04a1b2c3d4e58"}`, nil},
		{"not hex", "scan", `{"n":1,"uid":"04a1b2c3d4e5zz"}`, nil},
		{"hex with colons", "scan", `{"n":1,"uid":"04:a1:b2:c3"}`, nil},
		{"empty uid", "scan", `{"n":1,"uid":""}`, nil},
		{"uid as number", "scan", `{"n":1,"uid":4}`, nil},
		{"not UTF-8", "scan", "{\"n\":1,\"uid\":\"04a1b2c3\xff\"}", nil},
		{"byte order mark", "scan", "\ufeff{\"n\":1,\"uid\":\"04a1b2c3\"}", nil},
		{"too long", "scan", `{"n":1,"uid":"04a1b2c3"` + strings.Repeat(" ", MaxBody) + `}`, nil},
		{"word in another case", "verdict", `{"verdict":"Granted","last":1}`, nil},
		{"word as number", "verdict", `{"verdict":1,"last":1}`, nil},
		{"unknown word", "verdict", `{"verdict":"yes","last":1}`, nil},
		{"empty word", "act", `{"n":1,"action":""}`, nil},
		{"toggle in a command", "command", `{"id":9,"action":"toggle"}`, nil},
		{"level with the action on", "act", `{"n":1,"action":"on","level":0}`, nil},
		{"level missing", "act", `{"n":1,"action":"level"}`, nil},
		{"duration with the action on", "command", `{"id":9,"action":"on","duration":0}`, nil},
		{"boolean as number", "state", `{"on":1}`, nil},
		{"a pulse left but off", "state", `{"on":false,"left":10}`, nil},
	} {
		t.Run(tc.name, func(t *testing.T) {
			got, err := parsers[tc.kind](JSON, []byte(tc.body))
			if tc.want == nil {
				if !errors.Is(err, ErrMalformed) {
					t.Fatalf("got %#v, %v, want ErrMalformed", got, err)
				}
				if zero := reflect.Zero(reflect.TypeOf(got)).Interface(); !reflect.DeepEqual(got, zero) {
					t.Error("a refused body left something behind")
				}
				return
			}
			if err != nil || !reflect.DeepEqual(got, tc.want) {
				t.Errorf("got %#v, %v, want %#v", got, err, tc.want)
			}
		})
	}
}

func TestImpossibleValuesHaveNoEncoding(t *testing.T) {
	uid := []byte{1, 2, 3, 4}
	for name, m := range map[string]message{
		"n zero":                       Scan{UID: uid},
		"n above 2^53-1":               Scan{N: maxCounter + 1, UID: uid},
		"n at the largest uint64":      Scan{N: math.MaxUint64, UID: uid},
		"no uid":                       Scan{N: 1},
		"uid of 5 bytes":               Scan{N: 1, UID: make([]byte, 5)},
		"no action":                    Act{N: 1},
		"unknown action":               Act{N: 1, Action: 7},
		"level without the action":     Act{N: 1, Action: On, Level: 1},
		"level above 100":              Act{N: 1, Action: Level, Level: 101},
		"unknown verdict":              Verdict{Verdict: 3},
		"last above 2^53-1":            Verdict{Last: math.MaxUint64},
		"command without an id":        Command{Action: On},
		"toggle in a command":          Command{ID: 1, Action: Toggle},
		"duration with another action": Command{ID: 1, Action: Lock, Duration: 1},
		"duration above a minute":      Command{ID: 1, Action: Unlock, Duration: 60001},
		"duration at the largest":      Command{ID: 1, Action: Unlock, Duration: math.MaxUint32},
		"level in a command":           Command{ID: 1, Action: Unlock, Level: 1},
		"unknown contact":              State{Contact: 3},
		"a pulse left but off":         State{Left: 1},
		"a pulse above a minute":       State{On: true, Left: 60001},
		"lamp above 100":               State{Level: 101},
		"unknown result":               Receipt{Result: 2},
		"receipt with a broken state":  Receipt{Result: Done, State: State{Left: 1}},
	} {
		for _, f := range []Format{CBOR, JSON} {
			dst := []byte("kept")
			if b, err := m.Append(dst, f); !errors.Is(err, ErrMalformed) || string(b) != "kept" {
				t.Errorf("%s: got %q, %v, want ErrMalformed and the slice as it was", name, b, err)
			}
		}
	}
}

func TestFormatsAndLimits(t *testing.T) {
	for kind, parse := range parsers {
		for _, f := range []Format{0, 42, SenMLCBOR, SenMLJSON} {
			m, err := parse(f, []byte{0xa0})
			if !errors.Is(err, ErrFormat) || errors.Is(err, ErrMalformed) {
				t.Errorf("%s: format %d: got %v, want ErrFormat", kind, f, err)
			}
			if _, err := m.Encode(f); !errors.Is(err, ErrFormat) {
				t.Errorf("%s: encode as %d: got %v, want ErrFormat", kind, f, err)
			}
		}
		for _, f := range []Format{CBOR, JSON} {
			if _, err := parse(f, make([]byte, MaxBody+1)); !errors.Is(err, ErrTooLong) ||
				!errors.Is(err, ErrMalformed) {
				t.Errorf("%s: 129 bytes: got %v, want ErrTooLong", kind, err)
			}
			if _, err := parse(f, make([]byte, MaxBody)); errors.Is(err, ErrTooLong) {
				t.Errorf("%s: 128 bytes: got %v, want another reason", kind, err)
			}
		}
	}
}

func TestAppendKeepsTheSlice(t *testing.T) {
	b, err := Verdict{Granted, 1}.Append([]byte{0xff}, CBOR)
	if want := []byte{0xff, 0xa2, 6, 1, 7, 1}; err != nil || !bytes.Equal(b, want) {
		t.Errorf("got %x, %v, want %x", b, err, want)
	}
}

func TestParsedUIDIsACopy(t *testing.T) {
	b := []byte{0xa2, 1, 1, 2, 0x44, 1, 2, 3, 4}
	s, err := ParseScan(CBOR, b)
	if err != nil {
		t.Fatal(err)
	}
	clear(b)
	if want := []byte{1, 2, 3, 4}; !bytes.Equal(s.UID, want) {
		t.Errorf("got %x, want %x", s.UID, want)
	}
}

// Errors and printed scans may reach a log, so they must not contain the UID.
func TestUIDIsNeverPrinted(t *testing.T) {
	const uid = "c0ffee15"
	for _, body := range []string{
		`{"n":0,"uid":"c0ffee15"}`, `{"n":1,"uid":"c0ffee15","c0ffee15":1}`,
		`{"n":1,"uid":"c0ffee15","uid":"c0ffee15"}`,
		`{"n":1,"uid":"c0ffee15aa"}`, `{"n":"c0ffee15","uid":"00000000"}`, `c0ffee15`,
	} {
		_, err := ParseScan(JSON, []byte(body))
		if err == nil || strings.Contains(err.Error(), uid) {
			t.Errorf("%s: got %v, want an error without the uid", body, err)
		}
	}
	raw, _ := hex.DecodeString(uid)
	s := Scan{N: 7, UID: raw}
	var log bytes.Buffer
	slog.New(slog.NewJSONHandler(&log, nil)).Info("scan", "scan", s)
	slog.New(slog.NewTextHandler(&log, nil)).Info("scan", "scan", s)
	for _, verb := range []string{"%v", "%+v", "%#v", "%s", "%q", "%x", "%X", "%d"} {
		_, _ = fmt.Fprintf(&log, verb+verb, s, struct{ S Scan }{s})
	}
	for _, leak := range []string{uid, strings.ToUpper(uid), "192 255 238 21", string(raw), "wP/uFQ",
		"0xc0, 0xff"} {
		if strings.Contains(log.String(), leak) {
			t.Errorf("a printed scan contains the UID as %q", leak)
		}
	}
}

func TestWords(t *testing.T) {
	for a := Unlock; a <= Level; a++ {
		b, err := json.Marshal(a)
		var got Action
		if err != nil || json.Unmarshal(b, &got) != nil || got != a {
			t.Errorf("%v: got %s, %v, %v", a, b, err, got)
		}
	}
	for s, want := range map[fmt.Stringer]string{
		Action(9): "action(9)", Outcome(9): "verdict(9)", Contact(9): "contact(9)", Result(9): "result(9)",
		Retry: "retry", ContactOpen: "open", Done: "done", Toggle: "toggle",
	} {
		if s.String() != want {
			t.Errorf("got %s, want %s", s, want)
		}
	}
	if _, err := Action(9).MarshalText(); err == nil {
		t.Error("an unknown action has a text")
	}
}

// An independent library with our rules.
var (
	deterministic = must(cbor.CoreDetEncOptions().EncMode())
	strict        = must(cbor.DecOptions{
		DupMapKey: cbor.DupMapKeyEnforcedAPF, IndefLength: cbor.IndefLengthForbidden,
		TagsMd: cbor.TagsForbidden,
		IntDec: cbor.IntDecConvertNone, BignumTag: cbor.BignumTagForbidden,
	}.DecMode())
)

// The codec is our own because it must refuse encodings that are not canonical. An independent
// library reads and writes the same bytes.
func TestAgreesWithLibrary(t *testing.T) {
	for _, v := range readVectors(t) {
		if v.words[1] != "ok" && v.words[1] != "more" {
			continue
		}
		b := v.parseBody(t)
		var m map[uint64]any
		if err := strict.Unmarshal(b, &m); err != nil {
			t.Errorf("%s: %v", v.name(), err)
		}
		if got, err := deterministic.Marshal(m); err != nil || !bytes.Equal(got, b) {
			t.Errorf("%s: got %x, %v, want %x", v.name(), got, err, b)
		}
		if less := dropElective(t, v.words[0], b); v.words[1] == "more" && hex.EncodeToString(less) != v.words[3] {
			t.Errorf("%s: got %x without elective members, want %s", v.name(), less, v.words[3])
		}
	}
}
