package gateway

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"time"

	"latchkey/coapres"
	"latchkey/coapres/wire"
	"latchkey/gateway/access"
	"latchkey/gateway/session"
	"latchkey/gateway/store"
)

const (
	// diskWithin bounds the wait for a durable decision and for what came of it. Whoever asked has its answer long before; the records stay.
	diskWithin = 20 * time.Second
	// answerWithin is when a device is told that nothing was decided yet, and nothing is commanded any more. It gives up coapres.ScanWindow after
	// the tap and takes silence for a session that is gone: the second between them is for an answer that is lost and sent again.
	answerWithin = coapres.ScanWindow - time.Second
)

// errSlow is what a device is told of an attempt whose decision is not durable yet. Its command is not sent any more.
var errSlow = fmt.Errorf("gateway: %w within %v", coapres.ErrUndecided, answerWithin)

// Timeline is when each step of one attempt was done. A step that was not reached is zero.
type Timeline struct {
	Received     time.Time // its datagram, or HTTP request, was read
	Fresh        time.Time // its freshness was proven
	Decided      time.Time
	Durable      time.Time // decision and counter are on disk
	Commanded    time.Time // the command was handed to the actuator's session
	Acknowledged time.Time // its receipt was there

	Seq      uint64 // of the decision's event
	Device   string
	Target   string
	Decision access.Decision
	Outcome  access.Outcome // of the command; empty if there was none
	Holds    time.Duration  // of an unlock: how long the lock holds it, as it said; 0: it did not say
	Repeated bool           // an attempt that was decided before: nothing was done
}

// onScan is the way of a card from reader to door: who, decided and durable, commanded, told. A denial is a decision, an error is not.
func (g *Gateway) onScan(ctx context.Context, p *coapres.Peer, s wire.Scan, at time.Time) (wire.Verdict, error) {
	if wait := g.unknown.wait(p.Device, at); wait > 0 {
		return wire.Verdict{}, &coapres.BusyError{RetryAfter: wait}
	}
	a := access.Attempt{Source: access.ByCard, Device: p.Device, Key: p.Key, Credential: g.store.CredentialID(s.UID),
		Tail: tail(s.UID), Counter: s.N, At: at}
	policy := g.store.Snapshot()
	if d := policy.Devices[a.Device]; len(d.Targets) == 1 {
		a.Target = d.Targets[0]
	}
	if a.Action = wire.Unlock; policy.Targets[a.Target].Kind == access.Lamp {
		a.Action = wire.Toggle
	}
	return g.attempt(ctx, p, a)
}

// onAct does for a switch what onScan does for a card: the device itself is the subject.
func (g *Gateway) onAct(ctx context.Context, p *coapres.Peer, target string, act wire.Act, at time.Time) (wire.Verdict, error) {
	t, ok := g.store.Snapshot().TargetByName(target)
	if !ok || !g.mayName(p, t.ID) {
		return wire.Verdict{}, coapres.ErrNotFound
	}
	return g.attempt(ctx, p, access.Attempt{Source: access.ByDevice, Device: p.Device, Key: p.Key, Target: t.ID,
		Action: act.Action, Level: act.Level, Counter: act.N, At: at})
}

// attempt performs what a device asks for and returns the verdict, or errSlow when that takes longer than the device listens. The attempt goes on:
// what it records stays, and a command that would be late is not sent.
func (g *Gateway) attempt(ctx context.Context, p *coapres.Peer, a access.Attempt) (wire.Verdict, error) {
	type answer struct {
		wire.Verdict
		err error
	}
	answered := make(chan answer, 1)
	perform := func() {
		ctx, cancel := bounded(ctx)
		defer cancel()
		tl, last, keep, err := g.perform(ctx, a)
		if tl.Decision.Reason == access.ReasonUnknownCard && !tl.Repeated {
			g.unknownCard(p, a, a.At)
		}
		answered <- answer{verdictOf(tl, last), err}
		keep()
	}
	if !g.background(perform) {
		perform()
	}
	late := time.NewTimer(time.Until(a.At.Add(answerWithin)))
	defer late.Stop()
	select {
	case v := <-answered:
		return v.Verdict, v.err
	case <-late.C:
		return wire.Verdict{}, errSlow
	}
}

// operate performs what an operator asks for. The outcome is on disk when it returns.
func (g *Gateway) operate(ctx context.Context, a access.Attempt) (Timeline, error) {
	ctx, cancel := bounded(ctx)
	defer cancel()
	tl, _, keep, err := g.perform(ctx, a)
	keep()
	return tl, err
}

// bounded is the context of an attempt. A session that ends meanwhile changes nothing: what was asked is decided, and its outcome kept.
func bounded(ctx context.Context) (context.Context, context.CancelFunc) {
	return context.WithTimeout(context.WithoutCancel(ctx), diskWithin)
}

// perform decides one attempt and, if it is granted, commands the actuator, not later than coapres.CommandWindow after a.At, which is when the message
// that caused it was read, however long the disk took. keep records what came of it. It must be called once, and a device has its answer before:
// nothing that it hears depends on that record. The next attempt sees the outcome, and may share its commit.
func (g *Gateway) perform(ctx context.Context, a access.Attempt) (tl Timeline, last uint64, keep func(), err error) {
	tl, keep = Timeline{Received: a.At, Fresh: time.Now()}, func() {}
	// Copies of one scan wait for the first: the same outcome, never a second pulse. And a target's attempts go one after the other, so that
	// its commands are sent in the order of their ids, and a toggle sees what the one before it did.
	over, err := g.turns.takeAll(ctx, a.Device, a.Target)
	if err != nil {
		return tl, 0, keep, err
	}
	defer func() { over() }()
	a.ClockTrusted, _ = g.clock.trusted(a.At)
	adm, err := g.store.Admit(ctx, a)
	if err != nil {
		g.metrics.undecided.Inc()
		g.log.Error("could not decide", "device", string(a.Device), "target", string(a.Target), "err", err)
		return tl, 0, keep, err
	}
	g.restateIfDue(adm.Seq)
	tl.describe(g.store.Snapshot(), a, adm)
	if adm.Decision.Granted && !adm.Duplicate {
		outcome := g.command(ctx, a, adm, &tl)
		end := over
		over = func() {}
		keep = func() {
			if _, err := g.store.RecordQueued(ctx, outcome, end); err != nil { // the target has moved, or not, all the same
				g.log.Error("outcome not kept", "target", string(a.Target), "event", adm.Seq, "err", err)
			}
		}
	}
	g.metrics.observe(tl)
	g.latency.observe(tl)
	asker := "device"
	if a.Source == access.ByOperator {
		asker = "actor"
	}
	g.log.LogAttrs(ctx, slog.LevelInfo, "decided", slog.String(asker, tl.Device), slog.String("target", tl.Target),
		slog.String("reason", string(tl.Decision.Reason)), slog.Uint64("counter", a.Counter), slog.Uint64("event", tl.Seq),
		slog.String("outcome", string(tl.Outcome)), slog.Bool("repeated", tl.Repeated))
	if g.cfg.Timeline != nil {
		g.cfg.Timeline(tl)
	}
	return tl, adm.Last, keep, nil
}

func (tl *Timeline) describe(p *access.Policy, a access.Attempt, adm store.Admission) {
	tl.Decided, tl.Durable, tl.Seq, tl.Decision = adm.Decided, adm.Durable, adm.Seq, adm.Decision
	tl.Device, tl.Target = p.Devices[a.Device].Name, p.Targets[a.Target].Name
	tl.Repeated, tl.Outcome = adm.Duplicate, adm.Outcome
	if a.Source == access.ByOperator {
		tl.Device = a.Operator
	}
}

// command moves the target of a granted attempt and returns the event that keeps its outcome.
func (g *Gateway) command(ctx context.Context, a access.Attempt, adm store.Admission, tl *Timeline) access.Event {
	policy := g.store.Snapshot()
	actuator, ok := policy.Actuator(a.Target)
	tl.Outcome = access.OutcomeOffline
	var detail string
	if ok {
		tl.Commanded = time.Now()
		r, err := g.sessions.Command(ctx, actuator.ID, g.commandFor(policy, a, actuator, adm.Seq), a.At)
		tl.Outcome = outcomeOf(err)
		if err != nil {
			detail = whyNot(err)
			g.log.Warn("not acknowledged", "device", actuator.Name, "target", tl.Target, "event", adm.Seq, "err", err)
		} else {
			tl.Acknowledged = time.Now()
			if r.State.On {
				tl.Holds = time.Duration(r.State.Left) * time.Millisecond
			}
			g.expectEnd(actuator.ID, time.Time{})
		}
		if tl.Outcome == access.OutcomeUnknown || tl.Outcome == access.OutcomeLate || tl.Outcome == access.OutcomeRefused {
			g.refresh(actuator.ID)
		}
		if tl.Outcome == access.OutcomeOffline || tl.Outcome == access.OutcomeLate {
			tl.Commanded = time.Time{}
		}
	}
	return access.Event{Kind: access.EventReceipt, Cause: adm.Seq, Outcome: tl.Outcome, Detail: detail, Action: a.Action, Level: a.Level,
		Device: access.Named{ID: actuator.ID, Name: actuator.Name}, Target: access.Named{ID: a.Target, Name: tl.Target}}
}

// commandFor turns an action into a command. Its id is the decision's event, so it is durable and grows.
func (g *Gateway) commandFor(p *access.Policy, a access.Attempt, actuator access.Device, seq uint64) wire.Command {
	c := wire.Command{ID: seq, Action: a.Action}
	switch a.Action {
	case wire.Unlock:
		c.Duration = uint32(g.holds(p.Targets[a.Target], actuator.ID) / time.Millisecond)
	case wire.Level:
		c.Level = a.Level
	case wire.Toggle:
		c.Action = wire.On
		if v, ok := g.sessions.View(actuator.ID, time.Now()); ok && v.Known && v.State.On {
			c.Action = wire.Off
		}
	}
	return c
}

// outcomeOf is the one place where an error of a command becomes an outcome.
func outcomeOf(err error) access.Outcome {
	switch {
	case err == nil:
		return access.OutcomeDone
	case errors.Is(err, session.ErrOffline):
		return access.OutcomeOffline
	case errors.Is(err, coapres.ErrLate):
		return access.OutcomeLate
	case errors.Is(err, coapres.ErrNotObeyed):
		return access.OutcomeRefused
	}
	return access.OutcomeUnknown
}

// whyNot says in a sentence what kept a command from being acknowledged. The error itself is for the log.
func whyNot(err error) string {
	var code *coapres.CodeError
	switch {
	case errors.Is(err, session.ErrUnheard):
		return "it speaks from a new address and has not answered there, so nothing was sent"
	case errors.Is(err, session.ErrOffline):
		return "" // the outcome says it
	case errors.Is(err, coapres.ErrLate):
		return fmt.Sprintf("more than %v had passed since the tap, so nothing was sent", coapres.CommandWindow)
	case errors.As(err, &code):
		return fmt.Sprintf("its device refused it, with the code %d.%02d", code.Code>>5, code.Code&31)
	case errors.Is(err, coapres.ErrNotObeyed):
		return "its device did not do it"
	case errors.Is(err, context.DeadlineExceeded):
		return "its device did not answer in time"
	}
	return "the connection to its device failed before it answered"
}

func verdictOf(tl Timeline, last uint64) wire.Verdict {
	v := wire.Verdict{Last: last}
	switch {
	case !tl.Decision.Granted:
	case tl.Outcome == access.OutcomeDone:
		v.Verdict = wire.Granted
	default:
		v.Verdict = wire.Retry
	}
	return v
}

// unknownCard serves whoever waits to learn a card at this reader, and slows a reader that sees too many.
func (g *Gateway) unknownCard(p *coapres.Peer, a access.Attempt, at time.Time) {
	if g.learners.offer(a.Device, a.Credential, a.Tail) || !g.unknown.note(p.Device, at) {
		return
	}
	g.log.Warn("too many unknown cards", "device", p.Name)
	if err := g.record(access.Event{Kind: access.EventThrottle, Device: named(p),
		Detail: "ten unknown cards in a minute: one scan in 10 s until a minute after the last"}); err != nil {
		g.log.Error("event lost", "device", p.Name, "err", err)
	}
}

// tail is the last two bytes of a UID in hex, so that people can tell cards apart.
func tail(uid []byte) string {
	const hex = "0123456789abcdef"
	if len(uid) < 2 {
		return ""
	}
	b := uid[len(uid)-2:]
	return string([]byte{hex[b[0]>>4], hex[b[0]&15], hex[b[1]>>4], hex[b[1]&15]})
}
