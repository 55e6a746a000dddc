package access

import (
	"cmp"
	"slices"
	"strings"
)

// standing is what one matching grant means for an attempt. Among several grants the smallest
// standing decides, then the smallest id; so the order of these lines is the rule "deny beats
// allow", and the last ones say which failing grant was nearest.
type standing uint8

const (
	denies          standing = 1 + iota // a deny grant in force
	mayDeny                             // a deny grant bound to a time that is not known: stays shut
	allows                              // an allow grant in force
	wrongCode                           // allow, with another code than the one that came
	needsCode                           // allow, with a code, and none came
	codeSuspended                       // allow, with the PIN of somebody who is suspended
	needsClock                          // an allow grant bound to a time that is not known
	outsideSchedule                     // allow, but at another time of the week
	notYet
	expired
	noBearing // a deny grant that is not in force, or no grant at all
)

var standings = [...]struct {
	reason Reason
	text   string
}{
	denies:          {ReasonDenyGrant, "in force: denies"},
	mayDeny:         {ReasonClockUntrusted, "depends on the time, which is not trusted: denies to be safe"},
	allows:          {ReasonGranted, "in force: allows"},
	wrongCode:       {ReasonWrongCode, "asks for another code"},
	needsCode:       {ReasonCodeNeeded, "asks for a code"},
	codeSuspended:   {ReasonPersonSuspended, "asks for the PIN of a person who is suspended"},
	needsClock:      {ReasonClockUntrusted, "depends on the time, which is not trusted"},
	outsideSchedule: {ReasonOutsideSchedule, "outside its schedule"},
	notYet:          {ReasonGrantNotYet, "not yet valid"},
	expired:         {ReasonGrantExpired, "expired"},
	noBearing:       {ReasonNoGrant, "not in force now"},
}

// checkGrants looks at every grant for the subject, alone or by group, on the target, alone or by
// group.
func (e *evaluation) checkGrants() Reason {
	nearest := noBearing
	firstLine := len(e.trace)
	e.grantsAt(&nearest, e.target.ID)
	for _, group := range e.p.groupsOf[e.target.ID] {
		e.grantsAt(&nearest, group)
	}
	if nearest == noBearing {
		e.rule = "grants"
	}
	if e.tracing {
		// By id, so that the order does not depend on how a grant was found.
		slices.SortFunc(e.trace[firstLine:], func(a, b Step) int { return cmp.Compare(a.Rule, b.Rule) })
		who := e.person.Name
		switch e.who {
		case aSwitch:
			who = e.from.Name
		case anIntegration:
			who = e.system.Name
		}
		switch nearest {
		case allows:
			e.say("%s may %v %s", who, e.a.Action, e.target.Name)
		case noBearing:
			e.say("nothing allows %s to %v %s", who, e.a.Action, e.target.Name)
		default:
			e.say("%s may not %v %s: the nearest grant %s", who, e.a.Action, e.target.Name, nearest.phrase())
		}
	}
	return standings[nearest].reason
}

func (s standing) phrase() string {
	switch s {
	case denies:
		return "denies it"
	case mayDeny:
		return "would deny it at some times, and the time is not trusted"
	case needsClock:
		return "needs the time, which is not trusted"
	case outsideSchedule:
		return "is for another time"
	case wrongCode, needsCode, codeSuspended:
		return standings[s].text
	}
	return "is " + standings[s].text
}

// grantsAt goes through the grants at one place, the target or a group it is in.
func (e *evaluation) grantsAt(nearest *standing, place ID) {
	at := e.p.grantsAt[place]
	if len(at) == 0 {
		return
	}
	switch e.who {
	case aSwitch:
		e.grantsFor(nearest, at, SubjectDevice, e.from.ID)
		return
	case anIntegration:
		e.grantsFor(nearest, at, SubjectIntegration, e.system.ID)
		return
	}
	e.grantsFor(nearest, at, SubjectPerson, e.person.ID)
	for _, group := range e.p.groupsOf[e.person.ID] {
		e.grantsFor(nearest, at, SubjectGroup, group)
	}
}

func (e *evaluation) grantsFor(nearest *standing, at []*Grant, kind SubjectKind, subject ID) {
	for i := findSubject(at, subject); i < len(at) && at[i].Subject == subject; i++ {
		g := at[i]
		if g.SubjectKind != kind || !g.Covers(e.a.Action) {
			continue
		}
		s := e.stands(g)
		if s < *nearest || s == *nearest && s != noBearing && string(g.ID) < e.rule {
			*nearest, e.rule = s, string(g.ID)
			if e.who == anIntegration {
				e.person = e.p.Persons[g.CodeOf]
			}
		}
		if e.tracing {
			step := Step{Rule: string(g.ID), Outcome: s.outcome(), Detail: e.grantDetail(g, s)}
			e.trace = append(e.trace, step)
		}
	}
}

func (s standing) outcome() string {
	switch s {
	case denies, mayDeny:
		return "deny"
	case allows:
		return "allow"
	}
	return "skip"
}

// stands judges one grant that matches by subject, target and action. A grant that neither allows
// nor denies has no bearing.
func (e *evaluation) stands(g *Grant) standing {
	s := e.inForce(g)
	if g.Effect == Allow {
		if s == allows {
			return e.checkCode(g)
		}
		return s
	}
	switch {
	case g.Effect != Deny:
		return noBearing
	case s == allows:
		return denies
	case s == needsClock:
		return mayDeny
	}
	return noBearing
}

// checkCode returns allows for a grant that asks for no code, or for the one that came. Only a grant
// to an integration asks for one.
func (e *evaluation) checkCode(g *Grant) standing {
	switch want := e.p.findCode(g); {
	case g.Code.IsZero() && g.CodeOf == "":
		return allows
	case e.p.Persons[g.CodeOf].Suspended:
		return codeSuspended
	case e.a.Code.IsZero():
		return needsCode
	case !want.Equal(e.a.Code.Secret):
		return wrongCode
	}
	return allows
}

// inForce returns allows for a grant in force, whatever its effect. Validity comes before the
// schedule: a grant that has ended would not fit at another time of the week.
func (e *evaluation) inForce(g *Grant) standing {
	timeless := g.Schedule == "" && g.From.IsZero() && g.Until.IsZero()
	switch {
	case timeless:
		return allows
	case !e.a.ClockTrusted:
		return needsClock
	case e.a.At.Before(g.From):
		return notYet
	case !g.Until.IsZero() && !e.a.At.Before(g.Until):
		return expired
	case g.Schedule == "":
		return allows
	}
	weekly, ok := e.p.weekly[g.Schedule]
	switch {
	case !ok:
		return needsClock // an inconsistent policy: the one answer that denies for both effects
	case !weekly.Contains(e.a.At, e.p.Zone()):
		return outsideSchedule
	}
	return allows
}

func (e *evaluation) grantDetail(g *Grant, s standing) string {
	detail := Namer{now: e.p, before: e.p}.describeGrant(g) + ": " + standings[s].text
	if s == outsideSchedule || s == notYet || s == expired {
		detail += " (" + strings.TrimSpace(e.describeNow()) + ")"
	}
	return detail
}
