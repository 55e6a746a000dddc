package nodes

import (
	"context"
	"crypto/sha256"
	"encoding/binary"
	"sync"
	"time"

	"golang.org/x/time/rate"

	"latchkey/coapres"
	"latchkey/coapres/transport"
	"latchkey/coapres/transport/saved"
	"latchkey/gateway/access"
	"latchkey/keys"
)

// askRate is how many resumed actuators a second are asked for their state.
const askRate = 400

// note is what is saved of a session besides its association.
//
//	note = device and key (32) | registered until, Unix ns (8); 0: not registered | lifetime in s (4)
//	       | longest pulse in ms, and the highest bit if it knows epochs (4) | registration id
type note struct {
	of    [sha256.Size]byte // see identify
	until time.Time
	coapres.Registration
}

const (
	noteSize   = sha256.Size + 8 + 4 + 4
	knowsEpoch = 1 << 31 // in the pulse
)

func (n note) encode() []byte {
	b := append(make([]byte, 0, noteSize+len(n.ID)), n.of[:]...)
	until := uint64(0)
	if !n.until.IsZero() {
		until = uint64(n.until.UnixNano())
	}
	b = binary.BigEndian.AppendUint64(b, until)
	b = binary.BigEndian.AppendUint32(b, uint32(n.Lifetime/time.Second))
	pulse := uint32(n.MaxPulse/time.Millisecond) &^ knowsEpoch
	if n.Epoch {
		pulse |= knowsEpoch
	}
	b = binary.BigEndian.AppendUint32(b, pulse)
	return append(b, n.ID...)
}

func parseNote(b []byte) (n note, ok bool) {
	if len(b) < noteSize {
		return note{}, false
	}
	n.of = [sha256.Size]byte(b)
	b = b[sha256.Size:]
	if until := binary.BigEndian.Uint64(b); until != 0 {
		n.until = time.Unix(0, int64(until))
	}
	n.Lifetime = time.Duration(binary.BigEndian.Uint32(b[8:])) * time.Second
	pulse := binary.BigEndian.Uint32(b[12:])
	n.MaxPulse, n.Epoch = time.Duration(pulse&^knowsEpoch)*time.Millisecond, pulse&knowsEpoch != 0
	n.ID = string(b[16:])
	return n, true
}

// identify returns a digest of all that must be as it was when a session goes on: the device with its
// name and its kind, and the key with its secret.
func identify(d access.Device, k keys.Key) [sha256.Size]byte {
	h := sha256.New()
	for _, s := range [][]byte{[]byte(d.ID), []byte(d.Name), []byte(d.Kind), []byte(k.ID), k.Secret.PSK()} {
		h.Write(binary.BigEndian.AppendUint32(nil, uint32(len(s))))
		h.Write(s)
	}
	return [sha256.Size]byte(h.Sum(nil))
}

// find returns the device and the key of an identity, if that key may be used.
func find(p *access.Policy, identity string) (d access.Device, k keys.Key, ok bool) {
	k, ok = p.Keys[keys.ID(identity)]
	if !ok || !k.State.Usable() || k.Secret.IsZero() {
		return d, k, false
	}
	d, ok = p.Devices[k.Device]
	return d, k, ok
}

// SaveSession returns the note with which a session is saved. ok is false if it must not be saved.
func (n *Nodes) SaveSession(c *transport.Conn) (b []byte, ok bool) {
	peer, ok := c.Peer().(*coapres.Peer)
	if !ok {
		return nil, false
	}
	until, ok := n.Sessions.Until(peer)
	d, k, valid := find(n.Store.Snapshot(), c.Identity())
	if !ok || !valid || d.ID != peer.Device || d.Name != peer.Name || d.Kind != peer.Kind {
		return nil, false
	}
	return note{of: identify(d, k), until: until, Registration: peer.Registration()}.encode(), true
}

// MayResume tells whether a saved session may go on: its key may be used, and neither the key nor the
// device has changed.
func (n *Nodes) MayResume(a *saved.Association) bool {
	was, ok := parseNote(a.Note)
	d, k, valid := find(n.Store.Snapshot(), a.Identity)
	return ok && valid && was.of == identify(d, k)
}

// resumeSession restores what was saved of a session that was just opened. An actuator is asked for
// its state soon, and in any case before its first command.
func (n *Nodes) resumeSession(peer *coapres.Peer, was note) {
	n.Sessions.Resume(peer, was.until)
	n.Log.Debug("session resumed", "device", peer.Name, "addr", peer.Addr)
	if peer.Kind.Actuator() {
		n.resumed.add(peer.Device, n.Go, n.Refresh)
	}
}

// questions are the resumed actuators that have not been asked yet. The zero value is ready for use.
type questions struct {
	mu      sync.Mutex
	waiting []access.ID // guarded by mu
	busy    bool        // guarded by mu; a goroutine asks
}

func (q *questions) add(device access.ID, start func(func()) bool, ask func(access.ID)) {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.waiting = append(q.waiting, device)
	if !q.busy {
		q.busy = start(func() { q.askAll(start, ask) })
	}
}

// askAll asks all that wait, at a bounded rate, unless the gateway is being closed.
func (q *questions) askAll(start func(func()) bool, ask func(access.ID)) {
	pace := rate.NewLimiter(askRate, 1)
	for {
		q.mu.Lock()
		if len(q.waiting) == 0 {
			q.waiting, q.busy = nil, false
			q.mu.Unlock()
			return
		}
		device := q.waiting[0]
		q.waiting = q.waiting[1:]
		q.mu.Unlock()
		_ = pace.Wait(context.Background()) // at most 2.5 ms
		if !start(func() { ask(device) }) {
			return
		}
	}
}
