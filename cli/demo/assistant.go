package demo

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"sync"
	"time"

	"latchkey/cli/terminal"
	"latchkey/gateway/endpoint"
	"latchkey/gateway/mqtt"
)

// assistant plays Home Assistant. It knows what the broker tells it and nothing else: it learns its
// entities from announcements, and fills in their command templates.
type assistant struct {
	conn *mqtt.Conn
	out  *console

	used string // the echo of its last command; for one goroutine

	mu   sync.Mutex
	kept map[string]string // guarded by mu; the last payload of each topic
}

// assistantWithin bounds each wait of the assistant.
const assistantWithin = 15 * time.Second

// connectAssistant connects to the broker. base is the beginning of the gateway's topics.
func connectAssistant(ctx context.Context, out *console, e endpoint.Endpoint, base string) (*assistant,
	error) {
	a := &assistant{out: out, kept: map[string]string{}}
	var err error
	a.conn, err = mqtt.Open(ctx, mqtt.Settings{Endpoint: e, ClientID: "home-assistant", Message: a.take,
		Subscriptions: []mqtt.Subscription{{Topic: "homeassistant/device/+/config", Retained: true},
			{Topic: base + "/#", Retained: true}}})
	return a, err
}

func (a *assistant) take(m mqtt.Message) {
	a.mu.Lock()
	defer a.mu.Unlock()
	was := a.kept[m.Topic]
	a.kept[m.Topic] = string(m.Payload)
	for _, leaf := range []string{"/state", "/status", "/event"} {
		if strings.HasSuffix(m.Topic, leaf) && (leaf == "/event" || was != string(m.Payload)) {
			a.out.aside("Home Assistant sees " + terminal.QuoteLine(m.Topic+" "+string(m.Payload)))
		}
	}
}

// last returns the last payload of a topic.
func (a *assistant) last(topic string) string {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.kept[topic]
}

// entity is what an announcement says about one entity, as far as this demo needs it.
type entity struct {
	ID         string `json:"unique_id"`
	State      string `json:"state_topic"`
	Attributes string `json:"json_attributes_topic"`
	Command    string `json:"command_topic"`
	Template   string `json:"command_template"`
	OnTemplate string `json:"command_on_template"`
}

// entities returns the entities of the device with a name, by the names of their components.
// Without an announcement there are none.
func (a *assistant) entities(device string) map[string]entity {
	a.mu.Lock()
	defer a.mu.Unlock()
	for topic, payload := range a.kept {
		var said struct {
			Device     struct{ Name string } `json:"dev"`
			Components map[string]entity     `json:"cmps"`
		}
		if !strings.HasPrefix(topic, "homeassistant/device/") ||
			json.Unmarshal([]byte(payload), &said) != nil || said.Device.Name != device {
			continue
		}
		for name, e := range said.Components {
			if e.ID == "" { // a removal
				delete(said.Components, name)
			}
		}
		return said.Components
	}
	return nil
}

// echo returns the echo in the attributes at a topic, or nothing.
func (a *assistant) echo(topic string) string {
	var attributes struct{ Echo string }
	_ = json.Unmarshal([]byte(a.last(topic)), &attributes) // nothing is there yet
	return attributes.Echo
}

// press is what somebody does at the dashboard.
type press struct {
	value string // such as unlock
	code  string
	level int // per cent, for a lamp
}

var errTemplate = errors.New("demo: the announcement has a template that this demo does not know")

// fill fills in a command template. Home Assistant does it by Jinja; this knows the expressions of
// latchkey's templates, and refuses others.
func fill(template, echo string, p press, now time.Time) (string, error) {
	text := strings.NewReplacer(
		"{{ value }}", p.value,
		"{{ this.attributes.get('echo','') }}", echo,
		"{{ (utcnow().timestamp()*1000)|int }}", strconv.FormatInt(now.UnixMilli(), 10),
		"{{ code | default('', true) }}", p.code,
		"{{ 'level' if brightness is defined else 'on' }}", "level",
		"{% if brightness is defined %}", "", "{% endif %}", "",
		"{{ [1, (brightness*100/255)|round|int]|max }}", strconv.Itoa(p.level),
	).Replace(template)
	if !json.Valid([]byte(text)) || strings.Contains(text, "{{") || strings.Contains(text, "{%") {
		return "", errTemplate
	}
	return text, nil
}

// write makes the message of a press. It waits for an echo that it has not used.
func (a *assistant) write(ctx context.Context, e entity, p press) (payload string, err error) {
	if err := a.await(ctx, "an echo", func() bool {
		echo := a.echo(e.Attributes)
		return echo != "" && echo != a.used
	}); err != nil {
		return "", err
	}
	a.used = a.echo(e.Attributes)
	template := e.Template
	if e.OnTemplate != "" {
		template = e.OnTemplate
	}
	return fill(template, a.used, p, time.Now())
}

// send publishes a message and waits until the broker has taken it.
func (a *assistant) send(ctx context.Context, topic, payload string, retained bool) error {
	ctx, cancel := context.WithTimeout(ctx, assistantWithin)
	defer cancel()
	return a.conn.Publish(ctx, topic, []byte(payload), retained, 0)
}

// await polls f. The error names what did not come.
func (a *assistant) await(ctx context.Context, what string, f func() bool) error {
	late := time.After(assistantWithin)
	for !f() {
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-a.conn.Done():
			return a.conn.Err()
		case <-late:
			return fmt.Errorf("demo: Home Assistant has waited %v for %s", assistantWithin, what)
		case <-time.After(5 * time.Millisecond):
		}
	}
	return nil
}

// awaitEntity waits until an entity of a device is announced.
func (a *assistant) awaitEntity(ctx context.Context, device, name string) (e entity, err error) {
	err = a.await(ctx, "the announcement of "+device, func() (is bool) {
		e, is = a.entities(device)[name]
		return is
	})
	return e, err
}

// awaitState waits for a payload.
func (a *assistant) awaitState(ctx context.Context, topic, payload string) error {
	return a.await(ctx, payload, func() bool { return a.last(topic) == payload })
}
