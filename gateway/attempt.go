package gateway

import (
	"context"
	"log/slog"
	"time"

	"latchkey/coapres"
	"latchkey/coapres/wire"
	"latchkey/gateway/access"
	"latchkey/gateway/audit"
	"latchkey/gateway/limit"
	"latchkey/gateway/observe"
	"latchkey/gateway/session"
	"latchkey/gateway/store"
)

// diskWithin bounds the wait until decision and outcome are durable. The device has an answer long
// before.
const diskWithin = 20 * time.Second

// Timeline says when each step of one attempt was done, and its outcome.
type Timeline = observe.Timeline

// attempt is one request to move a target, from the message that caused it to its durable outcome.
// It has g and asked; run fills in the rest.
type attempt struct {
	g        *Gateway
	asked    access.Attempt
	timeline Timeline

	peer     *coapres.Peer // of the device that asked; nil if an operator did
	answered chan struct{} // closed when the answer is known; nothing that is in it changes after that
	err      error         // not nil: nothing was decided

	turn     limit.Turn[access.ID]
	last     uint64        // the device's counter at the decision
	actuator access.Device // the device that was commanded
	detail   string        // why the command was not acknowledged, for people
}

// run takes the attempt through its stages. It calls answer once: with nil when the decision is
// durable and the target has moved, or could not be moved; with an error when nothing was decided,
// and then nothing moves. A device gets its verdict before the outcome is on disk, because the
// verdict does not depend on that record. The attempt goes on if the session ends meanwhile: it is
// decided, and its outcome is recorded.
func (a *attempt) run() {
	ctx := a.g.deadlines.Begin(time.Now().Add(diskWithin))
	defer ctx.Release()
	a.timeline.Received, a.timeline.Fresh = a.asked.At, time.Now()

	if err := a.takeTurn(ctx); err != nil {
		a.answer(err)
		return
	}
	defer a.turn.End()
	if err := a.decide(ctx); err != nil {
		a.answer(err)
		return
	}
	moves := a.timeline.Decision.Granted && !a.timeline.Repeated
	if moves {
		a.command()
	}
	a.observe(ctx)
	a.answer(nil)
	if moves {
		a.recordOutcome(ctx)
	}
}

// answer says that verdict and err are known.
func (a *attempt) answer(err error) {
	a.err = err
	if a.peer != nil && a.timeline.Decision.Reason == access.ReasonUnknownCard && !a.timeline.Repeated {
		a.g.unknownCard(a.peer, a.asked, a.asked.At)
	}
	close(a.answered)
}

// takeTurn waits until no other attempt of the device, or at the target, is under way. So copies of
// one scan wait for the first and get the same outcome, never a second pulse. A target's commands
// are sent in the order of their ids. And a toggle sees the result of the attempt before it.
func (a *attempt) takeTurn(ctx context.Context) (err error) {
	a.turn, err = a.g.turns.Take(ctx, a.asked.Device, a.asked.Target)
	return err
}

// decide lets the store decide. When it returns nil, the decision and the device's counter are on
// disk.
func (a *attempt) decide(ctx context.Context) error {
	a.asked.ClockTrusted, _ = a.g.clock.Trusted(a.asked.At)
	adm, err := a.g.store.Admit(ctx, a.asked)
	if err != nil {
		a.g.metrics.CountUndecided()
		a.g.log.Error("could not decide", "device", string(a.asked.Device), "target", string(a.asked.Target), "err", err)
		return err
	}
	a.g.doors.RestateIfDue(adm.Seq)
	a.last = adm.Last
	a.describe(a.g.store.Snapshot(), adm)
	return nil
}

// describe puts the decision into the timeline.
func (a *attempt) describe(p *access.Policy, adm store.Admission) {
	a.timeline.Decided, a.timeline.Durable, a.timeline.Seq, a.timeline.Decision = adm.Decided, adm.Durable, adm.Seq, adm.Decision
	a.timeline.Repeated, a.timeline.Outcome = adm.Duplicate, adm.Outcome
	a.timeline.Device, a.timeline.Target = p.Devices[a.asked.Device].Name, p.Targets[a.asked.Target].Name
	if a.asked.Device == "" {
		a.timeline.Device = a.asked.Operator
	}
}

// command lets the actuator move the target. It sends nothing later than coapres.CommandWindow
// after the message that caused the attempt was read, however long the disk took.
func (a *attempt) command() {
	policy := a.g.store.Snapshot()
	actuator, ok := policy.Actuator(a.asked.Target)
	a.timeline.Outcome = audit.OutcomeOffline
	if !ok {
		return
	}
	a.actuator = actuator
	sent, cmd := time.Now(), a.commandFor(policy)
	ctx := a.g.deadlines.Begin(cmd.Deadline())
	defer ctx.Release()
	r, err := a.g.sessions.Command(ctx, actuator.ID, cmd)
	a.timeline.Outcome = session.OutcomeOf(err)
	if err != nil {
		a.detail = session.ExplainFailure(err)
		a.g.log.Warn("not acknowledged", "device", actuator.Name, "target", a.timeline.Target, "event", a.timeline.Seq, "err", err)
	}
	switch a.timeline.Outcome {
	case audit.OutcomeDone:
		a.timeline.Commanded, a.timeline.Acknowledged = sent, time.Now()
		if r.State.On {
			a.timeline.Holds = time.Duration(r.State.Left) * time.Millisecond
		}
		a.g.doors.ExpectEnd(actuator.ID)
	case audit.OutcomeUnknown, audit.OutcomeRefused:
		a.timeline.Commanded = sent
		a.g.doors.Refresh(actuator.ID)
	case audit.OutcomeLate: // not sent
		a.g.doors.Refresh(actuator.ID)
	case audit.OutcomeOffline: // not sent, and no lock to ask
	}
}

// commandFor turns the action into a command. Its id is the number of the decision's event, so it
// is durable and grows.
func (a *attempt) commandFor(p *access.Policy) coapres.Command {
	c := coapres.Command{Command: wire.Command{ID: a.timeline.Seq, Action: a.asked.Action}, Intent: a.asked.At}
	if p.Site.Epoch > 1 {
		c.Epoch = uint32(p.Site.Epoch)
	}
	switch a.asked.Action {
	case wire.Unlock:
		c.Duration = uint32(a.g.sessions.LimitPulse(a.actuator.ID, p.Targets[a.asked.Target].Pulse) / time.Millisecond)
	case wire.Level:
		c.Level = a.asked.Level
	case wire.Toggle:
		c.Action = wire.On
		if v, ok := a.g.sessions.View(a.actuator.ID, time.Now()); ok && v.Known && v.State.On {
			c.Action = wire.Off
		}
	}
	return c
}

// observe passes the timeline to metrics, log and Config.Timeline.
func (a *attempt) observe(ctx context.Context) {
	a.g.metrics.Observe(a.timeline)
	a.g.latency.Observe(a.timeline)
	asker := "device"
	if a.asked.Device == "" {
		asker = "actor"
	}
	a.g.log.LogAttrs(ctx, slog.LevelInfo, "decided", slog.String(asker, a.timeline.Device),
		slog.String("target", a.timeline.Target), slog.String("reason", string(a.timeline.Decision.Reason)),
		slog.Uint64("counter", a.asked.Counter), slog.Uint64("event", a.timeline.Seq),
		slog.String("outcome", string(a.timeline.Outcome)), slog.Bool("repeated", a.timeline.Repeated))
	if a.g.cfg.Timeline != nil {
		a.g.cfg.Timeline(a.timeline)
	}
}

// recordOutcome writes the outcome of the command. The turn ends when that record is queued: the
// next attempt is decided after it, sees it, and may share its commit.
func (a *attempt) recordOutcome(ctx context.Context) {
	outcome := audit.Event{Kind: audit.EventReceipt, Cause: a.timeline.Seq, Outcome: a.timeline.Outcome, Detail: a.detail,
		Action: a.asked.Action, Level: a.asked.Level, Device: audit.Named{ID: a.actuator.ID, Name: a.actuator.Name},
		Target: audit.Named{ID: a.asked.Target, Name: a.timeline.Target}}
	if _, err := a.g.store.RecordQueued(ctx, outcome, a.turn.End); err != nil {
		// The target has moved, or not, even without the record.
		a.g.log.Error("outcome not kept", "target", string(a.asked.Target), "event", a.timeline.Seq, "err", err)
	}
}

// verdict returns the verdict for the reader.
func (a *attempt) verdict() wire.Verdict {
	v := wire.Verdict{Last: a.last}
	switch {
	case !a.timeline.Decision.Granted: // denied, which is the zero verdict
	case a.timeline.Outcome == audit.OutcomeDone:
		v.Verdict = wire.Granted
	default:
		v.Verdict = wire.Retry
	}
	return v
}
