package doorwatch

import (
	"testing"
	"time"

	"latchkey/gateway/access"
	"latchkey/gateway/audit"
	"latchkey/gateway/door"
	"latchkey/gateway/store"
)

// An open alarm is found once, with its time, also where the events before it were removed.
func TestOpenAlarmsWhereEventsWereRemoved(t *testing.T) {
	st, err := store.Open(t.Context(), store.Options{InMemory: true})
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = st.Close() }()
	record := func(n int, ev audit.Event) audit.Event {
		t.Helper()
		var kept audit.Event
		for range n {
			if kept, err = st.Record(t.Context(), ev); err != nil {
				t.Fatal(err)
			}
		}
		return kept
	}
	report := audit.Event{Kind: audit.EventReport}
	record(600, report)
	alarm := audit.Event{Kind: audit.EventAlarm, Reason: access.Reason(door.Forced),
		At: time.Date(2026, 11, 1, 8, 0, 0, 0, time.UTC), Target: audit.Named{ID: "door", Name: "front-door"}}
	first := record(1, alarm)
	record(100, report)
	again := alarm
	again.At, again.Cause = time.Time{}, first.Seq
	record(1, again)
	record(20, report)
	for _, to := range []uint64{0, 590, first.Seq - 1} {
		for was := st.First(); ; was = st.First() {
			if _, err := st.RemoveOldest(t.Context(), to, 30); err != nil {
				t.Fatal(err)
			}
			if st.First() == was {
				break
			}
		}
		open, err := findOpenAlarms(t.Context(), st)
		if err != nil || len(open) != 1 || open[0].Seq != first.Seq || !open[0].At.Equal(alarm.At) {
			t.Errorf("removed up to %d: got %+v, %v, want the alarm of event %d", to, open, err, first.Seq)
		}
	}
}
