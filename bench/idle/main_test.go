package main

import (
	"context"
	"encoding/json"
	"fmt"
	"os"
	"strings"
	"testing"
	"time"
)

// TestMain lets a test start its servers as the command does: itself, once more.
func TestMain(m *testing.M) {
	if isServer() {
		os.Exit(serverMain())
	}
	os.Exit(m.Run())
}

// Nothing is said here about how much: that is for comparing side by side on one machine.
func TestEveryServerHoldsItsSessions(t *testing.T) {
	const sessions, rounds = 50, 2
	r := run{servers: servers, sessions: sessions, rounds: rounds, idle: 100 * time.Millisecond}
	if err := r.check(0); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(context.Background(), 2*time.Minute)
	defer cancel()
	if err := r.measure(ctx); err != nil {
		t.Fatal(err)
	}
	var table, text strings.Builder
	if err := r.print(&table, false); err != nil {
		t.Fatal(err)
	}
	if err := r.print(&text, true); err != nil {
		t.Fatal(err)
	}
	for _, name := range servers {
		if n := strings.Count(table.String(), fmt.Sprintf("\n| %s | %d |", name, sessions)); n != 1 {
			t.Errorf("%d lines of %s in the table, want one:\n%s", n, name, table.String())
		}
	}
	var got struct {
		CPUs int   `json:"cpus"`
		Rows []row `json:"rows"`
	}
	if err := json.Unmarshal([]byte(text.String()), &got); err != nil || got.CPUs < 1 || len(got.Rows) != rounds*len(servers) {
		t.Fatalf("got %d rows, %v, want %d rounds of %d servers:\n%s", len(got.Rows), err, rounds, len(servers), text.String())
	}
	for i, w := range got.Rows {
		if w != r.rows[i] || w.Server != servers[i%len(servers)] {
			t.Errorf("row %d: got %+v, want the servers in turn and what was measured, %+v", i, w, r.rows[i])
		}
		if w.Sessions != sessions || w.Answered != sessions || w.Before.Sessions != 0 || w.With.Sessions != sessions || w.After.Sessions != 0 {
			t.Errorf("%s: got %d sessions, %d answered; %d, %d, %d before, with and after; want %d", w.Server, w.Sessions, w.Answered,
				w.Before.Sessions, w.With.Sessions, w.After.Sessions, sessions)
		}
		// A session keeps a buffer of pion's for the next record, of 8 KiB, and at least the goroutine that waits for it.
		if w.Goroutines < 1 || w.Memory < 8<<10 {
			t.Errorf("%s: got %v goroutines and %d bytes per session", w.Server, w.Goroutines, w.Memory)
		}
		if f := w.With; f.RSS == 0 || f.Peak < f.RSS || f.Heap == 0 || f.Stack == 0 || f.Goroutines < sessions {
			t.Errorf("%s: got %+v", w.Server, f)
		}
		if w.After.Goroutines >= w.Before.Goroutines+sessions {
			t.Errorf("%s: got %d goroutines when all sessions have ended, %d before the first", w.Server, w.After.Goroutines, w.Before.Goroutines)
		}
	}
}

func TestWhatIsNotBounded(t *testing.T) {
	good := run{servers: servers, sessions: 1, rounds: 1}
	if err := good.check(0); err != nil {
		t.Fatal(err)
	}
	for name, change := range map[string]func(*run){
		"no sessions":       func(r *run) { r.sessions = 0 },
		"too many sessions": func(r *run) { r.sessions = maxSessions + 1 },
		"no rounds":         func(r *run) { r.rounds = 0 },
		"too many rounds":   func(r *run) { r.rounds = maxRounds + 1 },
		"no idle time":      func(r *run) { r.idle = -1 },
		"too long idle":     func(r *run) { r.idle = maxIdle + 1 },
		"unknown server":    func(r *run) { r.servers = []string{"transport", ""} },
	} {
		r := good
		if change(&r); r.check(0) == nil {
			t.Errorf("%s: got no error", name)
		}
	}
	if good.check(1) == nil {
		t.Error("an argument: got no error")
	}
}

func TestSpread(t *testing.T) {
	number := func(r row) int64 { return r.RSS }
	for _, c := range []struct {
		rows []row
		want string
	}{
		{[]row{{RSS: 7}}, "7"},
		{[]row{{RSS: 7}, {RSS: 7}}, "7"},
		{[]row{{RSS: 9}, {RSS: 7}, {RSS: 8}}, "8 (7–9)"},
	} {
		if got := spread(c.rows, "%d", number); got != c.want {
			t.Errorf("got %q, want %q", got, c.want)
		}
	}
}

func TestKilobytes(t *testing.T) {
	status := []byte("Name:\tidle\nVmHWM:\t   20 kB\nVmRSS:\t    12 kB\nOdd:\t5\n")
	if n, err := kilobytes(status, "VmRSS:"); n != 12<<10 || err != nil {
		t.Errorf("got %d, %v, want %d", n, err, 12<<10)
	}
	for _, name := range []string{"Odd:", "None:"} {
		if n, err := kilobytes(status, name); err == nil {
			t.Errorf("%s: got %d, want an error", name, n)
		}
	}
}
