package homeassistant

import (
	"context"
	"errors"

	"latchkey/gateway/mqtt"
)

// retained is a message that the broker keeps.
type retained struct {
	topic   string
	payload []byte // empty: nothing is kept
}

// keep makes the broker keep what is wanted; sent is what it keeps. It returns false when the
// connection has ended.
func (b *bridge) keep(ctx context.Context, c *mqtt.Conn, sent map[string]string, want []retained) bool {
	wanted := make(map[string]bool, len(want))
	var changes []retained
	for _, r := range want {
		wanted[r.topic] = true
		if was, is := sent[r.topic]; !is || was != string(r.payload) {
			changes = append(changes, r)
		}
	}
	for topic := range sent {
		if !wanted[topic] {
			changes = append(changes, retained{topic: topic})
		}
	}
	return b.sendAll(ctx, c, sent, changes)
}

// sendAll sends retained messages, and then waits until the broker has taken them.
func (b *bridge) sendAll(ctx context.Context, c *mqtt.Conn, sent map[string]string, changes []retained) bool {
	var waiting []*mqtt.Sent
	ok := true
	for _, r := range changes {
		s := b.send(ctx, c, r, true)
		if s != nil {
			waiting = append(waiting, s)
		}
		if len(r.payload) == 0 {
			delete(sent, r.topic)
		} else {
			sent[r.topic] = string(r.payload)
		}
	}
	for _, s := range waiting {
		ok = b.judge(s.Wait(ctx)) && ok
	}
	return ok && ctx.Err() == nil
}

// send sends a message, without waiting for an answer.
func (b *bridge) send(ctx context.Context, c *mqtt.Conn, r retained, keep bool) *mqtt.Sent {
	s, err := c.Start(ctx, mqtt.Publication{Topic: r.topic, Payload: r.payload, Retained: keep})
	b.judge(err)
	return s
}

// judge shows what the broker refuses, and has it sent again later: somebody may have changed the
// rights there. It returns false if the connection has ended.
func (b *bridge) judge(err error) bool {
	var refusal *mqtt.Refusal
	switch {
	case err == nil:
		return true
	case errors.As(err, &refusal):
		if b.refusal == "" {
			b.refusal = err.Error()
			b.setTrouble(b.refusal)
			b.sendAgain(refusedFor)
		}
		return true
	}
	return false
}

func (b *bridge) setTrouble(what string) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if what != "" && b.trouble == "" {
		b.log.Warn("broker refuses", "err", what)
	}
	b.trouble = what
}
