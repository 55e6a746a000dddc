package transport

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"net/netip"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/plgd-dev/go-coap/v3/message/pool"
	"go.uber.org/goleak"
	"golang.org/x/time/rate"

	"latchkey/coapres/transport/limits"
	"latchkey/keys"
)

// word is a sequence of steps that a client does.
type word []step

func (w word) String() string {
	var s []string
	for _, x := range w {
		s = append(s, x.String())
	}
	return strings.Join(s, " ")
}

func (w word) countHellos() (n int) {
	for _, s := range w {
		if s == stepHello {
			n++
		}
	}
	return n
}

// listWords returns all words of 1 to n steps.
func listWords(n int) (all []word) {
	last := []word{nil}
	for range n {
		var next []word
		for _, w := range last {
			for s := range stepsCount {
				next = append(next, append(slices.Clone(w), s))
			}
		}
		all = append(all, next...)
		last = next
	}
	return all
}

// sendWord does the steps of a word. Its hellos wait for pace, because the listener refuses
// handshakes above its budget.
func (c *rawClient) sendWord(w word, pace *rate.Limiter) error {
	for i, s := range w {
		if s == stepHello {
			if err := pace.Wait(context.Background()); err != nil {
				return err
			}
		}
		if err := c.doStep(s); err != nil {
			return fmt.Errorf("%v, step %d: %w", w, i+1, err)
		}
	}
	return nil
}

// runParallel calls f for 0…n-1 on 64 goroutines.
func runParallel(n int, f func(i int) error) error {
	var next atomic.Int64
	var wg sync.WaitGroup
	errs := make([]error, 64)
	for g := range errs {
		wg.Go(func() {
			for i := int(next.Add(1)) - 1; i < n; i = int(next.Add(1)) - 1 {
				errs[g] = errors.Join(errs[g], f(i))
			}
		})
	}
	wg.Wait()
	return errors.Join(errs...)
}

// Of all words of up to four steps only a complete handshake opens a session, and the others leave
// nothing behind. The key exchange and the ChangeCipherSpec may come in either order, because
// datagrams may be reordered and only the Finished needs the keys.
func TestWordsOfAStranger(t *testing.T) {
	before := goleak.IgnoreCurrent()
	var calls atomic.Int64
	s := startSite(t, Config{Handshake: time.Second, MaxHandshakes: 4096},
		func(c *Conn, req, resp *pool.Message, at time.Time) {
			calls.Add(1)
			answerEcho(c, req, resp, at)
		})
	all := listWords(4)
	if len(all) != 2800 {
		t.Fatalf("got %d words", len(all))
	}
	pace := rate.NewLimiter(limits.HandshakeRate*9/10, limits.HandshakeRate)
	said := make([]*rawClient, len(all))
	want := map[string]bool{"hello key ccs finished": true, "hello ccs key finished": true}
	err := runParallel(len(all), func(i int) error {
		// Addresses of their own, because one address may begin only a few handshakes.
		c := newRawClient(t, fmt.Sprintf("127.0.%d.%d", 1+i/250, 1+i%250), s.Addr(), s.secret.PSK())
		c.asksCID = i%2 == 1
		said[i] = c
		return c.sendWord(all[i], pace)
	})
	if err != nil {
		t.Fatal(err)
	}
	from, hellos := map[netip.AddrPort]int{}, 0
	for i, c := range said {
		from[c.localAddr()] = i
		hellos += all[i].countHellos()
	}
	if got := s.Stats().Handshakes; got < uint64(hellos) {
		t.Errorf("got %d handshakes begun, want at least one for each of %d hellos", got, hellos)
	}
	eventually(t, "no handshake is left", func() bool { return s.Stats().HalfOpen == 0 })
	got := map[string]bool{}
	var open []*rawClient
	for range len(want) {
		c := receiveFrom(t, s.opened)
		if c == nil {
			break
		}
		host, _, _ := strings.Cut(c.RemoteAddr().String(), "#")
		i, ok := from[netip.MustParseAddrPort(host)]
		if !ok {
			t.Fatalf("a session from %s", host)
		}
		got[all[i].String()] = true
		open = append(open, said[i])
	}
	if n := len(s.opened); !maps.Equal(got, want) || n != 0 || s.Sessions() != len(want) {
		t.Errorf("%v opened sessions, and %d more, want %v", got, n, want)
	}
	if n := calls.Load(); n != 0 {
		t.Errorf("a handler was called %d times", n)
	}
	for _, c := range open { // these sessions work, so the other words were refused something real
		if err := c.requestOnce(); err != nil {
			t.Error(err)
		}
		_ = c.doStep(stepClose)
		receiveFrom(t, s.closed)
	}
	if n := calls.Load(); n != int64(len(want)) {
		t.Errorf("handlers were called %d times for one request of each of %d sessions", n, len(want))
	}
	eventually(t, "no session is left", func() bool { return s.Sessions() == 0 })
	s.mu.Lock()
	if len(s.peers) != 0 || len(s.cids) != 0 || len(s.holders) != 0 {
		t.Errorf("left behind: %d peers, %d connection IDs, %d holders", len(s.peers), len(s.cids),
			len(s.holders))
	}
	s.mu.Unlock()
	s.end()
	goleak.VerifyNone(t, before)
}

func (c *rawClient) localAddr() netip.AddrPort {
	return netip.MustParseAddrPort(c.conn.LocalAddr().String())
}

// An attacker who knows all of a live session but its key sends every word from its address. No
// request of the session is lost.
func TestWordsFromALiveAddress(t *testing.T) {
	s := startSite(t, Config{Handshake: time.Second, MaxHandshakes: 4096}, answerEcho)
	// Known addresses have a share of their own.
	pace := rate.NewLimiter(2*limits.HandshakeRate*8/10, limits.HandshakeRate)
	all := listWords(4)
	live := make([]*rawClient, 64)
	for i := range live {
		live[i] = newRawClient(t, fmt.Sprintf("127.0.2.%d", 1+i), s.Addr(), s.secret.PSK())
		live[i].asksCID = i%2 == 1
	}
	if err := runParallel(len(live), func(i int) error { return live[i].completeHandshake() }); err != nil {
		t.Fatal(err)
	}
	for range live {
		receiveFrom(t, s.opened)
	}
	was := s.Stats()
	// Each word is sent from the addresses of two sessions: one with a connection ID, one without.
	err := runParallel(len(live), func(i int) error {
		c, wrong := live[i], keys.NewSecret().PSK()
		for k := i; k < 2*len(all); k += len(live) {
			w := all[k/2]
			forger := newRawClientOn(c.conn, wrong)
			forger.asksCID = c.asksCID
			forger.cid = c.cid // until the gateway gives it one
			forger.seen, forger.sequence = c.seen, c.sequence
			err := forger.sendWord(w, pace)
			// So that the next forger does not take the answers to this one for its own.
			c.sequence[0] = forger.sequence[0]
			if err == nil {
				err = c.requestOnce()
			}
			if err != nil {
				return fmt.Errorf("after %v: %w", w, err)
			}
		}
		return nil
	})
	if err != nil {
		t.Error(err)
	}
	hellos := 0
	for _, w := range all {
		hellos += 2 * w.countHellos()
	}
	now := s.Stats()
	if now.Sessions != len(live) || now.Finished != was.Finished || now.Replaced != 0 || now.Moved != 0 ||
		len(s.opened) != 0 || len(s.closed) != 0 {
		t.Errorf("got %+v, want the sessions unchanged", now)
	}
	// A forger that got no answer in time sent its hello again, which begins another handshake.
	if got := now.Handshakes - was.Handshakes; got < uint64(hellos) ||
		now.Undecryptable == was.Undecryptable {
		t.Errorf("got %d handshakes begun and %d records that failed to decrypt, want at least one handshake for each of %d hellos, and some such records",
			got, now.Undecryptable-was.Undecryptable, hellos)
	}
	eventually(t, "no handshake is left", func() bool { return s.Stats().HalfOpen == 0 })
	if err := runParallel(len(live), func(i int) error { return live[i].requestOnce() }); err != nil {
		t.Error(err)
	}
}
