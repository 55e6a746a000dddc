package e2e

import (
	"context"
	"errors"
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
	"latchkey/gateway/rollback"
	"latchkey/gateway/store"
	"latchkey/keys"
)

// site is a whole house for a test: a store on disk, a gateway on loopback, and nodes that connect
// to it over real DTLS.
type site struct {
	t     *testing.T
	dir   string
	opts  store.Options
	store *store.Store
	gw    *gateway.Gateway
	addr  string

	stop          func()        // ends the gateway
	wait          func()        // waits for its end
	runError      error         // what its Run returned
	verifyEvery   time.Duration // how often the gateway verifies its store; 0: the default
	requestRate   int           // of each session; 0: the default
	logTo         io.Writer     // receives the gateway's log, if set
	runtime       string        // the runtime folder; empty: none
	headLog       rollback.Place
	mayFail       bool // the test expects the gateway and the store to fail
	mu            sync.Mutex
	nodes         map[keys.ID]func() // guarded by mu; each ends the node that holds the key
	seenTimelines []gateway.Timeline // guarded by mu
}

var annsCard = []byte{0x04, 0xa1, 0xb2, 0xc3, 0xd4, 0xe5, 0x80}

// newSite opens a store on disk and starts a gateway on it.
func newSite(t *testing.T, opts store.Options) *site {
	t.Helper()
	s := &site{t: t, dir: opts.Dir, opts: opts, addr: "127.0.0.1:0", nodes: map[keys.ID]func(){}}
	if s.dir == "" {
		s.dir = t.TempDir()
	}
	s.opts.Dir = s.dir
	s.openStore()
	s.start()
	t.Cleanup(func() {
		s.stop()
		if err := s.store.Check(context.Background()); err != nil && !s.mayFail {
			t.Errorf("store check: %v", err)
		}
		if err := s.store.Close(); err != nil {
			t.Errorf("store close: %v", err)
		}
	})
	return s
}

// openStore opens the store, which may have been open before. A program that another test starts at
// this moment holds a copy of each open file, and of its lock, until it has begun.
func (s *site) openStore() {
	s.t.Helper()
	for end := time.Now().Add(10 * time.Second); ; time.Sleep(10 * time.Millisecond) {
		st, err := store.Open(context.Background(), s.opts)
		if errors.Is(err, store.ErrLocked) && time.Now().Before(end) {
			continue
		}
		if err != nil {
			s.t.Fatal(err)
		}
		s.store = st
		return
	}
}

// start runs a gateway. Later starts use the port of the first one.
func (s *site) start() {
	s.t.Helper()
	log := slog.New(slog.DiscardHandler)
	if testing.Verbose() {
		log = slog.New(slog.NewTextHandler(os.Stderr, nil))
	}
	if s.logTo != nil {
		log = slog.New(slog.NewTextHandler(s.logTo, nil))
	}
	runtime, err := openRuntime(s.runtime, s.dir)
	if err != nil {
		s.t.Fatal(err)
	}
	gw, err := gateway.New(gateway.Config{Store: s.store, Listen: s.addr, AdminSocket: s.socketPath(),
		Runtime: runtime, HeadLog: s.headLog,
		Clock: clock.RTC, Log: log, VerifyEvery: s.verifyEvery, RequestRate: s.requestRate,
		Timeline: func(tl gateway.Timeline) {
			s.mu.Lock()
			defer s.mu.Unlock()
			s.seenTimelines = append(s.seenTimelines, tl)
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
			if s.runError = err; err != nil && !s.mayFail {
				s.t.Errorf("gateway: %v", err)
			}
		case <-time.After(20 * time.Second):
			s.t.Error("the gateway did not stop")
		}
		_ = runtime.Close()
	})
	s.stop = func() { cancel(); s.wait() }
}

func (s *site) listTimelines() []gateway.Timeline {
	s.mu.Lock()
	defer s.mu.Unlock()
	return append([]gateway.Timeline(nil), s.seenTimelines...)
}

// applyRecords writes policy records through the gateway.
func (s *site) applyRecords(records ...access.Record) {
	s.t.Helper()
	s.applyPlan(func(p *house.Plan) { p.Add(records...) })
}

// applyPlan changes the policy by a plan.
func (s *site) applyPlan(plan func(*house.Plan)) {
	s.t.Helper()
	p := &house.Plan{Card: s.store.CredentialID, At: time.Now()}
	plan(p)
	if _, err := s.gw.Apply(context.Background(), "test", p.Take()...); err != nil {
		s.t.Fatal(err)
	}
}

func (s *site) addTarget(name string, kind access.TargetKind, pulse time.Duration) (id access.ID) {
	s.t.Helper()
	s.applyPlan(func(p *house.Plan) {
		if kind == access.Lamp {
			id = p.Lamp(name)
		} else {
			id = p.Door(name, pulse)
		}
	})
	return id
}

// enrolDevice makes a device and returns its ID and its key.
func (s *site) enrolDevice(name string, kind keys.Kind, targets ...access.ID) (id access.ID, k keys.Key) {
	s.t.Helper()
	s.applyPlan(func(p *house.Plan) { id, k = p.Device(name, kind, targets...) })
	return id, k
}

// addPerson adds a person with a card, who may always do everything with the target.
func (s *site) addPerson(name string, uid []byte, target access.ID) (id access.ID) {
	s.t.Helper()
	s.applyPlan(func(p *house.Plan) {
		id = p.Person(name, uid)
		p.Allow(access.SubjectPerson, id, target, "")
	})
	return id
}

// runNode runs a device against the gateway at addr until the test ends, and waits until it is
// registered.
func (s *site) runNode(name string, kind keys.Kind, k keys.Key, addr string) *device.Device {
	s.t.Helper()
	return s.runDevice(device.Config{Name: name, Kind: kind}, k, addr)
}

func (s *site) runDevice(cfg device.Config, k keys.Key, addr string) *device.Device {
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
	end := func() { cancel(); <-done }
	s.t.Cleanup(end)
	s.mu.Lock()
	s.nodes[k.ID] = end
	s.mu.Unlock()
	ready, stop := context.WithTimeout(context.Background(), time.Minute)
	defer stop()
	if err := d.Ready(ready); err != nil {
		s.t.Fatal(err)
	}
	return d
}

// endNode ends the node that holds a key, so that another client can have its session.
func (s *site) endNode(k keys.Key) {
	s.mu.Lock()
	end := s.nodes[k.ID]
	s.mu.Unlock()
	end()
}

// eventually waits until f is true. within is how long that takes at most on a quiet machine.
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

// door is a site with one door, its reader and lock, and ann, who may open it.
type door struct {
	*site
	id        access.ID
	reader    *device.Device
	lock      *device.Device
	readerKey keys.Key
	lockKey   keys.Key
	readerID  access.ID
	lockID    access.ID

	taps, again int // see tapUntilGranted
}

func newDoor(t *testing.T, opts store.Options) *door {
	t.Helper()
	d := &door{site: newSite(t, opts)}
	d.id = d.addTarget("front-door", access.Door, time.Second)
	d.readerID, d.readerKey = d.enrolDevice("front-reader", keys.KindReader, d.id)
	d.lockID, d.lockKey = d.enrolDevice("front-lock", keys.KindLock, d.id)
	d.addPerson("ann", annsCard, d.id)
	return d
}

// connectNodes runs the reader and the lock, each against the gateway at its address.
func (d *door) connectNodes(readerAddr, lockAddr string) {
	d.t.Helper()
	d.lock = d.runNode("front-lock", keys.KindLock, d.lockKey, lockAddr)
	d.reader = d.runNode("front-reader", keys.KindReader, d.readerKey, readerAddr)
	d.awaitLockState()
}

// awaitLockState waits until the gateway has read the lock's state, and so has an Echo from it.
func (d *door) awaitLockState() {
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
