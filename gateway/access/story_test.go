package access

import (
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"latchkey/coapres/wire"
	"latchkey/keys"
)

// TestStories runs testdata/*.txt: sentences that put records, and attempts with the expected
// decision. Decide, Explain and the naive evaluator decide each attempt, and all three must agree.
// Every reason in the source must occur.
func TestStories(t *testing.T) {
	files, err := filepath.Glob("testdata/*.txt")
	if err != nil || len(files) == 0 {
		t.Fatalf("no stories: %v", err)
	}
	seen := map[Reason]bool{}
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
			t.Run(name, func(t *testing.T) {
				(&teller{t: t, p: New(), trusted: true,
					seen: seen}).tell(body)
			})
		}
	}
	for _, r := range readReasons(t) {
		if !seen[r] {
			t.Errorf("reason %q: no story ends with it", r)
		}
	}
}

// readReasons reads the constants of type Reason from the source, so that no new one is forgotten
// here.
func readReasons(t *testing.T) []Reason {
	file, err := parser.ParseFile(token.NewFileSet(), "attempt.go", nil, 0)
	if err != nil {
		t.Fatal(err)
	}
	var out []Reason
	ast.Inspect(file, func(n ast.Node) bool {
		spec, ok := n.(*ast.ValueSpec)
		if !ok {
			return true
		}
		if typ, ok := spec.Type.(*ast.Ident); ok && typ.Name == "Reason" {
			text, err := strconv.Unquote(spec.Values[0].(*ast.BasicLit).Value)
			if err != nil {
				t.Fatal(err)
			}
			out = append(out, Reason(text))
		}
		return true
	})
	if len(out) < 18 {
		t.Fatalf("got %d reasons in attempt.go, want at least 18", len(out))
	}
	return out
}

type teller struct {
	t       *testing.T
	p       *Policy
	trusted bool
	counter uint64
	seen    map[Reason]bool
}

// A sentence is a pattern, and a function that gets the parts in brackets.
var sentences = []struct {
	pattern *regexp.Regexp
	tell    func(*teller, []string)
}{
	{is(`zone (\S+)`), func(s *teller, m []string) { s.put(Site{Zone: m[1]}) }},
	{is(`person (\S+)`), func(s *teller, m []string) { s.put(person(m[1])) }},
	{is(`card (\S+) ([0-9a-f]{4})` + window), func(s *teller, m []string) {
		c := card(m[1], m[2])
		c.From, c.Until = s.time(m[3]), s.time(m[4])
		s.put(c)
	}},
	{is(`lose (\S+)`), func(s *teller, m []string) {
		c := s.p.Credentials[cardID(m[1])]
		c.Status = CardLost
		s.put(c)
	}},
	{is(`suspend (\S+)`), func(s *teller, m []string) {
		s.put(Person{ID: id(m[1]), Name: m[1], Suspended: true})
	}},
	{is(`integration (\S+)( paused)?`), func(s *teller, m []string) {
		x := integration(m[1])
		x.Paused = strings.TrimSpace(m[2])
		s.put(x)
	}},
	{is(`PIN (\d+) of (\S+)`), func(s *teller, m []string) {
		s.put(PIN{Person: id(m[2]), Hash: keys.Hide("hash of " + m[1])})
	}},
	{is(`code (\d+) of (g\d)`), func(s *teller, m []string) {
		g := *s.p.Grants[ruleID(m[2])]
		g.Code = keys.Hide("hash of " + m[1])
		s.put(g)
	}},
	{is(`(g\d) asks for the PIN of (\S+)`), func(s *teller, m []string) {
		g := *s.p.Grants[ruleID(m[1])]
		g.CodeOf = id(m[2])
		s.put(g)
	}},
	{is(`door (\S+)`), func(s *teller, m []string) { s.put(door(m[1])) }},
	{is(`lamp (\S+)`), func(s *teller, m []string) { s.put(lamp(m[1])) }},
	{is(`(reader|lock|switch) (\S+) at (.+)`), func(s *teller, m []string) {
		s.put(device(keys.Kind(m[1]), m[2], strings.Split(m[3], ", ")...))
	}},
	{is(`(revoked )?key (lk-\S+) of (\S+)`), func(s *teller, m []string) {
		k := keys.Key{ID: keys.ID(m[2]), Device: id(m[3]), Secret: keys.NewSecret(), State: keys.Active}
		if m[1] != "" {
			k.Secret, k.State = keys.Secret{}, keys.Revoked
		}
		s.put(k)
	}},
	{is(`schedule (\S+) (.+)`), func(s *teller, m []string) { s.put(schedule(m[1], m[2])) }},
	{is(`group (\S+) of (persons|targets): (.+)`), func(s *teller, m []string) {
		s.put(group(GroupOf(m[2]), m[1], strings.Split(m[3], ", ")...))
	}},
	{is(`(?:(g\d): )?(\S+) may( not)? (\w+) (\S+?)(?: on (\S+))?` + window), (*teller).grant},
	{is(`(end )?lockdown`),
		func(s *teller, m []string) { s.put(Site{Zone: s.p.Site.Zone, Lockdown: m[1] == ""}) }},
	{is(`clock (un)?trusted`), func(s *teller, m []string) { s.trusted = m[1] == "" }},
	{is(`at ` + when + ` (.+): (?:(granted)|denied: (\S+)) by (\S+)`), (*teller).attempt},
}

const (
	when   = `(\d{4}-\d\d-\d\d \d\d:\d\d(?::\d\d)?Z?)`
	window = `(?: from ` + when + `)?(?: until ` + when + `)?`
)

func is(pattern string) *regexp.Regexp { return regexp.MustCompile(`^` + pattern + `$`) }

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

func (s *teller) put(r Record) { s.t.Helper(); s.p = mustWith(s.t, s.p, Change{Put: r}) }

func (s *teller) time(text string) time.Time {
	if text == "" {
		return time.Time{}
	}
	zone := s.p.Zone()
	if z, utc := strings.CutSuffix(text, "Z"); utc {
		text, zone = z, time.UTC
	}
	if len(text) == len("2006-01-02 15:04") {
		text += ":00"
	}
	at, err := time.ParseInLocation(time.DateTime, text, zone)
	if err != nil {
		s.t.Fatal(err)
	}
	return at
}

// ruleID returns the id of the grant that a story calls g1, g2 and so on. The ids sort like these
// labels.
func ruleID(label string) ID { return ID(label + "0000000000"[len(label):]) }

func (s *teller) grant(m []string) {
	label, subject, target := m[1], m[2], m[5]
	if label == "" {
		label = fmt.Sprintf("g%d", len(s.p.Grants)+1)
	}
	g := Grant{ID: ruleID(label), Subject: id(subject), Effect: Allow, From: s.time(m[7]),
		Until: s.time(m[8])}
	switch {
	case s.has(Person{ID: g.Subject}):
		g.SubjectKind = SubjectPerson
	case s.has(Group{ID: g.Subject}):
		g.SubjectKind = SubjectGroup
	case s.has(Integration{ID: g.Subject}):
		g.SubjectKind = SubjectIntegration
	default:
		g.SubjectKind = SubjectDevice
	}
	if g.Target = id(target); s.has(Group{ID: g.Target}) {
		g.Target, g.TargetGroup = "", g.Target
	}
	if m[3] != "" {
		g.Effect = Deny
	}
	if m[4] != "use" {
		g.Actions = []wire.Action{s.action(m[4])}
	}
	if m[6] != "" {
		g.Schedule = id(m[6])
	}
	s.put(g)
}

func (s *teller) has(r Record) bool { _, ok := s.p.Get(r); return ok }

func (s *teller) action(name string) wire.Action {
	a, err := wire.ParseAction(name)
	if err != nil {
		s.t.Fatal(err)
	}
	return a
}

var (
	atReader = is(`(?:card ([0-9a-f]{4})|(\S+)'s (?:card|(datagram))) at (\S+?)(?: for (\S+))?(?: asks (\w+)(?: (\d+))?)?(?:, counter (\d+) after (\d+))?(?:, with (lk-\S+))?`)
	asks     = is(`(\S+) asks (\w+)(?: (\d+))? (\S+?)(?:, with (lk-\S+))?`)
	system   = is(`integration (\S+) asks (\w+) (\S+?)(?:, code (\d+))?`)
	atHand   = is(`(\S+) at (\S+-door)`)
)

func (s *teller) attempt(m []string) {
	s.t.Helper()
	at, who, reason, rule := s.time(m[1]), m[2], Reason(m[4]), m[5]
	if m[3] != "" {
		reason = ReasonGranted
	}
	if regexp.MustCompile(`^g\d$`).MatchString(rule) {
		rule = string(ruleID(rule))
	}
	p := s.p
	s.counter++
	a := Attempt{At: at, ClockTrusted: s.trusted, Counter: s.counter, Last: s.counter - 1,
		Action: wire.Unlock}
	who = strings.Replace(who, "a stranger's", "stranger's", 1)
	var d Decision
	var steps []Step
	if who == "no policy" {
		p = nil
	} else if m := system.FindStringSubmatch(who); m != nil {
		a.Source, a.Integration, a.Counter, a.Last = ByIntegration, id(m[1]), 0, 0
		if a.Action, a.Target = s.action(m[2]), id(m[3]); m[4] != "" {
			a.Code = keys.Hide("hash of " + m[4])
		}
	} else if m := asks.FindStringSubmatch(who); m != nil && !strings.Contains(who, " at ") {
		if a.Source, a.Device = ByDevice, id(m[1]); m[1] == "operator" {
			a.Source, a.Device, a.Operator, a.Counter, a.Last = ByOperator, "", "op", 0, 0
		}
		level, _ := strconv.Atoi(m[3])
		a.Action, a.Level, a.Target, a.Key = s.action(m[2]), uint8(level), id(m[4]), keys.ID(m[5])
	} else if m := atReader.FindStringSubmatch(who); m != nil {
		s.atReader(&a, m)
	} else if m := atHand.FindStringSubmatch(who); m != nil {
		d, steps = ExplainPerson(p, id(m[1]), id(m[2]), wire.Unlock, at, s.trusted)
		s.expect(who, d, steps, reason, rule)
		return
	} else {
		s.t.Fatalf("not an attempt: %s", who)
	}
	d, steps = Explain(p, a)
	s.expect(who, d, steps, reason, rule)
	if got := Decide(p, a); got != d {
		s.t.Errorf("%s: Decide says %+v, Explain says %+v", who, got, d)
	}
	if p != nil {
		if got := decideNaively(p, a); got != d {
			s.t.Errorf("%s: the naive evaluator says %+v, Decide says %+v", who, got, d)
		}
	}
	if !s.trusted {
		return
	}
	// ExplainCard decides for any reader at the target. It must agree, unless the reader, its key
	// or the counter was the reason.
	if got, _ := ExplainCard(p, a.Credential, a.Target, a.Action, at, true); a.Source == ByCard &&
		a.Level == 0 && p != nil && d.Rule != "device" && d.Rule != "key" && d.Rule != "counter" && got != d {
		s.t.Errorf("%s: ExplainCard says %+v, Decide says %+v", who, got, d)
	}
}

func (s *teller) atReader(a *Attempt, m []string) {
	a.Source, a.Device, a.Key = ByCard, id(m[4]), keys.ID(m[10])
	a.Credential = cardID(m[1])
	if m[1] == "" {
		for _, c := range s.p.Credentials {
			if c.Person == id(m[2]) {
				a.Credential = c.ID
			}
		}
	}
	if m[3] != "" {
		a.Source = "datagram"
	}
	if m[5] != "" {
		a.Target = id(m[5])
	} else if d, ok := s.p.Devices[a.Device]; ok {
		a.Target = d.Targets[0]
	}
	if m[6] != "" {
		level, _ := strconv.Atoi(m[7])
		a.Action, a.Level = s.action(m[6]), uint8(level)
	}
	if m[8] != "" {
		a.Counter, _ = strconv.ParseUint(m[8], 10, 64)
		a.Last, _ = strconv.ParseUint(m[9], 10, 64)
	}
}

func (s *teller) expect(who string, d Decision, steps []Step, reason Reason, rule string) {
	s.t.Helper()
	s.seen[d.Reason] = true
	if d.Reason != reason || d.Rule != rule || d.Granted != (reason == ReasonGranted) {
		s.t.Errorf("%s: got %+v, want %s by %s\n%s", who, d, reason, rule, formatSteps(steps))
	}
	last := steps[len(steps)-1]
	if want := map[bool]string{true: "allow", false: "deny"}[d.Granted]; last.Outcome != want {
		s.t.Errorf("%s: the last step is %+v, want %s", who, last, want)
	}
	for _, x := range steps {
		if x.Detail == "" || x.Rule == "" || strings.Contains(x.Detail, "%!") {
			s.t.Errorf("%s: step without words: %+v", who, x)
		}
	}
}

func formatSteps(steps []Step) string {
	var b strings.Builder
	for _, x := range steps {
		fmt.Fprintf(&b, "  %-14s %-5s %s\n", x.Rule, x.Outcome, x.Detail)
	}
	return b.String()
}
