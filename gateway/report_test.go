package gateway

import (
	"testing"
	"time"

	"latchkey/coapres/wire"
)

func flagged(name string, v bool) wire.Measurement {
	return wire.Measurement{Name: name, Type: wire.FlagValue, Flag: v}
}

func TestReportsAreTold(t *testing.T) {
	type step struct {
		at   time.Duration
		name string
		want bool
	}
	for _, c := range []struct {
		rule  string
		steps []step
	}{
		{"each press and each restart is told", []step{{0, reportExit, true}, {reportInterval, reportExit, true}}},
		{"not too often", []step{{0, reportBoot, true}, {reportInterval - 1, reportBoot, false}, {reportInterval, reportBoot, true}}},
		{"one name does not hide another", []step{{0, reportBoot, true}, {1, reportExit, true}}},
	} {
		var r reports
		now := time.Now()
		for i, s := range c.steps {
			if got := r.mayTell("d", s.name, now.Add(s.at)); got != s.want {
				t.Errorf("%s: step %d: got %v, want %v", c.rule, i, got, s.want)
			}
		}
	}
}

func TestFlagsComeOn(t *testing.T) {
	var r reports
	for i, s := range []struct{ flag, want bool }{{false, false}, {true, true}, {true, false}, {false, false}, {true, true}} {
		if got := r.comesOn("d", flagged(reportTamper, s.flag)); got != s.want {
			t.Errorf("step %d: got %v, want %v", i, got, s.want)
		}
	}
}
