package sink

import (
	"testing"

	"latchkey/gateway/access"
	"latchkey/gateway/audit"
)

// BenchmarkCatchUp sends a thousand events that wait to a webhook on loopback, with TLS. Time
// without a radio or a network; the receiver runs in the same process.
func BenchmarkCatchUp(b *testing.B) {
	s, c := newSite(b), startReceiver(b)
	r := c.sink("home")
	s.note(audit.EventStart, 1000)
	b.ReportAllocs()
	events := 0
	for b.Loop() {
		r.ID, r.From = access.NewID(), 1
		s.put(r)
		events += int(s.head())
		s.run()
		s.caughtUp()
		s.stop()
		s.remove(r)
	}
	b.ReportMetric(float64(events)/b.Elapsed().Seconds(), "events/s")
}
