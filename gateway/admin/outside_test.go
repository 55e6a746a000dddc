package admin_test

import (
	"encoding/json"
	"strings"
	"testing"
	"time"

	"latchkey/gateway/access"
	"latchkey/gateway/access/sinks"
	"latchkey/gateway/admin/api"
	"latchkey/gateway/audit"
)

func TestSinks(t *testing.T) {
	s := newSite(t)
	var made api.Sink
	s.must("POST", "/v1/sinks",
		`{"name":"log","protocol":"webhook","endpoint":{"url":"https://hooks.example/in"},
		"only":["decision","receipt"]}`, &made)
	head, _ := s.store.Head()
	if !strings.HasPrefix(made.Secret, "whsec_") || made.Secrets != 1 || made.From != head ||
		made.Paused != "" {
		t.Errorf("got %+v, want a secret, shown once, and only events after event %d", made, head-1)
	}
	var shown api.Sink
	s.must("GET", "/v1/sinks/log", "", &shown)
	if shown.Secret != "" || shown.URL != "https://hooks.example/in" || len(shown.Only) != 2 {
		t.Errorf("got %+v, want it without its secret", shown)
	}
	first := made.Secret
	s.must("PATCH", "/v1/sinks/log", `{"secret":"new"}`, &made)
	if made.Secret == "" || made.Secret == first || made.Secrets != 2 {
		t.Errorf("got %+v, want a second secret", made)
	}
	made = api.Sink{}
	s.must("PATCH", "/v1/sinks/log", `{"dropSecret":true,"paused":true}`, &made)
	if made.Secret != "" || made.Secrets != 1 || !strings.HasPrefix(made.Paused, "paused by ") {
		t.Errorf("got %+v, want one secret, and paused", made)
	}
	s.must("PATCH", "/v1/sinks/log", `{"paused":false}`, &made)
	made = api.Sink{}
	s.must("POST", "/v1/sinks",
		`{"name":"queue","protocol":"amqp10","endpoint":{"url":"amqps://broker.example",
		"user":"latchkey","password":"canary"},"place":"/queues/doors","from":"start"}`, &made)
	if made.From != 1 || made.Secret != "" || made.User != "latchkey" {
		t.Errorf("got %+v, want it to begin at event 1", made)
	}
	if _, text := s.do("GET", "/v1/sinks", ""); strings.Contains(text, "canary") ||
		strings.Contains(text, first) {
		t.Errorf("a secret is in the list: %s", text)
	}
	for body, want := range map[string]string{
		`{"name":"x","protocol":"webhook","endpoint":{"url":"http://hooks.example"}}`:                       "not encrypted",
		`{"name":"x","protocol":"webhook","endpoint":{"url":"https://u:p@hooks.example"}}`:                  "--password-file",
		`{"name":"x","protocol":"amqp10","endpoint":{"url":"amqps://latchkey@broker.example"}}`:             "--user",
		`{"name":"x","protocol":"webhook","endpoint":{"url":"amqps://hooks.example"}}`:                      "want https",
		`{"name":"x","protocol":"smoke","endpoint":{"url":"https://hooks.example"}}`:                        "protocol",
		`{"name":"x","protocol":"webhook","secret":"short","endpoint":{"url":"https://hooks.example"}}`:     "whsec_",
		`{"name":"x","protocol":"webhook","from":"soon","endpoint":{"url":"https://hooks.example"}}`:        "want now, start",
		`{"name":"x","protocol":"webhook","only":["weather"],"endpoint":{"url":"https://hooks.example"}}`:   "expected value",
		`{"name":"log","protocol":"webhook","endpoint":{"url":"https://hooks.example"}}`:                    "taken",
		`{"name":"x","protocol":"webhook","endpoint":{"url":"https://192.168.1.5/in"}}`:                     "--private",
		`{"name":"x","protocol":"nats","endpoint":{"url":"nats://localhost"}}`:                              "--private",
		`{"name":"x","protocol":"mqtt","declare":true,"endpoint":{"url":"mqtts://hooks.example"}}`:          "declared",
		`{"name":"x","protocol":"webhook","endpoint":{"url":"https://hooks.example","cert":"x","key":"y"}}`: "belong together",
	} {
		if status, text := s.do("POST", "/v1/sinks", body); status < 400 || status > 499 ||
			!strings.Contains(text, want) || strings.Contains(text, "u:p") {
			t.Errorf("%s: got %d %s, want a hint at %q", body, status, text, want)
		}
	}
	if status, text := s.do("PATCH", "/v1/sinks/queue", `{"endpoint":{"url":"amqps://10.0.0.1"}}`); status != 422 ||
		!strings.Contains(text, "--private") {
		t.Errorf("moved to a private address: got %d %s, want 422 and a hint at --private", status, text)
	}
	s.must("PATCH", "/v1/sinks/queue", `{"endpoint":{"url":"amqps://10.0.0.1","private":true}}`, nil)
	for _, call := range []string{"/v1/sinks/log/test", "/v1/sinks/log/dead/1/retry"} {
		if status, text := s.do("POST", call, ""); status != 503 ||
			!strings.Contains(text, "latchkey serve") {
			t.Errorf("%s without a gateway: got %d %s", call, status, text)
		}
	}
}

func TestDeadLettersAreListed(t *testing.T) {
	s := newSite(t)
	var made api.Sink
	s.must("POST", "/v1/sinks",
		`{"name":"log","protocol":"webhook","endpoint":{"url":"https://hooks.example"}}`, &made)
	at := time.Date(2026, 5, 1, 0, 0, 0, 0, time.UTC)
	err := s.store.MoveSinkCursor(t.Context(), made.ID, audit.SinkCursor{Epoch: 1, Seq: 9},
		audit.DeadLetter{Seq: 7, Why: "HTTP 413", Tries: 2, At: at})
	if err != nil {
		t.Fatal(err)
	}
	var got api.List[api.DeadLetter]
	s.must("GET", "/v1/sinks/log/dead", "", &got)
	if len(got.Items) != 1 || got.Items[0] != (api.DeadLetter{Seq: 7, Why: "HTTP 413", Tries: 2, At: at}) {
		t.Errorf("got %+v", got)
	}
	s.must("DELETE", "/v1/sinks/log", "", nil)
	if _, ok := sinks.Kind.ByName(s.store.Snapshot(), "log"); ok {
		t.Error("it is still there")
	}
	if status, _ := s.do("GET", "/v1/sinks/log/dead", ""); status != 404 {
		t.Errorf("without the sink: got %d, want 404", status)
	}
}

func TestIntegrationsAndTheirCodes(t *testing.T) {
	s := newSite(t)
	s.must("POST", "/v1/targets", `{"name":"front-door","kind":"door"}`, nil)
	s.must("POST", "/v1/targets", `{"name":"desk","kind":"lamp"}`, nil)
	var home api.Integration
	s.must("POST", "/v1/integrations",
		`{"name":"home","protocol":"mqtt","endpoint":{"url":"mqtts://broker.example",
		"user":"latchkey","password":"canary"}}`, &home)
	if home.Base != "latchkey" || home.Prefix != "homeassistant" || home.Grants != 0 {
		t.Errorf("got %+v", home)
	}
	for _, topics := range []string{``, `,"base":"house"`, `,"prefix":"ha"`} {
		if status, text := s.do("POST", "/v1/integrations", `{"name":"twin","protocol":"mqtt",
			"endpoint":{"url":"mqtts://broker.example:8883"}`+topics+`}`); status != 409 ||
			!strings.Contains(text, "another base and another prefix") {
			t.Errorf("topics of another integration at the same broker, %s: got %d %s, want 409", topics,
				status, text)
		}
	}
	for call, body := range map[string]string{
		"POST /v1/integrations":       `{"name":"twin","protocol":"mqtt","endpoint":{"url":"mqtt://127.0.0.1"}}`,
		"PATCH /v1/integrations/home": `{"endpoint":{"url":"mqtts://10.0.0.1"}}`,
	} {
		method, path, _ := strings.Cut(call, " ")
		if status, text := s.do(method, path, body); status != 422 || !strings.Contains(text, "--private") {
			t.Errorf("%s with a private address: got %d %s, want 422 and a hint at --private", call, status, text)
		}
	}
	s.must("POST", "/v1/integrations", `{"name":"twin","protocol":"mqtt","base":"house","prefix":"ha",
		"endpoint":{"url":"mqtts://broker.example:8883"}}`, nil)
	s.must("POST", "/v1/persons", `{"name":"carol"}`, nil)
	for body, want := range map[string]string{
		`"integration":"home",DOOR`:                                    "unlock, lock or both",
		`"integration":"home",UNLOCK`:                                  "ask for a code",
		`"integration":"home",UNLOCK,"code":"2718"`:                    "6 to 12 digits",
		`"integration":"home",UNLOCK,"code":"123456"`:                  "choose another",
		`"integration":"home",UNLOCK,"code":"271828","codeOf":"carol"`: "has no PIN",
		`"integration":"home",UNLOCK,"code":"271828","noCode":true`:    "one of the two",
		`"integration":"home",UNLOCK,"codeOf":"carol"`:                 "has no PIN",
		`"person":"carol",DOOR,"code":"271828"`:                        "integration",
		`"integration":"home","person":"carol",UNLOCK,"code":"271828"`: "exactly one",
		`"integration":"away",UNLOCK,"code":"271828"`:                  "not found",
		`"integration":"home",UNLOCK,"code":"271828","effect":"deny"`:  "allows",
		`"integration":"home",UNLOCK,"code":"27182８","effect":"allow"`: "digits",
	} {
		body = "{" + strings.NewReplacer("UNLOCK", `"target":"front-door","actions":["unlock"]`,
			"DOOR", `"target":"front-door"`).Replace(body) + "}"
		if status, text := s.do("POST", "/v1/grants", body); status < 400 || status > 499 ||
			!strings.Contains(text, want) || strings.Contains(text, "271828") {
			t.Errorf("%s: got %d %s, want a hint at %q", body, status, text, want)
		}
	}
	var g api.Grant
	s.must("POST", "/v1/grants",
		`{"integration":"home","target":"front-door","actions":["unlock"],"code":"271828"}`, &g)
	if g.Integration.Name != "home" || !g.Code || g.CodeOf.ID != "" {
		t.Errorf("got %+v", g)
	}
	if status, text := s.do("POST", "/v1/grants",
		`{"integration":"home","target":"front-door","actions":["unlock"],"code":"314159"}`); status != 409 {
		t.Errorf("a second code: got %d %s, want 409", status, text)
	}
	s.must("PUT", "/v1/persons/carol/pin", `{"code":"314159"}`, nil)
	var carol api.Person
	if s.must("GET", "/v1/persons/carol", "", &carol); !carol.PIN {
		t.Error("carol has no PIN")
	}
	s.must("POST", "/v1/grants", `{"integration":"home","target":"desk"}`, nil)
	var lamp api.Grant
	s.must("POST", "/v1/grants", `{"integration":"home","target":"desk","code":"2718"}`, &lamp)
	if !lamp.Code {
		t.Error("a lamp's grant with four digits has no code")
	}
	s.must("DELETE", "/v1/grants/"+string(lamp.ID), "", nil)
	if s.must("GET", "/v1/integrations/home", "", &home); home.Grants != 2 {
		t.Errorf("got %d grants, want 2", home.Grants)
	}
	var why api.Explanation
	s.must("POST", "/v1/explain", `{"integration":"home","target":"front-door"}`, &why)
	if !why.Decision.Granted || len(why.Notes) == 0 {
		t.Errorf("got %+v, want what the right code would get, and a note", why)
	}
	s.must("PATCH", "/v1/integrations/home", `{"paused":true}`, nil)
	s.must("POST", "/v1/explain", `{"integration":"home","target":"desk"}`, &why)
	if why.Decision.Granted || why.Decision.Reason != access.ReasonIntegrationPaused {
		t.Errorf("got %+v, want it paused", why.Decision)
	}
	s.must("DELETE", "/v1/persons/carol/pin", "", nil)
	if status, _ := s.do("DELETE", "/v1/persons/carol/pin", ""); status != 404 {
		t.Errorf("no PIN: got %d, want 404", status)
	}
	for _, path := range []string{"/v1/integrations", "/v1/grants", "/v1/persons", "/v1/events"} {
		if _, text := s.do("GET", path, ""); strings.Contains(text, "canary") ||
			strings.Contains(text, "argon2id") {
			t.Errorf("%s: a secret is in %s", path, text)
		}
	}
	s.must("DELETE", "/v1/integrations/home", "", nil)
	if n := len(s.store.Snapshot().Grants); n != 0 {
		t.Errorf("%d grants are left", n)
	}
}

// A request of an integration is checked against one code. So there is one for each action on a
// target, whether the grant is on the target or on a group, and whichever came first.
func TestOneCodeForADoor(t *testing.T) {
	s := newSite(t)
	for _, name := range []string{"front-door", "back-door", "side-door"} {
		s.must("POST", "/v1/targets", `{"name":"`+name+`","kind":"door"}`, nil)
	}
	s.must("POST", "/v1/targets", `{"name":"porch-lamp","kind":"lamp"}`, nil)
	s.must("POST", "/v1/groups", `{"name":"outside","of":"targets","members":["front-door","porch-lamp"]}`, nil)
	s.must("POST", "/v1/groups", `{"name":"garden","of":"targets","members":["front-door","back-door"]}`, nil)
	for name, port := range map[string]string{"home": "1", "flat": "2"} {
		s.must("POST", "/v1/integrations", `{"name":"`+name+`","protocol":"mqtt",
			"endpoint":{"url":"mqtts://broker.example:`+port+`"}}`, nil)
	}
	grant := func(to, place, actions string) (access.ID, string) {
		t.Helper()
		var g api.Grant
		body := `{"integration":"` + to + `",` + place + `,"actions":[` + actions + `],"code":"271828"}`
		status, text := s.do("POST", "/v1/grants", body)
		if status == 409 {
			return "", text
		}
		if err := json.Unmarshal([]byte(text), &g); err != nil || status != 201 {
			t.Fatalf("%s: got %d %s", body, status, text)
		}
		return g.ID, ""
	}
	refused := func(rule, text string, want ...string) {
		t.Helper()
		for _, w := range append(want, "remove that grant first") {
			if !strings.Contains(text, w) {
				t.Errorf("%s: got %q, want a refusal with %q", rule, text, w)
			}
		}
	}
	of := func(id access.ID, text string) access.ID {
		t.Helper()
		if text != "" {
			t.Fatalf("refused: %s", text)
		}
		return id
	}
	onGroup := of(grant("home", `"targetGroup":"outside"`, `"unlock"`))
	_, text := grant("home", `"target":"front-door"`, `"unlock"`)
	refused("on the door after the group", text, "front-door", string(onGroup), "group outside")
	_, text = grant("home", `"targetGroup":"garden"`, `"unlock","lock"`)
	refused("on another group with the same door", text, "front-door", string(onGroup))
	of(grant("home", `"target":"front-door"`, `"lock"`))
	of(grant("home", `"targetGroup":"outside"`, `"on","off"`))
	of(grant("flat", `"target":"front-door"`, `"unlock"`))

	onDoor := of(grant("home", `"target":"back-door"`, `"unlock"`))
	status, text := s.do("PUT", "/v1/groups/outside/members/back-door", "")
	if refused("a door that comes into the group", text, "back-door"); status != 409 {
		t.Errorf("a door that comes into the group: got %d, want 409", status)
	}
	s.must("PUT", "/v1/groups/garden/members/side-door", "", nil)
	s.must("DELETE", "/v1/grants/"+string(onDoor), "", nil)
	s.must("PUT", "/v1/groups/outside/members/back-door", "", nil)
	_, text = grant("home", `"target":"back-door"`, `"unlock"`)
	refused("on the door that has come into the group", text, "back-door", string(onGroup))
}

// Home Assistant has no place to type a code for a lamp. Other programs at the broker may send one.
func TestACodeForALampIsNoted(t *testing.T) {
	s := newSite(t)
	s.must("POST", "/v1/targets", `{"name":"front-door","kind":"door"}`, nil)
	s.must("POST", "/v1/targets", `{"name":"porch-lamp","kind":"lamp"}`, nil)
	s.must("POST", "/v1/groups", `{"name":"outside","of":"targets","members":["front-door","porch-lamp"]}`, nil)
	s.must("POST", "/v1/integrations", `{"name":"home","protocol":"mqtt","endpoint":{"url":"mqtts://broker.example"}}`, nil)
	for body, want := range map[string]string{
		`"target":"porch-lamp","code":"2718"`:                            "it cannot switch porch-lamp",
		`"targetGroup":"outside","actions":["on","off"],"code":"271828"`: "it cannot switch porch-lamp",
		`"targetGroup":"outside","actions":["unlock"],"code":"271828"`:   "",
		`"target":"front-door","actions":["lock"],"code":"271828"`:       "",
		`"target":"porch-lamp"`:                                          "",
	} {
		var g api.Grant
		s.must("POST", "/v1/grants", `{"integration":"home",`+body+`}`, &g)
		notes := strings.Join(g.Notes, "; ")
		if (notes == "") != (want == "") || !strings.Contains(notes, want) {
			t.Errorf("%s: got notes %q, want %q", body, notes, want)
		}
		s.must("DELETE", "/v1/grants/"+string(g.ID), "", nil)
	}
}
