package cli

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"os"
	"path/filepath"
	"syscall"
	"time"

	"github.com/urfave/cli/v2"

	"latchkey/cli/terminal"
	"latchkey/gateway"
	"latchkey/gateway/clock"
	"latchkey/gateway/store"
	"latchkey/keys/provision"
)

func serveCommand() *cli.Command {
	return &cli.Command{
		Name:  "serve",
		Usage: "run the gateway until it is told to stop",
		Flags: []cli.Flag{
			&cli.StringFlag{Name: "listen", Value: defaultListen, EnvVars: []string{"LATCHKEY_LISTEN"}, Usage: "UDP `address` for nodes"},
			&cli.StringFlag{Name: "announce", EnvVars: []string{"LATCHKEY_ANNOUNCE"}, Usage: "`host:port` that new devices are told to call; default: the address in --listen, or this machine's"},
			&cli.StringFlag{Name: "clock", Value: "ntp", EnvVars: []string{"LATCHKEY_CLOCK"}, Usage: "what makes the time of day trustworthy: ntp (the kernel is synchronised) or rtc (this machine has a battery-backed clock)"},
			&cli.IntFlag{Name: "max-sessions", Value: 10_000, EnvVars: []string{"LATCHKEY_MAX_SESSIONS"}, Usage: "limit of live sessions"},
			&cli.StringFlag{Name: "console", Value: "127.0.0.1:8443", EnvVars: []string{"LATCHKEY_CONSOLE"}, Usage: "TCP `address` of the website, or off"},
			&cli.StringSliceFlag{Name: "local-net", EnvVars: []string{"LATCHKEY_LOCAL_NET"}, Usage: "`network` like 192.168.1.0/24, from which people open doors on the website without a second step"},
			&cli.StringSliceFlag{Name: "console-name", EnvVars: []string{"LATCHKEY_CONSOLE_NAME"}, Usage: "`name` or address by which the website is called, besides localhost and this machine's name"},
			&cli.PathFlag{Name: "console-cert", EnvVars: []string{"LATCHKEY_CONSOLE_CERT"}, Usage: "`file` with the website's certificate; default: one from the gateway's own CA"},
			&cli.PathFlag{Name: "console-key", EnvVars: []string{"LATCHKEY_CONSOLE_KEY"}, Usage: "`file` with the key of that certificate"},
			&cli.StringFlag{Name: "acme", EnvVars: []string{"LATCHKEY_ACME"}, Usage: "get the website's certificate from an ACME server, for this `name`; its port 443 must lead to --console"},
			&cli.StringFlag{Name: "acme-email", EnvVars: []string{"LATCHKEY_ACME_EMAIL"}, Usage: "`address` that the ACME server may write to"},
			&cli.StringFlag{Name: "acme-directory", EnvVars: []string{"LATCHKEY_ACME_DIRECTORY"}, Usage: "`URL` of the ACME server; default: Let's Encrypt's"},
			&cli.BoolFlag{Name: "acme-agree", EnvVars: []string{"LATCHKEY_ACME_AGREE"}, Usage: "agree to the terms of the ACME server"},
			&cli.StringFlag{Name: "log", Value: "info", EnvVars: []string{"LATCHKEY_LOG"}, Usage: "debug, info, warn or error"},
		},
		Action: func(c *cli.Context) error {
			if c.NArg() > 0 {
				return terminal.WrongUse(c, "serve takes no arguments, only flags")
			}
			return serve(c)
		},
	}
}

func serve(c *cli.Context) error {
	var level slog.Level
	if err := level.UnmarshalText([]byte(c.String("log"))); err != nil {
		return terminal.WrongUse(c, "--log %q: want debug, info, warn or error", c.String("log"))
	}
	source := clock.Source(c.String("clock"))
	if source != clock.NTP && source != clock.RTC {
		return terminal.WrongUse(c, "--clock %q: want ntp or rtc", c.String("clock"))
	}
	if n := c.Int("max-sessions"); n < 1 || n > 1_000_000 {
		return terminal.WrongUse(c, "--max-sessions %d: want 1…1000000", n)
	}
	if _, err := net.ResolveUDPAddr("udp", c.String("listen")); err != nil {
		return terminal.WrongUse(c, "--listen %q: want host:port or :port, with a port up to 65535", c.String("listen"))
	}
	announce := announcedAddrs(c.String("listen"))
	if a := c.String("announce"); a != "" {
		if provision.CheckGateway(a) != nil {
			return terminal.WrongUse(c, "--announce %q: want host:port as nodes reach this machine, like 192.0.2.1:5684", a)
		}
		announce = []string{a}
	}
	console, err := consoleConfig(c)
	if err != nil {
		return err
	}
	log := slog.New(slog.NewTextHandler(c.App.ErrWriter, &slog.HandlerOptions{Level: level}))
	p := place{dir: c.String(dataFlag), again: func(dir string) string { return serveLine(c, dir) }}
	if p.dir, err = filepath.Abs(p.dir); err != nil {
		return fmt.Errorf("data folder: %w", err)
	}
	if err := p.owned(); err != nil {
		return err
	}
	if console != nil {
		console.Certificate.Dir = p.dir
	}
	o := storeOptions(p.dir)
	o.Hold = true
	o.Log, o.Fatal = log, func(err error) {
		log.Error("every door stays shut until the gateway has started again and read all of its store", "err", err)
		os.Exit(1)
	}
	st, err := openWaiting(c.Context, o)
	if err != nil {
		return err
	}
	defer func() { _ = st.Close() }()
	g, err := gateway.New(gateway.Config{Store: st, Listen: c.String("listen"), Announce: announce, Clock: source,
		AdminSocket: filepath.Join(p.dir, socketName), Console: console, MaxSessions: c.Int("max-sessions"), Version: version(), Log: log})
	if errors.Is(err, syscall.EADDRINUSE) {
		return fmt.Errorf("%w: another program has that port: stop it, or choose another one with --listen or --console", err)
	}
	if err != nil {
		return err
	}
	if err := welcome(c, g); err != nil {
		return errors.Join(err, g.Close())
	}
	return errors.Join(g.Run(c.Context), st.Close())
}

// serveLine is the same command line in words for a shell, for another user.
func serveLine(c *cli.Context, dir string) string {
	line := "latchkey --data " + terminal.QuoteWord(dir) + " serve"
	for _, name := range []string{"local-net", "console-name"} {
		for _, v := range c.StringSlice(name) {
			line += " --" + name + " " + terminal.QuoteWord(v)
		}
	}
	for _, name := range []string{"listen", "announce", "clock", "max-sessions", "console", "console-cert", "console-key", "acme", "acme-email",
		"acme-directory", "acme-agree", "log"} {
		switch {
		case !c.IsSet(name):
		case name == "acme-agree":
			line += " --" + name
		default:
			line += " --" + name + " " + terminal.QuoteWord(fmt.Sprint(c.Value(name)))
		}
	}
	return line
}

// openWaiting opens the store and waits a while for a command that holds it.
func openWaiting(ctx context.Context, o store.Options) (*store.Store, error) {
	deadline := time.Now().Add(lockWait)
	for said := false; ; said = true {
		st, err := store.Open(ctx, o)
		if !errors.Is(err, store.ErrLocked) {
			return st, err
		}
		if time.Now().After(deadline) {
			return nil, fmt.Errorf("%w: another latchkey serve runs on %s; stop it first, or give this one a --data of its own", err, o.Dir)
		}
		if !said {
			o.Log.Warn("waiting for the store", "data", o.Dir, "for", lockWait.String())
		}
		select {
		case <-ctx.Done():
			return nil, ctx.Err()
		case <-time.After(lockPoll):
		}
	}
}
