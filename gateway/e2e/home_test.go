package e2e

import (
	"fmt"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"latchkey/coapres/device"
	"latchkey/gateway/access"
	"latchkey/gateway/admin/api"
	"latchkey/gateway/audit"
	"latchkey/gateway/endpoint"
	"latchkey/gateway/endpoint/badnet"
	"latchkey/gateway/homeassistant/hatest"
	"latchkey/gateway/mqtt/mosquitto"
	"latchkey/gateway/store"
	"latchkey/keys"
)

// home is a site with a broker, and a client there that plays Home Assistant. The access list is
// the one of the README, with one more client: foreign may do everything.
type home struct {
	*site
	broker *mosquitto.Broker
	hass   *hatest.Home
}

// rightCode is the code of grants that ask for one.
const rightCode = "246813"

func newHome(t *testing.T) *home {
	t.Helper()
	h := &home{site: newSite(t, store.Options{})}
	h.broker = mosquitto.Start(t, mosquitto.Options{
		Users: map[string]string{"latchkey": "one", "homeassistant": "two", "foreign": "three"},
		ACL:   hatest.ACL(h.store.SiteID()) + "\nuser foreign\ntopic readwrite #\n"})
	h.call("POST", "/v1/integrations", api.NewIntegration{Name: "home", Protocol: "mqtt",
		Endpoint: inRequest(h.broker.Endpoint("latchkey"))})
	h.hass = hatest.Connect(t, h.broker.Endpoint("homeassistant"), h.store.SiteID())
	h.hass.Await("the site is online", h.hass.Online)
	return h
}

// inRequest is an endpoint as the admin API takes it.
func inRequest(e endpoint.Endpoint) api.Endpoint {
	return api.Endpoint{URL: e.URL, User: e.User, Password: e.Password.Reveal(), CA: e.CA, Cert: e.Cert,
		Key: e.Key.Reveal(), Private: e.Private}
}

// call calls the admin API and expects it to succeed.
func (s *site) call(method, path string, in any) {
	s.t.Helper()
	var said map[string]any
	if code := s.askAPI("test", method, path, in, &said); code/100 != 2 {
		s.t.Fatalf("%s %s: got %d %v", method, path, code, said)
	}
}

// homeTarget is a target of a home with the node that moves it.
type homeTarget struct {
	h    *home
	name string
	id   access.ID
	key  keys.Key
	node *device.Device
}

// addDoor makes a door with a lock, which is connected to the gateway at addr.
func (h *home) addDoor(name, addr string) *homeTarget {
	h.t.Helper()
	d := &homeTarget{h: h, name: name, id: h.addTarget(name, access.Door, time.Second)}
	_, d.key = h.enrolDevice(name+"-lock", keys.KindLock, d.id)
	d.node = h.runNode(name+"-lock", keys.KindLock, d.key, addr)
	h.hass.Await(name+" is locked, as its lock says", func() bool {
		return h.hass.Of(d.id, "availability") == "online" && h.hass.Of(d.id, "state") == "LOCKED"
	})
	return d
}

// grant lets the integration unlock the door, and waits until Home Assistant is shown a lock.
func (d *homeTarget) grant(in api.NewGrant) (id string) {
	d.h.t.Helper()
	in.Integration, in.Target, in.Actions = "home", d.name, []string{"unlock"}
	var g api.Grant
	if code := d.h.askAPI("test", "POST", "/v1/grants", in, &g); code != http.StatusCreated {
		d.h.t.Fatalf("grant: got %d", code)
	}
	d.h.hass.Await("it is a lock", func() bool { return d.h.hass.Components(d.id)["lock"] == "lock" })
	return string(g.ID)
}

// command is an unlock that is made now.
func (d *homeTarget) command(more ...string) string {
	hass := d.h.hass
	hass.Await("an echo", func() bool { return hass.Echo(d.id) != "" })
	return hatest.Command("unlock", hass.Echo(d.id), time.Now(), more...)
}

func (d *homeTarget) set() string {
	return "latchkey/" + string(d.h.store.SiteID()) + "/" + string(d.id) + "/set"
}

// ask sends an unlock and waits until it is used up.
func (d *homeTarget) ask(more ...string) (sent string) {
	d.h.t.Helper()
	sent = d.command(more...)
	d.h.hass.Send(d.id, sent)
	d.h.hass.AwaitNewEcho(d.id, echoIn(sent))
	return sent
}

func echoIn(command string) string {
	_, rest, _ := strings.Cut(command, `"e":"`)
	echo, _, _ := strings.Cut(rest, `"`)
	return echo
}

// opens waits until the lock has moved once more.
func (d *homeTarget) opens(ask func()) {
	d.h.t.Helper()
	before := d.node.Moves()
	ask()
	eventually(d.h.t, "the lock opens", 5*time.Second, func() bool { return d.node.Moves() > before })
	d.h.hass.Await("it is locked again", func() bool { return d.h.hass.Of(d.id, "state") == "LOCKED" })
	if n := d.node.Moves(); n != before+1 {
		d.h.t.Errorf("the lock has opened %d times, want once", n-before)
	}
}

// refuses waits until one more of the integration's requests is answered with a reason, in an event
// or, within a minute of one with the same reason, in the count of refusals.
func (d *homeTarget) refuses(reason access.Reason, ask func()) {
	d.h.t.Helper()
	moves, answered := d.node.Moves(), d.h.countReason(reason)
	ask()
	eventually(d.h.t, "it is refused: "+string(reason), 5*time.Second,
		func() bool { return d.h.countReason(reason) > answered })
	if n := d.node.Moves(); n != moves {
		d.h.t.Errorf("%s: the lock has opened %d times", reason, n-moves)
	}
	eventually(d.h.t, "an event says: "+string(reason), 5*time.Second,
		func() bool { return len(d.h.eventsOfHome(reason)) > 0 })
}

// countReason counts the requests of the integration that were refused for a reason.
func (h *home) countReason(reason access.Reason) (n uint64) {
	var in api.Integration
	h.askAPI("test", "GET", "/v1/integrations/home", nil, &in)
	if in.Status != nil {
		n = in.Status.Refused[string(reason)]
	}
	for _, ev := range h.eventsOfHome(reason) {
		if ev.Kind == audit.EventDecision {
			n++
		}
	}
	return n
}

// eventsOfHome returns the events about requests of the integration with a reason.
func (h *home) eventsOfHome(reason access.Reason) []audit.Event {
	return slices.DeleteFunc(h.listEvents(), func(ev audit.Event) bool {
		return ev.Source != access.ByIntegration || ev.Reason != reason || ev.Actor != "home" || ev.Granted
	})
}

// restartAll starts the gateway again, and waits until Home Assistant sees the door's lock.
func (d *homeTarget) restartAll() {
	d.h.t.Helper()
	h, old := d.h, d.h.hass.Echo(d.id)
	h.stop()
	h.hass.Await("the gateway is away", func() bool { return !h.hass.Online() })
	h.start()
	d.awaitBack(old)
}

// awaitBack waits until the gateway is connected to both the broker and the lock. old is an echo of
// before.
func (d *homeTarget) awaitBack(old string) {
	d.h.t.Helper()
	hass := d.h.hass
	hass.Await("the door is back", func() bool {
		return hass.Online() && hass.Of(d.id, "availability") == "online" &&
			hass.Of(d.id, "state") == "LOCKED" && hass.Echo(d.id) != "" && hass.Echo(d.id) != old
	})
}

// A command opens the door if somebody who is granted it makes it now, and then once. Nothing else
// does, whatever the broker does with it. Pulses are counted at the lock.
func TestCommandsOfHomeAssistant(t *testing.T) {
	t.Parallel()
	h := newHome(t)
	front := h.addDoor("front-door", h.addr)
	front.refuses(access.ReasonNoGrant, func() { front.ask() })
	front.grant(api.NewGrant{NoCode: true})

	// Now, and the same again.
	var sent string
	front.opens(func() { sent = front.ask() })
	front.refuses("repeated", func() { h.hass.Send(front.id, sent) })

	// Kept by the broker, and then three starts of the gateway.
	front.refuses("retained", func() { h.hass.Publish(front.set(), front.command(), true) })
	moves := front.node.Moves()
	for range 3 {
		front.restartAll()
	}
	if n := front.node.Moves(); n != moves {
		t.Errorf("a kept command has opened the door %d times", n-moves)
	}
	h.hass.Publish(front.set(), "", true)

	// Sent while the gateway is away.
	payload := front.command()
	h.stop()
	h.hass.Await("the gateway is away", func() bool { return !h.hass.Online() })
	h.hass.Send(front.id, payload)
	h.start()
	front.awaitBack(echoIn(payload))
	if n := front.node.Moves(); n != moves {
		t.Errorf("a command of before has opened the door %d times", n-moves)
	}
	front.refuses("repeated", func() { h.hass.Send(front.id, payload) }) // it comes at last

	front.checkHeldBack(4 * time.Second)
	front.refuses("late", func() { // a clock that is 10 min ahead
		h.hass.Send(front.id, hatest.Command("unlock", freshEcho(front), time.Now().Add(10*time.Minute)))
	})
	front.refuses("late", func() { // and one that is behind
		h.hass.Send(front.id, hatest.Command("unlock", freshEcho(front), time.Now().Add(-10*time.Minute)))
	})

	h.checkStandings()
	h.checkForeigner()
	h.checkFlood()
}

// checkHeldBack checks that a command that somebody holds back on its way to the broker, with an echo
// that is still the present one, opens nothing. An expiry at the broker would begin only there.
func (d *homeTarget) checkHeldBack(held time.Duration) {
	d.h.t.Helper()
	proxy := badnet.Start(d.h.t, d.h.broker.Addr())
	way := d.h.broker.EndpointAt(proxy.Addr(), "homeassistant")
	far := hatest.Connect(d.h.t, way, d.h.store.SiteID(), "far")
	d.refuses("late", func() {
		payload := d.command()
		proxy.Freeze()
		time.AfterFunc(held, proxy.Thaw)
		far.Send(d.id, payload)
	})
}

// freshEcho waits until the present echo is one that stays.
func freshEcho(d *homeTarget) (echo string) {
	d.h.hass.Await("the echo is stable", func() bool {
		was := echo
		echo = d.h.hass.Echo(d.id)
		return echo != "" && echo == was
	})
	return echo
}

// checkStandings checks what the policy says of a command that is made now.
func (h *home) checkStandings() {
	back := h.addDoor("back-door", h.addr)
	grant := back.grant(api.NewGrant{Code: rightCode})
	back.refuses(access.ReasonCodeNeeded, func() { back.ask() })
	back.refuses(access.ReasonWrongCode, func() { back.ask(hatest.Code("975318")) })
	back.opens(func() { back.ask(hatest.Code(rightCode)) })

	h.call("PUT", "/v1/lockdown", map[string]bool{"on": true})
	back.refuses(access.ReasonLockdown, func() { back.ask(hatest.Code(rightCode)) })
	h.call("PUT", "/v1/lockdown", map[string]bool{"on": false})
	h.call("PATCH", "/v1/integrations/home", map[string]bool{"paused": true})
	back.refuses(access.ReasonIntegrationPaused, func() { back.ask(hatest.Code(rightCode)) })
	h.call("PATCH", "/v1/integrations/home", map[string]bool{"paused": false})

	// The code is another one when the command comes.
	payload := back.command(hatest.Code(rightCode))
	h.call("DELETE", "/v1/grants/"+grant, nil)
	h.hass.Await("it is no lock", func() bool { return h.hass.Components(back.id)["lock"] == "" })
	grant = back.grant(api.NewGrant{Code: "864209"})
	back.refuses(access.ReasonWrongCode, func() { h.hass.Send(back.id, payload) })
	h.hass.AwaitNewEcho(back.id, echoIn(payload))
	h.call("DELETE", "/v1/grants/"+grant, nil)
	back.refuses(access.ReasonNoGrant, func() { back.ask(hatest.Code("864209")) })

	// The PIN of a person, who is then suspended.
	side := h.addDoor("side-door", h.addr)
	h.call("POST", "/v1/persons", map[string]string{"name": "ann"})
	h.call("PUT", "/v1/persons/ann/pin", api.NewPIN{Code: "580274"})
	side.grant(api.NewGrant{CodeOf: "ann"})
	side.opens(func() { side.ask(hatest.Code("580274")) })
	h.call("PATCH", "/v1/persons/ann", map[string]bool{"suspended": true})
	side.refuses(access.ReasonPersonSuspended, func() { side.ask(hatest.Code("580274")) })
	h.call("PATCH", "/v1/persons/ann", map[string]bool{"suspended": false})
	h.call("PUT", "/v1/persons/ann/pin", api.NewPIN{Code: "580275"})
	side.refuses(access.ReasonWrongCode, func() { side.ask(hatest.Code("580274")) })
	side.opens(func() { side.ask(hatest.Code("580275")) })
	h.call("DELETE", "/v1/persons/ann/pin", nil)
	moves := side.node.Moves()
	side.ask(hatest.Code("580275"))
	eventually(h.t, "it is decided", 5*time.Second, func() bool {
		evs := h.listEvents()
		last := evs[len(evs)-1]
		return last.Kind == audit.EventDecision && last.Target.ID == side.id && !last.Granted
	})
	if n := side.node.Moves(); n != moves {
		h.t.Errorf("without a PIN the door has opened %d times", n-moves)
	}
}

// checkForeigner checks that a client with the broker's rights, which can read the echo, can do what
// the integration was granted: now, but not later and not again.
func (h *home) checkForeigner() {
	gate := h.addDoor("gate", h.addr)
	gate.grant(api.NewGrant{NoCode: true})
	foreign := hatest.Connect(h.t, h.broker.Endpoint("foreign"), h.store.SiteID(), "foreign")
	foreign.Await("it reads the echo", func() bool { return foreign.Echo(gate.id) != "" })
	var payload string
	gate.opens(func() {
		payload = hatest.Command("unlock", foreign.Echo(gate.id), time.Now())
		foreign.Publish(gate.set(), payload, false)
	})
	gate.refuses("repeated", func() { foreign.Publish(gate.set(), payload, false) })
	foreign.AwaitNewEcho(gate.id, echoIn(payload))
	payload = hatest.Command("unlock", foreign.Echo(gate.id), time.Now())
	made := time.Now()
	eventually(h.t, "the command is old", 5*time.Second,
		func() bool { return time.Since(made) > 3500*time.Millisecond })
	gate.refuses("late", func() { foreign.Publish(gate.set(), payload, false) })

	// It writes into our own topics, and the gateway takes none of that for the truth.
	foreign.Publish("latchkey/"+string(h.store.SiteID())+"/"+string(gate.id)+"/attr",
		`{"echo":"0000000000000000"}`, true)
	gate.refuses("repeated", func() {
		foreign.Publish(gate.set(), hatest.Command("unlock", "0000000000000000", time.Now()), false)
	})
}

// checkFlood checks that a thousand commands that are refused make few events.
func (h *home) checkFlood() {
	yard := h.addDoor("yard", h.addr)
	yard.grant(api.NewGrant{NoCode: true})
	before, _ := h.store.Head()
	const each = 250
	refused := h.countReason("unknown")
	for i := range each {
		h.hass.Send(yard.id, "UNLOCK")
		h.hass.Send(yard.id, hatest.Command("unlock", "0123456789abcdef", time.Now()))
		h.hass.Send(yard.id, strings.Repeat("x", 600))
		h.hass.Publish("latchkey/"+string(h.store.SiteID())+"/"+fmt.Sprintf("%010d", i)+"/set", "UNLOCK",
			false)
	}
	eventually(h.t, "all are refused", 20*time.Second,
		func() bool { return h.countReason("unknown") >= refused+2*each })
	after, _ := h.store.Head()
	if after-before > 10 {
		h.t.Errorf("%d commands that were refused made %d events", 4*each, after-before)
	}
	if yard.node.Moves() != 0 {
		h.t.Errorf("the flood has opened the door %d times", yard.node.Moves())
	}
	yard.opens(func() { yard.ask() })
}

// While the gateway's clock is not trusted, the age of the echo decides and not what the sender
// says of the time.
func TestCommandWhileTheClockIsNotTrusted(t *testing.T) {
	t.Parallel()
	h := newHome(t)
	front := h.addDoor("front-door", h.addr)
	front.grant(api.NewGrant{NoCode: true})
	early := front.command()
	if _, err := h.store.Record(t.Context(), audit.Event{Kind: audit.EventReport,
		At: time.Now().Add(time.Hour)}); err != nil {
		t.Fatal(err)
	}
	h.hass.AwaitNewEcho(front.id, echoIn(early)) // within 10 s
	front.refuses("repeated", func() { h.hass.Send(front.id, early) })
	front.opens(func() {
		h.hass.Send(front.id, hatest.Command("unlock", freshEcho(front), time.Now().Add(-time.Hour)))
	})
}

// The lamp's state is what its node says.
func TestLampOfHomeAssistant(t *testing.T) {
	t.Parallel()
	h := newHome(t)
	porch := &homeTarget{h: h, name: "porch", id: h.addTarget("porch", access.Lamp, 0)}
	_, porch.key = h.enrolDevice("porch-lamp", keys.KindLamp, porch.id)
	relay := newRelay(t, h.addr)
	porch.node = h.runNode("porch-lamp", keys.KindLamp, porch.key, relay.Addr())
	var g api.Grant
	h.askAPI("test", "POST", "/v1/grants", api.NewGrant{Integration: "home", Target: "porch"}, &g)
	state := func() string { return h.hass.Of(porch.id, "state") }
	h.hass.Await("it is off", func() bool {
		return state() == `{"state":"OFF","brightness":null}` &&
			h.hass.Components(porch.id)["light"] == "light"
	})
	for _, step := range []struct{ action, level, want string }{
		{"on", "", `{"state":"ON","brightness":100}`},
		{"level", `"l":40`, `{"state":"ON","brightness":40}`},
		{"off", "", `{"state":"OFF","brightness":null}`},
	} {
		var more []string
		if step.level != "" {
			more = []string{step.level}
		}
		sent := h.hass.Ask(porch.id, step.action, more...)
		h.hass.Await("its node says so", func() bool { return state() == step.want })
		h.hass.AwaitNewEcho(porch.id, echoIn(sent))
	}
	// The lamp gets the command, but its answer is lost: nobody may show it as on.
	_, released := relay.Hold(device.Up, 2500*time.Millisecond)
	h.hass.Ask(porch.id, "on")
	eventually(t, "the lamp is on", 5*time.Second, func() bool { return porch.node.State().On })
	for held := true; held; {
		if got := state(); strings.Contains(got, "ON") {
			select {
			case <-released:
			default:
				t.Fatalf("got %s, though the lamp was not heard", got)
			}
		}
		select {
		case <-released:
			held = false
		case <-time.After(10 * time.Millisecond):
		}
	}
	h.hass.Await("the lamp has said it", func() bool { return state() == `{"state":"ON","brightness":100}` })
}
