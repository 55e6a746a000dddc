// Package hatest plays Home Assistant for tests: a client that learns announcements and states from
// the broker, and sends the commands that Home Assistant would make of our templates. It is not
// Home Assistant: the templates themselves are rendered by Jinja in the tests of package
// homeassistant.
package hatest

import (
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"strings"
	"sync"
	"testing"
	"time"

	"latchkey/gateway/access"
	"latchkey/gateway/endpoint"
	"latchkey/gateway/homeassistant"
	"latchkey/gateway/mqtt"
)

// within bounds each wait, on a slow machine too.
const within = 60 * time.Second

// ACL is the access list that the README gives.
func ACL(site access.ID) string { return homeassistant.AccessList(site) }

// Home is a client that plays Home Assistant. Its methods are safe for concurrent use.
type Home struct {
	t    testing.TB
	site access.ID
	conn *mqtt.Conn

	mu       sync.Mutex
	kept     map[string]string // guarded by mu; the last payload of each topic but events
	events   []string          // guarded by mu; "TARGET payload", oldest first
	changed  chan struct{}     // guarded by mu; closed at the next message
	messages int               // guarded by mu; that have come
}

// Connect connects until the test ends. The topics begin with homeassistant and latchkey. Two
// clients at one broker need different ids.
func Connect(t testing.TB, e endpoint.Endpoint, site access.ID, id ...string) *Home {
	t.Helper()
	h := &Home{t: t, site: site, kept: map[string]string{}, changed: make(chan struct{})}
	ctx, cancel := context.WithTimeout(context.Background(), within)
	defer cancel()
	clientID := strings.Join(append([]string{"home-assistant"}, id...), "-")
	conn, err := mqtt.Open(ctx, mqtt.Settings{Endpoint: e, ClientID: clientID, Message: h.take,
		Subscriptions: []mqtt.Subscription{{Topic: "homeassistant/device/+/config", Retained: true},
			{Topic: "latchkey/" + string(site) + "/#", Retained: true}}})
	if err != nil {
		t.Fatal(err)
	}
	h.conn = conn
	t.Cleanup(func() { _ = conn.Close() })
	return h
}

func (h *Home) take(m mqtt.Message) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.messages++
	if strings.HasSuffix(m.Topic, "/event") {
		target := strings.Split(m.Topic, "/")[2]
		h.events = append(h.events, target+" "+string(m.Payload))
	} else {
		h.kept[m.Topic] = string(m.Payload)
	}
	close(h.changed)
	h.changed = make(chan struct{})
}

// Kept returns the last payload of a topic.
func (h *Home) Kept(topic string) string {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.kept[topic]
}

// Of returns the last payload of a target's topic, such as "state".
func (h *Home) Of(target access.ID, leaf string) string { return h.Kept(h.topic(target, leaf)) }

func (h *Home) topic(target access.ID, leaf string) string {
	return "latchkey/" + string(h.site) + "/" + string(target) + "/" + leaf
}

// Online tells whether the gateway says that it is.
func (h *Home) Online() bool { return h.Kept("latchkey/"+string(h.site)+"/status") == "online" }

// Components returns the platforms of a target's components by name, without removals.
func (h *Home) Components(target access.ID) map[string]string {
	var announced struct {
		Components map[string]map[string]any `json:"cmps"`
	}
	payload := h.Kept("homeassistant/device/lk_" + string(h.site) + "_" + string(target) + "/config")
	_ = json.Unmarshal([]byte(payload), &announced)
	out := map[string]string{}
	for name, c := range announced.Components {
		if len(c) > 1 {
			out[name] = fmt.Sprint(c["p"])
		}
	}
	return out
}

// Announcements returns the topics of all announcements that are not empty.
func (h *Home) Announcements() (out []string) {
	h.mu.Lock()
	defer h.mu.Unlock()
	for topic, payload := range maps.All(h.kept) {
		if strings.HasPrefix(topic, "homeassistant/device/") && payload != "" {
			out = append(out, topic)
		}
	}
	return out
}

// Events returns the activities at a target, oldest first.
func (h *Home) Events(target access.ID) (out []string) {
	h.mu.Lock()
	defer h.mu.Unlock()
	for _, e := range h.events {
		if payload, ok := strings.CutPrefix(e, string(target)+" "); ok {
			out = append(out, payload)
		}
	}
	return out
}

// Await waits until holds returns true; it is looked at after each message, and now and then.
func (h *Home) Await(what string, holds func() bool) {
	h.t.Helper()
	deadline := time.NewTimer(within)
	defer deadline.Stop()
	for {
		h.mu.Lock()
		changed := h.changed
		h.mu.Unlock()
		if holds() {
			return
		}
		select {
		case <-changed:
		case <-time.After(50 * time.Millisecond):
		case <-deadline.C:
			h.t.Fatalf("%s: not within %v", what, within)
		}
	}
}

// Echo returns the echo that a target has now, as Home Assistant knows it.
func (h *Home) Echo(target access.ID) string {
	var a struct {
		Echo string `json:"echo"`
	}
	_ = json.Unmarshal([]byte(h.Of(target, "attr")), &a)
	return a.Echo
}

// Command is what Home Assistant makes of our templates. more are more members, such as `"c":"1"`.
func Command(action, echo string, at time.Time, more ...string) string {
	members := []string{fmt.Sprintf(`"a":%q,"e":%q,"t":%d`, action, echo, at.UnixMilli())}
	return "{" + strings.Join(append(members, more...), ",") + "}"
}

// Code is the member of a command with a code.
func Code(code string) string { return fmt.Sprintf(`"c":%q`, code) }

// Ask sends a command with the present echo and time, once Home Assistant knows an echo that is not
// the one before. It returns what it has sent.
func (h *Home) Ask(target access.ID, action string, more ...string) string {
	h.t.Helper()
	h.Await("an echo", func() bool { return h.Echo(target) != "" })
	echo := h.Echo(target)
	payload := Command(action, echo, time.Now(), more...)
	h.Send(target, payload)
	return payload
}

// Send publishes a payload as a command.
func (h *Home) Send(target access.ID, payload string) {
	h.t.Helper()
	h.Publish(h.topic(target, "set"), payload, false)
}

// Publish publishes a message.
func (h *Home) Publish(topic, payload string, retained bool) {
	h.t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), within)
	defer cancel()
	if err := h.conn.Publish(ctx, topic, []byte(payload), retained, 0); err != nil {
		h.t.Fatal(err)
	}
}

// AwaitNewEcho waits until a target has another echo than this one.
func (h *Home) AwaitNewEcho(target access.ID, old string) {
	h.t.Helper()
	h.Await("a new echo", func() bool { e := h.Echo(target); return e != "" && e != old })
}

// Start says that Home Assistant has started.
func (h *Home) Start() { h.t.Helper(); h.Publish("homeassistant/status", "online", false) }

// Messages returns how many messages have come.
func (h *Home) Messages() int {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.messages
}
