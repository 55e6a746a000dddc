// Package gateway joins the parts: it receives the requests of nodes, lets the store decide and
// record them, and commands the actuators. This file shows what is built, what runs and who closes
// it. A scan goes through [Gateway.onScan] and [attempt.run]; everything else serves these two. The
// package parses no HTTP and no bytes from the wire.
package gateway

import (
	"context"
	"errors"
	"log/slog"
	"net"
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
	"latchkey/gateway/aging"
	"latchkey/gateway/clock"
	"latchkey/gateway/doctor"
	"latchkey/gateway/doorwatch"
	"latchkey/gateway/feed"
	"latchkey/gateway/learn"
	"latchkey/gateway/limit"
	"latchkey/gateway/nodes"
	"latchkey/gateway/observe"
	"latchkey/gateway/outside"
	"latchkey/gateway/restart"
	"latchkey/gateway/rollback"
	"latchkey/gateway/session"
	"latchkey/gateway/store"
)

const (
	unknownCards  = 10 // unknown cards at one reader within unknownWindow slow it down
	unknownWindow = time.Minute
	unknownPause  = 10 * time.Second // between scans of a reader that is slowed down
)

// Gateway is a running gateway. Its methods are safe for concurrent use.
type Gateway struct {
	cfg   Config
	log   *slog.Logger
	store *store.Store // the caller closes it
	clock clock.Clock

	// What is known besides the store, in memory.
	feed     *feed.Feed
	sessions *session.Table
	nodes    *nodes.Nodes
	doors    *doorwatch.Watch
	metrics  *observe.Metrics
	latency  *observe.Latencies

	// Attempts wait here.
	turns    limit.Turns[access.ID]    // of devices and of targets; an attempt takes its device first
	unknown  limit.Slowdown[access.ID] // slows readers at which many unknown cards are tried
	learners learn.Desk

	outside  *outside.Outside // sinks and integrations
	aging    *aging.Keeper    // removes old events
	restart  *restart.Restart // between this run and those before and after
	rollback *rollback.Watch  // notices that the store is an older copy

	// The servers. Close closes each of them.
	listener *transport.Listener
	server   *coapres.Server
	api      *admin.Handler      // the admin API, for both socket and console
	admin    *adminsocket.Server // nil: none
	console  *consoleServer      // nil: none

	deadlines limit.Deadlines // of attempts
	bg        limit.Workers   // runs what a message or a change starts; each ends by itself within seconds
}

// New binds the sockets. Nothing is answered before Run.
func New(cfg Config) (*Gateway, error) {
	if cfg.Store == nil {
		return nil, errors.New("gateway: no store")
	}
	if err := cfg.Validate(); err != nil {
		return nil, err
	}
	cfg.setDefaults()
	g := &Gateway{cfg: cfg, log: cfg.Log, store: cfg.Store,
		clock:   clock.Clock{Source: cfg.Clock, LastEvent: cfg.Store.LastEventAt},
		feed:    feed.New(cfg.Store, cfg.Log),
		latency: observe.NewLatencies(time.Now()),
		unknown: limit.Slowdown[access.ID]{Count: unknownCards, Window: unknownWindow, Pause: unknownPause}}
	g.sessions = session.NewTable(g.feed.DeviceChanged)
	g.nodes = nodes.New(nodes.Config{Store: g.store, Feed: g.feed, Sessions: g.sessions, Log: g.log,
		MaxSessions: cfg.MaxSessions, RequestRate: cfg.RequestRate, Go: g.bg.Go, Apply: g.Apply,
		Refresh: func(device access.ID) { g.doors.Refresh(device) }})
	g.restart = restart.New(restart.Config{Folder: cfg.Runtime, Store: g.store, Accept: g.nodes.MayResume,
		Log: g.log})
	var err error
	g.rollback = rollback.Open(context.Background(), rollback.Config{Store: g.store, Place: cfg.HeadLog,
		Log: g.log})
	g.sessions.Heard = g.rollback.Hear
	g.doors, err = doorwatch.New(context.Background(), doorwatch.Config{Store: g.store, Feed: g.feed,
		Sessions: g.sessions, Log: g.log, Go: g.bg.Go, Answered: g.nodes.NoteAddress, StateRead: g.keepShut})
	if err != nil {
		return nil, err
	}
	g.aging = aging.New(aging.Config{Store: g.store, OldestAlarm: g.doors.OldestAlarm,
		ClockTrusted: g.clock.Trusted, Log: g.log})
	if err := g.listen(); err != nil {
		g.rollback.Close()
		return nil, errors.Join(err, g.Close())
	}
	return g, nil
}

// listen binds the nodes' port, the console's port and the admin socket, and builds their servers.
func (g *Gateway) listen() (err error) {
	g.server = &coapres.Server{Calls: calls{g}, Log: g.log}
	nodesPort := transport.Config{Addr: g.cfg.Listen, PSK: g.nodes.FindPSK,
		MaxSessions: g.cfg.MaxSessions, HandshakeRate: g.cfg.HandshakeRate, Log: g.log,
		Failed: func(f transport.Failure) { g.nodes.NoteFailure(f, time.Now()) }, Moved: g.nodes.FollowAddress,
		Refused: func(c *transport.Conn, code byte, why string) {
			c.Peer().(*coapres.Peer).Refuse(coapres.Refusal{At: time.Now(), Code: coap.Code(code), Why: why})
		}}
	if g.cfg.Runtime != nil {
		nodesPort.Save, nodesPort.Resume = g.nodes.SaveSession, g.restart.Resume
	}
	if g.listener, err = transport.Listen(nodesPort); err != nil {
		return err
	}
	g.metrics = observe.NewMetrics(g.sources())
	g.outside = newOutside(g)
	g.metrics.AddSinks(g.outside.Figures)
	if g.cfg.Console != nil {
		g.console, err = listenConsole(*g.cfg.Console, g.log)
		switch {
		case errors.Is(err, syscall.EADDRINUSE) && g.cfg.Console.Dispensable:
			g.log.Error("no website: its address is taken", "err", err)
		case err != nil:
			return err
		}
	}
	g.api = newAPI(g) // it needs the console's address
	if g.console != nil {
		g.console.open(g)
	}
	if g.cfg.AdminSocket != "" {
		if g.admin, err = adminsocket.Listen(g.cfg.AdminSocket, g.console.owns, g.api); err != nil {
			return err
		}
	}
	return nil
}

// Addr returns the address of the nodes' port.
func (g *Gateway) Addr() net.Addr { return g.listener.Addr() }

// Run serves until ctx ends. Then it saves or closes every session and returns nil.
func (g *Gateway) Run(ctx context.Context) error {
	if trusted, why := g.clock.Trusted(time.Now()); !trusted {
		g.log.Error("clock not trusted: schedules deny until it is", "err", why)
	}
	err := g.restart.Start(g.cfg.Version)
	if errors.Is(err, store.ErrNoSpace) {
		g.log.Error("no door opens until there is space; lockdown, revoke, suspend and lost still work",
			"err", err)
	} else if err != nil {
		return errors.Join(err, g.Close())
	}
	g.log.Info("listening", "addr", g.Addr().String())
	doctor.LogReach(g.log, g.Addr())

	parts, ctx := errgroup.WithContext(ctx) // the first one that fails ends the others
	serve := func(f func(context.Context) error) { parts.Go(func() error { return f(ctx) }) }
	serve(g.serveNodes)
	if g.admin != nil {
		serve(g.admin.Serve)
	}
	if g.console != nil {
		serve(g.console.serve)
		serve(g.console.certificate.Run)
	}
	serve(g.outside.Run)
	serve(g.aging.Run)
	serve(g.keepUp)
	parts.Go(func() error { doctor.VerifyStore(ctx, g.store, g.cfg.VerifyEvery, g.log); return nil })
	serve(g.rollback.Run)
	parts.Go(func() error { g.nodes.AskNodes(ctx, g.listener.Hint); return nil })
	err = errors.Join(parts.Wait(), g.Close())

	if g.store.Failed() == nil {
		if e := g.restart.Stop(g.listener.Saved()); !errors.Is(e, store.ErrNoSpace) {
			err = errors.Join(err, e)
		}
	}
	g.rollback.Close()
	g.log.Info("stopped")
	return err
}

// serveNodes answers nodes until ctx ends.
func (g *Gateway) serveNodes(ctx context.Context) error {
	return g.listener.Serve(ctx, g.answer, g.nodes.OpenSession, g.nodes.CloseSession)
}

// answer answers one request of a node.
func (g *Gateway) answer(c *transport.Conn, req, resp *pool.Message, at time.Time) {
	g.server.Serve(c.Context(), c.Peer().(*coapres.Peer), req, resp, at)
	g.metrics.CountRequest(resp.Code().String())
}

// Close closes the sockets. A gateway that runs ends. Twice is harmless.
func (g *Gateway) Close() (err error) {
	g.bg.End()
	g.doors.Close()
	if g.listener != nil {
		err = g.listener.Close()
	}
	if g.admin != nil {
		err = errors.Join(err, g.admin.Close())
	}
	if g.console != nil {
		err = errors.Join(err, g.console.close())
	}
	g.bg.Wait()
	return err
}
