package homeassistant_test

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"
	"time"

	"latchkey/coapres/wire"
	"latchkey/gateway/access"
	"latchkey/gateway/audit"
	"latchkey/gateway/endpoint/badnet"
	"latchkey/gateway/endpoint/testca"
	"latchkey/gateway/homeassistant/hatest"
	"latchkey/gateway/mqtt/mosquitto"
	"latchkey/keys"
)

// What Home Assistant sees of a house, and how it follows the policy.
func TestTheHouseIsSeen(t *testing.T) {
	s, h := begin(t)
	for target, want := range map[access.ID][]string{
		s.front: {"activity", "alarm", "bolt", "contact", "rssi", "tamper", "volts"},
		s.porch: {"activity", "alarm", "glow", "rssi", "tamper", "volts"},
	} {
		if got := slices.Sorted(maps.Keys(h.Components(target))); !slices.Equal(got, want) {
			t.Errorf("got %v, want %v", got, want)
		}
		if got := h.Of(target, "availability"); got != "online" {
			t.Errorf("got %q, want online", got)
		}
	}
	if got := h.Of(s.front, "state"); got != "LOCKED" {
		t.Errorf("the door is %s", got)
	}
	s.grant(s.front, keys.Hidden{}, wire.Unlock, wire.Lock)
	s.grant(s.porch, keys.Hidden{})
	h.Await("the door is a lock", func() bool { return h.Components(s.front)["lock"] == "lock" })
	h.Await("the lamp is a light", func() bool { return h.Components(s.porch)["light"] == "light" })
	if c := h.Components(s.front); c["bolt"] != "" {
		t.Errorf("the sensor is still there: %v", c)
	}

	p, _ := s.sessions.Peer(s.devices[s.front])
	s.sessions.Left(p)
	h.Await("the lock is offline", func() bool {
		return h.Of(s.front, "availability") == "offline" && h.Of(s.front, "state") == "None"
	})
	s.sessions.Registered(p, time.Hour, time.Now())
	if _, err := s.sessions.Refresh(t.Context(), p); err != nil {
		t.Fatal(err)
	}
	h.Await("the lock is back", func() bool {
		return h.Of(s.front, "availability") == "online" && h.Of(s.front, "state") == "LOCKED"
	})
	s.sessions.Sensed(p, wire.ContactOpen)
	h.Await("the door is open", func() bool {
		return strings.Contains(h.Of(s.front, "sensed"), `"contact":"open"`) && h.Of(s.front,
			"state") == "UNLOCKED"
	})

	s.remove(access.Device{ID: s.devices[s.back]})
	s.remove(access.Target{ID: s.back})
	h.Await("the door is gone", func() bool {
		return len(h.Announcements()) == 2 && h.Of(s.back, "state") == "" && h.Of(s.back, "attr") == ""
	})
	s.stop()
	h.Await("the site is offline", func() bool { return !h.Online() })
}

// A door that was removed while the gateway was away is found by its announcement.
func TestStaleAnnouncementsAreRemoved(t *testing.T) {
	s, h := begin(t)
	s.stop()
	s.remove(access.Device{ID: s.devices[s.back]})
	s.remove(access.Target{ID: s.back})
	other := "homeassistant/device/lk_0000000000_" + string(s.back) + "/config"
	h.Await("it is announced", func() bool { return len(h.Announcements()) == 3 })
	if said := s.broker.Publish("latchkey", other, `{"dev":{}}`, "-r"); strings.Contains(said, "rror") {
		t.Fatal(said)
	}
	s.start()
	h.Await("it is no longer announced", func() bool {
		return h.Of(s.back, "state") == "" && !slices.Contains(h.Announcements(), "homeassistant/device/lk_"+
			string(s.store.SiteID())+"_"+string(s.back)+"/config")
	})
	if h.Kept(other) == "" {
		t.Error("the announcement of another site is gone")
	}
}

// When an integration is removed, nothing of it stays at the broker.
func TestARemovedIntegrationLeavesNothing(t *testing.T) {
	s, h := begin(t)
	s.apply(access.Change{Delete: access.Integration{ID: s.home}})
	h.Await("nothing is announced", func() bool {
		return len(h.Announcements()) == 0 && h.Of(s.front,
			"state") == ""
	})
	if st := s.engine.Status(); len(st) != 0 {
		t.Errorf("got %+v", st)
	}
}

// An integration that is moved to other topics leaves the old ones empty.
func TestAnIntegrationIsMoved(t *testing.T) {
	s, h := beginWith(t, mosquitto.Options{ACL: "user latchkey\ntopic readwrite house/#\n"})
	r := s.store.Snapshot().Integrations[s.home]
	r.Base = "house"
	s.put(r)
	config := "homeassistant/device/lk_" + string(s.store.SiteID()) + "_" + string(s.front) + "/config"
	h.Await("it is announced with the new topics", func() bool {
		return strings.Contains(h.Kept(config), `"house/`) && h.Of(s.front, "state") == ""
	})
	r.Name = "another-name"
	s.put(r)
	h.Await("a new name", func() bool { return s.engine.Status()[0].Name == "another-name" })
}

// Another password or certificate leaves what the broker keeps as it is: Home Assistant drops a
// device whose announcement is emptied, with what people have set up for it.
func TestAnotherPasswordEmptiesNothing(t *testing.T) {
	s, h := begin(t)
	seen := s.broker.Subscribe("homeassistant", "%t %p", "homeassistant/device/+/config",
		"latchkey/"+string(s.store.SiteID())+"/status")
	r := s.store.Snapshot().Integrations[s.home]
	r.Endpoint.CA = testca.New(t).PEM
	s.put(r)
	for offline := false; ; {
		switch said := seen.Next(); {
		case strings.HasSuffix(said, "/status offline"):
			offline = true
		case strings.HasSuffix(said, "/status online") && offline:
			if len(h.Announcements()) != 3 {
				t.Errorf("got %d announcements, want 3", len(h.Announcements()))
			}
			return
		case strings.HasSuffix(said, "/config "):
			t.Fatalf("%s is emptied", said)
		}
	}
}

// Home Assistant gets everything again after its start, and after a start of the broker.
func TestAllIsSentAgain(t *testing.T) {
	s, h := begin(t)
	before := h.Messages()
	h.Start()
	h.Await("all is sent again", func() bool { return h.Messages() >= before+16 })
	old := h.Echo(s.front)
	s.broker.Restart()
	again := hatest.Connect(t, s.broker.Endpoint("homeassistant"), s.store.SiteID())
	again.Await("the site is online", func() bool {
		return again.Online() &&
			len(again.Announcements()) == 3
	})
	if again.Echo(s.front) == old {
		t.Error("the echo is that of the connection before")
	}
}

func TestALampIsSwitched(t *testing.T) {
	s, h := begin(t)
	s.grant(s.porch, keys.Hidden{})
	sent := h.Ask(s.porch, "on")
	h.Await("it is on", func() bool { return h.Of(s.porch, "state") == `{"state":"ON","brightness":100}` })
	h.AwaitNewEcho(s.porch, echoOf(sent))
	sent = h.Ask(s.porch, "level", `"l":40`)
	h.Await("it is dimmed", func() bool { return h.Of(s.porch, "state") == `{"state":"ON","brightness":40}` })
	h.AwaitNewEcho(s.porch, echoOf(sent))
	h.Ask(s.porch, "off")
	h.Await("it is off", func() bool { return h.Of(s.porch, "state") == `{"state":"OFF","brightness":null}` })
	h.Await("it is told", func() bool {
		return slices.Contains(h.Events(s.porch),
			`{"event_type":"granted","reason":"granted","source":"integration"}`)
	})
}

// echoOf returns the echo in a command.
func echoOf(command string) string {
	_, rest, _ := strings.Cut(command, `"e":"`)
	echo, _, _ := strings.Cut(rest, `"`)
	return echo
}

// A door opens with a grant, and with the code that the grant asks for, and in no other way.
func TestADoorNeedsAGrantAndItsCode(t *testing.T) {
	s, h := begin(t)
	h.Await("an echo", func() bool { return h.Echo(s.front) != "" })
	step := func(code string, want access.Reason) {
		t.Helper()
		decided := len(s.decisions())
		var more []string
		if code != "" {
			more = append(more, hatest.Code(code))
		}
		sent := h.Ask(s.front, "unlock", more...)
		h.Await("it is decided", func() bool { return len(s.decisions()) > decided })
		if got := s.decisions()[decided]; got != want {
			t.Errorf("code %q: got %s, want %s", code, got, want)
		}
		h.AwaitNewEcho(s.front, echoOf(sent))
	}
	step("", access.ReasonNoGrant)
	step(rightCode, access.ReasonNoGrant)
	g := s.grant(s.front, codeHash, wire.Unlock)
	h.Await("it is a lock", func() bool { return h.Components(s.front)["lock"] == "lock" })
	step("", access.ReasonCodeNeeded)
	step("111111", access.ReasonWrongCode)
	if n := len(s.locks[s.front].obeyed()); n != 0 {
		t.Fatalf("the lock has obeyed %d commands", n)
	}
	step(rightCode, access.ReasonGranted)
	h.Await("it is unlocked", func() bool { return h.Of(s.front, "state") == "UNLOCKED" })
	h.Await("the lock has said that it is locked", func() bool { return h.Of(s.front, "state") == "LOCKED" })
	s.apply(access.Change{Delete: g})
	h.Await("it is no lock", func() bool { return h.Components(s.front)["lock"] == "" })
	step(rightCode, access.ReasonNoGrant)
	if got := s.locks[s.front].obeyed(); !slices.Equal(got, []wire.Action{wire.Unlock}) {
		t.Errorf("the lock has obeyed %v, want one unlock", got)
	}
}

// Only a command that was made now, once, by somebody who is granted it, opens: the rest of the
// table does not, whatever the broker does with it.
func TestAttacks(t *testing.T) {
	s, h := begin(t)
	grant := s.grant(s.front, keys.Hidden{}, wire.Unlock)
	lock := s.locks[s.front]
	opened := 0
	check := func(rule string, opens bool) {
		t.Helper()
		if opens {
			opened++
			h.Await(rule, func() bool { return len(lock.obeyed()) >= opened })
		}
		if got := len(lock.obeyed()); got != opened {
			t.Fatalf("%s: the lock has obeyed %d commands, want %d", rule, got, opened)
		}
	}
	refuse := func(rule, reason string, do func()) {
		t.Helper()
		before := s.refused(reason)
		do()
		h.Await(rule, func() bool { return s.refused(reason) > before })
		check(rule, false)
	}
	set := "latchkey/" + string(s.store.SiteID()) + "/" + string(s.front) + "/set"
	now := func() string {
		h.Await("an echo", func() bool { return h.Echo(s.front) != "" })
		return hatest.Command("unlock", h.Echo(s.front), time.Now())
	}

	sent := h.Ask(s.front, "unlock")
	check("now", true)
	refuse("the same again", "repeated", func() { h.Send(s.front, sent) })
	h.AwaitNewEcho(s.front, echoOf(sent))
	echo := h.Echo(s.front)
	refuse("an old echo", "repeated", func() {
		h.Send(s.front, hatest.Command("unlock", echoOf(sent),
			time.Now()))
	})
	refuse("no echo", "repeated", func() { h.Send(s.front, hatest.Command("unlock", "", time.Now())) })
	if h.Echo(s.front) != echo {
		t.Error("a wrong echo has changed the right one")
	}
	refuse("the echo of another door", "repeated", func() {
		h.Send(s.front, hatest.Command("unlock",
			h.Echo(s.back), time.Now()))
	})
	refuse("plain text", "unknown", func() { h.Send(s.front, "UNLOCK") })
	refuse("an unknown member", "unknown", func() {
		h.Send(s.front, hatest.Command("unlock", echo,
			time.Now(), `"x":1`))
	})
	refuse("oversized", "oversized", func() {
		h.Send(s.front, hatest.Command("unlock", echo, time.Now(), `"c":"`+strings.Repeat("1", 600)+`"`))
	})
	refuse("a door that there is not", "unknown", func() { h.Send("0000000000", now()) })

	// Retained, and then three starts of the gateway.
	refuse("retained", "retained", func() { h.Publish(set, now(), true) })
	for range 3 {
		s.restart()
		h.Await("the gateway is back", func() bool { return h.Online() && s.connected() })
		check("retained, after a start", false)
	}
	h.Publish(set, "", true)

	// A message that waits for us while we are away.
	payload := now()
	s.stop()
	h.Await("the gateway is away", func() bool { return !h.Online() })
	h.Publish(set, payload, false)
	s.start()
	h.Await("the gateway is back", h.Online)
	h.AwaitNewEcho(s.front, echoOf(payload))
	check("sent while the gateway was away", false)

	become := func(rule string, made time.Duration, want string) {
		t.Helper()
		if got := s.ask(h, s.front, made); got != want {
			t.Errorf("%s: got %s, want %s", rule, got, want)
		}
		check(rule, false)
	}
	become("a clock 10 min ahead", 10*time.Minute, "late")
	become("a clock 10 min behind", -10*time.Minute, "late")
	become("made 8 s ago", -8*time.Second, "late")
	site := s.store.Snapshot().Site
	site.Lockdown = true
	s.put(site)
	become("lockdown", 0, "lockdown")
	site.Lockdown = false
	s.put(site)
	r := s.store.Snapshot().Integrations[s.home]
	r.Paused = "by hand"
	s.put(r)
	become("paused", 0, "integration-paused")
	r.Paused = ""
	s.put(r)
	s.apply(access.Change{Delete: grant})
	become("revoked", 0, "no-grant")

	// At most one event for each reason and minute, with nothing of the message in it.
	seen := map[access.Reason]int{}
	for _, ev := range s.events() {
		if ev.Kind == audit.EventIntegration {
			seen[ev.Reason]++
			if ev.Actor != "home" || !strings.HasPrefix(ev.Detail, "command refused: ") ||
				strings.Contains(fmt.Sprint(ev), `"e"`) {
				t.Errorf("got %+v", ev)
			}
		}
	}
	if seen["repeated"] == 0 || seen["repeated"] > 5 { // one for each start of the gateway at most
		t.Errorf("got %v", seen)
	}
}

// A message that is held back between Home Assistant and the broker, with an echo that is still the
// present one. Its expiry at the broker would count from its arrival there.
func TestHeldBackBeforeTheBroker(t *testing.T) {
	s, h := begin(t)
	s.grant(s.front, keys.Hidden{}, wire.Unlock)
	proxy := badnet.Start(t, s.broker.Addr())
	far := hatest.Connect(t, s.broker.EndpointAt(proxy.Addr(), "homeassistant"), s.store.SiteID(), "far")
	payload := hatest.Command("unlock", awaitEcho(h, s.front), time.Now())
	proxy.Freeze()
	done := make(chan struct{})
	go func() {
		defer close(done)
		far.Send(s.front, payload)
	}()
	time.AfterFunc(8*time.Second, proxy.Thaw)
	<-done
	h.Await("it is refused", func() bool { return s.refused("late") == 1 })
	if n := len(s.locks[s.front].obeyed()); n != 0 {
		t.Fatalf("the lock has obeyed %d commands", n)
	}
	h.AwaitNewEcho(s.front, echoOf(payload)) // it is used up
	h.Ask(s.front, "unlock")
	h.Await("a command that is made now opens", func() bool { return len(s.locks[s.front].obeyed()) == 1 })
}

func awaitEcho(h *hatest.Home, target access.ID) string {
	h.Await("an echo", func() bool { return h.Echo(target) != "" })
	return h.Echo(target)
}

// While our clock is not trusted, only the echo's age counts: it changes every 10 s.
func TestUntrustedClock(t *testing.T) {
	s, h := begin(t)
	s.grant(s.front, keys.Hidden{}, wire.Unlock)
	s.set(func() { s.trusted = false })
	first := awaitEcho(h, s.front)
	h.AwaitNewEcho(s.front, first)
	second := h.Echo(s.front)
	h.Send(s.front, hatest.Command("unlock", first, time.Now()))
	h.Await("an old echo is refused", func() bool { return s.refused("repeated") == 1 })
	h.Send(s.front, hatest.Command("unlock", second, time.Now().Add(-time.Hour)))
	h.Await("the sender's clock does not count", func() bool { return len(s.locks[s.front].obeyed()) == 1 })
}

// Wrong codes close the way for a while, and at last pause the integration. A restart does not give
// more tries.
func TestWrongCodes(t *testing.T) {
	s, h := begin(t)
	s.grant(s.front, codeHash, wire.Unlock)
	try := func(target access.ID, code string) {
		t.Helper()
		decided, refused := len(s.decisions()), s.refused("code")
		sent := h.Ask(target, "unlock", hatest.Code(code))
		h.Await("it is decided or refused", func() bool {
			return len(s.decisions()) > decided ||
				s.refused("code") > refused
		})
		h.AwaitNewEcho(target, echoOf(sent))
	}
	for range 3 {
		try(s.front, "000000")
	}
	try(s.front, rightCode)
	if got := s.refused("code"); got != 1 || len(s.locks[s.front].obeyed()) != 0 {
		t.Errorf("%d refused, the lock has obeyed %v: want the right code refused too", got,
			s.locks[s.front].obeyed())
	}
	checks := func() (n int) { s.set(func() { n = s.checks }); return n }
	if got := checks(); got != 3 {
		t.Errorf("%d codes were checked, want 3", got)
	}
	st := s.engine.Status()[0]
	if st.WrongCodes != 3 || st.Shut <= 50*time.Second || st.Shut > time.Minute {
		t.Errorf("got %+v", st)
	}
	old := h.Echo(s.front)
	s.restart()
	h.AwaitNewEcho(s.front, old)
	try(s.front, rightCode)
	if got := checks(); got != 3 {
		t.Errorf("%d codes were checked, want 3: the restart has given more", got)
	}
}

// Two wrong codes and a right one, again and again, never close the way: so the wrong ones of a day
// are counted, too.
func TestTooManyWrongCodesADayPause(t *testing.T) {
	s, h := begin(t)
	side := access.NewID()
	s.put(access.Target{ID: side, Name: "side-door", Kind: access.Door, Pulse: 3 * time.Second,
		Created: time.Now()})
	doors := []access.ID{s.front, s.back, side}
	for _, door := range doors {
		s.grant(door, codeHash, wire.Unlock)
	}
	for i := range 29 {
		code := "000000"
		if i%3 == 2 {
			code = rightCode
		}
		decided, door := len(s.decisions()), doors[i/10]
		sent := h.Ask(door, "unlock", hatest.Code(code))
		h.Await("it is decided", func() bool { return len(s.decisions()) > decided })
		h.AwaitNewEcho(door, echoOf(sent))
	}
	paused := func() string { return s.store.Snapshot().Integrations[s.home].Paused }
	h.Await("it is paused", func() bool { return paused() != "" })
	if st := s.engine.Status()[0]; st.Paused != "20 wrong codes within a day" ||
		!slices.Contains(s.refusals(), "paused") {
		t.Errorf("got %+v, %v", st, s.refusals())
	}
	checks := 0
	s.set(func() { checks = s.checks })
	old := s.home
	s.restart()
	h.Await("the gateway is back", s.connected)
	if st := s.engine.Status()[0]; st.WrongCodes != 0 || s.home != old || checks != 29 {
		t.Errorf("got %+v after %d checks: want the count to begin anew", st, checks)
	}
}

// After a restart, wrong codes count as before it: a right one in between ends the row, and too many
// pause the integration even if the gateway ended before it could do that.
func TestWrongCodesCountAfterARestart(t *testing.T) {
	s, h := begin(t)
	var doors []access.ID
	for i := range 3 {
		door := access.NewID()
		s.put(access.Target{ID: door, Name: fmt.Sprintf("side-door-%d", i), Kind: access.Door,
			Pulse: 3 * time.Second, Created: time.Now()})
		s.grant(door, codeHash, wire.Unlock)
		doors = append(doors, door)
	}
	tried := 0
	try := func(codes ...string) {
		t.Helper()
		for _, code := range codes {
			decided, door := len(s.decisions()), doors[tried/10]
			tried++
			sent := h.Ask(door, "unlock", hatest.Code(code))
			h.Await("it is decided", func() bool { return len(s.decisions()) > decided })
			h.AwaitNewEcho(door, echoOf(sent))
		}
	}
	restart := func() {
		t.Helper()
		old := map[access.ID]string{}
		for _, door := range doors {
			old[door] = h.Echo(door)
		}
		s.restart()
		for _, door := range doors {
			h.AwaitNewEcho(door, old[door])
		}
	}
	const wrong = "000000"
	try(wrong, wrong, rightCode, wrong)
	restart()
	if st := s.engine.Status()[0]; st.WrongCodes != 3 || st.Shut != 0 {
		t.Errorf("got %+v: want the right code to have ended the row", st)
	}
	s.set(func() { s.stuck = true })
	for range 8 {
		try(rightCode, wrong, wrong)
	}
	try(rightCode, wrong)
	paused := func() bool { return s.store.Snapshot().Integrations[s.home].Paused != "" }
	if st := s.engine.Status()[0]; st.WrongCodes != 20 || paused() {
		t.Fatalf("got %+v", st)
	}
	s.set(func() { s.stuck = false })
	s.restart()
	h.Await("it is paused", paused)
}

// Who has the broker sees all and may send all. Where a grant asks for a code, that is worth nothing
// before the code was typed: what they see is used up, and the code they must know. The README says
// what they can do.
func TestForeignClientWithTheBrokersRights(t *testing.T) {
	s, h := begin(t)
	s.grant(s.front, codeHash, wire.Unlock)
	foreign := hatest.Connect(t, s.broker.Endpoint("homeassistant"), s.store.SiteID(), "foreign")
	lock := s.locks[s.front]

	sent := h.Ask(s.front, "unlock", hatest.Code(rightCode))
	h.Await("it opens", func() bool { return len(lock.obeyed()) == 1 })
	foreign.Send(s.front, sent)
	h.Await("the same again is refused", func() bool { return s.refused("repeated") == 1 })
	if got := s.ask(foreign, s.front, 0); got != string(access.ReasonCodeNeeded) || len(lock.obeyed()) != 1 {
		t.Errorf("got %s, and the lock has obeyed %v", got, lock.obeyed())
	}
}

// The access list lets a client of another purpose neither command nor state anything.
func TestAccessListOfTheBroker(t *testing.T) {
	s, h := begin(t)
	site := "latchkey/" + string(s.store.SiteID()) + "/"
	for user, topics := range map[string][]string{
		"lamp": {site + string(s.front) + "/set", site + string(s.front) + "/state",
			site + "status"},
		"homeassistant": {site + string(s.front) + "/state", site + "status",
			site + string(s.front) + "/attr"},
		"latchkey": {"homeassistant/status", "zigbee2mqtt/lamp/set"},
	} {
		for _, topic := range topics {
			if said := s.broker.Publish(user, topic, "x", "-r"); !strings.Contains(said, "Not authorized") {
				t.Errorf("%s may publish to %s: %q", user, topic, said)
			}
		}
	}
	if !h.Online() || h.Of(s.front, "state") != "LOCKED" {
		t.Error("the states have changed")
	}
}

// With certificates the broker knows each client by the name in it.
func TestClientCertificates(t *testing.T) {
	s, h := beginWith(t, mosquitto.Options{TLS: true})
	s.grant(s.porch, keys.Hidden{})
	h.Ask(s.porch, "on")
	h.Await("it is on", func() bool { return h.Of(s.porch, "state") == `{"state":"ON","brightness":100}` })
	set := "latchkey/" + string(s.store.SiteID()) + "/" + string(s.porch) + "/set"
	if said := s.broker.Publish("lamp", set, "x"); !strings.Contains(said, "Not authorized") {
		t.Errorf("a client with another certificate may command: %q", said)
	}
}

// What the broker refuses us is shown, and not asked again and again.
func TestWhatTheBrokerRefusesIsShown(t *testing.T) {
	s, h := begin(t)
	s.broker.SetACL(strings.Replace(hatest.ACL(s.store.SiteID()),
		"topic readwrite latchkey/"+string(s.store.SiteID())+"/#",
		"topic read latchkey/#\ntopic write latchkey/+/status", 1))
	s.broker.Restart()
	h.Await("it is shown", func() bool {
		st := s.engine.Status()
		return len(st) == 1 && strings.Contains(st[0].Trouble, "not authorized")
	})
}

// Rights that somebody gives us later are used without a new connection.
func TestRightsThatComeLater(t *testing.T) {
	s, h := begin(t)
	s.broker.SetACL(strings.Replace(hatest.ACL(s.store.SiteID()), "topic readwrite latchkey",
		"topic read latchkey", 1))
	s.broker.Reload()
	trouble := func() bool { return s.engine.Status()[0].Trouble != "" }
	h.Await("a refusal", func() bool { h.Start(); return trouble() })
	s.broker.SetACL(hatest.ACL(s.store.SiteID()))
	s.broker.Reload()
	h.Await("no refusal", func() bool { return !trouble() })
}

// A flood of refused commands makes one event, which counts.
func TestFloodMakesOneEvent(t *testing.T) {
	s, h := begin(t)
	for range 500 {
		h.Send(s.front, "UNLOCK")
	}
	h.Await("all are refused, or dropped as they came too fast", func() bool {
		return s.refused("unknown")+s.engine.Status()[0].Connection.Dropped == 500
	})
	h.Await("an event", func() bool { return len(s.refusals()) > 0 })
	if got := s.refusals(); len(got) != 1 {
		t.Errorf("got %d events, want 1", len(got))
	}
}

// A lamp that somebody switches without end is switched ten times at once, and then ten times in a
// minute.
func TestRate(t *testing.T) {
	s, h := begin(t)
	s.grant(s.porch, keys.Hidden{})
	const sends = 20
	for range sends {
		sent := h.Ask(s.porch, "on")
		h.AwaitNewEcho(s.porch, echoOf(sent))
	}
	obeyed := func() int { return len(s.locks[s.porch].obeyed()) }
	h.Await("all are obeyed or refused", func() bool { return obeyed()+int(s.refused("rate")) == sends })
	if got := obeyed(); got < 10 || got == sends {
		t.Errorf("%d of %d were obeyed at once", got, sends)
	}
	s.grant(s.front, keys.Hidden{}, wire.Unlock)
	h.Ask(s.front, "unlock")
	h.Await("another target has its own rate", func() bool { return len(s.locks[s.front].obeyed()) == 1 })
}

// One code is checked at a time, and a command that waits too long for its turn is refused.
func TestOneCodeIsCheckedAtATime(t *testing.T) {
	s, h := begin(t)
	for _, door := range []access.ID{s.front, s.back} {
		s.grant(door, codeHash, wire.Unlock)
	}
	s.set(func() { s.slow = time.Minute })
	h.Ask(s.front, "unlock", hatest.Code(rightCode))
	h.Await("a code is being checked", func() (is bool) { s.set(func() { is = s.checks == 1 }); return is })
	h.Ask(s.back, "unlock", hatest.Code(rightCode))
	h.Await("both are refused", func() bool { return s.refused("rate") == 2 })
	s.set(func() {
		if s.atOnce != 1 || s.operated != 0 {
			t.Errorf("%d checks at once, %d attempts", s.atOnce, s.operated)
		}
	})
}

// A lock that refuses to lock is jammed until it says that it is locked.
func TestJammedLock(t *testing.T) {
	s, h := begin(t)
	s.grant(s.front, keys.Hidden{}, wire.Unlock, wire.Lock)
	s.set(func() { s.pulse = 8 * time.Second })
	lock := s.locks[s.front]
	sent := h.Ask(s.front, "unlock")
	h.Await("it is unlocked", func() bool { return h.Of(s.front, "state") == "UNLOCKED" })
	lock.mu.Lock()
	lock.refuses = true
	lock.mu.Unlock()
	h.AwaitNewEcho(s.front, echoOf(sent))
	h.Ask(s.front, "lock")
	h.Await("it is jammed", func() bool { return h.Of(s.front, "state") == "JAMMED" })
	h.Await("its pulse has ended", func() bool { return h.Of(s.front, "state") == "LOCKED" })
}
