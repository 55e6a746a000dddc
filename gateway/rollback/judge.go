package rollback

import (
	"slices"
	"time"

	"latchkey/coapres/wire"
	"latchkey/gateway/access"
	"latchkey/gateway/access/accounts"
	"latchkey/gateway/access/retention"
	"latchkey/gateway/access/sinks"
	"latchkey/keys"
)

// Judge counts what a change of the policy takes away. A record that goes with another one, such as
// the cards and grants of a removed person, counts too; only the keys of a removed device do not. A
// change of which it is not clear whether it takes something away, such as another text of a
// schedule, counts.
func Judge(before, after *access.Policy, changes []access.Change) (c Counts) {
	done := map[any]bool{}
	for _, change := range changes {
		r := change.Put
		if r == nil {
			r = change.Delete
		}
		judge, id := judgeRecord(r)
		if judge == nil || done[id] {
			continue // a record that several changes touch counts once
		}
		done[id] = true
		if was, ok := before.Get(r); ok {
			is, _ := after.Get(r)
			for _, k := range judge(was, is, after) {
				c[k]++
			}
		} else if g, is := r.(access.Grant); is && g.Effect == access.Deny {
			c[GrantDenied]++
		}
	}
	return c
}

// judgement returns what it takes away that was became is; is is nil if the record was deleted.
type judgement func(was, is access.Record, after *access.Policy) []Kind

// judgeRecord returns the judgement for records of the kind of r, and what identifies r.
func judgeRecord(r access.Record) (j judgement, id any) {
	switch r := r.(type) {
	case access.Site:
		return with(judgeSite), "site"
	case access.Person:
		return with(judgePerson), r.ID
	case access.Credential:
		return with(judgeCard), r.ID
	case access.Target:
		return with(judgeTarget), r.ID
	case access.Device:
		return with(judgeDevice), r.ID
	case keys.Key:
		return with(judgeKey), r.ID
	case access.Group:
		return judgeGroup, r.ID
	case access.Schedule:
		return with(judgeSchedule), r.ID
	case access.Grant:
		return with(judgeGrant), r.ID
	case access.Integration:
		return with(judgeIntegration), r.ID
	case access.PIN:
		return with(judgePIN), "PIN " + r.Person
	case accounts.Account:
		return with(judgeAccount), r.ID
	case sinks.Sink:
		return with(judgeSink), r.ID
	case retention.Setting: // it opens nothing
		return func(access.Record, access.Record, *access.Policy) []Kind { return nil }, "retention"
	}
	return nil, nil
}

// with makes a judgement of a function that looks at the records only; is is nil if the record was
// deleted.
func with[R access.Record](f func(was R, is *R) []Kind) judgement {
	return func(was, is access.Record, _ *access.Policy) []Kind {
		if is == nil {
			return f(was.(R), nil)
		}
		now := is.(R)
		return f(was.(R), &now)
	}
}

// when is a kind and its condition.
type when struct {
	kind Kind
	is   bool
}

// list returns the kinds whose condition holds.
func list(of ...when) (out []Kind) {
	for _, o := range of {
		if o.is {
			out = append(out, o.kind)
		}
	}
	return out
}

func judgeSite(was access.Site, is *access.Site) []Kind {
	return list(when{Lockdown, is != nil && is.Lockdown && !was.Lockdown})
}

func judgePerson(was access.Person, is *access.Person) []Kind {
	if is == nil {
		return []Kind{PersonRemoved}
	}
	return list(when{PersonSuspended, is.Suspended && !was.Suspended})
}

func judgeCard(was access.Credential, is *access.Credential) []Kind {
	if is == nil {
		return []Kind{CardRemoved}
	}
	return list(when{CardLost, was.Status == access.CardActive && is.Status != access.CardActive},
		when{CardNarrowed, is.Person != was.Person || isShorter(was.From, was.Until, is.From, is.Until)})
}

// judgeKey counts no deleted keys: a key goes only with its device, which counts.
func judgeKey(was keys.Key, is *keys.Key) []Kind {
	return list(when{KeyRevoked, is != nil && was.State.Usable() && !is.State.Usable()})
}

func judgeTarget(was access.Target, is *access.Target) []Kind {
	return list(when{TargetRemoved, is == nil || is.Kind != was.Kind})
}

func judgeDevice(was access.Device, is *access.Device) []Kind {
	if is == nil {
		return []Kind{DeviceRemoved}
	}
	return list(when{DeviceMoved, is.Kind != was.Kind || lacks(is.Targets, was.Targets)})
}

// judgeGroup counts new members only where a grant denies them something.
func judgeGroup(before, after access.Record, p *access.Policy) []Kind {
	was := before.(access.Group)
	is, ok := after.(access.Group)
	if !ok {
		return []Kind{GroupRemoved}
	}
	denied := false
	if lacks(was.Members, is.Members) {
		for _, g := range p.Grants {
			if g.Effect == access.Deny && (g.Subject == is.ID || g.TargetGroup == is.ID) {
				denied = true
				break
			}
		}
	}
	return list(when{GroupChanged, denied || is.Of != was.Of || lacks(is.Members, was.Members)})
}

func judgeSchedule(was access.Schedule, is *access.Schedule) []Kind {
	return list(when{ScheduleChanged, is != nil && is.Text != was.Text})
}

func judgeGrant(was access.Grant, is *access.Grant) []Kind {
	switch {
	case is == nil:
		return list(when{GrantRemoved, was.Effect != access.Deny})
	case is.Effect == access.Deny:
		return list(when{GrantDenied, was.Effect != access.Deny || differsAsGrant(was, *is)})
	}
	return list(when{GrantNarrowed, was.Effect != access.Deny && !coversGrant(*is, was)})
}

// differsAsGrant tells whether the two say different things.
func differsAsGrant(a, b access.Grant) bool { return !coversGrant(a, b) || !coversGrant(b, a) }

// coversGrant tells whether a allows all that b allows, as far as their own fields say.
func coversGrant(a, b access.Grant) bool {
	actions := func(g access.Grant) (out []wire.Action) {
		for _, action := range []wire.Action{wire.Unlock, wire.Lock, wire.On, wire.Off, wire.Toggle, wire.Level} {
			if g.Covers(action) {
				out = append(out, action)
			}
		}
		return out
	}
	open := a.Code.IsZero() && a.CodeOf == ""
	sameCode := a.Code.Reveal() == b.Code.Reveal() && a.CodeOf == b.CodeOf
	return a.SubjectKind == b.SubjectKind && a.Subject == b.Subject && a.Target == b.Target &&
		a.TargetGroup == b.TargetGroup && (a.Schedule == "" || a.Schedule == b.Schedule) &&
		!isShorter(b.From, b.Until, a.From, a.Until) && !lacks(actions(a), actions(b)) && (open || sameCode)
}

func judgeIntegration(was access.Integration, is *access.Integration) []Kind {
	if is == nil {
		return []Kind{IntegrationRemoved}
	}
	return list(when{IntegrationPaused, is.Paused != "" && was.Paused == ""},
		when{IntegrationMoved, is.Endpoint.Mark() != was.Endpoint.Mark() || is.Base != was.Base})
}

func judgePIN(was access.PIN, is *access.PIN) []Kind {
	if is == nil {
		return []Kind{PINRemoved}
	}
	return list(when{PINChanged, is.Hash.Reveal() != was.Hash.Reveal()})
}

func judgeAccount(was accounts.Account, is *accounts.Account) []Kind {
	if is == nil {
		return []Kind{AccountRemoved}
	}
	out := list(when{AccountDisabled, is.Disabled && !was.Disabled},
		when{AccountDemoted, !is.Role.Includes(was.Role)},
		when{SignInRemoved, !was.Password.IsZero() && is.Password.Reveal() != was.Password.Reveal()},
		// One-time codes that are new are asked for from now on.
		when{SignInRemoved, is.TOTP.Reveal() != was.TOTP.Reveal()},
		when{SessionsEnded, is.Epoch != was.Epoch && is.Disabled == was.Disabled})
	for _, old := range was.Passkeys {
		same := func(k accounts.Passkey) bool { return string(k.ID) == string(old.ID) }
		kept := slices.ContainsFunc(is.Passkeys, same)
		out = append(out, list(when{SignInRemoved, !kept})...)
	}
	for _, old := range was.Tokens {
		kept := slices.ContainsFunc(is.Tokens, func(t accounts.Token) bool {
			return t.Hash == old.Hash && !lacks(t.Scopes, old.Scopes) &&
				!isShorter(time.Time{}, old.Until, time.Time{}, t.Until)
		})
		out = append(out, list(when{SignInRemoved, !kept})...)
	}
	return out
}

func judgeSink(was sinks.Sink, is *sinks.Sink) []Kind {
	if is == nil {
		return []Kind{SinkRemoved}
	}
	less := len(is.Only) > 0 && (len(was.Only) == 0 || lacks(is.Only, was.Only))
	return list(when{SinkPaused, is.Paused != "" && was.Paused == ""},
		when{SinkNarrowed, less || is.IDsOnly && !was.IDsOnly || is.Endpoint.Mark() != was.Endpoint.Mark() ||
			is.Protocol != was.Protocol || is.Place != was.Place})
}

// lacks tells whether list lacks one of want.
func lacks[E comparable](list, want []E) bool {
	return slices.ContainsFunc(want, func(e E) bool { return !slices.Contains(list, e) })
}

// isShorter tells whether the window that is leaves out an instant of the window that was. A zero
// end is open.
func isShorter(wasFrom, wasUntil, isFrom, isUntil time.Time) bool {
	return isFrom.After(wasFrom) || !isUntil.IsZero() && (wasUntil.IsZero() || isUntil.Before(wasUntil))
}
