package console_test

import (
	"encoding/json"
	"encoding/pem"
	"fmt"
	"io"
	"log"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"testing"

	"latchkey/gateway/access/sinks"
	"latchkey/gateway/admin/api"
	"latchkey/gateway/audit"
	"latchkey/gateway/console/webtest"
	"latchkey/gateway/endpoint/badnet"
	"latchkey/gateway/homeassistant/hatest"
	"latchkey/gateway/mqtt/mosquitto"
)

// hostile is what a server of somebody else's answers. It has no spaces, so that all of it is in
// the error.
const hostile = `<img/src=x/onerror=alert(1)>'{{.}}`

// receiver is a receiver of webhooks.
type receiver struct {
	*httptest.Server
	mu     sync.Mutex
	refuse string   // guarded by mu; what contains this is refused for good, if it is not empty
	broken bool     // guarded by mu; it answers with something that is not HTTP
	took   []string // guarded by mu; bodies
}

func startReceiver(t *testing.T) *receiver {
	t.Helper()
	c := &receiver{}
	c.Server = httptest.NewUnstartedServer(c)
	c.Config.ErrorLog = log.New(io.Discard, "", 0)
	c.StartTLS()
	t.Cleanup(c.Close)
	return c
}

func (c *receiver) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	body, err := io.ReadAll(r.Body)
	if err != nil {
		return
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	switch {
	case c.broken:
		conn, _, err := http.NewResponseController(w).Hijack()
		if err != nil {
			return
		}
		_, _ = io.WriteString(conn, hostile+"\r\n\r\n")
		_ = conn.Close()
	case c.refuse != "" && strings.Contains(string(body), c.refuse):
		w.WriteHeader(http.StatusUnprocessableEntity)
	default:
		c.took = append(c.took, string(body))
		w.WriteHeader(http.StatusNoContent)
	}
}

func (c *receiver) set(refuse string, broken bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.refuse, c.broken = refuse, broken
}

// has tells whether a body with the text was taken.
func (c *receiver) has(text string) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return slices.ContainsFunc(c.took, func(body string) bool { return strings.Contains(body, text) })
}

// addSink makes a sink that sends events of the policy to the receiver.
func (h *house) addSink(name string, c *receiver) (made api.Sink) {
	h.t.Helper()
	in := api.NewSink{Name: name, Protocol: sinks.Webhook, Only: []audit.EventKind{audit.EventPolicy},
		Endpoint: api.Endpoint{URL: c.URL, Private: true,
			CA: string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: c.Certificate().Raw}))}}
	h.must("POST", "/v1/sinks", toJSON(h.t, in), &made)
	return made
}

func toJSON(t *testing.T, v any) string {
	t.Helper()
	b, err := json.Marshal(v)
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

// waitForSink waits until the sink's status is as is says.
func (h *house) waitForSink(name, what string, is func(api.SinkStatus) bool) (s api.Sink) {
	h.t.Helper()
	h.eventually(name+": "+what, func() bool {
		s = api.Sink{}
		h.must("GET", "/v1/sinks/"+name, "", &s)
		return s.Status != nil && is(*s.Status)
	})
	return s
}

// waitForDead waits until the sink has a dead letter and no event left, and returns the letter.
func (h *house) waitForDead(name string) api.DeadLetter {
	h.t.Helper()
	h.waitForSink(name, "it has a dead letter", func(s api.SinkStatus) bool {
		return s.Dead == 1 && s.State == "waiting"
	})
	var dead api.List[api.DeadLetter]
	h.must("GET", "/v1/sinks/"+name+"/dead", "", &dead)
	return dead.Items[0]
}

// addServers makes a sink with a dead letter and an integration without a broker.
func (h *house) addServers() {
	h.t.Helper()
	c := startReceiver(h.t)
	h.addSink("hooks", c)
	h.addSink("archive", c)
	h.must("PATCH", "/v1/sinks/archive", `{"paused":true}`, nil)
	c.set("io.latchkey.policy", false)
	h.must("POST", "/v1/integrations", `{"name":"home","protocol":"mqtt","endpoint":{"url":"mqtt://127.0.0.1:9",
		"user":"latchkey","private":true}}`, nil)
	h.must("PUT", "/v1/persons/bob/pin", `{"code":"271828"}`, nil)
	h.must("POST", "/v1/grants", `{"integration":"home","target":"front-door","actions":["unlock"],"codeOf":"bob"}`,
		nil)
	h.must("POST", "/v1/grants", `{"integration":"home","target":"back-door","actions":["unlock"],"noCode":true}`,
		nil)
	h.waitForSink("hooks", "it has dead letters", func(s api.SinkStatus) bool { return s.Dead > 0 })
	h.eventually("the broker was tried", func() bool {
		var r api.Integration
		h.must("GET", "/v1/integrations/home", "", &r)
		return r.Status != nil && r.Status.LastError != ""
	})
}

// sequenceOf returns the text that tells the event which added a person from all others.
func (h *house) sequenceOf(person string) string {
	h.t.Helper()
	var events api.Events
	h.must("GET", "/v1/events", "", &events)
	for _, e := range events.Items {
		if e.Kind == audit.EventPolicy && strings.Contains(e.Detail, person) {
			return fmt.Sprintf(`"sequence":"%020d"`, e.Seq)
		}
	}
	h.t.Fatalf("no event of %s", person)
	return ""
}

func TestSinkIsPausedResumedAndRetried(t *testing.T) {
	for name, opts := range map[string]webtest.Options{"desk": {}, "phone, without scripts": {Width: 390,
		Height: 844, Phone: true, NoScript: true}} {
		t.Run(name, func(t *testing.T) {
			h, c := newHouse(t, here), startReceiver(t)
			h.addSink("hooks", c)
			h.waitForSink("hooks", "the event of its own is taken",
				func(s api.SinkStatus) bool { return s.Taken >= 1 && s.State == "waiting" })
			c.set("io.latchkey.policy", false)
			h.must("POST", "/v1/persons", `{"name":"mallory"}`, nil)
			dead := h.waitForDead("hooks")
			p := h.openSignedIn("owner", opts)
			p.Click("Health")
			p.Click("Sinks")
			p.See("latchkey sink add")
			p.In(".list").See("1 dead letter")
			p.Click(".list a")
			p.See("HTTP 422")

			again := fmt.Sprintf("Send again: event %d", dead.Seq)
			p.Expect("422")
			p.Click(again)
			p.In("[role=alert]").See("HTTP 422")
			c.set("", false)
			p.Click(again)
			p.See(fmt.Sprintf("The server has taken event %d.", dead.Seq))
			p.DontSee("Send again")
			if !c.has(h.sequenceOf("mallory")) {
				t.Error("the receiver has not got the event")
			}
			var left api.List[api.DeadLetter]
			if h.must("GET", "/v1/sinks/hooks/dead", "", &left); len(left.Items) != 0 {
				t.Errorf("%d dead letters are left", len(left.Items))
			}

			p.Click("Pause")
			p.See("hooks is paused: nothing is sent to it.")
			p.See("Paused by owner@console.")
			h.waitForSink("hooks", "it is paused", func(s api.SinkStatus) bool { return s.State == "paused" })
			h.must("POST", "/v1/persons", `{"name":"nina"}`, nil)
			nina := h.sequenceOf("nina")
			p.Open("/sinks")
			p.In(".list").See("paused")
			p.In(".list").See("behind")
			p.Click(".list a")
			if c.has(nina) {
				t.Error("an event was sent although the sink is paused")
			}
			p.Click("Resume")
			p.See("hooks is resumed.")
			h.eventually("the event is sent", func() bool { return c.has(nina) })
			h.waitForSink("hooks", "nothing is left", func(s api.SinkStatus) bool { return s.LagEvents == 0 })
			p.Open("/sinks/hooks")
			p.See("webhook: up to date")
			p.DontSee("paused by")

			p.Click("Send a test event")
			p.See("The server has taken a test event.")
			if !c.has("io.latchkey.test.v1") {
				t.Error("the receiver has not got the test event")
			}
			p.Click("Remove…")
			p.Click("Remove hooks")
			p.See("Delete sink hooks")
			p.See("None yet.")
		})
	}
}

// The pages of sinks show what happens while somebody looks, without a click.
func TestPagesOfSinksAreLive(t *testing.T) {
	h, c := newHouse(t, here), startReceiver(t)
	list, one := h.openSignedIn("owner", webtest.Options{}), h.openSignedIn("owner", webtest.Options{})
	list.Open("/sinks")
	list.See("● live")
	list.See("None yet.")
	h.addSink("hooks", c)
	list.In("#sinks").See("up to date")
	list.DontSee("None yet.")

	one.Open("/sinks/hooks")
	one.See("● live")
	one.In("#dead").See("None.")
	c.set("io.latchkey.policy", false)
	h.must("POST", "/v1/persons", `{"name":"mallory"}`, nil)
	h.waitForDead("hooks")
	one.In("#dead").See("HTTP 422")
	one.In("#dead").DontSee("None.")
	list.In("#sinks").See("1 dead letter")
	h.must("PATCH", "/v1/sinks/hooks", `{"paused":true}`, nil)
	one.In("#live").See("Resume")
	one.In("#live").See("webhook: paused")
	list.In("#sinks").See("paused")
	one.Open("/")
	h.must("DELETE", "/v1/sinks/hooks", "", nil)
	list.See("None yet.")
}

func TestPagesOfIntegrationsAreLive(t *testing.T) {
	h := newHouse(t, here)
	list, one := h.openSignedIn("owner", webtest.Options{}), h.openSignedIn("owner", webtest.Options{})
	list.Open("/integrations")
	list.See("● live")
	h.must("POST", "/v1/integrations", `{"name":"home","protocol":"mqtt",
		"endpoint":{"url":"mqtt://127.0.0.1:9","private":true}}`, nil)
	list.In("#integrations").See("no grants")
	list.In("#integrations").See("not connected") // a moment later, without an event
	one.Open("/integrations/home")
	one.See("● live")
	one.In("#refused").See("None since the gateway started.")
	h.must("POST", "/v1/grants", `{"integration":"home","target":"hall"}`, nil)
	list.In("#integrations").See("1 grant")
	h.must("PATCH", "/v1/integrations/home", `{"paused":true}`, nil)
	one.In("#live").See("mqtt: not connected, paused")
	one.In("#live").See("Resume")
	list.In("#integrations").See("paused")
	one.Expect("422")
	one.Click("Connect once, as a test") // the page that follows has the address of the form
	one.In("[role=alert]").See("Home: ")
	h.must("PATCH", "/v1/integrations/home", `{"paused":false}`, nil)
	one.In("#live").See("Pause: it may do nothing")
	one.Open("/")
	h.must("DELETE", "/v1/integrations/home", "", nil)
	list.See("None yet.")
}

// What somebody else's server answers is shown as text, on the pages and among the events.
func TestErrorOfASinkIsText(t *testing.T) {
	h := newHouse(t, here)
	server := badnet.Answer(t, `INFO {"server_id":"x","version":"2.15.3","headers":true,"max_payload":1048576}`+
		"\r\n-ERR '"+hostile+"'\r\n")
	h.must("POST", "/v1/sinks", toJSON(t, api.NewSink{Name: "hooks", Protocol: sinks.NATS,
		Only:     []audit.EventKind{audit.EventPolicy},
		Endpoint: api.Endpoint{URL: "nats://" + server, Private: true}}), nil)
	h.must("POST", "/v1/persons", `{"name":"bob"}`, nil)
	h.waitForSink("hooks", "it fails", func(s api.SinkStatus) bool { return s.State == "failing" })
	p := h.openSignedIn("owner", webtest.Options{})
	p.Open("/sinks")
	p.In(".list").See("failing: ")
	p.In(".list").See(hostile)
	p.Click(".list a")
	p.See(hostile)
	p.See("Next try")
	p.Expect("422")
	p.Click("Send a test event")
	p.In("[role=alert]").See(hostile)
	p.Open("/events?kind=sink")
	p.See("sink hooks: fails: ")
	p.See(hostile)
	b := h.newBrowser().signIn("owner")
	for _, path := range []string{"/sinks", "/sinks/hooks", "/events?kind=sink"} {
		if _, text := b.do("GET", path, ""); strings.Contains(text, "<img/src") {
			t.Errorf("%s: the text is markup", path)
		}
	}
	if resp, _ := b.do("POST", "/sinks/hooks", "do=nothing"); resp.StatusCode != http.StatusUnprocessableEntity {
		t.Errorf("a form that asks for nothing: got %s", resp.Status)
	}
	if resp, _ := b.do("POST", "/sinks/hooks/dead/x/retry", ""); resp.StatusCode/100 == 2 {
		t.Errorf("a dead letter without a number: got %s", resp.Status)
	}
}

// Who may not see sinks and integrations is not led to them.
func TestServersAreForAdmins(t *testing.T) {
	h, c := newHouse(t, here), startReceiver(t)
	h.addSink("hooks", c)
	h.addAccount("oz", "operator")
	p := h.openSignedIn("oz", webtest.Options{})
	p.Click("Health")
	p.DontSee("Sinks")
	p.DontSee("Integrations")
	p.Expect("403")
	p.Open("/sinks/hooks")
	p.See("This needs an admin")
}

func TestIntegrationIsShownPausedAndResumed(t *testing.T) {
	h := newHouse(t, here)
	site := h.store.SiteID()
	broker := mosquitto.Start(t, mosquitto.Options{ACL: hatest.ACL(site),
		Users: map[string]string{"latchkey": "canary-one", "homeassistant": "canary-two"}})
	h.must("POST", "/v1/integrations", toJSON(t, api.NewIntegration{Name: "home", Protocol: "mqtt",
		Endpoint: api.Endpoint{URL: broker.URL(), User: "latchkey", Password: "canary-one", Private: true}}), nil)
	status := func(what string, is func(api.Integration) bool) (r api.Integration) {
		h.eventually(what, func() bool {
			r = api.Integration{}
			h.must("GET", "/v1/integrations/home", "", &r)
			return r.Status != nil && is(r)
		})
		return r
	}
	status("it is connected", func(r api.Integration) bool { return r.Status.Connected })
	p := h.openSignedIn("owner", webtest.Options{})
	p.Click("Health")
	p.Click("Integrations")
	p.See("latchkey integration add")
	p.In(".list").See("connected · no grants")
	p.Click(".list a")
	p.See("mqtt: connected")
	p.See("latchkey/" + string(site) + "/…")
	p.See("Add a grant…")

	setPINOnPage(t, h, p)
	h.must("POST", "/v1/grants", `{"integration":"home","target":"front-door","actions":["unlock"],"codeOf":"ann"}`,
		nil)
	h.must("POST", "/v1/grants", `{"integration":"home","target":"hall"}`, nil)
	for _, page := range []string{"/targets/front-door", "/integrations/home"} {
		p.Open(page)
		p.See("integration home, with the PIN of ann · always")
	}

	var hall api.Target
	h.must("GET", "/v1/targets/hall", "", &hall)
	broker.Publish("homeassistant", fmt.Sprintf("latchkey/%s/%s/set", site, hall.ID), "UNLOCK")
	status("a command is refused", func(r api.Integration) bool { return r.Status.Refused["unknown"] > 0 })
	p.Open("/integrations/home")
	p.See("Refused commands")
	p.See("unknown 1")
	p.Open("/events?kind=integration")
	p.See("integration home at hall: command refused")

	p.Open("/integrations/home")
	p.Click("Why may home do something, or not?")
	p.Select("Where", "hall")
	p.Click("Explain")
	p.See("Granted")
	p.Open("/integrations/home")
	p.Click("Pause: it may do nothing")
	p.See("home is paused: it may do nothing.")
	p.See("It may do nothing: Paused by owner@console.")
	p.Open("/why?who=integration/home&target=hall")
	p.See("Denied: integration-paused")
	p.Open("/integrations/home")
	p.Click("Resume")
	p.See("home is resumed.")
	p.Click("Connect once, as a test")
	p.See("The broker has let the gateway in.")
	p.Click("Remove the grant on hall")
	p.See("Delete grant")
	p.DontSee("use hall")

	broker.Stop()
	status("it is not connected",
		func(r api.Integration) bool { return !r.Status.Connected && r.Status.LastError != "" })
	p.Open("/integrations/home")
	p.See("mqtt: not connected")
	p.See("Last error")
	p.Expect("422")
	p.Click("Connect once, as a test")
	p.See("Home: ")
	b := h.newBrowser().signIn("owner")
	for _, path := range []string{"/integrations", "/integrations/home", "/people/ann", "/targets/front-door"} {
		if _, text := b.do("GET", path, ""); strings.Contains(text, "canary") || strings.Contains(text, "271828") ||
			strings.Contains(text, "argon2") {
			t.Errorf("%s shows a secret", path)
		}
	}
}

// A grant to an integration is made on its page, with every choice that the command line has.
func TestGrantToAnIntegrationIsMade(t *testing.T) {
	for name, opts := range map[string]webtest.Options{"desk": {}, "phone, without scripts": {Width: 390,
		Height: 844, Phone: true, NoScript: true}} {
		t.Run(name, func(t *testing.T) {
			h := newHouse(t, here)
			h.must("POST", "/v1/integrations", `{"name":"home","protocol":"mqtt",
				"endpoint":{"url":"mqtt://127.0.0.1:9","private":true}}`, nil)
			h.must("POST", "/v1/schedules", `{"name":"days","text":"mon-fri 08:00-18:00"}`, nil)
			h.must("POST", "/v1/groups", `{"name":"inside","of":"targets","members":["hall"]}`, nil)
			var door api.Target
			h.must("GET", "/v1/targets/front-door", "", &door)
			p := h.openSignedIn("owner", opts)
			add := func(say string) {
				t.Helper()
				p.Click("Add the grant")
				p.See(say)
			}
			newest := func() (g api.Grant) {
				t.Helper()
				var all api.List[api.Grant]
				h.must("GET", "/v1/grants?integration=home", "", &all)
				for _, r := range all.Items {
					if !r.Created.Before(g.Created) {
						g = r
					}
				}
				h.must("DELETE", "/v1/grants/"+string(g.ID), "", nil)
				return g
			}
			p.Open("/integrations/home")
			p.Click("Add a grant…")
			p.See("nobody has one: set it on the person's page")

			// What is wrong is said, and what was chosen is kept, but not the code.
			p.Select("Where", "front-door")
			p.Click("unlock a door")
			p.Expect("422")
			add("To unlock a door it must send a code: choose which")
			p.Fill("Code, 6 to 12 digits", "271828")
			p.Fill("The same code again", "271829")
			add("The two codes are not the same.")
			p.Fill("Code, 6 to 12 digits", "271828")
			p.Fill("The same code again", "271828")
			add("You typed a code, but chose that another one or none is asked for.")
			code, place := p.Value("Code, 6 to 12 digits"), p.Value("Where")
			if code != "" || place != "target/"+string(door.ID) {
				t.Errorf("the page has the code %q and the place %q", code, place)
			}
			p.Click("a code of this grant")
			add("Type the code of this grant, twice.")
			p.Fill("Code, 6 to 12 digits", "271828")
			p.Fill("The same code again", "271828")
			p.Select("When", "days")
			add("Saved.")
			p.See("may unlock front-door")
			p.See("integration home, with a code · days")
			if g := newest(); !g.Code || len(g.Actions) != 1 || g.Actions[0] != "unlock" || g.Schedule.Name != "days" {
				t.Errorf("got %+v", g)
			}

			// With somebody's PIN.
			h.must("PUT", "/v1/persons/ann/pin", `{"code":"314159"}`, nil)
			p.Open("/integrations/home")
			p.Click("Add a grant…")
			p.Select("Where", "front-door")
			p.Click("unlock a door")
			p.Click("lock a door")
			p.Click("the PIN of a person")
			p.Select("Whose PIN", "ann")
			add("Saved.")
			p.See("with the PIN of ann")
			if g := newest(); g.Code || g.CodeOf.Name != "ann" || len(g.Actions) != 2 {
				t.Errorf("got %+v", g)
			}

			// Without a code, by keyboard alone.
			p.Open("/integrations/home")
			p.Click("Add a grant…")
			for _, step := range []struct{ name, key string }{{"select Where", ""}, {"input unlock a door", "Space"},
				{"input lock a door", ""}, {"input switch a lamp on and off", ""}, {"input dim a lamp", ""},
				{"input none: for a lamp, and to lock a door", "ArrowUp"}} {
				p.Press("Tab")
				if got := p.Focused(); !strings.HasPrefix(got, step.name) {
					t.Fatalf("the focus is on %q, want %q", got, step.name)
				}
				if step.key != "" {
					p.Press(step.key)
				}
			}
			if got := p.Focused(); got != "input none, even to unlock a door: whoever has the broker can open it" {
				t.Fatalf("the focus is on %q, want the last choice", got)
			}
			if !opts.NoScript {
				for _, v := range p.Axe() {
					t.Errorf("the form: %+v", v)
				}
			}
			add("Saved.")
			p.See("without a code")
			if g := newest(); g.Code || g.CodeOf.ID != "" || len(g.Actions) != 1 {
				t.Errorf("got %+v", g)
			}

			// A lamp needs none. With one, Home Assistant cannot switch it, and that is said.
			p.Open("/integrations/home")
			p.Click("Add a grant…")
			p.Select("Where", "group inside")
			p.Click("switch a lamp on and off")
			p.Click("a code of this grant")
			p.Fill("Code, 6 to 12 digits", "271828")
			p.Fill("The same code again", "271828")
			add("Saved. Home Assistant sends no code for a lamp, so with this grant it cannot switch hall")
			if g := newest(); g.TargetGroup.Name != "inside" || len(g.Actions) != 2 {
				t.Errorf("got %+v", g)
			}
		})
	}
}

// setPINOnPage sets a PIN of ann.
func setPINOnPage(t *testing.T, h *house, p *webtest.Page) {
	t.Helper()
	p.Open("/people/ann")
	p.See("No PIN yet.")
	p.Click("Set a PIN…")
	p.Fill("PIN, 6 to 12 digits", "271828")
	p.Fill("The same PIN again", "271829")
	p.Expect("422")
	p.Click("Set the PIN")
	p.See("The two PINs are not the same.")
	if got := p.Value("PIN, 6 to 12 digits"); got != "" {
		t.Errorf("the page has the PIN %q", got)
	}
	p.Fill("PIN, 6 to 12 digits", "123456")
	p.Fill("The same PIN again", "123456")
	p.Expect("422")
	p.Click("Set the PIN")
	p.See("choose another")
	p.Fill("PIN, 6 to 12 digits", "314159")
	p.Fill("The same PIN again", "314159")
	p.Click("Set the PIN")
	p.See("ann has a PIN.")
	p.Click("Remove the PIN…")
	p.Click("Remove the PIN of ann")
	p.See("No PIN yet.")
	h.must("PUT", "/v1/persons/ann/pin", `{"code":"271828"}`, nil)
}
