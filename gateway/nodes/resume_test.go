package nodes

import (
	"sync"
	"testing"
	"time"

	"latchkey/coapres"
	"latchkey/coapres/transport/saved"
	"latchkey/gateway/access"
	"latchkey/keys"
)

func TestNoteRoundTrip(t *testing.T) {
	for _, want := range []note{{}, {of: [32]byte{1, 31: 2}, until: time.Unix(1_700_000_000, 3),
		Registration: coapres.Registration{ID: "ab3d", Lifetime: 90 * time.Second,
			MaxPulse: 10_500 * time.Millisecond}}} {
		b := want.encode()
		got, ok := parseNote(b)
		if !ok || got != want {
			t.Errorf("got %+v, %v, want %+v", got, ok, want)
		}
		if len(b) > saved.MaxNote {
			t.Errorf("got a note of %d bytes", len(b))
		}
		if _, ok := parseNote(b[:noteSize-1]); ok {
			t.Error("a cut note is accepted")
		}
	}
}

// A session goes on only if its key may be used, and key and device are as they were.
func TestIdentify(t *testing.T) {
	d := access.Device{ID: "0123456789", Name: "front-lock", Kind: keys.KindLock}
	k := keys.Key{ID: "lk-0123456789", Device: d.ID, Secret: keys.NewSecret()}
	was := identify(d, k)
	renamed, other, rekeyed, another := d, d, k, k
	renamed.Name, other.Kind = "back-lock", keys.KindReader
	rekeyed.Secret, another.ID = keys.NewSecret(), "lk-9876543210"
	for name, got := range map[string][32]byte{"renamed": identify(renamed, k),
		"another kind": identify(other, k), "another secret": identify(d, rekeyed),
		"another key": identify(d, another)} {
		if got == was {
			t.Errorf("%s: the same", name)
		}
	}
	if identify(d, k) != was {
		t.Error("not the same twice")
	}
}

// Each is asked once, and a gateway that is being closed asks nobody any more.
func TestQuestionsEnd(t *testing.T) {
	var (
		q       questions
		wg      sync.WaitGroup
		mu      sync.Mutex
		closing bool
		asked   = map[access.ID]int{}
	)
	start := func(f func()) bool {
		mu.Lock()
		defer mu.Unlock()
		if !closing {
			wg.Go(f)
		}
		return !closing
	}
	ask := func(id access.ID) {
		mu.Lock()
		defer mu.Unlock()
		asked[id]++
	}
	for _, id := range []access.ID{"a", "b", "c"} {
		q.add(id, start, ask)
	}
	wg.Wait()
	if len(asked) != 3 || asked["a"]+asked["b"]+asked["c"] != 3 {
		t.Fatalf("got %v asked, want each once", asked)
	}
	mu.Lock()
	closing = true
	mu.Unlock()
	q.add("d", start, ask)
	wg.Wait()
	if len(asked) != 3 {
		t.Errorf("got %v asked while closing", asked)
	}
}
