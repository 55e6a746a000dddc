//go:build long

package doorwatch

import (
	"context"
	"sync"
	"testing"
	"time"

	"latchkey/gateway/access"
	"latchkey/gateway/audit"
	"latchkey/gateway/door"
	"latchkey/gateway/store"
)

// The time to find the open alarms at a start does not grow with the number of events.
func TestLongOpenAlarmsAmongAMillionEvents(t *testing.T) {
	st, err := store.Open(t.Context(), store.Options{Dir: t.TempDir()})
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = st.Close() }()
	record := func(ev audit.Event) uint64 {
		kept, err := st.Record(context.Background(), ev)
		if err != nil {
			t.Error(err)
		}
		return kept.Seq
	}
	alarm := audit.Event{Kind: audit.EventAlarm, Reason: access.Reason(door.Forced),
		Device: audit.Named{ID: "lock", Name: "front-lock"},
		Target: audit.Named{ID: "door", Name: "front-door"}, Detail: alarmText[door.Forced]}
	alarm.Cause = record(alarm)
	for _, events := range []int{10_000, 1_000_000} {
		var wg sync.WaitGroup
		head, _ := st.Head()
		for range 256 {
			wg.Go(func() {
				for range (events - int(head)) / 256 {
					record(audit.Event{Kind: audit.EventSession, Device: audit.Named{ID: "reader",
						Name: "front-reader"}, Detail: "registered"})
				}
			})
		}
		wg.Wait()
		record(alarm) // the gateway repeats an open alarm every restateAfter events
		for range restateAfter {
			wg.Go(func() { record(audit.Event{Kind: audit.EventSession, Detail: "closed"}) })
		}
		wg.Wait()
		began := time.Now()
		open, err := findOpenAlarms(t.Context(), st)
		took := time.Since(began)
		if err != nil || len(open) != 1 || open[0].Seq != alarm.Cause {
			t.Fatalf("got %+v, %v, want the alarm of event %d", open, err, alarm.Cause)
		}
		head, _ = st.Head()
		t.Logf("%d events: the open alarms are found within %v", head, took.Round(100*time.Microsecond))
	}
}
