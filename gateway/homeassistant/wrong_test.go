package homeassistant

import (
	"context"
	"log/slog"
	"testing"
	"time"

	"latchkey/coapres/wire"
	"latchkey/gateway/access"
	"latchkey/gateway/endpoint"
	"latchkey/gateway/store"
	"latchkey/keys"
)

// After a restart the wrong codes of an integration are counted anew from the events, whatever its
// name was, and those of others are not.
func TestWrongCodesAreCountedByID(t *testing.T) {
	st, err := store.Open(t.Context(), store.Options{InMemory: true})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := st.Verify(context.Background()); err != nil {
			t.Error(err)
		}
		if err := st.Close(); err != nil {
			t.Error(err)
		}
	})
	apply := func(changes ...access.Change) {
		t.Helper()
		if _, err := st.Apply(t.Context(), "test", changes...); err != nil {
			t.Fatal(err)
		}
	}
	integration := func(id access.ID, name string, port string) access.Integration {
		return access.Integration{ID: id, Name: name, Base: "latchkey", Prefix: "homeassistant",
			Endpoint: endpoint.Endpoint{URL: "mqtt://127.0.0.1:" + port}, Created: time.Now()}
	}
	grant := func(to access.ID) access.Grant {
		return access.Grant{ID: access.NewID(), SubjectKind: access.SubjectIntegration, Subject: to,
			Target: testTarget, Actions: []wire.Action{wire.Unlock}, Effect: access.Allow,
			Code: keys.Hide("right"), Created: time.Now()}
	}
	home := integration(access.NewID(), "home", "1")
	flat := integration(access.NewID(), "flat", "2")
	ofHome := grant(home.ID)
	apply(access.Change{Put: access.Target{ID: testTarget, Name: "front-door", Kind: access.Door,
		Pulse: 3 * time.Second, Created: time.Now()}}, access.Change{Put: home}, access.Change{Put: flat},
		access.Change{Put: ofHome}, access.Change{Put: grant(flat.ID)})
	type times int
	try := func(r access.Integration, n times) {
		t.Helper()
		for range n {
			now := st.Snapshot().Integrations[r.ID]
			_, err := st.Admit(t.Context(), access.Attempt{Source: access.ByIntegration, Integration: r.ID,
				Operator: now.Name, Target: testTarget, Action: wire.Unlock, At: time.Now(),
				ClockTrusted: true,
				Code:         noCode})
			if err != nil {
				t.Fatal(err)
			}
		}
	}
	check := func(rule string, r access.Integration, want times) {
		t.Helper()
		b, err := newBridge(t.Context(), Config{Site: testSite, Policy: st.Snapshot, Events: st,
			Log: slog.New(slog.DiscardHandler)}, st.Snapshot().Integrations[r.ID], &jams{})
		if err != nil {
			t.Fatal(err)
		}
		defer b.end()
		b.restoreWrongCodes()
		if got := times(b.wrong.today(time.Now())); got != want {
			t.Errorf("%s: got %d wrong codes, want %d", rule, got, want)
		}
	}

	try(home, 4)
	try(flat, 1)
	check("its own", home, 4)
	check("its own", flat, 1)

	home.Name, flat.Name = "house", "home"
	apply(access.Change{Put: home}, access.Change{Put: flat})
	check("renamed", home, 4)
	check("renamed to what another was called", flat, 1)
	try(home, 2)
	check("before and after", home, 6)

	// A grant is replaced when it gets another code.
	apply(access.Change{Delete: ofHome}, access.Change{Put: grant(home.ID)})
	check("a grant that is no more, by the name", home, 2)

	gone, err := st.Snapshot().Removal(home)
	if err != nil {
		t.Fatal(err)
	}
	apply(gone...)
	twin := integration(access.NewID(), "house", "1")
	apply(access.Change{Put: twin}, access.Change{Put: grant(twin.ID)})
	check("another of the same name, before its time", twin, 0)
}

// Home Assistant asks for a code where a grant needs one, be it only to lock.
func TestWhereHomeAssistantAsksForACode(t *testing.T) {
	const group, home = access.ID("b0b0b0b0b0"), access.ID("h0h0h0h0h0")
	for name, tt := range map[string]struct {
		change func(*access.Grant)
		want   bool
	}{
		"to unlock": {func(g *access.Grant) { g.Actions = []wire.Action{wire.Unlock} },
			true},
		"to lock":                    {func(g *access.Grant) { g.Actions = []wire.Action{wire.Lock} }, true},
		"all that fit, on the group": {func(g *access.Grant) { g.Target, g.TargetGroup = "", group }, true},
		"for a lamp in the group": {func(g *access.Grant) {
			g.Target, g.TargetGroup, g.Actions = "", group, []wire.Action{wire.On}
		}, false},
		"no code": {func(g *access.Grant) { g.Actions, g.Code = []wire.Action{wire.Unlock}, keys.Hidden{} },
			false},
		"of another": {func(g *access.Grant) {
			g.Actions, g.Subject = []wire.Action{wire.Unlock}, "c0c0c0c0c0"
		}, false},
	} {
		g := access.Grant{ID: "d0d0d0d0d0", SubjectKind: access.SubjectIntegration, Subject: home,
			Target: testTarget, Effect: access.Allow, Code: keys.Hide("right")}
		tt.change(&g)
		p := &access.Policy{Grants: map[access.ID]*access.Grant{g.ID: &g},
			Groups: map[access.ID]access.Group{group: {ID: group, Of: access.OfTargets,
				Members: []access.ID{testTarget}}}}
		if got := asksCode(p, home, testTarget); got != tt.want {
			t.Errorf("%s: got %v, want %v", name, got, tt.want)
		}
	}
}
