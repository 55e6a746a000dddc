// Package serving is the command that runs the gateway.
package serving

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"time"

	"github.com/urfave/cli/v2"

	"latchkey/cli/connection"
	"latchkey/cli/settings"
	"latchkey/cli/terminal"
	"latchkey/gateway"
	"latchkey/gateway/limit"
	"latchkey/gateway/restart"
	"latchkey/gateway/store"
	"latchkey/gateway/website"
	"latchkey/keys/provision"
)

// Setting is what the program knows and this command needs.
type Setting struct {
	Version string
	Data    string                         // the flag that names the data folder
	Options func(dir string) store.Options // how the store in a data folder is opened
}

// Command is the command serve.
func Command(set Setting) *cli.Command {
	return &cli.Command{
		Name:  "serve",
		Usage: "run the gateway",
		Flags: settings.Flags(),
		Action: func(c *cli.Context) error {
			if c.NArg() > 0 {
				return terminal.WrongUse(c, "serve takes no arguments, only flags")
			}
			return serve(c, set)
		},
	}
}

func serve(c *cli.Context, set Setting) error {
	limit.Garbage()
	s, err := settings.Read(c)
	if err != nil {
		return err
	}
	if err := website.GuardDescriptors(); err != nil {
		return err
	}
	level, err := s.LogLevel()
	if err != nil {
		return err
	}
	log := slog.New(slog.NewTextHandler(c.App.ErrWriter, &slog.HandlerOptions{Level: level}))
	p := connection.Place{Dir: c.String(set.Data), Again: func(dir string) string {
		return serveLine(c, dir)
	}}
	if p.Dir, err = filepath.Abs(p.Dir); err != nil {
		return fmt.Errorf("data folder: %w", err)
	}
	cfg, err := s.Gateway(p.Dir)
	if err != nil {
		return err
	}
	socket, err := inheritedListener()
	switch {
	case err != nil:
		return err
	case socket != nil && cfg.Console == nil:
		return terminal.WrongUse(c, "--console is off, but the service manager hands over a socket "+
			"for the website: remove one of the two")
	case socket != nil:
		cfg.Console.Listener = socket
	}
	if err := p.CheckOwner(); err != nil {
		return err
	}
	o := set.Options(p.Dir)
	o.Hold = true
	o.Log, o.Fatal = log, func(err error) {
		log.Error("every door stays shut until the gateway has started again and checked its store",
			"err", err)
		os.Exit(1)
	}
	st, err := openWaiting(c.Context, o)
	if err != nil {
		return err
	}
	defer func() { _ = st.Close() }()
	cfg.Runtime = openRuntime(p.Dir, log)
	defer func() { _ = cfg.Runtime.Close() }()
	cfg.Store, cfg.AdminSocket, cfg.Version, cfg.Log = st, filepath.Join(p.Dir, connection.SocketName),
		set.Version, log
	g, err := gateway.New(cfg)
	if errors.Is(err, syscall.EADDRINUSE) {
		return fmt.Errorf("%w: another program has that port: stop it, "+
			"or choose another one with --listen or --console", err)
	}
	if err != nil {
		return err
	}
	if err := welcome(c, g); err != nil {
		return errors.Join(err, g.Close())
	}
	return errors.Join(g.Run(c.Context), st.Close())
}

// openRuntime opens the runtime folder that a service manager gives (RuntimeDirectory= in systemd.exec(5)).
// It returns nil if there is none, or if sessions must not be saved there.
func openRuntime(data string, log *slog.Logger) *restart.Folder {
	path, _, _ := strings.Cut(os.Getenv("RUNTIME_DIRECTORY"), ":")
	if path == "" {
		return nil
	}
	f, err := restart.OpenFolder(path, data)
	if err != nil {
		log.Warn("no sessions are saved at a stop: nodes connect again after it", "err", err)
		return nil
	}
	return f
}

// serveLine is the same command line in words for a shell, for another user.
func serveLine(c *cli.Context, dir string) string {
	line := "latchkey --data " + provision.QuoteShell(dir) + " serve"
	for _, name := range []string{"local-net", "console-name"} {
		for _, v := range c.StringSlice(name) {
			line += " --" + name + " " + provision.QuoteShell(v)
		}
	}
	for _, name := range []string{"listen", "announce", "clock", "max-sessions", "head-log", "console",
		"console-cert",
		"console-key", "acme", "acme-email",
		"acme-directory", "acme-agree", "log"} {
		switch {
		case !c.IsSet(name):
		case name == "acme-agree":
			line += " --" + name
		default:
			line += " --" + name + " " + provision.QuoteShell(fmt.Sprint(c.Value(name)))
		}
	}
	return line
}

// openWaiting opens the store and waits a while for a command that holds it.
func openWaiting(ctx context.Context, o store.Options) (*store.Store, error) {
	deadline := time.Now().Add(connection.LockWait)
	for said := false; ; said = true {
		st, err := store.Open(ctx, o)
		if !errors.Is(err, store.ErrLocked) {
			return st, err
		}
		if time.Now().After(deadline) {
			return nil, fmt.Errorf("%w: another latchkey serve runs on %s; stop it first, "+
				"or give this one a --data of its own", err, o.Dir)
		}
		if !said {
			o.Log.Warn("waiting for the store", "data", o.Dir, "for", connection.LockWait.String())
		}
		select {
		case <-ctx.Done():
			return nil, ctx.Err()
		case <-time.After(connection.LockPoll):
		}
	}
}
