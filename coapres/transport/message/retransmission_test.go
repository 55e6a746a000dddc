package message

import (
	"bytes"
	"encoding/binary"
	"testing"
	"time"
)

// waits returns the intervals at which m, which was sent just now, is sent again within a minute.
func (l *layer) waits(t *testing.T, m []byte) (waits []time.Duration) {
	t.Helper()
	last := l.now
	for end := l.now.Add(time.Minute); ; {
		due := l.Due()
		if due.IsZero() || due.After(end) {
			return waits
		}
		l.now = due
		for _, b := range l.Retransmit(l.now) {
			if !bytes.Equal(b, m) {
				t.Errorf("got %x, want the same bytes %x", b, m)
			}
			waits = append(waits, l.now.Sub(last))
			last = l.now
		}
	}
}

func TestRetransmission(t *testing.T) {
	seen := map[time.Duration]bool{}
	for range 20 {
		l := newLayer()
		m := l.request()
		got := l.waits(t, m)
		if len(got) != MaxRetransmit {
			t.Fatalf("got %d retransmissions, want %d", len(got), MaxRetransmit)
		}
		if got[0] < time.Second || got[0] >= 1500*time.Millisecond {
			t.Errorf("first retransmission after %v, want 1…1.5 s", got[0])
		}
		seen[got[0]] = true
		for i, wait := range got {
			if want := got[0] << i; wait != want {
				t.Errorf("retransmission %d after %v, want %v", i+1, wait, want)
			}
		}
		if r := l.Receive(answerTo(m), l.now.Add(time.Hour)); r.Kind != Response {
			t.Errorf("a response after the last retransmission: got %+v, want it taken", r)
		}
		if l.out != nil {
			t.Error("an answered request is still stored")
		}
	}
	if len(seen) < 15 {
		t.Errorf("got %d different intervals before the first of 20 retransmissions, want jitter", len(seen))
	}
}

// waitAfter sends a request, calls ends after rtt, and returns the interval before the first
// retransmission of the next request.
func (l *layer) waitAfter(t *testing.T, rtt time.Duration, ends func(m []byte)) time.Duration {
	t.Helper()
	m := l.request()
	l.sleep(rtt)
	ends(m)
	if got := l.waits(t, m); len(got) != 0 {
		t.Errorf("sent again after %v, although it has ended", got)
	}
	next := l.request()
	got := l.waits(t, next)
	if len(got) == 0 {
		t.Fatal("the next request was not sent again")
	}
	l.Forget(binary.BigEndian.Uint16(next[2:]))
	return got[0]
}

func TestRetransmissionFollowsTheRoundTrip(t *testing.T) {
	acknowledge := func(l *layer) func([]byte) {
		return func(m []byte) { l.Receive(emptyTo(ACK, m), l.now) }
	}
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
			l := newLayer()
			if got := l.waitAfter(t, tc.rtt, acknowledge(l)); got != tc.want {
				t.Errorf("got %v, want %v", got, tc.want)
			}
		})
	}
	t.Run("a new sample counts an eighth", func(t *testing.T) {
		l := newLayer()
		l.waitAfter(t, 160*time.Millisecond, acknowledge(l))
		got, want := l.waitAfter(t, 240*time.Millisecond, acknowledge(l)), 340*time.Millisecond
		if got != want {
			t.Errorf("got %v, want %v", got, want)
		}
	})
	for name, tc := range map[string]struct {
		rtt  time.Duration
		ends func(t *testing.T, l *layer, m []byte)
	}{
		"a retransmitted message is no sample (Karn)": {1600 * time.Millisecond,
			func(_ *testing.T, l *layer, m []byte) { l.Receive(emptyTo(ACK, m), l.now) }},
		"a forgotten request is no sample": {50 * time.Millisecond,
			func(_ *testing.T, l *layer, m []byte) { l.Forget(binary.BigEndian.Uint16(m[2:])) }},
		"a separate response is no sample": {900 * time.Millisecond,
			func(t *testing.T, l *layer, m []byte) {
				if r := l.Receive(append([]byte{0x54, 0x45, 0xab, 0xcd}, m[4:8]...), l.now); r.Kind != Response {
					t.Errorf("got %+v, want a response", r)
				}
			}},
	} {
		t.Run(name, func(t *testing.T) {
			l := newLayer()
			got := l.waitAfter(t, tc.rtt, func(m []byte) { tc.ends(t, l, m) })
			if got < time.Second {
				t.Errorf("got %v, want at least 1 s, as without a sample", got)
			}
		})
	}
	t.Run("a Reset ends the retransmission too", func(t *testing.T) {
		l := newLayer()
		l.waitAfter(t, 50*time.Millisecond, func(m []byte) { l.Receive(emptyTo(RST, m), l.now) })
	})
	t.Run("an ACK of another ID has no effect", func(t *testing.T) {
		l := newLayer()
		m := l.request()
		other := bytes.Clone(m)
		other[3]++
		l.Receive(emptyTo(ACK, other), l.now)
		if got := l.waits(t, m); len(got) != MaxRetransmit {
			t.Errorf("got %d retransmissions, want %d", len(got), MaxRetransmit)
		}
	})
	t.Run("nothing is sent again after Clear", func(t *testing.T) {
		l := newLayer()
		m := l.request()
		l.Clear()
		if got := l.waits(t, m); len(got) != 0 {
			t.Errorf("sent again after %v", got)
		}
	})
}

// Nobody can tell which transmission was answered, so the answer proves only the path of the first.
func TestRetransmissionProvesTheFirstPath(t *testing.T) {
	l := newLayer()
	m, id := l.Ping(3, time.Second, l.now)
	l.now = l.Due()
	l.Retransmit(l.now)
	if r := l.Receive(emptyTo(RST, m), l.now); !r.Proves || r.Path != 3 || r.ID != id {
		t.Errorf("got %+v, want path 3 proven", r)
	}
}
