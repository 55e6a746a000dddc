package console_test

import (
	"flag"
	"os"
	"path/filepath"
	"testing"
	"time"

	"latchkey/coapres/wire"
	"latchkey/gateway/admin/api"
	"latchkey/gateway/console/webtest"
)

var shots = flag.String("screenshots", "", "write a picture of each page to this folder")

// views are the kinds of screens on which the pages are tested.
type views map[string]webtest.Options

// allViews are for pictures and for TestLongPages and TestLongPagesOnTheWay.
var allViews = views{
	"desk-light": {Width: 1280, Height: 800}, "desk-dark": {Width: 1280, Height: 800, Dark: true},
	"phone-light": {Width: 390, Height: 844, Phone: true}, "phone-dark": {Width: 390, Height: 844,
		Phone: true, Dark: true},
}

// chosenViews have each layout once and each set of colours once. Layout and colours do not depend on
// each other: no rule of the style sheet is for both.
func chosenViews() views {
	if *shots != "" {
		return allViews
	}
	return views{"desk-dark": allViews["desk-dark"], "phone-light": allViews["phone-light"]}
}

// TestPages opens every page on a phone and at a desk, once in light and once in dark. Neither the
// browser nor axe may report a problem.
func TestPages(t *testing.T) { showPages(t, chosenViews()) }

func showPages(t *testing.T, in views) {
	t.Helper()
	h := newHouse(t, here)
	today := time.Now().UTC().Format(time.DateOnly)
	for _, r := range [][2]string{
		{"/v1/targets", `{"name":"back-door","kind":"door"}`},
		{"/v1/persons", `{"name":"bob"}`}, {"/v1/persons", `{"name":"Çelik Ümit"}`},
		{"/v1/cards", `{"person":"bob","uid":"0102030e"}`},
		{"/v1/groups", `{"name":"staff","members":["ann","bob"]}`},
		{"/v1/schedules", `{"name":"weekdays","text":"mon-fri 08:00-18:00, sat 09:00-12:00, ` + today +
			` 10:00-14:00, 2031-12-25 closed"}`},
		{"/v1/schedules", `{"name":"nights","text":"mon-thu 22:00-06:00, fri 23:30-24:00"}`},
		{"/v1/grants", `{"group":"staff","target":"front-door","schedule":"weekdays"}`},
		{"/v1/grants", `{"person":"bob","target":"back-door","effect":"deny"}`},
		{"/v1/devices", `{"name":"back-lock","kind":"lock","targets":["back-door"]}`},
		{"/v1/devices", `{"name":"wall-switch","kind":"switch","targets":["hall"]}`},
	} {
		h.must("POST", r[0], r[1], nil)
	}
	h.addAccount("vic", "viewer")
	h.addServers()
	for range 20 { // for the latency plot
		h.must("POST", "/v1/operate", `{"target":"hall","action":"toggle"}`, nil)
	}
	for _, uid := range [][]byte{{0x04, 0xa1, 0xb2, 0xc3, 0xd4, 0xe5, 0x80}, {9, 9, 9, 9}, {1, 2, 3, 0x0e}} {
		if _, err := h.door.Scan(t.Context(), uid); err != nil {
			t.Fatal(err)
		}
	}
	if err := h.door.Report(t.Context(),
		wire.Report{Measurements: []wire.Measurement{{Name: "rssi", Unit: "dBm", Type: wire.NumberValue,
			Number: -61},
			{Name: "voltage", Unit: "mV", Type: wire.NumberValue, Number: 3287}}}); err != nil {
		t.Fatal(err)
	}
	var ann api.Person
	var door api.Target
	h.must("GET", "/v1/persons/ann", "", &ann)
	h.must("GET", "/v1/targets/front-door", "", &door)
	pages := map[string]string{"home": "/", "events": "/events", "people": "/people", "person": "/people/bob",
		"groups": "/groups", "group": "/groups/staff",
		"schedules": "/schedules", "devices": "/devices", "device": "/devices/front-reader",
		"target": "/targets/front-door",
		"why":    "/why?who=person/" + string(ann.ID) + "&target=" + string(door.ID), "health": "/health",
		"sinks": "/sinks", "sink": "/sinks/hooks", "integrations": "/integrations",
		"integration": "/integrations/home", "account": "/account", "admins": "/admins"}
	for name, opts := range in {
		p := h.openPage(opts)
		p.Open("/sign-in")
		h.checkLook(p, "sign-in", name)
		h.signIn(p, "owner")
		for page, path := range pages {
			p.Open(path)
			h.checkLook(p, page, name)
			if size := p.Size(); size > 100_000 {
				t.Errorf("%s has %d bytes, want 100 KB at most", page, size)
			}
			if name == "phone-light" {
				t.Logf("%-10s %6d bytes, first paint after %v", page, p.Size(), p.FirstPaint())
			}
		}
	}
}

// TestPagesOnTheWay does the same with the pages that are shown only once, such as those of set-up
// and sign-in.
func TestPagesOnTheWay(t *testing.T) { showPagesOnTheWay(t, chosenViews()) }

func showPagesOnTheWay(t *testing.T, in views) {
	t.Helper()
	for name, opts := range in {
		t.Run(name, func(t *testing.T) {
			h := newEmptyHouse(t) // loopback is outside
			p := h.openPage(opts)
			var setup api.SetupCode
			h.must("POST", "/v1/setup/code", "", &setup)
			p.Open("/")
			h.checkLook(p, "setup", name)
			p.Fill("Set-up code", setup.Code)
			p.Fill("Name", "owner")
			p.Fill("Password", password)
			p.Fill("The same password again", password)
			p.Click("Make the account")
			p.See("No doors yet")
			h.checkLook(p, "home-empty", name)
			h.must("POST", "/v1/targets", `{"name":"front-door","kind":"door","pulse":"2s"}`, nil)
			p.Open("/devices")
			add := p.In("#add-device")
			add.Fill("Name", "front-reader")
			add.Select("Kind", "reader")
			add.Select("At", "front-door")
			add.Click("Add, and show its key once")
			p.See("This is shown once")
			h.checkLook(p, "bundle", name)
			p.Open("/account")
			p.Click("Make a token…")
			p.Fill("What it is for", "lamps at dusk")
			p.Click("Make the token")
			p.See("This is shown once")
			h.checkLook(p, "token", name)
			p.Open("/account")
			p.Click("Set up one-time codes")
			h.checkLook(p, "totp", name)
			secret := readSecret(p)
			p.Fill("Code", makeCode(t, secret, 0))
			p.Click("Use these codes")
			p.See("From now on you are asked for a code")
			p.Click("Sign out")
			p.Fill("Name", "owner")
			p.Fill("Password", password)
			p.Click("Sign in")
			p.See("Second step")
			h.checkLook(p, "second", name)
			p.Fill("Code from your authenticator app", makeCode(t, secret, 1))
			p.Click("Sign in")
			p.See("Doors")
			h.addAccount("al", "admin")
			later, set := h.withClock()
			again := later.openPage(opts)
			later.signIn(again, "al")
			set(time.Hour)
			again.Open("/people")
			again.Fill("Name", "ann")
			again.Click("Add")
			again.See("Before this is done")
			h.checkLook(again, "step", name)
			p.Expect("404")
			p.Open("/people/nobody")
			h.checkLook(p, "problem", name)
		})
	}
}

// checkLook checks a page with axe, and writes a picture of it if -screenshots is set.
func (h *house) checkLook(p *webtest.Page, page, name string) {
	h.t.Helper()
	if *shots != "" {
		dir := filepath.Join(*shots, page)
		if err := os.MkdirAll(dir, 0o755); err != nil {
			h.t.Fatal(err)
		}
		p.Screenshot(filepath.Join(dir, name+".png"))
	}
	for _, v := range p.Axe() {
		h.t.Errorf("%s, %s: %v", page, name, v)
	}
}
