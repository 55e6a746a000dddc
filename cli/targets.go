package cli

import (
	"time"

	"github.com/urfave/cli/v2"

	"latchkey/gateway/admin/api"
)

func targetCommands() []spec {
	return []spec{
		{
			name: "add", args: "NAME", usage: "add a door or a lamp", need: []string{"kind"}, makes: true,
			flags: []cli.Flag{
				&cli.StringFlag{Name: "kind", Usage: "door or lamp"},
				&cli.StringFlag{Name: "pulse", Usage: "how long an unlock lasts, 200ms to 60s; doors only",
					DefaultText: "3s"},
			},
			run: func(x *call) error {
				in := api.NewTarget{Name: x.arg(0), Kind: x.String("kind"), Pulse: x.String("pulse")}
				return ask(x, api.AddTarget, api.With(in), func(t api.Target) string {
					if t.Pulse == "" {
						return "added " + t.Kind + " " + t.Name
					}
					warnOfPulse(x, t)
					return "added " + t.Kind + " " + t.Name + ", pulse " + t.Pulse
				})
			},
		},
		{
			name: "change", args: "NAME", usage: "rename a target, or change how long an unlock lasts",
			flags: []cli.Flag{
				&cli.StringFlag{Name: "name", Usage: "its new name"},
				&cli.StringFlag{Name: "pulse", Usage: "how long an unlock lasts, 200ms to 60s; doors only"},
			},
			run: func(x *call) error {
				in := api.TargetChange{Name: x.String("name"), Pulse: x.String("pulse")}
				if in == (api.TargetChange{}) {
					return x.wrong("nothing to change: want --name or --pulse")
				}
				return ask(x, api.ChangeTarget, api.AtWith(x.arg(0), in), func(t api.Target) string {
					if t.Pulse == "" {
						return t.Kind + " " + t.Name
					}
					if in.Pulse != "" {
						warnOfPulse(x, t)
					}
					return t.Kind + " " + t.Name + ", pulse " + t.Pulse
				})
			},
		},
		{
			name: "list", usage: "list doors and lamps",
			run: func(x *call) error {
				zone, err := x.zone()
				if err != nil {
					return err
				}
				return list(x, api.ListTargets, api.ListQuery{}, "NAME KIND PULSE ACTUATOR STATE ID",
					func(t api.Target) []string {
						return []string{t.Name, t.Kind, t.Pulse, t.Actuator.Name, doorText(t, zone),
							string(t.ID)}
					})
			},
		},
		removal("NAME", "remove a target with its grants", api.RemoveTarget),
	}
}

// usualLimit is the longest unlock of latchkey's own locks.
const usualLimit = 10 * time.Second

// warnOfPulse warns that a pulse may be longer than the longest unlock of the door's lock. Once the
// lock has reported that limit, a longer pulse is refused.
func warnOfPulse(x *call, t api.Target) {
	if d, err := time.ParseDuration(t.Pulse); err == nil && d > usualLimit && t.MaxPulse == "" {
		x.note("note: the lock of %s may not hold that long. "+
			"It has not told its limit yet; the limit of the firmware is %v", t.Name, usualLimit)
	}
}
