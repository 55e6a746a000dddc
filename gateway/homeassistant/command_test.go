package homeassistant

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"latchkey/coapres/wire"
	"latchkey/gateway/access"
)

const goodEcho = "9f2c41d07be3a856"

func TestParseCommand(t *testing.T) {
	at := time.UnixMilli(1_795_000_000_123)
	for _, c := range []struct {
		rule string
		json string
		want *command // nil: refused
	}{
		{"an unlock with a code", `{"a":"unlock","e":"9f2c41d07be3a856","t":1795000000123,"c":"123456"}`,
			&command{wire.Unlock, 0, goodEcho, at, "123456"}},
		{"no code", `{"a":"lock","e":"9f2c41d07be3a856","t":1795000000123,"c":""}`, &command{wire.Lock, 0,
			goodEcho, at, ""}},
		{"a lamp", `{"a":"on","e":"9f2c41d07be3a856","t":1795000000123}`, &command{wire.On, 0, goodEcho, at,
			""}},
		{"a level", `{"a":"level","l":40,"e":"9f2c41d07be3a856","t":1795000000123}`, &command{wire.Level,
			40, goodEcho, at, ""}},
		{"no echo known", `{"a":"off","e":"","t":1795000000123}`, &command{wire.Off, 0, "", at, ""}},
		{"plain text", `UNLOCK`, nil},
		{"nothing", ``, nil},
		{"null", `null`, nil},
		{"a list", `[]`, nil},
		{"no members", `{}`, nil},
		{"toggle, which is not idempotent", `{"a":"toggle","e":"","t":1}`, nil},
		{"an unknown action", `{"a":"open","e":"","t":1}`, nil},
		{"an unknown member", `{"a":"on","e":"","t":1,"x":1}`, nil},
		{"a member in upper case", `{"A":"on","e":"","t":1}`, nil},
		{"a member twice", `{"a":"off","e":"","t":1,"a":"on"}`, nil},
		{"two values", `{"a":"on","e":"","t":1}{}`, nil},
		{"no action", `{"e":"","t":1}`, nil},
		{"no echo", `{"a":"on","t":1}`, nil},
		{"an echo of null", `{"a":"on","e":null,"t":1}`, nil},
		{"no time", `{"a":"on","e":""}`, nil},
		{"a time of 0", `{"a":"on","e":"","t":0}`, nil},
		{"a time before 1970", `{"a":"on","e":"","t":-1}`, nil},
		{"a time that is not whole", `{"a":"on","e":"","t":1.5}`, nil},
		{"a time beyond 2^53", `{"a":"on","e":"","t":9007199254740993}`, nil},
		{"a time as text", `{"a":"on","e":"","t":"1"}`, nil},
		{"a code that is a number", `{"a":"unlock","e":"","t":1,"c":123456}`, nil},
		{"a code of null", `{"a":"unlock","e":"","t":1,"c":null}`, nil},
		{"a long code", `{"a":"unlock","e":"","t":1,"c":"` + strings.Repeat("1", 65) + `"}`, nil},
		{"a level of 0", `{"a":"level","l":0,"e":"","t":1}`, nil},
		{"a level of 101", `{"a":"level","l":101,"e":"","t":1}`, nil},
		{"a level of 256", `{"a":"level","l":256,"e":"","t":1}`, nil},
		{"no level", `{"a":"level","e":"","t":1}`, nil},
		{"a level without need", `{"a":"on","l":40,"e":"","t":1}`, nil},
		{"a newline in a code", "{\"a\":\"unlock\",\"e\":\"\",\"t\":1,\"c\":\"1\n\"}", nil},
	} {
		got, err := parseCommand([]byte(c.json))
		switch {
		case c.want == nil && err == nil:
			t.Errorf("%s: got %+v, want an error", c.rule, got)
		case c.want != nil && (err != nil || got != *c.want):
			t.Errorf("%s: got %+v, %v, want %+v", c.rule, got, err, *c.want)
		}
	}
}

// What parses means the same after it was written and read again.
func FuzzParseCommand(f *testing.F) {
	f.Add([]byte(`{"a":"unlock","e":"9f2c41d07be3a856","t":1795000000123,"c":"123456"}`))
	f.Add([]byte(`{"a":"level","l":40,"e":"","t":1}`))
	f.Add([]byte(`{"a":"on","e":"\u0000","t":1e3}`))
	f.Fuzz(func(t *testing.T, data []byte) {
		c, err := parseCommand(data)
		if err != nil {
			if c != (command{}) {
				t.Fatalf("an error and %+v", c)
			}
			return
		}
		level := ""
		if c.action == wire.Level {
			level = fmt.Sprintf(`"l":%d,`, c.level)
		}
		again, err := parseCommand(fmt.Appendf(nil, `{"a":%q,%s"e":%s,"t":%d,"c":%s}`, c.action.String(),
			level,
			encode(c.echo), c.at.UnixMilli(), encode(c.code)))
		if err != nil || again != c {
			t.Fatalf("got %+v, %v, want %+v", again, err, c)
		}
	})
}

func TestEchoes(t *testing.T) {
	var e echoes
	now := time.Now()
	first := e.current(testTarget, now, echoAge)
	if len(first) != 2*echoBytes || e.current(testTarget, now.Add(echoAge-1), echoAge) != first {
		t.Fatalf("got %q, and another one while it is valid", first)
	}
	if _, ok := e.take(testTarget, "", now); ok {
		t.Error("an empty echo is taken")
	}
	if _, ok := e.take(testTarget, "0000000000000000", now); ok {
		t.Error("a wrong echo is taken")
	}
	if _, ok := e.take("zzzzzzzzzz", first, now); ok {
		t.Error("the echo of another target is taken")
	}
	if e.current(testTarget, now, echoAge) != first {
		t.Error("a wrong echo has changed it")
	}
	if age, ok := e.take(testTarget, first, now.Add(7*time.Second)); !ok || age != 7*time.Second {
		t.Errorf("got %v, %v, want the echo's age", age, ok)
	}
	if _, ok := e.take(testTarget, first, now); ok {
		t.Error("an echo is taken twice")
	}
	second := e.current(testTarget, now, echoAge)
	if second == first || e.current(testTarget, now.Add(8*time.Second), echoAge) != second {
		t.Error("a used echo is not replaced once")
	}
	third := e.current(testTarget, now.Add(7*time.Second+echoAgeUntrusted), echoAgeUntrusted)
	if third == second {
		t.Error("without a trusted clock an echo stays")
	}
	e.keep(func(id access.ID) bool { return false })
	if _, ok := e.take(testTarget, third, now); ok {
		t.Error("the echo of a removed target is taken")
	}
	fourth := e.current(testTarget, now, echoAge)
	e.clear()
	if _, ok := e.take(testTarget, fourth, now); ok {
		t.Error("an echo of an earlier connection is taken")
	}
}

func TestWrongCodes(t *testing.T) {
	now := time.Now()
	var w wrongCodes
	wait := func(want time.Duration) {
		t.Helper()
		if got := w.wait(now); got != want {
			t.Fatalf("after %d wrong codes: got %v, want %v", w.inRow, got, want)
		}
	}
	wrong := func() { w.note(false, now) }
	wrong()
	wrong()
	wait(0)
	w.note(true, now)
	wrong()
	wrong()
	wait(0) // a right code begins anew
	for _, want := range []time.Duration{1, 2, 4, 8, 16, 32, 60, 60} {
		wrong()
		wait(want * time.Minute)
		now = now.Add(want * time.Minute)
		wait(0)
	}
	if got := w.today(now); got != 12 {
		t.Errorf("got %d wrong codes today, want 12: a right one does not clear them", got)
	}
	for i := range 8 {
		if pause := w.note(false, now); pause != (i == 7) {
			t.Fatalf("wrong code %d of the day: paused %v", 13+i, pause)
		}
	}
	if !w.note(false, now) || w.wait(now) != time.Hour {
		t.Error("a pause that was not made is not asked for again, or the way is open until then")
	}
	w = wrongCodes{}
	for range 100 { // one in two hours never pauses
		if w.note(false, now) {
			t.Fatal("paused by wrong codes of many days")
		}
		now = now.Add(2 * time.Hour)
	}
	if len(w.times) > wrongMost {
		t.Errorf("%d times are kept", len(w.times))
	}
}
