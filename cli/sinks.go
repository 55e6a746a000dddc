package cli

import (
	"fmt"
	"io"
	"os"
	"strconv"
	"strings"
	"time"

	"github.com/urfave/cli/v2"

	"latchkey/gateway/access/sinks"
	"latchkey/gateway/admin/api"
	"latchkey/gateway/audit"
)

func sinkCommands() []spec {
	return []spec{
		{
			name: "add", args: "NAME", usage: "send events to a server", need: []string{"kind", "url"},
			flags: append([]cli.Flag{
				&cli.StringFlag{Name: "kind", Usage: "webhook, amqp091, amqp10, nats or mqtt"},
				&cli.StringFlag{Name: "place",
					Usage:       "the exchange, the address, or the beginning of subjects or topics",
					DefaultText: "latchkey; AMQP 1.0 needs one"},
				&cli.BoolFlag{Name: "declare", Usage: "make the exchange of AMQP 0-9-1 if it is not there"},
				&cli.StringFlag{Name: "from", Value: "now", Usage: "now, start, or the number of the first event"},
				&cli.StringSliceFlag{Name: "only", Usage: "kinds of events, such as decision,report",
					DefaultText: "all"},
				&cli.StringFlag{Name: "with", Value: "names", Usage: "names, or ids alone"},
				&cli.StringFlag{Name: "secret-file", DefaultText: "one is made and shown once",
					Usage: "the secret of a webhook; - reads it from standard input"},
			}, endpointFlags()...),
			run: addSink,
		},
		{
			name: "list", usage: "list the sinks and how they are doing",
			run: func(x *call) error {
				const head = "NAME KIND SERVER STATE BEHIND TAKEN DEAD ID"
				return list(x, api.ListSinks, api.ListQuery{}, head, sinkRow)
			},
		},
		{name: "show", args: "NAME", usage: "show one sink", run: showSink},
		{
			name: "test", args: "NAME", usage: "send one test event, which is in no record", live: true,
			run: func(x *call) error {
				return ask(x, api.TestSink, api.At(x.arg(0)), func(api.Nothing) string {
					return x.arg(0) + " has taken the test event"
				})
			},
		},
		setEndpoint("server", func(x *call, e api.Endpoint) error {
			return ask(x, api.ChangeSink, api.AtWith(x.arg(0), api.SinkChange{Endpoint: &e}),
				func(r api.Sink) string { return r.Name + " is reached at " + r.URL })
		}),
		pauseSink("pause", "send nothing until somebody resumes it", true),
		pauseSink("resume", "go on where it stopped", false),
		{
			name: "secret", args: "NAME",
			usage: "give a webhook a new secret, shown once; the old one signs too until --drop-old",
			flags: []cli.Flag{
				&cli.BoolFlag{Name: "drop-old", Usage: "let the older of two secrets sign no more; makes none"},
				&cli.StringFlag{Name: "secret-file", Usage: "the secret; - reads it from standard input",
					DefaultText: "one is made"},
			},
			run: changeSecret,
		},
		{
			name: "dead", args: "NAME", usage: "list the events that the server refused for good",
			run: func(x *call) error {
				zone, err := x.zone()
				if err != nil {
					return err
				}
				return list(x, api.ListDeadLetters, api.At(x.arg(0)), "EVENT TRIES AT WHY",
					func(d api.DeadLetter) []string {
						return []string{strconv.FormatUint(d.Seq, 10), strconv.Itoa(d.Tries), inZone(d.At, zone), d.Why}
					})
			},
		},
		{
			name: "retry", args: "NAME EVENT", usage: "send such an event once more", live: true,
			run: func(x *call) error {
				seq, err := strconv.ParseUint(x.arg(1), 10, 64)
				if err != nil || seq == 0 {
					return x.wrong("EVENT is %q: want the number that sink dead shows", x.arg(1))
				}
				in := api.DeadRef{ByRef: api.At(x.arg(0)), Seq: seq}
				return ask(x, api.RetryDeadLetter, in, func(api.Nothing) string {
					return fmt.Sprintf("%s has taken event %d", x.arg(0), seq)
				})
			},
		},
		removal("NAME", "remove a sink with its place in the events and its dead letters", api.RemoveSink),
	}
}

// setEndpoint returns the command that changes how somebody else's server is reached.
func setEndpoint(what string, change func(*call, api.Endpoint) error) spec {
	return spec{name: "set", args: "NAME", need: []string{"url"}, flags: endpointFlags(),
		usage: "say anew how the " + what + " is reached: all of it, with password and key; the rest stays",
		run: func(x *call) error {
			e, err := x.endpoint()
			if err != nil {
				return err
			}
			return change(x, e)
		}}
}

// endpointFlags say how somebody else's server is reached.
func endpointFlags() []cli.Flag {
	return []cli.Flag{
		&cli.StringFlag{Name: "url", Usage: "scheme://host[:port][/path], without user and password"},
		&cli.StringFlag{Name: "user"},
		&cli.StringFlag{Name: "password-file", Usage: "a file with the password; - reads it from standard input"},
		&cli.StringFlag{Name: "ca", Usage: "a PEM file of who may sign the server's certificate",
			DefaultText: "as this system trusts"},
		&cli.StringFlag{Name: "cert", Usage: "a PEM file with our certificate for the server"},
		&cli.StringFlag{Name: "key", Usage: "a PEM file with its key"},
		&cli.BoolFlag{Name: "private", Usage: "the server is in the local network, or on this machine"},
	}
}

// endpoint reads the flags and the files that they name.
func (x *call) endpoint() (e api.Endpoint, err error) {
	e = api.Endpoint{URL: x.String("url"), User: x.String("user"), Private: x.Bool("private")}
	for flag, to := range map[string]*string{"ca": &e.CA, "cert": &e.Cert, "key": &e.Key} {
		if *to, err = x.readFile(flag); err != nil {
			return e, err
		}
	}
	e.Password, err = x.secretFile("password-file")
	return e, err
}

// maxFile bounds a file that a flag names.
const maxFile = 32 << 10

// readFile returns the text of the file that a flag names, nothing without the flag.
func (x *call) readFile(flag string) (string, error) {
	path := x.String(flag)
	if path == "" {
		return "", nil
	}
	f, err := os.Open(path)
	if err != nil {
		return "", fmt.Errorf("--%s: %w", flag, err)
	}
	defer f.Close()
	b, err := io.ReadAll(io.LimitReader(f, maxFile+1))
	switch {
	case err != nil:
		return "", fmt.Errorf("--%s: %w", flag, err)
	case len(b) > maxFile:
		return "", x.wrong("--%s: %s has more than %d bytes", flag, path, maxFile)
	}
	return string(b), nil
}

// secretFile returns the secret in the file that a flag names, or on standard input, without the
// end of its line.
func (x *call) secretFile(flag string) (string, error) {
	if x.String(flag) == "-" {
		return x.secret(strings.TrimSuffix(flag, "-file"))
	}
	text, err := x.readFile(flag)
	text = strings.TrimRight(text, "\r\n")
	if err == nil && text == "" && x.String(flag) != "" {
		err = x.wrong("--%s: %s is empty", flag, x.String(flag))
	}
	return text, err
}

func addSink(x *call) (err error) {
	in := api.NewSink{Name: x.arg(0), Protocol: sinks.Protocol(x.String("kind")), Place: x.String("place"),
		Declare: x.Bool("declare"), From: x.String("from")}
	for _, kinds := range x.StringSlice("only") {
		for kind := range strings.SplitSeq(kinds, ",") {
			in.Only = append(in.Only, audit.EventKind(strings.TrimSpace(kind)))
		}
	}
	switch x.String("with") {
	case "names":
	case "ids":
		in.IDsOnly = true
	default:
		return x.wrong("--with %q: want names or ids", x.String("with"))
	}
	if in.Secret, err = x.secretFile("secret-file"); err != nil {
		return err
	}
	if in.Endpoint, err = x.endpoint(); err != nil {
		return err
	}
	return ask(x, api.AddSink, api.With(in), func(s api.Sink) string {
		return fmt.Sprintf("added sink %s: events from %d on go to %s", s.Name, s.From, s.URL) + shownSecret(s)
	})
}

// shownSecret is what to say about a secret that was made.
func shownSecret(s api.Sink) string {
	if s.Secret == "" {
		return ""
	}
	return "\nits secret, for the receiver, is shown only now: " + s.Secret
}

func changeSecret(x *call) (err error) {
	change := api.SinkChange{DropSecret: x.Bool("drop-old")}
	if change.Secret, err = x.secretFile("secret-file"); err != nil {
		return err
	}
	if change.Secret == "" && !change.DropSecret {
		change.Secret = "new"
	}
	if change.Secret != "" && change.DropSecret {
		return x.wrong("--drop-old and --secret-file: first give the receiver the new secret, then drop the old one")
	}
	return ask(x, api.ChangeSink, api.AtWith(x.arg(0), change), func(s api.Sink) string {
		if s.Secrets == 2 {
			return s.Name + " signs with both secrets, until: latchkey sink secret " + s.Name + " --drop-old" +
				shownSecret(s)
		}
		return s.Name + " signs with one secret" + shownSecret(s)
	})
}

func pauseSink(name, usage string, on bool) spec {
	return spec{name: name, args: "NAME", usage: usage, run: func(x *call) error {
		return ask(x, api.ChangeSink, api.AtWith(x.arg(0), api.SinkChange{Paused: &on}), func(s api.Sink) string {
			if s.Paused != "" {
				return s.Name + " is paused"
			}
			return s.Name + " is not paused"
		})
	}}
}

func sinkRow(s api.Sink) []string {
	state, behind, taken, dead := "unknown", "-", "-", "-"
	if s.Paused != "" {
		state = "paused"
	}
	if st := s.Status; st != nil {
		state, behind = st.State, strconv.FormatUint(st.LagEvents, 10)
		taken, dead = strconv.FormatUint(st.Taken, 10), strconv.Itoa(st.Dead)
	}
	return []string{s.Name, string(s.Protocol), s.URL, state, behind, taken, dead, string(s.ID)}
}

func showSink(x *call) error {
	s, raw, err := callAPI(x, api.GetSink, api.At(x.arg(0)))
	if err != nil {
		return err
	}
	zone, err := x.zone()
	if err != nil {
		return err
	}
	return x.show(raw, func(w io.Writer) {
		line := factPrinter(w)
		line(true, "name", "%s", s.Name)
		line(true, "kind", "%s", s.Protocol)
		line(true, "server", "%s", s.URL)
		line(s.Place != "", "place", "%s", s.Place)
		line(s.User != "", "user", "%s", s.User)
		line(len(s.Only) > 0, "only", "%s", strings.Trim(fmt.Sprint(s.Only), "[]"))
		line(s.IDsOnly, "names", "left out")
		line(s.Secrets == 2, "secrets", "two sign, until: latchkey sink secret %s --drop-old", s.Name)
		line(s.Paused != "", "paused", "%s", s.Paused)
		line(true, "from", "event %d", s.From)
		st := s.Status
		if st == nil {
			line(true, "state", "unknown: no gateway runs")
			return
		}
		line(true, "state", "%s", strings.TrimSuffix(st.State+": "+st.Why, ": "))
		line(true, "done with", "event %d, %d events and %v behind", st.Seq, st.LagEvents,
			(time.Duration(st.LagSeconds * float64(time.Second))).Round(time.Second))
		line(true, "taken", "%d events, %d failures, %d dead letters", st.Taken, st.Failed, st.Dead)
		line(st.LastError != "", "last error", "%s, at %s", st.LastError, inZone(st.ErrorAt, zone))
		line(!st.NextTry.IsZero(), "next try", "%s", inZone(st.NextTry, zone))
	})
}
