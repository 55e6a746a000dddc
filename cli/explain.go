package cli

import (
	"cmp"
	"fmt"
	"io"
	"strings"

	"github.com/urfave/cli/v2"

	"latchkey/gateway/admin/api"
	"latchkey/gateway/clock"
)

func explainCommand() spec {
	return spec{
		name:  "explain",
		usage: "show what would be decided for a person, a card, a switch or an integration, and why",
		need:  []string{"target"},
		flags: []cli.Flag{
			&cli.StringFlag{Name: "person", Usage: "who: a person with a valid card,"},
			&cli.StringFlag{Name: "uid", Usage: "a card, in hex; - reads it from standard input,"},
			&cli.StringFlag{Name: "device", Usage: "a switch,"},
			&cli.StringFlag{Name: "integration", Usage: "or another system, with the right code"},
			&cli.StringFlag{Name: "target", Usage: "where: a door or a lamp"},
			&cli.StringFlag{Name: "action", Usage: "unlock, lock, on, off or toggle",
				DefaultText: "unlock for a door, on for a lamp"},
			&cli.StringFlag{Name: "at", DefaultText: "now",
				Usage: "when, like \"2026-11-23 08:00\" in the site's time zone, or RFC 3339"},
			&cli.StringFlag{Name: "clock", Value: string(clock.NTP), EnvVars: []string{"LATCHKEY_CLOCK"},
				Usage: "ntp or rtc, as for serve; not needed while a gateway runs"},
		},
		run: explain,
	}
}

func explain(x *call) error {
	if err := x.oneOf("person", "uid", "device", "integration"); err != nil {
		return err
	}
	if c := clock.Source(x.String("clock")); c != clock.NTP && c != clock.RTC {
		return x.wrong("--clock %q: want ntp or rtc", c)
	}
	uid, err := x.uid()
	if err != nil {
		return err
	}
	in := api.Question{Person: x.String("person"), UID: uid, Device: x.String("device"),
		Target: x.String("target"), Action: x.String("action"), Integration: x.String("integration")}
	if in.At, err = x.time("at"); err != nil {
		return err
	}
	zone, err := x.zone()
	if err != nil {
		return err
	}
	got, raw, err := callAPI(x, api.Explain, api.With(in))
	if err != nil {
		return err
	}
	return x.show(raw, func(w io.Writer) {
		verdict := "denied: " + string(got.Decision.Reason)
		if got.Decision.Granted {
			verdict = "granted"
		}
		who := ""
		if got.Person.Name != "" {
			who = ", for " + got.Person.Name
		}
		printLine(w, fmt.Sprintf("%s%s, at %s (rule %s)", verdict, who,
			got.At.In(zone).Format("Mon 2006-01-02 15:04:05 MST"), cmp.Or(got.Decision.Rule, "-")))
		for _, s := range got.Steps {
			if strings.HasPrefix(s.Detail, "does not apply to ") {
				continue
			}
			printRow(w, []string{"  " + s.Rule, s.Outcome, s.Detail})
		}
		for _, n := range got.Notes {
			printLine(w, "note: "+n)
		}
	})
}
