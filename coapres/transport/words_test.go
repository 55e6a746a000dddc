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

	"latchkey/keys"
)

// word is what a client sends, step by step.
type word []step

func (w word) String() string {
	var s []string
	for _, x := range w {
		s = append(s, x.String())
	}
	return strings.Join(s, " ")
}

func (w word) hellos() (n int) {
	for _, s := range w {
		if s == stepHello {
			n++
		}
	}
	return n
}

// words are all of up to n steps.
func words(n int) (all []word) {
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

// say sends a word. Its hellos wait for the pace: a listener refuses more handshakes than its
// budget has.
func (c *rawClient) say(w word, pace *rate.Limiter) error {
	for i, s := range w {
		if s == stepHello {
			if err := pace.Wait(context.Background()); err != nil {
				return err
			}
		}
		if err := c.do(s); err != nil {
			return fmt.Errorf("%v, step %d: %w", w, i+1, err)
		}
	}
	return nil
}

// each runs f for 0…n-1 on some goroutines.
func each(n int, f func(i int) error) error {
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

// All that can be said to a gateway in four steps: only a handshake opens a session, and nothing
// stays behind of all the others. Two steps of it may come in either order: they are datagrams, and
// the keys show in the Finished alone.
func TestWordsOfAStranger(t *testing.T) {
	before := goleak.IgnoreCurrent()
	var calls atomic.Int64
	s := listen(t, Config{Handshake: time.Second, MaxHandshakes: 4096}, func(c *Conn, req, resp *pool.Message, at time.Time) {
		calls.Add(1)
		echo(c, req, resp, at)
	})
	all := words(4)
	if len(all) != 2800 {
		t.Fatalf("got %d words", len(all))
	}
	pace := rate.NewLimiter(totalRate*9/10, totalBurst/2)
	said := make([]*rawClient, len(all))
	want := map[string]bool{"hello key ccs finished": true, "hello ccs key finished": true}
	err := each(len(all), func(i int) error {
		c := newRaw(t, fmt.Sprintf("127.0.%d.%d", 1+i/250, 1+i%250), s.Addr(), s.secret.PSK()) // an address may begin few handshakes
		c.asksCID = i%2 == 1
		said[i] = c
		return c.say(all[i], pace)
	})
	if err != nil {
		t.Fatal(err)
	}
	from, hellos := map[netip.AddrPort]int{}, 0
	for i, c := range said {
		from[c.addr()] = i
		hellos += all[i].hellos()
	}
	if got := s.Stats().Handshakes; got < uint64(hellos) {
		t.Errorf("got %d handshakes begun, want one at least for each of %d hellos", got, hellos)
	}
	eventually(t, "no handshake is left", func() bool { return s.Stats().HalfOpen == 0 })
	got := map[string]bool{}
	var open []*rawClient
	for range len(want) {
		c := within(t, s.opened)
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
	for _, c := range open { // these are in: that shows what the others were kept from
		if err := c.request(); err != nil {
			t.Error(err)
		}
		_ = c.do(stepClose)
		within(t, s.closed)
	}
	if n := calls.Load(); n != int64(len(want)) {
		t.Errorf("handlers were called %d times by %d sessions that asked once", n, len(want))
	}
	eventually(t, "nothing is left", func() bool { return s.Sessions() == 0 })
	s.mu.Lock()
	if len(s.peers) != 0 || len(s.cids) != 0 || len(s.holders) != 0 {
		t.Errorf("left behind: %d peers, %d connection IDs, %d holders", len(s.peers), len(s.cids), len(s.holders))
	}
	s.mu.Unlock()
	s.end()
	goleak.VerifyNone(t, before)
}

func (c *rawClient) addr() netip.AddrPort {
	return netip.MustParseAddrPort(c.conn.LocalAddr().String())
}

// The same said from the address of a live session, by somebody who has seen all of it but its key:
// no request of the session is lost.
func TestWordsFromALiveAddress(t *testing.T) {
	s := listen(t, Config{Handshake: time.Second, MaxHandshakes: 4096}, echo)
	pace := rate.NewLimiter(2*totalRate*8/10, totalBurst/2) // known addresses have a share of their own
	all := words(4)
	live := make([]*rawClient, 64)
	for i := range live {
		live[i] = newRaw(t, fmt.Sprintf("127.0.2.%d", 1+i), s.Addr(), s.secret.PSK())
		live[i].asksCID = i%2 == 1
	}
	if err := each(len(live), func(i int) error { return live[i].handshake() }); err != nil {
		t.Fatal(err)
	}
	for range live {
		within(t, s.opened)
	}
	was := s.Stats()
	// Each word is said to two of them: one with a connection ID, one without.
	err := each(len(live), func(i int) error {
		c, wrong := live[i], keys.NewSecret().PSK()
		for k := i; k < 2*len(all); k += len(live) {
			w := all[k/2]
			forger := rawAt(c.conn, wrong)
			forger.asksCID = c.asksCID
			forger.cid = c.cid // until it is given one of its own
			forger.seen, forger.sequence = c.seen, c.sequence
			err := forger.say(w, pace)
			c.sequence[0] = forger.sequence[0] // answers to one forger are none to the next
			if err == nil {
				err = c.request()
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
		hellos += 2 * w.hellos()
	}
	now := s.Stats()
	if now.Sessions != len(live) || now.Finished != was.Finished || now.Replaced != 0 || now.Moved != 0 || len(s.opened) != 0 || len(s.closed) != 0 {
		t.Errorf("got %+v, want the sessions as they were", now)
	}
	// A forger who had no answer in time asked again, which begins another.
	if got := now.Handshakes - was.Handshakes; got < uint64(hellos) || now.Undecryptable == was.Undecryptable {
		t.Errorf("got %d handshakes begun and %d records that failed to decrypt, want the attack: %d hellos at least", got, now.Undecryptable-was.Undecryptable, hellos)
	}
	eventually(t, "no handshake is left", func() bool { return s.Stats().HalfOpen == 0 })
	if err := each(len(live), func(i int) error { return live[i].request() }); err != nil {
		t.Error(err)
	}
}
