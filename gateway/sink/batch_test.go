package sink

import (
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"latchkey/gateway/access/sinks"
	"latchkey/gateway/audit"
	"latchkey/gateway/cloudevent"
)

func TestBatchIsBounded(t *testing.T) {
	w := &worker{sink: sinks.Sink{Only: []audit.EventKind{audit.EventDecision, "new"}},
		from: cloudevent.Source{Site: "h3n8p2r5tv", Epoch: 1}}
	make := func(n int, kind audit.EventKind, text string) (out []audit.Event) {
		for i := range n {
			out = append(out, audit.Event{Seq: uint64(i + 1), Kind: kind, Rule: text})
		}
		return out
	}
	big := strings.Repeat("\x01", 4000) // six bytes each in JSON
	for name, tt := range map[string]struct {
		events         []audit.Event
		messages, done int
		fails          bool
	}{
		"none":                    {nil, 0, 0, false},
		"few":                     {make(7, audit.EventDecision, "r"), 7, 7, false},
		"more than a batch":       {make(250, audit.EventDecision, "r"), maxBatch, maxBatch, false},
		"not wanted":              {make(250, audit.EventStop, "r"), 0, 250, false},
		"large ones":              {make(250, audit.EventDecision, big), 10, 10, false},
		"a kind that has no form": {make(3, "new", "r"), 0, 0, true},
		"behind a full batch, too": {append(make(2, audit.EventDecision, "r"), make(1, "new", "r")...),
			2, 2, true},
	} {
		b, done, err := w.fill(tt.events)
		if len(b.messages) != tt.messages || len(b.hashes) != tt.messages || done != tt.done ||
			(err != nil) != tt.fails {
			t.Errorf("%s: got %d messages of %d events, %v, want %d of %d", name, len(b.messages), done, err,
				tt.messages, tt.done)
		}
	}
}

func TestWaitDoublesWithJitter(t *testing.T) {
	usual := times{}.withDefaults()
	for failures, bound := range map[int]time.Duration{0: time.Second, 1: time.Second, 2: 2 * time.Second,
		9: 256 * time.Second, 10: 5 * time.Minute, 1000: 5 * time.Minute, 1 << 40: 5 * time.Minute} {
		var most time.Duration
		for range 1000 {
			d := usual.pick(failures)
			most = max(most, d)
			if d <= 0 || d > bound+time.Millisecond {
				t.Fatalf("%d failures: got %v, want up to %v", failures, d, bound)
			}
		}
		if most < bound*9/10 {
			t.Errorf("%d failures: got at most %v of 1000, want up to %v", failures, most, bound)
		}
	}
}

func TestClean(t *testing.T) {
	for text, want := range map[string]string{"HTTP 503": "HTTP 503",
		" a\x1b[2J\r\nb\xff\u202e ": "a [2J  b", "": "",
		strings.Repeat("é", 200): strings.Repeat("é", 100) + "…"} {
		got := clean(text)
		if got != want || !utf8.ValidString(got) {
			t.Errorf("%q: got %q, want %q", text, got, want)
		}
	}
}
