package store

import (
	"context"
	"fmt"
	"time"

	"latchkey/coapres/wire"
	"latchkey/gateway/access"
	"latchkey/gateway/audit"
	"latchkey/gateway/store/record"
)

// maxCounter is the largest scan counter: 2^53−1, which every JSON reader can hold.
const maxCounter = 1<<53 - 1

// Admission is a durable decision. The zero Admission denies.
type Admission struct {
	Decision access.Decision
	Seq      uint64 // of the decision's event; the command's id
	// The device repeated its last attempt: Decision and Seq are the recorded ones, and nothing was
	// written.
	Duplicate bool
	Outcome   audit.Outcome // of the recorded attempt's command, if Duplicate and known
	Last      uint64        // the device's counter now; 0 if the attempt has none
	Decided   time.Time     // when the policy was asked
	Durable   time.Time     // when the decision was on disk
}

// Admit decides an attempt and makes the decision durable before it returns: one event, which moves
// the counter too, in one synced batch. It fills in attempt.Last itself. Errors are ErrNoSpace (it
// would have been granted; nothing was written), ErrFailed, ErrClosed, ErrRefused for an attempt
// that no device can make, and ctx.Err(): then the decision may still become durable, but nobody
// acts on it.
func (s *Store) Admit(ctx context.Context, a access.Attempt) (Admission, error) {
	if err := checkAttempt(&a); err != nil {
		return Admission{}, err
	}
	r := s.newAdmission()
	r.attempt, r.digest = a, [32]byte{}
	if record.MovesCounter(a.Source, a.Device) {
		r.digest = record.DigestAttempt(&a)
	}
	if err := s.submit(ctx, &r.request); err != nil {
		return Admission{}, err // r may still be queued
	}
	adm := r.result
	adm.Durable = r.durable
	r.attempt, r.result = access.Attempt{}, Admission{}
	s.admissions.Put(r)
	return adm, nil
}

// admission is a request of [Store.Admit]. Those that were answered are used again.
type admission struct {
	request
	attempt access.Attempt
	digest  [32]byte
	result  Admission
}

func (s *Store) newAdmission() *admission {
	if r, ok := s.admissions.Get().(*admission); ok {
		return r
	}
	r := &admission{}
	r.run = func(b *batch) (err error) {
		r.result, err = b.admit(&r.attempt, r.digest)
		return err
	}
	return r
}

// checkAttempt refuses an attempt that would make an invalid record: a device without a valid id,
// or a counter above the largest.
func checkAttempt(a *access.Attempt) error {
	if a.Device != "" {
		if _, err := access.ParseID(string(a.Device)); err != nil {
			return fmt.Errorf("store: attempt: %w: %w", ErrRefused, err)
		}
	}
	switch {
	case len(a.Tail) > 4:
		return fmt.Errorf("store: attempt: card is more than the last two bytes: %w", ErrRefused)
	case a.Counter > maxCounter:
		return fmt.Errorf("store: attempt by %s: counter above 2^53-1: %w", a.Device, ErrRefused)
	case (a.Source == access.ByOperator || a.Source == access.ByIntegration) && a.Counter != 0:
		return fmt.Errorf("store: attempt by %s: counter: %w", a.Source, ErrRefused)
	}
	return nil
}

func (b *batch) admit(a *access.Attempt, digest [32]byte) (Admission, error) {
	adm := Admission{Decided: b.w.s.opts.Now()}
	a.Last = 0
	if record.MovesCounter(a.Source, a.Device) {
		if c := b.counters.Find(a.Device); c != nil {
			if c.IsRepeat(a.Counter, digest, adm.Decided) {
				adm.Decision, adm.Seq, adm.Outcome, adm.Last, adm.Duplicate = c.Decision, c.Seq, c.Outcome,
					c.Last, true
				return adm, nil
			}
			a.Last = c.Last
		}
	}
	adm.Decision = access.Decide(b.policy, *a)
	if !b.mayKeep(a.Action, adm.Decision.Granted) {
		return Admission{}, b.w.space.err()
	}
	ev := &b.decision
	*ev = record.Event{Event: b.decisionEvent(a, adm.Decision, adm.Decided), Attempt: digest}
	ev.Waited = adm.Decided.Round(0).Sub(ev.At.Round(0))
	if err := b.appendEvent(ev); err != nil {
		return Admission{}, err
	}
	if adm.Seq = ev.Seq; record.MovesCounter(a.Source, a.Device) {
		adm.Last = b.counters.Last(a.Device)
	}
	return adm, nil
}

// mayKeep tells whether there is space for a decision. Locking a door counts as a restriction.
func (b *batch) mayKeep(action wire.Action, granted bool) bool {
	switch sp := &b.w.space; {
	case sp.none:
		return false
	case granted && action == wire.Lock:
		return true
	case granted:
		return !sp.low
	default:
		return !sp.full
	}
}

// decisionEvent returns the event of a decision, with the present names of all that it refers to.
func (b *batch) decisionEvent(a *access.Attempt, d access.Decision, now time.Time) audit.Event {
	ev := audit.Event{At: a.At, Kind: audit.EventDecision, Source: a.Source, Action: a.Action,
		Level: a.Level, Counter: a.Counter,
		Granted: d.Granted, Reason: d.Reason, Rule: d.Rule, ClockUntrusted: !a.ClockTrusted}
	if ev.At.IsZero() {
		ev.At = now
	}
	if a.Device != "" {
		ev.Device = audit.Named{ID: a.Device, Name: b.policy.Devices[a.Device].Name}
	}
	if a.Target != "" {
		ev.Target = audit.Named{ID: a.Target, Name: b.policy.Targets[a.Target].Name}
	}
	if d.Person != "" {
		ev.Person = audit.Named{ID: d.Person, Name: b.policy.Persons[d.Person].Name}
	}
	switch a.Source {
	case access.ByCard:
		ev.Card = a.Tail
	case access.ByOperator, access.ByIntegration:
		ev.Actor = a.Operator
	}
	return ev
}
