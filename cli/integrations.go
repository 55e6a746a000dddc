package cli

import (
	"fmt"
	"io"
	"maps"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/urfave/cli/v2"

	"latchkey/gateway/admin/api"
)

func integrationCommands() []spec {
	return []spec{
		{
			name: "add", args: "NAME", need: []string{"kind", "url"},
			usage: "add another system; without grants it sees everything and may do nothing",
			flags: append([]cli.Flag{
				&cli.StringFlag{Name: "kind", Usage: "mqtt"},
				&cli.StringFlag{Name: "base", Value: "latchkey", Usage: "the beginning of our topics"},
				&cli.StringFlag{Name: "prefix", Value: "homeassistant", Usage: "where the system looks for announcements"},
			}, endpointFlags()...),
			run: addIntegration,
		},
		{
			name: "list", usage: "list the integrations and how they are doing",
			run: func(x *call) error {
				return list(x, api.ListIntegrations, api.ListQuery{}, "NAME SERVER STATE GRANTS REFUSED ID",
					integrationRow)
			},
		},
		{name: "show", args: "NAME", usage: "show one integration", run: showIntegration},
		{
			name: "test", args: "NAME", usage: "connect to the broker once", live: true,
			run: func(x *call) error {
				return ask(x, api.TestIntegration, api.At(x.arg(0)), func(api.Nothing) string {
					return "the broker of " + x.arg(0) + " accepts us"
				})
			},
		},
		setEndpoint("broker", func(x *call, e api.Endpoint) error {
			return ask(x, api.ChangeIntegration, api.AtWith(x.arg(0), api.IntegrationChange{Endpoint: &e}),
				func(r api.Integration) string { return r.Name + " is reached at " + r.URL })
		}),
		pauseIntegration("pause", "let it do nothing until somebody resumes it", true),
		pauseIntegration("resume", "let it do again what it was granted", false),
		removal("NAME", "remove an integration with its grants", api.RemoveIntegration),
	}
}

func addIntegration(x *call) error {
	endpoint, err := x.endpoint()
	if err != nil {
		return err
	}
	in := api.NewIntegration{Name: x.arg(0), Protocol: x.String("kind"), Endpoint: endpoint, Base: x.String("base"),
		Prefix: x.String("prefix")}
	return ask(x, api.AddIntegration, api.With(in), func(r api.Integration) string {
		return fmt.Sprintf("added integration %s at %s: it may do nothing until it has a grant", r.Name, r.URL)
	})
}

func pauseIntegration(name, usage string, on bool) spec {
	return spec{name: name, args: "NAME", usage: usage, run: func(x *call) error {
		change := api.AtWith(x.arg(0), api.IntegrationChange{Paused: &on})
		return ask(x, api.ChangeIntegration, change, func(r api.Integration) string {
			if r.Paused != "" {
				return r.Name + " is paused"
			}
			return r.Name + " is not paused"
		})
	}}
}

func integrationState(r api.Integration) string {
	switch st := r.Status; {
	case r.Paused != "":
		return "paused"
	case st == nil:
		return "unknown"
	case st.Connected:
		return "connected"
	}
	return "not connected"
}

func countRefused(r api.Integration) (n uint64) {
	if r.Status != nil {
		for _, of := range r.Status.Refused {
			n += of
		}
	}
	return n
}

func integrationRow(r api.Integration) []string {
	refused := "-"
	if r.Status != nil {
		refused = strconv.FormatUint(countRefused(r), 10)
	}
	return []string{r.Name, r.URL, integrationState(r), strconv.Itoa(r.Grants), refused, string(r.ID)}
}

func showIntegration(x *call) error {
	r, raw, err := callAPI(x, api.GetIntegration, api.At(x.arg(0)))
	if err != nil {
		return err
	}
	zone, err := x.zone()
	if err != nil {
		return err
	}
	return x.show(raw, func(w io.Writer) {
		line := factPrinter(w)
		line(true, "name", "%s", r.Name)
		line(true, "server", "%s", r.URL)
		line(r.User != "", "user", "%s", r.User)
		line(true, "topics", "%s/…, announced under %s/…", r.Topics, r.Prefix)
		line(true, "grants", "%d", r.Grants)
		line(r.Paused != "", "paused", "%s", r.Paused)
		st := r.Status
		if st == nil {
			line(true, "state", "unknown: no gateway runs")
			return
		}
		since := ""
		if !st.Since.IsZero() {
			since = " since " + inZone(st.Since, zone)
		}
		line(true, "state", "%s%s", integrationState(r), since)
		line(st.LastError != "", "last error", "%s", st.LastError)
		var why []string
		for _, reason := range slices.Sorted(maps.Keys(st.Refused)) {
			why = append(why, fmt.Sprintf("%d %s", st.Refused[reason], reason))
		}
		line(len(why) > 0, "refused", "%s", strings.Join(why, ", "))
		line(st.WrongCodes > 0, "wrong codes", "%d within a day", st.WrongCodes)
		line(st.CodesAfter > 0, "codes", "none is checked for %v", time.Duration(st.CodesAfter)*time.Second)
	})
}
