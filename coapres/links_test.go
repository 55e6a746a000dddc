package coapres

import (
	"strings"
	"testing"
	"time"
)

func TestParseActLink(t *testing.T) {
	for _, c := range []struct {
		rule, links string
		want        time.Duration
	}{
		{"as our nodes send it", ActLink(10 * time.Second), 10 * time.Second},
		{"a link without it", ActLink(0), 0},
		{"no links", "", 0},
		{"a value in quotes", `</act>;maxpulse="2500"`, 2500 * time.Millisecond},
		{"a name in another case", `</act>;MaxPulse=1`, time.Millisecond},
		{"after another link", `</sensors/t>;rt="t;x,</act>;maxpulse=9",</act>;ct=60;maxpulse=7`,
			7 * time.Millisecond},
		{"with spaces", ` </act> ; rt="a" ; maxpulse=7 `, 7 * time.Millisecond},
		{"an attribute of another link", `</other>;maxpulse=7,</act>;rt="a"`, 0},
		{"zero", `</act>;maxpulse=0`, 0},
		{"not a number", `</act>;maxpulse=ten`, 0},
		{"negative", `</act>;maxpulse=-1`, 0},
		{"too large", `</act>;maxpulse=4294967296`, 0},
		{"the largest", `</act>;maxpulse=4294967295`, 4294967295 * time.Millisecond},
		{"without a value", `</act>;maxpulse`, 0},
		{"not links", `act maxpulse=7`, 0},
		{"truncated", `</act`, 0},
		{"an open quote", `</act>;rt="a;maxpulse=7`, 0},
	} {
		if got, _ := parseActLink(c.links); got != c.want {
			t.Errorf("%s: got %v, want %v", c.rule, got, c.want)
		}
	}
	for links, want := range map[string]bool{ActLink(0): true, ActLink(time.Second): true,
		`</act>;rt="a"`: false, `</act>;EPOCH`: true, `</other>;epoch`: false, `</act>;epochs`: false, `</act>;rt="epoch"`: false} {
		if _, got := parseActLink(links); got != want {
			t.Errorf("%s: knows epochs: got %v, want %v", links, got, want)
		}
	}
}

// Whatever a node sends, the parser terminates and returns a duration of at most 32 bits of
// milliseconds, and it finds the link of our own nodes before any other text.
func FuzzParseActLink(f *testing.F) {
	for _, s := range []string{ActLink(10 * time.Second), `</a>;b="c,d";e,</act>;maxpulse=1`, `<<<>;,;,"`,
		`</act>;;;,,`} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, links string) {
		if got, _ := parseActLink(links); got < 0 || got > 4294967295*time.Millisecond {
			t.Errorf("got %v, want at most 32 bits of milliseconds", got)
		}
		if got, epoch := parseActLink(ActLink(7*time.Second) + "," + links); got != 7*time.Second || !epoch {
			t.Errorf("after our own link: got %v, want 7s", got)
		}
		for rest := links; rest != ""; {
			_, _, next := nextLink(rest)
			if len(next) >= len(rest) || !strings.HasSuffix(rest, next) {
				t.Fatalf("after the first link of %q remains %q, want a shorter suffix", rest, next)
			}
			rest = next
		}
	})
}
