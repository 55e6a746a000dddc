package admin

import (
	"context"
	"fmt"
	"net/http"
	"slices"
	"time"

	"latchkey/coapres/wire"
	"latchkey/gateway/access"
)

// Question asks what would come of an attempt, without making one.
type Question struct {
	Person       string     `json:"person,omitempty" doc:"exactly one of person, card, uid and device; a person is taken to hold a good card"`
	Card         string     `json:"card,omitempty" doc:"id"`
	UID          string     `json:"uid,omitempty" doc:"of a card, known or not"`
	Device       string     `json:"device,omitempty" doc:"a switch"`
	Target       string     `json:"target" doc:"name or id"`
	Action       string     `json:"action,omitempty" doc:"unlock for a door and on for a lamp if left out"`
	Level        uint8      `json:"level,omitempty" maximum:"100"`
	At           *time.Time `json:"at,omitempty" doc:"now if left out"`
	ClockTrusted *bool      `json:"clockTrusted,omitempty" doc:"as it is now if neither this nor at is given, else true"`
}

// Explanation is the decision that would be made, and how.
type Explanation struct {
	Decision     access.Decision `json:"decision"`
	Steps        []access.Step   `json:"steps" doc:"what was looked at, in order, up to what decided"`
	At           time.Time       `json:"at"`
	ClockTrusted bool            `json:"clockTrusted"`
	Person       Ref             `json:"person,omitzero"`
	Notes        []string        `json:"notes,omitempty" doc:"what the decision does not say"`
}

func (a *api) explainRoutes() {
	handle(a, toLook, http.MethodPost, "/v1/explain", "explain",
		"What would be decided for a person, a card or a switch, and why",
		func(_ context.Context, in *struct{ Body Question }) (*body[Explanation], error) {
			return answer(a.explain(in.Body))
		})
}

func (a *api) explain(in Question) (Explanation, error) {
	p := a.Store.Snapshot()
	if err := oneOf("person, card, uid and device", in.Person, in.Card, in.UID, in.Device); err != nil {
		return Explanation{}, err
	}
	target, err := findTarget(p, in.Target)
	if err != nil {
		return Explanation{}, err
	}
	action := map[access.TargetKind]wire.Action{access.Door: wire.Unlock, access.Lamp: wire.On}[target.Kind]
	if in.Action != "" {
		if action, err = parseAction(in.Action); err != nil {
			return Explanation{}, err
		}
	}
	out := Explanation{}
	var why string
	if out.At, out.ClockTrusted, why = a.moment(in); why != "" {
		out.Notes = append(out.Notes, "the clock is not trusted, so schedules deny: "+why)
	}
	switch {
	case in.Person != "":
		who, err := findPerson(p, in.Person)
		if err != nil {
			return out, err
		}
		out.Decision, out.Steps = access.ExplainPerson(p, who.ID, target.ID, action, out.At, out.ClockTrusted)
		if !holdsGoodCard(p, who.ID, out.At) {
			out.Notes = append(out.Notes,
				fmt.Sprintf("%s has no card that is active and valid then: this is what a good one would get",
					who.Name))
		}
	case in.Device != "":
		d, err := findDevice(p, in.Device)
		if err != nil {
			return out, err
		}
		out.Decision, out.Steps = access.Explain(p, access.Attempt{Source: access.ByDevice, Device: d.ID,
			Target: target.ID, Action: action,
			Level: in.Level, Counter: 1, At: out.At, ClockTrusted: out.ClockTrusted})
		// Nothing was asked, so there is no counter to tell about.
		out.Steps = slices.DeleteFunc(out.Steps, func(s access.Step) bool { return s.Rule == "counter" })
	default:
		id, err := a.cardOf(p, in)
		if err != nil {
			return out, err
		}
		out.Decision, out.Steps = access.ExplainCard(p, id, target.ID, action, out.At, out.ClockTrusted)
	}
	if id := out.Decision.Person; id != "" {
		out.Person = personRef(p, id)
	}
	return out, nil
}

func (a *api) cardOf(p *access.Policy, in Question) (access.CredentialID, error) {
	if in.Card != "" {
		c, err := findCard(p, in.Card)
		return c.ID, err
	}
	uid, err := parseUID(in.UID)
	if err != nil {
		return access.CredentialID{}, err
	}
	return a.Store.CredentialID(uid), nil
}

// moment is when the question is about. A time that somebody names is true by what they say; now is
// what the clock can be trusted for, and why says why it cannot.
func (a *api) moment(in Question) (at time.Time, trusted bool, why string) {
	at, trusted = a.Now(), true
	switch {
	case in.At != nil:
		at = *in.At
	case in.ClockTrusted != nil:
	case a.Live != nil:
		trusted, why = a.Live.ClockTrusted(at)
	case a.Clock != nil:
		trusted, why = a.Clock(at)
	}
	if in.ClockTrusted != nil {
		trusted = *in.ClockTrusted
	}
	return at.UTC(), trusted, why
}

func holdsGoodCard(p *access.Policy, person access.ID, at time.Time) bool {
	for _, c := range p.Credentials {
		if c.Person == person && c.Status == access.CardActive && !at.Before(c.From) &&
			(c.Until.IsZero() || at.Before(c.Until)) {
			return true
		}
	}
	return false
}
