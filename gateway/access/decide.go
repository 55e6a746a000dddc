package access

import (
	"fmt"
	"slices"
	"strings"

	"latchkey/coapres/wire"
	"latchkey/keys"
)

// Decide decides an attempt by the policy alone. It denies unless every step that applies lets the
// attempt pass and the last one grants it. A nil policy denies with [ReasonInternal].
func Decide(p *Policy, a Attempt) Decision {
	e := evaluation{p: p, a: a, who: findAsker(a.Source)}
	return e.decide()
}

// asker says who makes an attempt, as a bit for the column "for" of the list.
type asker uint8

const (
	aCard asker = 1 << iota
	aSwitch
	anOperator
	anIntegration
	aCardAtHand // explained without a scan: there is no reader and no counter
	aPersonOnly // explained without a card, too
	nobody      // unknown source

	anyone = aCard | aSwitch | anOperator | anIntegration | aCardAtHand | aPersonOnly | nobody
)

func findAsker(s Source) asker {
	switch s {
	case ByCard:
		return aCard
	case ByDevice:
		return aSwitch
	case ByOperator:
		return anOperator
	case ByIntegration:
		return anIntegration
	}
	return nobody
}

// step is one line of the list: its name in [Decision.Rule], the askers that it applies to, and the
// rule. The rule returns "" to pass the attempt on; any reason ends the evaluation, and only
// [ReasonGranted] opens.
type step struct {
	name string
	who  asker
	rule func(*evaluation) Reason
}

// list is the order of evaluation. No other place repeats it.
var list = [...]step{
	{"device", anyone &^ (aCardAtHand | aPersonOnly), (*evaluation).checkDevice},
	{"key", aCard | aSwitch, (*evaluation).checkKey},
	{"counter", aCard | aSwitch, (*evaluation).checkCounter},
	{"target", anyone, (*evaluation).checkTarget},
	{"action", anyone, (*evaluation).checkAction},
	{"lockdown", anyone, (*evaluation).checkLockdown},
	{"card", aCard | aCardAtHand, (*evaluation).checkCard},
	{"card-status", aCard | aCardAtHand, (*evaluation).checkCardStatus},
	{"card-validity", aCard | aCardAtHand, (*evaluation).checkCardValidity},
	{"person", aCard | aCardAtHand | aPersonOnly, (*evaluation).checkHolder},
	{"operator", anOperator, (*evaluation).grantOperator},
	{"grants", anyone &^ anOperator, (*evaluation).checkGrants},
}

// evaluation is the work on one attempt.
type evaluation struct {
	p   *Policy
	a   Attempt
	who asker

	from   Device // the reader or switch
	system Integration
	target Target
	cred   Credential
	person Person

	rule    string // of the decision, if not the step's name
	tracing bool
	detail  string // of the step at work, only when tracing
	trace   []Step
}

func (e *evaluation) decide() Decision {
	if e.p == nil {
		if e.tracing {
			e.trace = append(e.trace, Step{Rule: "policy", Outcome: "deny", Detail: "there is no policy"})
		}
		return Decision{Reason: ReasonInternal, Rule: "policy"}
	}
	for i := range list {
		s := &list[i]
		if s.who&e.who == 0 {
			if e.tracing {
				detail := "does not apply to " + e.who.String()
				e.trace = append(e.trace, Step{Rule: s.name, Outcome: "skip", Detail: detail})
			}
			continue
		}
		e.rule, e.detail = s.name, ""
		reason := s.rule(e)
		if e.tracing {
			e.trace = append(e.trace, Step{Rule: s.name, Outcome: outcome(reason), Detail: e.detail})
		}
		if reason != "" {
			granted := reason == ReasonGranted
			return Decision{Granted: granted, Reason: reason, Rule: e.rule, Person: e.holderID()}
		}
	}
	// Not reached: the last step always returns a reason.
	return Decision{Reason: ReasonInternal, Rule: "list"}
}

func outcome(r Reason) string {
	switch r {
	case "":
		return "pass"
	case ReasonGranted:
		return "allow"
	}
	return "deny"
}

// holderID returns the person who holds the card, even if the evaluation ended before it looked the
// person up: the event of a denied attempt names them too.
func (e *evaluation) holderID() ID {
	switch e.who {
	case aCard, aCardAtHand:
		return e.p.Credentials[e.a.Credential].Person
	case aPersonOnly, anIntegration: // whose code it was, if the grant names a person
		return e.person.ID
	}
	return ""
}

func (e *evaluation) say(format string, args ...any) { e.detail = fmt.Sprintf(format, args...) }

// checkDevice lets a reader ask for its own target, a switch for any of its own, and an integration
// for all.
func (e *evaluation) checkDevice() Reason {
	var kind keys.Kind
	switch e.who {
	case anOperator:
		if e.tracing {
			e.say("an operator needs no device")
		}
		return ""
	case anIntegration:
		return e.checkIntegration()
	case aCard:
		kind = keys.KindReader
	case aSwitch:
		kind = keys.KindSwitch
	default:
		if e.tracing {
			e.say("%q is no source of attempts", e.a.Source)
		}
		return ReasonUnknownDevice
	}
	var ok bool
	e.from, ok = e.p.Devices[e.a.Device]
	if !ok || e.from.Kind != kind {
		if e.tracing && !ok {
			e.say("no such device")
		} else if e.tracing {
			e.say("%s is a %s: this is for a %s to ask", e.from.Name, e.from.Kind, kind)
		}
		return ReasonUnknownDevice
	}
	if !slices.Contains(e.from.Targets, e.a.Target) {
		if e.tracing {
			e.say("%s may not ask for this target: it is not one of its own", e.from.Name)
		}
		return ReasonUnknownTarget
	}
	if e.tracing {
		e.say("%s is a %s and may ask for this target", e.from.Name, e.from.Kind)
	}
	return ""
}

// checkIntegration refuses a system that nobody has added, or that is paused.
func (e *evaluation) checkIntegration() Reason {
	var ok bool
	if e.system, ok = e.p.Integrations[e.a.Integration]; !ok {
		if e.tracing {
			e.say("no such integration")
		}
		return ReasonUnknownIntegration
	}
	if e.system.Paused != "" {
		if e.tracing {
			e.say("%s is paused: %s", e.system.Name, e.system.Paused)
		}
		return ReasonIntegrationPaused
	}
	if e.tracing {
		e.say("%s is not paused", e.system.Name)
	}
	return ""
}

// checkKey checks the key again after the handshake, because the key may have been revoked while
// the attempt waited.
func (e *evaluation) checkKey() Reason {
	k, ok := e.p.Keys[e.a.Key]
	if e.a.Key != "" && !(ok && k.Device == e.a.Device && k.State.Usable()) {
		if e.tracing {
			e.say("key %s is revoked, or not one of %s", e.a.Key, e.from.Name)
		}
		return ReasonKeyRevoked
	}
	if e.tracing && e.a.Key == "" {
		e.say("it came in no session")
	} else if e.tracing {
		e.say("key %s is %s", e.a.Key, k.State)
	}
	return ""
}

const maxCounter = 1<<53 - 1

func (e *evaluation) checkCounter() Reason {
	if n, last := e.a.Counter, e.a.Last; n <= last || n > maxCounter { // n ≥ 1 follows from n > last
		if e.tracing {
			e.say("counter %d does not go on from %d", n, last)
		}
		return ReasonReplayed
	}
	if e.tracing {
		e.say("counter %d is above %d", e.a.Counter, e.a.Last)
	}
	return ""
}

func (e *evaluation) checkTarget() Reason {
	var ok bool
	if e.target, ok = e.p.Targets[e.a.Target]; !ok {
		if e.tracing {
			e.say("no such target")
		}
		return ReasonUnknownTarget
	}
	if e.tracing {
		e.say("%s is a %s", e.target.Name, e.target.Kind)
	}
	return ""
}

func (e *evaluation) checkAction() Reason {
	if !e.target.Kind.Fits(e.a.Action) || e.a.Action == wire.Level && e.a.Level > 100 {
		if e.tracing && e.a.Action == wire.Level {
			e.say("level %d does not fit a %s", e.a.Level, e.target.Kind)
		} else if e.tracing {
			e.say("%v does not fit a %s", e.a.Action, e.target.Kind)
		}
		return ReasonWrongAction
	}
	if e.tracing {
		e.say("%v fits a %s", e.a.Action, e.target.Kind)
	}
	return ""
}

// checkLockdown keeps every door shut, for operators as well: to open one, they end the lockdown
// first. Locking is always allowed.
func (e *evaluation) checkLockdown() Reason {
	shut := e.p.Site.Lockdown && e.target.Kind != Lamp && e.a.Action != wire.Lock
	if e.tracing {
		switch {
		case shut:
			e.say("lockdown: doors stay shut for everybody")
		case e.p.Site.Lockdown:
			e.say("lockdown does not touch this")
		default:
			e.say("no lockdown")
		}
	}
	if shut {
		return ReasonLockdown
	}
	return ""
}

func (e *evaluation) checkCard() Reason {
	var ok bool
	if e.cred, ok = e.p.Credentials[e.a.Credential]; !ok {
		if e.tracing {
			e.say("no such card")
		}
		return ReasonUnknownCard
	}
	if e.tracing {
		e.say("card …%s is known", e.cred.Tail)
	}
	return ""
}

func (e *evaluation) checkCardStatus() Reason {
	if e.tracing {
		e.say("the card is %s", e.cred.Status)
	}
	switch e.cred.Status {
	case CardActive:
		return ""
	case CardLost:
		return ReasonCardLost
	}
	return ReasonInternal
}

func (e *evaluation) checkCardValidity() Reason {
	c := &e.cred
	reason := Reason("")
	switch {
	case c.From.IsZero() && c.Until.IsZero():
	case !e.a.ClockTrusted:
		reason = ReasonClockUntrusted
	case e.a.At.Before(c.From):
		reason = ReasonCardNotYetValid
	case !c.Until.IsZero() && !e.a.At.Before(c.Until):
		reason = ReasonCardExpired
	}
	if e.tracing {
		valid := strings.TrimPrefix(Namer{now: e.p, before: e.p}.describeValidity(c.From, c.Until), ", ")
		switch {
		case valid == "":
			e.say("valid for ever")
		case reason == ReasonClockUntrusted:
			e.say("valid %s, but the time is not trusted", valid)
		default:
			e.say("valid %s; now %s", valid, e.describeNow())
		}
	}
	return reason
}

// checkHolder refuses a card whose person is suspended.
func (e *evaluation) checkHolder() Reason {
	id := e.person.ID // aPersonOnly
	if e.who != aPersonOnly {
		id = e.cred.Person
	}
	var ok bool
	if e.person, ok = e.p.Persons[id]; !ok {
		if e.tracing {
			e.say("no such person")
		}
		return ReasonInternal
	}
	if e.person.Suspended {
		if e.tracing {
			e.say("%s is suspended", e.person.Name)
		}
		return ReasonPersonSuspended
	}
	if e.tracing {
		e.say("%s is not suspended", e.person.Name)
	}
	return ""
}

// grantOperator grants every request of somebody with the admin API. They need no grant, as they
// could give themselves one.
func (e *evaluation) grantOperator() Reason {
	if e.tracing {
		e.say("an operator needs no grant")
	}
	return ReasonGranted
}

// describeNow returns the attempt's time as a person on the site would say it.
func (e *evaluation) describeNow() string {
	return e.a.At.In(e.p.Zone()).Format("Mon 2006-01-02 15:04:05")
}
