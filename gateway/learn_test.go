package gateway

import (
	"context"
	"errors"
	"testing"
	"testing/synctest"

	"latchkey/gateway/access"
)

func TestOneLearnerAtAReader(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var l learners
		first := make(chan learned, 1)
		go func() {
			c, err := l.wait(t.Context(), "front")
			if err != nil {
				t.Error(err)
			}
			first <- c
		}()
		synctest.Wait()
		if _, err := l.wait(t.Context(), "front"); !errors.Is(err, access.ErrConflict) {
			t.Errorf("a second at the same reader: got %v, want ErrConflict", err)
		}
		gone, cancel := context.WithCancel(t.Context())
		cancel()
		if _, err := l.wait(gone, "back"); !errors.Is(err, context.Canceled) {
			t.Errorf("a second at another reader: got %v, want it to wait until its context ends", err)
		}
		if l.offer("back", access.CredentialID{1}, "0001") {
			t.Error("a card at a reader where nobody waits any more was taken")
		}
		if !l.offer("front", access.CredentialID{1}, "0001") {
			t.Error("nobody took the card")
		}
		if c := <-first; c.card != (access.CredentialID{1}) || c.tail != "0001" {
			t.Errorf("got %+v, want the card", c)
		}
		if l.offer("front", access.CredentialID{2}, "0002") {
			t.Error("a second card was taken")
		}
	})
}
