package access

import (
	"time"

	"latchkey/coapres/wire"
)

// Explain decides as [Decide] does, by the same code, and returns every step that was looked at, in order, up to the one that decided.
// Before the step "grants" stands one line for each grant that matches, by id.
func Explain(p *Policy, a Attempt) (Decision, []Step) {
	return explain(evaluation{p: p, a: a, who: whoAsks(a.Source)})
}

// ExplainCard tells what would come of a card at a target, through any reader there: the steps for the reader and its counter are
// skipped, all others are those of a scan.
func ExplainCard(p *Policy, card CredentialID, target ID, action wire.Action, at time.Time, clockTrusted bool) (Decision, []Step) {
	a := Attempt{Credential: card, Target: target, Action: action, At: at, ClockTrusted: clockTrusted}
	return explain(evaluation{p: p, a: a, who: aCardAtHand})
}

// ExplainPerson tells what would come of a person at a target with a good card: the steps for the reader, its counter and the card are
// skipped, all others are those of a scan. It is never a decision to act on.
func ExplainPerson(p *Policy, person, target ID, action wire.Action, at time.Time, clockTrusted bool) (Decision, []Step) {
	a := Attempt{Target: target, Action: action, At: at, ClockTrusted: clockTrusted}
	return explain(evaluation{p: p, a: a, who: aPersonOnly, person: Person{ID: person}})
}

func explain(e evaluation) (Decision, []Step) {
	e.tracing = true
	d := e.decide()
	return d, e.trace
}

func (a asker) String() string {
	switch a {
	case aCard:
		return "a card at a reader"
	case aSwitch:
		return "a switch"
	case anOperator:
		return "an operator"
	case aCardAtHand:
		return "a card without a scan"
	case aPersonOnly:
		return "a person without a card"
	}
	return "an unknown source"
}
