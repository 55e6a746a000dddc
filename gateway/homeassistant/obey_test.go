package homeassistant

import (
	"context"
	"fmt"
	"log/slog"
	"strings"
	"testing"
	"time"

	"latchkey/gateway/access"
	"latchkey/gateway/endpoint"
	"latchkey/gateway/mqtt"
)

// The checks of a command, each in turn, and what a refused one uses up.
func TestChecksOfACommand(t *testing.T) {
	p, err := access.New().With(access.Change{Put: access.Target{ID: testTarget, Name: "front-door",
		Kind:  access.Door,
		Pulse: 3 * time.Second}})
	if err != nil {
		t.Fatal(err)
	}
	trusted := true
	b, err := newBridge(context.Background(), Config{Site: testSite,
		Policy:       func() *access.Policy { return p },
		ClockTrusted: func(time.Time) (bool, string) { return trusted, "" },
		Log:          slog.New(slog.DiscardHandler)},
		access.Integration{Endpoint: endpoint.Endpoint{URL: "mqtt://127.0.0.1:1"}, Base: "latchkey",
			Prefix: "homeassistant"},
		&jams{})
	if err != nil {
		t.Fatal(err)
	}
	defer b.end()
	now := time.Now().Truncate(time.Millisecond) // as fine as the time in a command
	payload := func(made time.Duration) string {
		return fmt.Sprintf(`{"a":"unlock","e":%q,"t":%d}`, b.echoes.current(testTarget, now, echoAge),
			now.Add(made).UnixMilli())
	}
	for _, c := range []struct {
		rule      string
		untrusted bool
		later     time.Duration // when it arrives
		made      time.Duration // by the sender's clock
		edit      func(m *mqtt.Message)
		target    access.ID
		want      refusal
		uses      bool // it uses the echo up
	}{
		{"now", false, 0, 0, nil, testTarget, "", true},
		{"3 s ago", false, 3 * time.Second, 0, nil, testTarget, "", true},
		{"more than 3 s ago", false, 3*time.Second + 2*time.Millisecond, 0, nil, testTarget, refusedLate,
			true},
		{"3 s ahead", false, 0, 3 * time.Second, nil, testTarget, "", true},
		{"more than 3 s ahead", false, 0, 3*time.Second + 2*time.Millisecond, nil, testTarget, refusedLate,
			true},
		{"any time while our clock is not trusted", true, 0, -time.Hour, nil, testTarget, "", true},
		{"with an echo of 10 s while our clock is not trusted", true, 10 * time.Second, 0, nil, testTarget,
			"", true},
		{"with an older echo then", true, 10*time.Second + 1, 0, nil, testTarget, refusedLate, true},
		{"retained", false, 0, 0, func(m *mqtt.Message) { m.Retained = true }, testTarget, refusedRetained,
			false},
		{"retained comes before all else", false, 0, 0, func(m *mqtt.Message) {
			m.Retained,
				m.Payload = true, nil
		}, testTarget, refusedRetained, false},
		{"oversized", false, 0, 0, func(m *mqtt.Message) {
			m.Payload = append(m.Payload, strings.Repeat(" ", maxCommand)...)
		}, testTarget, refusedOversized, false},
		{"not a command", false, 0, 0, func(m *mqtt.Message) { m.Payload = []byte("UNLOCK") }, testTarget,
			refusedUnknown, false},
		{"another target", false, 0, 0, nil, "zzzzzzzzzz", refusedUnknown, false},
		{"another echo", false, 0, 0, func(m *mqtt.Message) {
			m.Payload = fmt.Appendf(nil, `{"a":"unlock","e":"0000000000000000","t":%d}`, now.UnixMilli())
		}, testTarget, refusedRepeated, false},
	} {
		trusted = !c.untrusted
		b.echoes.clear()
		b.rate.Forget(testTarget)
		before := b.echoes.current(testTarget, now, echoAge)
		m := mqtt.Message{Payload: []byte(payload(c.made)), At: now.Add(c.later)}
		if c.edit != nil {
			c.edit(&m)
		}
		if _, got := b.checkCommand(c.target, m); got != c.want {
			t.Errorf("%s: got %q, want %q", c.rule, got, c.want)
		}
		if uses := b.echoes.current(testTarget, now, echoAge) != before; uses != c.uses {
			t.Errorf("%s: the echo is used up: %v, want %v", c.rule, uses, c.uses)
		}
	}
	trusted = true
	b.rate.Forget(testTarget)
	for i := range ratePerMinute + 1 {
		_, got := b.checkCommand(testTarget, mqtt.Message{Payload: []byte(payload(0)), At: now})
		if want := i == ratePerMinute; (got == refusedRate) != want {
			t.Errorf("command %d of a minute: got %q", i+1, got)
		}
	}
	if b.tasks.Wait(); len(b.places) != 0 {
		t.Error("a place is taken")
	}
}
