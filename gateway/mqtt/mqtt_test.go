package mqtt

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"testing"
	"time"

	"go.uber.org/goleak"

	"latchkey/gateway/endpoint"
	"latchkey/gateway/endpoint/badnet"
	"latchkey/gateway/endpoint/dial"
	"latchkey/gateway/mqtt/mosquitto"
	"latchkey/keys"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// within bounds each wait, on a slow machine too.
const within = 60 * time.Second

// acl is the one that the README tells people to use.
const acl = `user latchkey
topic write homeassistant/device/+/config
topic readwrite latchkey/site/#
topic read homeassistant/status
user homeassistant
topic read homeassistant/#
topic read latchkey/site/#
topic write latchkey/site/+/set
user lamp
topic read lamp/#
`

// open opens a connection that is closed when the test ends.
func open(t *testing.T, s Settings) *Conn {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), within)
	defer cancel()
	c, err := Open(ctx, s)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	return c
}

// collect returns a function for Settings.Message, and one that waits for the next message.
func collect(t *testing.T) (take func(Message), next func() Message) {
	messages := make(chan Message, 1000)
	return func(m Message) { messages <- m }, func() Message {
		t.Helper()
		select {
		case m := <-messages:
			return m
		case <-time.After(within):
			t.Fatal("no message came")
			return Message{}
		}
	}
}

func TestEachUserDoesWhatTheACLSays(t *testing.T) {
	b := mosquitto.Start(t, mosquitto.Options{TLS: true, ACL: acl})
	take, next := collect(t)
	c := open(t, Settings{Endpoint: b.Endpoint("latchkey"), ClientID: "latchkey-1", Message: take,
		Subscriptions: []Subscription{{Topic: "latchkey/site/+/set"}, {Topic: "homeassistant/status"}}})
	home := b.Subscribe("homeassistant", "%t %p %r", "latchkey/site/#", "homeassistant/#")

	publish := func(topic string) error { return c.Publish(t.Context(), topic, []byte("x"), false, 0) }
	for _, topic := range []string{"homeassistant/device/lk/config", "latchkey/site/door/state"} {
		if err := publish(topic); err != nil {
			t.Errorf("%s: %v", topic, err)
		}
		if got, want := home.Next(), topic+" x 0"; got != want {
			t.Errorf("got %q, want %q", got, want)
		}
	}
	for _, topic := range []string{"homeassistant/status", "latchkey/other/door/state", "zigbee/lamp/set"} {
		err := publish(topic)
		var r *Refusal
		if !errors.As(err, &r) || r.Code != NotAuthorized || !IsPermanent(err) {
			t.Errorf("%s: got %v, want not authorized", topic, err)
		}
	}

	// Another client with rights of its own, by the program that is not ours.
	for _, try := range []struct {
		user, topic string
		want        bool
	}{{"homeassistant", "latchkey/site/door/set", true}, {"homeassistant", "homeassistant/status", false},
		{"homeassistant", "latchkey/site/door/state", false}, {"lamp", "latchkey/site/door/set", false}} {
		said := b.Publish(try.user, try.topic, "command")
		if refused := strings.Contains(said, "Not authorized"); refused == try.want {
			t.Errorf("%s to %s: mosquitto_pub says %q", try.user, try.topic, said)
		}
	}
	if m := next(); m.Topic != "latchkey/site/door/set" || string(m.Payload) != "command" || m.Retained {
		t.Errorf("got %+v, want the command of homeassistant", m)
	}
}

func TestAMessageThatWasKeptIsToldApart(t *testing.T) {
	b := mosquitto.Start(t, mosquitto.Options{})
	b.Publish("", "door/set", "before", "-r")
	b.Publish("", "list/a", "kept", "-r")
	take, next := collect(t)
	s := Settings{Endpoint: b.Endpoint(""), ClientID: "latchkey-1", Message: take,
		Subscriptions: []Subscription{{Topic: "door/set"}, {Topic: "list/+", Retained: true}}}
	open(t, s)
	if m := next(); m.Topic != "list/a" || !m.Retained {
		t.Errorf("got %+v, want what is kept of the list, and nothing else", m)
	}
	b.Publish("", "door/set", "now")
	if m := next(); string(m.Payload) != "now" || m.Retained || time.Since(m.At) > within {
		t.Errorf("got %+v, want the message that is not kept", m)
	}
	b.Publish("", "door/set", "to keep", "-r")
	if m := next(); string(m.Payload) != "to keep" || !m.Retained {
		t.Errorf("got %+v, want the mark of a message that is to be kept", m)
	}
}

// TestNothingWaitsForUs sends a message while we are away.
func TestNothingWaitsForUs(t *testing.T) {
	b := mosquitto.Start(t, mosquitto.Options{})
	take, next := collect(t)
	s := Settings{Endpoint: b.Endpoint(""), ClientID: "latchkey-1", Message: take,
		Subscriptions: []Subscription{{Topic: "door/set"}}}
	open(t, s).Close()
	b.Publish("", "door/set", "while away")
	open(t, s)
	b.Publish("", "door/set", "now")
	if m := next(); string(m.Payload) != "now" {
		t.Errorf("got %q, which was sent while nobody was there", m.Payload)
	}
}

func TestTheWillIsSentHoweverTheConnectionEnds(t *testing.T) {
	b := mosquitto.Start(t, mosquitto.Options{})
	reader := b.Subscribe("", "%p %r", "status")
	proxy := badnet.Start(t, b.Addr())
	s := Settings{Endpoint: b.EndpointAt(proxy.Addr(), ""), ClientID: "latchkey-1",
		Will: &Will{Topic: "status", Payload: []byte("offline")}}
	for name, end := range map[string]func(*Conn){
		"closed here":            func(c *Conn) { c.Close() },
		"cut":                    func(*Conn) { proxy.Cut() },
		"another with the id":    func(*Conn) { open(t, s).Close() },
		"the network is silent":  func(*Conn) { proxy.Freeze(); proxy.Cut(); proxy.Thaw() },
		"closed here, and again": func(c *Conn) { c.Close(); c.Close() },
	} {
		t.Run(name, func(t *testing.T) {
			c := open(t, s)
			if err := c.Publish(t.Context(), "status", []byte("online"), true, 0); err != nil {
				t.Fatal(err)
			}
			if got := reader.Next(); got != "online 0" {
				t.Fatalf("got %q", got)
			}
			end(c)
			if got := reader.Next(); got != "offline 0" {
				t.Errorf("got %q, want the will", got)
			}
			if name == "another with the id" && reader.Next() != "offline 0" {
				t.Error("the will of the second connection is missing")
			}
		})
	}
	if got := b.Subscribe("", "%p %r", "status").Next(); got != "offline 1" {
		t.Errorf("got %q, want the will, retained", got)
	}
}

func TestWhyThereIsNoConnection(t *testing.T) {
	users := mosquitto.Start(t, mosquitto.Options{Users: map[string]string{"latchkey": "right"}})
	certificates := mosquitto.Start(t, mosquitto.Options{TLS: true, ACL: acl})
	wrong := users.Endpoint("latchkey")
	wrong.Password = keys.Hide("wrong")
	without := certificates.Endpoint("latchkey")
	without.Cert, without.Key = "", keys.Hidden{}
	stranger := certificates.Endpoint("latchkey")
	stranger.CA = mosquitto.Start(t, mosquitto.Options{TLS: true}).Endpoint("latchkey").CA
	public := users.Endpoint("latchkey")
	public.Private = false
	old := users.Endpoint("latchkey")
	old.URL = "mqtt://" + badnet.Answer(t, "\x20\x02\x00\x01")
	kind := users.Endpoint("latchkey")
	kind.URL = "mqtt://" + badnet.Answer(t, "\x20\x02\x00\x00")
	http := users.Endpoint("latchkey")
	http.URL = "mqtt://" + badnet.Answer(t, "HTTP/1.1 400 Bad Request\r\n\r\n")
	nobody := users.Endpoint("latchkey")
	nobody.URL = "mqtt://" + badnet.Answer(t, "")

	for name, try := range map[string]struct {
		endpoint  endpoint.Endpoint
		permanent bool
		want      string
	}{
		"wrong password":                 {wrong, true, "authorized"},
		"no password":                    {users.Endpoint("nobody"), true, "authorized"},
		"no certificate":                 {without, true, "certificate required"},
		"a certificate nobody knows":     {stranger, true, "certificate"},
		"an address that it may not use": {public, true, "--private"},
		"MQTT 3.1.1, refuses":            {old, true, "does not speak MQTT 5"},
		"MQTT 3.1.1, takes anything":     {kind, true, "does not speak MQTT 5"},
		"another protocol":               {http, false, "does not speak MQTT"},
		"nobody answers":                 {nobody, false, "does not speak MQTT 5"},
	} {
		t.Run(name, func(t *testing.T) {
			// A server that refuses a certificate ends the connection, which may arrive first.
			for deadline := time.Now().Add(within); ; {
				c, err := Open(t.Context(), Settings{Endpoint: try.endpoint, ClientID: "latchkey-1"})
				if err == nil {
					c.Close()
					t.Fatal("the connection was taken")
				}
				if IsPermanent(err) == try.permanent && strings.Contains(err.Error(), try.want) {
					return
				}
				if time.Now().After(deadline) {
					t.Fatalf("got %v (permanent: %v), want %q (%v)", err, IsPermanent(err), try.want,
						try.permanent)
				}
			}
		})
	}
}

// greeting is a CONNACK without properties.
const greeting = "\x20\x03\x00\x00\x00"

// TestAServerCannotHarmUs has what a broken or hostile server may send. A panic of the library would
// end the test.
func TestAServerCannotHarmUs(t *testing.T) {
	for name, bytes := range map[string]string{
		"a packet of 256 MB":            greeting + "\x30\xff\xff\xff\x7f",
		"a length of five bytes":        greeting + "\x30\xff\xff\xff\xff\x7f",
		"a CONNACK that asks for more":  "\x20\x07\x00\x00\x04\x15\x00\x01x",
		"AUTH":                          "\xf0\x00",
		"AUTH later":                    greeting + "\xf0\x02\x18\x00",
		"a second CONNACK":              greeting + greeting,
		"PUBREC":                        greeting + "\x50\x02\x00\x01",
		"PUBREL":                        greeting + "\x62\x02\x00\x01",
		"PUBCOMP":                       greeting + "\x70\x02\x00\x01",
		"CONNECT":                       greeting + "\x10\x0d\x00\x04MQTT\x05\x02\x00\x3c\x00\x00\x00",
		"a packet of type 0":            greeting + "\x00\x00",
		"QoS 2":                         greeting + "\x34\x06\x00\x01a\x00\x01\x00",
		"QoS 1 without an id":           greeting + "\x32\x06\x00\x01a\x00\x00\x00",
		"no topic":                      greeting + "\x30\x03\x00\x00\x00",
		"properties of negative length": greeting + "\x30\x08\x00\x01a\xff\xff\xff\xff\x0f",
		"a packet that is cut off":      greeting + "\x30\x20\x00\x01a",
		"a SUBACK that nobody asked":    greeting + "\x90\x04\x00\x05\x00\x01\xe0\x00",
		"acknowledges what nobody sent": greeting + "\x40\x02\x00\x07\xe0\x00",
		"sends us away":                 greeting + "\xe0\x01\x8e",
		"sends us away, empty":          greeting + "\xe0\x00",
	} {
		t.Run(name, func(t *testing.T) {
			e := endpoint.Endpoint{URL: "mqtt://" + badnet.Answer(t, bytes), Private: true}
			c, err := Open(t.Context(), Settings{Endpoint: e, ClientID: "latchkey-1"})
			if err != nil {
				return
			}
			select {
			case <-c.Done():
			case <-time.After(within):
				t.Error("the connection holds")
			}
			if c.Err() == nil {
				t.Error("it does not say why the connection has ended")
			}
			c.Close()
		})
	}
}

func TestASlowReaderHoldsNothingUp(t *testing.T) {
	b := mosquitto.Start(t, mosquitto.Options{})
	let := make(chan struct{})
	c := open(t, Settings{Endpoint: b.Endpoint(""), ClientID: "latchkey-1",
		Subscriptions: []Subscription{{Topic: "a"}}, Message: func(Message) { <-let }})
	defer close(let)
	// mosquitto sends our own messages back to us.
	for range 3 * maxWaiting {
		if err := c.Publish(t.Context(), "a", []byte("x"), false, 0); err != nil {
			t.Fatal(err)
		}
	}
	for deadline := time.Now().Add(within); c.Dropped() != 2*maxWaiting-1; time.Sleep(time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("dropped %d messages, want %d", c.Dropped(), 2*maxWaiting-1)
		}
	}
}

func TestTheServersLimitHolds(t *testing.T) {
	b := mosquitto.Start(t, mosquitto.Options{Lines: "max_packet_size 1000"})
	c := open(t, Settings{Endpoint: b.Endpoint(""), ClientID: "latchkey-1"})
	var r *Refusal
	if err := c.Publish(t.Context(), "a", make([]byte, 1000), false, 0); !errors.As(err, &r) ||
		r.Code != PacketTooLarge {
		t.Errorf("got %v, want too large", err)
	}
	if err := c.Publish(t.Context(), "a", make([]byte, 900), false, 0); err != nil {
		t.Error(err)
	}
	for _, topic := range []string{"", "a/+", "a/#", "a\x00", "a\xff", strings.Repeat("a", maxTopic+1)} {
		if err := c.Publish(t.Context(), topic, nil, false, 0); err == nil {
			t.Errorf("the topic %q is taken", topic)
		}
	}
}

func TestALargeMessageDoesNotArriveAndHarmsNothing(t *testing.T) {
	b := mosquitto.Start(t, mosquitto.Options{})
	take, next := collect(t)
	c := open(t, Settings{Endpoint: b.Endpoint(""), ClientID: "latchkey-1", Message: take,
		Subscriptions: []Subscription{{Topic: "a"}}})
	if err := c.Publish(t.Context(), "a", make([]byte, MaxPacket), false, 0); err != nil {
		t.Fatal(err)
	}
	if err := c.Publish(t.Context(), "a", []byte("small"), false, 0); err != nil {
		t.Fatal(err)
	}
	if m := next(); string(m.Payload) != "small" || c.Err() != nil {
		t.Errorf("got %d bytes, %v, want the small message", len(m.Payload), c.Err())
	}
}

func TestACallThatIsOverSparesTheConnection(t *testing.T) {
	b := mosquitto.Start(t, mosquitto.Options{})
	c := open(t, Settings{Endpoint: b.Endpoint(""), ClientID: "latchkey-1"})
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	for range 100 {
		if err := c.Publish(ctx, "a", nil, false, 0); !errors.Is(err, context.Canceled) {
			t.Fatalf("got %v, want that of the context", err)
		}
	}
	if err := c.Publish(t.Context(), "a", nil, false, 0); err != nil {
		t.Error(err)
	}
}

func TestMessagesKeepTheirOrderAndALostOneIsKnown(t *testing.T) {
	b := mosquitto.Start(t, mosquitto.Options{})
	reader := b.Subscribe("", "%p", "a")
	proxy := badnet.Start(t, b.Addr())
	c := open(t, Settings{Endpoint: b.EndpointAt(proxy.Addr(), ""), ClientID: "latchkey-1"})
	var sent []*Sent
	for i := range 200 {
		one, err := c.Start(t.Context(), Publication{Topic: "a", Payload: fmt.Append(nil, i)})
		if err != nil {
			t.Fatal(err)
		}
		sent = append(sent, one)
	}
	for i, one := range sent {
		if err := one.Wait(t.Context()); err != nil {
			t.Fatal(err)
		}
		if got := reader.Next(); got != fmt.Sprint(i) {
			t.Fatalf("got %s, want %d", got, i)
		}
	}
	proxy.Freeze()
	one, err := c.Start(t.Context(), Publication{Topic: "a", Payload: []byte("lost")})
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := one.Wait(ctx); !errors.Is(err, context.Canceled) {
		t.Errorf("got %v, want that of the context", err)
	}
	proxy.Cut()
	if err := one.Wait(t.Context()); !errors.Is(err, ErrLost) || IsPermanent(err) {
		t.Errorf("got %v, want ErrLost", err)
	}
	if _, err := c.Start(t.Context(), Publication{Topic: "a"}); err == nil {
		t.Error("a message is taken by a connection that has ended")
	}
}

func TestASilentServerIsFoundOut(t *testing.T) {
	b := mosquitto.Start(t, mosquitto.Options{})
	proxy := badnet.Start(t, b.Addr())
	c := open(t, Settings{Endpoint: b.EndpointAt(proxy.Addr(), ""), ClientID: "latchkey-1",
		KeepAlive: time.Second})
	proxy.Freeze()
	select {
	case <-c.Done():
	case <-time.After(within):
		t.Fatal("a connection without answers holds")
	}
	start := time.Now()
	c.Close()
	if took := time.Since(start); took > 10*closeWithin {
		t.Errorf("closing it took %v", took)
	}
}

// TestTheClientComesBack has a server that is restarted, and one that is not there at first.
func TestTheClientComesBack(t *testing.T) {
	b := mosquitto.Start(t, mosquitto.Options{})
	b.Stop()
	up := make(chan struct{}, 100)
	client, err := NewClient(Settings{Endpoint: b.Endpoint(""), ClientID: "latchkey-1",
		Will: &Will{Topic: "status", Payload: []byte("offline")},
		Up: func(ctx context.Context, c *Conn) {
			if err := c.Publish(ctx, "status", []byte("online"), true, 0); err == nil {
				up <- struct{}{}
			}
			<-ctx.Done() // Up may last as long as the connection
		}}, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	if err := client.Publish(t.Context(), "a", nil, false, 0); !errors.Is(err, ErrOffline) {
		t.Errorf("got %v, want ErrOffline", err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- client.Run(ctx) }()
	await(t, func() bool { s := client.Status(); return !s.Connected && s.Error != "" && !s.Since.IsZero() })
	for range 2 {
		b.Restart()
		select {
		case <-up:
		case <-time.After(within):
			t.Fatal("it does not come back")
		}
		await(t, func() bool { return client.Status().Connected })
		if err := client.Publish(t.Context(), "a", nil, false, 0); err != nil {
			t.Error(err)
		}
		b.Stop()
		await(t, func() bool { return !client.Status().Connected })
	}
	b.Restart()
	await(t, func() bool { return client.Status().Connected })
	cancel()
	if err := <-done; err != nil || client.Status().Connected {
		t.Errorf("got %v, %+v, want a clean end", err, client.Status())
	}
	if got := b.Subscribe("", "%p", "status").Next(); got != "offline" {
		t.Errorf("got %q after the end, want the will", got)
	}
}

func await(t *testing.T, holds func() bool) {
	t.Helper()
	for deadline := time.Now().Add(within); !holds(); time.Sleep(5 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatal("it does not come to this")
		}
	}
}

func TestThePauseGrowsToAMinute(t *testing.T) {
	for fails := range 100 {
		want := min(firstPause<<min(fails, 10), maxPause)
		if got := pauseAfter(fails); got < want/2 || got > want {
			t.Errorf("after %d failures: got %v, want %v to %v", fails, got, want/2, want)
		}
	}
}

func TestSettingsAreChecked(t *testing.T) {
	good := Settings{Endpoint: endpoint.Endpoint{URL: "mqtts://broker.example"}, ClientID: "latchkey-1"}
	for name, change := range map[string]func(*Settings){
		"no client id":            func(s *Settings) { s.ClientID = "" },
		"another protocol":        func(s *Settings) { s.Endpoint.URL = "https://broker.example" },
		"not encrypted":           func(s *Settings) { s.Endpoint.URL = "mqtt://broker.example" },
		"a keepalive in parts":    func(s *Settings) { s.KeepAlive = 1500 * time.Millisecond },
		"a will to a filter":      func(s *Settings) { s.Will = &Will{Topic: "a/#"} },
		"a user in the URL":       func(s *Settings) { s.Endpoint.URL = "mqtts://a:b@broker.example" },
		"a keepalive of two days": func(s *Settings) { s.KeepAlive = 48 * time.Hour },
	} {
		s := good
		change(&s)
		if _, err := NewClient(s, slog.Default()); err == nil {
			t.Errorf("%s: taken", name)
		}
		if _, err := Open(t.Context(), s); err == nil {
			t.Errorf("%s: opened", name)
		}
	}
	if _, err := NewClient(good, slog.Default()); err != nil {
		t.Error(err)
	}
	if !IsPermanent(fmt.Errorf("x: %w", dial.ErrAddress)) || IsPermanent(nil) || IsPermanent(ErrLost) {
		t.Error("IsPermanent tells them apart wrongly")
	}
}
