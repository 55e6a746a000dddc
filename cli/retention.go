package cli

import (
	"io"

	"github.com/urfave/cli/v2"

	"latchkey/gateway/access/retention"
	"latchkey/gateway/admin/api"
	"latchkey/gateway/aging"
)

func retentionCommands() []spec {
	return []spec{
		{
			name: "set", usage: "remove events that are older than this, now and from now on",
			need:  []string{"events"},
			flags: []cli.Flag{&cli.StringFlag{Name: "events", Usage: "days like 400d, or weeks like 8w; at least 1d"}},
			run: func(x *call) error {
				days, err := retention.ParseDays(x.String("events"))
				if err != nil {
					return x.wrong("--events %v", err)
				}
				return showRetention(x, api.SetRetention, api.With(api.RetentionChange{Days: days}))
			},
		},
		{name: "show", usage: "show how long events are kept, and why old ones are still there",
			run: func(x *call) error { return showRetention(x, api.GetRetention, api.Nothing{}) }},
		{name: "off", usage: "keep events for ever",
			run: func(x *call) error { return showRetention(x, api.SetRetention, api.With(api.RetentionChange{})) }},
		{
			name: "release", args: "SINK", usage: "let a sink lose the old events that it has not taken",
			flags: []cli.Flag{&cli.Uint64Flag{Name: "lose", Usage: "how many events it may lose at most"}},
			run: func(x *call) error {
				return showRetention(x, api.ReleaseEvents, api.With(api.Release{Sink: x.arg(0), Lose: x.Uint64("lose")}))
			},
		},
	}
}

func showRetention[In any](x *call, op api.Operation[In, api.Retention], in In) error {
	zone, err := x.zone()
	if err != nil {
		return err
	}
	v, raw, err := callAPI(x, op, in)
	if err != nil {
		return err
	}
	return x.show(raw, func(w io.Writer) {
		for _, line := range aging.Describe(v, zone) {
			printLine(w, line)
		}
	})
}
