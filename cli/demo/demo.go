// Package demo is a house to play with: a gateway on this machine with a door, a lamp and their
// nodes, simulated or running the firmware, over real DTLS. It tells a fixed story or obeys a
// prompt, and plays the attacker too. Everything lies in a temporary folder.
package demo

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/urfave/cli/v2"

	"latchkey/cli/terminal"
	"latchkey/coapres/device"
	"latchkey/coapres/wire"
	"latchkey/gateway"
	"latchkey/gateway/access"
	"latchkey/gateway/audit"
	"latchkey/gateway/store"
	"latchkey/keys/provision"
)

// Setting is what the program gives the demo.
type Setting struct {
	Version string
	Socket  string                         // name of the admin API's socket in a data folder
	Options func(dir string) store.Options // how the store in a data folder is opened
}

// Command is the command of the demo.
func Command(set Setting) *cli.Command {
	return &cli.Command{
		Name:  "demo",
		Usage: "play with a gateway, a door, a lamp and their nodes, which are simulated or run the firmware",
		Flags: append([]cli.Flag{
			&cli.BoolFlag{Name: "script",
				Usage: "play a fixed story without questions, and exit 0 only if all goes as expected"},
			&cli.BoolFlag{Name: "home",
				Usage: "the story with an MQTT broker and a client that plays Home Assistant"},
		}, castFlags()...),
		Action: func(c *cli.Context) error {
			if c.NArg() > 0 {
				return terminal.WrongUse(c, "demo takes no arguments, only flags")
			}
			if c.Bool(terminal.JSONFlag) {
				return terminal.WrongUse(c, "the demo has no --json: leave it out")
			}
			as, err := chooseCast(c)
			if err != nil {
				return err
			}
			out := &console{w: c.App.Writer}
			switch {
			case c.Bool("home"):
				return playHome(c, out, set, as)
			case c.Bool("script"):
				return tellStory(c.Context, out, set, as)
			}
			return play(c, out, set, as)
		},
	}
}

// play lets a person do what the story does.
func play(c *cli.Context, out *console, set Setting, as cast) error {
	h, err := buildHouse(c.Context, out, set, as, "mon-fri 08:00-18:00")
	if err != nil {
		return err
	}
	defer h.Close()
	h.capture()
	h.introduce()
	return h.ask(c)
}

// ask obeys the lines of standard input until it ends.
func (h *House) ask(c *cli.Context) error {
	in, out := terminal.NewLineReader(c.App.Reader), h.out
	for {
		out.printf("> ")
		line, err := in.Next(c.Context)
		switch {
		case errors.Is(err, io.EOF) || c.Context.Err() != nil:
			out.printf("\n")
			return nil
		case err != nil:
			return fmt.Errorf("demo: read standard input: %w", err)
		}
		if !h.obey(c.Context, strings.Fields(line)) {
			return nil
		}
	}
}

func (h *House) introduce() {
	h.out.printf(`A gateway on %s with its store in %s.
One door (%s), its reader and lock, a lamp (%s) and its switch: %s over real DTLS.
  ann   may enter always
  bob   may enter %s

`, h.addr, h.dir, Door, Lamp, h.cast, "mon-fri 08:00-18:00")
	me := provision.QuoteShell(program()) + " --data " + provision.QuoteShell(filepath.Join(h.dir, "data"))
	h.out.printf(`The website:
  %ssetup   make yourself an account there, with the code %s
  Its certificate is valid during the demo only. Tell your browser to continue, or to trust what this prints:
  %s console ca

`, h.gw.ConsoleURL(), h.code, me)
	h.out.printf("From another terminal, as a reader of its own (raise n with each scan; needs Debian's " +
		"libcoap3-bin):\n")
	if err := h.bundles[Tester].Write(h.out.w, provision.CoAPClient); err != nil {
		h.out.printf("  %v\n", err)
	}
	h.out.printf("The CLI works on this gateway too:\n  %s device list\n\n", me)
	h.help()
}

// program is the path of this program, for a terminal in any folder.
func program() string {
	path, err := os.Executable()
	if err != nil {
		return "latchkey"
	}
	return path
}

func (h *House) help() {
	h.out.printf(`  tap ann|bob|stranger    hold a card to the reader
  press                   press the lamp's switch
  hold scan|command       an attacker holds the next scan, or the next command, back for 5 s
  replay                  an attacker sends the reader's last datagrams again
  lock off|on             switch the lock's power off or on
  lockdown on|off         shut the door for everybody
  events                  the last ten events
  quit
`)
}

// obey does what one line says and tells whether to go on.
func (h *House) obey(ctx context.Context, words []string) bool {
	if len(words) == 0 {
		return true
	}
	arg := strings.Join(words[1:], " ")
	switch words[0] {
	case "tap", "t":
		h.tapByName(ctx, arg)
	case "press", "p":
		h.show(h.press(ctx))
	case "hold":
		h.holdBack(arg)
	case "replay":
		h.replay(h.captured())
		h.out.printf("  sent again; DTLS drops repeated datagrams, and the counter refuses old scans\n")
	case "lock":
		h.lockPower(ctx, arg)
	case "lockdown":
		h.lockdown(ctx, arg)
	case "events":
		h.showEvents(ctx)
	case "quit", "q", "exit":
		return false
	case "help", "h", "?":
		h.help()
	default:
		h.out.printf("  there is no %q here:\n", terminal.ShortenWord(words[0]))
		h.help()
	}
	return true
}

func (h *House) lockdown(ctx context.Context, arg string) {
	if arg != "on" && arg != "off" {
		h.out.printf("  lockdown on, or lockdown off\n")
		return
	}
	site := h.store.Snapshot().Site
	if site.Lockdown == (arg == "on") {
		h.out.printf("  the lockdown is already %s\n", arg)
		return
	}
	site.Lockdown = arg == "on"
	if _, err := h.gw.Apply(ctx, "demo", access.Change{Put: site}); err != nil {
		h.out.printf("  %v\n", err)
		return
	}
	if site.Lockdown {
		h.out.printf("  lockdown is on: the door opens for nobody\n")
	} else {
		h.out.printf("  lockdown is off: the door opens as before\n")
	}
}

func (h *House) tapByName(ctx context.Context, name string) {
	if name == "stranger" {
		h.show(h.tap(ctx, stranger))
		return
	}
	for _, r := range h.people {
		if r.name == name || name == "" {
			h.show(h.tap(ctx, r.uid))
			return
		}
	}
	h.out.printf("  nobody here is called %q: tap ann, tap bob or tap stranger\n", name)
}

func (h *House) holdBack(what string) {
	switch what {
	case "scan":
		h.relays[Reader].Hold(device.Up, heldFor)
	case "command":
		h.relays[Lock].Hold(device.Down, heldFor)
	default:
		h.out.printf("  hold scan, or hold command\n")
		return
	}
	h.out.printf("  the next %s will be held back for %v; tap ann\n", what, heldFor)
}

func (h *House) lockPower(ctx context.Context, arg string) {
	switch arg {
	case "off":
		h.nodes[Lock].off()
	case "on":
		h.nodes[Lock].off()
		if err := h.PowerUp(ctx, Lock); err != nil {
			h.out.printf("  %v\n", err)
		}
	default:
		h.out.printf("  lock off, or lock on\n")
	}
}

func (h *House) showEvents(ctx context.Context) {
	evs, err := h.store.Newest(ctx, 10)
	if err != nil {
		h.out.printf("  %v\n", err)
		return
	}
	for _, e := range evs {
		h.out.printf("  %4d  %s  %-9s %s\n", e.Seq, e.At.Local().Format(time.TimeOnly), e.Kind,
			terminal.QuoteLine(e.Line()))
	}
}

// told is the result of one attempt.
type told struct {
	verdict wire.Verdict
	err     error
	began   time.Time
	ended   time.Time
	tl      gateway.Timeline
	decided bool
}

// tap presents a card at the reader.
func (h *House) tap(ctx context.Context, uid []byte) told {
	return h.attempt(ctx, func() (wire.Verdict, error) { return h.nodes[Reader].Scan(ctx, uid) })
}

// press asks for the lamp to change.
func (h *House) press(ctx context.Context) told {
	return h.attempt(ctx, func() (wire.Verdict,
		error) {
		return h.nodes[Switch].Ask(ctx, Lamp, wire.Toggle, 0)
	})
}

func (h *House) attempt(ctx context.Context, ask func() (wire.Verdict, error)) told {
	pause(ctx, time.Until(h.asked.Add(h.cast.between()))) // or it counts as part of this attempt
	defer func() { h.asked = time.Now() }()
	_, before := h.decisions()
	t := told{began: time.Now()}
	t.verdict, t.err = ask()
	t.ended = time.Now()
	var after int
	t.tl, after = h.decisions()
	t.decided = after > before
	return t
}

// show prints the timeline of an attempt: every step with its time since the tap.
func (h *House) show(t told) {
	if t.decided {
		prev := t.began
		for _, s := range []struct {
			name string
			at   time.Time
			what string
		}{
			{"received", t.tl.Received, "by the gateway, over DTLS"},
			{"fresh", t.tl.Fresh, "Echo and age prove it"},
			{"decided", t.tl.Decided, fmt.Sprintf("%s, by %s", t.tl.Decision.Reason,
				h.rule(t.tl.Decision.Rule))},
			{"durable", t.tl.Durable, fmt.Sprintf("event %d is on disk", t.tl.Seq)},
			{"commanded", t.tl.Commanded, "over the actuator's own session"},
			{"acknowledged", t.tl.Acknowledged, "its receipt is here"},
		} {
			if s.at.IsZero() {
				continue
			}
			h.out.printf("  %-13s %8.2f ms  %+8.2f  %s\n", s.name, ms(s.at.Sub(t.began)), ms(s.at.Sub(prev)),
				s.what)
			prev = s.at
		}
		if o := t.tl.Outcome; o != "" && o != audit.OutcomeDone {
			h.out.printf("  %-13s %s\n", "outcome", outcomeText(o))
		}
	}
	if t.err != nil {
		h.out.printf("  %-13s %8.2f ms            %v\n", "no verdict", ms(t.ended.Sub(t.began)), t.err)
		return
	}
	h.out.printf("  %-13s %8.2f ms            %s\n", "verdict", ms(t.ended.Sub(t.began)),
		verdictText(t.verdict))
}

// rule returns the name of the deciding rule for people.
func (h *House) rule(rule string) string {
	p := h.store.Snapshot()
	g, ok := p.Grants[access.ID(rule)]
	if !ok {
		return "the rule " + rule
	}
	return strings.TrimPrefix(p.Describe(access.Change{Delete: *g}), "delete ")
}

func ms(d time.Duration) float64 { return float64(d) / float64(time.Millisecond) }

func verdictText(v wire.Verdict) string {
	switch v.Verdict {
	case wire.Granted:
		return "granted, and done"
	case wire.Retry:
		return "retry: granted, but not acknowledged"
	}
	return "denied"
}

func outcomeText(o audit.Outcome) string {
	switch o {
	case audit.OutcomeOffline:
		return "offline: nothing was sent"
	case audit.OutcomeUnknown:
		return "unknown: sent, but no receipt came, so the state is unknown"
	case audit.OutcomeLate:
		return "late: not sent, too long after the tap"
	case audit.OutcomeRefused:
		return "refused by the actuator"
	}
	return string(o)
}

var errStory = errors.New("demo: not everything went as expected")
