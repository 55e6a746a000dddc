package limits

import (
	"net/netip"
	"testing"
	"time"
)

// The limits of hints for strangers, known addresses and after a hello, with a simulated clock.
func TestHintShares(t *testing.T) {
	now := time.Now()
	h := NewHints(now)
	at := func(net, host, port int) netip.AddrPort {
		return netip.AddrPortFrom(netip.AddrFrom4([4]byte{10, byte(net >> 8), byte(net), byte(host)}),
			uint16(port))
	}
	total := 0
	for i := range 20_000 {
		if h.Allow(at(i%60_000, 1, 1), false, now) {
			total++
		}
	}
	if total != 2*HintRate {
		t.Errorf("got %d hints at once to strangers, want %d", total, 2*HintRate)
	}
	if !h.Allow(at(1, 2, 1), true, now) {
		t.Error("strangers have used up the share of known addresses")
	}
	for i := range 100 {
		now = now.Add(time.Second)
		for j := range 2 * HintRate {
			h.Allow(at(i, j%250, j), false, now)
		}
	}
	if len(h.peers.byKey) > maxHinted || h.Len() > MaxSources {
		t.Errorf("got %d addresses and %d sources stored, want at most the limits", len(h.peers.byKey),
			h.Len())
	}
	h.NoteHello(at(1, 1, 1), now)
	for rule, tc := range map[string]struct {
		after time.Duration
		want  bool
	}{"at once": {0, true}, "just before 5 s have passed": {HintRest - 1, true},
		"after 5 s": {HintRest, false}} {
		if got := h.MayBeInHandshake(at(1, 1, 1), now.Add(tc.after)); got != tc.want {
			t.Errorf("%s: may be in a handshake: got %v, want %v", rule, got, tc.want)
		}
	}
	forged := 0
	for i := range 16_000 { // in 5 s
		h.NoteHello(at(i, i%250, i), now)
	}
	for i := range 1000 {
		if h.MayBeInHandshake(at(20_000+i, 1, 1), now) {
			forged++
		}
	}
	if forged > 250 {
		t.Errorf("16,000 forged hellos suppress hints to %d of 1,000 other addresses, want about 150", forged)
	}
}
