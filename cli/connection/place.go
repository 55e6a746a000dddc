package connection

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"syscall"
	"time"

	"latchkey/cli/settings"
	"latchkey/cli/terminal"
	"latchkey/gateway/account"
	"latchkey/gateway/admin"
	"latchkey/gateway/admin/client"
	"latchkey/gateway/aging"
	"latchkey/gateway/clock"
	"latchkey/gateway/rollback"
	"latchkey/gateway/store"
	"latchkey/keys/provision"
)

// SocketName is the admin API's unix socket in the data folder, while a gateway runs.
const SocketName = "admin.sock"

// ErrNoGateway is the error of a command that needs a running gateway.
var ErrNoGateway = errors.New("no gateway is running")

// Another command, or a gateway that starts, may hold the store for a moment.
const (
	LockWait = 10 * time.Second
	LockPoll = 100 * time.Millisecond
)

// Place says where a command works.
type Place struct {
	Dir     string                         // the data folder
	Live    bool                           // only with a running gateway
	Makes   bool                           // make the folder if there is none
	Clock   clock.Source                   // what a gateway on the store would trust
	Options func(dir string) store.Options // how the store is opened
	Version string                         // of this program
	Again   func(dir string) string        // writes the same command line for somebody else
}

// Open connects to the gateway that runs on the data folder, or opens the store in it.
func (p Place) Open(ctx context.Context) (*Connection, error) {
	if p.Dir == "" {
		return nil, terminal.UsageError{Text: "latchkey: there is no home folder to keep data in: " +
			"name one with --data DIR or LATCHKEY_DATA"}
	}
	dir, err := filepath.Abs(p.Dir)
	if err != nil {
		return nil, fmt.Errorf("data folder: %w", err)
	}
	p.Dir = dir
	for deadline := time.Now().Add(LockWait); ; {
		c, err := p.try(ctx)
		if !errors.Is(err, store.ErrLocked) && !errors.As(err, new(silent)) || time.Now().After(deadline) {
			return c, err
		}
		select {
		case <-time.After(LockPoll):
		case <-ctx.Done():
			return nil, ctx.Err()
		}
	}
}

func (p Place) try(ctx context.Context) (*Connection, error) {
	c, err := p.dial(ctx)
	if c != nil || err != nil {
		return c, err
	}
	if err := p.CheckOwner(); err != nil {
		return nil, err
	}
	switch {
	case p.Live:
		return nil, fmt.Errorf("%w on %s: start one with latchkey serve --data %s", ErrNoGateway, p.Dir,
			provision.QuoteShell(p.Dir))
	case !p.Makes && p.empty():
		return nil, fmt.Errorf("there is no latchkey data in %s: latchkey target add makes the first, "+
			"or name the folder with --data", p.Dir)
	}
	s, err := store.Open(ctx, p.Options(p.Dir))
	if err != nil {
		return nil, err
	}
	h := admin.New(admin.Config{Store: s, Aging: aging.New(aging.Config{Store: s}), Version: p.Version,
		Clock:        clock.Clock{Source: p.Clock, LastEvent: s.LastEventAt}.Trusted,
		GatewayAddrs: settings.AnnouncedAddrs(settings.DefaultListen)})
	api := client.InProcess(account.As(account.NewUnixPeer(CurrentUser()), h))
	return &Connection{http: http.Client{Transport: api}, closeStore: keepHeadLog(ctx, s, p.Dir)}, nil
}

// keepHeadLog notes what a command takes away, where a gateway has noted that there is a head.log.
// It returns what closes that and the store.
func keepHeadLog(ctx context.Context, s *store.Store, dir string) func() error {
	place, ok := rollback.FindPlace(dir)
	if !ok {
		return s.Close
	}
	w := rollback.Open(ctx, rollback.Config{Store: s, Place: place, Log: slog.New(slog.DiscardHandler)})
	return func() error { w.Close(); return s.Close() }
}

// dial returns nil and no error where no gateway listens.
func (p Place) dial(ctx context.Context) (*Connection, error) {
	path := filepath.Join(p.Dir, SocketName)
	dialer := net.Dialer{Timeout: 5 * time.Second}
	conn, err := dialer.DialContext(ctx, "unix", path)
	switch {
	case err == nil:
	case ctx.Err() != nil:
		return nil, ctx.Err()
	case errors.Is(err, syscall.EAGAIN) || errors.Is(err, os.ErrDeadlineExceeded):
		return nil, silent{LockWait} // nobody accepts the connections that wait there
	default: // whatever is wrong with the socket, the store's lock says whether a process uses the store
		return nil, nil
	}

	// The connection that showed that somebody listens carries the first request.
	first := make(chan net.Conn, 1)
	first <- conn
	return &Connection{Patience: HeadWait, http: http.Client{Transport: &http.Transport{
		DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
			select {
			case c := <-first:
				return c, nil
			default:
				return dialer.DialContext(ctx, "unix", path)
			}
		},
		MaxIdleConns: 1,
	}}}, nil
}

// empty tells whether the folder has no store yet.
func (p Place) empty() bool {
	for _, name := range []string{"db", "site.key"} {
		if _, err := os.Lstat(filepath.Join(p.Dir, name)); err == nil {
			return false
		}
	}
	return true
}
