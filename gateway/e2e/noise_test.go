package e2e

import (
	"context"
	"testing"
	"time"

	"latchkey/coapres/transport"
	"latchkey/gateway/access"
	"latchkey/gateway/audit"
	"latchkey/gateway/store"
	"latchkey/keys"
)

// An attacker who has a key and opens one session after the other cannot fill the disk with events.
func TestSessionEventsAreBounded(t *testing.T) {
	s := newSite(t, store.Options{})
	front := s.addTarget("front", access.Door, time.Second)
	id, key := s.enrolDevice("front-reader", keys.KindReader, front)
	const sessions = 150
	for range sessions {
		ctx, cancel := context.WithCancel(context.Background())
		c, err := transport.Dial(ctx, s.addr, key.ID, key.Secret, nil)
		cancel()
		if err != nil {
			t.Fatal(err)
		}
		<-c.Done()
	}
	s.stop()
	got := 0
	for _, ev := range s.listEvents() {
		if ev.Kind == audit.EventSession && ev.Device.ID == id {
			got++
		}
	}
	if got < 10 || got > 40 {
		t.Errorf("got %d events of %d sessions, want 10 to 40", got, sessions)
	}
}
