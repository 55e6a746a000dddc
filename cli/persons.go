package cli

import (
	"net/http"
	"strconv"

	"latchkey/gateway/access"
	"latchkey/gateway/admin/api"
)

func personCommands() []spec {
	return []spec{
		{
			name: "add", args: "NAME", usage: "add a person", makes: true,
			run: func(x *call) error {
				return ask(x, http.MethodPost, "/v1/persons", api.NewPerson{Name: x.arg(0)}, func(p api.Person) string { return "added person " + p.Name })
			},
		},
		{
			name: "list", usage: "list everybody",
			run: func(x *call) error {
				return list(x, "/v1/persons", "NAME STATUS CARDS GROUPS ID", func(p api.Person) []string {
					status := "active"
					if p.Suspended {
						status = "suspended"
					}
					return []string{p.Name, status, strconv.Itoa(p.Cards), names(p.Groups), string(p.ID)}
				})
			},
		},
		suspension("suspend", "let none of a person's cards open anything", true),
		suspension("resume", "end a suspension", false),
		removal("NAME", "remove a person with their cards, grants and memberships", "/v1/persons/%s"),
	}
}

func suspension(name, usage string, on bool) spec {
	return spec{name: name, args: "NAME", usage: usage, run: func(x *call) error {
		return ask(x, http.MethodPatch, at("/v1/persons/%s", x.arg(0)), api.PersonChange{Suspended: &on}, func(p api.Person) string {
			if p.Suspended {
				return p.Name + " is suspended"
			}
			return p.Name + " is not suspended"
		})
	}}
}

// names lists the names of records in one cell.
func names(refs []access.Named) string {
	s := ""
	for i, r := range refs {
		if i > 0 {
			s += ", "
		}
		s += r.Name
	}
	return s
}
