package homeassistant_test

import (
	"bytes"
	"context"
	"errors"
	"io"
	"log/slog"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/plgd-dev/go-coap/v3/message"
	"github.com/plgd-dev/go-coap/v3/message/codes"
	"github.com/plgd-dev/go-coap/v3/message/pool"
	"go.uber.org/goleak"

	"latchkey/coapres"
	"latchkey/coapres/wire"
	"latchkey/gateway/access"
	"latchkey/gateway/audit"
	"latchkey/gateway/doorwatch"
	"latchkey/gateway/feed"
	"latchkey/gateway/homeassistant"
	"latchkey/gateway/homeassistant/hatest"
	"latchkey/gateway/house"
	"latchkey/gateway/mqtt/mosquitto"
	"latchkey/gateway/session"
	"latchkey/gateway/store"
	"latchkey/keys"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// node is the far end of an actuator's association: it obeys each command.
type node struct {
	mu      sync.Mutex
	state   wire.State    // guarded by mu
	moves   []wire.Action // guarded by mu; the commands that it obeyed
	refuses bool          // guarded by mu; it does not do what it is asked
	until   time.Time     // guarded by mu; the end of a pulse
}

// read returns its state. A pulse ends by itself. The caller holds mu.
func (n *node) read() wire.State {
	if left := time.Until(n.until); n.state.On && n.state.Left > 0 {
		if n.state.Left = uint32(max(left, 0) / time.Millisecond); n.state.Left == 0 {
			n.state.On = false
		}
	}
	return n.state
}

func (n *node) LastHeard() time.Time  { return time.Now() }
func (n *node) Path() uint32          { return 1 }
func (n *node) Release(*pool.Message) {}

func (n *node) Do(req *pool.Message) (*pool.Message, error) {
	n.mu.Lock()
	defer n.mu.Unlock()
	resp := pool.NewMessage(context.Background())
	body, err := n.read().Encode(wire.CBOR)
	resp.SetCode(codes.Content)
	if req.Code() == codes.POST {
		body, err = n.obey(req)
		resp.SetCode(codes.Changed)
	}
	resp.SetContentFormat(message.AppCBOR)
	resp.SetBody(bytes.NewReader(body))
	return resp, err
}

func (n *node) obey(req *pool.Message) ([]byte, error) {
	body, err := io.ReadAll(req.Body())
	if err != nil {
		return nil, err
	}
	cmd, err := wire.ParseCommand(wire.CBOR, body)
	if err != nil {
		return nil, err
	}
	if n.refuses {
		return wire.Receipt{Result: wire.Refused, State: n.state}.Encode(wire.CBOR)
	}
	n.moves = append(n.moves, cmd.Action)
	n.state.ID, n.state.Left = cmd.ID, 0
	switch cmd.Action {
	case wire.Unlock:
		n.state.On, n.state.Left = true, cmd.Duration
		n.until = time.Now().Add(time.Duration(cmd.Duration) * time.Millisecond)
	case wire.On:
		n.state.On, n.state.Level = true, 100
	case wire.Level:
		n.state.On, n.state.Level = true, cmd.Level
	default:
		n.state.On, n.state.Level = false, 0
	}
	return wire.Receipt{Result: wire.Done, State: n.state}.Encode(wire.CBOR)
}

func (n *node) obeyed() []wire.Action {
	n.mu.Lock()
	defer n.mu.Unlock()
	return slices.Clone(n.moves)
}

// site is the parts of a gateway around an engine: store, feed, sessions and doors are real. Its
// Operate is the gateway's in a few lines; gateway/e2e has tests with the whole gateway.
type site struct {
	t        *testing.T
	store    *store.Store
	feed     *feed.Feed
	sessions *session.Table
	doors    *doorwatch.Watch
	engine   *homeassistant.Engine
	broker   *mosquitto.Broker
	stop     func()
	tasks    sync.WaitGroup

	front, back, porch access.ID // two doors and a lamp
	home               access.ID // the integration
	locks              map[access.ID]*node
	devices            map[access.ID]access.ID // target → actuator

	mu       sync.Mutex
	trusted  bool          // guarded by mu; the clock
	checks   int           // guarded by mu; of codes
	checking int           // guarded by mu; now
	atOnce   int           // guarded by mu; the most at one time
	operated int           // guarded by mu; attempts
	slow     time.Duration // guarded by mu; how long a check of a code takes
	pulse    time.Duration // guarded by mu; of a door
	stuck    bool          // guarded by mu; an integration cannot be paused
}

// rightCode fits every grant that asks for a code.
const rightCode = "246810"

// newSite starts a broker with the README's access list, and a site that is integrated there.
func newSite(t *testing.T, o mosquitto.Options) *site {
	t.Helper()
	s := &site{t: t, trusted: true, pulse: 3 * time.Second, locks: map[access.ID]*node{},
		devices: map[access.ID]access.ID{}}
	var err error
	s.store, err = store.Open(context.Background(), store.Options{InMemory: true})
	if err != nil {
		t.Fatal(err)
	}
	if !o.TLS {
		o.Users = map[string]string{"latchkey": "one", "homeassistant": "two", "lamp": "three"}
	}
	o.ACL = hatest.ACL(s.store.SiteID()) + o.ACL
	s.broker = mosquitto.Start(t, o)
	s.feed = feed.New(s.store, discard)
	s.sessions = session.NewTable(s.feed.DeviceChanged)
	s.doors, err = doorwatch.New(context.Background(), doorwatch.Config{Store: s.store, Feed: s.feed,
		Sessions: s.sessions,
		Log:      discard, Go: func(f func()) bool { s.tasks.Go(f); return true },
		Answered: func(*coapres.Peer) {}, StateRead: func(access.ID) {}})
	if err != nil {
		t.Fatal(err)
	}
	plan := house.Plan{Card: s.store.CredentialID, At: time.Now()}
	s.front, s.back, s.porch = plan.Door("front-door", 3*time.Second), plan.Door("back-door",
		3*time.Second), plan.Lamp("porch")
	for target, kind := range map[access.ID]keys.Kind{s.front: keys.KindLock, s.back: keys.KindLock,
		s.porch: keys.KindLamp} {
		s.devices[target], _ = plan.Device(string(target)+"-act", kind, target)
	}
	s.home = access.NewID()
	plan.Add(access.Integration{ID: s.home, Name: "home", Endpoint: s.broker.Endpoint("latchkey"),
		Base:   "latchkey",
		Prefix: "homeassistant", Created: time.Now()})
	s.apply(plan.Take()...)
	for target, kind := range map[access.ID]keys.Kind{s.front: keys.KindLock, s.back: keys.KindLock,
		s.porch: keys.KindLamp} {
		s.locks[target] = &node{}
		s.connect(target, kind)
	}
	s.start()
	t.Cleanup(func() {
		s.stop()
		s.doors.Close()
		s.tasks.Wait()
		if err := s.store.Verify(context.Background()); err != nil && !errors.Is(err, store.ErrClosed) {
			t.Error(err)
		}
		if err := s.store.Close(); err != nil {
			t.Error(err)
		}
	})
	return s
}

var discard = slog.New(slog.DiscardHandler)

// connect opens a session of the actuator at a target.
func (s *site) connect(target access.ID, kind keys.Kind) *coapres.Peer {
	s.t.Helper()
	device := s.devices[target]
	p := coapres.NewPeer(device, s.store.Snapshot().Devices[device].Name, kind, "lk-0123456789",
		"127.0.0.1:1", s.locks[target])
	s.sessions.Open(p, uint64(time.Now().UnixNano()), func() {}, time.Now())
	s.sessions.Registered(p, time.Hour, time.Now())
	if _, err := s.sessions.Refresh(context.Background(), p); err != nil {
		s.t.Fatal(err)
	}
	return p
}

// start starts an engine, as a gateway that starts does.
func (s *site) start() {
	s.engine = homeassistant.New(homeassistant.Config{Site: s.store.SiteID(), Policy: s.store.Snapshot,
		Feed:   s.feed,
		Events: s.store, Doors: s.doors, Sessions: s.sessions, Operate: s.operate, CheckCode: s.checkCode,
		Pause: s.pause,
		ClockTrusted: func(time.Time) (bool, string) {
			s.mu.Lock()
			defer s.mu.Unlock()
			return s.trusted,
				""
		}, Log: discard,
		Version: "0.3.0"})
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- s.engine.Run(ctx) }()
	var once sync.Once
	s.stop = func() {
		once.Do(func() {
			cancel()
			if err := <-done; err != nil {
				s.t.Error(err)
			}
		})
	}
}

// restart is what Home Assistant sees of a gateway that starts again.
func (s *site) restart() { s.stop(); s.start() }

func (s *site) apply(changes ...access.Change) {
	s.t.Helper()
	if _, err := s.store.Apply(context.Background(), "test", changes...); err != nil {
		s.t.Fatal(err)
	}
}

func (s *site) put(r access.Record) { s.t.Helper(); s.apply(access.Change{Put: r}) }

// remove deletes a record, with what refers to it.
func (s *site) remove(r access.Record) {
	s.t.Helper()
	changes, err := s.store.Snapshot().Removal(r)
	if err != nil {
		s.t.Fatal(err)
	}
	s.apply(changes...)
}

// grant lets the integration do something with a target.
func (s *site) grant(target access.ID, code keys.Hidden, actions ...wire.Action) access.Grant {
	s.t.Helper()
	g := access.Grant{ID: access.NewID(), SubjectKind: access.SubjectIntegration, Subject: s.home,
		Target:  target,
		Actions: actions, Effect: access.Allow, Code: code, Created: time.Now()}
	s.put(g)
	return g
}

var codeHash = keys.Hide("$argon2id$hash of " + rightCode)

func (s *site) checkCode(ctx context.Context, hash keys.Hidden, code string) (bool, error) {
	s.mu.Lock()
	s.checks++
	s.checking++
	s.atOnce = max(s.atOnce, s.checking)
	slow := s.slow
	s.mu.Unlock()
	defer s.set(func() { s.checking-- })
	select {
	case <-time.After(slow):
	case <-ctx.Done():
		return false, ctx.Err()
	}
	return hash.Reveal() == codeHash.Reveal() && code == rightCode, nil
}

func (s *site) pause(ctx context.Context, id access.ID, why string) error {
	var stuck bool
	if s.set(func() { stuck = s.stuck }); stuck {
		return errors.New("no pause")
	}
	r := s.store.Snapshot().Integrations[id]
	r.Paused = why
	_, err := s.store.Apply(ctx, "gateway", access.Change{Put: r})
	return err
}

// operate decides an attempt, commands the actuator and records the outcome.
func (s *site) operate(ctx context.Context, a access.Attempt) error {
	s.mu.Lock()
	s.operated++
	pulse := s.pulse
	s.mu.Unlock()
	adm, err := s.store.Admit(ctx, a)
	if err != nil || !adm.Decision.Granted {
		return err
	}
	device, _ := s.store.Snapshot().Actuator(a.Target)
	cmd := wire.Command{ID: adm.Seq, Action: a.Action, Level: a.Level}
	if a.Action == wire.Unlock {
		cmd.Duration = uint32(pulse / time.Millisecond)
	}
	_, err = s.sessions.Command(ctx, device.ID, coapres.Command{Command: cmd, Intent: a.At})
	s.doors.ExpectEnd(device.ID)
	_, err = s.store.Record(ctx, audit.Event{Kind: audit.EventReceipt, Cause: adm.Seq,
		Outcome: session.OutcomeOf(err),
		Action:  a.Action,
		Target:  audit.Named{ID: a.Target, Name: s.store.Snapshot().Targets[a.Target].Name}})
	return err
}

// decisions returns the reasons of the decisions about the integration's requests, oldest first.
func (s *site) decisions() (out []access.Reason) {
	s.t.Helper()
	for _, ev := range s.events() {
		if ev.Kind == audit.EventDecision && ev.Source == access.ByIntegration {
			out = append(out, ev.Reason)
		}
	}
	return out
}

// refusals returns the reasons of the events about refused commands, oldest first.
func (s *site) refusals() (out []access.Reason) {
	s.t.Helper()
	for _, ev := range s.events() {
		if ev.Kind == audit.EventIntegration {
			out = append(out, ev.Reason)
		}
	}
	return out
}

func (s *site) events() (all []audit.Event) {
	s.t.Helper()
	for from := uint64(1); ; {
		page, err := s.store.Events(context.Background(), from, 500)
		if err != nil {
			s.t.Fatal(err)
		}
		if len(page) == 0 {
			return all
		}
		all = append(all, page...)
		from = page[len(page)-1].Seq + 1
	}
}

// connected tells whether the engine is connected to the broker.
func (s *site) connected() bool {
	st := s.engine.Status()
	return len(st) == 1 && st[0].Connection.Connected
}

// refused returns how many commands were refused for a reason.
func (s *site) refused(reason string) uint64 {
	for _, st := range s.engine.Status() {
		return st.Refused[reason]
	}
	return 0
}

// ask sends an unlock, as made that long ago or ahead, and returns what became of it: the reason of
// the refusal or of the decision. It sends again while Home Assistant does not know the present
// echo.
func (s *site) ask(h *hatest.Home, target access.ID, made time.Duration, more ...string) string {
	s.t.Helper()
	for {
		refused, decided := s.engine.Status()[0].Refused, len(s.decisions())
		h.Await("an echo", func() bool { return h.Echo(target) != "" })
		h.Send(target, hatest.Command("unlock", h.Echo(target), time.Now().Add(made), more...))
		became := ""
		h.Await("it is refused or decided", func() bool {
			for reason, n := range s.engine.Status()[0].Refused {
				if n > refused[reason] {
					became = reason
				}
			}
			if all := s.decisions(); len(all) > decided {
				became = string(all[decided])
			}
			return became != ""
		})
		if became != "repeated" {
			return became
		}
	}
}

func (s *site) set(f func()) { s.mu.Lock(); defer s.mu.Unlock(); f() }

// begin starts a site and a client that plays Home Assistant, and waits until it sees the site.
func begin(t *testing.T) (*site, *hatest.Home) { t.Helper(); return beginWith(t, mosquitto.Options{}) }

func beginWith(t *testing.T, o mosquitto.Options) (*site, *hatest.Home) {
	t.Helper()
	s := newSite(t, o)
	h := hatest.Connect(t, s.broker.Endpoint("homeassistant"), s.store.SiteID())
	h.Await("the site is online", h.Online)
	return s, h
}
