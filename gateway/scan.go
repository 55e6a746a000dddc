package gateway

import (
	"encoding/hex"
	"fmt"
	"time"

	"latchkey/coapres"
	"latchkey/coapres/wire"
	"latchkey/gateway/access"
	"latchkey/gateway/learn"
)

// answerWithin is when a device is told that nothing is decided yet. After that no command is sent
// for it. The device itself gives up coapres.ScanWindow after the tap, and then takes the session
// for lost. One second remains for an answer that is lost and retransmitted.
const answerWithin = coapres.ScanWindow - time.Second

// errSlow is the answer to a device whose attempt is not durable in time.
var errSlow = fmt.Errorf("gateway: %w within %v", coapres.ErrUndecided, answerWithin)

// onScan handles a scan, from the reader to the door. It says who wants what; [attempt.run] does
// the rest. A denial is a verdict. An error means that nothing was decided.
func (g *Gateway) onScan(p *coapres.Peer, s wire.Scan, at time.Time) (wire.Verdict, error) {
	if wait := g.unknown.Wait(p.Device, at); wait > 0 {
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
	return g.answerDevice(p, a)
}

// onAct does for a switch what onScan does for a card. The device itself is the subject.
func (g *Gateway) onAct(p *coapres.Peer, target string, act wire.Act, at time.Time) (wire.Verdict, error) {
	t, ok := g.store.Snapshot().TargetByName(target)
	if !ok || !g.mayName(p, t.ID) {
		return wire.Verdict{}, coapres.ErrNotFound
	}
	return g.answerDevice(p, access.Attempt{Source: access.ByDevice, Device: p.Device, Key: p.Key, Target: t.ID,
		Action: act.Action, Level: act.Level, Counter: act.N, At: at})
}

// answerDevice runs the attempt of a device and returns the verdict, or errSlow if that takes too
// long for the device. Then the attempt goes on and is recorded, but a late command is not sent.
func (g *Gateway) answerDevice(p *coapres.Peer, of access.Attempt) (wire.Verdict, error) {
	a := &attempt{g: g, asked: of, peer: p, answered: make(chan struct{})}
	if !g.bg.Go(a.run) {
		a.run()
	}
	late := g.deadlines.Begin(of.At.Add(answerWithin))
	defer late.Release()
	select {
	case <-a.answered:
		return a.verdict(), a.err
	case <-late.Done():
		return wire.Verdict{}, errSlow
	}
}

// operate runs the attempt of an operator. Its outcome is on disk when operate returns.
func (g *Gateway) operate(of access.Attempt) (Timeline, error) {
	a := attempt{g: g, asked: of, answered: make(chan struct{})}
	a.run()
	return a.timeline, a.err
}

// unknownCard offers an unknown card to somebody who waits to learn one at this reader. It also
// slows down a reader with too many unknown cards.
func (g *Gateway) unknownCard(p *coapres.Peer, a access.Attempt, at time.Time) {
	if !g.learners.Offer(a.Device, learn.Card{ID: a.Credential, Tail: a.Tail}) && g.unknown.Note(p.Device, at) {
		g.nodes.NoteThrottled(p)
	}
}

// tail returns the last two bytes of a UID in hex, so that people can tell cards apart.
func tail(uid []byte) string {
	if len(uid) < 2 {
		return ""
	}
	return hex.EncodeToString(uid[len(uid)-2:])
}
