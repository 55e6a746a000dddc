package session

import (
	"testing"
	"time"

	"latchkey/coapres/wire"
)

// An actuator whose session goes on from an earlier process is online while its registration lasts,
// but nothing of it is known. It is asked for its state before its first command, and only then.
func TestResumedIsAskedFirst(t *testing.T) {
	s := newSite(t)
	n, p := s.connect(t)
	if until, ok := s.Until(p); !ok || !until.IsZero() {
		t.Errorf("before: registered until %v, %v", until, ok)
	}
	until := time.Now().Add(time.Minute)
	s.Resume(p, until)
	if got, ok := s.Until(p); !ok || !got.Equal(until) {
		t.Errorf("got registered until %v, %v, want %v", got, ok, until)
	}
	if v := s.findView(t); !v.Online || v.Known {
		t.Errorf("got %+v, want it online and its state unknown", v)
	}
	out := s.command(unlock(7), time.Now())
	if cmd := <-n.asked; cmd.ID != 0 {
		t.Errorf("got %+v first, want a reading", cmd)
	}
	n.answer <- wire.State{ID: 6}
	if cmd := <-n.asked; cmd.ID != 7 {
		t.Errorf("got %+v second, want the command", cmd)
	}
	n.answer <- wire.State{ID: 7, On: true, Left: 3000}
	if r := <-out; r.err != nil || !r.State.On {
		t.Errorf("got %+v, want the receipt", r)
	}
	out = s.command(unlock(8), time.Now())
	if cmd := <-n.asked; cmd.ID != 8 {
		t.Errorf("got %+v third, want the second command", cmd)
	}
	n.answer <- wire.State{ID: 8, On: true, Left: 3000}
	if r := <-out; r.err != nil {
		t.Error(r.err)
	}
	if v, _ := s.View(doorID, until.Add(time.Second)); v.Online {
		t.Error("online after its registration has expired")
	}
}
