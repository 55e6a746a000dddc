package store

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"math/rand/v2"
	"testing"
	"time"

	"latchkey/coapres/wire"
	"latchkey/gateway/access"
	"latchkey/gateway/access/accounts"
	"latchkey/gateway/audit"
	"latchkey/gateway/store/record"
)

// model does what the store must do, in the simplest way.
type model struct {
	policy  *access.Policy
	events  []audit.Event // only what the model knows: kind, counter, reason
	counter map[access.ID]modelCounter
	signIns map[string]modelSignIn
}

type modelCounter struct {
	attempt access.Attempt
	at      time.Time
	adm     Admission
}

type modelSignIn struct {
	data   string
	expiry time.Time
}

// sweep removes expired sign-ins, as opening a store does.
func (m *model) sweep(now time.Time) {
	maps.DeleteFunc(m.signIns, func(_ string, in modelSignIn) bool { return !in.expiry.After(now) })
}

func (m *model) signIn(name string, now time.Time) string {
	if in, ok := m.signIns[name]; ok && in.expiry.After(now) {
		return in.data
	}
	return "none"
}

func (m *model) admit(a access.Attempt, now time.Time) Admission {
	c, known := m.counter[a.Device]
	if known && a.Source != access.ByOperator {
		same := c.attempt.Source == a.Source && c.attempt.Counter == a.Counter
		if a.Source == access.ByCard {
			same = same && c.attempt.Credential == a.Credential
		} else {
			same = same && c.attempt.Target == a.Target && c.attempt.Action == a.Action &&
				c.attempt.Level == a.Level
		}
		if dt := now.Sub(c.at); same && dt >= 0 && dt <= time.Minute {
			dup := c.adm
			dup.Duplicate = true
			return dup
		}
		a.Last = c.adm.Last
	}
	adm := Admission{Decision: access.Decide(m.policy, a), Last: a.Last}
	m.events = append(m.events, audit.Event{Kind: audit.EventDecision, Counter: a.Counter,
		Reason: adm.Decision.Reason})
	adm.Seq = uint64(len(m.events))
	if a.Source != access.ByOperator && a.Counter > a.Last {
		adm.Last = a.Counter
		m.counter[a.Device] = modelCounter{attempt: a, at: now, adm: adm}
	}
	return adm
}

func (m *model) receipt(cause uint64, o audit.Outcome) {
	m.events = append(m.events, audit.Event{Kind: audit.EventReceipt})
	for id, c := range m.counter {
		if c.adm.Seq == cause {
			c.adm.Outcome = o
			m.counter[id] = c
		}
	}
}

// TestStoreAgreesWithModel runs random operations on a store and on the model, with failed commits
// and reopenings among them.
func TestStoreAgreesWithModel(t *testing.T) {
	for _, steps := range []struct{ runs, n int }{{8, 100}, {1, 1000}} {
		for run := range steps.runs {
			seed := rand.Uint64()
			t.Run(fmt.Sprintf("%d steps, %d", steps.n, run), func(t *testing.T) {
				t.Logf("seed %d", seed)
				compareWithModel(t, rand.New(rand.NewPCG(seed, 0)), steps.n)
			})
		}
	}
}

func compareWithModel(t *testing.T, r *rand.Rand, steps int) {
	ctx := context.Background()
	c := newClock()
	var fail bool
	o := Options{Dir: t.TempDir(), Now: c.Now, checkpoint: 1 + r.Uint64N(50), Fault: func() error {
		if fail {
			return errors.New("i/o error")
		}
		return nil
	}}
	s := mustOpen(t, o)
	m := &model{policy: record.Codecs.Policy.New(), counter: map[access.ID]modelCounter{},
		signIns: map[string]modelSignIn{}}
	apply := func(changes ...access.Change) {
		next, want := m.policy.With(changes...)
		_, err := s.Apply(ctx, "test", changes...)
		if (err == nil) != (want == nil) {
			t.Fatalf("apply: got %v, want %v", err, want)
		}
		if err == nil {
			m.policy = next
			m.events = append(m.events, audit.Event{Kind: audit.EventPolicy})
		}
	}
	apply(house(s)...)
	for range steps {
		c.move(time.Duration(r.IntN(40)-2) * time.Second)
		switch r.IntN(30) {
		default:
			a := randomAttempt(r, s, m)
			want := m.admit(a, c.Now())
			got := mustAdmit(t, s, a)
			got.Decided, got.Durable = time.Time{}, time.Time{}
			if got != want {
				t.Fatalf("attempt %+v:\ngot  %+v\nwant %+v", a, got, want)
			}
		case 0, 6, 7:
			cause := uint64(1 + r.IntN(len(m.events)))
			outcome := []audit.Outcome{audit.OutcomeDone, audit.OutcomeOffline}[r.IntN(2)]
			m.receipt(cause, outcome)
			mustRecord(t, s, audit.Event{Kind: audit.EventReceipt, Cause: cause, Outcome: outcome})
		case 1, 2, 5:
			apply(randomChange(r))
		case 8, 9, 10:
			name, in := fmt.Sprint("browser", r.IntN(4)), modelSignIn{fmt.Sprint("data", r.IntN(9)),
				c.Now().Add(time.Duration(r.IntN(300)-10) * time.Second)}
			if m.signIns[name] = in; !in.expiry.After(c.Now()) {
				delete(m.signIns, name)
			}
			mustPutSignIn(t, s, name, in.data, in.expiry)
		case 11:
			name := fmt.Sprint("browser", r.IntN(4))
			delete(m.signIns, name)
			mustDeleteSignIn(t, s, name)
		case 3:
			fail = true
			if err := s.DeleteSignIn(ctx, cookie("browser0")); m.signIn("browser0", c.Now()) != "none" &&
				!errors.Is(err, ErrFailed) {
				t.Fatalf("got %v, want ErrFailed", err)
			}
			if _, err := s.Admit(ctx, access.Attempt{Source: access.ByOperator}); !errors.Is(err, ErrFailed) {
				t.Fatalf("got %v, want ErrFailed", err)
			}
			fail = false
			fallthrough
		case 4:
			m.sweep(c.Now())
			if r.IntN(4) > 0 {
				s = reopen(t, s)
				break
			}
			if err := s.Close(); err != nil {
				t.Fatal(err)
			}
			s = mustOpen(t, o)
		}
		if s.Failed() != nil {
			t.Fatal("still failed after reopening")
		}
		for i := range 4 {
			name := fmt.Sprint("browser", i)
			if got, want := signIn(t, s, name), m.signIn(name, c.Now()); got != want {
				t.Fatalf("%s: got %s, want %s", name, got, want)
			}
		}
	}
	evs := mustEvents(t, s, 1)
	if len(evs) != len(m.events) {
		t.Fatalf("got %d events, want %d", len(evs), len(m.events))
	}
	for i, ev := range evs {
		if w := m.events[i]; ev.Kind != w.Kind || ev.Counter != w.Counter || ev.Reason != w.Reason {
			t.Fatalf("got %+v, want %+v", ev, w)
		}
	}
	if got, want := describePolicy(t, s.Snapshot()),
		describePolicy(t, m.policy); fmt.Sprint(got) != fmt.Sprint(want) {
		t.Errorf("got %v, want %v", got, want)
	}
}

func randomAttempt(r *rand.Rand, s *Store, m *model) access.Attempt {
	a := scan(s, 0)
	a.ClockTrusted = r.IntN(3) > 0
	switch r.IntN(8) {
	case 0:
		return access.Attempt{Source: access.ByOperator, Operator: "root", Target: id("front"),
			Action: wire.Unlock, At: a.At}
	case 1, 2:
		a.Source, a.Device, a.Target, a.Action = access.ByDevice, id("hall-switch"), id("hall"),
			wire.On+wire.Action(r.IntN(3))
	case 3:
		a.Credential[0] ^= 1
	}
	last := m.counter[a.Device].adm.Last
	a.Counter = max(1, last+uint64(r.IntN(4))) - uint64(r.IntN(2))
	return a
}

func randomChange(r *rand.Rand) access.Change {
	n := r.IntN(5)
	p := access.Person{ID: id(fmt.Sprint("someone", n)), Name: fmt.Sprint("someone", r.IntN(5))}
	g := access.Grant{ID: id("g1"), SubjectKind: access.SubjectPerson, Subject: id("ann"),
		Target: id("front"), Effect: access.Allow}
	a := accounts.Account{ID: p.ID, Name: p.Name, Role: accounts.Roles[r.IntN(len(accounts.Roles))],
		Disabled: r.IntN(4) == 0, Epoch: r.Uint64N(3)}
	switch r.IntN(9) {
	case 6, 7:
		return access.Change{Put: a}
	case 8:
		return access.Change{Delete: a}
	case 0:
		return access.Change{Delete: p}
	case 1:
		return access.Change{Delete: g}
	case 2:
		return access.Change{Put: access.Site{Zone: "UTC", Lockdown: r.IntN(2) == 0,
			TimeTrusted: uint64(r.IntN(20))}}
	case 3:
		return access.Change{Put: p}
	}
	return access.Change{Put: g}
}
