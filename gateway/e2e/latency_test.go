package e2e

import (
	"testing"
	"time"

	"latchkey/gateway/admin/api"
	"latchkey/gateway/admin/client"
	"latchkey/gateway/store"
)

func (s *site) latency() api.Latency {
	s.t.Helper()
	l, err := client.Call(s.t.Context(), client.InProcess(s.gw.AdminHandler()).RoundTrip, api.GetLatency,
		api.Nothing{})
	if err != nil {
		s.t.Fatal(err)
	}
	return l
}

// A decision is counted when it is on disk, and a receipt when it comes. A denied scan has no
// receipt.
func TestLatencyCounts(t *testing.T) {
	t.Parallel()
	d := newDoor(t, store.Options{})
	if l := d.latency(); l.Durable.Count != 0 || l.Receipt.Count != 0 || l.Durable.Curve == nil ||
		time.Since(l.Since) > time.Minute {
		t.Errorf("got %+v at the start, want no measurements", l)
	}
	d.connectNodes(d.addr, d.addr)
	for _, uid := range [][]byte{annsCard, {9, 9, 9, 9}, annsCard} {
		if _, err := d.scan(uid); err != nil {
			t.Fatal(err)
		}
	}
	l := d.latency()
	if l.Durable.Count != 3 || l.Receipt.Count != 2 {
		t.Fatalf("got %d decisions and %d receipts, want 3 and 2", l.Durable.Count, l.Receipt.Count)
	}
	for name, of := range map[string]api.Distribution{"durable": l.Durable, "receipt": l.Receipt} {
		if of.P50 <= 0 || of.P50 > of.P90 || of.P90 > of.P99 || of.P99 > of.P999 || of.P999 > of.Max ||
			of.Max > 10_000 {
			t.Errorf("%s: got %+v, want times in ms that grow", name, of)
		}
		last := api.Point{}
		for _, p := range of.Curve {
			if p.Percentile < last.Percentile || p.MS < last.MS || p.Percentile > 100 {
				t.Errorf("%s: got %v after %v, want a rising curve", name, p, last)
			}
			last = p
		}
		if last.Percentile != 100 || last.MS < of.P999 || last.MS > of.Max*1.02 {
			t.Errorf("%s: got the end %v of the curve, want it at the longest, %v ms", name, last, of.Max)
		}
	}
	if l.Receipt.Max < l.Durable.P50 {
		t.Errorf("got a receipt after %v ms at most, want it after the decision, %v", l.Receipt.Max,
			l.Durable.P50)
	}
}
