package admin

import (
	"context"
	"fmt"
	"slices"
	"time"

	"latchkey/coapres/wire"
	"latchkey/gateway/access"
	"latchkey/gateway/admin/api"
)

func (a *server) addExplainRoutes() {
	handle(a, api.Explain,
		func(_ context.Context, in *api.Body[api.Question]) (api.Explanation, error) {
			return a.explain(in.Body)
		})
}

func (a *server) explain(in api.Question) (api.Explanation, error) {
	p := a.Store.Snapshot()
	if err := checkOneOf("person, card, uid, device and integration", in.Person, in.Card, in.UID, in.Device,
		in.Integration); err != nil {
		return api.Explanation{}, err
	}
	target, err := findTarget(p, in.Target)
	if err != nil {
		return api.Explanation{}, err
	}
	action := map[access.TargetKind]wire.Action{access.Door: wire.Unlock, access.Lamp: wire.On}[target.Kind]
	if in.Action != "" {
		if action, err = parseAction(in.Action); err != nil {
			return api.Explanation{}, err
		}
	}
	out := api.Explanation{}
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
		// No attempt was made, so there is no counter to show.
		out.Steps = slices.DeleteFunc(out.Steps, func(s access.Step) bool { return s.Rule == "counter" })
	case in.Integration != "":
		r, err := findIntegration(p, in.Integration)
		if err != nil {
			return out, err
		}
		asked := access.Attempt{Source: access.ByIntegration, Integration: r.ID, Target: target.ID,
			Action: action, Level: in.Level, At: out.At, ClockTrusted: out.ClockTrusted}
		if asked.Code = p.IntegrationCode(asked); !asked.Code.IsZero() {
			out.Notes = append(out.Notes, "a grant asks for a code: this is what the right one would get")
		}
		out.Decision, out.Steps = access.Explain(p, asked)
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

func (a *server) cardOf(p *access.Policy, in api.Question) (access.CredentialID, error) {
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

// moment returns the time that the question is about, and whether it is trusted. A time in the
// request is trusted. Without one it is now, as far as the clock is trusted; why says why it is
// not.
func (a *server) moment(in api.Question) (at time.Time, trusted bool, why string) {
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
