package homeassistant

import (
	"testing"
	"time"

	"latchkey/coapres/wire"
	"latchkey/gateway/access"
	"latchkey/gateway/audit"
	"latchkey/gateway/door"
	"latchkey/gateway/doorwatch"
	"latchkey/gateway/session"
)

func TestStateOfALock(t *testing.T) {
	for _, c := range []struct {
		now    door.Headline
		jammed bool
		want   string
	}{
		{door.Locked, false, stateLocked},
		{door.Unlocked, false, stateUnlocked},
		{door.Unlocking, false, stateUnlocking},
		{door.Open, false, stateUnlocked}, // one can walk in, whatever the lock says
		{door.Offline, false, stateUnknown},
		{door.Unknown, false, stateUnknown},
		{door.Unconfirmed, false, stateUnknown}, // the pulse is over, and the lock has not said so
		{door.Unlocked, true, stateJammed},
		{door.Unconfirmed, true, stateJammed},
		{door.Unlocking, true, stateUnlocking},
		{door.Locked, true, stateLocked},
		{door.Offline, true, stateUnknown},
	} {
		// An alarm is shown beside the state of the lock, not instead of it.
		for _, headline := range []door.Headline{c.now, door.Forced, door.Tampered} {
			if got := lockState(door.State{Headline: headline, Now: c.now}, c.jammed); got != c.want {
				t.Errorf("%s, jammed %v: got %s, want %s", c.now, c.jammed, got, c.want)
			}
		}
	}
}

// Whatever is not known of a door, it is not locked.
func TestLockedOnlyWhenTheLockSaidSo(t *testing.T) {
	at := time.Now()
	ago := func(d time.Duration) time.Time { return at.Add(-d) }
	for _, c := range []struct {
		rule string
		lock door.Lock
		want string
	}{
		{"it said so after its pulse", door.Lock{Fitted: true, Online: true, Known: true,
			SaidAt:  ago(time.Second),
			Command: wire.Unlock, CommandAt: ago(time.Minute)}, stateLocked},
		{"the pulse should be over", door.Lock{Fitted: true, Online: true, Known: true,
			SaidAt: ago(5 * time.Second),
			Said:   wire.State{On: true, Left: 3000}}, stateUnknown},
		{"the receipt was lost", door.Lock{Fitted: true, Online: true, Known: false, SaidAt: ago(time.Minute),
			Command: wire.Unlock, CommandAt: ago(5 * time.Second)}, stateUnknown},
		{"an unlock is under way", door.Lock{Fitted: true, Online: true, Known: true,
			SaidAt:  ago(time.Minute),
			Command: wire.Unlock, CommandAt: ago(time.Second)}, stateUnlocking},
		{"it is offline", door.Lock{Fitted: true, Known: true, SaidAt: ago(time.Second)}, stateUnknown},
		{"nothing was read yet", door.Lock{Fitted: true, Online: true}, stateUnknown},
		{"there is no lock", door.Lock{}, stateUnknown},
	} {
		if got := lockState(door.FindState(door.Facts{At: at, Lock: c.lock}), false); got != c.want {
			t.Errorf("%s: got %s, want %s", c.rule, got, c.want)
		}
	}
}

func TestStateOfALamp(t *testing.T) {
	for _, c := range []struct {
		rule string
		view session.View
		ok   bool
		want string
	}{
		{"on", session.View{Online: true, Known: true, State: wire.State{On: true, Level: 40}}, true,
			`{"state":"ON","brightness":40}`},
		{"off", session.View{Online: true, Known: true, State: wire.State{Level: 40}}, true,
			`{"state":"OFF","brightness":null}`},
		{"on without a level", session.View{Online: true, Known: true, State: wire.State{On: true}}, true,
			`{"state":"ON","brightness":null}`},
		{"not known", session.View{Online: true, State: wire.State{On: true}}, true,
			`{"state":null,"brightness":null}`},
		{"offline", session.View{Known: true, State: wire.State{On: true}}, true,
			`{"state":null,"brightness":null}`},
		{"never seen", session.View{}, false, `{"state":null,"brightness":null}`},
	} {
		if got := string(makeLampState(c.view, c.ok)); got != c.want {
			t.Errorf("%s: got %s, want %s", c.rule, got, c.want)
		}
	}
}

func TestSensed(t *testing.T) {
	now := time.Now()
	since := now.Add(-time.Minute)
	open := session.View{Online: true, Since: since, Contact: wire.ContactOpen, ContactAt: now}
	earlier, offline := open, open
	earlier.ContactAt, offline.Online = since.Add(-time.Second), false
	number := func(name, unit string, v float64) doorwatch.Reading {
		return doorwatch.Reading{Measurement: wire.Measurement{Name: name, Unit: unit,
			Type: wire.NumberValue, Number: v}}
	}
	tamper := func(flag, late bool) doorwatch.Reading {
		return doorwatch.Reading{Measurement: wire.Measurement{Name: "tamper", Type: wire.FlagValue,
			Flag: flag}, Late: late}
	}
	const nothing = `{"contact":null,"tamper":null,"alarm":null,"rssi":null,"volts":null}`
	for _, c := range []struct {
		rule     string
		view     session.View
		readings []doorwatch.Reading
		alarms   []doorwatch.Alarm
		want     string
	}{
		{"all", open, []doorwatch.Reading{number("rssi", "dBm", -61), number("supply", "mV", 3100),
			tamper(false, false)},
			[]doorwatch.Alarm{{What: door.Tampered}, {What: door.Forced}},
			`{"contact":"open","tamper":false,"alarm":"forced","rssi":-61,"volts":3.1}`},
		{"the more important alarm stays", session.View{}, nil, []doorwatch.Alarm{{What: door.Forced},
			{What: door.Tampered}},
			`{"contact":null,"tamper":null,"alarm":"forced","rssi":null,"volts":null}`},
		{"nothing", session.View{}, nil, nil, nothing},
		{"a contact of an earlier session", earlier, nil, nil, nothing},
		{"a contact of a lock that is offline", offline, nil, nil, nothing},
		{"a tamper reading that came late", session.View{}, []doorwatch.Reading{tamper(true, true)}, nil,
			nothing},
		{"a text where a number belongs", session.View{},
			[]doorwatch.Reading{{Measurement: wire.Measurement{Name: "rssi",
				Type: wire.TextValue, Text: "x"}}}, nil, nothing},
	} {
		if got := string(makeSensed(c.view, true, c.readings, c.alarms)); got != c.want {
			t.Errorf("%s: got %s, want %s", c.rule, got, c.want)
		}
	}
}

func TestActivity(t *testing.T) {
	front := audit.Named{ID: testTarget, Name: "front-door"}
	bob := audit.Named{ID: "b0b0b0b0b0", Name: "bob"}
	var a activities
	type step struct {
		ev   audit.Event
		want string
	}
	for i, s := range []step{
		{audit.Event{Seq: 1, Kind: audit.EventDecision, Target: front, Person: bob, Card: "e580",
			Source: access.ByCard,
			Reason: access.ReasonOutsideSchedule},
			`{"event_type":"denied","reason":"outside-schedule","person":"bob","source":"card"}`},
		{audit.Event{Seq: 2, Kind: audit.EventDecision, Target: front, Person: bob, Source: access.ByCard,
			Granted: true,
			Reason:  access.ReasonGranted}, ""},
		{audit.Event{Seq: 3, Kind: audit.EventReceipt, Target: front, Cause: 2, Outcome: audit.OutcomeDone},
			`{"event_type":"granted","reason":"granted","person":"bob","source":"card"}`},
		{audit.Event{Seq: 4, Kind: audit.EventReceipt, Target: front, Cause: 2, Outcome: audit.OutcomeDone},
			""}, // told
		{audit.Event{Seq: 5, Kind: audit.EventDecision, Target: front, Source: access.ByOperator,
			Actor: "ann", Granted: true,
			Reason: access.ReasonGranted}, ""},
		{audit.Event{Seq: 6, Kind: audit.EventReceipt, Target: front, Cause: 5,
			Outcome: audit.OutcomeUnknown},
			`{"event_type":"retry","reason":"granted","source":"operator"}`},
		{audit.Event{Seq: 7, Kind: audit.EventAlarm, Target: front, Reason: access.Reason(door.Forced)},
			`{"event_type":"forced"}`},
		{audit.Event{Seq: 8, Kind: audit.EventAlarm, Target: front, Cause: 7,
			Reason: access.Reason(door.Forced)}, ""},
		{audit.Event{Seq: 9, Kind: audit.EventAlarm, Target: front, Reason: access.Reason(door.Tampered)},
			`{"event_type":"tampered"}`},
		{audit.Event{Seq: 10, Kind: audit.EventReport, Target: front, Detail: doorwatch.ExitPressed},
			`{"event_type":"exit"}`},
		{audit.Event{Seq: 11, Kind: audit.EventReport, Target: front, Detail: "started"}, ""},
		{audit.Event{Seq: 12, Kind: audit.EventDecision, Reason: access.ReasonUnknownTarget}, ""},
		{audit.Event{Seq: 13, Kind: audit.EventPolicy, Target: front}, ""},
	} {
		got := ""
		if act, ok := a.note(s.ev); ok {
			got = string(encode(act))
		}
		if got != s.want {
			t.Errorf("step %d: got %s, want %s", i, got, s.want)
		}
	}
	if len(a.pending) != 0 {
		t.Errorf("%d decisions are still pending", len(a.pending))
	}
	for seq := range uint64(10 * maxPending) { // outcomes that never come
		a.note(audit.Event{Seq: seq, Kind: audit.EventDecision, Target: front, Granted: true})
	}
	if len(a.pending) > maxPending {
		t.Errorf("%d decisions are kept", len(a.pending))
	}
}

// What an announcement lists as an event's types is what we send.
func TestEventTypesAreAnnounced(t *testing.T) {
	for _, kind := range []access.TargetKind{access.Door, access.Lamp} {
		types := announced(t, kind, may{})["activity"].(map[string]any)["event_types"].([]any)
		want := 4
		if kind == access.Door {
			want = 6
		}
		if len(types) != want {
			t.Errorf("%s: got %v", kind, types)
		}
	}
}
