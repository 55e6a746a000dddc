package e2e

import (
	"context"
	"io"
	"log/slog"
	"os"
	"sync"
	"testing"
	"time"

	"latchkey/coapres/device"
	"latchkey/coapres/wire"
	"latchkey/gateway"
	"latchkey/gateway/access"
	"latchkey/gateway/clock"
	"latchkey/gateway/house"
	"latchkey/gateway/store"
	"latchkey/keys"
)

// site is a whole house for a test: a store on disk, a gateway on loopback, and nodes that speak to
// it over real DTLS.
type site struct {
	t     *testing.T
	dir   string
	opts  store.Options
	store *store.Store
	gw    *gateway.Gateway
	addr  string

	stop   func()        // ends the gateway
	wait   func()        // waits for its end
	ended  error         // what its Run returned
	verify time.Duration // how often the gateway verifies its store; as usual if zero
	said   io.Writer     // gets the gateway's log too, if set
	fails  bool          // it is meant to end with an error, and its store to have failed
	mu     sync.Mutex
	past   []gateway.Timeline // guarded by mu
}

var annsCard = []byte{0x04, 0xa1, 0xb2, 0xc3, 0xd4, 0xe5, 0x80}

// newSite opens a store on disk and starts a gateway on it.
func newSite(t *testing.T, opts store.Options) *site {
	t.Helper()
	s := &site{t: t, dir: opts.Dir, opts: opts, addr: "127.0.0.1:0"}
	if s.dir == "" {
		s.dir = t.TempDir()
	}
	s.opts.Dir = s.dir
	s.open()
	s.start()
	t.Cleanup(func() {
		s.stop()
		if err := s.store.Check(context.Background()); err != nil && !s.fails {
			t.Errorf("store check: %v", err)
		}
		if err := s.store.Close(); err != nil {
			t.Errorf("store close: %v", err)
		}
	})
	return s
}

func (s *site) open() {
	s.t.Helper()
	st, err := store.Open(context.Background(), s.opts)
	if err != nil {
		s.t.Fatal(err)
	}
	s.store = st
}

// start runs a gateway; the second time on the same port.
func (s *site) start() {
	s.t.Helper()
	log := slog.New(slog.DiscardHandler)
	if testing.Verbose() {
		log = slog.New(slog.NewTextHandler(os.Stderr, nil))
	}
	if s.said != nil {
		log = slog.New(slog.NewTextHandler(s.said, nil))
	}
	gw, err := gateway.New(gateway.Config{Store: s.store, Listen: s.addr, AdminSocket: s.socket(),
		Clock: clock.RTC, Log: log, VerifyEvery: s.verify,
		Timeline: func(tl gateway.Timeline) {
			s.mu.Lock()
			defer s.mu.Unlock()
			s.past = append(s.past, tl)
		}})
	if err != nil {
		s.t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- gw.Run(ctx) }()
	s.gw, s.addr = gw, gw.Addr().String()
	s.wait = sync.OnceFunc(func() {
		select {
		case err := <-done:
			if s.ended = err; err != nil && !s.fails {
				s.t.Errorf("gateway: %v", err)
			}
		case <-time.After(20 * time.Second):
			s.t.Error("the gateway did not stop")
		}
	})
	s.stop = func() { cancel(); s.wait() }
}

func (s *site) timelines() []gateway.Timeline {
	s.mu.Lock()
	defer s.mu.Unlock()
	return append([]gateway.Timeline(nil), s.past...)
}

// apply changes the policy through the gateway.
func (s *site) apply(records ...access.Record) {
	s.t.Helper()
	s.build(func(p *house.Plan) { p.Add(records...) })
}

// build changes the policy by a plan.
func (s *site) build(plan func(*house.Plan)) {
	s.t.Helper()
	p := &house.Plan{Card: s.store.CredentialID, At: time.Now()}
	plan(p)
	if _, err := s.gw.Apply(context.Background(), "test", p.Take()...); err != nil {
		s.t.Fatal(err)
	}
}

func (s *site) target(name string, kind access.TargetKind, pulse time.Duration) (id access.ID) {
	s.t.Helper()
	s.build(func(p *house.Plan) {
		if kind == access.Lamp {
			id = p.Lamp(name)
		} else {
			id = p.Door(name, pulse)
		}
	})
	return id
}

// enrol makes a device with a key and returns what goes into it.
func (s *site) enrol(name string, kind keys.Kind, targets ...access.ID) (id access.ID, k keys.Key) {
	s.t.Helper()
	s.build(func(p *house.Plan) { id, k = p.Device(name, kind, targets...) })
	return id, k
}

// person makes a person with a card who may do everything with the target, always.
func (s *site) person(name string, uid []byte, target access.ID) (id access.ID) {
	s.t.Helper()
	s.build(func(p *house.Plan) {
		id = p.Person(name, uid)
		p.Allow(access.SubjectPerson, id, target, "")
	})
	return id
}

// node runs a device against addr until the test ends and waits until it is registered.
func (s *site) node(name string, kind keys.Kind, k keys.Key, addr string) *device.Device {
	s.t.Helper()
	return s.run(device.Config{Name: name, Kind: kind}, k, addr)
}

func (s *site) run(cfg device.Config, k keys.Key, addr string) *device.Device {
	s.t.Helper()
	cfg.Gateway, cfg.Identity, cfg.Secret, cfg.Retry = addr, k.ID, k.Secret, 50*time.Millisecond
	d := device.New(cfg)
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan struct{})
	go func() {
		defer close(done)
		if err := d.Run(ctx); err != nil {
			s.t.Errorf("%s: %v", cfg.Name, err)
		}
	}()
	s.t.Cleanup(func() { cancel(); <-done })
	ready, stop := context.WithTimeout(context.Background(), time.Minute)
	defer stop()
	if err := d.Ready(ready); err != nil {
		s.t.Fatal(err)
	}
	return d
}

// eventually waits until f is true, which takes no longer than within on a quiet machine.
func eventually(t *testing.T, what string, within time.Duration, f func() bool) {
	t.Helper()
	deadline := time.After(10 * within)
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	for !f() {
		select {
		case <-deadline:
			t.Fatalf("not within %v: %s", 10*within, what)
		case <-tick.C:
		}
	}
}

// door is a site with one door, its reader and lock, and ann who may open it.
type door struct {
	*site
	id        access.ID
	reader    *device.Device
	lock      *device.Device
	readerKey keys.Key
	lockKey   keys.Key
	readerID  access.ID
	lockID    access.ID

	taps, again int // see granted
}

func newDoor(t *testing.T, opts store.Options) *door {
	t.Helper()
	d := &door{site: newSite(t, opts)}
	d.id = d.target("front-door", access.Door, time.Second)
	d.readerID, d.readerKey = d.enrol("front-reader", keys.KindReader, d.id)
	d.lockID, d.lockKey = d.enrol("front-lock", keys.KindLock, d.id)
	d.person("ann", annsCard, d.id)
	return d
}

// connect runs the reader and the lock, each through the address given.
func (d *door) connect(readerAddr, lockAddr string) {
	d.t.Helper()
	d.lock = d.node("front-lock", keys.KindLock, d.lockKey, lockAddr)
	d.reader = d.node("front-reader", keys.KindReader, d.readerKey, readerAddr)
	d.settled()
}

// settled waits until the lock's state was read, so that the gateway holds an Echo of it.
func (d *door) settled() {
	d.t.Helper()
	eventually(d.t, "the lock's state is known", 5*time.Second, func() bool {
		for _, v := range d.gw.Views() {
			if v.Device == d.lockID && v.Known && v.Online {
				return true
			}
		}
		return false
	})
}

func (d *door) scan(uid []byte) (wire.Verdict, error) {
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()
	return d.reader.Scan(ctx, uid)
}
