// Package device is a node in Go: a reader, a switch, a lock or a lamp that does what the firmware
// does, for tests, benchmarks, simulation and the demo. It speaks to a gateway over real DTLS; it
// has no hardware.
package device

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"net/netip"
	"strings"
	"sync"
	"time"

	"github.com/plgd-dev/go-coap/v3/message/codes"

	"latchkey/coapres"
	"latchkey/coapres/device/finder"
	"latchkey/coapres/transport"
	"latchkey/coapres/wire"
	"latchkey/keys"
)

// Config says what a node is and where its gateway is.
type Config struct {
	Name     string
	Kind     keys.Kind
	Gateway  string // "host:port"; a host that is a name is asked for, ".local" by multicast DNS
	Identity keys.ID
	Secret   keys.Secret
	// Source is the address of this machine that the node sends from. If it is not valid, the system
	// chooses one.
	Source netip.Addr
	// Counter is the last scan counter used; the next scan uses the number after it. A node that
	// lost its counter starts at 0, and the gateway tells it the right one.
	Counter uint64
	// MaxPulse is the longest unlock, whatever a command says. An unlock without a duration lasts 3
	// s. Default 10 s.
	MaxPulse time.Duration
	// Retry is the shortest wait before a reconnect; it doubles up to a minute, with jitter.
	// Default 1 s.
	Retry time.Duration
	// Changed, if set, is called with each new state of an actuator, one call at a time. It must
	// not call the device.
	Changed func(wire.State)
	Log     *slog.Logger
}

// Errors of a call that brought no verdict.
var (
	ErrNoVerdict = errors.New("no verdict in time") // the gateway may have decided
	ErrNotFresh  = errors.New("refused as not fresh")
)

// CodeError is an answer with a code that is not a success.
type CodeError struct {
	Code codes.Code
	Why  string // the gateway's diagnostic payload, if it sent one
}

func (e *CodeError) Error() string {
	if e.Why == "" {
		return "answered " + e.Code.String()
	}
	return "answered " + e.Code.String() + ": " + e.Why
}

func refusal(a coapres.Answer) error { return &CodeError{a.Code, a.Diagnostic()} }

// Device is one node. All methods are safe for concurrent use.
type Device struct {
	cfg Config
	act actuator

	turn chan struct{} // holds one token: one scan or ask at a time

	finder *finder.Finder // used by Run only
	pinged time.Time      // used by Run only; when a hint was last followed

	mu       sync.Mutex
	counter  uint64        // guarded by mu
	link     *link         // guarded by mu; nil while there is no registered session
	linked   chan struct{} // guarded by mu; closed and replaced when link is set
	sessions int           // guarded by mu
}

// errElsewhere is wrapped when an address did not prove the key and another one is next.
var errElsewhere = errors.New("not the gateway's address")

// hintPause is the least time between two hints that are followed: anybody can forge a hint.
const hintPause = 5 * time.Second

// link is one association, registered.
type link struct {
	conn     *transport.Conn
	held     coapres.Held   // the gateway's Echo
	issued   coapres.Echoes // ours
	last     uint64         // last command obeyed; guarded by actuator.mu
	epoch    uint32         // its epoch; guarded by actuator.mu
	receipt  wire.Receipt   // its receipt; guarded by actuator.mu
	location string
}

// New returns a node that does nothing until Run.
func New(cfg Config) *Device {
	if cfg.MaxPulse == 0 {
		cfg.MaxPulse = 10 * time.Second
	}
	if cfg.Retry == 0 {
		cfg.Retry = time.Second
	}
	if cfg.Log == nil {
		cfg.Log = slog.New(slog.DiscardHandler)
	}
	d := &Device{cfg: cfg, counter: cfg.Counter, turn: make(chan struct{}, 1), linked: make(chan struct{}),
		finder: finder.New(cfg.Gateway, cfg.Source)}
	d.act = actuator{kind: cfg.Kind, maxPulse: cfg.MaxPulse, changed: cfg.Changed}
	return d
}

// Run connects, registers and stays registered until ctx ends, and then returns nil. It opens a
// lost session again after a wait with jitter, so that a hundred nodes do not come back at once.
func (d *Device) Run(ctx context.Context) error {
	defer d.act.stop()
	wait := d.cfg.Retry
	for {
		began := time.Now()
		err := d.session(ctx)
		if ctx.Err() != nil {
			return nil
		}
		d.cfg.Log.Info("session lost", "device", d.cfg.Name, "err", err)
		if errors.Is(err, errElsewhere) {
			continue
		}
		if time.Since(began) > time.Minute {
			wait = d.cfg.Retry
		}
		select {
		case <-ctx.Done():
			return nil
		case <-time.After(wait/2 + rand.N(wait)):
		}
		wait = min(2*wait, time.Minute)
	}
}

// session runs one association from handshake to its end.
func (d *Device) session(ctx context.Context) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	l, err := d.dial(ctx, cancel)
	if err != nil {
		return err
	}
	defer func() {
		d.setLink(nil)
		_ = l.conn.End()
		<-l.conn.Done()
	}()
	for {
		next, err := d.keep(ctx, l)
		if err != nil {
			return err
		}
		l = next
	}
}

// dial opens an association at the next address at which the gateway may be. It calls cancel, which
// ends ctx, if the handshake at an address of a name takes too long. The error wraps errElsewhere if
// another address is left to try.
func (d *Device) dial(ctx context.Context, cancel func()) (*link, error) {
	addr, within, err := d.finder.Next(ctx)
	if err != nil {
		return nil, fmt.Errorf("device: %w", err)
	}
	var late *time.Timer
	if within > 0 {
		late = time.AfterFunc(within, cancel)
	}
	l := &link{}
	l.conn, err = transport.DialFrom(ctx, d.cfg.Source, addr, d.cfg.Identity, d.cfg.Secret, d.handler(l))
	if late != nil && !late.Stop() && err == nil {
		_ = l.conn.End()
		err = errors.New("device: the handshake took too long")
	}
	if err == nil {
		d.finder.Keep()
		return l, nil
	}
	if d.finder.Refuse() {
		err = fmt.Errorf("%w: %w", errElsewhere, err)
	}
	return nil, err
}

// keep registers and waits until the registration must be renewed. After a hint it may open another
// session. It returns the session that is in use at the end. It follows a hint during the
// registration too, because a gateway that was restarted does not answer a registration.
func (d *Device) keep(ctx context.Context, l *link) (*link, error) {
	registered := make(chan error, 1)
	rctx, cancel := context.WithCancel(ctx)
	go func() { registered <- d.register(rctx, l); close(registered) }()
	defer func() {
		cancel()
		for range registered { // until it has ended
		}
	}()
	var answered <-chan error = registered
	var renewal <-chan time.Time
	hinted := l.conn.Hinted()
	var follow <-chan time.Time
	for {
		select {
		case <-ctx.Done():
			return nil, ctx.Err()
		case <-l.conn.Done():
			return nil, errors.New("the association ended")
		case err := <-answered:
			if err != nil {
				return nil, err
			}
			d.setLink(l)
			answered, renewal = nil, time.After(coapres.Lifetime/3-rand.N(coapres.Lifetime/30))
		case <-renewal:
			return l, nil
		case <-hinted: // a hint that comes too early is followed later
			hinted, follow = nil, time.After(time.Until(d.pinged.Add(hintPause)))
		case <-follow:
			next, err := d.followHint(ctx, l)
			switch {
			case next != nil:
				<-l.conn.Done()
				return next, nil
			case err != nil: // perhaps the gateway was too busy
				follow = time.After(time.Until(d.pinged.Add(hintPause)))
			default:
				hinted, follow = l.conn.Hinted(), nil
			}
		}
	}
}

// followHint asks the gateway whether it still has the session, and opens another session if no
// answer comes. The old session stays in use until then. It returns the new session, or nil if the
// gateway has answered.
func (d *Device) followHint(ctx context.Context, l *link) (*link, error) {
	d.pinged = time.Now()
	d.cfg.Log.Info("hint, asking the gateway", "device", d.cfg.Name)
	if l.conn.Ping(ctx) == nil {
		return nil, nil
	}
	next := &link{}
	var err error
	if next.conn, err = l.conn.Renew(ctx, d.handler(next)); err != nil {
		d.cfg.Log.Info("no new session after a hint", "device", d.cfg.Name, "err", err)
		return nil, err
	}
	return next, nil
}

// register makes or updates the registration (RFC 9176 §5).
func (d *Device) register(ctx context.Context, l *link) error {
	ctx, cancel := context.WithTimeout(ctx, 10*time.Second)
	defer cancel()
	r := coapres.Request{Method: codes.POST, Path: "/rd",
		Query: []string{fmt.Sprintf("lt=%d", int(coapres.Lifetime/time.Second))}}
	if d.cfg.Name != "" {
		r.Query = append(r.Query, "ep="+d.cfg.Name)
	}
	switch {
	case l.location != "":
		r.Path = l.location // an update leaves unchanged what it does not name
	case d.cfg.Kind.Actuator():
		r.Format, r.Body = coapres.LinkFormat, []byte(d.actLink())
	}
	a, err := coapres.Call(ctx, l.conn, &l.held, r)
	switch {
	case err != nil:
		return fmt.Errorf("device: register: %w", err)
	case a.Code == codes.Created && len(a.Location) > 0:
		l.location = "/" + strings.Join(a.Location, "/")
		return nil
	case a.Code == codes.Changed && l.location != "":
		return nil
	case a.Code == codes.NotFound && l.location != "":
		l.location = ""
		return d.register(ctx, l)
	}
	return fmt.Errorf("device: register: %w", refusal(a))
}

// actLink returns the node's link to its actuator. A lock's link says how long it holds an unlock
// at most.
func (d *Device) actLink() string {
	if d.cfg.Kind == keys.KindLock {
		return coapres.ActLink(d.cfg.MaxPulse)
	}
	return coapres.ActLink(0)
}

func (d *Device) setLink(l *link) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if l != nil && l != d.link {
		d.sessions++
		close(d.linked)
		d.linked = make(chan struct{})
	}
	d.link = l
}

// leave ends a session. Later requests wait for the next session: this one can send nothing any
// more.
func (d *Device) leave(l *link) {
	d.mu.Lock()
	if d.link == l {
		d.link = nil
	}
	d.mu.Unlock()
	_ = l.conn.End()
}

// Ready waits until the node is registered.
func (d *Device) Ready(ctx context.Context) error {
	_, err := d.online(ctx, nil)
	return err
}

// online waits until the node is registered on a session other than before, which may be nil.
func (d *Device) online(ctx context.Context, before *link) (*link, error) {
	for {
		d.mu.Lock()
		l, linked := d.link, d.linked
		d.mu.Unlock()
		if l != nil && l != before {
			return l, nil
		}
		select {
		case <-ctx.Done():
			return nil, fmt.Errorf("device: %s is not connected: %w", d.cfg.Name, ctx.Err())
		case <-linked:
		}
	}
}

// Sessions returns how many associations were registered so far.
func (d *Device) Sessions() int {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.sessions
}

// Counter returns the last scan counter used.
func (d *Device) Counter() uint64 {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.counter
}

// Drop ends the present session, if any, as if the radio had been lost for long. Run opens a new
// one.
func (d *Device) Drop() {
	d.mu.Lock()
	l := d.link
	d.mu.Unlock()
	if l != nil {
		d.leave(l)
	}
}
