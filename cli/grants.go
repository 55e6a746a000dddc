package cli

import (
	"cmp"
	"strings"
	"time"

	"github.com/urfave/cli/v2"

	"latchkey/cli/terminal"
	"latchkey/gateway/admin/api"
)

func grantCommands() []spec {
	return []spec{
		{
			name: "add", usage: "allow or deny somebody the use of a door or lamp",
			flags: append([]cli.Flag{
				&cli.StringFlag{Name: "person", Usage: "who: a person,"},
				&cli.StringFlag{Name: "group", Usage: "a group of persons,"},
				&cli.StringFlag{Name: "device", Usage: "a switch,"},
				&cli.StringFlag{Name: "integration", Usage: "or another system, such as Home Assistant"},
				&cli.StringFlag{Name: "target", Usage: "where: a door or a lamp,"},
				&cli.StringFlag{Name: "target-group", Usage: "or a group of targets"},
				&cli.StringSliceFlag{Name: "action",
					Usage:       "unlock, lock, on, off, toggle or level; more than once for several",
					DefaultText: "all that fit; unlock of an integration must be named"},
				&cli.StringFlag{Name: "schedule", Usage: "when", DefaultText: "always"},
				&cli.BoolFlag{Name: "code", Usage: "an integration must send a code, which is read from standard input"},
				&cli.StringFlag{Name: "code-of", Usage: "an integration must send the PIN of this person"},
				&cli.BoolFlag{Name: "no-code",
					Usage: "let an integration unlock a door without a code: whoever has the broker opens it"},
				&cli.BoolFlag{Name: "deny", Usage: "deny instead of allow; a deny beats every allow"},
			}, validity()...),
			run: addGrant,
		},
		{
			name: "list", usage: "list grants",
			flags: []cli.Flag{
				&cli.StringFlag{Name: "person", Usage: "only those for this person, by name or by group"},
				&cli.StringFlag{Name: "integration", Usage: "only those for this integration"},
				&cli.StringFlag{Name: "target",
					Usage: "only those for this target, by name or by group; also lists whom each lets in"},
			},
			run: listGrants,
		},
		removal("ID", "remove a grant; grant list shows the ids", api.RemoveGrant),
	}
}

func listGrants(x *call) error {
	zone, err := x.zone()
	if err != nil {
		return err
	}
	which := api.GrantFilter{Person: x.String("person"), Target: x.String("target"),
		Integration: x.String("integration")}
	columns := "EFFECT WHO WHERE ACTIONS SCHEDULE FROM UNTIL ID"
	if which.Target != "" {
		columns += " FOR"
	}
	return list(x, api.ListGrants, which, columns, func(g api.Grant) []string {
		row := []string{g.Effect, grantWho(g), grantWhere(g), cmp.Or(grantActions(g), "all") + grantCode(g),
			cmp.Or(g.Schedule.Name, "always"),
			inZone(g.From, zone), inZone(g.Until, zone), string(g.ID)}
		if which.Target != "" {
			row = append(row, grantFor(g))
		}
		return row
	})
}

// grantFor names the person, group or device that a grant is for.
func grantFor(g api.Grant) string {
	if g.Device.ID != "" || g.Integration.ID != "" {
		return g.Device.Name + g.Integration.Name
	}
	var names []string
	for _, h := range g.Holders {
		names = append(names, h.Name)
	}
	return cmp.Or(strings.Join(names, ", "), "nobody")
}

func addGrant(x *call) (err error) {
	if err := x.oneOf("person", "group", "device", "integration"); err != nil {
		return err
	}
	if err := x.oneOf("target", "target-group"); err != nil {
		return err
	}
	in := api.NewGrant{Person: x.String("person"), Group: x.String("group"), Device: x.String("device"),
		Target: x.String("target"), TargetGroup: x.String("target-group"),
		Actions: x.StringSlice("action"), Schedule: x.String("schedule"), Integration: x.String("integration"),
		CodeOf: x.String("code-of"), NoCode: x.Bool("no-code")}
	if x.Bool("code") {
		if in.Code, err = x.secret("code"); err != nil {
			return err
		}
	}
	if x.Bool("deny") {
		in.Effect = "deny"
	}
	if in.From, err = x.time("from"); err != nil {
		return err
	}
	if in.Until, err = x.time("until"); err != nil {
		return err
	}
	zone, err := x.zone()
	if err != nil {
		return err
	}
	return ask(x, api.AddGrant, api.With(in), func(g api.Grant) string {
		what := "may " + cmp.Or(grantActions(g), "use")
		if g.Effect == "deny" {
			what = "may not " + cmp.Or(grantActions(g), "use")
		}
		line := grantWho(g) + " " + what + " " + grantWhere(g) + ", " + grantWhen(g, zone) + " (" + string(g.ID) + ")"
		for _, n := range g.Notes {
			line += "\nnote: " + n
		}
		return line
	})
}

// grantCode says which code an integration must send.
func grantCode(g api.Grant) string {
	switch {
	case g.Code:
		return " with a code"
	case g.CodeOf.ID != "":
		return " with the PIN of " + g.CodeOf.Name
	}
	return ""
}

// grantWhen says when a grant is valid.
func grantWhen(g api.Grant, zone *time.Location) string {
	when := g.Schedule.Name
	when += grantCode(g)
	if !g.From.IsZero() {
		when += " from " + inZone(g.From, zone)
	}
	if !g.Until.IsZero() {
		when += " until " + inZone(g.Until, zone)
		if !g.Until.After(time.Now()) {
			when += ", which has ended"
		}
	}
	return cmp.Or(strings.TrimSpace(when), "always")
}

// oneOf refuses when not exactly one of the flags is given.
func (x *call) oneOf(flags ...string) error {
	n := 0
	var spelled []string
	for _, f := range flags {
		if x.String(f) != "" {
			n++
		}
		spelled = append(spelled, "--"+f)
	}
	if n != 1 {
		return x.wrong("want one of %s", terminal.JoinOr(spelled))
	}
	return nil
}

func grantWho(g api.Grant) string {
	switch {
	case g.Group.ID != "":
		return "group " + g.Group.Name
	case g.Device.ID != "":
		return "device " + g.Device.Name
	case g.Integration.ID != "":
		return "integration " + g.Integration.Name
	}
	return g.Person.Name
}

func grantWhere(g api.Grant) string {
	if g.TargetGroup.ID != "" {
		return "group " + g.TargetGroup.Name
	}
	return g.Target.Name
}

func grantActions(g api.Grant) string { return strings.Join(g.Actions, ", ") }
