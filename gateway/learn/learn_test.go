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
			t.Errorf("a second at the same reader: got %v, want ErrConflict", err)
		}
		gone, cancel := context.WithCancel(t.Context())
		cancel()
		if _, err := d.Wait(gone, "back"); !errors.Is(err, context.Canceled) {
			t.Errorf("a second at another reader: got %v, want it to wait until its context ends", err)
		}
		if d.Offer("back", Card{access.CredentialID{1}, "0001"}) {
			t.Error("a card at a reader where nobody waits any more was taken")
		}
		if !d.Offer("front", Card{access.CredentialID{1}, "0001"}) {
			t.Error("nobody took the card")
		}
		if c := <-first; c.ID != (access.CredentialID{1}) || c.Tail != "0001" {
			t.Errorf("got %+v, want the card", c)
		}
		if d.Offer("front", Card{access.CredentialID{2}, "0002"}) {
			t.Error("a second card was taken")
		}
	})
}
