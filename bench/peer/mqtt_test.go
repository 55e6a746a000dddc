package peer

import (
	"context"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"latchkey/bench/load"
)

func startedMQTT(t *testing.T, ctx context.Context, cfg Config, decisions string) *MQTT {
	t.Helper()
	m, err := StartMQTT(ctx, cfg, decisions)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := m.Stop(); err != nil {
			t.Error(err)
		}
	})
	t.Log(m.Version)
	return m
}

// mustTap taps and checks that every tap is granted and that each verdict comes after the command
// has arrived at the lock.
func mustTap(t *testing.T, ctx context.Context, m *MQTT, taps Taps) {
	t.Helper()
	got, err := m.Tap(ctx, taps)
	if err != nil {
		t.Fatal(err)
	}
	var relay, verdict []time.Duration
	for i, tap := range got {
		if tap.Relay <= 0 || tap.Verdict <= tap.Relay {
			t.Errorf("tap %d: got %+v", i, tap)
		}
		relay, verdict = append(relay, tap.Relay), append(verdict, tap.Verdict)
	}
	slices.Sort(relay)
	slices.Sort(verdict)
	t.Logf("%d taps: relay %v %v, verdict %v %v (p50, most)", len(got), relay[len(relay)/2],
		relay[len(relay)-1], verdict[len(verdict)/2],
		verdict[len(verdict)-1])
}

func TestMQTT(t *testing.T) {
	ctx := bounded(t)
	cpus, err := load.CPUs()
	if err != nil {
		t.Fatal(err)
	}
	cfg := config()
	cfg.CPUs = cpus[:1]
	m := startedMQTT(t, ctx, cfg, "")
	taps := Taps{Rate: 100, WarmUp: 10, Count: 50, CPUs: cpus[len(cpus)-1:]}
	mustTap(t, ctx, m, taps)
	mustTap(t, ctx, m, taps) // a second run continues the counter
	if u, err := m.Usage(); err != nil || u.RSS == 0 {
		t.Errorf("got %+v, %v", u, err)
	}
	if f, err := m.Decider.Figures(true); err != nil || f.Mallocs == 0 {
		t.Errorf("got %+v, %v", f, err)
	}
}

func TestMQTTKeepsDecisions(t *testing.T) {
	ctx := bounded(t)
	path := filepath.Join(t.TempDir(), "decisions")
	m := startedMQTT(t, ctx, config(), path)
	mustTap(t, ctx, m, Taps{Rate: 100, WarmUp: 5, Count: 20})
	b, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if n := strings.Count(string(b), "reason=granted"); n != 25 {
		t.Errorf("%d decisions were kept, want 25:\n%s", n, b)
	}
}

func TestMQTTRefusesAWrongKey(t *testing.T) {
	ctx := bounded(t)
	m := startedMQTT(t, ctx, config(), "")
	m.cfg.Secret = config().Secret
	if got, err := m.Tap(ctx, Taps{Rate: 100, Count: 1}); err == nil {
		t.Errorf("got %+v, want an error", got)
	}
	if _, err := m.Tap(ctx, Taps{Rate: 100, Count: 1}); err == nil || !strings.Contains(err.Error(),
		"start anew") {
		t.Errorf("after a failed run: got %v", err)
	}
}

func TestMQTTReportsTapsWithoutAnAnswer(t *testing.T) {
	ctx := bounded(t)
	m := startedMQTT(t, ctx, config(), "")
	m.scans = 100
	mustTap(t, ctx, m, Taps{Rate: 100, Count: 1})
	m.scans = 0 // counters that were used before
	got, err := m.Tap(ctx, Taps{Rate: 100, Count: 2})
	if err != nil {
		t.Fatal(err)
	}
	for i, tap := range got {
		if tap.Relay >= 0 || tap.Verdict >= 0 {
			t.Errorf("tap %d with a used counter was answered: got %+v", i, tap)
		}
	}
}

func TestParseTaps(t *testing.T) {
	got, err := parseTaps("0 10 20\n1 -1 -1\n", 2)
	if err != nil || !slices.Equal(got, []Tap{{10 * time.Microsecond, 20 * time.Microsecond},
		{-time.Microsecond, -time.Microsecond}}) {
		t.Errorf("got %v, %v", got, err)
	}
	for name, text := range map[string]string{"a tap is missing": "0 10 20\n",
		"a number is missing": "0 10 20\n1 30\n", "out of order": "1 10 20\n0 10 20\n"} {
		if got, err := parseTaps(text, 2); err == nil {
			t.Errorf("%s: got %v", name, got)
		}
	}
}
