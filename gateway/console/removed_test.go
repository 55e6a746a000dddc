package console_test

import (
	"context"
	"fmt"
	"regexp"
	"strings"
	"testing"

	"latchkey/gateway/audit"
)

// Where events were removed, a page says so, and no page is empty.
func TestPagesSayThatEventsWereRemoved(t *testing.T) {
	h := newHouse(t)
	for range 250 {
		if _, err := h.store.Record(context.Background(), audit.Event{Kind: audit.EventReport, Detail: "old"}); err != nil {
			t.Fatal(err)
		}
	}
	head, _ := h.store.Head()
	for was := h.store.First(); ; was = h.store.First() {
		if _, err := h.store.RemoveOldest(context.Background(), head-150, 30); err != nil {
			t.Fatal(err)
		}
		if h.store.First() == was {
			break
		}
	}
	first := h.store.First()
	b := h.newBrowser().signIn("owner")
	sentence := fmt.Sprintf("Events before number %d were removed on 20", first)
	rows := regexp.MustCompile(`<tr id="e-(\d+)"`)
	for path, want := range map[string]struct {
		rows     int
		sentence bool
		older    bool
		text     string
	}{
		"/events": {100, false, true, ""},
		fmt.Sprintf("/events?before=%d", first+50):           {50, true, false, ""},
		fmt.Sprintf("/events?before=%d", first):              {0, true, false, fmt.Sprintf("No event before number %d is kept.", first)},
		"/events?before=5":                                   {0, true, false, "No event before number 5 is kept."},
		fmt.Sprintf("/events?before=%d&kind=alarm", first+9): {0, true, false, "There is no such event before number"},
	} {
		_, text := b.do("GET", path, "")
		if n := len(rows.FindAllString(text, -1)); n != want.rows || strings.Contains(text, sentence) != want.sentence ||
			strings.Contains(text, ">Older</a>") != want.older || !strings.Contains(text, want.text) {
			t.Errorf("%s: got %d rows, want %d, the sentence: %v, Older: %v, %q", path, n, want.rows, want.sentence,
				want.older, want.text)
		}
	}
	_, csv := b.do("GET", "/events.csv?kind=report", "")
	if n := strings.Count(csv, "\n"); n < 140 || n > 160 {
		t.Errorf("got %d lines of CSV, want some 150", n)
	}
	if _, text := b.do("POST", "/health/verify", ""); !strings.Contains(text, "The chain is whole") ||
		!strings.Contains(text, sentence) {
		t.Error("the check of the chain does not say what was removed")
	}
}
