package access

import (
	"time"

	"latchkey/coapres/wire"
)

// Explain decides as [Decide] does, by the same code, and returns every step of the evaluation, in
// order, up to the one that decided. Before the step "grants" it has one line for each grant that
// matches, by id.
func Explain(p *Policy, a Attempt) (Decision, []Step) {
	return traceSteps(evaluation{p: p, a: a, who: findAsker(a.Source)})
}

// ExplainCard returns the decision for a card at any reader of a target. It skips the steps for the
// reader and its counter; all other steps are those of a scan.
func ExplainCard(
	p *Policy, card CredentialID, target ID, action wire.Action, at time.Time, clockTrusted bool,
) (Decision, []Step) {
	a := Attempt{Credential: card, Target: target, Action: action, At: at, ClockTrusted: clockTrusted}
	return traceSteps(evaluation{p: p, a: a, who: aCardAtHand})
}

// ExplainPerson returns the decision for a person with a valid card at a target. It skips the steps
// for the reader, its counter and the card; all other steps are those of a scan. Never open a door
// because of it.
func ExplainPerson(
	p *Policy, person, target ID, action wire.Action, at time.Time, clockTrusted bool,
) (Decision, []Step) {
	a := Attempt{Target: target, Action: action, At: at, ClockTrusted: clockTrusted}
	return traceSteps(evaluation{p: p, a: a, who: aPersonOnly, person: Person{ID: person}})
}

func traceSteps(e evaluation) (Decision, []Step) {
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
	case anIntegration:
		return "an integration"
	case aCardAtHand:
		return "a card without a scan"
	case aPersonOnly:
		return "a person without a card"
	}
	return "an unknown source"
}
