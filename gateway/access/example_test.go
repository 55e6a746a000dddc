package access_test

import (
	"fmt"
	"time"

	"latchkey/coapres/wire"
	"latchkey/gateway/access"
	"latchkey/keys"
)

// A policy consists of records. Each change makes another policy, and a decision depends on nothing
// else.
func Example() {
	door := access.Target{ID: access.NewID(), Name: "front-door", Kind: access.Door,
		Pulse: 3 * time.Second}
	reader := access.Device{ID: access.NewID(), Name: "front-reader", Kind: keys.KindReader,
		Targets: []access.ID{door.ID}}
	ann := access.Person{ID: access.NewID(), Name: "ann"}
	card := access.Credential{ID: access.CredentialID{1}, Person: ann.ID, Tail: "e580",
		Status: access.CardActive}
	weekdays := access.Schedule{ID: access.NewID(), Name: "weekdays", Text: "mon-fri 08:00-18:00"}
	grant := access.Grant{ID: access.NewID(), SubjectKind: access.SubjectPerson, Subject: ann.ID,
		Target: door.ID, Schedule: weekdays.ID, Effect: access.Allow}

	policy, err := access.New().With(access.Change{Put: door}, access.Change{Put: reader},
		access.Change{Put: ann},
		access.Change{Put: card}, access.Change{Put: weekdays}, access.Change{Put: grant})
	if err != nil {
		fmt.Println(err)
		return
	}

	tap := access.Attempt{Source: access.ByCard, Device: reader.ID, Credential: card.ID, Target: door.ID,
		Action: wire.Unlock, Counter: 1, At: time.Date(2026, 11, 27, 17, 59, 0, 0, time.UTC),
		ClockTrusted: true}
	decision := access.Decide(policy, tap)
	fmt.Println("Friday, 17:59:", decision.Granted, decision.Reason)

	tap.Counter, tap.Last, tap.At = 2, 1, tap.At.Add(time.Hour)
	decision = access.Decide(policy, tap)
	fmt.Println("Friday, 18:59:", decision.Granted, decision.Reason)

	// Explain makes the same decision and says why, step by step.
	_, steps := access.Explain(policy, tap)
	last := steps[len(steps)-1]
	fmt.Println(last.Rule+":", last.Outcome)
	// Output:
	// Friday, 17:59: true granted
	// Friday, 18:59: false outside-schedule
	// grants: deny
}

// A record may only refer to records that exist. Otherwise there is no new policy.
func ExamplePolicy_With() {
	strangers := access.Credential{ID: access.CredentialID{1}, Person: access.NewID(),
		Status: access.CardActive}
	_, err := access.New().With(access.Change{Put: strangers})
	fmt.Println(err != nil)
	// Output: true
}
