package transport

import (
	"bytes"
	"cmp"
	"context"
	"encoding/binary"
	"fmt"
	"net"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/pion/dtls/v3"

	"latchkey/coapres/transport/record"
	"latchkey/coapres/transport/record/protect"
	"latchkey/coapres/transport/saved"
)

// saveAll is a Config.Save for all associations.
func saveAll(c *Conn) (note []byte, ok bool) { return []byte(c.Identity()), true }

// resumeAll is a Config.Resume.
func resumeAll(list []saved.Association) func(context.Context) []saved.Association {
	return func(context.Context) []saved.Association { return list }
}

// stop ends the site and returns what it has saved.
func (s *site) stop() []saved.Association {
	s.end()
	return s.Saved()
}

// numbers collects the numbers of the gateway's records on the wire, and reports one that comes
// twice. All records of one association must pass it.
type numbers struct {
	t   *testing.T
	mu  sync.Mutex
	got map[uint64][]byte // guarded by mu
	top uint64            // guarded by mu
	ccm bool              // records have an explicit nonce
}

func (n *numbers) take(up bool, b []byte) {
	n.mu.Lock()
	defer n.mu.Unlock()
	for !up && len(b) > 0 {
		r, rest, ok := record.Split(b)
		if !ok {
			n.t.Errorf("the gateway has sent a malformed datagram: %x", b)
			return
		}
		if b = rest; r[3] == 0 && r[4] == 0 {
			continue // plaintext
		}
		nonce := binary.BigEndian.Uint64(r[3:])
		if n.ccm {
			nonce = binary.BigEndian.Uint64(r[record.HeaderSize:])
		}
		if was := n.got[nonce]; was != nil && !bytes.Equal(was, r) {
			n.t.Errorf("nonce %x has two records", nonce)
		}
		n.got[nonce] = bytes.Clone(r)
		n.top = max(n.top, recordNumber(r))
	}
}

// highest returns the highest number of all.
func (n *numbers) highest() uint64 {
	n.mu.Lock()
	defer n.mu.Unlock()
	return n.top
}

// pionClient is a session of pion's through a nat, which sees all of its records.
type pionClient struct {
	*nat
	*numbers
	name string
	dc   *dtls.Conn
	mid  uint16
}

func (s *site) dialPion(t *testing.T, suite dtls.CipherSuiteID, cid bool) *pionClient {
	t.Helper()
	c := &pionClient{nat: newNAT(t, s.Addr()), name: fmt.Sprintf("%v, CID %v", suite, cid),
		numbers: &numbers{t: t, got: map[uint64][]byte{},
			ccm: suite != dtls.TLS_ECDHE_PSK_WITH_CHACHA20_POLY1305_SHA256}}
	c.tapDatagrams(c.take)
	pc, err := net.ListenUDP("udp", &net.UDPAddr{IP: net.IPv4(127, 0, 0, 1)})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = pc.Close() })
	opts := []dtls.ClientOption{dtls.WithPSK(func([]byte) ([]byte, error) { return s.secret.PSK(), nil }),
		dtls.WithPSKIdentityHint([]byte(known)), dtls.WithLoggerFactory(quiet), dtls.WithCipherSuites(suite)}
	if cid {
		opts = append(opts, dtls.WithConnectionIDGenerator(dtls.OnlySendCIDGenerator()))
	}
	if c.dc, err = dtls.ClientWithOptions(pc, c.front.LocalAddr(), opts...); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = c.dc.Close() })
	ctx, cancel := context.WithTimeout(t.Context(), patienceOfTests)
	defer cancel()
	if err := c.dc.HandshakeContext(ctx); err != nil {
		t.Fatalf("%s: %v", c.name, err)
	}
	return c
}

// listUp returns the datagrams that the node has sent.
func (c *pionClient) listUp() [][]byte {
	c.nat.mu.Lock()
	defer c.nat.mu.Unlock()
	return c.up[:len(c.up):len(c.up)]
}

// ask sends one request, once, and waits for its answer.
func (c *pionClient) ask(t *testing.T) {
	t.Helper()
	c.mid++
	if _, err := c.dc.Write(makeCON(t, c.mid, "t", "x")); err != nil {
		t.Fatalf("%s: %v", c.name, err)
	}
	c.await(t)
}

func (c *pionClient) await(t *testing.T) {
	t.Helper()
	_ = c.dc.SetReadDeadline(time.Now().Add(patienceOfTests))
	for b := make([]byte, maxDatagram); ; {
		n, err := c.dc.Read(b)
		if err != nil {
			t.Fatalf("%s: %v", c.name, err)
		}
		if binary.BigEndian.Uint16(b[2:]) == c.mid && n > 4 {
			return
		}
	}
}

// Sessions of each suite, with and without a connection ID, go on in the next process. The node is
// not told of the stop, makes no handshake and repeats nothing. No nonce comes twice, and a record
// of the time before is refused.
func TestSavedSessionsGoOn(t *testing.T) {
	s := startSite(t, Config{Save: saveAll}, answerEcho)
	var clients []*pionClient
	for _, suite := range suites {
		for _, cid := range []bool{false, true} {
			c := s.dialPion(t, suite, cid)
			clients = append(clients, c)
			for range 5 {
				c.ask(t)
			}
		}
	}
	throughNAT, own := s.throughNAT(t, answerEcho)
	ownNumbers := &numbers{t: t, got: map[uint64][]byte{}, ccm: true}
	throughNAT.tapDatagrams(ownNumbers.take)
	if _, err := postEcho(own, "before", patienceOfTests); err != nil {
		t.Fatal(err)
	}
	for range len(suites)*2 + 1 {
		g := receiveFrom(t, s.opened)
		if note, ok := g.Resumed(); ok {
			t.Errorf("a new session says that it goes on, with the note %q", note)
		}
		if g.Number() == s.newestNumber() {
			if got, err := postEcho(g, "to the node", patienceOfTests); err != nil || got != "to the node" {
				t.Errorf("a request to the node, before: got %q, %v", got, err)
			}
		}
	}
	state := saved.State{At: time.Now(), Associations: s.stop()}
	if len(state.Associations) != len(clients)+1 {
		t.Fatalf("got %d saved, want %d", len(state.Associations), len(clients)+1)
	}
	for range len(clients) + 1 {
		if g := receiveFrom(t, s.closed); !g.Saved() {
			t.Error("a session was closed, and not saved")
		}
	}
	read, err := saved.Parse(state.AppendTo(nil)) // as through a file
	if err != nil {
		t.Fatal(err)
	}

	next := startSite(t, Config{Addr: s.Addr().String(), Resume: resumeAll(read.Associations)}, answerEcho)
	var resumed []*Conn
	for range len(clients) + 1 {
		g := receiveFrom(t, next.opened)
		note, ok := g.Resumed()
		if !ok || string(note) != string(known) || g.Identity() != string(known) {
			t.Errorf("got identity %q, note %q, %v", g.Identity(), note, ok)
		}
		resumed = append(resumed, g)
	}
	slices.SortFunc(resumed, func(a, b *Conn) int { return cmp.Compare(a.Number(), b.Number()) })
	if got := next.Sessions(); got != len(clients)+1 {
		t.Errorf("got %d sessions, want %d", got, len(clients)+1)
	}
	for _, c := range clients {
		old := c.listUp()
		c.sendToGateway(old[len(old)-1])
		c.ask(t)
	}
	if got, err := postEcho(own, "after", patienceOfTests); err != nil || got != "after" {
		t.Errorf("our own node: got %q, %v", got, err)
	}
	if got, err := postEcho(resumed[len(resumed)-1], "to the node", patienceOfTests); err != nil ||
		got != "to the node" {
		t.Errorf("a request to the node: got %q, %v", got, err)
	}
	before, after := state.Associations[len(clients)], resumed[len(clients)]
	after.mu.Lock()
	id, tokens := after.exchange.Numbers()
	after.mu.Unlock()
	if before.Tokens != 1 || tokens != 2 || id == before.MessageID {
		t.Errorf("got message ID %d and %d tokens, after %d and %d", id, tokens, before.MessageID, before.Tokens)
	}
	if own.Context().Err() != nil {
		t.Error("our own node has noticed the restart")
	}
	got := next.Stats()
	if got.Hellos+got.Hints+got.Cookies+got.Undecryptable > 0 || got.Replayed != uint64(len(clients)) {
		t.Errorf("got %+v, want no hello, no hint, and %d records refused as replayed", got, len(clients))
	}
	for i, a := range state.Associations {
		if a.Next <= 1 || i < len(clients) && clients[i].highest() < a.Next {
			t.Errorf("association %d: the numbers do not go on above %d", i, a.Next)
		}
	}
}

// newestNumber returns the highest number of a live association.
func (s *site) newestNumber() (n uint64) {
	for _, a := range s.listLive() {
		n = max(n, a.number)
	}
	return n
}

// A gateway that sends hints at its start sends none to a node whose session goes on.
func TestNoHintToAResumedSession(t *testing.T) {
	s := startSite(t, Config{Save: saveAll}, answerEcho)
	c := s.dialPion(t, suites[0], true)
	c.ask(t)
	list := s.stop()
	if len(list) != 1 {
		t.Fatalf("got %d saved, want 1", len(list))
	}
	release := make(chan struct{})
	next := startSite(t, Config{Addr: s.Addr().String(),
		Resume: func(context.Context) []saved.Association { <-release; return list }}, answerEcho)
	hinted := make(chan struct{})
	go func() {
		defer close(hinted)
		next.Hint(t.Context(), []LastSeen{{string(known), list[0].Home}})
	}()
	select {
	case <-hinted:
		t.Error("hints were sent before it was known which sessions go on")
	case <-time.After(20 * time.Millisecond): // long enough to find most mutants
	}
	close(release)
	receiveFrom(t, hinted)
	c.ask(t)
	if got := next.Stats().Hints; got > 0 {
		t.Errorf("got %d hints, want none", got)
	}
}

// A gateway that stops sends no hint to a node whose session was saved already: the node would begin
// another one.
func TestNoHintToASavedSession(t *testing.T) {
	saving, release := make(chan struct{}), make(chan struct{})
	var calls atomic.Int32
	s := startSite(t, Config{Save: func(c *Conn) ([]byte, bool) {
		if calls.Add(1) == 2 { // the other one was saved before
			close(saving)
			<-release
		}
		return saveAll(c)
	}}, answerEcho)
	clients := []*pionClient{s.dialPion(t, suites[0], true), s.dialPion(t, suites[0], true)}
	for _, c := range clients {
		c.ask(t)
	}
	stopped := make(chan []saved.Association, 1)
	go func() { stopped <- s.stop() }()
	receiveFrom(t, saving)
	eventually(t, "the first is saved", func() bool { return len(s.listLive()) == 1 })
	for _, c := range clients {
		c.rebind(t) // no handshake was under way at its new address
		if _, err := c.dc.Write(makeCON(t, 99, "t", "x")); err != nil {
			t.Fatal(err)
		}
	}
	eventually(t, "a record is for no association", func() bool { return s.Stats().Ignored > 0 })
	raw, err := net.DialUDP("udp", nil, s.Addr().(*net.UDPAddr))
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = raw.Close() }()
	before := s.Stats().Hellos
	if _, err := raw.Write(makeHello(0, nil)); err != nil {
		t.Fatal(err)
	}
	eventually(t, "what came before the hello was read", func() bool { return s.Stats().Hellos > before })
	if got := s.Stats().Hints; got > 0 {
		t.Errorf("got %d hints, want none", got)
	}
	close(release)
	if got := receiveFrom(t, stopped); len(got) != 2 {
		t.Errorf("got %d saved, want 2", len(got))
	}
}

// No record is sealed and none is opened once a session's state was read, whatever its handlers do
// meanwhile.
func TestNothingIsSealedAfterSaving(t *testing.T) {
	s := startSite(t, Config{Save: saveAll}, answerEcho)
	c := s.dialPion(t, suites[0], true)
	c.ask(t)
	g := receiveFrom(t, s.opened)
	var wg sync.WaitGroup
	busy, stop := make(chan struct{}, 4), make(chan struct{})
	for range 4 {
		wg.Go(func() {
			for m := makeNON(t, 1, "", "y"); ; {
				_ = g.write(m)
				select {
				case busy <- struct{}{}:
				case <-stop:
					return
				default:
				}
			}
		})
	}
	for range 4 {
		receiveFrom(t, busy)
	}
	list := s.stop()
	close(stop)
	wg.Wait()
	if len(list) != 1 {
		t.Fatalf("got %d saved, want 1", len(list))
	}
	if err := g.write(makeNON(t, 2, "", "z")); err != nil {
		t.Errorf("a late message: got %v, want that it is dropped in silence", err)
	}
	a := g.link.(*association)
	if err := a.seal(record.ApplicationData, []byte("z"), func([]byte) {}); err == nil {
		t.Error("a record was sealed after the state was read")
	}
	was := len(c.listUp())
	if _, err := c.dc.Write(makeCON(t, 9, "t", "x")); err != nil {
		t.Fatal(err)
	}
	eventually(t, "the node has sent a new record", func() bool { return len(c.listUp()) > was })
	w := new(workspace)
	a.mu.Lock()
	_, _, err := a.open(c.listUp()[was], w)
	a.mu.Unlock()
	if err == nil {
		t.Error("a record was opened after the state was read")
	}
	c.numbers.mu.Lock()
	defer c.numbers.mu.Unlock()
	if c.top >= list[0].Next {
		t.Errorf("the gateway has sent number %d, and the saved state goes on at %d", c.top, list[0].Next)
	}
}

// What cannot go on is closed as ever, and the node is told: a session whose node has sent nothing
// yet, because our last flight may be lost, and one that the layer above does not want saved.
func TestWhatIsNotSavedIsClosed(t *testing.T) {
	want := map[string]bool{"silent": true, "unwanted": true}
	for name := range want {
		cfg := Config{Save: saveAll}
		if name == "unwanted" {
			cfg.Save = func(*Conn) ([]byte, bool) { return nil, false }
		}
		s := startSite(t, cfg, answerEcho)
		c := s.dialPion(t, suites[0], false)
		if g := receiveFrom(t, s.opened); name == "unwanted" {
			c.ask(t)
		} else if g.Saved() {
			t.Error("a session that has not ended says that it was saved")
		}
		if got := s.stop(); len(got) > 0 {
			t.Errorf("%s: got %d saved, want none", name, len(got))
		}
		if g := receiveFrom(t, s.closed); g.Saved() {
			t.Errorf("%s: its end says that it was saved", name)
		}
		_ = c.dc.SetReadDeadline(time.Now().Add(patienceOfTests))
		if n, err := c.dc.Read(make([]byte, maxDatagram)); err == nil || n > 0 || isTimeout(err) {
			t.Errorf("%s: got %d bytes, %v, want a close_notify", name, n, err)
		}
	}
}

func isTimeout(err error) bool {
	n, ok := err.(net.Error)
	return ok && n.Timeout()
}

// A state that is resumed twice at one gateway, one for which there is no room, and one that has no
// more numbers, are not resumed.
func TestWhatIsNotResumed(t *testing.T) {
	s := startSite(t, Config{Save: saveAll}, answerEcho)
	clients := []*pionClient{s.dialPion(t, suites[0], false), s.dialPion(t, suites[2], true)}
	for _, c := range clients {
		c.ask(t)
		receiveFrom(t, s.opened)
	}
	list := s.stop()
	if len(list) != 2 {
		t.Fatalf("got %d saved, want 2", len(list))
	}
	spent := list[0]
	spent.Next = protect.MaxNumber - 1
	other := list[1]
	other.OurCID = []byte("short")
	next := startSite(t, Config{Addr: s.Addr().String(), MaxSessions: 2,
		Resume: resumeAll([]saved.Association{spent, other, list[0], list[0], list[1], list[1]})}, answerEcho)
	for range 2 {
		receiveFrom(t, next.opened)
	}
	for _, c := range clients {
		c.ask(t)
	}
	if got := next.Sessions(); got != 2 || len(next.opened) > 0 {
		t.Errorf("got %d sessions, and %d more opened, want 2 and none", got, len(next.opened))
	}
	full := startSite(t, Config{MaxSessions: 1, Resume: resumeAll(list)}, answerEcho)
	receiveFrom(t, full.opened)
	eventually(t, "the listener reads", func() bool { return full.readsHello(t) })
	if got := full.Sessions(); got != 1 {
		t.Errorf("got %d sessions where there is room for one", got)
	}
}

// readsHello sends a hello and tells whether one was read.
func (s *site) readsHello(t *testing.T) bool {
	t.Helper()
	u, err := net.DialUDP("udp", nil, s.Addr().(*net.UDPAddr))
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = u.Close() }()
	_, _ = u.Write(makeHello(0, nil))
	return s.Stats().Hellos > 0
}

// A listener that is closed while it waits for what to resume ends, and resumes nothing.
func TestCloseWhileResuming(t *testing.T) {
	asked := make(chan struct{})
	l, err := Listen(Config{Addr: freshAddr(), PSK: func([]byte) []byte { return nil },
		Resume: func(ctx context.Context) []saved.Association {
			close(asked)
			<-ctx.Done()
			return []saved.Association{{}}
		}})
	if err != nil {
		t.Fatal(err)
	}
	receiveFrom(t, asked)
	if err := l.Close(); err != nil || l.Sessions() != 0 {
		t.Errorf("got %v and %d sessions, want neither", err, l.Sessions())
	}
}
