package admin_test

import (
	"bufio"
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"latchkey/coapres/wire"
	"latchkey/gateway/access"
	"latchkey/gateway/account"
	"latchkey/gateway/admin"
	"latchkey/gateway/admin/api"
	"latchkey/gateway/audit"
	"latchkey/gateway/doctor"
	"latchkey/gateway/door"
)

// running stands in for a running gateway, for operations that need one.
type running struct {
	cards    chan access.CredentialID // the cards that readers will read
	operated []string
	outcome  audit.Outcome
	status   []api.DeviceStatus
	door     api.DoorState
	alarms   []api.Alarm
	past     doctor.Handshakes
	latency  api.Latency
}

func (r *running) Operate(_ context.Context, actor string, target access.ID, a wire.Action, level uint8,
	at time.Time) (api.Operated, error) {
	if at.IsZero() || time.Since(at) > time.Minute {
		return api.Operated{}, errors.New("the request has no time of arrival")
	}
	r.operated = append(r.operated, actor+" "+a.String())
	return api.Operated{Seq: 7, Granted: true, Reason: access.ReasonGranted, Outcome: r.outcome}, nil
}

func (r *running) Learn(ctx context.Context, _ access.ID) (access.CredentialID, string, error) {
	select {
	case id := <-r.cards:
		return id, "beef", nil
	case <-ctx.Done():
		return access.CredentialID{}, "", ctx.Err()
	}
}

func (r *running) Status() []api.DeviceStatus { return r.status }

func (r *running) Door(access.ID) api.DoorState {
	d := r.door
	d.Headline, d.Now = cmp.Or(d.Headline, door.Unknown), cmp.Or(d.Now, door.Unknown)
	return d
}

func (r *running) Alarms() []api.Alarm { return r.alarms }

func (r *running) Acknowledge(_ context.Context, actor string, seq uint64, remark string) (api.Alarm,
	error) {
	for i, a := range r.alarms {
		if a.Seq == seq {
			r.operated = append(r.operated, actor+" "+remark)
			r.alarms = slices.Delete(r.alarms, i, i+1)
			return a, nil
		}
	}
	return api.Alarm{}, access.ErrNotFound
}

func (r *running) Latency() api.Latency { return r.latency }

func (r *running) Handshakes() doctor.Handshakes { return r.past }

func (r *running) ClockTrusted(time.Time) (bool, string) { return false, "nobody set it" }

func withLive(r *running) func(*admin.Config) { return func(c *admin.Config) { c.Live = r } }

func TestOperate(t *testing.T) {
	r := &running{outcome: audit.OutcomeOffline}
	s := furnishSite(t, withLive(r))
	code, text := s.do("POST", "/v1/operate", `{"target":"front-door","action":"unlock"}`)
	if want := `{"seq":7,"granted":true,"reason":"granted","outcome":"offline"}`; code != 200 ||
		text != want {
		t.Errorf("got %d %s, want 200 %s", code, text, want)
	}
	req := httptest.NewRequestWithContext(account.WithPrincipal(t.Context(), account.NewUnixPeer("carol")),
		"POST", "/v1/operate", strings.NewReader(`{"target":"desk","action":"on"}`))
	s.ServeHTTP(httptest.NewRecorder(), req)
	if got, want := strings.Join(r.operated, ", "), "tester unlock, carol on"; got != want {
		t.Errorf("got %s, want %s", got, want)
	}
	if code, _ := s.do("POST", "/v1/operate", `{"target":"nowhere","action":"unlock"}`); code != 404 {
		t.Errorf("unknown target: got %d, want 404", code)
	}
}

func TestLearnedCardBelongsToThePerson(t *testing.T) {
	r := &running{cards: make(chan access.CredentialID, 1)}
	s := furnishSite(t, withLive(r))
	r.cards <- access.CredentialID{1, 2, 3}
	var card api.Card
	s.must("POST", "/v1/cards/learn", `{"reader":"front-reader","person":"ann"}`, &card)
	if card.Person.Name != "ann" || card.Tail != "beef" || card.ID != (access.CredentialID{1, 2, 3}) {
		t.Errorf("got %+v, want ann's …beef", card)
	}
}

func TestLearningEnds(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := furnishSite(t, withLive(&running{}))
		began := time.Now()
		code, text := s.do("POST", "/v1/cards/learn", `{"reader":"front-reader","person":"ann","seconds":20}`)
		if took := time.Since(began); code != http.StatusGatewayTimeout || took != 20*time.Second ||
			!strings.Contains(text, "front-reader") {
			t.Errorf("got %d %s after %v, want 504 after 20s", code, text, took)
		}
	})
}

func TestStatusAndClock(t *testing.T) {
	r := &running{}
	s := furnishSite(t, withLive(r))
	var d api.Device
	s.must("GET", "/v1/devices/front-lock", "", &d)
	r.status = []api.DeviceStatus{{Device: d.ID, Online: true, Known: true, State: &api.State{On: true}}}
	s.must("GET", "/v1/devices/front-lock", "", &d)
	if d.Live == nil || !d.Live.Online || !d.Live.State.On {
		t.Errorf("got %+v, want an online lock that is on", d.Live)
	}
	_, text := s.do("GET", "/v1/status", "")
	if !strings.Contains(text, `"trusted":false,"why":"nobody set it"`) ||
		!strings.Contains(text, `"online":true`) {
		t.Errorf("got status %s", text)
	}
	_, text = s.do("POST", "/v1/explain", `{"person":"ann","target":"front-door"}`)
	if !strings.Contains(text, `"reason":"clock-untrusted"`) {
		t.Errorf("explaining now with a clock that is not trusted: got %s", text)
	}
}

func TestHealth(t *testing.T) {
	var sick error
	s := newSite(t, func(c *admin.Config) { c.Health = func() []doctor.Finding { return findFailure(sick) } })
	if code, _ := s.do("GET", "/healthz", ""); code != 200 {
		t.Errorf("got %d, want 200", code)
	}
	sick = errors.New("a commit failed; reopen it")
	if code, text := s.do("GET", "/healthz", ""); code != 503 || !strings.Contains(text, "a commit failed") {
		t.Errorf("got %d %s, want 503 and the reason", code, text)
	}
}

func TestWaitingForAnEvent(t *testing.T) {
	s := furnishSite(t)
	head, _ := s.store.Head()
	done := make(chan string, 1)
	go func() {
		_, text := s.do("GET", "/v1/events?wait=60&from="+strings.TrimSpace(jsonOf(t, head+1)), "")
		done <- text
	}()
	s.must("POST", "/v1/persons", `{"name":"late"}`, nil)
	select {
	case text := <-done:
		if !strings.Contains(text, "add person late") {
			t.Errorf("got %s, want the new event", text)
		}
	case <-time.After(30 * time.Second):
		t.Fatal("the new event did not end the wait")
	}
}

func jsonOf(t *testing.T, v any) string {
	t.Helper()
	b, err := json.Marshal(v)
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

func TestStream(t *testing.T) {
	s := furnishSite(t, withLive(&running{}))
	server := httptest.NewServer(s)
	defer server.Close()
	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, "GET", server.URL+"/v1/events/stream?from=1", nil)
	if err != nil {
		t.Fatal(err)
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = resp.Body.Close() }()
	lines := bufio.NewScanner(resp.Body)
	head, _ := s.store.Head()
	for want := uint64(1); want <= head+1; want++ {
		if want == head+1 {
			s.must("POST", "/v1/persons", `{"name":"late"}`, nil)
		}
		var ev audit.Event
		if !lines.Scan() || json.Unmarshal(lines.Bytes(), &ev) != nil || ev.Seq != want {
			t.Fatalf("got %q %v, want event %d", lines.Text(), lines.Err(), want)
		}
	}
}
