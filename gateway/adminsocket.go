package gateway

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"net/http"
	"os"
	"time"

	"latchkey/gateway/access"
	"latchkey/gateway/account"
	"latchkey/gateway/admin"
	"latchkey/gateway/limit"
	"latchkey/gateway/store"
)

// adminServer serves the admin API on a unix socket. Whoever may open the socket may do everything: it is 0600, in a folder that is 0700.
type adminServer struct {
	listener net.Listener
	http     *http.Server
}

// policyStore is the store as the admin API sees it: a change goes through the gateway, so that the sessions follow it.
type policyStore struct {
	*store.Store
	g *Gateway
}

func (s policyStore) Apply(ctx context.Context, actor string, changes ...access.Change) (uint64, error) {
	return s.g.Apply(ctx, actor, changes...)
}

// AdminHandler is the admin API of this gateway for whoever holds it in this process: such a caller may do everything, unless the context
// of a request names another principal.
func (g *Gateway) AdminHandler() http.Handler {
	own := account.As(account.NewUnixPeer("admin"), g.api)
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if account.PrincipalOf(r.Context()).Kind != account.Nobody {
			g.api.ServeHTTP(w, r)
			return
		}
		own.ServeHTTP(w, r)
	})
}

func newAPI(g *Gateway) *admin.Handler {
	var site account.Website
	if g.console != nil {
		site = account.Website{SignIns: g.store, Hosts: g.console.certificate.Hosts(), Local: g.cfg.Console.Local,
			BrowserKey: g.store.BrowserSecret(), Now: g.cfg.Console.Now}
	}
	return admin.New(admin.Config{Store: policyStore{g.store, g}, Live: live{g}, Feed: g.feed, Log: g.log,
		Metrics: g.metrics.Handler(), Version: g.cfg.Version, ConsoleURL: g.ConsoleURL(), GatewayAddrs: g.cfg.Announce,
		Website: site, Health: g.checkHealth, StatusOf: StatusOf})
}

func listenAdmin(g *Gateway, path string) (*adminServer, error) {
	// The store's lock is ours, so a socket that is there belongs to nobody any more.
	if err := os.Remove(path); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("gateway: admin socket: %w", err)
	}
	l, err := net.Listen("unix", path)
	if err != nil {
		return nil, fmt.Errorf("gateway: admin socket: %w", err)
	}
	if err := os.Chmod(path, 0o600); err != nil {
		return nil, errors.Join(fmt.Errorf("gateway: admin socket: %w", err), l.Close())
	}
	bounded := limit.NewListener(l, socketConns)
	return &adminServer{listener: bounded, http: &http.Server{Handler: limit.NewHandler(g.api, clientOfSocket, socketRequests),
		ReadHeaderTimeout: 5 * time.Second, IdleTimeout: time.Minute, MaxHeaderBytes: 16 << 10,
		ConnContext: func(ctx context.Context, c net.Conn) context.Context {
			ctx = bounded.ConnContext(ctx, c)
			if own, ok := c.(interface{ NetConn() net.Conn }); ok {
				c = own.NetConn()
			}
			return account.WithPrincipal(ctx, account.NewUnixPeer(callerOf(c)))
		}}}, nil
}

// Bounds of the admin socket. Whoever may open it may do everything; they keep a script that went wrong from taking the memory that doors need.
var (
	socketConns = limit.Connections{All: 64, EachAddr: 64, Known: 48, EachKnown: 48, Idle: 10 * time.Second}

	socketRequests = limit.Requests{Known: limit.Class{All: limit.Budget{Requests: 48, Bytes: 8 << 20}, Each: limit.Budget{Requests: 48, Bytes: 8 << 20},
		Body: 1 << 20, Read: 30 * time.Second, Write: 15 * time.Minute}} // a check of a long chain of events takes minutes
)

// clientOfSocket is whose budget a request on the admin socket goes on.
func clientOfSocket(*http.Request) limit.Client {
	return limit.Client{Account: "admin socket"}
}

func (a *adminServer) serve(ctx context.Context) error {
	stop := context.AfterFunc(ctx, func() { _ = a.close() })
	defer stop()
	if err := a.http.Serve(a.listener); !errors.Is(err, http.ErrServerClosed) {
		return fmt.Errorf("gateway: admin socket: %w", err)
	}
	return nil
}

// close answers what is under way, for a moment, and ends the rest.
func (a *adminServer) close() error {
	ctx, cancel := context.WithTimeout(context.Background(), time.Second)
	defer cancel()
	if a.http.Shutdown(ctx) != nil {
		_ = a.http.Close()
	}
	if err := a.listener.Close(); err != nil && !errors.Is(err, net.ErrClosed) {
		return fmt.Errorf("gateway: admin socket: %w", err)
	}
	return nil
}

// StatusOf is the HTTP status of the store's errors, 0 for any other.
func StatusOf(err error) int {
	switch {
	case errors.Is(err, store.ErrNoSpace):
		return http.StatusInsufficientStorage
	case errors.Is(err, store.ErrRefused):
		return http.StatusUnprocessableEntity
	case errors.Is(err, store.ErrTooBig):
		return http.StatusRequestEntityTooLarge
	case errors.Is(err, store.ErrFailed), errors.Is(err, store.ErrClosed):
		return http.StatusServiceUnavailable
	}
	return 0
}
