package console_test

import (
	"encoding/csv"
	"encoding/json"
	"mime"
	"strings"
	"testing"

	"latchkey/gateway/access"
	"latchkey/gateway/audit"
)

// Both exports have every event that matches the filter, in order, and are sent as files to
// download.
func TestExport(t *testing.T) {
	h := newHouse(t)
	for _, uid := range [][]byte{{4, 0xa1, 0xb2, 0xc3, 0xd4, 0xe5, 0x80}, {9, 9, 9, 9}} {
		if _, err := h.door.Scan(t.Context(), uid); err != nil {
			t.Fatal(err)
		}
	}
	b := h.newBrowser().signIn("owner")
	for _, tt := range []struct {
		query string
		least int // events
		want  func(audit.Event) bool
	}{
		{"", 10, func(audit.Event) bool { return true }},
		{"?kind=decision", 2, func(e audit.Event) bool { return e.Kind == audit.EventDecision }},
		{"?reason=unknown-card", 1, func(e audit.Event) bool { return e.Reason == access.ReasonUnknownCard }},
		{"?person=ann&target=front-door", 1, func(e audit.Event) bool {
			return e.Person.Name == "ann" && e.Target.Name == "front-door"
		}},
		{"?person=nobody", 0, func(audit.Event) bool { return false }},
	} {
		resp, text := b.do("GET", "/events.json"+tt.query, "")
		var events []audit.Event
		if err := json.Unmarshal([]byte(text), &events); err != nil {
			t.Fatalf("%s: %v in %.300s", tt.query, err, text)
		}
		csvResp, text := b.do("GET", "/events.csv"+tt.query, "")
		rows, err := csv.NewReader(strings.NewReader(text)).ReadAll()
		if err != nil {
			t.Fatalf("%s: %v in %.300s", tt.query, err, text)
		}
		if len(events) < tt.least || len(rows) != len(events)+1 || rows[0][0] != "number" {
			t.Errorf("%s: got %d events and %d rows, want the same number, at least %d", tt.query,
				len(events), len(rows)-1, tt.least)
			continue
		}
		for i, e := range events {
			if !tt.want(e) || i > 0 && e.Seq <= events[i-1].Seq {
				t.Errorf("%s: got event %d, %+v", tt.query, e.Seq, e)
			}
			if row := rows[i+1]; row[2] != string(e.Kind) || row[len(row)-1] != e.Hash.String() {
				t.Errorf("%s: got the row %q for event %d", tt.query, row, e.Seq)
			}
		}
		for kind, name := range map[string]string{
			resp.Header.Get("Content-Disposition"):    "latchkey-events.json",
			csvResp.Header.Get("Content-Disposition"): "latchkey-events.csv"} {
			if how, params, err := mime.ParseMediaType(kind); err != nil || how != "attachment" ||
				params["filename"] != name {
				t.Errorf("got %q, want a file %s", kind, name)
			}
		}
	}
}
