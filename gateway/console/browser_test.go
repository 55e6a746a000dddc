package console_test

import (
	"context"
	"strings"
	"testing"
	"time"

	"latchkey/coapres/wire"
	"latchkey/gateway/admin/api"
	"latchkey/gateway/console/webtest"
)

// here makes the test's own address a local network.
const here = "127.0.0.0/8"

func TestFirstRun(t *testing.T) {
	h := newEmptyHouse(t)
	var code api.SetupCode
	h.must("POST", "/v1/setup/code", "", &code)
	p := h.openPage(webtest.Options{})
	p.Open("/")
	p.See("Nobody can sign in yet")
	p.Fill("Set-up code", "aaaa-bbbb-cccc-dddd")
	p.Fill("Name", "ada")
	p.Fill("Password", password)
	p.Fill("The same password again", password)
	p.Expect("422")
	p.Click("Make the account")
	p.See("set-up code is wrong")
	if got := p.Value("Name"); got != "ada" {
		t.Errorf("after a wrong code the name is %q, want ada", got)
	}
	p.Fill("Set-up code", code.Code)
	p.Fill("Password", password)
	p.Fill("The same password again", password)
	p.Click("Make the account")
	p.See("No doors yet")
	p.Click("Admins")
	p.See("ada")
}

func TestWrongPasswordsHaveToWait(t *testing.T) {
	h := newHouse(t)
	p := h.openPage(webtest.Options{})
	p.Open("/")
	for range 10 {
		p.Fill("Name", "owner")
		p.Fill("Password", "wrong wrong wrong")
		p.Expect("422")
		p.Click("Sign in")
		p.See("The name or the password is wrong")
	}
	p.Fill("Name", "owner")
	p.Fill("Password", password)
	p.Expect("429")
	p.Click("Sign in")
	p.See("Too many wrong tries. Wait 15 minutes")
}

func TestLampIsSwitched(t *testing.T) {
	for name, opts := range map[string]webtest.Options{"desk": {}, "phone": {Width: 390, Height: 844,
		Phone: true}, "without scripts": {NoScript: true}} {
		t.Run(name, func(t *testing.T) {
			h := newHouse(t)
			p := h.openSignedIn("owner", opts)
			p.In("hall").Click("On")
			h.eventually("the lamp is on", func() bool { return h.lamp.State().On })
			p.See("hall is switched on")
			p.In("hall").See("on")
			p.In("hall").Fill("Level", "40")
			p.In("hall").Click("Set")
			h.eventually("the lamp is at 40 %", func() bool { return h.lamp.State().Level == 40 })
			p.See("on, 40 %")
			p.In("hall").Click("Off")
			h.eventually("the lamp is off", func() bool { return !h.lamp.State().On })
			p.See("hall is switched off")
		})
	}
}

// While a mouse button is down, the page does not change. It shows what happened elsewhere when the
// button is up.
func TestNothingMovesUnderTheMouse(t *testing.T) {
	h := newHouse(t)
	p := h.openSignedIn("owner", webtest.Options{})
	release := p.In("hall").Hold("On")
	asked := len(p.Requests())
	h.must("POST", "/v1/operate", `{"target":"hall","action":"level","level":40}`, nil)
	h.eventually("the page has asked again", func() bool { return len(p.Requests()) > asked })
	h.eventually("the lamp is at 40 %", func() bool { return h.lamp.State().Level == 40 })
	time.Sleep(time.Second) // the page would be drawn in this time
	if got := p.In("hall").Text(); !strings.HasPrefix(got, "hall off ") {
		t.Errorf("under the mouse the card became %q, want the lamp off as before", got)
	}
	h.must("POST", "/v1/operate", `{"target":"hall","action":"off"}`, nil)
	h.eventually("the lamp is off", func() bool { return !h.lamp.State().On })
	release()
	h.eventually("the lamp is on", func() bool { return h.lamp.State().On })
	p.See("hall is switched on")
}

func TestDoorIsUnlockedAndTheEventArrivesLive(t *testing.T) {
	h := newHouse(t, here)
	log := h.openSignedIn("owner", webtest.Options{})
	log.Click("Events")
	log.See("● live")
	p := h.openSignedIn("owner", webtest.Options{})
	p.In("front-door").Click("Unlock 2s")
	h.eventually("the lock has let go", func() bool { return h.lock.State().On })
	p.See("front-door is unlocked")
	log.See("granted by owner@console unlock front-door")
	p.In("front-door").See("locked") // the pulse ends by itself
	h.eventually("the pulse is over", func() bool { return !h.lock.State().On })
}

func TestCardIsLearned(t *testing.T) {
	h := newHouse(t, here)
	p := h.openSignedIn("owner", webtest.Options{})
	p.Click("People")
	p.Fill("Name", "bob")
	p.Click("Add")
	p.See("bob is here now")
	scanned := make(chan error, 1)
	go func() {
		ctx, cancel := context.WithTimeout(context.Background(), 20*time.Second)
		defer cancel()
		var err error
		for ctx.Err() == nil { // until the page waits for a card, this one is only an unknown card
			if _, err = h.door.Scan(ctx, []byte{4, 5, 6, 7, 8, 9, 0xbe}); err != nil {
				break
			}
			var cards struct{ Items []api.Card }
			h.must("GET", "/v1/cards?person=bob", "", &cards)
			if len(cards.Items) == 1 {
				break
			}
			select {
			case <-time.After(200 * time.Millisecond):
			case <-ctx.Done():
			}
		}
		scanned <- err
	}()
	p.Click("Learn a card")
	p.See("Card …09be is bob's now")
	if err := <-scanned; err != nil {
		t.Fatal(err)
	}
}

func TestDenialIsExplained(t *testing.T) {
	h := newHouse(t)
	h.must("POST", "/v1/persons", `{"name":"eve"}`, nil)
	h.must("POST", "/v1/cards", `{"person":"eve","uid":"0102030e"}`, nil)
	p := h.openSignedIn("owner", webtest.Options{})
	if v, err := h.door.Scan(t.Context(), []byte{1, 2, 3, 0x0e}); err != nil || v.Verdict != wire.Denied {
		t.Fatalf("got %v, %v, want denied", v, err)
	}
	p.Click("Events")
	p.See("denied (no-grant) eve")
	p.Click("Why")
	p.Select("Who", "eve")
	p.Select("Where", "front-door")
	p.Click("Explain")
	p.See("Denied: no-grant")
	p.Select("Who", "ann")
	p.Click("Explain")
	p.See("Granted")
}

func TestDeviceIsProvisionedOnceAndRevoked(t *testing.T) {
	h := newHouse(t, here)
	p := h.openSignedIn("owner", webtest.Options{})
	p.Click("Devices")
	part := p.In("#add-device")
	part.Fill("Name", "back-reader")
	part.Select("Kind", "reader")
	part.Select("At", "front-door")
	part.Click("Add, and show its key once")
	p.See("This is shown once")
	p.See("Secret")
	var d api.Device
	h.must("GET", "/v1/devices/back-reader", "", &d)
	p.See(string(d.Keys[0].ID))
	p.Click("I have it")
	p.Open("/devices/front-lock")
	p.Click("Revoke…")
	p.Click("Revoke every key of front-lock")
	p.See("Revoke key")
	h.eventually("its session has ended", func() bool {
		h.must("GET", "/v1/devices/front-lock", "", &d)
		return d.Keys[0].State == "revoked" && d.Live != nil && !d.Live.Online
	})
}

func TestViewerOnlyLooks(t *testing.T) {
	h := newHouse(t, here)
	h.addAccount("vic", "viewer")
	p := h.openSignedIn("vic", webtest.Options{})
	for _, text := range []string{"Unlock", "Lockdown…", "Admins"} {
		p.DontSee(text)
	}
	p.Expect("403")
	p.Open("/admins")
	p.See("This needs an owner")
}

func TestEverythingWorksWithoutScripts(t *testing.T) {
	h := newHouse(t, here)
	p := h.openSignedIn("owner", webtest.Options{NoScript: true})
	p.In("front-door").Click("Unlock 2s")
	h.eventually("the lock has let go", func() bool { return h.lock.State().On })
	p.See("front-door is unlocked")
	p.Click("People")
	p.Fill("Name", "bob")
	p.Click("Add")
	p.Click("Add a card by its number…")
	p.Fill("Number (UID)", "0a0b")
	p.Expect("422")
	p.Click("Add the card")
	p.See("4, 7 or 10 bytes")
	if got := p.Value("Number (UID)"); got != "0a0b" {
		t.Errorf("what was typed is %q, want it kept", got)
	}
	p.Fill("Number (UID)", "0a0b0c0d")
	p.Click("Add the card")
	p.See("Card …0c0d is bob's now")
	p.Click("Lost")
	p.See("…0c0d is lost")
	p.Click("Sign out")
	p.See("Sign in")
}

// Every page shows a hostile name as text, and the name has no effect.
func TestHostileNamesAreInert(t *testing.T) {
	h := newHouse(t, here)
	const name = `=cmd|"/c calc"!A1<img src=x onerror=alert(1)>'{{.}}`
	p := h.openSignedIn("owner", webtest.Options{})
	p.Click("People")
	p.Fill("Name", name)
	p.Click("Add")
	p.See(name)
	for _, page := range []string{"People", "Events", "Why"} {
		p.In("Pages").Click(page)
		p.See(name[:20])
	}
	b := h.newBrowser().signIn("owner")
	_, csv := b.do("GET", "/events.csv", "")
	for line := range strings.Lines(csv) {
		for cell := range strings.SplitSeq(line, ",") {
			if cell = strings.Trim(cell, `"`); strings.HasPrefix(cell, "=") || strings.HasPrefix(cell, "+") ||
				strings.HasPrefix(cell, "@") {
				t.Errorf("a cell would be a formula: %s", cell)
			}
		}
	}
	resp, text := b.do("POST", "/people", "name="+strings.Repeat("x", 10_000))
	if resp.StatusCode != 422 || !strings.Contains(text, "want 1 to 64") {
		t.Errorf("a name of 10,000 bytes: got %s, want 422 and the allowed length", resp.Status)
	}
	// more than a form may have, and more than any request may have
	for n, want := range map[int]int{20_000: 400, 70_000: 413} {
		if resp, _ := b.do("POST", "/people", "name="+strings.Repeat("x", n)); resp.StatusCode != want {
			t.Errorf("a form of %d bytes: got %s, want %d", n, resp.Status, want)
		}
	}
}
