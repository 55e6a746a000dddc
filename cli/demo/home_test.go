package demo

import (
	"context"
	"errors"
	"os"
	"strings"
	"sync"
	"testing"
	"time"

	"latchkey/gateway/endpoint"
	"latchkey/gateway/homeassistant"
	"latchkey/gateway/mqtt"
	"latchkey/gateway/website/child"
	"latchkey/keys"
)

func TestMain(m *testing.M) {
	if len(os.Args) == 2 && os.Args[1] == child.Command { // the website's child of a demo in this process
		os.Exit(child.Main())
	}
	os.Exit(m.Run())
}

// brokers are the ways to start one.
var brokers = map[string]startBroker{"mosquitto": startMosquitto, "in-process": startInProcess}

// The script of the command line uses mosquitto.
func TestHomeStoryWithABrokerInThisProcess(t *testing.T) {
	out := &text{}
	h, err := buildHome(t.Context(), &console{w: out}, testSetting, cast{}, startInProcess)
	if err != nil {
		t.Fatal(err)
	}
	defer h.Close()
	err = h.tell(t.Context(), homeStory)
	if got := out.String(); err != nil || !strings.Contains(got, "a broker inside this program") ||
		!strings.Contains(got, "All went as expected") {
		t.Errorf("got %v, and\n%s\nwant that all went as expected", err, got)
	}
}

// Where mosquitto is missing, or its program for passwords, the broker is one in this process.
func TestAnyBroker(t *testing.T) {
	for path, want := range map[string]string{os.Getenv("PATH"): "mosquitto",
		"": "a broker inside this program (mosquitto is not installed)"} {
		t.Setenv("PATH", path)
		b, err := startAnyBroker(t.Context(), t.TempDir(), users{"a": keys.Hide("b")}, "")
		if err != nil {
			t.Fatal(err)
		}
		b.stop()
		if b.name != want {
			t.Errorf("got %s, want %s", b.name, want)
		}
	}
}

// Each user may do what the README of Home Assistant gives it, and nobody else may do anything.
func TestBrokersHoldTheRights(t *testing.T) {
	passwords := users{gatewayUser: keys.Hide("one"), homeUser: keys.Hide("two")}
	for name, start := range brokers {
		t.Run(name, func(t *testing.T) {
			b, err := start(t.Context(), t.TempDir(), passwords, homeassistant.AccessList("h3n8p2r5tv"))
			if err != nil {
				t.Fatal(err)
			}
			defer b.stop()
			connect := func(user, password string) (*mqtt.Conn, error) {
				return mqtt.Open(t.Context(), mqtt.Settings{ClientID: user, Endpoint: endpoint.Endpoint{
					URL: "mqtt://" + b.addr, Private: true, User: user, Password: keys.Hide(password)}})
			}
			for user, password := range map[string]string{homeUser: "one", "nobody": "two", "": ""} {
				c, err := connect(user, password)
				if err == nil {
					_ = c.Close()
					t.Errorf("%q with the password %q is let in", user, password)
				}
			}
			c, err := connect(homeUser, "two")
			if err != nil {
				t.Fatal(err)
			}
			defer func() { _ = c.Close() }()
			for topic, want := range map[string]bool{"latchkey/h3n8p2r5tv/a1b2c3d4e5/set": true,
				"latchkey/h3n8p2r5tv/a1b2c3d4e5/state": false, "latchkey/h3n8p2r5tv/status": false,
				"latchkey/0000000000/a1b2c3d4e5/set": false, "homeassistant/status": true,
				"homeassistant/device/x/config": false} {
				err := c.Publish(t.Context(), topic, []byte("x"), false, 0)
				var refused *mqtt.Refusal
				if taken := err == nil; taken != want || !taken && !errors.As(err, &refused) {
					t.Errorf("%s: got %v, want it taken: %v", topic, err, want)
				}
			}
		})
	}
}

func TestFiltersCover(t *testing.T) {
	for _, tt := range []struct {
		filter, topic string
		want          bool
	}{
		{"a/b", "a/b", true},
		{"a/b", "a", false},
		{"a/b", "a/b/c", false},
		{"a/+", "a/b", true},
		{"a/+/set", "a/+/set", true},
		{"a/+/set", "a/b/c/set", false},
		{"a/#", "a/b/c", true},
		{"a/#", "a", true}, // as MQTT 5 has it, in section 4.7.1.2
		{"a/#", "ab", false},
		{"a/b", "a/+", false},
		{"a/+", "#", false},
		{"a/+", "a/#", false},
	} {
		if got := covers(tt.filter, tt.topic); got != tt.want {
			t.Errorf("%s covers %s: got %v, want %v", tt.filter, tt.topic, got, tt.want)
		}
	}
}

func TestUnknownTemplatesAreRefused(t *testing.T) {
	for template, want := range map[string]string{
		`{"a":"{{ value }}"}`:         `{"a":"unlock"}`,
		`{"a":"{{ value | upper }}"}`: "",
		`{"a":"{% if x %}y"}`:         "",
		`{{ value }}`:                 "", // not JSON
	} {
		got, err := fill(template, "e", press{value: "unlock"}, time.Now())
		if got != want || (err == nil) != (want != "") {
			t.Errorf("%s: got %q, %v, want %q", template, got, err, want)
		}
	}
}

// An interrupt ends each wait of the story.
func TestInterruptEndsHomeStory(t *testing.T) {
	h, err := buildHome(t.Context(), &console{w: &text{}}, testSetting, cast{}, startInProcess)
	if err != nil {
		t.Fatal(err)
	}
	defer h.Close()
	ctx, interrupt := context.WithCancel(t.Context())
	interrupt()
	for _, c := range homeStory {
		done := make(chan struct{})
		go func() { defer close(done); c.play(ctx, h) }()
		select {
		case <-done:
		case <-time.After(20 * time.Second):
			t.Fatalf("waited 20 s for %q to end", c.title)
		}
	}
}

// text is an output of several writers.
type text struct {
	mu sync.Mutex
	b  strings.Builder // guarded by mu
}

func (o *text) Write(p []byte) (int, error) { o.mu.Lock(); defer o.mu.Unlock(); return o.b.Write(p) }

func (o *text) String() string { o.mu.Lock(); defer o.mu.Unlock(); return o.b.String() }
