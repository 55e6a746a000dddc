package access

import (
	"fmt"
	"math/rand/v2"
	"reflect"
	"slices"
	"testing"
	"time"

	"latchkey/coapres/wire"
	"latchkey/gateway/access/edit"
	"latchkey/gateway/calendar"
	"latchkey/keys"
)

func TestTheZeroDecisionDenies(t *testing.T) {
	if (Decision{}).Granted {
		t.Error("the zero decision grants")
	}
	p := makeHouse(t)
	for _, a := range []Attempt{{}, {Source: ByCard}, {Source: ByDevice}, {Source: ByOperator},
		{Source: "person", Target: id("front-door"), Action: wire.Unlock}} {
		if d := Decide(p, a); d.Granted || d.Reason == "" || d.Rule == "" {
			t.Errorf("%+v: got %+v, want a denial with a reason and a rule", a, d)
		}
	}
	for _, empty := range []*Policy{nil, {}, New()} {
		if d := Decide(empty, Attempt{Source: ByOperator, Target: id("front-door"),
			Action: wire.Unlock}); d.Granted {
			t.Errorf("a policy without records grants: %+v", d)
		}
	}
}

// With never makes such policies, but a defect elsewhere might.
func TestAnInconsistentPolicyStaysShut(t *testing.T) {
	scan := Attempt{Source: ByCard, Device: id("front-reader"), Credential: cardID("04a1"),
		Target: id("front-door"), Action: wire.Unlock,
		Counter: 1, At: time.Date(2026, 11, 23, 9, 0, 0, 0, time.UTC), ClockTrusted: true}
	for _, tt := range []struct {
		name  string
		spoil func(*Policy)
		want  Reason
	}{
		{"a card without a person", func(p *Policy) { delete(p.Persons, id("ann")) }, ReasonInternal},
		{"a card without a status",
			func(p *Policy) { p.Credentials[cardID("04a1")] = Credential{Person: id("ann")} },
			ReasonInternal},
		{"a target of no kind",
			func(p *Policy) { p.Targets[id("front-door")] = Target{ID: id("front-door")} },
			ReasonWrongAction},
		{"grants without an effect", func(p *Policy) {
			for _, g := range p.Grants {
				g.Effect = ""
			}
		}, ReasonNoGrant},
		{"a schedule that was not parsed", func(p *Policy) { p.Grants[id("g-staff")].Schedule = id("x") },
			ReasonClockUntrusted},
		{"a deny on a schedule that was not parsed", func(p *Policy) {
			p.Grants[id("g-ann")].Schedule = id("x")
			p.Grants[id("g-ann")].Effect = Deny
		}, ReasonClockUntrusted},
	} {
		t.Run(tt.name, func(t *testing.T) {
			p := makeHouse(t)
			if d := Decide(p, scan); !d.Granted {
				t.Fatalf("before: got %+v, want granted", d)
			}
			p.weekly = map[ID]calendar.Weekly{}
			if tt.want != ReasonClockUntrusted {
				p = makeHouse(t)
			}
			tt.spoil(p)
			if d, steps := Explain(p, scan); d.Granted || d.Reason != tt.want {
				t.Errorf("got %+v, want %s\n%s", d, tt.want, formatSteps(steps))
			}
		})
	}
}

func TestExplainReadsWell(t *testing.T) {
	p := makeHouse(t)
	at := time.Date(2026, 11, 23, 20, 0, 0, 0, time.UTC)
	p = mustWith(t, p, Change{Delete: Grant{ID: id("g-staff")}})
	_, steps := Explain(p, Attempt{Source: ByCard, Device: id("front-reader"), Credential: cardID("04a1"),
		Target: id("front-door"), Action: wire.Unlock,
		Counter: 8, Last: 7, At: at, ClockTrusted: true})
	var got []string
	for _, s := range steps {
		rule := s.Rule
		if rule == string(id("g-ann")) {
			rule = "g-ann"
		}
		got = append(got, rule+" "+s.Outcome+": "+s.Detail)
	}
	want := []string{
		"device pass: front-reader is a reader and may ask for this target",
		"key pass: it came in no session",
		"counter pass: counter 8 is above 7",
		"target pass: front-door is a door",
		"action pass: unlock fits a door",
		"lockdown pass: no lockdown",
		"card pass: card …04a1 is known",
		"card-status pass: the card is active",
		"card-validity pass: valid for ever",
		"person pass: ann is not suspended",
		"operator skip: does not apply to a card at a reader",
		"g-ann skip: grant ann → front-door, weekdays: outside its schedule (Mon 2026-11-23 21:00:00)",
		"grants deny: ann may not unlock front-door: the nearest grant is for another time",
	}
	if !slices.Equal(got, want) {
		t.Errorf("got  %q\nwant %q", got, want)
	}
	d, steps := ExplainPerson(p, id("eve"), id("front-door"), wire.Unlock, at, true)
	if d.Granted || d.Reason != ReasonInternal || steps[len(steps)-1].Detail != "no such person" {
		t.Errorf("an unknown person: got %+v, %v", d, steps)
	}
}

// dice makes random policies and attempts with only a few names, so that an attempt often matches a
// record.
type dice struct{ *rand.Rand }

func (r dice) one(names ...string) string { return names[r.IntN(len(names))] }
func (r dice) chance(percent int) bool    { return r.IntN(100) < percent }

// instant returns a time that is often the start or the end of a window: mostly a whole hour, in a
// few days around the end of summer time.
func (r dice) instant() time.Time {
	t := time.Date(2026, 10, 23, r.IntN(24*5), 0, 0, 0, time.UTC)
	return t.Add([]time.Duration{0, 0, -1, 30 * time.Minute}[r.IntN(4)])
}

func (r dice) window() (from, until time.Time) {
	if r.chance(30) {
		from = r.instant()
	}
	if r.chance(30) {
		until = r.instant()
	}
	if !edit.IsWindow(from, until) {
		from, until = until, from
	}
	if !edit.IsWindow(from, until) {
		return time.Time{}, time.Time{}
	}
	return from, until
}

func (r dice) some(names ...string) []string {
	var out []string
	for _, n := range names {
		if r.chance(50) {
			out = append(out, n)
		}
	}
	return out
}

var (
	diceTargets   = []string{"door-a", "door-b", "lamp-a"}
	dicePersons   = []string{"ann", "bob", "eve"}
	diceKeys      = []keys.State{keys.Pending, keys.Active, keys.Retiring, keys.Revoked}
	diceSecret    = keys.NewSecret()
	diceSchedules = []string{"mon-fri 08:00-18:00", "fri 22:00-06:00, sun 02:00-03:00",
		"daily 20:00-04:00, 2026-10-24 closed, 2026-10-25 01:00-03:00"}
)

func diceKey(i int) keys.ID { return keys.ID(fmt.Sprintf("lk-%010d", i)) }

// diceCode stands for the hash of a code: the policy only compares it.
func diceCode(i int) keys.Hidden { return keys.Hide(fmt.Sprint("hash ", i)) }

func (r dice) grant() Grant {
	g := Grant{ID: id(fmt.Sprint("grant", r.IntN(30))), Effect: Allow}
	if r.chance(20) {
		g.Effect = Deny
	}
	switch r.IntN(6) {
	case 5:
		g.SubjectKind, g.Subject = SubjectIntegration, id(r.one("home", "away"))
		if g.Effect == Allow && r.chance(30) {
			g.Code = diceCode(r.IntN(2))
		} else if g.Effect == Allow && r.chance(50) {
			g.CodeOf = id(r.one(dicePersons...))
		}
	case 0:
		g.SubjectKind, g.Subject = SubjectGroup, id(r.one("staff", "guests"))
	case 1:
		g.SubjectKind, g.Subject = SubjectDevice, id("switch-a")
	default:
		g.SubjectKind, g.Subject = SubjectPerson, id(r.one(dicePersons...))
	}
	var fits []wire.Action
	if r.chance(30) {
		g.TargetGroup = id(r.one("outer", "all"))
		fits = []wire.Action{wire.Unlock, wire.Lock, wire.On, wire.Toggle}
	} else if target := r.one(diceTargets...); target == "lamp-a" {
		g.Target, fits = id(target), []wire.Action{wire.On, wire.Toggle}
	} else {
		g.Target, fits = id(target), []wire.Action{wire.Unlock, wire.Lock}
	}
	for _, a := range fits {
		if r.chance(40) {
			g.Actions = append(g.Actions, a)
		}
	}
	if g.SubjectKind == SubjectIntegration && g.Target != "" && len(g.Actions) == 0 {
		g.Actions = fits[:1]
	}
	if r.chance(40) {
		g.Schedule = id(fmt.Sprint("schedule", r.IntN(len(diceSchedules))))
	}
	g.From, g.Until = r.window()
	return g
}

func (r dice) policy(t *testing.T) *Policy {
	changes := putAll(Site{Zone: r.one("UTC", "Europe/Berlin"), Lockdown: r.chance(5)},
		door("door-a"), door("door-b"), lamp("lamp-a"),
		device(keys.KindReader, "reader-a", "door-a"), device(keys.KindReader, "reader-b", "door-b"),
		device(keys.KindReader, "reader-c", "lamp-a"),
		device(keys.KindSwitch, "switch-a", "lamp-a", "door-b"), device(keys.KindLock, "lock-a", "door-a"),
		group(OfPersons, "staff", r.some(dicePersons...)...), group(OfPersons, "guests",
			r.some(dicePersons...)...),
		group(OfTargets, "outer", r.some(diceTargets...)...), group(OfTargets, "all", diceTargets...))
	for i, state := range diceKeys {
		changes = append(changes, Change{Put: keys.Key{ID: diceKey(i),
			Device: id(r.one("reader-a", "reader-b", "switch-a")),
			Secret: diceSecret, State: state}})
	}
	for i, text := range diceSchedules {
		changes = append(changes, Change{Put: schedule(fmt.Sprint("schedule", i), text)})
	}
	for _, name := range dicePersons {
		c := card(name, "04a1")
		c.ID = cardID(name)
		if c.From, c.Until = r.window(); r.chance(60) {
			c.From, c.Until = time.Time{}, time.Time{}
		}
		if r.chance(10) {
			c.Status = CardLost
		}
		changes = append(changes, putAll(Person{ID: id(name), Name: name, Suspended: r.chance(10)}, c)...)
	}
	for i, name := range []string{"home", "away"} {
		x := integration(name)
		if i == 1 {
			x.Paused = "paused by root"
		}
		changes = append(changes, Change{Put: x})
	}
	for i, name := range dicePersons[:2] {
		changes = append(changes, Change{Put: PIN{Person: id(name), Hash: diceCode(i)}})
	}
	for range r.IntN(12) {
		changes = append(changes, Change{Put: r.grant()})
	}
	r.Shuffle(len(changes), func(i, j int) { changes[i], changes[j] = changes[j], changes[i] })
	p := mustWith(t, New(), changes...)
	for range r.IntN(10) { // single changes, so that the indexes are carried over
		c := Change{Put: r.grant()}
		if _, ok := p.Get(c.Put); ok && r.chance(50) {
			c = Change{Delete: c.Put}
		}
		p = mustWith(t, p, c)
	}
	if r.chance(20) {
		gone, err := p.Removal([]Record{person("ann"), Group{ID: id("staff")},
			Device{ID: id("switch-a")}, integration("home")}[r.IntN(4)])
		if err != nil {
			t.Fatal(err)
		}
		p = mustWith(t, p, gone...)
	}
	return p
}

func (r dice) attempt() Attempt {
	a := Attempt{Source: ByCard, Credential: cardID(r.one(dicePersons...)), At: r.instant(),
		ClockTrusted: r.chance(85), Counter: 6, Last: 5}
	reader := r.one("reader-a", "reader-b", "reader-c")
	a.Device, a.Target, a.Action = id(reader), map[string]ID{"reader-a": id("door-a"),
		"reader-b": id("door-b"), "reader-c": id("lamp-a")}[reader], wire.Unlock
	if reader == "reader-c" {
		a.Action = wire.Toggle
	}
	switch r.IntN(10) {
	case 0, 1:
		a.Source, a.Device, a.Target, a.Action = ByDevice, id("switch-a"), id("lamp-a"), wire.Toggle
	case 2:
		a.Source, a.Target = ByOperator, id(r.one(diceTargets...))
	case 3:
		a.Source, a.Device, a.Target = ByIntegration, "", id(r.one(diceTargets...))
		if a.Action = wire.Unlock; a.Target == id("lamp-a") {
			a.Action = wire.Toggle
		}
		if a.Integration = id(r.one("home", "home", "home", "away", "nobody")); r.chance(60) {
			a.Code = diceCode(r.IntN(3))
		}
	}
	if r.chance(30) {
		a.Key = diceKey(r.IntN(len(diceKeys) + 1))
	}
	// Sometimes one part of the attempt is wrong.
	switch r.IntN(30) {
	case 0:
		a.Device = id(r.one("lock-a", "nothing", "switch-a", "reader-a"))
	case 1:
		a.Target = id(r.one("nothing", "door-a", "door-b", "lamp-a"))
	case 2:
		a.Counter = []uint64{0, 5, 1<<53 - 1, 1 << 53}[r.IntN(4)]
	case 3:
		a.Action, a.Level = wire.Action(r.IntN(8)), uint8(r.IntN(256))
	case 4:
		a.Source = Source(r.one("", "person", "card", "device", "operator", "integration"))
	case 5:
		a.Credential = cardID("nobody")
	case 6:
		a.Action = wire.Lock
	}
	return a
}

// Decide, Explain and the naive evaluator always agree, however a policy was made.
func TestDecideAgreesWithTheNaiveEvaluator(t *testing.T) {
	counts := map[Reason]int{}
	rounds := 400
	if testing.Short() {
		rounds = 50
	}
	for seed := range rounds {
		r := dice{rand.New(rand.NewPCG(uint64(seed), 1))}
		p := r.policy(t)
		fresh := mustWith(t, New(), putAll(slices.Collect(p.Records())...)...)
		if !reflect.DeepEqual(p, fresh) {
			t.Fatalf("seed %d: the policy differs from one made of its records", seed)
		}
		for range 200 {
			a := r.attempt()
			got := Decide(p, a)
			explained, steps := Explain(p, a)
			if want := decideNaively(p, a); got != want || explained != want {
				t.Fatalf("seed %d, %+v:\nDecide  %+v\nExplain %+v\nnaive   %+v\n%s", seed, a, got, explained,
					want, formatSteps(steps))
			}
			counts[got.Reason]++
		}
	}
	for _, reason := range readReasons(t) {
		if counts[reason] == 0 && reason != ReasonInternal {
			t.Errorf("reason %q never came up", reason)
		}
	}
	t.Logf("reasons: %v", counts)
}

// Ids are random, so records of two kinds hardly ever share one. If they do, a grant to one is not
// a grant to the other.
func TestAnIDSharedByTwoKindsIsNotShared(t *testing.T) {
	p := makeHouse(t)
	twin := Person{ID: id("staff"), Name: "twin"}
	p = mustWith(t, p, putAll(twin, changeCopy(card("ann", "04f0"),
		func(c *Credential) { c.Person = twin.ID }))...)
	a := Attempt{Source: ByCard, Device: id("front-reader"), Credential: cardID("04f0"),
		Target: id("front-door"), Action: wire.Unlock, Counter: 1}
	if d := Decide(p, a); d.Granted || d != decideNaively(p, a) {
		t.Errorf("got %+v, want no grant", d)
	}
}
