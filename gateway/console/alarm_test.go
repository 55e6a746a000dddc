package console_test

import (
	"context"
	"fmt"
	"strings"
	"testing"
	"time"

	"latchkey/coapres/wire"
	"latchkey/gateway/admin/api"
	"latchkey/gateway/console/webtest"
)

// moveContact opens or closes the door's contact. The lock reports it.
func (h *house) moveContact(open bool) {
	h.t.Helper()
	h.lock.SetContact(map[bool]wire.Contact{true: wire.ContactOpen, false: wire.ContactClosed}[open])
	ctx, cancel := context.WithTimeout(h.t.Context(), 10*time.Second)
	defer cancel()
	m := wire.Measurement{Name: "contact", Type: wire.FlagValue, Flag: open}
	if err := h.lock.Report(ctx, wire.Report{Measurements: []wire.Measurement{m}}); err != nil {
		h.t.Fatal(err)
	}
}

// forceDoor opens the door without unlocking it, and returns the alarm.
func (h *house) forceDoor() (a api.Alarm) {
	h.t.Helper()
	h.moveContact(false)
	h.moveContact(true)
	h.eventually("the alarm is recorded", func() bool {
		var all struct{ Items []api.Alarm }
		h.must("GET", "/v1/alarms", "", &all)
		if len(all.Items) == 1 {
			a = all.Items[0]
		}
		return a.Seq > 0
	})
	return a
}

// A forced door turns red on every open page without a reload, and stays red until somebody
// acknowledges the alarm.
func TestForcedDoorIsRedUntilAcknowledged(t *testing.T) {
	for name, opts := range map[string]webtest.Options{"desk": {}, "phone": {Width: 390, Height: 844,
		Phone: true, Dark: true}, "without scripts": {NoScript: true}} {
		t.Run(name, func(t *testing.T) {
			h := newHouse(t, here)
			p := h.openSignedIn("owner", opts)
			p.In("front-door").See("locked")
			a := h.forceDoor()
			if opts.NoScript {
				p.Open("/")
			}
			door := p.In("front-door")
			door.See("opened without being unlocked")
			door.See("now open")
			h.moveContact(false)
			if opts.NoScript {
				p.Open("/")
			}
			door.See("now locked")
			p.In(`#t-` + string(a.Target.ID) + `[data-tone="bad"]`).See("opened without being unlocked")
			if !opts.NoScript { // axe is a script
				h.checkLook(p, "home-alarm", name)
			}
			p.Open("/targets/front-door")
			p.See("opened without being unlocked; now locked")
			p.Open("/events?target=front-door")
			p.See("front-door: door opened without being unlocked")
			p.Open("/health")
			p.See("front-door: opened without being unlocked, on")
			p.Fill("What it was", "the postman pushed")
			p.Click("Acknowledge")
			p.See("You have acknowledged the alarm: front-door opened without being unlocked")
			p.In("front-door").See("locked")
			p.In("front-door").DontSee("opened without being unlocked")
			p.In("Pages").Click("Events")
			p.See(fmt.Sprintf("front-door: forced by owner@console, alarm of event %d the postman pushed",
				a.Seq))
		})
	}
}

// An operator can acknowledge an alarm. A viewer sees it but cannot acknowledge it, and neither can
// a script without the scope doors.
func TestWhoMayAcknowledge(t *testing.T) {
	h := newHouse(t, here)
	h.addAccount("vic", "viewer")
	h.addAccount("otto", "operator")
	a := h.forceDoor()
	path := fmt.Sprintf("/alarms/%d/acknowledge", a.Seq)
	viewer := h.newBrowser().signIn("vic")
	if _, text := viewer.do("GET", "/", ""); !strings.Contains(text, "opened without being unlocked") ||
		strings.Contains(text, path) {
		t.Error("a viewer does not see the alarm, or sees a way to acknowledge it")
	}
	if resp, _ := viewer.do("POST", path, ""); resp.StatusCode != 403 {
		t.Errorf("a viewer: got %s, want 403", resp.Status)
	}
	script := h.newBrowser()
	for scope, want := range map[string]int{"read": 403, "lamps": 403, "doors": 200} {
		var minted api.MintedToken
		h.must("POST", "/v1/accounts/otto/tokens", `{"label":"`+scope+`","scopes":["`+scope+`"]}`, &minted)
		script.header.Set("Authorization", "Bearer "+minted.Text)
		script.header.Set("Content-Type", "application/json")
		if resp, text := script.do("POST", "/api/v1"+path, "{}"); resp.StatusCode != want {
			if scope == "doors" {
				t.Errorf("scope %s: got %s %s, want %d", scope, resp.Status, text, want)
			} else if resp.StatusCode != want {
				t.Errorf("scope %s: got %s, want %d", scope, resp.Status, want)
			}
		}
		if scope == "doors" {
			a = h.forceDoor()
			path = fmt.Sprintf("/alarms/%d/acknowledge", a.Seq)
		}
	}
	if resp, text := h.newBrowser().signIn("otto").do("POST", path, "remark=wind"); resp.StatusCode != 303 {
		t.Errorf("an operator: got %s %s, want 303", resp.Status, text)
	}
}

// The page says "locked" soon after the end of the pulse, although nothing else happens that would
// make it load again.
func TestLockedIsShownSoonAfterThePulse(t *testing.T) {
	h := newHouse(t, here)
	p := h.openSignedIn("owner", webtest.Options{})
	p.See("● live")
	h.must("POST", "/v1/operate", `{"target":"front-door","action":"unlock"}`, nil)
	p.In("front-door").See("unlocked")
	h.eventually("the pulse is over", func() bool { return !h.lock.State().On })
	began := time.Now()
	p.In("front-door").See("locked")
	took := time.Since(began)
	t.Logf("shown %v after the end of the pulse", took.Round(time.Millisecond))
	if took > 10*time.Second { // the page loads again every 15 s in any case
		t.Errorf("shown only %v after the end of the pulse", took)
	}
}
