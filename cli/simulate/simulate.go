// Package simulate plays a node against a running gateway: a reader, a switch, a lock or a lamp,
// from a bundle that an enrolled device gets. It is a node like any other and knows nothing of the
// gateway.
package simulate

import (
	"context"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"strconv"
	"strings"
	"time"

	"github.com/urfave/cli/v2"

	"latchkey/cli/terminal"
	"latchkey/coapres/device"
	"latchkey/coapres/wire"
	"latchkey/keys"
	"latchkey/keys/provision"
)

// connectWithin is how long a simulated reader or switch waits for its gateway.
const connectWithin = 15 * time.Second

// Command is the command of the simulated nodes, one below it for each kind.
func Command() *cli.Command {
	sub := func(kind keys.Kind, usage string, flags ...cli.Flag) *cli.Command {
		return &cli.Command{
			Name: string(kind), Usage: usage,
			Flags: append([]cli.Flag{&cli.StringFlag{Name: "bundle",
				Usage: "`FILE` that latchkey device add … --format json --out FILE wrote"}}, flags...),
			Action: func(c *cli.Context) error {
				if c.NArg() > 0 {
					return terminal.WrongUse(c, "simulate %s takes no arguments, only flags", kind)
				}
				return simulate(c, kind)
			},
		}
	}
	return &cli.Command{
		Name: "simulate", Usage: "play a node against a running gateway",
		Subcommands: []*cli.Command{
			sub(keys.KindReader, "present cards: each --uid once; without --uid, one UID in hex on each "+
				"line of standard input",
				&cli.StringSliceFlag{Name: "uid", Usage: "card UID in `HEX`"}),
			sub(keys.KindSwitch,
				"press buttons: one \"TARGET ACTION [LEVEL]\" on each line of standard input"),
			sub(keys.KindLock, "be a lock until interrupted, and show what it does; lines on standard "+
				"input play its door: contact open, contact closed, tamper, exit"),
			sub(keys.KindLamp, "be a lamp until interrupted, and show what it does"),
		},
	}
}

func simulate(c *cli.Context, kind keys.Kind) error {
	var uids [][]byte // all good before the first is presented
	for i, text := range c.StringSlice("uid") {
		uid, err := parseUID(text)
		if err != nil {
			return terminal.WrongUse(c, "--uid number %d: %v", i+1, err)
		}
		uids = append(uids, uid)
	}
	b, err := readBundle(c)
	if err != nil {
		return err
	}
	if b.Kind != kind {
		return terminal.WrongUse(c, "%s is for a %s, not a %s: latchkey simulate %s --bundle %[1]s",
			c.String("bundle"), b.Kind, kind, b.Kind)
	}
	ctx := c.Context
	counters := counterFile(c.String("bundle") + ".counter")
	n := newNotices()
	d := device.New(device.Config{Name: b.Device, Kind: b.Kind, Gateway: b.Gateway, Identity: b.Identity,
		Secret:  b.Secret,
		Counter: counters.read(), Log: slog.New(n),
		Changed: func(st wire.State) { showState(c, kind, st) }})
	n.of = d
	runCtx, end := context.WithCancel(ctx)
	done := make(chan error, 1)
	go func() { done <- d.Run(runCtx) }()
	defer func() {
		end()
		<-done
		if err := counters.write(d.Counter()); err != nil {
			terminal.PrintLine(c.App.ErrWriter,
				fmt.Sprintf("latchkey: the scan counter was not saved, so the next scan may need a second "+
					"try: %v", err))
		}
	}()

	ready, cancel := context.WithTimeout(ctx, connectWithin)
	defer cancel()
	if err := d.Ready(ready); err != nil {
		return fmt.Errorf("no session with the gateway at %s within %v: is it running there? On that machine "+
			"latchkey doctor --device %s says why (%w)",
			b.Gateway, connectWithin, provision.QuoteShell(b.Device), err)
	}
	fmt.Fprintf(c.App.ErrWriter, "%s is connected to %s\n", b.Device, b.Gateway)
	allTold := make(chan struct{})
	go func() { defer close(allTold); n.tell(runCtx, c.App.ErrWriter, b.Device) }()
	defer func() { end(); <-allTold }()
	switch kind {
	case keys.KindReader:
		return presentCards(ctx, c, d, uids)
	case keys.KindSwitch:
		return pressButtons(ctx, c, d)
	case keys.KindLock:
		if err := playDoor(ctx, c, d); err != nil {
			return err
		}
	}
	<-ctx.Done() // interrupted, as it is meant to end
	return nil
}

// counterFile keeps a simulated node's scan counter beside its bundle, as a real one keeps it in
// flash.
type counterFile string

// read returns the last counter used, 0 if there is none. The gateway corrects a node that has lost
// its counter.
func (f counterFile) read() uint64 {
	b, err := os.ReadFile(string(f))
	if err != nil {
		return 0
	}
	n, err := strconv.ParseUint(strings.TrimSpace(string(b)), 10, 53)
	if err != nil {
		return 0
	}
	return n
}

func (f counterFile) write(n uint64) error {
	if n == 0 {
		return nil // no scans: a lock, a lamp
	}
	return os.WriteFile(string(f), []byte(strconv.FormatUint(n, 10)+"\n"), 0o600)
}

// howToBundle says how to get a bundle.
const howToBundle = "make one with latchkey device add … --format json --out FILE"

func readBundle(c *cli.Context) (provision.Bundle, error) {
	path := c.String("bundle")
	if path == "" {
		return provision.Bundle{}, terminal.WrongUse(c, "--bundle FILE is missing: %s", howToBundle)
	}
	f, err := os.Open(path)
	if errors.Is(err, fs.ErrNotExist) {
		return provision.Bundle{}, terminal.WrongUse(c, "there is no bundle %s: %s", path, howToBundle)
	}
	if err != nil {
		return provision.Bundle{}, err
	}
	defer func() { _ = f.Close() }()
	b, err := provision.ParseBundle(f)
	if errors.Is(err, provision.ErrMalformed) {
		return provision.Bundle{}, terminal.WrongUse(c, "%s is not a bundle (%v): %s", path, err, howToBundle)
	}
	return b, err
}

func presentCards(ctx context.Context, c *cli.Context, d *device.Device, uids [][]byte) error {
	present := func(uid []byte) error {
		return report(ctx, c, d, func() (wire.Verdict, error) { return d.Scan(ctx, uid) })
	}
	for _, uid := range uids {
		if err := present(uid); err != nil {
			return err
		}
	}
	if len(uids) > 0 {
		return nil
	}
	return terminal.NewLineReader(c.App.Reader).ForEach(ctx, func(line string) error {
		uid, err := parseUID(line)
		if err != nil {
			return terminal.WrongUse(c, "%v", err)
		}
		return present(uid)
	})
}

func parseUID(text string) ([]byte, error) {
	uid, err := hex.DecodeString(strings.ReplaceAll(strings.TrimSpace(text), ":", ""))
	if err != nil || len(uid) != 4 && len(uid) != 7 && len(uid) != 10 {
		// Without the text, which may be most of one.
		return nil, errors.New("a UID is 4, 7 or 10 bytes in hex")
	}
	return uid, nil
}

func pressButtons(ctx context.Context, c *cli.Context, d *device.Device) error {
	return terminal.NewLineReader(c.App.Reader).ForEach(ctx, func(line string) error {
		target, action, level, err := parsePress(line)
		if err != nil {
			return terminal.WrongUse(c, "%v", err)
		}
		return report(ctx, c, d, func() (wire.Verdict, error) { return d.Ask(ctx, target, action, level) })
	})
}

// doorLines are what can happen at a simulated lock's door, and what the lock reports then.
var doorLines = map[string]wire.Measurement{
	"contact open":   {Name: "contact", Type: wire.FlagValue, Flag: true},
	"contact closed": {Name: "contact", Type: wire.FlagValue},
	"tamper":         {Name: "tamper", Type: wire.FlagValue, Flag: true},
	"exit":           {Name: "exit", Type: wire.FlagValue, Flag: true},
}

// playDoor plays the events of a lock's door that standard input names, until its end.
func playDoor(ctx context.Context, c *cli.Context, d *device.Device) error {
	return terminal.NewLineReader(c.App.Reader).ForEach(ctx, func(line string) error {
		line = strings.Join(strings.Fields(line), " ")
		m, ok := doorLines[line]
		switch {
		case !ok:
			return terminal.WrongUse(c, "there is no %q: want contact open, contact closed, tamper or exit",
				terminal.ShortenWord(line))
		case m.Name == "contact" && m.Flag:
			d.SetContact(wire.ContactOpen)
		case m.Name == "contact":
			d.SetContact(wire.ContactClosed)
		case m.Name == "exit":
			d.Exit()
		}
		if err := d.Report(ctx, wire.Report{Measurements: []wire.Measurement{m}}); err != nil &&
			ctx.Err() == nil {
			terminal.PrintLine(c.App.ErrWriter, fmt.Sprintf("latchkey: %q was not reported: %v", line, err))
		}
		return nil
	})
}

// parsePress reads TARGET ACTION [LEVEL]. LEVEL is required if the action needs one, and refused
// otherwise.
func parsePress(line string) (target string, action wire.Action, level uint8, err error) {
	f := strings.Fields(line)
	if len(f) < 2 {
		return "", 0, 0, errors.New("want TARGET ACTION [LEVEL], like: desk toggle")
	}
	if action, err = wire.ParseAction(f[1]); err != nil {
		return "", 0, 0, fmt.Errorf("there is no action %q: "+
			"want on, off, toggle, level LEVEL, unlock or lock",
			terminal.ShortenWord(f[1]))
	}
	switch {
	case action == wire.Level && len(f) == 2:
		return "", 0, 0, errors.New("level needs a number of 0 to 100, like: desk level 40")
	case action == wire.Level && len(f) == 3:
		n, err := strconv.ParseUint(f[2], 10, 8)
		if err != nil || n > 100 {
			return "", 0, 0, fmt.Errorf("there is no level %q: want 0 to 100", terminal.ShortenWord(f[2]))
		}
		level = uint8(n)
	case len(f) > 2:
		return "", 0, 0, fmt.Errorf("%q is too many: want TARGET ACTION, and a LEVEL only after level, "+
			"like: desk level 40", terminal.ShortenWord(f[len(f)-1]))
	}
	return f[0], action, level, nil
}

// report prints the verdict and how long it took. An answer that is no verdict is printed too and
// ends nothing.
func report(ctx context.Context, c *cli.Context, d *device.Device, ask func() (wire.Verdict, error)) error {
	began := time.Now()
	v, err := ask()
	took := time.Since(began)
	if ctx.Err() != nil {
		return nil
	}
	var code *device.CodeError
	none := errors.As(err, &code) || errors.Is(err, device.ErrNoVerdict) || errors.Is(err, device.ErrNotFresh)
	switch {
	case err != nil && !none:
		return err
	case none && c.Bool(terminal.JSONFlag):
		return printJSON(c, struct {
			Error   string `json:"error"`
			Counter uint64 `json:"counter"`
		}{err.Error(), d.Counter()})
	case none:
		fmt.Fprintf(c.App.Writer, "no verdict: %v\n", err)
	case c.Bool(terminal.JSONFlag):
		return printJSON(c, struct {
			Verdict string `json:"verdict"`
			Last    uint64 `json:"last"`
			Counter uint64 `json:"counter"`
		}{v.Verdict.String(), v.Last, d.Counter()})
	default:
		fmt.Fprintf(c.App.Writer, "%s (counter %d) in %.1f ms\n", v.Verdict, v.Last, float64(took)/1e6)
	}
	return nil
}

func printJSON(c *cli.Context, v any) error { return json.NewEncoder(c.App.Writer).Encode(v) }

// showState prints what a simulated actuator does now, with --json as it would go over the wire.
func showState(c *cli.Context, kind keys.Kind, st wire.State) {
	if !c.Bool(terminal.JSONFlag) {
		fmt.Fprintf(c.App.Writer, "%s  %s\n", time.Now().Format(time.TimeOnly), DescribeState(kind, st))
		return
	}
	b, err := st.Encode(wire.JSON)
	if err != nil {
		terminal.PrintLine(c.App.ErrWriter, fmt.Sprintf("latchkey: invalid state: %v", err))
		return
	}
	fmt.Fprintf(c.App.Writer, "%s\n", b)
}

// DescribeState returns the state of a simulated actuator in words.
func DescribeState(kind keys.Kind, st wire.State) string {
	switch {
	case kind == keys.KindLock && st.On:
		return "door unlocked"
	case kind == keys.KindLock:
		return "door locked"
	case !st.On:
		return "lamp off"
	}
	return fmt.Sprintf("lamp on, %d %%", st.Level)
}
