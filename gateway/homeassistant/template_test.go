package homeassistant

import (
	"bytes"
	"encoding/json"
	"os/exec"
	"regexp"
	"testing"
	"time"

	"latchkey/coapres/wire"
	"latchkey/gateway/door"
	"latchkey/gateway/doorwatch"
	"latchkey/gateway/session"
)

type rendering struct {
	Template  string         `json:"template"`
	Variables map[string]any `json:"variables"`
}

// render fills in templates with Jinja, which is what Home Assistant uses.
func render(t *testing.T, all []rendering) (out []string) {
	t.Helper()
	in, err := json.Marshal(all)
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command("/usr/bin/python3", "testdata/render.py") // Debian's own, which has Debian's packages
	var errs bytes.Buffer
	cmd.Stdin, cmd.Stderr = bytes.NewReader(in), &errs
	b, err := cmd.Output()
	if err != nil {
		t.Fatalf("%v (Debian: apt-get install python3-jinja2)\n%s", err, errs.String())
	}
	if err := json.Unmarshal(b, &out); err != nil {
		t.Fatal(err)
	}
	return out
}

// What Home Assistant sends by our templates is a command that we read as it was meant.
func TestCommandTemplates(t *testing.T) {
	echo := map[string]any{"echo": goodEcho}
	with := func(more ...any) map[string]any {
		v := map[string]any{"attributes": echo}
		for i := 0; i < len(more); i += 2 {
			v[more[i].(string)] = more[i+1]
		}
		return v
	}
	cases := []struct {
		rule     string
		template string
		vars     map[string]any
		want     *command // nil: refused
	}{
		{"unlock with a code", lockCommand, with("value", "unlock", "code", "123456"),
			&command{action: wire.Unlock, echo: goodEcho, code: "123456"}},
		{"unlock without a code", lockCommand, with("value", "unlock", "code", nil),
			&command{action: wire.Unlock, echo: goodEcho}},
		{"a code that is not defined", lockCommand, with("value", "lock"), &command{action: wire.Lock,
			echo: goodEcho}},
		{"no attributes yet", lockCommand, map[string]any{"attributes": map[string]any{}, "value": "unlock",
			"code": "1"}, &command{action: wire.Unlock, code: "1"}},
		{"a quote in a code", lockCommand, with("value", "unlock", "code", `1","a":"lock`), nil},
		{"a backslash in a code", lockCommand, with("value", "unlock", "code", `1\`), nil},
		{"a newline in a code", lockCommand, with("value", "unlock", "code", "123456\n"), nil},
		{"a quote in the echo", lockCommand,
			map[string]any{"attributes": map[string]any{"echo": `","a":"unlock`}, "value": "lock"}, nil},
		{"a lamp on", lampOn, with("state", true), &command{action: wire.On, echo: goodEcho}},
		{"a lamp off", lampOff, with("state", false), &command{action: wire.Off, echo: goodEcho}},
		{"a lamp that dims, on", lampDim, with("state", true), &command{action: wire.On, echo: goodEcho}},
		{"full", lampDim, with("state", true, "brightness", 255), &command{action: wire.Level, level: 100,
			echo: goodEcho}},
		{"half", lampDim, with("state", true, "brightness", 128), &command{action: wire.Level, level: 50,
			echo: goodEcho}},
		{"a glimmer is not off", lampDim, with("state", true, "brightness", 1), &command{action: wire.Level,
			level: 1, echo: goodEcho}},
		{"a transition is ignored", lampDim, with("state", true, "transition", 2), &command{action: wire.On,
			echo: goodEcho}},
	}
	var all []rendering
	for _, c := range cases {
		all = append(all, rendering{c.template, c.vars})
	}
	for i, out := range render(t, all) {
		c := cases[i]
		got, err := parseCommand([]byte(out))
		if c.want == nil {
			if err == nil {
				t.Errorf("%s: %s is taken", c.rule, out)
			}
			continue
		}
		if off := time.Since(got.at); err == nil && (off < -time.Minute || off > time.Minute) {
			t.Errorf("%s: the time is %v off in %s", c.rule, off, out)
		}
		got.at = time.Time{}
		if err != nil || got != *c.want || len(out) > maxCommand {
			t.Errorf("%s: %s is %+v, %v, want %+v", c.rule, out, got, err, *c.want)
		}
	}
}

// Home Assistant passes on only codes that keep the template's JSON as it is.
func TestCodeFormat(t *testing.T) {
	format := regexp.MustCompile(codeFormat)
	for code, want := range map[string]bool{"123456": true, "123456789012": true, "12345": false,
		"1234567890123": false, "12345\"": false, `12345\`: false, "12345a": false, "": false,
		" 123456": false,
		"１２３４５６":  false} {
		if got := format.MatchString(code); got != want {
			t.Errorf("%q: got %v, want %v", code, got, want)
		}
	}
}

// What we state becomes what Home Assistant calls it.
func TestValueTemplates(t *testing.T) {
	now := time.Now()
	lamp := func(on bool, level uint8) string {
		return string(makeLampState(session.View{Online: true, Known: true, State: wire.State{On: on,
			Level: level}}, true))
	}
	contact := func(c wire.Contact) string {
		return string(makeSensed(session.View{Online: true, Contact: c, ContactAt: now}, true, nil, nil))
	}
	flag := func(on bool) string {
		return string(makeSensed(session.View{}, false,
			[]doorwatch.Reading{{Measurement: wire.Measurement{Name: "tamper",
				Type: wire.FlagValue, Flag: on}}}, []doorwatch.Alarm{{What: door.Forced}}))
	}
	health := string(makeSensed(session.View{}, false, []doorwatch.Reading{
		{Measurement: wire.Measurement{Name: "rssi", Type: wire.NumberValue, Number: -61}},
		{Measurement: wire.Measurement{Name: "supply", Unit: "mV", Type: wire.NumberValue, Number: 3312}}},
		nil))
	unknown := string(makeSensed(session.View{}, false, nil, nil))
	noLamp := string(makeLampState(session.View{}, false))
	cases := []struct{ template, payload, want string }{
		{lampState, lamp(true, 40), "on"},
		{lampState, lamp(false, 0), "off"},
		{lampState, noLamp, "None"},
		{lampBrightness, lamp(true, 100), "255"},
		{lampBrightness, lamp(true, 40), "102"},
		{lampBrightness, lamp(true, 1), "3"},
		{lampBrightness, lamp(false, 40), ""}, // Home Assistant keeps the brightness that it knows
		{lampBrightness, noLamp, ""},
		{lampIsOn, lamp(true, 40), "ON"},
		{lampIsOn, lamp(false, 40), "OFF"},
		{lampIsOn, noLamp, "None"},
		{lockIsOpen, stateLocked, "OFF"},
		{lockIsOpen, stateUnlocked, "ON"},
		{lockIsOpen, stateUnlocking, "None"},
		{lockIsOpen, stateJammed, "None"},
		{lockIsOpen, stateUnknown, "None"},
		{contactIsOpen, contact(wire.ContactOpen), "ON"},
		{contactIsOpen, contact(wire.ContactClosed), "OFF"},
		{contactIsOpen, unknown, "None"},
		{tamperIsOn, flag(true), "ON"},
		{tamperIsOn, flag(false), "OFF"},
		{tamperIsOn, unknown, "None"},
		{alarmIsOn, flag(false), "ON"},
		{alarmIsOn, unknown, "OFF"},
		{rssiValue, health, "-61"},
		{rssiValue, unknown, "None"},
		{voltsValue, health, "3.312"},
		{voltsValue, unknown, "None"},
	}
	var all []rendering
	for _, c := range cases {
		all = append(all, rendering{c.template, map[string]any{"payload": c.payload}})
	}
	for i, got := range render(t, all) {
		if c := cases[i]; got != c.want {
			t.Errorf("%s of %s: got %q, want %q", c.template, c.payload, got, c.want)
		}
	}
}

// Every template in an announcement is one that the tests above have rendered.
func TestAnnouncedTemplatesAreTested(t *testing.T) {
	tested := map[any]bool{lockCommand: true, lampOff: true, lampOn: true, lampDim: true, lampState: true,
		lampBrightness: true, lampIsOn: true, lockIsOpen: true, contactIsOpen: true, tamperIsOn: true,
		alarmIsOn: true, rssiValue: true, voltsValue: true}
	isTemplate := regexp.MustCompile(`template$`)
	for name, payload := range allAnnouncements() {
		root, err := checkAnnouncement(payload)
		if err != nil {
			t.Fatal(err)
		}
		for component, keys := range root["components"].(map[string]any) {
			for key, value := range keys.(map[string]any) {
				if isTemplate.MatchString(key) && !tested[value] {
					t.Errorf("%s: %s has another %s: %v", name, component, key, value)
				}
			}
		}
	}
}
