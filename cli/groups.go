package cli

import (
	"github.com/urfave/cli/v2"

	"latchkey/gateway/admin/api"
)

func groupCommands() []spec {
	return []spec{
		{
			name: "add", args: "NAME", usage: "add a group", makes: true,
			flags: []cli.Flag{&cli.StringFlag{Name: "of", Usage: "persons or targets",
				DefaultText: "persons"}},
			run: func(x *call) error {
				in := api.NewGroup{Name: x.arg(0), Of: x.String("of")}
				return ask(x, api.AddGroup, api.With(in), func(g api.Group) string {
					return "added group " + g.Name + " of " + g.Of
				})
			},
		},
		{
			name: "list", usage: "list groups with their members",
			run: func(x *call) error {
				return list(x, api.ListGroups, api.ListQuery{}, "NAME OF MEMBERS ID", groupRow)
			},
		},
		removal("NAME", "remove a group with the grants to and on it", api.RemoveGroup),
		membership("join", "put a person or target into a group", api.JoinGroup),
		membership("leave", "take a person or target out of a group", api.LeaveGroup),
	}
}

func groupRow(g api.Group) []string { return []string{g.Name, g.Of, names(g.Members), string(g.ID)} }

func membership(name, usage string, op api.Operation[api.MemberInput, api.Group]) spec {
	return spec{name: name, args: "GROUP MEMBER", usage: usage, run: func(x *call) error {
		in := api.MemberInput{ByRef: api.At(x.arg(0)), Member: x.arg(1)}
		return ask(x, op, in, func(g api.Group) string {
			if len(g.Members) == 0 {
				return "group " + g.Name + " is empty"
			}
			return "group " + g.Name + ": " + names(g.Members)
		})
	}}
}
