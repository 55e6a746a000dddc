package cli

import (
	"io"
	"net/http"
	"strings"

	"github.com/urfave/cli/v2"

	"latchkey/gateway/admin"
)

func targetCommands() []spec {
	return []spec{
		{
			name: "add", args: "NAME", usage: "add a door or a lamp", need: []string{"kind"}, makes: true,
			flags: []cli.Flag{
				&cli.StringFlag{Name: "kind", Usage: "door or lamp"},
				&cli.StringFlag{Name: "pulse", Usage: "how long an unlock lasts, 200ms to 60s; doors only", DefaultText: "3s"},
			},
			run: func(x *call) error {
				in := admin.NewTarget{Name: x.arg(0), Kind: x.String("kind"), Pulse: x.String("pulse")}
				return ask(x, http.MethodPost, "/v1/targets", in, func(t admin.Target) string {
					if t.Pulse == "" {
						return "added " + t.Kind + " " + t.Name
					}
					return "added " + t.Kind + " " + t.Name + ", pulse " + t.Pulse
				})
			},
		},
		{
			name: "list", usage: "list doors and lamps",
			run: func(x *call) error {
				return list(x, "/v1/targets", "NAME KIND PULSE ACTUATOR ID", func(t admin.Target) []string {
					return []string{t.Name, t.Kind, t.Pulse, t.Actuator.Name, string(t.ID)}
				})
			},
		},
		removal("NAME", "remove a target with its grants", "/v1/targets/%s"),
	}
}

// removal is the command that removes what is named in the path. Everything that went with it is told.
func removal(what, usage, path string) spec {
	return spec{name: "rm", args: what, usage: usage, run: func(x *call) error {
		return x.changed(http.MethodDelete, at(path, x.arg(0)), nil)
	}}
}

// changed sends a request whose answer says what was changed.
func (x *call) changed(method, path string, in any) error {
	var done admin.Changed
	raw, err := x.do(method, path, in, &done)
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
