package learn

import (
	"context"
	"errors"
	"testing"
	"testing/synctest"

	"latchkey/gateway/access"
)

func TestOneLearnerAtAReader(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var d Desk
		first := make(chan Card, 1)
		go func() {
			c, err := d.Wait(t.Context(), "front")
			if err != nil {
				t.Error(err)
			}
			first <- c
		}()
		synctest.Wait()
		if _, err := d.Wait(t.Context(), "front"); !errors.Is(err, access.ErrConflict) {
			t.Errorf("a second learner at the same reader: got %v, want ErrConflict", err)
		}
		gone, cancel := context.WithCancel(t.Context())
		cancel()
		if _, err := d.Wait(gone, "back"); !errors.Is(err, context.Canceled) {
			t.Errorf("a learner at another reader: got %v, want it to wait until its context ends", err)
		}
		if d.Offer("back", Card{access.CredentialID{1}, "0001"}) {
			t.Error("a card was accepted at a reader where nobody waits any more")
		}
		if !d.Offer("front", Card{access.CredentialID{1}, "0001"}) {
			t.Error("the card was not accepted")
		}
		if c := <-first; c.ID != (access.CredentialID{1}) || c.Tail != "0001" {
			t.Errorf("got %+v, want the card", c)
		}
		if d.Offer("front", Card{access.CredentialID{2}, "0002"}) {
			t.Error("a second card was accepted")
		}
	})
}
