package console_test

import (
	"flag"
	"os"
	"path/filepath"
	"testing"

	"latchkey/coapres/wire"
	"latchkey/gateway/console/webtest"
)

var shots = flag.String("screenshots", "", "write a picture of each page to this folder")

// TestPages opens every page on a phone and at a desk, in light and in dark: nothing is wrong in the browser's eyes, or in axe's.
func TestPages(t *testing.T) {
	h := newHouse(t, here)
	for _, r := range [][2]string{
		{"/v1/targets", `{"name":"back-door","kind":"door"}`},
		{"/v1/persons", `{"name":"bob"}`}, {"/v1/persons", `{"name":"Çelik Ümit"}`}, {"/v1/cards", `{"person":"bob","uid":"0102030e"}`},
		{"/v1/groups", `{"name":"staff","members":["ann","bob"]}`}, {"/v1/schedules", `{"name":"weekdays","text":"mon-fri 08:00-18:00, sat 09:00-12:00, 2026-12-25 closed"}`},
		{"/v1/grants", `{"group":"staff","target":"front-door","schedule":"weekdays"}`}, {"/v1/grants", `{"person":"bob","target":"back-door","effect":"deny"}`},
		{"/v1/devices", `{"name":"back-lock","kind":"lock","targets":["back-door"]}`}, {"/v1/devices", `{"name":"wall-switch","kind":"switch","targets":["hall"]}`},
	} {
		h.must("POST", r[0], r[1], nil)
	}
	h.account("vic", "viewer")
	for _, uid := range [][]byte{{0x04, 0xa1, 0xb2, 0xc3, 0xd4, 0xe5, 0x80}, {9, 9, 9, 9}, {1, 2, 3, 0x0e}} {
		if _, err := h.door.Scan(t.Context(), uid); err != nil {
			t.Fatal(err)
		}
	}
	if err := h.door.Report(t.Context(), wire.Report{Measurements: []wire.Measurement{{Name: "rssi", Unit: "dBW", Type: wire.NumberValue, Number: -61},
		{Name: "voltage", Unit: "V", Type: wire.NumberValue, Number: 3.29}}}); err != nil {
		t.Fatal(err)
	}
	pages := map[string]string{"home": "/", "events": "/events", "people": "/people", "person": "/people/bob", "groups": "/groups", "group": "/groups/staff",
		"schedules": "/schedules", "devices": "/devices", "device": "/devices/front-reader", "target": "/targets/front-door",
		"why": "/why?who=person/ann&target=front-door", "health": "/health", "account": "/account", "admins": "/admins"}
	for name, opts := range map[string]webtest.Options{
		"desk-light": {Width: 1280, Height: 800}, "desk-dark": {Width: 1280, Height: 800, Dark: true},
		"phone-light": {Width: 390, Height: 844, Phone: true}, "phone-dark": {Width: 390, Height: 844, Phone: true, Dark: true},
	} {
		p := h.page(opts)
		p.Open("/sign-in")
		h.look(p, "sign-in", name)
		h.signIn(p, "owner")
		for page, path := range pages {
			p.Open(path)
			h.look(p, page, name)
			if size := p.Size(); size > 100_000 {
				t.Errorf("%s has %d bytes, want 100 KB at most", page, size)
			}
			if name == "phone-light" {
				t.Logf("%-10s %6d bytes, first paint after %v", page, p.Size(), p.FirstPaint())
			}
		}
	}
}

// look keeps a picture, if they are asked for, and asks axe.
func (h *house) look(p *webtest.Page, page, name string) {
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
