package access

import (
	"testing"
	"time"

	"latchkey/coapres/wire"
	"latchkey/keys"
)

// The code that a request is checked against is that of the one grant which would let it pass.
func TestIntegrationCode(t *testing.T) {
	const noon = 12
	at := time.Date(2026, 11, 27, noon, 0, 0, 0, time.UTC)
	p := mustWith(t, New(), putAll(person("ann"), PIN{Person: id("ann"), Hash: keys.Hide("ann's")},
		integration("home"), door("front"), door("back"), door("side"), lamp("porch"),
		group(OfTargets, "outside", "side"),
		Grant{ID: id("g1"), SubjectKind: SubjectIntegration, Subject: id("home"), Target: id("front"),
			Actions: []wire.Action{wire.Unlock}, Effect: Allow, Code: keys.Hide("its own")},
		Grant{ID: id("g2"), SubjectKind: SubjectIntegration, Subject: id("home"), Target: id("back"),
			Actions: []wire.Action{wire.Unlock}, Effect: Allow, CodeOf: id("ann"), Until: at},
		Grant{ID: id("g3"), SubjectKind: SubjectIntegration, Subject: id("home"), TargetGroup: id("outside"),
			Actions: []wire.Action{wire.Unlock}, Effect: Allow},
		Grant{ID: id("g4"), SubjectKind: SubjectIntegration, Subject: id("home"), Target: id("porch"),
			Effect: Allow})...)
	ask := func(target string, at time.Time) Attempt {
		return Attempt{Source: ByIntegration, Integration: id("home"), Target: id(target),
			Action: wire.Unlock,
			At:     at, ClockTrusted: true, Code: keys.Hide("somebody's")}
	}
	for _, tt := range []struct {
		target string
		at     time.Time
		want   string
	}{
		{"front", at, "its own"},
		{"back", at.Add(-time.Second), "ann's"},
		{"back", at, ""}, // no code would help
		{"side", at, ""}, // none is needed
		{"nowhere", at, ""},
	} {
		if got := p.IntegrationCode(ask(tt.target, tt.at)).Reveal(); got != tt.want {
			t.Errorf("%s at %v: got %q, want %q", tt.target, tt.at, got, tt.want)
		}
	}
	for _, tt := range []struct {
		target string
		action wire.Action
		want   bool
	}{
		{"front", wire.Unlock, true}, {"front", wire.Lock, false}, {"back", wire.Unlock, true},
		{"side", wire.Unlock, true}, {"porch", wire.On, true}, {"porch", wire.Unlock, false},
		{"nowhere", wire.Unlock, false},
	} {
		if got := p.IntegrationMay(id("home"), id(tt.target), tt.action); got != tt.want {
			t.Errorf("may %v %s: got %v, want %v", tt.action, tt.target, got, tt.want)
		}
	}
	if p.IntegrationMay(id("nobody"), id("front"), wire.Unlock) {
		t.Error("an unknown integration may unlock")
	}
}

func TestGrantsToIntegrationsAreChecked(t *testing.T) {
	p := mustWith(t, New(), putAll(person("ann"), integration("home"), door("front"), lamp("porch"))...)
	good := Grant{ID: id("g"), SubjectKind: SubjectIntegration, Subject: id("home"), Target: id("front"),
		Actions: []wire.Action{wire.Unlock}, Effect: Allow}
	mustWith(t, p, Change{Put: good})
	for name, change := range map[string]func(*Grant){
		"a door without an action": func(g *Grant) { g.Actions = nil },
		"two codes":                func(g *Grant) { g.Code, g.CodeOf = keys.Hide("x"), id("ann") },
		"a code of nobody":         func(g *Grant) { g.CodeOf = id("nobody") },
		"a deny grant with a code": func(g *Grant) { g.Effect, g.Code = Deny, keys.Hide("x") },
		"a code for a person": func(g *Grant) {
			g.SubjectKind, g.Subject, g.CodeOf = SubjectPerson,
				id("ann"), id("ann")
		},
		"an integration of no record": func(g *Grant) { g.Subject = id("ann") },
	} {
		if next, err := p.With(Change{Put: changeCopy(good, change)}); err == nil {
			t.Errorf("%s: accepted: %v", name, next.Grants[good.ID])
		}
	}
}

// With a person goes the grant that asks for their PIN, and with an integration all of its grants.
func TestRemovalFollowsCodes(t *testing.T) {
	p := mustWith(t, New(), putAll(person("ann"), PIN{Person: id("ann"), Hash: keys.Hide("x")},
		integration("home"),
		door("front"), Grant{ID: id("g"), SubjectKind: SubjectIntegration, Subject: id("home"),
			Target:  id("front"),
			Actions: []wire.Action{wire.Unlock}, Effect: Allow, CodeOf: id("ann")})...)
	for _, r := range []Record{person("ann"), integration("home")} {
		gone, err := p.Removal(r)
		if err != nil {
			t.Fatal(err)
		}
		next := mustWith(t, p, gone...)
		if len(next.Grants) != 0 {
			t.Errorf("without %v: the grant is left", r)
		}
	}
}
