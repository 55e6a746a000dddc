package e2e

import (
	"testing"
	"time"

	"latchkey/coapres/device"
	"latchkey/gateway/access"
	"latchkey/gateway/admin/api"
	"latchkey/keys"
)

// Home Assistant is shown a lock as it was last heard, and as unknown while it was not.
func TestHomeAssistantIsShownWhatIsKnown(t *testing.T) {
	t.Parallel()
	h := newHome(t)
	relay := newRelay(t, h.addr)
	front := h.addDoor("front-door", relay.Addr())
	front.grant(api.NewGrant{NoCode: true})
	state := func() string { return h.hass.Of(front.id, "state") }

	// A lock that was never heard has no state.
	never := h.addTarget("never", access.Door, time.Second)
	h.enrolDevice("never-lock", keys.KindLock, never)
	h.hass.Await("it is announced, unavailable and unknown", func() bool {
		return len(h.hass.Components(never)) > 0 && h.hass.Of(never, "availability") == "offline" &&
			h.hass.Of(never, "state") == "None"
	})

	// The lock opens, but its answer and all that it says for a while are lost.
	sent := front.command()
	_, released := relay.Hold(device.Up, 5*time.Second)
	h.hass.Send(front.id, sent)
	eventually(t, "the lock opens", 5*time.Second, func() bool { return front.node.Moves() == 1 })
	h.hass.Await("its state is being changed or unknown", func() bool { return state() != "LOCKED" })
	unknown := false
	for held := true; held; {
		got := state()
		select {
		case <-released:
			held = false
		case <-time.After(5 * time.Millisecond):
			select {
			case <-released: // the lock may have been heard meanwhile
				held = false
			default:
				if unknown = unknown || got == "None"; got == "LOCKED" || got == "UNLOCKED" {
					t.Fatalf("the lock is shown as %s, though it was not heard", got)
				}
			}
		}
	}
	if !unknown {
		t.Error("the lock was never shown as unknown")
	}
	h.hass.Await("it is locked, as the lock says", func() bool { return state() == "LOCKED" })

	// The lock is gone, and comes back.
	h.endNode(front.key)
	h.hass.Await("it is unavailable and unknown", func() bool {
		return h.hass.Of(front.id, "availability") == "offline" && state() == "None"
	})
	front.node = h.runNode("front-door-lock", keys.KindLock, front.key, h.addr)
	front.awaitBack("")

	// The gateway is killed, and starts again.
	h.handOverStore()
	h.hass.Await("the gateway is away", func() bool { return !h.hass.Online() })
	p := h.runProcess()
	front.awaitBack("")
	p.kill()
	h.hass.Await("the broker says so", func() bool { return !h.hass.Online() })
	old := h.hass.Echo(front.id)
	p = h.runProcess()
	t.Cleanup(func() { p.stop() })
	front.awaitBack(old)
	front.opens(func() { front.ask() })
}
