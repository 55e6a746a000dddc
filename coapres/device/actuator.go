package device

import (
	"bytes"
	"errors"
	"strings"
	"sync"
	"time"

	"github.com/plgd-dev/go-coap/v3/message"
	"github.com/plgd-dev/go-coap/v3/message/codes"
	"github.com/plgd-dev/go-coap/v3/message/pool"

	"latchkey/coapres"
	"latchkey/coapres/transport"
	"latchkey/coapres/wire"
	"latchkey/keys"
)

// ownPulse is how long a lock stays open when a command gives no duration.
const ownPulse = 3 * time.Second

// actuator is the relay or lamp of a node. It is off at rest.
type actuator struct {
	kind     keys.Kind
	maxPulse time.Duration
	changed  func(wire.State)

	mu     sync.Mutex
	state  wire.State  // guarded by mu; ID is filled in per association
	until  time.Time   // guarded by mu; when the pulse ends
	timer  *time.Timer // guarded by mu; nil when no pulse runs
	moves  int         // guarded by mu; how often the output went on
	epoch  uint32      // guarded by mu; of the newest command obeyed; 0: none
	newest uint64      // guarded by mu; its id
}

// handler serves the requests of the gateway: /act on actuators, /.well-known/core on all nodes.
func (d *Device) handler(l *link) transport.Handler {
	return func(_ *transport.Conn, req, resp *pool.Message, at time.Time) {
		path, _ := req.Path()
		switch {
		case path == "/.well-known/core" && req.Code() != codes.GET:
			refuse(resp, codes.MethodNotAllowed, "method")
		case path == "/.well-known/core":
			resp.SetCode(codes.Content)
			if d.cfg.Kind.Actuator() {
				resp.SetContentFormat(message.AppLinkFormat)
				resp.SetBody(bytes.NewReader([]byte(d.actLink())))
			}
		case path != "/act" || !d.cfg.Kind.Actuator():
			refuse(resp, codes.NotFound, "Uri-Path")
		case req.Code() == codes.GET:
			answer(resp, codes.Content, d.act.read(l))
		case req.Code() == codes.POST:
			d.act.command(l, req, resp, at)
		default:
			refuse(resp, codes.MethodNotAllowed, "method")
		}
		if resp.Code()>>5 == 2 || resp.Code() == codes.Unauthorized {
			l.issued.SetEcho(resp)
		}
	}
}

func answer(resp *pool.Message, code codes.Code, v interface {
	Encode(wire.Format) ([]byte, error)
}) {
	b, err := v.Encode(wire.CBOR)
	if err != nil {
		resp.SetCode(codes.InternalServerError)
		return
	}
	resp.SetCode(code)
	resp.SetContentFormat(message.AppCBOR)
	resp.SetBody(bytes.NewReader(b))
}

// refuse answers with the member or option that was wrong (RFC 7252 §5.5.2).
func refuse(resp *pool.Message, code codes.Code, why string) {
	resp.SetCode(code)
	resp.SetBody(strings.NewReader(why))
}

// command obeys a command that is fresh, fits the actuator and is newer than the association's
// last.
func (a *actuator) command(l *link, req, resp *pool.Message, at time.Time) {
	if f, err := req.ContentFormat(); err != nil || f != message.AppCBOR {
		refuse(resp, codes.UnsupportedMediaType, "Content-Format")
		return
	}
	body, err := coapres.BodyOf(req, wire.MaxBody)
	if err != nil {
		refuse(resp, codes.RequestEntityTooLarge, "payload")
		return
	}
	cmd, err := wire.ParseCommand(wire.CBOR, body)
	var bad *wire.BodyError
	if errors.As(err, &bad) {
		refuse(resp, codes.BadRequest, bad.Message+": "+bad.Why)
		return
	}
	if err != nil || !a.fits(cmd.Action) {
		refuse(resp, codes.BadRequest, "action")
		return
	}
	if err := l.issued.Check(coapres.EchoOf(req), cmd.Age, coapres.CommandWindow, at); err != nil {
		if errors.Is(err, coapres.ErrStale) {
			refuse(resp, codes.Unauthorized, "Echo")
			return
		}
		refuse(resp, codes.BadRequest, "age")
		return
	}
	answer(resp, codes.Changed, a.obey(l, cmd))
}

func (a *actuator) fits(x wire.Action) bool {
	if a.kind == keys.KindLock {
		return x == wire.Unlock || x == wire.Lock
	}
	return x == wire.On || x == wire.Off || x == wire.Level
}

func (a *actuator) obey(l *link, cmd wire.Command) wire.Receipt {
	a.mu.Lock()
	defer a.mu.Unlock()
	switch {
	case cmd.ID == l.last && l.last != 0:
		return l.receipt // asked again: the same answer, no second pulse
	case cmd.ID < l.last:
		return wire.Receipt{Result: wire.Refused, State: a.readLocked(l)}
	}
	l.last, l.epoch = cmd.ID, max(cmd.Epoch, 1)
	if l.epoch > a.epoch || l.epoch == a.epoch && cmd.ID > a.newest {
		a.epoch, a.newest = l.epoch, cmd.ID
	}
	switch cmd.Action {
	case wire.Unlock:
		d := ownPulse
		if cmd.Duration > 0 {
			d = time.Duration(cmd.Duration) * time.Millisecond
		}
		a.pulse(min(d, a.maxPulse))
	case wire.On:
		a.set(true, 100)
	case wire.Level:
		a.set(cmd.Level > 0, cmd.Level)
	default: // lock, off
		a.set(false, 0)
	}
	l.receipt = wire.Receipt{Result: wire.Done, State: a.readLocked(l)}
	return l.receipt
}

// pulse energises the output and releases it after d.
func (a *actuator) pulse(d time.Duration) {
	a.set(true, 0)
	a.until = time.Now().Add(d)
	var t *time.Timer
	t = time.AfterFunc(d, func() {
		a.mu.Lock()
		defer a.mu.Unlock()
		if a.timer == t {
			a.set(false, 0)
		}
	})
	a.timer = t
}

// set switches the output and ends a running pulse. The caller holds mu.
func (a *actuator) set(on bool, level uint8) {
	if a.timer != nil {
		a.timer.Stop()
		a.timer, a.until = nil, time.Time{}
	}
	if a.kind != keys.KindLamp {
		level = 0
	}
	if on {
		a.moves++
	}
	a.state.On, a.state.Level = on, level
	if a.changed != nil {
		a.changed(a.state)
	}
}

func (a *actuator) read(l *link) wire.State {
	a.mu.Lock()
	defer a.mu.Unlock()
	s := a.readLocked(l)
	if a.newest != l.last || a.epoch != l.epoch {
		s.Obeyed = a.newest
		if a.epoch > 1 {
			s.ObeyedEpoch = a.epoch
		}
	}
	return s
}

func (a *actuator) readLocked(l *link) wire.State {
	s := a.state
	s.ID = l.last
	if a.timer != nil {
		s.Left = uint32(max(time.Until(a.until)/time.Millisecond, 0))
	}
	return s
}

// stop releases the output, as when a node loses power.
func (a *actuator) stop() {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.state.On || a.timer != nil {
		a.set(false, 0)
	}
}

// State returns the actuator's state, without a command's id.
func (d *Device) State() wire.State {
	d.act.mu.Lock()
	defer d.act.mu.Unlock()
	return d.act.readLocked(&link{})
}

// Claim makes the actuator say that it obeyed a command, as a broken or lying one may.
func (d *Device) Claim(epoch uint32, id uint64) {
	d.act.mu.Lock()
	defer d.act.mu.Unlock()
	d.act.epoch, d.act.newest = epoch, id
}

// Moves returns how often the output was switched on since New.
func (d *Device) Moves() int {
	d.act.mu.Lock()
	defer d.act.mu.Unlock()
	return d.act.moves
}

// SetContact sets what the sensor at the target reports from now on.
func (d *Device) SetContact(c wire.Contact) {
	d.act.mu.Lock()
	defer d.act.mu.Unlock()
	d.act.state.Contact = c
}

// Exit presses the button inside: a lock opens by itself, without asking anybody.
func (d *Device) Exit() {
	d.act.mu.Lock()
	defer d.act.mu.Unlock()
	d.act.set(false, 0)
	d.act.pulse(ownPulse)
}
