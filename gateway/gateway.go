// Package gateway joins the parts: it takes what nodes send, has it decided and kept, and commands the actuators. The way of a scan is
// [Gateway.onScan]; everything else serves that function. It knows no HTTP but its listeners' and no bytes on the wire.
package gateway

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"slices"
	"sync"
	"syscall"
	"time"

	coap "github.com/plgd-dev/go-coap/v3/message/codes"
	"github.com/plgd-dev/go-coap/v3/message/pool"
	"golang.org/x/sync/errgroup"

	"latchkey/coapres"
	"latchkey/coapres/transport"
	"latchkey/gateway/access"
	"latchkey/gateway/admin"
	"latchkey/gateway/adminsocket"
	"latchkey/gateway/clock"
	"latchkey/gateway/doctor"
	"latchkey/gateway/doorwatch"
	"latchkey/gateway/feed"
	"latchkey/gateway/learn"
	"latchkey/gateway/limit"
	"latchkey/gateway/observe"
	"latchkey/gateway/session"
	"latchkey/gateway/store"
	"latchkey/keys"
	"latchkey/keys/provision"
)

const (
	unknownCards  = 10 // unknown cards at one reader within unknownWindow slow it down
	unknownWindow = time.Minute
	unknownPause  = 10 * time.Second // between scans of a reader that is slowed down

	noisePause = 10 * time.Second // between events of a device that only comes and goes
	noiseBurst = 30

	fullInterval = time.Minute // between events that there is no room for a session
	lateInterval = time.Minute // between events of one device whose scans come too late
)

// Config says how a gateway runs. Store is required and stays the caller's to close.
type Config struct {
	Store  *store.Store
	Listen string // UDP "host:port" for nodes; default ":5684"
	// AdminSocket is the path of the admin API's unix socket; empty: none.
	AdminSocket string
	// Console is the website; nil: none.
	Console *ConsoleConfig
	// Announce is the "host:port" that goes into the bundles of new devices. If there is not exactly one, whoever adds a device has to say.
	Announce []string
	// Clock says what makes the time of day trustworthy; default clock.NTP.
	Clock       clock.Source
	MaxSessions int // default 10,000
	// RequestRate bounds the requests per second of one session, HandshakeRate the handshakes per second of all: see coapres and transport,
	// whose defaults are meant for doors. Only a measurement needs more.
	RequestRate, HandshakeRate int
	// VerifyEvery is how often all that is on disk is verified; default once a day, and the first time a minute after the start.
	VerifyEvery time.Duration
	Version     string
	Log         *slog.Logger
	// Timeline, if set, is told of every attempt that was decided, when its outcome is known.
	Timeline func(Timeline)
}

// Gateway is a running gateway. Its methods are safe for concurrent use.
type Gateway struct {
	cfg        Config
	log        *slog.Logger
	store      *store.Store
	decoy      []byte
	listener   *transport.Listener
	server     *coapres.Server
	sessions   *session.Table
	feed       *feed.Feed
	clock      clock.Clock
	unknown    limit.Slowdown[access.ID] // of readers at which many unknown cards are tried
	noise      limit.Every[access.ID]    // bounds the events of devices that come and go
	full       limit.Every[struct{}]     // bounds the events that there is no room for a session
	turns      limit.Turns[access.ID]    // of devices and of targets; whoever takes both takes the device's first
	refusals   doctor.RefusalLog
	late       doctor.LateLog
	lateTold   limit.Every[access.ID] // bounds their events
	doors      *doorwatch.Watch
	learners   learn.Desk
	handshakes *doctor.HandshakeLog
	addresses  addresses
	metrics    *observe.Metrics
	latency    *observe.Latencies
	api        *admin.Handler // the admin API, one for the socket and the console
	admin      *adminsocket.Server
	console    *consoleServer

	bg   sync.WaitGroup // goroutines that a node's message or a change started; each ends by itself within seconds
	bgMu sync.Mutex
	shut bool // guarded by bgMu; no new ones
}

// New binds the sockets. Nothing is answered before Run.
func New(cfg Config) (*Gateway, error) {
	if cfg.Store == nil {
		return nil, errors.New("gateway: no store")
	}
	if err := cfg.Validate(); err != nil {
		return nil, err
	}
	if cfg.Listen == "" {
		cfg.Listen = ":5684"
	}
	if cfg.MaxSessions == 0 {
		cfg.MaxSessions = 10_000
	}
	if cfg.Log == nil {
		cfg.Log = slog.New(slog.DiscardHandler)
	}
	g := &Gateway{cfg: cfg, log: cfg.Log, store: cfg.Store, decoy: cfg.Store.DecoySecret(),
		clock:      clock.Clock{Source: cfg.Clock, LastEvent: cfg.Store.LastEventAt},
		unknown:    limit.Slowdown[access.ID]{Count: unknownCards, Window: unknownWindow, Pause: unknownPause},
		noise:      limit.Every[access.ID]{Pause: noisePause, Burst: noiseBurst},
		full:       limit.Every[struct{}]{Pause: fullInterval},
		lateTold:   limit.Every[access.ID]{Pause: lateInterval},
		handshakes: doctor.NewHandshakeLog(time.Now()), latency: observe.NewLatencies(time.Now())}
	g.feed = feed.New(cfg.Store, cfg.Log)
	g.sessions = session.NewTable(g.feed.DeviceChanged)
	var err error
	g.doors, err = doorwatch.New(context.Background(), doorwatch.Config{Store: g.store, Feed: g.feed, Sessions: g.sessions,
		Log: g.log, Go: g.background, Answered: g.addresses.note, StateRead: g.keepShut})
	if err != nil {
		return nil, err
	}
	g.server = &coapres.Server{Calls: calls{g}, Log: cfg.Log}
	g.listener, err = transport.Listen(transport.Config{Addr: cfg.Listen, PSK: g.psk, MaxSessions: cfg.MaxSessions, HandshakeRate: cfg.HandshakeRate, Log: cfg.Log,
		Failed: func(f transport.Failure) { g.failed(f, time.Now()) }, Moved: g.moved,
		Refused: func(c *transport.Conn, code byte, why string) {
			c.Peer().(*coapres.Peer).Refuse(coapres.Refusal{At: time.Now(), Code: coap.Code(code), Why: why})
		}})
	if err != nil {
		return nil, err
	}
	g.metrics = observe.NewMetrics(g.sources())
	if cfg.Console != nil {
		g.console, err = listenConsole(*cfg.Console, g.log)
		switch {
		case errors.Is(err, syscall.EADDRINUSE) && cfg.Console.Dispensable:
			g.log.Error("no website: its address is taken", "err", err)
		case err != nil:
			return nil, errors.Join(err, g.Close())
		}
	}
	g.api = newAPI(g)
	if cfg.AdminSocket != "" {
		if g.admin, err = adminsocket.Listen(cfg.AdminSocket, g.api); err != nil {
			return nil, errors.Join(err, g.Close())
		}
	}
	if g.console != nil {
		if err := g.console.open(g); err != nil {
			return nil, errors.Join(err, g.Close())
		}
	}
	return g, nil
}

// Addr is where nodes find the gateway.
func (g *Gateway) Addr() net.Addr { return g.listener.Addr() }

// Run serves until ctx ends and then returns nil, with every session closed.
func (g *Gateway) Run(ctx context.Context) error {
	if trusted, why := g.clock.Trusted(time.Now()); !trusted {
		g.log.Error("clock not trusted: schedules deny until it is", "err", why)
	}
	if err := g.record(access.Event{Kind: access.EventStart, Detail: g.cfg.Version, Digest: g.store.Digest()}); errors.Is(err, store.ErrNoSpace) {
		g.log.Error("no door opens until there is space; lockdown, revoke, suspend and lost go on working", "err", err)
	} else if err != nil {
		return errors.Join(err, g.Close())
	}
	g.log.Info("listening", "addr", g.Addr().String())
	g.tellReach()
	parts, ctx := errgroup.WithContext(ctx) // the first that fails ends the others
	serve := func(f func(context.Context) error) { parts.Go(func() error { return f(ctx) }) }
	serve(func(ctx context.Context) error { return g.listener.Serve(ctx, g.serve, g.opened, g.closed) })
	if g.admin != nil {
		serve(g.admin.Serve)
	}
	if g.console != nil {
		serve(g.console.serve)
		serve(g.console.certificate.Run)
	}
	serve(g.watch)
	serve(g.askActuators)
	serve(g.verify)
	err := errors.Join(parts.Wait(), g.Close())
	if g.store.Failed() == nil {
		if e := g.record(access.Event{Kind: access.EventStop}); !errors.Is(e, store.ErrNoSpace) {
			err = errors.Join(err, e)
		}
	}
	g.log.Info("stopped")
	return err
}

// Close frees the sockets of a gateway that does not run, or ends one that does. Twice is harmless.
func (g *Gateway) Close() error {
	g.bgMu.Lock()
	g.shut = true
	g.bgMu.Unlock()
	g.doors.Close()
	err := g.listener.Close()
	if g.admin != nil {
		err = errors.Join(err, g.admin.Close())
	}
	if g.console != nil {
		err = errors.Join(err, g.console.close())
	}
	g.bg.Wait()
	return err
}

// failed notes a handshake that did not complete.
func (g *Gateway) failed(f transport.Failure, now time.Time) {
	p := g.store.Snapshot()
	k, known := p.Keys[keys.ID(f.Identity)]
	cause := doctor.CauseOf(f.Cause, k, known)
	g.handshakes.NoteFailure(f, cause, known, now)
	g.log.Debug("handshake failed", "addr", f.Addr.String(), "identity", doctor.ShowClaim(f.Identity), "reason", string(cause))
	if cause != doctor.CauseFull {
		return
	}
	if _, ok := g.full.Allow(struct{}{}, now); !ok {
		return
	}
	ev := access.Event{Kind: access.EventFull, Detail: fmt.Sprintf("refused: the limit of live sessions is reached (%d)", g.cfg.MaxSessions)}
	if known {
		id := k.Device
		ev.Device = access.Named{ID: id, Name: p.Devices[id].Name}
	}
	g.log.Error("no room for a session: start with a higher --max-sessions", "device", ev.Device.Name, "max", g.cfg.MaxSessions)
	g.background(func() { g.feed.Note(ev) })
}

// psk finds the key of an identity. An unknown or revoked one meets a decoy, so that it fails as a wrong key does.
func (g *Gateway) psk(identity []byte) []byte {
	decoy := keys.Decoy(g.decoy, identity) // always computed: the same time for all
	k, ok := g.store.Snapshot().Keys[keys.ID(identity)]
	if !ok || !k.State.Usable() || k.Secret.IsZero() {
		return decoy
	}
	return k.Secret.PSK()
}

var (
	errGone = errors.New("gateway: the key was revoked during the handshake")
	errOld  = errors.New("gateway: the device has begun a newer session meanwhile")
)

// opened makes an association whose handshake is complete the session of its device.
func (g *Gateway) opened(c *transport.Conn) error {
	p := g.store.Snapshot()
	k, ok := p.Keys[keys.ID(c.Identity())]
	if !ok || !k.State.Usable() {
		return errGone
	}
	d, ok := p.Devices[k.Device]
	if !ok {
		return errGone
	}
	peer := coapres.NewPeer(k.Device, d.Name, d.Kind, k.ID, c.RemoteAddr().String(), c)
	if g.cfg.RequestRate > 0 {
		peer.Allow(g.cfg.RequestRate)
	}
	peer.Refused = func(r coapres.Refusal) { g.refusals.Note(peer.Device, r) }
	c.SetPeer(peer)
	replaced, ok := g.sessions.Open(peer, c.Number(), func() { _ = c.End() }, time.Now())
	if !ok {
		return errOld
	}
	// Looked up again after the session stands in the table: a revocation between the two would miss it.
	if k := g.store.Snapshot().Keys[k.ID]; !k.State.Usable() {
		g.sessions.Closed(peer)
		return errGone
	}
	g.handshakes.NoteCompleted(k.ID, time.Now())
	g.log.Info("session opened", "device", d.Name, "addr", peer.Addr)
	g.background(func() {
		if replaced {
			g.nodeEvent(peer, "replaced by a newer session")
		}
		g.keyUsed(k)
	})
	return nil
}

func (g *Gateway) closed(c *transport.Conn) {
	peer := c.Peer().(*coapres.Peer)
	if g.sessions.Closed(peer) {
		g.log.Info("session closed", "device", peer.Name, "addr", peer.Addr)
		g.background(func() { g.nodeEvent(peer, "closed") })
	}
}

// moved reads the state of an actuator that speaks from a new address: it gets no command before it has answered from there.
func (g *Gateway) moved(c *transport.Conn) {
	peer, ok := c.Peer().(*coapres.Peer)
	if !ok {
		return
	}
	g.log.Info("new address", "device", peer.Name)
	if peer.Kind.Actuator() {
		g.doors.Refresh(peer.Device)
	}
}

// serve answers one request of a node.
func (g *Gateway) serve(c *transport.Conn, req, resp *pool.Message, at time.Time) {
	peer := c.Peer().(*coapres.Peer)
	g.server.Serve(c.Context(), peer, req, resp, at)
	g.metrics.CountRequest(resp.Code().String())
}

// background runs f in a goroutine that Close waits for, unless the gateway is being closed already, and tells which.
func (g *Gateway) background(f func()) bool {
	g.bgMu.Lock()
	defer g.bgMu.Unlock()
	if !g.shut {
		g.bg.Go(f)
	}
	return !g.shut
}

// record writes an event that is not a decision. It has a bound of its own: it must not be lost because a session ended.
func (g *Gateway) record(ev access.Event) error {
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()
	if _, err := g.store.Record(ctx, ev); err != nil {
		return fmt.Errorf("gateway: %s event: %w", ev.Kind, err)
	}
	return nil
}

// nodeEvent is a session event that a node brings about by itself, as often as it likes.
func (g *Gateway) nodeEvent(p *coapres.Peer, detail string) {
	missed, ok := g.noise.Allow(p.Device, time.Now())
	if !ok {
		return
	}
	if missed > 0 {
		detail = fmt.Sprintf("%s (and %d more changes since the event before)", detail, missed)
	}
	g.sessionEvent(p, detail)
}

func (g *Gateway) sessionEvent(p *coapres.Peer, detail string) {
	g.feed.Note(access.Event{Kind: access.EventSession, Device: named(p), Detail: detail})
}

func named(p *coapres.Peer) access.Named { return access.Named{ID: p.Device, Name: p.Name} }

// keyUsed moves a key on when it has completed a handshake: pending becomes active, and what it replaces is revoked.
func (g *Gateway) keyUsed(k keys.Key) {
	var changes []access.Change
	for _, k := range provision.Used(k.ID, g.store.Snapshot().KeysOf(k.Device), time.Now()) {
		changes = append(changes, access.Change{Put: k})
	}
	if len(changes) == 0 {
		return
	}
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()
	if _, err := g.Apply(ctx, "gateway", changes...); err != nil && !errors.Is(err, access.ErrNotFound) {
		g.log.Warn("key state not kept", "device", k.Device, "err", err)
	}
}

// watch looks after what nobody calls for. It notes nodes that have gone silent. And it ends the gateway when the store has failed: nothing can be
// decided until the store is opened again and all of it checked, which is for whoever restarts us.
func (g *Gateway) watch(ctx context.Context) error {
	t := time.NewTicker(2 * time.Second)
	defer t.Stop()
	for {
		select {
		case <-ctx.Done():
			return nil
		case now := <-t.C:
			if err := g.store.Failed(); err != nil {
				return fmt.Errorf("gateway: every door stays shut until a restart: %w", err)
			}
			g.keepAddresses(ctx, now)
			head, _ := g.store.Head()
			g.doors.Restate(head)
			for _, p := range g.sessions.Lapsed(now) {
				g.log.Warn("device silent", "device", p.Name, "addr", p.Addr)
				g.nodeEvent(p, "offline: its registration was not renewed")
			}
		}
	}
}

// tellReach says where the nodes' port can be reached from.
func (g *Gateway) tellReach() {
	const unseen = "a router that forwards it to here cannot be seen from here; do not forward it"
	addrs, err := doctor.PublicAddrs(g.Addr())
	switch {
	case err != nil:
		g.log.Warn("unknown whether the nodes' port is public", "err", err, "note", unseen)
	case len(addrs) > 0:
		g.log.Warn("the nodes' port is bound to a public address: bind it to the nodes' network with --listen", "addr", addrs, "note", unseen)
	default:
		g.log.Info("the nodes' port is bound to no public address", "note", unseen)
	}
}

// sources are where the figures for Prometheus come from.
func (g *Gateway) sources() observe.Sources {
	src := observe.Sources{Listener: g.listener, Store: g.store, MaxSessions: g.cfg.MaxSessions,
		Online:       g.sessions.Online,
		Alarms:       func() int { return len(g.doors.Alarms("")) },
		Doors:        g.doors.CountDoors,
		ClockTrusted: g.clock.Trusted,
		Failures:     func(cause string) uint64 { return g.handshakes.Count(doctor.Cause(cause)) },
		Reasons:      []string{doctor.CodeStore, doctor.CodeSpace, doctor.CodeSlow, doctor.CodeClock},
		NotReady: func(reason string) bool {
			return slices.ContainsFunc(g.checkHealth(), func(f doctor.Finding) bool { return f.Code == reason })
		}}
	for _, cause := range doctor.Causes {
		src.Causes = append(src.Causes, string(cause))
	}
	return src
}

// checkHealth finds why a card that may enter would not be let in now.
func (g *Gateway) checkHealth() []doctor.Finding { return doctor.CheckHealth(g.store, g.clock.Trusted) }
