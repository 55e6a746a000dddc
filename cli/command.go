package cli

import (
	"cmp"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/urfave/cli/v2"

	"latchkey/cli/terminal"
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
	makes bool     // may be the first command ever, and then makes the data folder
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
	return &cli.Command{Name: s.name, Usage: s.usage, ArgsUsage: s.args, Flags: s.flags, Action: func(c *cli.Context) (err error) {
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

// check finds what is missing or too much.
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
		return terminal.WrongUse(c, "%q is too much: %s", terminal.ShortenWord(c.Args().Get(len(want))), s.example(c))
	}
	for _, name := range s.need {
		if c.String(name) == "" && len(c.StringSlice(name)) == 0 {
			return terminal.WrongUse(c, "want --%s: %s", name, s.example(c))
		}
	}
	return nil
}

// example is how the command is written, with what it needs.
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

// call is one command at work.
type call struct {
	*cli.Context
	spec spec
	api  *connection // nil before the first request
	site *time.Location
}

func (x *call) wrong(format string, a ...any) error {
	return terminal.WrongUse(x.Context, format, a...)
}

func (x *call) arg(i int) string { return x.Args().Get(i) }

func (x *call) json() bool { return x.Bool(terminal.JSONFlag) }

// note tells the person at the terminal something that is no part of the answer.
func (x *call) note(format string, a ...any) {
	if !x.json() {
		terminal.PrintLine(x.App.ErrWriter, fmt.Sprintf(format, a...))
	}
}

func (x *call) close() error {
	if x.api == nil {
		return nil
	}
	if x.api.notice != "" {
		terminal.PrintLine(x.App.ErrWriter, "latchkey: "+x.api.notice)
	}
	return x.api.close()
}

// connect finds the gateway, or opens the store.
func (x *call) connect() (*connection, error) {
	if x.api != nil {
		return x.api, nil
	}
	var err error
	x.api, err = connect(x.Context.Context, place{dir: x.String(dataFlag), live: x.spec.live, makes: x.spec.makes,
		clock: clock.Source(cmp.Or(x.String("clock"), string(clock.NTP))), again: x.again})
	return x.api, err
}

// again is the same command line in words for a shell, for another user; what it should not show is
// left to standard input.
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

// do sends in, if it is not nil, fills out, if it is not nil, and returns the answer as it came.
func (x *call) do(method, path string, in, out any) ([]byte, error) {
	api, err := x.connect()
	if err != nil {
		return nil, err
	}
	return api.do(x.Context.Context, method, path, in, out)
}

// show prints the answer: as it came with --json, else what human writes.
func (x *call) show(raw []byte, human func(w io.Writer)) error {
	if x.json() {
		_, err := x.App.Writer.Write(append(raw, '\n'))
		return err
	}
	w := tabwriter.NewWriter(x.App.Writer, 0, 0, 2, ' ', 0)
	human(w)
	return w.Flush()
}

// ask sends a request and prints the answer, in one line for people.
func ask[V any](x *call, method, path string, in any, line func(V) string) error {
	var v V
	raw, err := x.do(method, path, in, &v)
	if err != nil {
		return err
	}
	return x.show(raw, func(w io.Writer) { printLine(w, line(v)) })
}

// list prints many records as a table: the first row of cells is the head.
func list[V any](x *call, path string, head string, cells func(V) []string) error {
	var answer struct {
		Items []V `json:"items"`
	}
	raw, err := x.do(http.MethodGet, path, nil, &answer)
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

func printLine(w io.Writer, text string) { _, _ = io.WriteString(w, text+"\n") } // the flush tells

func printRow(w io.Writer, cells []string) {
	for i, c := range cells {
		if c == "" {
			cells[i] = "-"
		}
	}
	printLine(w, strings.Join(cells, "\t"))
}

// at builds a path of the API; each of refs is a name or an id.
func at(format string, refs ...string) string {
	var escaped []any
	for _, r := range refs {
		// "." and ".." would be taken for parts of the path.
		escaped = append(escaped, strings.ReplaceAll(url.PathEscape(r), ".", "%2E"))
	}
	return fmt.Sprintf(format, escaped...)
}

// query appends what is not empty.
func query(path string, pairs ...string) string {
	v := url.Values{}
	for i := 0; i < len(pairs); i += 2 {
		if pairs[i+1] != "" {
			v.Set(pairs[i], pairs[i+1])
		}
	}
	if len(v) == 0 {
		return path
	}
	return path + "?" + v.Encode()
}

func unmarshal(b []byte, v any) error {
	if err := json.Unmarshal(b, v); err != nil {
		return fmt.Errorf("the gateway's answer is not of this version: %w", err)
	}
	return nil
}
