package coapres

import (
	"bufio"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"strings"
	"testing"
	"testing/synctest"
	"time"
)

func TestJudgeVectors(t *testing.T) {
	f, err := os.Open("wire/testdata/vectors.txt")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = f.Close() }()
	names := map[string]Freshness{"fresh": Fresh, "stale": Stale, "bad": BadAge}
	lines, n := bufio.NewScanner(f), 0
	for lines.Scan() {
		rest, ok := strings.CutPrefix(lines.Text(), "echo ")
		if !ok {
			continue
		}
		var e, age, w int32
		var want string
		if _, err := fmt.Sscanf(rest, "%d %d %d %s", &e, &age, &w, &want); err != nil {
			t.Fatalf("%q: %v", lines.Text(), err)
		}
		n++
		result, known := names[want]
		if got := Judge(e, age, w); !known || got != result {
			t.Errorf("%s: got %d", lines.Text(), got)
		}
	}
	if err := lines.Err(); err != nil || n < 100 {
		t.Errorf("got %d vectors, %v, want at least 100", n, err)
	}
}

func TestZeroFreshnessIsNotFresh(t *testing.T) {
	if Freshness(0) == Fresh {
		t.Error("the zero Freshness is fresh")
	}
}

func TestEchoes(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var mine, other Echoes
		check := func(rule string, e Echo, age int32, want error) {
			t.Helper()
			if err := mine.Check(e[:], age, ScanWindow, time.Now()); !errors.Is(err, want) {
				t.Errorf("%s: got %v, want %v", rule, err, want)
			}
		}
		first := mine.Issue(time.Now())
		check("at once", first, 0, nil)
		check("an Echo may be used twice, because counters stop replays", first, 0, nil)
		check("a tap three seconds before the Echo came", first, -3000, nil)
		check("a tap one millisecond earlier", first, -3001, ErrStale)
		check("an impossible age", first, -60_001, errAgeBounds)
		check("a tap in the future", first, 2, ErrStale)
		check("an Echo that was not issued", Echo{1}, 0, ErrStale)
		check("an Echo of another association", other.Issue(time.Now()), 0, ErrStale)
		if err := mine.Check(nil, 0, ScanWindow, time.Now()); !errors.Is(err, ErrStale) {
			t.Errorf("no Echo: got %v, want stale", err)
		}
		time.Sleep(9 * time.Minute)
		check("an Echo of nine minutes ago, tapped now", first, 9*60_000, nil)
		check("an Echo of nine minutes ago, tapped four seconds ago", first, 9*60_000-4000, ErrStale)
		time.Sleep(time.Minute + time.Millisecond)
		check("an Echo of more than ten minutes ago", first, 10*60_000, ErrStale)
		second := mine.Issue(time.Now())
		for range echoKeep - 1 {
			mine.Issue(time.Now())
		}
		check("the oldest of the last four", second, 0, nil)
		mine.Issue(time.Now())
		check("the one before the last four", second, 0, ErrStale)
	})
}

// If the wall clock and the monotonic clock have moved apart, the machine slept or its clock was
// set, and the Echoes must be forgotten.
func TestSlipped(t *testing.T) {
	at := time.Now()
	for _, c := range []struct {
		rule            string
		monotonic, wall time.Duration
		want            bool
	}{
		{"both clocks moved by the same time", time.Hour, time.Hour, false},
		{"a difference of one second is allowed", time.Minute, time.Minute + time.Second, false},
		{"a larger difference means that the machine slept", time.Minute,
			time.Minute + time.Second + time.Millisecond, true},
		{"the clock was set back", time.Minute, time.Minute - 2*time.Second, true},
	} {
		if got := apart(c.monotonic, c.wall); got != c.want {
			t.Errorf("%s: got %v, want %v", c.rule, got, c.want)
		}
	}
	if Slept(at, at.Add(time.Hour)) {
		t.Error("Slept is true although only time has passed")
	}
}

func TestHeld(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var h Held
		if e, age := h.Age(time.Now(), time.Now()); e != nil || age != 0 {
			t.Errorf("without an Echo: got %x %d, want none", e, age)
		}
		h.Take(nil, time.Now())
		h.Take(make([]byte, 41), time.Now())
		if e, _ := h.Age(time.Now(), time.Now()); e != nil {
			t.Error("an empty Echo, or one of 41 bytes, was stored")
		}
		tapped := time.Now()
		time.Sleep(1500*time.Millisecond + time.Microsecond)
		h.Take([]byte("12345678"), time.Now())
		if _, age := h.Age(tapped, time.Now()); age != -1501 {
			t.Errorf("a tap before the Echo: got age %d, want -1501, rounded down", age)
		}
		time.Sleep(2*time.Second + 999*time.Microsecond)
		if _, age := h.Age(time.Now(), time.Now()); age != 2000 {
			t.Errorf("a tap after the Echo: got age %d, want 2000, rounded down", age)
		}
		time.Sleep(10 * time.Minute)
		if e, _ := h.Age(time.Now(), time.Now()); e != nil {
			t.Error("an Echo of more than ten minutes ago is still used")
		}
		h.Take([]byte("12345678"), time.Now())
		h.Forget()
		if e, _ := h.Age(time.Now(), time.Now()); e != nil {
			t.Error("a forgotten Echo is still used")
		}
	})
}

// If both clocks run at the same rate and the sender sends its true age, a tap that is judged fresh
// is never older than the window, however long the network delays datagrams. And a tap without such
// delays is judged fresh.
func TestFreshIsRecent(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 2))
	fresh := 0
	for range 200_000 {
		synthetic := func(limit time.Duration) time.Duration { return time.Duration(r.Int64N(int64(limit))) }
		start := time.Now()
		issued := start.Add(synthetic(time.Minute))
		// The Echo reaches the node, perhaps delayed by an attacker.
		received := issued.Add(synthetic(6 * time.Second))
		tapped := received.Add(synthetic(20*time.Second) - 8*time.Second)
		sent := received
		if tapped.After(received) {
			sent = tapped
		}
		arrived := sent.Add(synthetic(6 * time.Second)) // the scan reaches the gateway, perhaps delayed too
		var x Echoes
		var h Held
		e := x.Issue(issued)
		h.Take(e[:], received)
		echo, age := h.Age(tapped, sent)
		err := x.Check(echo, age, ScanWindow, arrived)
		old := arrived.Sub(tapped)
		if err == nil {
			fresh++
			if old > ScanWindow {
				t.Fatalf("fresh %v after the tap: issued→received %v, age %d", old, received.Sub(issued), age)
			}
		}
		detour := received.Sub(issued) + arrived.Sub(sent)
		waited := max(received.Sub(tapped), 0)
		if err != nil && detour+waited < ScanWindow-3*time.Millisecond && age > minAge {
			t.Fatalf("stale %v after the tap, with delays of %v: %v", old, detour, err)
		}
	}
	if fresh < 1000 {
		t.Errorf("only %d of the cases were fresh", fresh)
	}
}
