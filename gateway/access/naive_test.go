package access

import (
	"slices"
	"strings"

	"latchkey/coapres/wire"
	"latchkey/gateway/calendar/calendartest"
	"latchkey/keys"
)

// decideNaively decides in a slow and simple way, from the exported records only. It is a second
// implementation of the rules, with which Decide is compared.
func decideNaively(p *Policy, a Attempt) Decision {
	no := func(r Reason, rule string) Decision {
		d := Decision{Reason: r, Rule: rule}
		if g := p.Grants[ID(rule)]; a.Source == ByIntegration && g != nil {
			d.Person = g.CodeOf
		}
		if a.Source == ByCard {
			d.Person = p.Credentials[a.Credential].Person
		}
		return d
	}
	wants := map[Source]keys.Kind{ByCard: keys.KindReader, ByDevice: keys.KindSwitch, ByOperator: "", ByIntegration: ""}
	kind, ok := wants[a.Source]
	if !ok {
		return no(ReasonUnknownDevice, "device")
	}
	if a.Source == ByIntegration {
		switch r, ok := p.Integrations[a.Integration]; {
		case !ok:
			return no(ReasonUnknownIntegration, "device")
		case r.Paused != "":
			return no(ReasonIntegrationPaused, "device")
		}
	}
	dev := p.Devices[a.Device]
	if kind != "" {
		if dev.Kind != kind {
			return no(ReasonUnknownDevice, "device")
		}
		if !slices.Contains(dev.Targets, a.Target) {
			return no(ReasonUnknownTarget, "device")
		}
		if k := p.Keys[a.Key]; a.Key != "" &&
			(k.Device != a.Device || !slices.Contains([]keys.State{keys.Pending, keys.Active, keys.Retiring},
				k.State)) {
			return no(ReasonKeyRevoked, "key")
		}
		if a.Counter == 0 || a.Counter <= a.Last || a.Counter >= 1<<53 {
			return no(ReasonReplayed, "counter")
		}
	}
	target, ok := p.Targets[a.Target]
	if !ok {
		return no(ReasonUnknownTarget, "target")
	}
	fitting := map[TargetKind]string{Door: "unlock lock", Lamp: "on off toggle level"}
	if !slices.Contains(strings.Fields(fitting[target.Kind]), a.Action.String()) || a.Action == wire.Level &&
		a.Level > 100 {
		return no(ReasonWrongAction, "action")
	}
	if p.Site.Lockdown && target.Kind == Door && a.Action == wire.Unlock {
		return no(ReasonLockdown, "lockdown")
	}
	if a.Source == ByOperator {
		return Decision{Granted: true, Reason: ReasonGranted, Rule: "operator"}
	}
	if a.Source == ByCard {
		c, ok := p.Credentials[a.Credential]
		timed := !c.From.IsZero() || !c.Until.IsZero()
		switch {
		case !ok:
			return no(ReasonUnknownCard, "card")
		case c.Status == CardLost:
			return no(ReasonCardLost, "card-status")
		case timed && !a.ClockTrusted:
			return no(ReasonClockUntrusted, "card-validity")
		case !c.From.IsZero() && c.From.After(a.At):
			return no(ReasonCardNotYetValid, "card-validity")
		case !c.Until.IsZero() && c.Until.Compare(a.At) <= 0:
			return no(ReasonCardExpired, "card-validity")
		case p.Persons[c.Person].Suspended:
			return no(ReasonPersonSuspended, "person")
		}
	}
	// The grants by class, the most relevant class first. The first class that is not empty
	// decides, by its smallest id.
	classes := [10][]ID{}
	for _, g := range p.Grants {
		if !matchesNaively(p, g, a) {
			continue
		}
		timed := g.Schedule != "" || !g.From.IsZero() || !g.Until.IsZero()
		class := -1
		switch {
		case timed && !a.ClockTrusted:
			class = 6
		case !g.From.IsZero() && a.At.Before(g.From):
			class = 8
		case !g.Until.IsZero() && !a.At.Before(g.Until):
			class = 9
		case g.Schedule != "" && !calendartest.Contains(p.Schedules[g.Schedule].Text, a.At.In(p.Zone())):
			class = 7
		case g.CodeOf != "" && p.Persons[g.CodeOf].Suspended:
			class = 5
		case g.CodeOf+ID(g.Code.Reveal()) != "" && a.Code.Reveal() == "":
			class = 4
		case g.CodeOf != "" && p.PINs[g.CodeOf].Hash.Reveal() != a.Code.Reveal(),
			g.CodeOf == "" && !g.Code.IsZero() && g.Code.Reveal() != a.Code.Reveal():
			class = 3
		default:
			class = 2
		}
		if g.Effect == Deny {
			switch class {
			case 2:
				class = 0
			case 6:
				class = 1
			default:
				continue
			}
		}
		classes[class] = append(classes[class], g.ID)
	}
	reasons := [10]Reason{ReasonDenyGrant, ReasonClockUntrusted, ReasonGranted, ReasonWrongCode,
		ReasonCodeNeeded, ReasonPersonSuspended, ReasonClockUntrusted,
		ReasonOutsideSchedule, ReasonGrantNotYet, ReasonGrantExpired}
	for i, ids := range classes {
		if len(ids) > 0 {
			d := no(reasons[i], string(slices.Min(ids)))
			d.Granted = i == 2
			return d
		}
	}
	return no(ReasonNoGrant, "grants")
}

func matchesNaively(p *Policy, g *Grant, a Attempt) bool {
	holder := p.Credentials[a.Credential].Person
	subject := false
	switch g.SubjectKind {
	case SubjectPerson:
		subject = a.Source == ByCard && g.Subject == holder
	case SubjectGroup:
		subject = a.Source == ByCard && slices.Contains(p.Groups[g.Subject].Members, holder)
	case SubjectDevice:
		subject = a.Source == ByDevice && g.Subject == a.Device
	case SubjectIntegration:
		subject = a.Source == ByIntegration && g.Subject == a.Integration
		if a.Action == wire.Unlock && len(g.Actions) == 0 {
			return false
		}
	}
	target := g.Target == a.Target || g.TargetGroup != "" && slices.Contains(p.Groups[g.TargetGroup].Members,
		a.Target)
	return subject && target && (len(g.Actions) == 0 || slices.Contains(g.Actions, a.Action))
}
