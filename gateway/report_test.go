package gateway

import (
	"testing"
	"time"

	"latchkey/coapres/wire"
)

func flagged(name string, v bool) wire.Measurement {
	return wire.Measurement{Name: name, Type: wire.FlagValue, Flag: v}
}

func TestAlarms(t *testing.T) {
	tamper, boot := reportTamper, wire.Measurement{Name: reportBoot, Type: wire.TextValue, Text: "power"}
	type step struct {
		at    time.Duration
		m     wire.Measurement
		wrong bool
		want  bool
	}
	for _, c := range []struct {
		rule  string
		steps []step
	}{
		{"a flag alarms when it comes on", []step{{0, flagged(tamper, false), false, false}, {1, flagged(tamper, true), true, true}}},
		{"and not while it stays on", []step{{0, flagged(tamper, true), true, true}, {time.Hour, flagged(tamper, true), true, false}}},
		{"and again when it was off", []step{{0, flagged(tamper, true), true, true}, {time.Minute, flagged(tamper, false), false, false},
			{2 * time.Minute, flagged(tamper, true), true, true}}},
		{"a flag that is on and not wrong is no alarm later", []step{{0, flagged(reportContact, true), false, false}, {time.Hour, flagged(reportContact, true), true, false}}},
		{"not too often", []step{{0, flagged(tamper, true), true, true}, {1, flagged(tamper, false), false, false},
			{alarmInterval - 1, flagged(tamper, true), true, false}}},
		{"what was too early alarms with the next report", []step{{0, flagged(tamper, true), true, true}, {1, flagged(tamper, false), false, false},
			{2, flagged(tamper, true), true, false}, {alarmInterval, flagged(tamper, true), true, true}, {2 * alarmInterval, flagged(tamper, true), true, false}}},
		{"one name does not hide another", []step{{0, boot, true, true}, {1, flagged(tamper, true), true, true}, {2, flagged(reportContact, true), true, true}}},
		{"every restart alarms, not too often", []step{{0, boot, true, true}, {alarmInterval - 1, boot, true, false}, {alarmInterval, boot, true, true}}},
	} {
		var r reports
		now := time.Now()
		for i, s := range c.steps {
			if got := r.mayAlarm("d", s.m, now.Add(s.at), s.wrong); got != s.want {
				t.Errorf("%s: step %d: got %v, want %v", c.rule, i, got, s.want)
			}
		}
	}
}
