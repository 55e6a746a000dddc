//go:build firmware

package e2e

import (
	"slices"
	"testing"
	"time"

	"latchkey/coapres/wire"
	"latchkey/gateway/access"
	"latchkey/gateway/session"
	"latchkey/gateway/store"
	"latchkey/keys"
)

var (
	bobsCard = []byte{0x08, 0x11, 0x22, 0x33} // a UID of four bytes
	carlsID  = []byte{0x04, 1, 2, 3, 4, 5, 6, 7, 8, 9}
)

// A card that is granted, one that is denied, an unknown one and one that was added later, with
// UIDs of all three lengths.
func TestFirmwareOpensTheDoor(t *testing.T) {
	t.Parallel()
	onEachMachine(t, func(t *testing.T, m machine) {
		d := newFirmDoor(t, m, directWay, directWay)
		other := d.addTarget("back-door", access.Door, time.Second)
		d.addPerson("bob", bobsCard, other)
		d.addPerson("carl", carlsID, d.id)

		for _, v := range d.gw.Views() {
			if v.Name == "front-lock" && v.MaxPulse != 10*time.Second {
				t.Errorf("got a longest pulse of %v, want 10s", v.MaxPulse)
			}
		}
		d.reader.wantVerdict(annsCard, wire.Granted)
		if !d.lock.State().On {
			t.Error("granted, and the lock is off")
		}
		eventually(t, "the pulse ends by itself", 3*time.Second, func() bool { return !d.lock.State().On })
		d.reader.wantVerdict(bobsCard, wire.Denied)
		d.reader.wantVerdict([]byte{1, 2, 3, 4}, wire.Denied)
		d.reader.wantVerdict(carlsID, wire.Granted)
		var reasons []access.Reason
		for i, tl := range d.listTimelines() {
			reasons = append(reasons, tl.Decision.Reason)
			if got := d.listEvents(); tl.Seq == 0 || got[tl.Seq-1].Counter != uint64(i+1) {
				t.Errorf("decision %d: got %+v, want the counter %d", i, got[tl.Seq-1], i+1)
			}
		}
		if want := []access.Reason{access.ReasonGranted, access.ReasonNoGrant, access.ReasonUnknownCard,
			access.ReasonGranted}; !slices.Equal(reasons, want) {
			t.Errorf("got %q, want %q", reasons, want)
		}
		d.wantClosed(2)
		if r, l := d.reader.Sessions(), d.lock.Sessions(); r != 1 || l != 1 {
			t.Errorf("got %d sessions of the reader and %d of the lock, want one each", r, l)
		}
	})
}

// A switch toggles its lamp.
func TestFirmwareSwitchesALamp(t *testing.T) {
	t.Parallel()
	onEachMachine(t, func(t *testing.T, m machine) {
		s := newSite(t, store.Options{})
		desk := s.addTarget("desk", access.Lamp, 0)
		buttonID, buttonKey := s.enrolDevice("hall-switch", keys.KindSwitch, desk)
		_, lampKey := s.enrolDevice("desk-lamp", keys.KindLamp, desk)
		s.applyRecords(access.Grant{ID: access.NewID(), SubjectKind: access.SubjectDevice, Subject: buttonID,
			Target: desk, Effect: access.Allow, Created: time.Now()})
		lamp := s.runFirmware(m, "lamp", "desk-lamp", lampKey, s.addr, "")
		button := s.runFirmware(m, "switch", "hall-switch", buttonKey, s.addr, "desk")
		lamp.waitUntilReady()
		button.waitUntilReady()
		eventually(t, "the lamp's state is known", 5*time.Second, func() bool {
			return slices.ContainsFunc(s.gw.Views(),
				func(v session.View) bool { return v.Name == "desk-lamp" && v.Known })
		})
		for _, on := range []bool{true, false} {
			ctx := t.Context()
			if v, err := button.Ask(ctx, "desk", wire.Toggle, 0); err != nil || v.Verdict != wire.Granted {
				t.Fatalf("got %+v, %v, want granted", v, err)
			}
			if got := lamp.State().On; got != on {
				t.Errorf("got the lamp on %v, want %v", got, on)
			}
		}
		lamp.Close()
		if v, err := button.Ask(t.Context(), "desk", wire.Toggle, 0); err != nil || v.Verdict != wire.Retry {
			t.Errorf("without the lamp: got %+v, %v, want retry", v, err)
		}
	})
}

// The exit button opens the door without the gateway, and the lock reports the press. An opening
// after it raises no alarm.
func TestFirmwareDoorContactAndExitButton(t *testing.T) {
	t.Parallel()
	onEachMachine(t, func(t *testing.T, m machine) {
		d := newFirmDoor(t, m, nil, directWay)
		d.lock.Tell("!button 1")
		eventually(t, "the lock is on", time.Second, func() bool { return d.lock.State().On })
		d.lock.Tell("!button 0\n!contact 1")
		eventually(t, "the exit is an event", 5*time.Second,
			func() bool { return slices.Contains(d.listAlarmDetails(), "exit button pressed") })
		contact := func(want wire.Contact) func() bool {
			return func() bool {
				for _, v := range d.gw.Views() {
					if v.Name == "front-lock" {
						return v.State.Contact == want
					}
				}
				return false
			}
		}
		eventually(t, "the open door is known", 5*time.Second, contact(wire.ContactOpen))
		eventually(t, "the lock is off", 5*time.Second, func() bool { return !d.lock.State().On })
		d.lock.Tell("!contact 0\n!tamper 1")
		eventually(t, "the shut door is known", 5*time.Second, contact(wire.ContactClosed))
		eventually(t, "the open case is an event", 5*time.Second,
			func() bool { return slices.Contains(d.listAlarmDetails(), "tampered with") })
		if got := d.listAlarmDetails(); slices.Contains(got, "door opened without being unlocked") {
			t.Errorf("got %q: nobody forced the door", got)
		}
	})
}

func TestFirmwareReportsAForcedDoor(t *testing.T) {
	t.Parallel()
	onEachMachine(t, func(t *testing.T, m machine) {
		d := newFirmDoor(t, m, nil, directWay)
		d.lock.Tell("!contact 1")
		eventually(t, "the forced door is an event", 5*time.Second, func() bool {
			return slices.Contains(d.listAlarmDetails(), "door opened without being unlocked")
		})
	})
}
