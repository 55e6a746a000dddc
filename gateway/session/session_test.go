package session

import (
	"bytes"
	"context"
	"errors"
	"io"
	"net"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/plgd-dev/go-coap/v3/message"
	"github.com/plgd-dev/go-coap/v3/message/codes"
	"github.com/plgd-dev/go-coap/v3/message/pool"
	"go.uber.org/goleak"

	"latchkey/coapres"
	"latchkey/coapres/transport"
	"latchkey/coapres/wire"
	"latchkey/keys"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

const (
	doorID   = "door000001"
	identity = keys.ID("lk-0123456789")
)

// site is a listener, all of whose associations belong to one lock, and the table of its sessions.
type site struct {
	*Table
	addr   string
	secret keys.Secret
	peers  chan *coapres.Peer
	gone   chan bool // for each association that ended: whether it was the newest of its device
}

func newSite(t *testing.T) *site {
	t.Helper()
	s := &site{Table: NewTable(nil), secret: keys.NewSecret(), peers: make(chan *coapres.Peer, 8),
		gone: make(chan bool, 8)}
	l, err := transport.Listen(transport.Config{Addr: "127.0.0.1:0",
		PSK: func([]byte) []byte { return s.secret.PSK() }})
	if err != nil {
		t.Fatal(err)
	}
	s.addr = l.Addr().String()
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() {
		answer := func(_ *transport.Conn, _, resp *pool.Message, _ time.Time) { resp.SetCode(codes.Content) }
		open := func(c *transport.Conn) error {
			p := coapres.NewPeer(doorID, "front-lock", keys.KindLock, keys.ID(c.Identity()),
				c.RemoteAddr().String(), c)
			c.SetPeer(p)
			s.Open(p, c.Number(), func() { _ = c.End() }, time.Now())
			s.peers <- p
			return nil
		}
		done <- l.Serve(ctx, answer, open,
			func(c *transport.Conn) { s.gone <- s.Closed(c.Peer().(*coapres.Peer)) })
	}()
	t.Cleanup(func() {
		cancel()
		if err := <-done; err != nil {
			t.Error(err)
		}
		if err := l.Close(); err != nil {
			t.Error(err)
		}
	})
	return s
}

// node is the lock's end of an association. It answers one request at a time, with what the test
// puts into answer.
type node struct {
	*transport.Conn
	asked  chan wire.Command // the requests, in order; id 0 means a reading of the state
	answer chan wire.State   // the answer to the next request
}

// connect opens an association of the lock and returns both of its ends.
func (s *site) connect(t *testing.T) (*node, *coapres.Peer) {
	t.Helper()
	n := &node{asked: make(chan wire.Command, 8), answer: make(chan wire.State, 8)}
	ctx, cancel := context.WithCancel(context.Background())
	c, err := transport.Dial(ctx, s.addr, identity, s.secret, func(c *transport.Conn, req, resp *pool.Message,
		_ time.Time) {
		var cmd wire.Command
		if req.Code() == codes.POST {
			b, err := io.ReadAll(req.Body())
			if err == nil {
				cmd, err = wire.ParseCommand(wire.CBOR, b)
			}
			if err != nil {
				t.Error(err)
				return
			}
		}
		n.asked <- cmd
		var st wire.State
		select {
		case st = <-n.answer:
		case <-c.Context().Done():
			return
		}
		body, err := st.Encode(wire.CBOR)
		resp.SetCode(codes.Content)
		if req.Code() == codes.POST {
			resp.SetCode(codes.Changed)
			body, err = wire.Receipt{Result: wire.Done, State: st}.Encode(wire.CBOR)
		}
		if err != nil {
			t.Error(err)
			return
		}
		resp.SetContentFormat(message.AppCBOR)
		resp.SetBody(bytes.NewReader(body))
	})
	if err != nil {
		cancel()
		t.Fatal(err)
	}
	n.Conn = c
	t.Cleanup(func() { cancel(); <-c.Done() })
	return n, <-s.peers
}

// sendRequest sends the gateway a request, which shows that the node is alive.
func (n *node) sendRequest(t *testing.T) {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
	defer cancel()
	m := pool.NewMessage(ctx)
	m.SetCode(codes.GET)
	if _, err := n.Do(m); err != nil {
		t.Fatal(err)
	}
}

func (s *site) findView(t *testing.T) View {
	t.Helper()
	v, ok := s.View(doorID, time.Now())
	if !ok {
		t.Fatal("the table has no session of the device")
	}
	return v
}

func unlock(id uint64) wire.Command { return wire.Command{ID: id, Action: wire.Unlock, Duration: 3000} }

type result struct {
	wire.Receipt
	err error
}

// command runs Command in the background.
func (s *site) command(cmd wire.Command, intent time.Time) <-chan result {
	out := make(chan result, 1)
	go func() {
		r, err := s.Command(context.Background(), doorID, coapres.Command{Command: cmd, Intent: intent})
		out <- result{r, err}
	}()
	return out
}

func TestOnline(t *testing.T) {
	s := newSite(t)
	now := time.Now()
	if _, err := s.Command(context.Background(), doorID, coapres.Command{Command: unlock(1),
		Intent: now}); !errors.Is(err, ErrOffline) {
		t.Errorf("never seen: got %v, want ErrOffline", err)
	}
	if _, ok := s.View(doorID, now); ok {
		t.Error("never seen: got a view of the device")
	}
	if _, ok := s.Peer(doorID); ok {
		t.Error("never seen: got a session of the device")
	}
	n, p := s.connect(t)
	online := func(rule string, at time.Time, want bool) {
		t.Helper()
		if v, _ := s.View(doorID, at); v.Online != want || v.Identity != identity || v.Name != "front-lock" ||
			v.Kind != keys.KindLock {
			t.Errorf("%s: got %+v, want online %v", rule, v, want)
		}
	}
	online("not registered", now, false)
	if !s.Registered(p, 90*time.Second, now) {
		t.Error("the first registration does not count as the first")
	}
	online("registered", now, true)
	if s.Registered(p, 90*time.Second, now) {
		t.Error("an update counts as a first registration")
	}
	online("last instant", now.Add(90*time.Second-1), true)
	online("lapsed", now.Add(90*time.Second), false)
	if got := s.Lapsed(now.Add(90*time.Second - 1)); len(got) != 0 {
		t.Errorf("got %d lapsed, want none yet", len(got))
	}
	if got := s.Lapsed(now.Add(90 * time.Second)); !slices.Equal(got, []*coapres.Peer{p}) {
		t.Errorf("got %v lapsed, want the lock", got)
	}
	if got := s.Lapsed(now.Add(91 * time.Second)); len(got) != 0 {
		t.Errorf("got %d lapsed again, want each reported once", len(got))
	}
	s.Registered(p, 90*time.Second, now)
	s.Left(p)
	online("deregistered", now, false)
	if _, err := s.Command(context.Background(), doorID, coapres.Command{Command: unlock(2),
		Intent: time.Now()}); !errors.Is(err, ErrOffline) {
		t.Errorf("got %v, want ErrOffline", err)
	}
	s.Registered(p, 90*time.Second, now)
	_ = n.End()
	if newest := <-s.gone; !newest {
		t.Error("its session was not the newest")
	}
	online("session ended", now, false)
	if len(n.asked) > 0 {
		t.Error("something was sent to a lock that was offline")
	}
}

func TestCommandAndItsReceipt(t *testing.T) {
	s := newSite(t)
	n, p := s.connect(t)
	s.Registered(p, 90*time.Second, time.Now())
	if v := s.findView(t); v.Known || v.Commanded != (wire.Command{}) {
		t.Errorf("got %+v, want nothing known yet", v)
	}
	out := s.command(unlock(7), time.Now())
	if cmd := <-n.asked; cmd.ID != 7 || cmd.Action != wire.Unlock || cmd.Duration != 3000 {
		t.Errorf("got %+v, want the command", cmd)
	}
	if v := s.findView(t); v.Known || v.Commanded.ID != 7 {
		t.Errorf("got %+v, want the command in it and the state unknown", v)
	}
	n.answer <- wire.State{ID: 7, On: true, Left: 3000, Contact: wire.ContactOpen}
	if r := <-out; r.err != nil || !r.State.On {
		t.Errorf("got %+v, want the receipt", r)
	}
	v := s.findView(t)
	if !v.Known || !v.State.On || v.State.Contact != wire.ContactOpen {
		t.Errorf("got %+v, want the acknowledged state", v)
	}
	if st := v.Expected(v.StateAt.Add(2 * time.Second)); !st.On || st.Left != 1000 {
		t.Errorf("in its pulse: got %+v", st)
	}
	if st := v.Expected(v.StateAt.Add(3 * time.Second)); st.On || st.Left != 0 {
		t.Errorf("after its pulse: got %+v", st)
	}
	s.Sensed(p, wire.ContactClosed)
	if v := s.findView(t); v.State.Contact != wire.ContactClosed {
		t.Errorf("got %+v, want the contact that was sensed since", v)
	}
}

func TestCommandsGoOneAtATime(t *testing.T) {
	s := newSite(t)
	n, p := s.connect(t)
	s.Registered(p, 90*time.Second, time.Now())
	intent := time.Now()
	one := s.command(unlock(1), intent)
	<-n.asked
	two := s.command(wire.Command{ID: 2, Action: wire.Lock}, intent)
	late := s.command(wire.Command{ID: 3, Action: wire.Lock}, intent.Add(-coapres.CommandWindow))
	if r := <-late; !errors.Is(r.err, coapres.ErrLate) {
		t.Errorf("got %v, want ErrLate for a command that waited longer than its window", r.err)
	}
	if len(n.asked) > 0 {
		t.Errorf("got command %+v while the first is under way", <-n.asked)
	}
	n.answer <- wire.State{ID: 1, On: true, Left: 3000}
	if r := <-one; r.err != nil {
		t.Error(r.err)
	}
	if cmd := <-n.asked; cmd.ID != 2 {
		t.Errorf("got command %+v, want the second", cmd)
	}
	n.answer <- wire.State{ID: 2}
	if r := <-two; r.err != nil {
		t.Error(r.err)
	}
	if v := s.findView(t); v.State.On || v.State.ID != 2 || len(n.asked) > 0 {
		t.Errorf("got %+v, want it locked by the second", v)
	}
}

// After a lost receipt the state is unknown, and nothing more is sent until the node sends a
// request.
func TestLostReceipt(t *testing.T) {
	s := newSite(t)
	n, p := s.connect(t)
	s.Registered(p, 90*time.Second, time.Now())
	n.answer <- wire.State{ID: 1}
	if _, err := s.Command(context.Background(), doorID,
		coapres.Command{Command: wire.Command{ID: 1, Action: wire.Lock}, Intent: time.Now()}); err != nil {
		t.Fatal(err)
	}
	<-n.asked
	intent := time.Now().Add(100*time.Millisecond - coapres.CommandWindow)
	r := <-s.command(unlock(2), intent)
	if !errors.Is(r.err, coapres.ErrNoReceipt) || time.Since(intent) < coapres.CommandWindow {
		t.Errorf("got %v, want ErrNoReceipt at the end of the window", r.err)
	}
	if cmd := <-n.asked; cmd.ID != 2 {
		t.Errorf("got %+v, want it sent", cmd)
	}
	if v := s.findView(t); v.Known || v.Online || v.Commanded.ID != 2 {
		t.Errorf("got %+v, want its state unknown and the lock offline", v)
	}
	if r := <-s.command(unlock(3), time.Now()); !errors.Is(r.err, ErrOffline) {
		t.Errorf("got %v, want ErrOffline at once", r.err)
	}
	n.sendRequest(t)
	if v := s.findView(t); v.Known || !v.Online {
		t.Errorf("got %+v, want it online and its state still unknown", v)
	}
	// the answer to the command without a receipt, for which nobody waits any more
	n.answer <- wire.State{ID: 2, On: true, Left: 1000}
	n.answer <- wire.State{ID: 4, On: true, Left: 3000}
	if r := <-s.command(unlock(4), time.Now()); r.err != nil {
		t.Errorf("got %v, want the next command to succeed", r.err)
	}
	if v := s.findView(t); !v.Known || v.State.ID != 4 {
		t.Errorf("got %+v, want the state known again", v)
	}
}

func TestReadings(t *testing.T) {
	s := newSite(t)
	n, p := s.connect(t)
	s.Registered(p, 90*time.Second, time.Now())
	refresh := func() <-chan error {
		out := make(chan error, 1)
		go func() {
			_, err := s.Refresh(context.Background(), p)
			out <- err
		}()
		return out
	}
	n.answer <- wire.State{ID: 5, On: true, Left: 2000}
	if err := <-refresh(); err != nil {
		t.Fatal(err)
	}
	<-n.asked
	if v := s.findView(t); !v.Known || !v.State.On || v.State.ID != 5 || v.Commanded.ID != 0 {
		t.Errorf("got %+v, want the state that was read", v)
	}
	n.answer <- wire.State{ID: 4}
	if err := <-refresh(); err != nil {
		t.Fatal(err)
	}
	<-n.asked
	if v := s.findView(t); !v.State.On || v.State.ID != 5 {
		t.Errorf("got %+v, want that a reading from before the last command changes nothing", v)
	}
	reading := refresh()
	<-n.asked
	out := s.command(unlock(6), time.Now())
	if err := <-reading; !errors.Is(err, context.Canceled) {
		t.Errorf("got %v, want that the command cancels a reading that waits", err)
	}
	<-n.asked
	st := wire.State{ID: 6, On: true, Left: 3000}
	n.answer <- st // the answer to the cancelled reading
	n.answer <- st
	if r := <-out; r.err != nil {
		t.Error(r.err)
	}
}

// A command has no receipt. A reading that the node made before it obeyed the command, but that
// arrives later, does not tell the state of the door.
func TestOldReadingDoesNotHideALostReceipt(t *testing.T) {
	s := newSite(t)
	n, p := s.connect(t)
	s.Registered(p, 90*time.Second, time.Now())
	n.sendRequest(t)
	out := s.command(unlock(11), time.Now().Add(300*time.Millisecond-coapres.CommandWindow))
	<-n.asked
	known := make(chan bool, 1)
	go func() {
		k, err := s.Refresh(context.Background(), p)
		if err != nil {
			t.Error(err)
		}
		known <- k
	}()
	<-n.asked
	if r := <-out; !errors.Is(r.err, coapres.ErrNoReceipt) {
		t.Fatalf("got %v, want ErrNoReceipt", r.err)
	}
	n.answer <- wire.State{ID: 11, On: true} // the receipt, which comes too late
	n.answer <- wire.State{ID: 10}
	if <-known {
		t.Error("the reading counts")
	}
	if v := s.findView(t); v.Known {
		t.Errorf("got %+v, want its state unknown", v)
	}
}

// If a node reports its contact while an older reading is on its way, the reading does not
// overwrite the reported contact.
func TestOldReadingDoesNotHideAReport(t *testing.T) {
	s := newSite(t)
	n, p := s.connect(t)
	s.Registered(p, 90*time.Second, time.Now())
	n.sendRequest(t)
	done := make(chan error, 1)
	go func() { _, err := s.Refresh(context.Background(), p); done <- err }()
	<-n.asked
	s.Sensed(p, wire.ContactOpen)
	n.answer <- wire.State{Contact: wire.ContactClosed}
	if err := <-done; err != nil {
		t.Fatal(err)
	}
	if v := s.findView(t); !v.Known || v.Contact != wire.ContactOpen || v.State.Contact != wire.ContactOpen {
		t.Errorf("got %+v, want the contact that was reported", v)
	}
}

func TestCommandTooLateIsNotCommanded(t *testing.T) {
	s := newSite(t)
	n, p := s.connect(t)
	s.Registered(p, 90*time.Second, time.Now())
	for range 50 {
		if r := <-s.command(unlock(1), time.Now().Add(-coapres.CommandWindow)); !errors.Is(r.err,
			coapres.ErrLate) {
			t.Fatalf("got %v, want ErrLate", r.err)
		}
		if v := s.findView(t); v.Commanded.ID != 0 || len(n.asked) > 0 {
			t.Fatalf("got %+v, want nothing sent and nothing commanded", v)
		}
	}
}

// A node may register again and again while nothing reaches it. The readings that this causes must
// not delay a command.
func TestReadingsDoNotHoldUpACommand(t *testing.T) {
	s := newSite(t)
	n, p := s.connect(t)
	s.Registered(p, 90*time.Second, time.Now())
	ended := make(chan error, 3)
	for range 3 {
		go func() {
			_, err := s.Refresh(context.Background(), p)
			ended <- err
		}()
		<-n.asked
	}
	out := s.command(unlock(1), time.Now())
	select {
	case cmd := <-n.asked:
		if cmd.ID != 1 {
			t.Errorf("got %+v, want the command", cmd)
		}
	case <-time.After(coapres.CommandWindow):
		t.Fatal("the command was not sent")
	}
	for range 3 {
		if err := <-ended; !errors.Is(err, context.Canceled) {
			t.Errorf("got %v, want every reading ended", err)
		}
	}
	for range 4 { // the node answers the readings too, although nobody waits
		n.answer <- wire.State{ID: 1, On: true, Left: 3000}
	}
	if r := <-out; r.err != nil {
		t.Error(r.err)
	}
}

func TestNewestSessionWins(t *testing.T) {
	s := newSite(t)
	_, old := s.connect(t)
	s.Registered(old, 90*time.Second, time.Now())
	n, newest := s.connect(t)
	if wasNewest := <-s.gone; wasNewest {
		t.Error("the replaced session counted as the newest when it ended")
	}
	if p, ok := s.Peer(doorID); !ok || p != newest {
		t.Error("the older session is still the device's")
	}
	if replaced, ok := s.Open(old, 0, func() {}, time.Now()); replaced || ok {
		t.Error("a session older than the newest one was opened after it")
	}
	if p, ok := s.Peer(doorID); !ok || p != newest {
		t.Error("an older session became the device's")
	}
	if s.Registered(old, 90*time.Second, time.Now()); s.findView(t).Online {
		t.Error("a registration in a replaced session made the device online")
	}
	s.Left(old)
	s.Sensed(old, wire.ContactOpen)
	if _, err := s.Refresh(context.Background(), old); !errors.Is(err, ErrOffline) ||
		s.findView(t).State.Contact != wire.ContactUnknown {
		t.Errorf("got %v, want that a replaced session changes nothing", err)
	}
	s.Registered(newest, 90*time.Second, time.Now())
	n.answer <- wire.State{ID: 1}
	if _, err := s.Command(context.Background(), doorID,
		coapres.Command{Command: wire.Command{ID: 1, Action: wire.Lock}, Intent: time.Now()}); err != nil {
		t.Error(err)
	}
	if vs := s.Views(time.Now()); len(vs) != 1 || vs[0].Device != doorID || !vs[0].Online {
		t.Errorf("got %+v, want the one device", vs)
	}
}

func TestEndIf(t *testing.T) {
	s := newSite(t)
	n, p := s.connect(t)
	s.Registered(p, 90*time.Second, time.Now())
	if got := s.EndIf(func(*coapres.Peer) bool { return false }); len(got) != 0 {
		t.Errorf("got %d ended, want none", len(got))
	}
	out := s.command(unlock(1), time.Now())
	<-n.asked
	if got := s.EndIf(func(q *coapres.Peer) bool { return q.Key == identity }); !slices.Equal(got,
		[]*coapres.Peer{p}) {
		t.Errorf("got %v ended, want the lock's", got)
	}
	if r := <-out; !errors.Is(r.err, coapres.ErrNoReceipt) {
		t.Errorf("got %v, want ErrNoReceipt for the command under way", r.err)
	}
	if v := s.findView(t); v.Online || v.Known {
		t.Errorf("got %+v, want it offline and unknown", v)
	}
	if newest := <-s.gone; newest {
		t.Error("a session that was ended counted as its device's newest")
	}
	select {
	case <-n.Done():
	case <-time.After(5 * time.Second):
		t.Error("the node's end is still open")
	}
}

// newRouter forwards datagrams between a node and the gateway. move changes the port that the
// gateway sees for the node.
func newRouter(t *testing.T, gateway string) (addr string, move func()) {
	t.Helper()
	ua, err := net.ResolveUDPAddr("udp", gateway)
	if err != nil {
		t.Fatal(err)
	}
	front, err := net.ListenUDP("udp", &net.UDPAddr{IP: net.IPv4(127, 0, 0, 1)})
	if err != nil {
		t.Fatal(err)
	}
	var (
		wg   sync.WaitGroup
		mu   sync.Mutex
		back *net.UDPConn
		node *net.UDPAddr
	)
	move = func() {
		u, err := net.DialUDP("udp", nil, ua)
		if err != nil {
			t.Error(err)
			return
		}
		mu.Lock()
		if back != nil {
			_ = back.Close()
		}
		back = u
		mu.Unlock()
		wg.Go(func() {
			for buf := make([]byte, 2048); ; {
				n, err := u.Read(buf)
				if err != nil {
					return
				}
				mu.Lock()
				_, _ = front.WriteToUDP(buf[:n], node)
				mu.Unlock()
			}
		})
	}
	move()
	wg.Go(func() {
		for buf := make([]byte, 2048); ; {
			n, from, err := front.ReadFromUDP(buf)
			if err != nil {
				return
			}
			mu.Lock()
			node = from
			_, _ = back.Write(buf[:n])
			mu.Unlock()
		}
	})
	t.Cleanup(func() {
		_ = front.Close()
		mu.Lock()
		_ = back.Close()
		mu.Unlock()
		wg.Wait()
	})
	return front.LocalAddr().String(), move
}

// If a lock sends from a new address, the gateway reads its state there before it sends a command.
func TestCommandAfterAMove(t *testing.T) {
	s := newSite(t)
	var move func()
	s.addr, move = newRouter(t, s.addr)
	n, p := s.connect(t)
	s.Registered(p, 90*time.Second, time.Now())
	for i, want := range [][]uint64{{1}, {0, 2}, {3}} {
		if i == 1 {
			move()
			n.sendRequest(t)
			if got := p.Caller.Path(); got != 1 {
				t.Fatalf("got path %d after a move, want 1", got)
			}
		}
		id := uint64(i + 1)
		done := s.command(unlock(id), time.Now())
		for _, w := range want {
			if got := <-n.asked; got.ID != w {
				t.Fatalf("command %d: got %d first, want %d", id, got.ID, w)
			}
			n.answer <- wire.State{ID: max(w, uint64(i)), On: true}
		}
		if r := <-done; r.err != nil || r.State.ID != id {
			t.Errorf("command %d: got %+v", id, r)
		}
	}
	move()
	n.sendRequest(t)
	done := s.command(unlock(9), time.Now())
	if got := <-n.asked; got.ID != 0 {
		t.Errorf("got command %d at a new address, want a reading", got.ID)
	}
	if r := <-done; !errors.Is(r.err, ErrOffline) { // the reading was not answered
		t.Errorf("got %+v, want ErrOffline, as no command was sent", r)
	}
	n.answer <- wire.State{ID: 3}
	if len(n.asked) != 0 {
		t.Errorf("got %+v, want no command", <-n.asked)
	}
}
