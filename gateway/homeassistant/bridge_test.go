package homeassistant

import (
	"context"
	"fmt"
	"log/slog"
	"testing"
	"testing/synctest"
	"time"

	"latchkey/gateway/access"
	"latchkey/gateway/endpoint"
	"latchkey/gateway/mqtt"
)

// A broker, or somebody with its rights, can make up announcements of ours without end. They take
// little memory, and make few messages.
func TestMadeUpAnnouncementsAreBounded(t *testing.T) {
	b := &bridge{cfg: Config{Policy: func() *access.Policy { return &access.Policy{} }},
		topics: topics{"latchkey", "homeassistant", "h3n8p2r5tv"}, wake: make(chan struct{}, 1),
		stale: map[access.ID]bool{}}
	for i := range 5 * maxStale {
		b.take(mqtt.Message{Topic: b.topics.config(access.ID(fmt.Sprintf("%010d", i))),
			Payload: []byte("{}")})
	}
	if n := len(b.forgetStale(b.cfg.Policy())); n == 0 || n > maxStale*(1+len(retainedLeaves)) {
		t.Errorf("got %d messages", n)
	}
	if len(b.stale) != 0 {
		t.Errorf("%d are left", len(b.stale))
	}
}

// A bridge that is replaced before it has begun does not let the next one begin while the one before
// is connected: the broker would end one of two connections with the same client id, again and again.
func TestBridgesAreConnectedOneAfterAnother(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := access.New()
		b, err := newBridge(context.Background(), Config{Site: testSite, Log: slog.New(slog.DiscardHandler),
			Policy: func() *access.Policy { return p }}, access.Integration{Base: "latchkey",
			Prefix: "homeassistant", Endpoint: endpoint.Endpoint{URL: "mqtt://127.0.0.1:1"}}, &jams{})
		if err != nil {
			t.Fatal(err)
		}
		before := make(chan struct{})
		go b.run(before)
		synctest.Wait()
		b.retire()
		synctest.Wait()
		select {
		case <-b.done:
			t.Error("it is over while the one before is connected")
		default:
		}
		close(before)
		<-b.done
	})
}

// However much changes, a look is followed by a rest; activities do not wait for that.
func TestChangesWaitForTheRest(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := &bridge{wake: make(chan struct{}, 1), leave: make(chan struct{})}
		for _, c := range []struct{ changed, want time.Duration }{{0, 20 * time.Millisecond},
			{300 * time.Millisecond, 300 * time.Millisecond}, {2 * time.Second, time.Second}} {
			begun := time.Now()
			timer := time.AfterFunc(c.changed, b.wakeUp)
			more := b.wait(t.Context(), nil, 20*time.Millisecond, time.Second)
			if got := time.Since(begun); !more || got != c.want {
				t.Errorf("a change after %v: looked after %v, want %v", c.changed, got, c.want)
			}
			timer.Stop()
		}
		close(b.leave)
		if b.wait(t.Context(), nil, 0, time.Hour) {
			t.Error("it goes on although the integration is removed")
		}
	})
}
