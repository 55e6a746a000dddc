package homeassistant

import (
	"fmt"
	"testing"

	"latchkey/gateway/access"
	"latchkey/gateway/mqtt"
)

// A broker, or somebody with its rights, can make up announcements of ours without end. They take
// little memory, and make few messages.
func TestMadeUpAnnouncementsAreBounded(t *testing.T) {
	b := &bridge{cfg: Config{Policy: func() *access.Policy { return &access.Policy{} }},
		topics: topics{"latchkey", "homeassistant", "h3n8p2r5tv"}, wake: make(chan struct{}, 1),
		stale: map[access.ID]bool{}}
	for i := range 5 * maxStale {
		b.take(mqtt.Message{Topic: b.topics.config(access.ID(fmt.Sprintf("%010d", i))), Payload: []byte("{}")})
	}
	if n := len(b.forgetStale(b.cfg.Policy())); n == 0 || n > maxStale*(1+len(retainedLeaves)) {
		t.Errorf("got %d messages", n)
	}
	if len(b.stale) != 0 {
		t.Errorf("%d are left", len(b.stale))
	}
}
