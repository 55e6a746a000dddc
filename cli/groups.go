package cli

import (
	"net/http"

	"latchkey/gateway/admin/api"

	"github.com/urfave/cli/v2"
)

func groupCommands() []spec {
	return []spec{
		{
			name: "add", args: "NAME", usage: "add a group", makes: true,
			flags: []cli.Flag{&cli.StringFlag{Name: "of", Usage: "persons or targets", DefaultText: "persons"}},
			run: func(x *call) error {
				return ask(x, http.MethodPost, "/v1/groups", api.NewGroup{Name: x.arg(0), Of: x.String("of")}, func(g api.Group) string {
					return "added group " + g.Name + " of " + g.Of
				})
			},
		},
		{
			name: "list", usage: "list groups with their members",
			run: func(x *call) error {
				return list(x, "/v1/groups", "NAME OF MEMBERS ID", func(g api.Group) []string {
					return []string{g.Name, g.Of, names(g.Members), string(g.ID)}
				})
			},
		},
		removal("NAME", "remove a group with the grants to and on it", "/v1/groups/%s"),
		membership("join", "put a person or target into a group", http.MethodPut),
		membership("leave", "take a person or target out of a group", http.MethodDelete),
	}
}

func membership(name, usage, method string) spec {
	return spec{name: name, args: "GROUP MEMBER", usage: usage, run: func(x *call) error {
		return ask(x, method, at("/v1/groups/%s/members/%s", x.arg(0), x.arg(1)), nil, func(g api.Group) string {
			if len(g.Members) == 0 {
				return "group " + g.Name + " is empty"
			}
			return "group " + g.Name + ": " + names(g.Members)
		})
	}}
}
