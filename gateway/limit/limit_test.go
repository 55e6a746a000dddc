package limit

import (
	"context"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"
	"time"
)

func TestSharesAreTakenWholeOrNotAtAll(t *testing.T) {
	var s Shares
	claim := func(of string) []Claim { return []Claim{{"requests", "", 1, 3}, {"requests", of, 1, 2}} }
	first, _ := s.Take(claim("ann")...)
	second, _ := s.Take(claim("ann")...)
	if first == nil || second == nil {
		t.Fatal("there was room for two")
	}
	if again, full := s.Take(claim("ann")...); again != nil || full.Of != "ann" ||
		!strings.Contains(full.String(), "requests: 2 for ann") {
		t.Errorf("a third of ann: got %v, want her share to be full", full)
	}
	third, _ := s.Take(claim("bob")...)
	if third == nil {
		t.Fatal("the refused claim of ann takes room")
	}
	if again, full := s.Take(claim("cid")...); again != nil || full.Of != "" {
		t.Errorf("a fourth in all: got %v, want the share of all to be full", full)
	}
	first()
	second()
	third()
	if len(s.held) > 0 {
		t.Errorf("claims that were given back still take room: %v", s.held)
	}
	if whole, full := s.Take(Claim{"bytes", "", 10, 10}); whole == nil {
		t.Errorf("a claim of the whole room: got %v", full)
	}
	if more, _ := s.Take(Claim{"bytes", "", 1, 10}); more != nil {
		t.Error("one byte over the limit was given")
	}
}

func TestAddrOf(t *testing.T) {
	for remote, want := range map[string]string{
		"192.0.2.7:1": "192.0.2.7", "[::ffff:192.0.2.7]:1": "192.0.2.7",
		"[2001:db8:1:2:3::9]:1":     "2001:db8:1:2::/64",
		"[2001:db8:1:2:ffff::9]:80": "2001:db8:1:2::/64", "[2001:db8:1:3::9]:1": "2001:db8:1:3::/64",
		"[fe80::1%eth0]:1": "fe80::/64",
		"@":                "this machine", "": "this machine", "192.0.2.7": "this machine",
	} {
		if got := AddrOf(remote); got != want {
			t.Errorf("%q: got %q, want %q", remote, got, want)
		}
	}
}

// makeConn makes a connection of a listener without a socket.
func makeConn(l *Listener, addr, account string) *conn {
	return &conn{of: l, addr: addr, account: account, counted: true}
}

func TestWhoMakesRoom(t *testing.T) {
	bounds := Connections{All: 6, EachAddr: 4, Known: 3, EachKnown: 2, Idle: time.Hour}
	type c struct{ addr, account string }
	for _, tt := range []struct {
		name  string
		open  []c
		busy  []int  // of open, with a request under way
		comes string // the address of a new connection
		out   int    // the index in open of the connection that is closed; -1: none
		ok    bool
	}{
		{"there is room", []c{{"a", ""}, {"a", ""}}, nil, "a", -1, true},
		{"an address at its limit loses its oldest connection",
			[]c{{"b", ""}, {"a", ""}, {"a", ""}, {"a", ""},
				{"a", ""}}, nil, "a", 1, true},
		{"the oldest is closed even if it has a request under way", []c{{"a", ""}, {"a", ""}, {"a", ""},
			{"a", ""}}, []int{0},
			"a", 0, true},
		{"a connection with a sign-in is not closed", []c{{"a", "ann"}, {"a", ""}, {"a", ""}, {"a", ""}},
			nil, "a", 1, true},
		{"at the total limit the address with most connections loses one",
			[]c{{"b", ""}, {"c", ""}, {"a", ""}, {"a", ""},
				{"d", ""}, {"a", ""}}, nil, "e", 2, true},
		{"connections with a sign-in are not counted for that", []c{{"a", "ann"}, {"a", "ann"},
			{"a", "bob"}, {"c", ""},
			{"b", ""}, {"b", ""}}, nil, "d", 4, true},
		{"if all have a sign-in, one without a request is closed", []c{{"a", "ann"}, {"a", "ann"},
			{"a", "bob"}, {"a", "cid"}}, []int{0}, "a", 1, true},
		{"if all have a sign-in and a request, the new one is refused", []c{{"a", "ann"}, {"a", "ann"},
			{"a", "bob"}, {"a", "cid"}},
			[]int{0, 1, 2, 3}, "a", -1, false},
	} {
		t.Run(tt.name, func(t *testing.T) {
			l := NewListener(nil, bounds)
			for _, o := range tt.open {
				l.open = append(l.open, makeConn(l, o.addr, o.account))
			}
			for _, i := range tt.busy {
				l.open[i].active = 1
			}
			was := slices.Clone(l.open)
			victim, ok := l.admit(makeConn(l, tt.comes, ""), time.Now())
			if got := slices.Index(was, victim); got != tt.out || ok != tt.ok {
				t.Errorf("got %d closed and %v, want %d and %v", got, ok, tt.out, tt.ok)
			}
			if victim != nil && slices.Contains(l.open, victim) {
				t.Error("the closed connection is still listed")
			}
		})
	}
}

func TestWhoIsKept(t *testing.T) {
	l := NewListener(nil, Connections{All: 10, EachAddr: 10, Known: 3, EachKnown: 2, Idle: time.Hour})
	come := func(account string) *conn {
		c := makeConn(l, "a", "")
		if _, ok := l.admit(c, time.Now()); !ok {
			t.Fatal("no room")
		}
		c.begin()
		c.know(account)
		return c
	}
	kept := func(all ...*conn) {
		t.Helper()
		for _, c := range l.open {
			if got, want := c.account != "", slices.Contains(all, c); got != want {
				t.Errorf("connection %d: kept is %v, want %v", slices.Index(l.open, c), got, want)
			}
		}
	}
	a1, a2 := come("ann"), come("ann")
	kept(a1, a2)
	a3 := come("ann") // the limit for one account is two
	kept(a2, a3)
	b := come("bob")
	kept(a2, a3, b)
	c := come("cid") // the limit for all is three
	kept(a3, b, c)
	a1.know("ann") // the connection is known again
	kept(b, c, a1)
	b.know("dan") // another person in the same browser
	kept(b, c, a1)
	if b.account != "dan" {
		t.Errorf("got %s, want dan", b.account)
	}
	if err := func() error { l.mu.Lock(); defer l.mu.Unlock(); l.remove(c); return nil }(); err != nil ||
		len(l.known) != 2 {
		t.Errorf("a closed connection is still kept: %v", l.known)
	}
}

func TestRates(t *testing.T) {
	now := time.Now()
	many := func(r *rates, addr string, n int) (allowed int) {
		for range n {
			if r.allow(addr, now) {
				allowed++
			}
		}
		return allowed
	}
	r := &rates{all: 100, each: 10}
	if got := many(r, "a", 1000); got != 20 {
		t.Errorf("at once: got %d, want 20", got)
	}
	now = now.Add(time.Second)
	if got := many(r, "a", 1000); got != 10 {
		t.Errorf("a second later: got %d, want 10", got)
	}
	r.move("a", "ann", now)
	if got := many(r, "a", 1000); got != 1 {
		t.Errorf("after one was given back: got %d, want 1", got)
	}
	for range 100 {
		r.move("a", "ann", now)
	}
	if got := many(r, "a", 1000); got != 19 {
		t.Errorf("after more were given back than ann may have: got %d, want 19", got)
	}
	all := 0
	for i := range 1000 {
		all += many(r, "b"+string(rune(i)), 1)
	}
	if all > 200 || all < 100 {
		t.Errorf("from many addresses: got %d, want the rest of 200", all)
	}
	if got := many(&rates{}, "a", 1000); got != 1000 {
		t.Errorf("without bounds: got %d, want all", got)
	}
	r = &rates{each: 10}
	for i := range 3 * maxRated {
		r.allow("c"+string(rune(i)), now)
		now = now.Add(time.Millisecond)
	}
	if len(r.of) > maxRated {
		t.Errorf("%d addresses are remembered, want %d at most", len(r.of), maxRated)
	}
}

func TestPaced(t *testing.T) {
	const burst, pace = 1000, 800
	now, p, got := time.Now(), paced{}, 0
	read := func(until time.Time) {
		for !now.After(until) {
			wait, most := p.next(now, burst, pace)
			if wait > time.Second/pieces || most <= 0 || most > burst {
				t.Fatalf("after %d bytes: got %v and %d", got, wait, most)
			}
			now = now.Add(wait)
			p.took(most)
			got += most
		}
	}
	read(now)
	for _, seconds := range []int{1, 10} {
		began := now
		read(now.Add(time.Duration(seconds) * time.Second))
		if rate := float64(got-burst) / now.Sub(began).Seconds(); rate > 1.3*pace || rate < 0.7*pace {
			t.Errorf("in %d s: got %d bytes, want about %d and %d a second", seconds, got, burst, pace)
		}
		got = burst
	}
	now = now.Add(time.Hour)
	if wait, most := p.next(now, burst, pace); wait != 0 || most != burst {
		t.Errorf("after an hour: got %v and %d, want all of the burst at once", wait, most)
	}
}

// A request that is cancelled before its account is known counts as a stranger's.
func TestCancelledBeforeItsAccountIsKnown(t *testing.T) {
	l := NewListener(nil, Connections{All: 1, EachAddr: 1, Idle: time.Hour})
	c := makeConn(l, "a", "")
	l.admit(c, time.Now())
	h := NewHandler(nil, nil, Requests{}).(*handler)
	for range looksAtOnce {
		h.looks <- struct{}{}
	}
	ctx, cancel := context.WithCancel(context.WithValue(t.Context(), connKey{}, c))
	cancel()
	h.ServeHTTP(httptest.NewRecorder(), httptest.NewRequestWithContext(ctx, "GET", "/", nil))
	if c.strange != 1 || c.active != 0 {
		t.Errorf("got %d requests of strangers and %d under way, want 1 and 0", c.strange, c.active)
	}
}
