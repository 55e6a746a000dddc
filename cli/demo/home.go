package demo

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/urfave/cli/v2"

	"latchkey/coapres/wire"
	"latchkey/gateway/access"
	"latchkey/gateway/admin/api"
	"latchkey/gateway/admin/client"
	"latchkey/gateway/audit"
	"latchkey/gateway/endpoint"
	"latchkey/gateway/homeassistant"
	"latchkey/keys"
)

// home is Home Assistant and what is between it and the gateway. Both reach the broker by a detour
// of their own, where somebody can hold back and cut.
type home struct {
	broker    broker
	passwords users
	gateway   *detour
	client    *detour
	assistant *assistant
	lock      entity // of the door, after its grant
	state     string // the topic of the door's state
}

// The integration's name, and the codes that are typed.
const (
	integration          = "home"
	rightCode, wrongCode = "271828", "314159"
)

// unlockPress opens the door.
var unlockPress = press{value: wire.Unlock.String(), code: rightCode}

// heldAtBroker is how long a message to the broker is held back. The gateway obeys messages of up
// to 3 s.
const heldAtBroker = 3500 * time.Millisecond

// playHome tells the story with Home Assistant, and then lets a person go on, unless it is a script.
func playHome(c *cli.Context, out *console, set Setting, as cast) error {
	h, err := buildHome(c.Context, out, set, as, startAnyBroker)
	if err != nil {
		return err
	}
	defer h.Close()
	if err := h.tell(c.Context, homeStory); err != nil || c.Bool("script") {
		return err
	}
	out.talk()
	h.capture()
	h.introduceHome()
	return h.ask(c)
}

// buildHome makes a house, a broker, and a client that plays Home Assistant there.
func buildHome(ctx context.Context, out *console, set Setting, as cast, start startBroker) (h *House,
	err error) {
	out.quiet = true
	if h, err = buildHouse(ctx, out, set, as, "mon-fri 08:00-18:00"); err != nil {
		return nil, err
	}
	built := h
	defer func() {
		if err != nil {
			built.Close()
		}
	}()
	dir := filepath.Join(h.dir, "broker")
	if err := os.Mkdir(dir, 0o700); err != nil {
		return nil, err
	}
	h.home = &home{passwords: users{gatewayUser: keys.Hide(keys.Random(26)),
		homeUser: keys.Hide(keys.Random(26))}}
	site := h.store.SiteID()
	if h.home.broker, err = start(ctx, dir, h.home.passwords, homeassistant.AccessList(site)); err != nil {
		return nil, err
	}
	if h.home.gateway, err = newDetour(h.home.broker.addr); err != nil {
		return nil, err
	}
	if h.home.client, err = newDetour(h.home.broker.addr); err != nil {
		return nil, err
	}
	e := endpoint.Endpoint{URL: "mqtt://" + h.home.client.addr(), Private: true, User: homeUser,
		Password: h.home.passwords[homeUser]}
	h.home.assistant, err = connectAssistant(ctx, out, e, "latchkey/"+string(site))
	if err != nil {
		return nil, err
	}
	out.printf("A gateway on %s with four %s over real DTLS. An MQTT broker on %s: %s.\n"+
		"A client that plays Home Assistant. It has a user of its own there, with the rights in "+
		"gateway/homeassistant/README.md.\n", h.addr, h.cast, h.home.broker.addr, h.home.broker.name)
	return h, nil
}

// introduceHome says how to look at the broker.
func (h *House) introduceHome() {
	h.out.printf(`
Everything still runs. See what Home Assistant sees, from another terminal:
  mosquitto_sub -h 127.0.0.1 -p %s -u %s -P %s -v -t 'homeassistant/#' -t 'latchkey/%s/#'
Or give a Home Assistant on this machine that broker, user and password.

`, h.home.port(), homeUser, h.home.passwords[homeUser].Reveal(), h.store.SiteID())
	h.help()
}

func (o *home) port() string { return o.broker.addr[len("127.0.0.1:"):] }

// close ends what was started. Parts may be missing.
func (o *home) close() {
	if o.assistant != nil {
		_ = o.assistant.conn.Close()
	}
	for _, d := range []*detour{o.gateway, o.client} {
		if d != nil {
			d.close()
		}
	}
	if o.broker.stop != nil {
		o.broker.stop()
	}
}

// homeStory holds the chapters with Home Assistant, in order.
var homeStory = []chapter{
	{"the gateway joins the broker, and Home Assistant sees the door and the lamp", joined},
	{"a grant makes the lamp a light, and Home Assistant dims it", lampDimmed},
	{"Home Assistant asks for the front door, without a grant", doorWithoutGrant},
	{"a grant with a code makes the door a lock", doorWithCode},
	{"an attacker sends the same message twice", sentTwice},
	{"an attacker makes the broker keep a message, and cuts the gateway's connection", keptByBroker},
	{fmt.Sprintf("an attacker holds a message back for %v before the broker", heldAtBroker),
		heldBeforeBroker},
}

// joined adds the integration and checks what it announces.
func joined(ctx context.Context, h *House) string {
	in := api.NewIntegration{Name: integration, Protocol: "mqtt", Endpoint: api.Endpoint{Private: true,
		URL: "mqtt://" + h.home.gateway.addr(), User: gatewayUser,
		Password: h.home.passwords[gatewayUser].Reveal()}}
	if _, err := call(ctx, h, api.AddIntegration, api.Body[api.NewIntegration]{Body: in}); err != nil {
		return err.Error()
	}
	h.out.printf("  the same as: latchkey integration add %s --kind mqtt --url %s --private --user %s "+
		"--password-file FILE\n", integration, in.Endpoint.URL, gatewayUser)
	a := h.home.assistant
	for device, want := range map[string]string{Door: "bolt", Lamp: "glow"} {
		if _, err := a.awaitEntity(ctx, device, want); err != nil {
			return err.Error()
		}
	}
	h.home.state = a.entities(Door)["bolt"].State
	if err := a.awaitState(ctx, h.home.state, "LOCKED"); err != nil {
		return err.Error()
	}
	lamp := a.last(a.entities(Lamp)["glow"].State)
	h.out.printf("  %s is a sensor that says whether it is locked: %s\n", Door, a.last(h.home.state))
	h.out.printf("  %s is a sensor that says whether it is on: %s\n", Lamp, lamp)
	h.out.printf("  without a grant, Home Assistant may only look\n")
	return ""
}

// lampDimmed grants the lamp and checks that Home Assistant sees what the lamp itself says.
func lampDimmed(ctx context.Context, h *House) string {
	if err := h.grantHome(ctx, api.NewGrant{Target: Lamp}); err != nil {
		return err.Error()
	}
	h.out.printf("  the same as: latchkey grant add --integration %s --target %s\n", integration, Lamp)
	a := h.home.assistant
	light, err := a.awaitEntity(ctx, Lamp, "light")
	if err != nil {
		return err.Error()
	}
	payload, err := a.write(ctx, light, press{level: 40})
	if err != nil {
		return err.Error()
	}
	began := time.Now()
	if err := a.send(ctx, light.Command, payload, false); err != nil {
		return err.Error()
	}
	h.out.printf("  Home Assistant sends %s\n", payload)
	const want = `{"state":"ON","brightness":40}`
	if err := a.awaitState(ctx, light.State, want); err != nil {
		return err.Error()
	}
	h.out.printf("  the lamp says after %.0f ms %s\n", ms(time.Since(began)), want)
	if st := h.nodes[Bulb].State(); !st.On || st.Level != 40 {
		return "the lamp is not on"
	}
	return ""
}

// doorWithoutGrant checks that the door stays shut. Home Assistant has no lock to press, so the
// client writes a message by itself.
func doorWithoutGrant(ctx context.Context, h *House) string {
	a := h.home.assistant
	if _, is := a.entities(Door)["lock"]; is {
		return "the door is a lock before its grant"
	}
	topic := strings.TrimSuffix(h.home.state, "state")
	byHand := entity{Command: topic + "set", Attributes: topic + "attr", Template: `{"a":"{{ value }}",` +
		`"e":"{{ this.attributes.get('echo','') }}","t":{{ (utcnow().timestamp()*1000)|int }}}`}
	moves := h.nodes[Lock].Moves()
	ev, err := h.askDoor(ctx, byHand, "")
	switch {
	case err != nil:
		return err.Error()
	case ev.Granted || ev.Reason != access.ReasonNoGrant || h.nodes[Lock].Moves() != moves:
		return "want denied because there is no grant"
	}
	h.out.printf("  it shows no lock to press, so the client writes the message by itself\n")
	h.out.printf("  denied, because there is no grant\n")
	h.showEvent(ev)
	return ""
}

// doorWithCode grants the door and checks that only the right code opens it.
func doorWithCode(ctx context.Context, h *House) string {
	grant := api.NewGrant{Target: Door, Actions: []string{wire.Unlock.String()}, Code: rightCode}
	if err := h.grantHome(ctx, grant); err != nil {
		return err.Error()
	}
	h.out.printf("  the same as: latchkey grant add --integration %s --target %s --action unlock --code\n",
		integration, Door)
	var err error
	if h.home.lock, err = h.home.assistant.awaitEntity(ctx, Door, "lock"); err != nil {
		return err.Error()
	}
	moves := h.nodes[Lock].Moves()
	ev, err := h.askDoor(ctx, h.home.lock, wrongCode)
	switch {
	case err != nil:
		return err.Error()
	case ev.Granted || ev.Reason != access.ReasonWrongCode || h.nodes[Lock].Moves() != moves:
		return "want denied because of a wrong code"
	}
	h.out.printf("  a wrong code: denied\n")
	h.showEvent(ev)
	if ev, err = h.askDoor(ctx, h.home.lock, rightCode); err != nil || !ev.Granted {
		return fmt.Sprintf("the right code did not open the door (%s, %v)", ev.Reason, err)
	}
	h.out.printf("  the right code: granted\n")
	h.showEvent(ev)
	return h.openedOnce(ctx, moves)
}

// openedOnce checks that the door has opened once, that Home Assistant has seen it, and that it is
// shut again.
func (h *House) openedOnce(ctx context.Context, moves int) string {
	a := h.home.assistant
	if err := a.awaitState(ctx, h.home.state, "UNLOCKED"); err != nil {
		return err.Error()
	}
	h.out.printf("  the lock says that it is open: %s\n", a.last(h.home.state))
	if err := a.awaitState(ctx, h.home.state, "LOCKED"); err != nil {
		return err.Error()
	}
	h.out.printf("  and that it has locked by itself: %s\n", a.last(h.home.state))
	if n := h.nodes[Lock].Moves() - moves; n != 1 {
		return fmt.Sprintf("the door has opened %d times", n)
	}
	return ""
}

// sentTwice checks that the second of two equal messages opens nothing.
func sentTwice(ctx context.Context, h *House) string {
	moves := h.nodes[Lock].Moves()
	payload, err := h.home.assistant.write(ctx, h.home.lock, unlockPress)
	if err != nil {
		return err.Error()
	}
	seq, _ := h.store.Head()
	for range 2 {
		if err := h.home.assistant.send(ctx, h.home.lock.Command, payload, false); err != nil {
			return err.Error()
		}
	}
	if wrong := h.refused(ctx, seq, "the second", "repeated"); wrong != "" {
		return wrong
	}
	return h.openedOnce(ctx, moves)
}

// keptByBroker checks that a retained message opens nothing, at once or at a new connection.
func keptByBroker(ctx context.Context, h *House) string {
	a, moves := h.home.assistant, h.nodes[Lock].Moves()
	payload, err := a.write(ctx, h.home.lock, unlockPress)
	if err != nil {
		return err.Error()
	}
	seq, _ := h.store.Head()
	if err := a.send(ctx, h.home.lock.Command, payload, true); err != nil {
		return err.Error()
	}
	if wrong := h.refused(ctx, seq, "the message", "retained"); wrong != "" {
		return wrong
	}
	status := "latchkey/" + string(h.store.SiteID()) + "/status"
	h.home.gateway.cut()
	for _, want := range []string{"offline", "online"} {
		if err := a.awaitState(ctx, status, want); err != nil {
			return err.Error()
		}
		h.out.printf("  the gateway is %s\n", want)
	}
	pause(ctx, time.Second) // in which it could do harm
	if h.nodes[Lock].Moves() != moves {
		return "the door opened"
	}
	h.out.printf("  the broker still keeps the message, but the gateway does not ask for it: nothing moved\n")
	return ""
}

// heldBeforeBroker checks that a message that comes too late opens nothing, although its echo is
// still the present one.
func heldBeforeBroker(ctx context.Context, h *House) string {
	a, moves := h.home.assistant, h.nodes[Lock].Moves()
	payload, err := a.write(ctx, h.home.lock, unlockPress)
	if err != nil {
		return err.Error()
	}
	seq, _ := h.store.Head()
	release := h.home.client.hold()
	defer release()
	sent := make(chan error, 1)
	go func() { sent <- a.send(ctx, h.home.lock.Command, payload, false) }()
	pause(ctx, heldAtBroker)
	if a.echo(h.home.lock.Attributes) != a.used {
		return "the echo has changed meanwhile, so this is no test of the time"
	}
	release()
	if err := <-sent; err != nil {
		return err.Error()
	}
	if wrong := h.refused(ctx, seq, "the message", "late"); wrong != "" {
		return wrong
	}
	if h.nodes[Lock].Moves() != moves {
		return "the door opened"
	}
	h.out.printf("  nothing moved\n")
	return ""
}

// askDoor does what somebody does at the dashboard, and returns the event of the decision.
func (h *House) askDoor(ctx context.Context, e entity, code string) (audit.Event, error) {
	payload, err := h.home.assistant.write(ctx, e, press{value: wire.Unlock.String(), code: code})
	if err != nil {
		return audit.Event{}, err
	}
	seq, _ := h.store.Head()
	if err := h.home.assistant.send(ctx, e.Command, payload, false); err != nil {
		return audit.Event{}, err
	}
	return h.find(ctx, seq, audit.EventDecision)
}

// refused checks that a message was refused before it was decided, and shows the event.
func (h *House) refused(ctx context.Context, after uint64, what string, reason access.Reason) string {
	ev, err := h.find(ctx, after, audit.EventIntegration)
	if err != nil {
		return err.Error()
	}
	h.out.printf("  %s is refused: %s\n", what, ev.Reason)
	h.showEvent(ev)
	if ev.Reason != reason {
		return fmt.Sprintf("want it refused as %s", reason)
	}
	return ""
}

// find waits for an event of a kind, after an event, about what Home Assistant asked.
func (h *House) find(ctx context.Context, after uint64, kind audit.EventKind) (found audit.Event, err error) {
	err = h.home.assistant.await(ctx, "the event", func() bool {
		events, err := h.store.Events(ctx, after+1, 100)
		if err != nil {
			return false
		}
		for _, ev := range events {
			if ev.Kind == kind && ev.Source == access.ByIntegration {
				found = ev
				return true
			}
		}
		return false
	})
	return found, err
}

func (h *House) showEvent(ev audit.Event) { h.out.printf("  event %d: %s\n", ev.Seq, ev.Line()) }

// grantHome adds a grant to the integration.
func (h *House) grantHome(ctx context.Context, g api.NewGrant) error {
	g.Integration = integration
	_, err := call(ctx, h, api.AddGrant, api.Body[api.NewGrant]{Body: g})
	return err
}

// call calls the admin API of the house's gateway.
func call[In, Out any](ctx context.Context, h *House, op api.Operation[In, Out], in In) (Out, error) {
	return client.Call(ctx, client.InProcess(h.gw.AdminHandler()).RoundTrip, op, in)
}
