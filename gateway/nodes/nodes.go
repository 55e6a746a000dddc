// Package nodes admits nodes. It finds the key for a handshake, makes an association the session of
// its device, and ends it when its key is revoked. It makes events of nodes that connect and
// disconnect, at a bounded rate. It decides nothing about doors and reads no request.
package nodes

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/netip"
	"time"

	"latchkey/coapres"
	"latchkey/coapres/transport"
	"latchkey/gateway/access"
	"latchkey/gateway/audit"
	"latchkey/gateway/doctor"
	"latchkey/gateway/doorwatch"
	"latchkey/gateway/limit"
	"latchkey/gateway/session"
	"latchkey/keys"
	"latchkey/keys/provision"
)

const (
	changePause = 10 * time.Second // between events of a node that keeps connecting and disconnecting
	changeBurst = 30
	fullPause   = time.Minute // between events about missing room for a session
	latePause   = time.Minute // between events of one node whose scans come too late
	applyWithin = 10 * time.Second
)

// Config is what Nodes needs. All but RequestRate are required.
type Config struct {
	Store interface {
		Snapshot() *access.Policy
		DecoySecret() []byte
		PutAddresses(ctx context.Context, at map[access.ID]netip.AddrPort) (left int, err error)
		Addresses(ctx context.Context) (map[access.ID]netip.AddrPort, error)
	}
	Feed interface {
		Note(ev audit.Event) (kept audit.Event, ok bool)
	}
	Sessions    *session.Table
	MaxSessions int // the same as the listener's
	RequestRate int // requests per second of one session; 0: the default of coapres
	Log         *slog.Logger
	// Go runs f in a goroutine and returns true, or returns false if the gateway is being closed.
	Go func(f func()) bool
	// Apply changes the policy.
	Apply func(ctx context.Context, actor string, changes ...access.Change) (seq uint64, err error)
	// Refresh reads an actuator's state.
	Refresh func(device access.ID)
}

// Nodes admits nodes and remembers their addresses. Its methods are safe for concurrent use.
type Nodes struct {
	Config
	Handshakes *doctor.HandshakeLog
	Refusals   doctor.RefusalLog
	Late       doctor.LateLog

	decoy     []byte // the secret for keys of unknown identities, see [keys.Decoy]
	addresses addresses
	resumed   questions
	// These bound the events about connections, late scans and missing room. Without a bound,
	// somebody with one key could fill the disk.
	changes, late limit.Every[access.ID]
	full          limit.Every[struct{}]
}

// New returns the nodes of a gateway.
func New(cfg Config) *Nodes {
	n := &Nodes{Config: cfg, Handshakes: doctor.NewHandshakeLog(time.Now()), decoy: cfg.Store.DecoySecret()}
	n.changes.Pause, n.changes.Burst = changePause, changeBurst
	n.late.Pause, n.full.Pause = latePause, fullPause
	return n
}

// Forget forgets a removed device.
func (n *Nodes) Forget(device access.ID) {
	n.Late.Forget(device)
	n.late.Forget(device)
	n.changes.Forget(device)
	n.addresses.forget(device)
}

// FindPSK returns the key of an identity. For an unknown or revoked one it returns a decoy, so that
// the handshake fails as with a wrong key.
func (n *Nodes) FindPSK(identity []byte) []byte {
	decoy := keys.Decoy(n.decoy, identity) // always computed: the same time for all
	k, ok := n.Store.Snapshot().Keys[keys.ID(identity)]
	if !ok || !k.State.Usable() || k.Secret.IsZero() {
		return decoy
	}
	return k.Secret.PSK()
}

// NoteFailure records a handshake that did not complete.
func (n *Nodes) NoteFailure(f transport.Failure, now time.Time) {
	p := n.Store.Snapshot()
	k, known := p.Keys[keys.ID(f.Identity)]
	cause := doctor.CauseOf(f.Cause, k, known)
	n.Handshakes.NoteFailure(f, cause, known, now)
	n.Log.Debug("handshake failed", "addr", f.Addr.String(), "identity", doctor.ShowClaim(f.Identity),
		"reason", string(cause))
	if cause != doctor.CauseFull {
		return
	}
	if _, ok := n.full.Allow(struct{}{}, now); !ok {
		return
	}
	ev := audit.Event{Kind: audit.EventFull,
		Detail: fmt.Sprintf("refused: the limit of live sessions is reached (%d)", n.MaxSessions)}
	if known {
		ev.Device = audit.Named{ID: k.Device, Name: p.Devices[k.Device].Name}
	}
	n.Log.Error("no room for a session: start with a higher --max-sessions",
		"device", ev.Device.Name, "max", n.MaxSessions)
	n.Go(func() { n.Feed.Note(ev) })
}

var (
	errGone = errors.New("gateway: the key was revoked during the handshake")
	errOld  = errors.New("gateway: the device has begun a newer session meanwhile")
)

// OpenSession makes an association whose handshake is complete the session of its device.
func (n *Nodes) OpenSession(c *transport.Conn) error {
	p := n.Store.Snapshot()
	k, ok := p.Keys[keys.ID(c.Identity())]
	if !ok || !k.State.Usable() {
		return errGone
	}
	d, ok := p.Devices[k.Device]
	if !ok {
		return errGone
	}
	peer := coapres.NewPeer(k.Device, d.Name, d.Kind, k.ID, c.RemoteAddr().String(), c)
	if n.RequestRate > 0 {
		peer.Allow(n.RequestRate)
	}
	peer.Refused = func(r coapres.Refusal) { n.Refusals.Note(peer.Device, r) }
	noted, resumed := c.Resumed()
	was, _ := parseNote(noted) // MayResume has read it before
	if resumed {
		peer.Restore(was.Registration)
	}
	c.SetPeer(peer)
	replaced, ok := n.Sessions.Open(peer, c.Number(), func() { _ = c.End() }, time.Now())
	if !ok {
		return errOld
	}
	// Look the key up again now that the session is in the table: a revocation just before would
	// have missed the session.
	if k := n.Store.Snapshot().Keys[k.ID]; !k.State.Usable() {
		n.Sessions.Closed(peer)
		return errGone
	}
	n.NoteAddress(peer)
	if resumed {
		n.resumeSession(peer, was)
		return nil
	}
	n.Handshakes.NoteCompleted(k.ID, time.Now())
	n.Log.Info("session opened", "device", d.Name, "addr", peer.Addr)
	n.Go(func() {
		if replaced {
			n.NoteChange(peer, "replaced by a newer session")
		}
		n.advanceKeys(k)
	})
	return nil
}

// CloseSession removes an association that has ended from the table. One that was saved is not
// closed: it goes on after the restart.
func (n *Nodes) CloseSession(c *transport.Conn) {
	peer := c.Peer().(*coapres.Peer)
	if n.Sessions.Closed(peer) && !c.Saved() {
		n.Log.Info("session closed", "device", peer.Name, "addr", peer.Addr)
		n.Go(func() { n.NoteChange(peer, "closed") })
	}
}

// FollowAddress reads the state of an actuator that sends from a new address: it gets no command
// until it has answered from there.
func (n *Nodes) FollowAddress(c *transport.Conn) {
	peer, ok := c.Peer().(*coapres.Peer)
	if !ok {
		return
	}
	n.Log.Info("new address", "device", peer.Name)
	if peer.Kind.Actuator() {
		n.Refresh(peer.Device)
	}
}

// EndRevoked ends the sessions whose key is revoked, or whose device has changed since they began.
func (n *Nodes) EndRevoked(p *access.Policy) {
	gone := n.Sessions.EndIf(func(peer *coapres.Peer) bool {
		k, ok := p.Keys[peer.Key]
		d := p.Devices[peer.Device]
		return !ok || !k.State.Usable() || d.Kind != peer.Kind || d.Name != peer.Name
	})
	for _, peer := range gone {
		n.Log.Info("session ended", "device", peer.Name, "addr", peer.Addr)
		n.Go(func() { n.noteSession(peer, "ended: its key was revoked, or its device changed") })
	}
}

// NoteSilent makes events of the nodes whose registration has expired since the last call.
func (n *Nodes) NoteSilent(now time.Time) {
	for _, p := range n.Sessions.Lapsed(now) {
		n.Log.Warn("device silent", "device", p.Name, "addr", p.Addr)
		n.NoteChange(p, "offline: its registration was not renewed")
	}
}

// NoteChange makes an event of a change of a node's session. A node can cause changes without end,
// so the rate of events is bounded.
func (n *Nodes) NoteChange(p *coapres.Peer, detail string) {
	missed, ok := n.changes.Allow(p.Device, time.Now())
	if !ok {
		return
	}
	if missed > 0 {
		detail = fmt.Sprintf("%s (and %d more changes since the event before)", detail, missed)
	}
	n.noteSession(p, detail)
}

func (n *Nodes) noteSession(p *coapres.Peer, detail string) {
	n.Feed.Note(audit.Event{Kind: audit.EventSession, Device: named(p), Detail: detail})
}

// NoteLate counts a scan that came too late to be decided, and makes at most one event per node and
// minute. counter is the scan's.
func (n *Nodes) NoteLate(p *coapres.Peer, counter uint64, after time.Duration) {
	now := time.Now()
	n.Late.Note(p.Device, after, now)
	missed, ok := n.late.Allow(p.Device, now)
	if !ok {
		return
	}
	what := "a scan"
	if p.Kind == keys.KindSwitch {
		what = "a press"
	}
	ev := audit.Event{Kind: audit.EventStale, Device: named(p), Counter: counter,
		Target: doorwatch.PlaceOf(n.Store.Snapshot(), p.Device),
		Detail: fmt.Sprintf("%s came %d ms after the tap, and was not decided", what, after.Milliseconds())}
	if missed > 0 {
		ev.Detail += fmt.Sprintf(" (and %d more since the event before)", missed)
	}
	n.Log.Warn("scan too late", "device", p.Name, "after", after)
	n.Go(func() { n.Feed.Note(ev) })
}

// NoteThrottled makes an event of a reader that is slowed down for its unknown cards.
func (n *Nodes) NoteThrottled(p *coapres.Peer) {
	n.Log.Warn("too many unknown cards", "device", p.Name)
	n.Feed.Note(audit.Event{Kind: audit.EventThrottle, Device: named(p),
		Detail: "ten unknown cards in a minute: one scan in 10 s until a minute after the last"})
}

// advanceKeys updates a device's keys when one of them has completed a handshake: a pending key
// becomes active, and the keys that it replaces are revoked.
func (n *Nodes) advanceKeys(used keys.Key) {
	var changes []access.Change
	for _, k := range provision.MarkUsed(used.ID, n.Store.Snapshot().KeysOf(used.Device), time.Now()) {
		changes = append(changes, access.Change{Put: k})
	}
	if len(changes) == 0 {
		return
	}
	ctx, cancel := context.WithTimeout(context.Background(), applyWithin)
	defer cancel()
	if _, err := n.Apply(ctx, "gateway", changes...); err != nil && !errors.Is(err, access.ErrNotFound) {
		n.Log.Warn("key state not kept", "device", used.Device, "err", err)
	}
}

func named(p *coapres.Peer) audit.Named { return audit.Named{ID: p.Device, Name: p.Name} }
