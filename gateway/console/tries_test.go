package console

import (
	"fmt"
	"testing"
	"time"
)

// clock is a time that a test moves.
type clock struct{ at time.Time }

func (c *clock) now() time.Time { return c.at }

func newTries() (*tries, *clock) {
	c := &clock{time.Date(2026, 11, 27, 12, 0, 0, 0, time.UTC)}
	return &tries{now: c.now}, c
}

// each try is from another address, or of another name, where that is not what counts.
func fresh(i int) string { return fmt.Sprintf("192.0.2.%d", i) }

func TestNameWaitsLongerAndLonger(t *testing.T) {
	tr, c := newTries()
	var waits []time.Duration
	for i := range 14 {
		if wait := tr.begin("ada", fresh(i)); wait != 0 {
			t.Fatalf("try %d: got to wait %v, want none after the wait before", i, wait)
		}
		if wait := tr.begin("ada", fresh(100+i)); wait != 0 { // from elsewhere, at once
			waits = append(waits, wait)
			c.at = c.at.Add(wait - time.Nanosecond)
			if tr.begin("ada", fresh(200+i)) == 0 {
				t.Fatalf("try %d: got one a moment too early", i)
			}
			c.at = c.at.Add(time.Nanosecond)
		}
	}
	want := []time.Duration{15 * time.Second, 30 * time.Second, time.Minute, 2 * time.Minute, 4 * time.Minute, 8 * time.Minute, 15 * time.Minute, 15 * time.Minute}
	for i := range min(len(want), len(waits)) {
		if waits[i] != want[i] {
			t.Errorf("got waits %v, want %v and no longer ones", waits, want)
			break
		}
	}
	if len(waits) < len(want) {
		t.Errorf("got %d waits, want %d", len(waits), len(want))
	}
}

func TestFiveTriesOfANameAreFree(t *testing.T) {
	tr, _ := newTries()
	for i := range freeForName {
		if wait := tr.begin("ada", fresh(i)); wait != 0 {
			t.Errorf("try %d: got to wait %v, want none", i+1, wait)
		}
	}
	if tr.locked("ada", "") != freeForName {
		t.Errorf("got locked after %d, want after %d", tr.locked("ada", ""), freeForName)
	}
	if wait := tr.begin("ada", fresh(99)); wait != firstWait {
		t.Errorf("got to wait %v, want %v", wait, firstWait)
	}
	if wait := tr.begin("bob", fresh(99)); wait != 0 {
		t.Errorf("somebody else: got to wait %v, want none", wait)
	}
	if tr.locked("bob", "") != 0 || tr.locked("nobody", "") != 0 {
		t.Error("somebody else is locked")
	}
}

func TestTwentyTriesFromAnAddressAreFree(t *testing.T) {
	tr, _ := newTries()
	for i := range freeForAddr {
		if wait := tr.begin(fmt.Sprint("name", i), "192.0.2.1"); wait != 0 {
			t.Errorf("try %d: got to wait %v, want none", i+1, wait)
		}
	}
	if wait := tr.begin("ada", "192.0.2.1"); wait != firstWait {
		t.Errorf("got to wait %v, want %v", wait, firstWait)
	}
	for range freeForName + 1 { // a name that is new where there is no room is counted, too
		tr.begin("eve", "192.0.2.3")
	}
	if tr.locked("eve", "") != freeForName {
		t.Errorf("got eve locked after %d, want after %d", tr.locked("eve", ""), freeForName)
	}
	if wait := tr.begin("ada", "192.0.2.2"); wait != 0 {
		t.Errorf("from another address: got to wait %v, want none: what was not let in does not count", wait)
	}
}

func TestWaitingTriesDoNotCount(t *testing.T) {
	tr, c := newTries()
	for range freeForName {
		tr.begin("ada", "192.0.2.1")
	}
	for range 1000 { // whoever hammers does not make the owner's wait longer
		tr.begin("ada", "192.0.2.1")
	}
	c.at = c.at.Add(firstWait)
	if wait := tr.begin("ada", "192.0.2.1"); wait != 0 {
		t.Errorf("got to wait %v after the first wait, want none", wait)
	}
}

func TestWhoWasRightStartsAnew(t *testing.T) {
	tr, _ := newTries()
	for range 3 * freeForName {
		if wait := tr.begin("ada", "192.0.2.1"); wait != 0 {
			t.Fatalf("got to wait %v, want none", wait)
		}
		tr.done("ada", "192.0.2.1")
	}
}

func TestTriesAreForgottenAfterADay(t *testing.T) {
	tr, c := newTries()
	for i := range freeForName - 1 {
		tr.begin("ada", fresh(i))
	}
	c.at = c.at.Add(forgetAfter)
	for i := range freeForName {
		if wait := tr.begin("ada", fresh(i)); wait != 0 {
			t.Errorf("got to wait %v, want none", wait)
		}
	}
}

func TestRememberedTriesAreBounded(t *testing.T) {
	tr, c := newTries()
	for range freeForName {
		tr.begin("ada", "192.0.2.1")
	}
	for i := range maxTries/2 + 100 {
		tr.begin(fmt.Sprint("name", i), fmt.Sprint("address ", i))
		c.at = c.at.Add(time.Millisecond)
	}
	if len(tr.of) != maxTries {
		t.Errorf("got %d remembered, want %d", len(tr.of), maxTries)
	}
	if wait := tr.begin("ada", "192.0.2.2"); wait != 0 {
		t.Errorf("got to wait %v for the oldest, want that it made room", wait)
	}
	if wait := tr.begin(fmt.Sprint("name", maxTries/2), fmt.Sprint("address ", maxTries/2)); wait != 0 || tr.of[nameKey(fmt.Sprint("name", maxTries/2))].count != 2 {
		t.Error("a newer one was forgotten")
	}
}
