// Package device is a node in Go: a reader, a switch, a lock or a lamp that does what the firmware does, for tests, benchmarks,
// simulation and the demo. It speaks to a gateway over real DTLS; it has no hardware.
package device

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"strings"
	"sync"
	"time"

	"github.com/plgd-dev/go-coap/v3/message/codes"

	"latchkey/coapres"
	"latchkey/coapres/wire"
	"latchkey/gateway/transport"
	"latchkey/keys"
)

// Config says what a node is and where its gateway is.
type Config struct {
	Name     string
	Kind     wire.Kind
	Gateway  string // "host:port"
	Identity keys.ID
	Secret   keys.Secret
	// Counter is the last scan counter used: the next scan has the one after it. A node that forgot its counter starts at 0 and is put
	// right by the gateway.
	Counter uint64
	// MaxPulse is the hard upper limit of an unlock, whatever a command says. One that says nothing lasts 3 s. Default 10 s.
	MaxPulse time.Duration
	// Retry is the shortest wait before a reconnect; it doubles up to a minute, with jitter. Default 1 s.
	Retry time.Duration
	// Changed, if set, is called with each new state of an actuator, one call at a time. It must not call the device.
	Changed func(wire.State)
	Log     *slog.Logger
}

// Errors of a call that brought no verdict.
var (
	ErrNoVerdict = errors.New("no verdict in time") // the gateway may have decided all the same
	ErrNotFresh  = errors.New("refused as not fresh")
)

// CodeError is an answer with a code that is not a success.
type CodeError struct{ Code codes.Code }

func (e *CodeError) Error() string { return "answered " + e.Code.String() }

// Device is one node. All methods are safe for concurrent use.
type Device struct {
	cfg Config
	act actuator

	turn chan struct{} // holds one token: one scan or ask at a time

	mu       sync.Mutex
	counter  uint64        // guarded by mu
	link     *link         // guarded by mu; nil while there is no registered session
	linked   chan struct{} // guarded by mu; closed when link is set
	sessions int           // guarded by mu
}

// link is one association, registered.
type link struct {
	conn     *transport.Conn
	held     coapres.Held   // the gateway's Echo
	issued   coapres.Echoes // ours
	last     uint64         // last command obeyed; guarded by actuator.mu
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
	d := &Device{cfg: cfg, counter: cfg.Counter, turn: make(chan struct{}, 1), linked: make(chan struct{})}
	d.act = actuator{kind: cfg.Kind, maxPulse: cfg.MaxPulse, changed: cfg.Changed}
	return d
}

// Run connects, registers and stays registered until ctx ends, and then returns nil. A lost session is opened again after a wait with
// jitter, so that a hundred nodes do not come back at the same moment.
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
	l := &link{}
	conn, err := transport.Dial(ctx, d.cfg.Gateway, d.cfg.Identity, d.cfg.Secret, d.handler(l))
	if err != nil {
		return err
	}
	l.conn = conn
	defer func() {
		d.setLink(nil)
		_ = conn.End()
		<-conn.Done()
	}()
	if err := d.register(ctx, l); err != nil {
		return err
	}
	d.setLink(l)
	for {
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-conn.Done():
			return errors.New("the association ended")
		case <-time.After(coapres.Lifetime/3 - rand.N(coapres.Lifetime/30)):
		}
		if err := d.register(ctx, l); err != nil {
			return err
		}
	}
}

// register makes or updates the registration (RFC 9176 §5).
func (d *Device) register(ctx context.Context, l *link) error {
	ctx, cancel := context.WithTimeout(ctx, 10*time.Second)
	defer cancel()
	r := coapres.Request{Method: codes.POST, Path: "/rd", Query: []string{fmt.Sprintf("lt=%d", int(coapres.Lifetime/time.Second))}}
	if d.cfg.Name != "" {
		r.Query = append(r.Query, "ep="+d.cfg.Name)
	}
	switch {
	case l.location != "":
		r.Path = l.location // what the registration does not name stays as it was
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
	return fmt.Errorf("device: register: %w", &CodeError{a.Code})
}

// actLink is the node's link to its actuator: a lock says how long it holds at the most.
func (d *Device) actLink() string {
	if d.cfg.Kind == wire.KindLock {
		return coapres.ActLink(d.cfg.MaxPulse)
	}
	return coapres.ActLink(0)
}

func (d *Device) setLink(l *link) {
	d.mu.Lock()
	defer d.mu.Unlock()
	switch {
	case l != nil && d.link == nil:
		d.link = l
		d.sessions++
		close(d.linked)
	case l == nil && d.link != nil:
		d.link = nil
		d.linked = make(chan struct{})
	}
}

// Ready waits until the node is registered.
func (d *Device) Ready(ctx context.Context) error {
	_, err := d.online(ctx)
	return err
}

func (d *Device) online(ctx context.Context) (*link, error) {
	for {
		d.mu.Lock()
		l, linked := d.link, d.linked
		d.mu.Unlock()
		if l != nil {
			return l, nil
		}
		select {
		case <-ctx.Done():
			return nil, fmt.Errorf("device: %s is not connected: %w", d.cfg.Name, ctx.Err())
		case <-linked:
		}
	}
}

// Sessions is how many associations were registered so far.
func (d *Device) Sessions() int {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.sessions
}

// Counter is the last scan counter used.
func (d *Device) Counter() uint64 {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.counter
}

// Drop ends the present session, if any, as a lost radio does after a while. Run opens a new one.
func (d *Device) Drop() {
	d.mu.Lock()
	l := d.link
	d.mu.Unlock()
	if l != nil {
		_ = l.conn.End()
	}
}
