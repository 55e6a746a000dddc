package door

import (
	"math"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"latchkey/coapres/wire"
)

// began is the time at which every story begins.
var began = time.Date(2026, 11, 29, 12, 0, 0, 0, time.UTC)

// TestStories runs testdata/*.txt: sentences that change what is known about a door, and the state
// that it must then have. Every headline must occur.
func TestStories(t *testing.T) {
	files, err := filepath.Glob("testdata/*.txt")
	if err != nil || len(files) == 0 {
		t.Fatalf("no stories: %v", err)
	}
	seen := map[Headline]bool{}
	for _, file := range files {
		text, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		for i, story := range strings.Split("\n"+string(text), "\nstory ") {
			if i == 0 {
				continue // the text before the first story is a comment
			}
			name, body, _ := strings.Cut(story, "\n")
			t.Run(name, func(t *testing.T) { (&teller{t: t, seen: seen}).tell(body) })
		}
	}
	for _, h := range Headlines {
		if !seen[h] {
			t.Errorf("headline %q: no story has it", h)
		}
		if h.Words() == "" {
			t.Errorf("headline %q has no words", h)
		}
	}
}

type teller struct {
	t    *testing.T
	f    Facts
	door Contact
	seen map[Headline]bool
}

var sentences = []struct {
	pattern *regexp.Regexp
	tell    func(*teller, []string)
}{
	{is(`lock`), func(s *teller, _ []string) { s.f.Lock.Fitted = true }},
	{is(`online`), func(s *teller, _ []string) {
		s.f.Lock.Online, s.f.Lock.Contact = true, wire.ContactUnknown
	}},
	{is(`offline`), func(s *teller, _ []string) { s.f.Lock.Online, s.f.Lock.Known = false, false }},
	{is(`nothing is known`), func(s *teller, _ []string) { s.f.Lock.Known = false }},
	{is(`at ([\d.]+) lock says (on|off)(?: for ([\d.]+))?`), func(s *teller, m []string) {
		s.f.Lock.Known, s.f.Lock.SaidAt = true, at(m[1])
		s.f.Lock.Said = wire.State{On: m[2] == "on", Left: uint32(at(m[3]).Sub(began) / time.Millisecond)}
	}},
	{is(`at ([\d.]+) (unlock|lock) is sent(?: for ([\d.]+))?`), func(s *teller, m []string) {
		s.f.Lock.Command, s.f.Lock.CommandAt = map[string]wire.Action{"unlock": wire.Unlock,
			"lock": wire.Lock}[m[2]], at(m[1])
		s.f.Lock.Pulse = at(m[3]).Sub(began)
	}},
	{is(`at ([\d.]+) exit is pressed`), func(s *teller, m []string) { s.door.PressExit(at(m[1])) }},
	{is(`at ([\d.]+) contact (open|closed|unknown) is (reported|read): (forced|fine)`), (*teller).sense},
	{is(`contact (open|closed)`), func(s *teller, m []string) {
		s.f.Lock.Contact = map[string]wire.Contact{"open": wire.ContactOpen,
			"closed": wire.ContactClosed}[m[1]]
	}},
	{is(`alarm (\w+)`), func(s *teller, m []string) { s.f.Alarms = append(s.f.Alarms, Headline(m[1])) }},
	{is(`acknowledged`), func(s *teller, _ []string) { s.f.Alarms = nil }},
	{is(`at ([\d.]+): (.+)`), (*teller).expect},
}

func is(pattern string) *regexp.Regexp { return regexp.MustCompile(`^` + pattern + `$`) }

// at returns a time of the story, in seconds from its beginning; empty: its beginning.
func at(seconds string) time.Time {
	n, _ := strconv.ParseFloat(seconds, 64)
	return began.Add(time.Duration(math.Round(n*1000)) * time.Millisecond)
}

func (s *teller) sense(m []string) {
	sensed := map[string]wire.Contact{"open": wire.ContactOpen, "closed": wire.ContactClosed}[m[2]]
	if got, want := s.door.Sense(sensed, m[3] == "reported", s.f.Lock, at(m[1])),
		m[4] == "forced"; got != want {
		s.t.Errorf("at %s: contact %s, %s: got forced %v, want %v", m[1], m[2], m[3], got, want)
	}
}

func (s *teller) expect(m []string) {
	s.f.At = at(m[1])
	got := FindState(s.f)
	s.seen[got.Headline] = true
	text := string(got.Headline)
	if got.Now != got.Headline {
		text += ", now " + string(got.Now)
	}
	since := func(t time.Time) string { return strconv.FormatFloat(t.Sub(began).Seconds(), 'f', -1, 64) }
	if !got.Until.IsZero() {
		text += " until " + since(got.Until)
	}
	if got.Last != "" {
		text += ", last " + string(got.Last) + " at " + since(got.LastAt)
	}
	if text != m[2] {
		s.t.Errorf("at %s: got %q, want %q, from %+v", m[1], text, m[2], s.f)
	}
}

func (s *teller) tell(body string) {
	for line := range strings.SplitSeq(body, "\n") {
		line = strings.TrimSpace(line)
		if line == "" || line[0] == '#' {
			continue
		}
		i := slices.IndexFunc(sentences, func(x struct {
			pattern *regexp.Regexp
			tell    func(*teller, []string)
		}) bool {
			return x.pattern.MatchString(line)
		})
		if i < 0 {
			s.t.Fatalf("not a sentence: %s", line)
		}
		sentences[i].tell(s, sentences[i].pattern.FindStringSubmatch(line))
	}
}

// There is always a headline. It is "locked" only if the lock itself has said, since the last
// unlock, that its relay is off.
func TestLockedIsSaidOnlyAfterTheLockSaidSo(t *testing.T) {
	contacts := []wire.Contact{wire.ContactUnknown, wire.ContactClosed, wire.ContactOpen}
	commands := []wire.Action{0, wire.Unlock, wire.Lock}
	seconds := []time.Duration{0, time.Second, 3 * time.Second, time.Minute}
	locked := 0
	for n := range 16 * len(contacts) * len(commands) * len(seconds) * len(seconds) {
		pick := func(of int) (i int) { i, n = n%of, n/of; return i }
		l := Lock{Fitted: pick(2) == 1, Online: pick(2) == 1, Known: pick(2) == 1,
			Said: wire.State{On: pick(2) == 1, Left: 3000}, SaidAt: began.Add(seconds[pick(len(seconds))]),
			Contact: contacts[pick(len(contacts))],
			Command: commands[pick(len(commands))], CommandAt: began.Add(seconds[pick(len(seconds))])}
		s := FindState(Facts{At: began.Add(time.Hour), Lock: l})
		if !slices.Contains(Headlines, s.Headline) {
			t.Fatalf("got the unknown headline %q for %+v", s.Headline, l)
		}
		if s.Headline != Locked {
			continue
		}
		locked++
		if !l.Fitted || !l.Online || !l.Known || l.Said.On || l.Contact == wire.ContactOpen ||
			l.Command == wire.Unlock && l.CommandAt.After(l.SaidAt) {
			t.Fatalf("got locked for %+v", l)
		}
	}
	if locked == 0 {
		t.Error("got locked for no facts at all, so this test shows nothing")
	}
}
