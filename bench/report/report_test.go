package report

import (
	"bytes"
	"errors"
	"flag"
	"math"
	"os"
	"reflect"
	"strings"
	"testing"
)

var update = flag.Bool("update", false, "write the golden files anew")

func small(t *testing.T) *Run {
	t.Helper()
	r, err := ReadJSON(bytes.NewReader(read(t, "testdata/small.json")))
	if err != nil {
		t.Fatal(err)
	}
	return r
}

func TestMarkdownMatchesTheGoldenFile(t *testing.T) {
	var got bytes.Buffer
	if err := small(t).Markdown(&got, "p/bytes_latency.svg", "p/bytes_latency.png", "p/overview.svg",
		"p/bytesmore_x.svg"); err != nil {
		t.Fatal(err)
	}
	if *update {
		if err := os.WriteFile("testdata/small.md", got.Bytes(), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	if want := read(t, "testdata/small.md"); !bytes.Equal(got.Bytes(), want) {
		t.Errorf("the Markdown differs from testdata/small.md, which -update writes anew:\n%s", got.String())
	}
}

func TestWhereWeAreWorseCanBeEmpty(t *testing.T) {
	r := small(t)
	figures := r.Scenarios[1].Figures
	figures[3].Rounds = []float64{200} // https
	r.Scenarios = r.Scenarios[1:]
	if got := markdownOf(t, r); !strings.Contains(got, "In none of the 1 comparisons with the best peer.") {
		t.Errorf("the sentence is missing:\n%s", got)
	}
	r.Scenarios[0].Figures = figures[:3]
	if got := markdownOf(t, r); !strings.Contains(got, "Nothing was compared with a peer.") {
		t.Errorf("the sentence is missing:\n%s", got)
	}
}

func markdownOf(t *testing.T, r *Run) string {
	t.Helper()
	var text strings.Builder
	if err := r.Markdown(&text); err != nil {
		t.Fatal(err)
	}
	return text.String()
}

func TestAFailedWriteIsAnError(t *testing.T) {
	r := small(t)
	if err := r.Markdown(failing{}); !errors.Is(err, errFull) {
		t.Errorf("Markdown: got %v, want %v", err, errFull)
	}
	if err := r.WriteJSON(failing{}); !errors.Is(err, errFull) {
		t.Errorf("JSON: got %v, want %v", err, errFull)
	}
}

var errFull = errors.New("full")

type failing struct{}

func (failing) Write([]byte) (int, error) { return 0, errFull }

func TestARunIsReadAsItWasWritten(t *testing.T) {
	for name, r := range map[string]*Run{"small": small(t), "full": sample(true)} {
		var text bytes.Buffer
		if err := r.WriteJSON(&text); err != nil {
			t.Fatal(err)
		}
		got, err := ReadJSON(&text)
		if err != nil {
			t.Fatal(err)
		}
		if !reflect.DeepEqual(got, r) {
			t.Errorf("%s: got %+v, want %+v", name, got, r)
		}
	}
}

func TestReadJSONSaysWhatIsWrong(t *testing.T) {
	good := string(read(t, "testdata/small.json"))
	for _, c := range []struct{ name, old, new, want string }{
		{"an unknown field", `"form"`, `"fort"`, `"fort"`},
		{"another form", `"short"`, `"long"`, `form is "long"`},
		{"it ended before it began", `"ended": "2026`, `"ended": "2025`, "it began at"},
		{"no commit", `"commit": "0123456789abcdef0123456789abcdef01234567"`, `"commit": ""`, "no commit"},
		{"two scenarios of one name", `"name": "bytes"`, `"name": "throughput"`, "scenario 1"},
		{"a name that no file can have", `"name": "bytes"`, `"name": "../bytes"`, "scenario 1"},
		{"no title", `"title": "Restart"`, `"title": ""`, "scenario restart: no title"},
		{"a figure twice", `"system": "go-coap"`, `"system": "libcoap-gnutls"`, `"requests" of "libcoap-gnutls" in case "16 sessions" is there twice`},
		{"no system", `"system": "https"`, `"system": ""`, "needs a system"},
		{"no rounds", "[150]", "[]", `"bytes" of "https" in case "a further scan" has no rounds`},
		{"two units of one metric", `"unit": "B", "main": true, "rounds": [150]`, `"unit": "KB", "main": true, "rounds": [150]`, "unit, moreIsBetter"},
		{"a percentile beyond 100", "[100, 900]", "[100.5, 900]", "point 2"},
		{"a curve that falls", "[100, 900]", "[100, 9]", "less than the one before"},
		{"an overview of nothing", `"overview": {"title": "Bytes", "case": "a further scan"`, `"overview": {"title": "Bytes", "case": "x"`, `in case "x"`},
		{"a text where a number belongs", "[150]", `["150"]`, "rounds"},
		{"nothing", good, "", "EOF"},
		{"something after the run", good, good + "{}", "something follows"},
	} {
		t.Run(c.name, func(t *testing.T) {
			text := strings.Replace(good, c.old, c.new, 1)
			if text == good {
				t.Fatal("nothing was changed")
			}
			if _, err := ReadJSON(strings.NewReader(text)); err == nil || !strings.Contains(err.Error(),
				c.want) {
				t.Errorf("got %v, want an error that says %s", err, c.want)
			}
		})
	}
}

func TestAFaultyRunIsWrittenAnyway(t *testing.T) {
	r := small(t)
	r.Commit = ""
	var text bytes.Buffer
	if err := r.WriteJSON(&text); err == nil || !strings.Contains(err.Error(), "no commit") ||
		!strings.Contains(text.String(), "further scan") {
		t.Errorf("got %v and %d bytes, want both", err, text.Len())
	}
	r.Scenarios[0].Figures[0].Rounds[1] = math.NaN()
	if err := r.WriteJSON(&text); err == nil || !strings.Contains(err.Error(), `"requests" of "libcoap-gnutls" in case "1 session": round 1 is NaN`) {
		t.Errorf("got %v, want the place of the value that is not a number", err)
	}
}

func TestMedianIsBetweenTheMiddleRounds(t *testing.T) {
	for _, c := range []struct {
		rounds []float64
		want   float64
	}{{[]float64{7}, 7}, {[]float64{9, 1, 5}, 5}, {[]float64{4, 1, 3, 2}, 2.5}, {[]float64{100, 2, 2, 1, 3},
		2}} {
		f := Figure{Rounds: c.rounds}
		if got := f.median(); got != c.want {
			t.Errorf("%v: got %v, want %v", c.rounds, got, c.want)
		}
	}
	if f := (Figure{Rounds: []float64{9, 1, 5}}); f.median() != 5 || f.Rounds[0] != 9 {
		t.Error("median changed the order of the rounds")
	}
}

func TestNumbersHaveThreeDigits(t *testing.T) {
	for _, c := range []struct {
		unit string
		v    float64
		want string
	}{
		{"µs", 0, "0"}, {"µs", 0.012345, "0.0123"}, {"µs", 1.005, "1.00"}, {"µs", 9.996, "10.0"},
		{"µs", 99.96, "100"}, {"µs", 123.4, "123"},
		{"µs", 999.6, "1,000"}, {"µs", 1234, "1,230"}, {"µs", 1234567, "1,230,000"}, {"µs", -1234, "-1,230"},
		{"µs", -123.4, "-123"},
		{"B", 1234, "1,234"}, {"", 8, "8"}, {"B", 187.5, "188"}, {"B", 51_234_567, "51,200,000"},
	} {
		f := Figure{Unit: c.unit}
		if got := f.number(c.v); got != c.want {
			t.Errorf("%v %s: got %s, want %s", c.v, c.unit, got, c.want)
		}
	}
}

func TestRatioIsOfMedians(t *testing.T) {
	a, b, zero := &Figure{Rounds: []float64{1, 6, 100}}, &Figure{Rounds: []float64{4, 4, 0}},
		&Figure{Rounds: []float64{0}}
	if x, ok := ratio(a, b); !ok || x != 1.5 {
		t.Errorf("got %v, %v, want 1.5", x, ok)
	}
	for name, to := range map[string]*Figure{"nothing": nil, "zero": zero} {
		if _, ok := ratio(a, to); ok {
			t.Errorf("there is a ratio to %s", name)
		}
	}
}

func TestBestPeerIsNeitherTheFloorNorOurs(t *testing.T) {
	figure := func(system string, v float64, more bool) Figure {
		return Figure{System: system, Metric: "m", More: more, Rounds: []float64{v}}
	}
	for _, more := range []bool{false, true} {
		s := &Scenario{Figures: []Figure{figure(Floor, 1, more), figure("latchkey in memory", 2, more),
			figure("mqtt", 4, more), figure("https", 3, more),
			figure("go-coap", 5, more), figure("latchkey", 9, more), figure(Floor, 10, more)}}
		want := "https"
		if more {
			want = "go-coap"
		}
		if got := s.bestPeer("", "m"); got == nil || got.System != want {
			t.Errorf("more is better, %v: got %+v, want %s", more, got, want)
		}
	}
	s := &Scenario{Figures: []Figure{figure(Floor, 1, false), figure("latchkey", 2, false)}}
	if got := s.bestPeer("", "m"); got != nil {
		t.Errorf("got %+v, want no peer", got)
	}
}
