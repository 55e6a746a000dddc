package homeassistant

import (
	"context"
	"fmt"
	"slices"
	"time"

	"latchkey/coapres"
	"latchkey/coapres/wire"
	"latchkey/gateway/access"
	"latchkey/gateway/audit"
	"latchkey/gateway/mqtt"
	"latchkey/keys"
)

// ratePerMinute bounds the commands for one target.
const ratePerMinute = 10

// obeyWithin bounds the work on one command, however slow the disk is.
const obeyWithin = 30 * time.Second

// refusal is why a command was refused before it was decided. Each is a reason of an event.
type refusal = access.Reason

const (
	refusedRetained  = audit.ReasonRetained
	refusedOversized = audit.ReasonOversized
	refusedUnknown   = audit.ReasonUnknown
	refusedRepeated  = audit.ReasonRepeated
	refusedLate      = audit.ReasonLate
	refusedRate      = audit.ReasonRate
	refusedCode      = audit.ReasonCode
)

// refusals says what each means, for people.
var refusals = map[refusal]string{
	refusedRetained:  "it was published to be kept by the broker",
	refusedOversized: fmt.Sprintf("it was longer than %d bytes", maxCommand),
	refusedUnknown:   "it was not a command that we know",
	refusedRepeated:  "it was sent before, or without the present echo",
	refusedLate:      "it came too late, or the clocks differ by more than 3 s",
	refusedRate:      fmt.Sprintf("there were more than %d a minute", ratePerMinute),
	refusedCode:      "no code is checked for a while after wrong ones",
}

// Refusals are the reasons for which a command is refused before it is decided, for metrics.
func Refusals() []string {
	return []string{string(refusedRetained), string(refusedOversized), string(refusedUnknown),
		string(refusedRepeated), string(refusedLate), string(refusedRate), string(refusedCode)}
}

// takeCommand handles a command that has come. It does not wait.
func (b *bridge) takeCommand(target access.ID, m mqtt.Message) {
	c, why := b.checkCommand(target, m)
	if why == "" {
		select {
		case b.places <- struct{}{}:
			b.tasks.Go(func() {
				defer b.places.Leave()
				b.obey(target, c, m.At)
			})
		default:
			why = refusedRate
		}
	}
	if why != "" {
		b.refuse(target, why)
	}
}

// checkCommand reads a command and tells why it is refused, if it is. The order of the checks is
// part of the design: what costs least comes first, and a message without the present echo uses
// nothing up.
func (b *bridge) checkCommand(target access.ID, m mqtt.Message) (command, refusal) {
	if m.Retained {
		return command{}, refusedRetained
	}
	if len(m.Payload) > maxCommand {
		return command{}, refusedOversized
	}
	c, err := parseCommand(m.Payload)
	if _, is := b.cfg.Policy().Targets[target]; err != nil || !is {
		return command{}, refusedUnknown
	}
	age, ok := b.echoes.take(target, c.echo, m.At)
	if !ok {
		return command{}, refusedRepeated
	}
	b.wakeUp() // for the next echo
	// The echo of a message that somebody holds back may still be the present one. So the sender's
	// own time bounds the delay, or the age of the echo does.
	if trusted, _ := b.cfg.ClockTrusted(m.At); trusted {
		if apart := m.At.Sub(c.at).Abs(); apart > clockApart {
			return command{}, refusedLate
		}
	} else if age > echoAgeUntrusted {
		return command{}, refusedLate
	}
	if _, ok := b.rate.Allow(target, m.At); !ok {
		return command{}, refusedRate
	}
	return c, ""
}

// obey asks the policy, and checks a code if a grant asks for one. The result shows as a state.
func (b *bridge) obey(target access.ID, c command, at time.Time) {
	ctx, cancel := context.WithTimeout(b.ctx, obeyWithin)
	defer cancel()
	a := access.Attempt{Source: access.ByIntegration, Integration: b.integration.ID, Operator: b.name(),
		Target: target, Action: c.action, Level: c.level, At: at}
	a.ClockTrusted, _ = b.cfg.ClockTrusted(at)
	pause := false
	if hash := b.cfg.Policy().IntegrationCode(a); !hash.IsZero() && c.code != "" {
		var why refusal
		if a.Code, pause, why = b.checkCode(ctx, hash, c.code, at); why != "" {
			b.refuse(target, why)
			return
		}
	}
	if err := b.cfg.Operate(ctx, a); err != nil {
		b.log.Error("command not decided", "target", string(target), "err", err)
	}
	if pause {
		b.pause(ctx)
	}
}

// noCode is the hash of no code. An attempt with it is denied for a wrong code.
var noCode = keys.Hide("wrong")

// checkCode returns the hash if the code fits, else noCode. One code is checked at a time: the
// count of wrong ones then bounds how many are tried. pause tells that there were too many.
func (b *bridge) checkCode(ctx context.Context, hash keys.Hidden, code string,
	at time.Time) (match keys.Hidden,
	pause bool, why refusal) {
	// A command that has waited longer is not sent.
	ctx, cancel := context.WithDeadline(ctx, at.Add(coapres.CommandWindow))
	defer cancel()
	if b.turn.Enter(ctx) != nil {
		return keys.Hidden{}, false, refusedRate
	}
	defer b.turn.Leave()
	b.mu.Lock()
	wait := b.wrong.wait(time.Now())
	b.mu.Unlock()
	if wait > 0 {
		return keys.Hidden{}, false, refusedCode
	}
	fits, err := b.cfg.CheckCode(ctx, hash, code)
	if err != nil {
		return keys.Hidden{}, false, refusedRate // it could not be checked in time
	}
	b.mu.Lock()
	pause = b.wrong.note(fits, time.Now())
	b.mu.Unlock()
	if fits {
		return hash, false, ""
	}
	return noCode, pause, ""
}

// pause pauses the integration after too many wrong codes.
func (b *bridge) pause(ctx context.Context) {
	why := fmt.Sprintf("%d wrong codes within a day", wrongMost)
	if err := b.cfg.Pause(ctx, b.integration.ID, why); err != nil {
		b.log.Error("integration not paused", "err", err)
		return // the next wrong code tries again
	}
	b.log.Error("integration paused", "why", why)
	b.cfg.Feed.Note(audit.Event{Kind: audit.EventIntegration, Actor: b.name(), Reason: audit.ReasonPaused,
		Detail: "paused: " + why})
}

// notePause takes whether the integration is paused. The count of wrong codes begins anew when
// somebody resumes it.
func (b *bridge) notePause(paused bool) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.paused && !paused {
		b.wrong = wrongCodes{}
	}
	b.paused = paused
}

// refuse counts a refused command, and makes an event of it, but at most one a minute for each
// reason: who floods us must not fill the chain.
func (b *bridge) refuse(target access.ID, why refusal) {
	b.mu.Lock()
	b.refused[string(why)]++
	b.mu.Unlock()
	missed, ok := b.noted.Allow(why, time.Now())
	if !ok {
		return
	}
	ev := audit.Event{Kind: audit.EventIntegration, Actor: b.name(), Source: access.ByIntegration,
		Reason: why, Detail: "command refused: " + refusals[why]}
	if missed > 0 {
		ev.Detail += fmt.Sprintf("; %d more since the last such event", missed)
	}
	if t, is := b.cfg.Policy().Targets[target]; is {
		ev.Target = audit.Named{ID: t.ID, Name: t.Name}
	}
	b.log.Warn("command refused", "target", ev.Target.Name, "reason", string(why), "more", missed)
	b.tasks.Go(func() { b.cfg.Feed.Note(ev) })
}

// Of the newest events, this many are read for wrong codes, in pages.
const (
	countBack = 1 << 16
	countPage = 512
)

// restoreWrongCodes counts the wrong codes of the last day from the events, and pauses the
// integration if there were too many and it ended before it did. Otherwise somebody who can switch
// the gateway off and on could try codes without end.
func (b *bridge) restoreWrongCodes() {
	tooMany := false
	head, _ := b.cfg.Events.Head()
	since, first := time.Now().Add(-wrongSpan), uint64(1)
	if since.Before(b.integration.Created) {
		since = b.integration.Created // before, the name was another's
	}
	for end := head; end > first; end -= min(end, countPage) {
		at, err := b.cfg.Events.Events(b.ctx, end, 1)
		if err != nil || len(at) == 0 || at[0].At.Before(since) || head-end >= countBack {
			first = end
		}
	}
	for from := first; from <= head; {
		page, err := b.cfg.Events.Events(b.ctx, from, countPage)
		if err != nil || len(page) == 0 {
			b.log.Warn("wrong codes of the last day not counted", "err", err)
			return
		}
		from = page[len(page)-1].Seq + 1
		b.mu.Lock()
		for _, ev := range page {
			if b.isOurs(ev) && !ev.At.Before(since) {
				tooMany = b.restoreWrongCode(ev)
			}
		}
		b.mu.Unlock()
	}
	if tooMany && b.cfg.Policy().Integrations[b.integration.ID].Paused == "" {
		b.pause(b.ctx)
	}
}

// isOurs tells whether an event is about this integration, whatever it was called then. A decision
// names the grant, and that is the integration's. Other events, and those about a grant that is no
// more, have only the name.
func (b *bridge) isOurs(ev audit.Event) bool {
	if g, ok := b.cfg.Policy().Grants[access.ID(ev.Rule)]; ok {
		return g.Subject == b.integration.ID
	}
	return ev.Actor == b.name()
}

// restoreWrongCode counts a code by its event, and tells whether there are too many wrong ones. The
// caller holds mu.
func (b *bridge) restoreWrongCode(ev audit.Event) (tooMany bool) {
	switch byUs := ev.Kind == audit.EventDecision && ev.Source == access.ByIntegration; {
	case ev.Kind == audit.EventIntegration && ev.Reason == audit.ReasonPaused:
		b.wrong = wrongCodes{}
	case byUs && ev.Reason == access.ReasonWrongCode:
		b.wrong.note(false, ev.At)
	case byUs && ev.Granted && asksForCode(b.cfg.Policy().Grants[access.ID(ev.Rule)]):
		b.wrong.note(true, ev.At)
	}
	return len(b.wrong.times) >= wrongMost
}

// asksForCode tells whether a grant asks for a code. nil is no grant.
func asksForCode(g *access.Grant) bool { return g != nil && (!g.Code.IsZero() || g.CodeOf != "") }

// asksCode tells whether a grant that lets an integration unlock or lock a target asks for a code.
// Home Assistant asks for it before both, or before none.
func asksCode(p *access.Policy, integration, target access.ID) bool {
	for _, g := range p.Grants {
		if g.SubjectKind != access.SubjectIntegration || g.Subject != integration ||
			g.Effect != access.Allow || !asksForCode(g) || !g.Covers(wire.Unlock) && !g.Covers(wire.Lock) {
			continue
		}
		if g.Target == target || g.TargetGroup != "" && slices.Contains(p.Groups[g.TargetGroup].Members,
			target) {
			return true
		}
	}
	return false
}
