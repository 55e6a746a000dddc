package page

import (
	"slices"
	"testing"
	"time"

	"latchkey/gateway/admin/api"
)

func TestSinkInWords(t *testing.T) {
	status := func(state string) *api.SinkStatus { return &api.SinkStatus{State: state, Why: "HTTP 502"} }
	for name, tt := range map[string]struct {
		sink            api.Sink
		word, tone, why string
	}{
		"the gateway has not told": {api.Sink{}, "not known yet", "unknown", ""},
		"all is sent":              {api.Sink{Status: status("waiting")}, "up to date", "good", ""},
		"some are on the way":      {api.Sink{Status: status("sending")}, "sending", "good", ""},
		"it fails":                 {api.Sink{Status: status("failing")}, "failing", "bad", "HTTP 502"},
		"it is paused": {api.Sink{Status: status("paused"), Paused: "by al"}, "paused", "bad",
			"by al"},
		"paused, and nobody has told": {api.Sink{Paused: "by al"}, "paused", "bad", "by al"},
		"paused, but it still sends": {api.Sink{Status: status("sending"), Paused: "by al"}, "paused", "bad",
			"by al"},
		"resumed, but it does not yet":   {api.Sink{Status: status("paused")}, "about to go on", "unknown", ""},
		"a state that is not known here": {api.Sink{Status: status("asleep")}, "asleep", "unknown", ""},
	} {
		s := Sink{tt.sink}
		if s.Word() != tt.word || s.Tone() != tt.tone || s.Why() != tt.why {
			t.Errorf("%s: got %q, %q, %q, want %q, %q, %q", name, s.Word(), s.Tone(), s.Why(), tt.word, tt.tone, tt.why)
		}
	}
	now := time.Date(2026, 5, 1, 12, 0, 0, 0, time.UTC)
	late := Sink{api.Sink{Status: &api.SinkStatus{LagSeconds: 90}}}
	if got := late.Behind(now); !got.Equal(now.Add(-90 * time.Second)) {
		t.Errorf("got %v, want 90 s before", got)
	}
}

func TestIntegrationInWords(t *testing.T) {
	for name, tt := range map[string]struct {
		status           *api.IntegrationStatus
		word, tone, shut string
		refused          []Refusal
	}{
		"the gateway has not told": {nil, "not known yet", "unknown", "", nil},
		"connected": {&api.IntegrationStatus{Connected: true, Refused: map[string]uint64{"rate": 2, "late": 1,
			"unknown": 0}}, "connected", "good", "", []Refusal{{"late", 1}, {"rate", 2}}},
		"not connected, and shut": {&api.IntegrationStatus{CodesAfter: 90}, "not connected", "bad", "1m30s", nil},
	} {
		r := Integration{api.Integration{Status: tt.status}}
		if r.Word() != tt.word || r.Tone() != tt.tone || r.Shut() != tt.shut ||
			!slices.Equal(r.Refusals(), tt.refused) {
			t.Errorf("%s: got %q, %q, %q, %v", name, r.Word(), r.Tone(), r.Shut(), r.Refusals())
		}
	}
}
