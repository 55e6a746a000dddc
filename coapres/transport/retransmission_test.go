package transport

import (
	"bytes"
	"testing"
	"testing/synctest"
	"time"
)

// repeats collects when, from now on, the other end hears m, for a minute.
func (l *layer) repeats(t *testing.T, m []byte) (after []time.Duration) {
	t.Helper()
	began := time.Now()
	for end := began.Add(time.Minute); time.Now().Before(end); {
		got := l.peer.next(time.Until(end))
		if got == nil {
			break
		}
		if !bytes.Equal(got, m) {
			t.Errorf("got %x, want the same bytes %x", got, m)
		}
		after = append(after, time.Since(began))
	}
	return after
}

func TestRetransmission(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := newLayer(t)
		seen := map[time.Duration]bool{}
		for mid := range uint16(20) {
			m := con(t, mid, "t", "")
			l.sends(t, m)
			got := l.repeats(t, m)
			if len(got) != 1+maxRetransmit {
				t.Fatalf("heard %d times, want once and %d repeats", len(got), maxRetransmit)
			}
			first := got[1] - got[0]
			if first < time.Second || first >= 1500*time.Millisecond {
				t.Errorf("first repeat after %v, want 1…1.5 s", first)
			}
			seen[first] = true
			for i := 2; i < len(got); i++ {
				if gap, want := got[i]-got[i-1], first<<(i-1); gap != want {
					t.Errorf("repeat %d after %v, want %v", i, gap, want)
				}
			}
			if l.pending() != 0 {
				t.Error("a message that was given up is still remembered")
			}
		}
		if len(seen) < 15 {
			t.Errorf("got %d different first waits of 20, want jitter", len(seen))
		}
	})
}

// acked sends a message, acknowledges it after rtt and returns how long the next one waits for its
// first repeat.
func (l *layer) acked(t *testing.T, mid uint16, rtt time.Duration, ends func(mid uint16)) time.Duration {
	t.Helper()
	m := con(t, mid, "t", "")
	l.sends(t, m)
	time.Sleep(rtt)
	ends(mid)
	synctest.Wait()
	for l.said() != nil {
	}
	if got := l.repeats(t, m); len(got) != 0 {
		t.Errorf("repeated %v after its end", got)
	}
	return l.probe(t, mid+1000)
}

func (l *layer) probe(t *testing.T, mid uint16) time.Duration {
	t.Helper()
	m := con(t, mid, "t", "")
	l.sends(t, m)
	got := l.repeats(t, m)
	if len(got) < 2 {
		t.Fatal("not repeated")
	}
	return got[1] - got[0]
}

func (l *layer) ack(mid uint16) { _, _ = l.peer.Write([]byte{0x60, 0, byte(mid >> 8), byte(mid)}) }
func (l *layer) rst(mid uint16) { _, _ = l.peer.Write([]byte{0x70, 0, byte(mid >> 8), byte(mid)}) }

func TestRetransmissionFollowsTheRoundTrip(t *testing.T) {
	for _, tc := range []struct {
		name      string
		rtt, want time.Duration
	}{
		{"a fast peer is not pressed more than every 200 ms", 2 * time.Millisecond, 200 * time.Millisecond},
		{"100 ms is the edge", 100 * time.Millisecond, 200 * time.Millisecond},
		{"twice the round trip in between", 300 * time.Millisecond, 600 * time.Millisecond},
		{"a slow peer waits a second at most", 900 * time.Millisecond, time.Second},
	} {
		t.Run(tc.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				l := newLayer(t)
				if got := l.acked(t, 1, tc.rtt, l.ack); got != tc.want {
					t.Errorf("got %v, want %v", got, tc.want)
				}
			})
		})
	}
	t.Run("the round trip is smoothed by an eighth", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			l := newLayer(t)
			l.acked(t, 1, 160*time.Millisecond, l.ack)
			if got, want := l.acked(t, 2, 240*time.Millisecond, l.ack), 340*time.Millisecond; got != want {
				t.Errorf("got %v, want %v", got, want)
			}
		})
	})
	t.Run("a message that was repeated is no sample (Karn)", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			l := newLayer(t)
			if got := l.acked(t, 1, 1600*time.Millisecond, l.ack); got < time.Second {
				t.Errorf("got %v, want as if no round trip were known", got)
			}
		})
	})
	t.Run("a Reset ends the repeats too", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			l := newLayer(t)
			l.acked(t, 1, 50*time.Millisecond, l.rst)
		})
	})
	t.Run("a message that nobody waits for is not repeated, and is no sample", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			l := newLayer(t)
			if got := l.acked(t, 1, 50*time.Millisecond, l.forget); got < time.Second {
				t.Errorf("got %v, want as if no round trip were known", got)
			}
		})
	})
	t.Run("another ID ends nothing", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			l := newLayer(t)
			m := con(t, 1, "t", "")
			l.sends(t, m)
			l.ack(2)
			if got := l.repeats(t, m); len(got) != 1+maxRetransmit {
				t.Errorf("heard %d times, want %d", len(got), 1+maxRetransmit)
			}
		})
	})
	t.Run("a closed connection repeats nothing", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			l := newLayer(t)
			l.sends(t, con(t, 1, "t", ""))
			l.said()
			_ = l.Close()
			if l.pending() != 0 {
				t.Error("it still has something to repeat")
			}
		})
	})
}
