package transport

import (
	"bytes"
	"testing"
	"testing/synctest"
	"time"
)

// collectRepeats returns the times at which the other end receives m, within a minute from now.
func (l *layer) collectRepeats(t *testing.T, m []byte) (after []time.Duration) {
	t.Helper()
	began := time.Now()
	for end := began.Add(time.Minute); time.Now().Before(end); {
		got := l.peer.nextDatagram(time.Until(end))
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
			m := makeCON(t, mid, "t", "")
			l.sendMessage(t, m)
			got := l.collectRepeats(t, m)
			if len(got) != 1+maxRetransmit {
				t.Fatalf("sent %d times, want once and %d retransmissions", len(got), maxRetransmit)
			}
			first := got[1] - got[0]
			if first < time.Second || first >= 1500*time.Millisecond {
				t.Errorf("first retransmission after %v, want 1…1.5 s", first)
			}
			seen[first] = true
			for i := 2; i < len(got); i++ {
				if gap, want := got[i]-got[i-1], first<<(i-1); gap != want {
					t.Errorf("retransmission %d after %v, want %v", i, gap, want)
				}
			}
			if l.countPending() != 0 {
				t.Error("a message is still stored after its last retransmission")
			}
		}
		if len(seen) < 15 {
			t.Errorf("got %d different intervals before the first of 20 retransmissions, want jitter",
				len(seen))
		}
	})
}

// measureAfterEnd sends a message, calls ends after rtt, and returns the interval before the first
// retransmission of the next message.
func (l *layer) measureAfterEnd(t *testing.T, mid uint16, rtt time.Duration,
	ends func(mid uint16)) time.Duration {
	t.Helper()
	m := makeCON(t, mid, "t", "")
	l.sendMessage(t, m)
	time.Sleep(rtt)
	ends(mid)
	synctest.Wait()
	for l.takeSent() != nil {
	}
	if got := l.collectRepeats(t, m); len(got) != 0 {
		t.Errorf("retransmitted at %v after its end", got)
	}
	return l.measureFirstWait(t, mid+1000)
}

// measureFirstWait sends a message and returns the interval before its first retransmission.
func (l *layer) measureFirstWait(t *testing.T, mid uint16) time.Duration {
	t.Helper()
	m := makeCON(t, mid, "t", "")
	l.sendMessage(t, m)
	got := l.collectRepeats(t, m)
	if len(got) < 2 {
		t.Fatal("the message was not retransmitted")
	}
	return got[1] - got[0]
}

func (l *layer) sendACK(mid uint16) { _, _ = l.peer.Write([]byte{0x60, 0, byte(mid >> 8), byte(mid)}) }
func (l *layer) sendRST(mid uint16) { _, _ = l.peer.Write([]byte{0x70, 0, byte(mid >> 8), byte(mid)}) }

func TestRetransmissionFollowsTheRoundTrip(t *testing.T) {
	for _, tc := range []struct {
		name      string
		rtt, want time.Duration
	}{
		{"after a short round trip it is 200 ms", 2 * time.Millisecond, 200 * time.Millisecond},
		{"after 100 ms it is still 200 ms", 100 * time.Millisecond, 200 * time.Millisecond},
		{"between the limits it is twice the round trip", 300 * time.Millisecond, 600 * time.Millisecond},
		{"after a long round trip it is a second", 900 * time.Millisecond, time.Second},
	} {
		t.Run(tc.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				l := newLayer(t)
				if got := l.measureAfterEnd(t, 1, tc.rtt, l.sendACK); got != tc.want {
					t.Errorf("got %v, want %v", got, tc.want)
				}
			})
		})
	}
	t.Run("a new sample counts an eighth", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			l := newLayer(t)
			l.measureAfterEnd(t, 1, 160*time.Millisecond, l.sendACK)
			got, want := l.measureAfterEnd(t, 2, 240*time.Millisecond, l.sendACK), 340*time.Millisecond
			if got != want {
				t.Errorf("got %v, want %v", got, want)
			}
		})
	})
	t.Run("a retransmitted message is no sample (Karn)", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			l := newLayer(t)
			if got := l.measureAfterEnd(t, 1, 1600*time.Millisecond, l.sendACK); got < time.Second {
				t.Errorf("got %v, want at least 1 s, as without a sample", got)
			}
		})
	})
	t.Run("a Reset ends the retransmission too", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			l := newLayer(t)
			l.measureAfterEnd(t, 1, 50*time.Millisecond, l.sendRST)
		})
	})
	t.Run("a forgotten request is not retransmitted, and is no sample", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			l := newLayer(t)
			if got := l.measureAfterEnd(t, 1, 50*time.Millisecond, l.forgetRequest); got < time.Second {
				t.Errorf("got %v, want at least 1 s, as without a sample", got)
			}
		})
	})
	t.Run("an ACK of another ID has no effect", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			l := newLayer(t)
			m := makeCON(t, 1, "t", "")
			l.sendMessage(t, m)
			l.sendACK(2)
			if got := l.collectRepeats(t, m); len(got) != 1+maxRetransmit {
				t.Errorf("sent %d times, want %d", len(got), 1+maxRetransmit)
			}
		})
	})
	t.Run("a closed connection retransmits nothing", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			l := newLayer(t)
			l.sendMessage(t, makeCON(t, 1, "t", ""))
			l.takeSent()
			_ = l.Close()
			if l.countPending() != 0 {
				t.Error("a message would still be retransmitted")
			}
		})
	})
}
