package e2e

import (
	"encoding/json"
	"fmt"
	"net/http"
	"testing"
	"time"

	"latchkey/gateway/admin/api"
	"latchkey/gateway/audit"
	"latchkey/gateway/store"
)

// A gateway removes old events soon after somebody has said how long they are kept. Doors open
// meanwhile and after a restart, and all who read events say what was removed.
func TestOldEventsAreRemovedWhileTheGatewayRuns(t *testing.T) {
	t.Parallel()
	o := store.Options{Dir: t.TempDir()}
	past, err := store.Open(t.Context(), o)
	if err != nil {
		t.Fatal(err)
	}
	const days = 40 // 10 events each, but for today
	for i := range 10 * days {
		at := time.Now().Add(-days*24*time.Hour + time.Duration(i)*24*time.Hour/10 + time.Hour)
		if _, err := past.Record(t.Context(), audit.Event{Kind: audit.EventReport, At: at, Detail: "old"}); err != nil {
			t.Fatal(err)
		}
	}
	if err := past.Close(); err != nil {
		t.Fatal(err)
	}
	d := newDoor(t, o)
	d.connectNodes(d.addr, d.addr)
	d.tapUntilGranted("before", time.Now())
	if w := d.callAPI("PUT", "/v1/retention", `{"days":30}`); w.Code != http.StatusOK {
		t.Fatalf("got %d %s", w.Code, w.Body)
	}
	eventually(t, "events of the first ten days are removed", 30*time.Second,
		func() bool { return d.store.First() == 101 })
	d.tapUntilGranted("after", time.Now())

	sentence := fmt.Sprintf("Events before number 101 were removed on %s, because events are kept for 30 days.",
		time.Now().UTC().Format("2006-01-02"))
	get := func(method, path, body string, out any) {
		t.Helper()
		w := d.callAPI(method, path, body)
		if err := json.Unmarshal(w.Body.Bytes(), out); w.Code != http.StatusOK || err != nil {
			t.Fatalf("%s: got %d %s, %v", path, w.Code, w.Body, err)
		}
	}
	check := func() {
		t.Helper()
		var events api.Events
		get("GET", "/v1/events?from=1&limit=5", "", &events)
		if len(events.Items) != 5 || events.Items[0].Seq != 101 || events.Next != 106 ||
			events.Removed.Sentence(time.UTC) != sentence {
			t.Errorf("got %+v, want five events from 101 on, and %q", events, sentence)
		}
		get("GET", "/v1/events?q=old&limit=1000", "", &events)
		if len(events.Items) != 300 {
			t.Errorf("found %d events, want 300", len(events.Items))
		}
		var verified api.Verified
		get("POST", "/v1/audit/verify", `{}`, &verified)
		if !verified.OK || verified.Removed.Before != 101 {
			t.Errorf("got %+v, want the chain verified", verified)
		}
	}
	check()
	d.stop()
	if err := d.store.Close(); err != nil {
		t.Fatal(err)
	}
	d.openStore()
	d.start()
	check()
	d.tapUntilGranted("after a restart", time.Now())
}
