package cli

import (
	"cmp"
	"context"
	"fmt"
	"io"
	"net/http"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/urfave/cli/v2"

	"latchkey/cli/connection"
	"latchkey/cli/terminal"
	"latchkey/gateway/admin/api"
	"latchkey/gateway/admin/client"
	"latchkey/gateway/clock"
	"latchkey/keys/provision"
)

// spec is a command over the admin API.
type spec struct {
	name  string
	args  string // NAME or GROUP MEMBER; [NAME] may be left out
	usage string
	flags []cli.Flag
	need  []string // flags that must be given
	live  bool     // needs a running gateway
	makes bool     // makes the data folder if there is none
	run   func(x *call) error
}

func group(name, usage string, of ...spec) *cli.Command {
	c := &cli.Command{Name: name, Usage: usage}
	for _, s := range of {
		c.Subcommands = append(c.Subcommands, s.command())
	}
	return c
}

func (s spec) command() *cli.Command {
	return &cli.Command{Name: s.name, Usage: s.usage, ArgsUsage: s.args, Flags: s.flags,
		Action: func(c *cli.Context) (err error) {
			if err := s.check(c); err != nil {
				return err
			}
			x := &call{Context: c, spec: s}
			defer func() {
				if cerr := x.close(); err == nil {
					err = cerr
				}
			}()
			return s.run(x)
		}}
}

// check finds missing and superfluous arguments.
func (s spec) check(c *cli.Context) error {
	want := strings.Fields(s.args)
	for i, name := range want {
		if c.NArg() <= i && name[0] != '[' {
			return terminal.WrongUse(c, "want %s: %s", name, s.example(c))
		}
		if c.NArg() > i && c.Args().Get(i) == "" {
			return terminal.WrongUse(c, "%s is empty: %s", name, s.example(c))
		}
	}
	if c.NArg() > len(want) {
		return terminal.WrongUse(c, "%q is too many: %s", terminal.ShortenWord(c.Args().Get(len(want))),
			s.example(c))
	}
	for _, name := range s.need {
		if c.String(name) == "" && len(c.StringSlice(name)) == 0 {
			return terminal.WrongUse(c, "want --%s: %s", name, s.example(c))
		}
	}
	return nil
}

// example returns how to write the command, with the flags that it needs.
func (s spec) example(c *cli.Context) string {
	words := []string{terminal.NameCommand(c)}
	if s.args != "" {
		words = append(words, s.args)
	}
	for _, name := range s.need {
		words = append(words, "--"+name+" "+strings.ToUpper(name))
	}
	return strings.Join(words, " ")
}

// call is one run of a command.
type call struct {
	*cli.Context
	spec spec
	api  *connection.Connection // nil before the first request
	site *time.Location
}

func (x *call) wrong(format string, a ...any) error {
	return terminal.WrongUse(x.Context, format, a...)
}

func (x *call) arg(i int) string { return x.Args().Get(i) }

func (x *call) json() bool { return x.Bool(terminal.JSONFlag) }

// note tells the person at the terminal something that is not part of the answer.
func (x *call) note(format string, a ...any) {
	if !x.json() {
		terminal.PrintLine(x.App.ErrWriter, fmt.Sprintf(format, a...))
	}
}

func (x *call) close() error {
	if x.api == nil {
		return nil
	}
	if x.api.Notice != "" {
		terminal.PrintLine(x.App.ErrWriter, "latchkey: "+x.api.Notice)
	}
	return x.api.Close()
}

// connect finds the gateway, or opens the store.
func (x *call) connect() (*connection.Connection, error) {
	if x.api != nil {
		return x.api, nil
	}
	var err error
	x.api, err = connection.Place{Dir: x.String(dataFlag), Live: x.spec.live, Makes: x.spec.makes,
		Clock:   clock.Source(cmp.Or(x.String("clock"), string(clock.NTP))),
		Options: connection.StoreOptions, Version: version(), Again: x.again}.Open(x.Context.Context)
	return x.api, err
}

// again returns the same command line for a shell, for another user to type. It leaves out secrets;
// the command reads them from standard input.
func (x *call) again(dir string) string {
	words := []string{"latchkey", "--data", dir}
	words = append(words, strings.Fields(strings.TrimPrefix(terminal.NameCommand(x.Context), "latchkey"))...)
	for _, f := range x.Command.Flags {
		name := f.Names()[0]
		if name == "help" || !x.IsSet(name) {
			continue
		}
		switch f := f.(type) {
		case *cli.BoolFlag:
			words = append(words, "--"+name)
		case *cli.StringSliceFlag:
			for _, v := range x.StringSlice(name) {
				words = append(words, "--"+name, v)
			}
		default:
			v := fmt.Sprint(x.Value(f.Names()[0]))
			if name == "uid" {
				v = "-"
			}
			words = append(words, "--"+name, v)
		}
	}
	if x.json() {
		words = append(words, "--"+terminal.JSONFlag)
	}
	for i, w := range append(words, x.Args().Slice()...) {
		if i < len(words) {
			words[i] = provision.QuoteShell(w)
		} else {
			words = append(words, provision.QuoteShell(w))
		}
	}
	return strings.Join(words, " ")
}

// send sends a request to the gateway or to the store, which it finds first.
func (x *call) send(r *http.Request) (*http.Response, error) {
	at, err := x.connect()
	if err != nil {
		return nil, err
	}
	return at.Send(r)
}

// callAPI calls an operation and returns its answer, decoded and as JSON.
func callAPI[In, Out any](x *call, op api.Operation[In, Out], in In) (out Out, raw []byte, err error) {
	ctx, cancel := context.WithTimeout(x.Context.Context, connection.AnswerWait)
	defer cancel()
	if raw, err = client.CallRaw(ctx, x.send, op, in); err != nil {
		return out, nil, err
	}
	out, err = client.Decode(op, raw)
	return out, raw, err
}

// show prints the answer: with --json unchanged, else the text that human writes.
func (x *call) show(raw []byte, human func(w io.Writer)) error {
	if x.json() {
		_, err := x.App.Writer.Write(append(raw, '\n'))
		return err
	}
	w := tabwriter.NewWriter(x.App.Writer, 0, 0, 2, ' ', 0)
	human(w)
	return w.Flush()
}

// ask calls an operation and prints its answer, in one line for people.
func ask[In, Out any](x *call, op api.Operation[In, Out], in In, line func(Out) string) error {
	out, raw, err := callAPI(x, op, in)
	if err != nil {
		return err
	}
	return x.show(raw, func(w io.Writer) { printLine(w, line(out)) })
}

// list prints many records as a table: the first row of cells is the head.
func list[In, V any](x *call, op api.Operation[In, api.List[V]], in In, head string,
	cells func(V) []string) error {
	answer, raw, err := callAPI(x, op, in)
	if err != nil {
		return err
	}
	return x.show(raw, func(w io.Writer) {
		printRow(w, strings.Fields(head))
		for _, v := range answer.Items {
			printRow(w, cells(v))
		}
	})
}

// removal returns the command that removes a record. It prints everything that was removed with it.
func removal(what, usage string, op api.Operation[api.ByRef, api.Changed]) spec {
	return spec{name: "rm", args: what, usage: usage, run: func(x *call) error {
		return showChanges(x, op, api.At(x.arg(0)))
	}}
}

// showChanges calls an operation and prints what it changed.
func showChanges[In any](x *call, op api.Operation[In, api.Changed], in In) error {
	done, raw, err := callAPI(x, op, in)
	if err != nil {
		return err
	}
	return x.show(raw, func(w io.Writer) {
		if len(done.Changes) == 0 {
			printLine(w, "nothing to change")
			return
		}
		printLine(w, "done: "+strings.Join(done.Changes, "\ndone: "))
	})
}

func printLine(w io.Writer, text string) { _, _ = io.WriteString(w, text+"\n") } // the flush tells

// factPrinter returns a function that prints a fact in a row with its name, if it holds.
func factPrinter(w io.Writer) func(is bool, name, format string, a ...any) {
	return func(is bool, name, format string, a ...any) {
		if is {
			printRow(w, []string{name, fmt.Sprintf(format, a...)})
		}
	}
}

func printRow(w io.Writer, cells []string) {
	for i, c := range cells {
		if c == "" {
			cells[i] = "-"
		}
	}
	printLine(w, strings.Join(cells, "\t"))
}
