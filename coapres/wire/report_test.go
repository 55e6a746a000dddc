package wire

import (
	"encoding/hex"
	"errors"
	"fmt"
	"math"
	"reflect"
	"strings"
	"testing"
)

func decodeHex(t testing.TB, s string) []byte {
	t.Helper()
	b, err := hex.DecodeString(strings.Join(strings.Fields(s), ""))
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func makeNumber(name, unit string, time, v float64) Measurement {
	return Measurement{Name: name, Unit: unit, Time: time, Type: NumberValue, Number: v}
}

var electric = Report{Measurements: []Measurement{
	makeNumber("urn:dev:ow:10e2073a0108006:voltage", "V", 1276020076.001, 120.1),
	makeNumber("urn:dev:ow:10e2073a0108006:current", "A", 1276020071.001, 1.2),
	makeNumber("urn:dev:ow:10e2073a0108006:current", "A", 1276020072.001, 1.3),
	makeNumber("urn:dev:ow:10e2073a0108006:current", "A", 1276020073.001, 1.4),
	makeNumber("urn:dev:ow:10e2073a0108006:current", "A", 1276020074.001, 1.5),
	makeNumber("urn:dev:ow:10e2073a0108006:current", "A", 1276020075.001, 1.6),
	makeNumber("urn:dev:ow:10e2073a0108006:current", "A", 1276020076.001, 1.7),
}}

func makeReport(m Measurement) *Report { return &Report{Measurements: []Measurement{m}} }

// packs are JSON packs and the reports in them; a pack with a nil want is malformed.
var packs = []struct {
	name, json string
	want       *Report
}{
	{"RFC 8428 §5.1.1", `[{"n":"urn:dev:ow:10e2073a01080063","u":"Cel","v":23.1}]`,
		makeReport(makeNumber("urn:dev:ow:10e2073a01080063", "Cel", 0, 23.1))},
	{"RFC 8428 §5.1.2", `[{"bn":"urn:dev:ow:10e2073a01080063:","n":"voltage","u":"V","v":120.1},{"n":"current","u":"A","v":1.2}]`,
		&Report{Measurements: []Measurement{
			makeNumber("urn:dev:ow:10e2073a01080063:voltage", "V", 0, 120.1),
			makeNumber("urn:dev:ow:10e2073a01080063:current", "A", 0, 1.2),
		}}},
	{"RFC 8428 §5.1.2, with time", `[{"bn":"urn:dev:ow:10e2073a0108006:","bt":1.276020076001e+09,"bu":"A","bver":5,"n":"voltage","u":"V","v":120.1},
		{"n":"current","t":-5,"v":1.2},{"n":"current","t":-4,"v":1.3},{"n":"current","t":-3,"v":1.4},
		{"n":"current","t":-2,"v":1.5},{"n":"current","t":-1,"v":1.6},{"n":"current","v":1.7}]`, &electric},
	{"RFC 8428 §5.1.3", `[{"bn":"urn:dev:ow:10e2073a01080063","bt":1.320067464e+09,"bu":"%RH","v":20},
		{"u":"lon","v":24.30621},{"u":"lat","v":60.07965},{"t":60,"v":20.3}]`,
		&Report{Measurements: []Measurement{
			makeNumber("urn:dev:ow:10e2073a01080063", "%RH", 1320067464, 20),
			makeNumber("urn:dev:ow:10e2073a01080063", "lon", 1320067464, 24.30621),
			makeNumber("urn:dev:ow:10e2073a01080063", "lat", 1320067464, 60.07965),
			makeNumber("urn:dev:ow:10e2073a01080063", "%RH", 1320067524, 20.3),
		}}},
	{"RFC 8428 §5.1.5, without the data value",
		`[{"bn":"urn:dev:ow:10e2073a01080063:","n":"temp","u":"Cel","v":23.1},{"n":"label","vs":"Machine Room"},{"n":"open","vb":false}]`,
		&Report{Measurements: []Measurement{
			makeNumber("urn:dev:ow:10e2073a01080063:temp", "Cel", 0, 23.1),
			{Name: "urn:dev:ow:10e2073a01080063:label", Type: TextValue, Text: "Machine Room"},
			{Name: "urn:dev:ow:10e2073a01080063:open", Type: FlagValue},
		}}},
	{"the record age becomes the age of the report",
		`[{"n":"age","u":"ms","v":-250},{"n":"contact","vb":true}]`,
		&Report{Age: -250, Measurements: []Measurement{{Name: "contact", Type: FlagValue, Flag: true}}}},
	{"the age takes the base unit", `[{"n":"rssi","u":"dBm","v":-60},{"bu":"ms","n":"age","v":7}]`,
		&Report{Age: 7, Measurements: []Measurement{makeNumber("rssi", "dBm", 0, -60)}}},
	{"an age under a base name is a measurement", `[{"bn":"x/","n":"age","u":"ms","v":7}]`,
		makeReport(makeNumber("x/age", "ms", 0, 7))},
	{"an age of zero alone", `[{"n":"age","u":"ms","v":0}]`, &Report{}},
	{"base value is added", `[{"bv":20,"n":"a","v":0.5},{"n":"b"}]`,
		&Report{Measurements: []Measurement{makeNumber("a", "", 0, 20.5), makeNumber("b", "", 0, 20)}}},
	{"base value does not change other types", `[{"bv":20,"n":"a","vs":"x"}]`,
		makeReport(Measurement{Name: "a", Type: TextValue, Text: "x"})},
	{"a sum alone", `[{"n":"a","s":12}]`, makeReport(Measurement{Name: "a", HasSum: true, Sum: 12})},
	{"base sum is added", `[{"bs":5,"n":"a","v":1,"s":12}]`,
		makeReport(Measurement{Name: "a", Type: NumberValue, Number: 1, HasSum: true, Sum: 17})},
	{"update time", `[{"n":"a","v":1,"ut":60}]`,
		makeReport(Measurement{Name: "a", Type: NumberValue, Number: 1, UpdateTime: 60})},
	{"a base field applies until the next one", `[{"bn":"a","v":1},{"bn":"b","v":2},{"v":3}]`,
		&Report{Measurements: []Measurement{makeNumber("a", "", 0, 1), makeNumber("b", "", 0, 2),
			makeNumber("b", "", 0, 3)}}},
	{"unknown labels are ignored", `[{"n":"a","v":1,"zz":{"deep":[1,{"n":2}]},"N":"b","V":2}]`,
		makeReport(makeNumber("a", "", 0, 1))},
	{"the default version in a later record", `[{"n":"a","v":1},{"bver":10,"n":"b","v":1}]`,
		&Report{Measurements: []Measurement{makeNumber("a", "", 0, 1), makeNumber("b", "", 0, 1)}}},
	{"the longest name", `[{"n":"` + strings.Repeat("n", MaxName) + `","v":1}]`,
		makeReport(makeNumber(strings.Repeat("n", MaxName), "", 0, 1))},
	{"the longest text", `[{"n":"a","vs":"` + strings.Repeat("é", MaxText/2) + `"}]`,
		makeReport(Measurement{Name: "a", Type: TextValue, Text: strings.Repeat("é", MaxText/2)})},
	{"an empty text", `[{"n":"a","vs":""}]`, makeReport(Measurement{Name: "a", Type: TextValue})},

	{"empty body", ``, nil},
	{"null", `null`, nil},
	{"an object", `{"n":"a","v":1}`, nil},
	{"an empty pack", `[]`, nil},
	{"a record that is null", `[null]`, nil},
	{"a record that is no object", `[1]`, nil},
	{"data after it", `[{"n":"a","v":1}] 1`, nil},
	{"comma at the end", `[{"n":"a","v":1},]`, nil},
	{"no name", `[{"v":1}]`, nil},
	{"no value", `[{"n":"a"}]`, nil},
	{"two values", `[{"n":"a","v":1,"vs":"x"}]`, nil},
	{"two values, no number", `[{"n":"a","vb":true,"vs":"x"}]`, nil},
	{"a data value", `[{"n":"nfc-reader","vd":"aGkgCg"}]`, nil},
	{"an unknown critical label", `[{"n":"a","v":1,"zz_":1}]`, nil},
	{"a label twice", `[{"n":"a","n":"a","v":1}]`, nil},
	{"an unknown label twice", `[{"n":"a","v":1,"zz":1,"zz":1}]`, nil},
	{"a name with a space", `[{"n":"a b","v":1}]`, nil},
	{"a name that begins with a dash", `[{"n":"-a","v":1}]`, nil},
	{"a name with an umlaut", `[{"n":"ä","v":1}]`, nil},
	{"a name too long", `[{"n":"` + strings.Repeat("n", MaxName+1) + `","v":1}]`, nil},
	{"a name too long with its base", `[{"bn":"b","n":"` + strings.Repeat("n", MaxName) + `","v":1}]`, nil},
	{"a text too long", `[{"n":"a","vs":"` + strings.Repeat("é", MaxText/2) + `x"}]`, nil},
	{"a unit too long", `[{"n":"a","u":"` + strings.Repeat("u", MaxText+1) + `","v":1}]`, nil},
	{"text as value", `[{"n":"a","v":"1"}]`, nil},
	{"number as text", `[{"n":"a","vs":1}]`, nil},
	{"number as boolean", `[{"n":"a","vb":1}]`, nil},
	{"null value", `[{"n":"a","v":null}]`, nil},
	{"a number beyond a double", `[{"n":"a","v":1e400}]`, nil},
	{"a sum of two that is not finite", `[{"bv":1e308,"n":"a","v":1e308}]`, nil},
	{"a newer version", `[{"bver":11,"n":"a","v":1}]`, nil},
	{"a broken version", `[{"bver":5.5,"n":"a","v":1}]`, nil},
	{"version zero", `[{"bver":0,"n":"a","v":1}]`, nil},
	{"two versions", `[{"bver":5,"n":"a","v":1},{"bver":6,"n":"a","v":1}]`, nil},
	{"a version after the default", `[{"n":"a","v":1},{"bver":5,"n":"a","v":1}]`, nil},
	{"two ages", `[{"n":"age","u":"ms","v":1},{"n":"age","u":"ms","v":1}]`, nil},
	{"two ages of zero", `[{"n":"age","u":"ms","v":0},{"n":"age","u":"ms","v":0}]`, nil},
	{"an age in seconds", `[{"n":"age","u":"s","v":1}]`, nil},
	{"an age without a unit", `[{"n":"age","v":1}]`, nil},
	{"an age with a fraction", `[{"n":"age","u":"ms","v":1.5}]`, nil},
	{"an age above int32", `[{"n":"age","u":"ms","v":2147483648}]`, nil},
	{"an age as text", `[{"n":"age","u":"ms","vs":"1"}]`, nil},
	{"not UTF-8", "[{\"n\":\"a\",\"vs\":\"\xff\"}]", nil},
	{"seventeen records", "[" + strings.Repeat(`{"n":"a","v":1},`, 16) + `{"n":"a","v":1}]`, nil},
	{"too long", `[{"n":"a","v":1}` + strings.Repeat(" ", MaxReport) + `]`, nil},
}

func TestReportJSON(t *testing.T) {
	for _, tc := range packs {
		t.Run(tc.name, func(t *testing.T) { checkReport(t, SenMLJSON, []byte(tc.json), tc.want) })
	}
}

var cborPacks = []struct {
	name, hex string
	want      *Report
}{
	{"RFC 8428 §6", `87a721781b75726e3a6465763a6f773a3130653230373361303130383030363a22fb41d303a15b00106223614120050067766f6c7461676501615602fb405e066666666666
		a3006763757272656e74062402fb3ff3333333333333a3006763757272656e74062302fb3ff4cccccccccccda3006763757272656e74062202fb3ff6666666666666
		a3006763757272656e74062102f93e00a3006763757272656e74062002fb3ff999999999999aa3006763757272656e74060002fb3ffb333333333333`, &electric},
	{"the record age becomes the age of the report", "82 a3 00 63616765 01 626d73 02 38f9 a2 00 6161 04 f5",
		&Report{Age: -250, Measurements: []Measurement{{Name: "a", Type: FlagValue, Flag: true}}}},
	{"unknown labels are ignored", "81 a4 00 6161 02 01 09 81 01 627a7a f6",
		makeReport(makeNumber("a", "", 0, 1))},
	{"floats of every size", "83 a2 00 6161 02 f93e00 a2 00 6161 02 fa3fc00000 a2 00 6161 02 fb3ff8000000000000",
		&Report{Measurements: []Measurement{makeNumber("a", "", 0, 1.5), makeNumber("a", "", 0, 1.5),
			makeNumber("a", "", 0, 1.5)}}},

	{"empty body", "", nil},
	{"null", "f6", nil},
	{"an empty pack", "80", nil},
	{"a record that is null", "81 f6", nil},
	{"a map", "a2 00 6161 02 01", nil},
	{"an unknown critical label", "81 a3 00 6161 02 01 627a5f 01", nil},
	{"a label twice", "81 a3 00 6161 02 01 02 01", nil},
	{"a label as integer and as text", "81 a3 00 6161 02 01 6176 02", nil},
	{"a label that is a boolean", "81 a3 00 6161 02 01 f5 02", nil},
	{"a label that is bytes", "81 a3 00 6161 02 01 4161 02", nil},
	{"a data value", "81 a2 00 6161 08 4101", nil},
	{"a pack of indefinite length", "9f a2 00 6161 02 01 ff", nil},
	{"a text of indefinite length", "81 a2 00 7f 6161 ff 02 01", nil},
	{"a decimal fraction", "81 a2 00 6161 02 c4 82 20 0f", nil},
	{"a bignum", "81 a2 00 6161 02 c2 41 01", nil},
	{"not a number", "81 a2 00 6161 02 f97e00", nil},
	{"infinity", "81 a2 00 6161 02 f97c00", nil},
	{"an integer below int64", "81 a2 00 6161 02 3bffffffffffffffff", nil},
	{"a version as float", "81 a3 20 f94900 00 6161 02 01", nil},
	{"bytes after it", "81 a2 00 6161 02 01 00", nil},
	{"cut short", "81 a2 00 6161 02", nil},
	{"a name as bytes", "81 a2 00 4161 02 01", nil},
	{"a name that is not UTF-8", "81 a2 00 61ff 02 01", nil},
	{"nested too deep", "81 a3 00 6161 02 01 627a7a 8181818181 01", nil},
	{"seventeen records", "91" + strings.Repeat("a200616102 01", 17), nil},
}

func TestReportCBOR(t *testing.T) {
	for _, tc := range cborPacks {
		t.Run(tc.name, func(t *testing.T) {
			checkReport(t, SenMLCBOR, decodeHex(t, tc.hex), tc.want)
		})
	}
}

func checkReport(t *testing.T, f Format, b []byte, want *Report) {
	t.Helper()
	got, err := ParseReport(f, b)
	if want == nil {
		if !errors.Is(err, ErrMalformed) || !reflect.DeepEqual(got, Report{}) {
			t.Fatalf("got %+v, %v, want ErrMalformed and an empty report", got, err)
		}
		return
	}
	if err != nil || !reflect.DeepEqual(got, *want) {
		t.Fatalf("got %+v, %v, want %+v", got, err, *want)
	}
	if reflect.DeepEqual(got, Report{}) {
		return // an age of zero alone has no encoding
	}
	for _, f := range []Format{SenMLCBOR, SenMLJSON} {
		enc, err := got.Encode(f)
		if err != nil {
			t.Fatal(err)
		}
		if again, err := ParseReport(f, enc); err != nil || !reflect.DeepEqual(again, got) {
			t.Errorf("%x: got %+v, %v, want %+v", enc, again, err, got)
		}
	}
}

func TestReportEncoding(t *testing.T) {
	r := Report{Age: -250, Measurements: []Measurement{
		{Name: "contact", Type: FlagValue, Flag: true}, makeNumber("vcc", "V", 0, 3.5),
		makeNumber("rssi", "dBm", 0, -61),
	}}
	b, err := r.Encode(SenMLCBOR)
	want := "84 a3 00 63616765 01 626d73 02 38f9 a2 00 67636f6e74616374 04 f5 a3 00 63766363 01 6156 02 f94300 a3 00 6472737369 01 6364426d 02 383c"
	if err != nil || hex.EncodeToString(b) != strings.ReplaceAll(want, " ", "") {
		t.Errorf("got %x, %v, want %s", b, err, want)
	}
	b, err = r.Encode(SenMLJSON)
	wantJSON := `[{"n":"age","u":"ms","v":-250},{"n":"contact","vb":true},{"n":"vcc","u":"V","v":3.5},{"n":"rssi","u":"dBm","v":-61}]`
	if err != nil || string(b) != wantJSON {
		t.Errorf("got %s, %v, want %s", b, err, wantJSON)
	}
	if _, err := r.Encode(CBOR); !errors.Is(err, ErrFormat) {
		t.Errorf("as plain CBOR: got %v, want ErrFormat", err)
	}
	if _, err := ParseReport(JSON, nil); !errors.Is(err, ErrFormat) {
		t.Errorf("plain JSON: got %v, want ErrFormat", err)
	}
}

func TestImpossibleReports(t *testing.T) {
	long := Report{}
	for i := range MaxRecords {
		long.Measurements = append(long.Measurements, Measurement{Name: fmt.Sprint(i), Type: TextValue,
			Text: strings.Repeat("x", MaxText)})
	}
	if _, err := long.Encode(SenMLCBOR); !errors.Is(err, ErrTooLong) {
		t.Errorf("over 1,024 bytes: got %v, want ErrTooLong", err)
	}
	long.Age = 1
	for name, r := range map[string]Report{
		"nothing":                   {},
		"sixteen records and age":   long,
		"no name":                   *makeReport(Measurement{Type: NumberValue}),
		"no value":                  *makeReport(Measurement{Name: "a"}),
		"unknown type":              *makeReport(Measurement{Name: "a", Type: 4}),
		"not a number":              *makeReport(makeNumber("a", "", 0, math.NaN())),
		"infinite time":             *makeReport(makeNumber("a", "", math.Inf(1), 0)),
		"the reserved name age":     *makeReport(makeNumber("age", "ms", 0, 0)),
		"text that is not UTF-8":    *makeReport(Measurement{Name: "a", Type: TextValue, Text: "\xff"}),
		"a unit longer than a text": *makeReport(makeNumber("a", strings.Repeat("u", MaxText+1), 0, 0)),
	} {
		for _, f := range []Format{SenMLCBOR, SenMLJSON} {
			if b, err := r.Append([]byte("kept"), f); !errors.Is(err, ErrMalformed) || string(b) != "kept" {
				t.Errorf("%s: got %q, %v, want ErrMalformed and an unchanged slice", name, b, err)
			}
		}
	}
}
