package cli

import (
	"strconv"

	"latchkey/gateway/admin/api"
	"latchkey/gateway/audit"
)

func personCommands() []spec {
	return []spec{
		{
			name: "add", args: "NAME", usage: "add a person", makes: true,
			run: func(x *call) error {
				in := api.NewPerson{Name: x.arg(0)}
				return ask(x, api.AddPerson, api.With(in), func(p api.Person) string {
					return "added person " + p.Name
				})
			},
		},
		{
			name: "list", usage: "list everybody",
			run: func(x *call) error {
				return list(x, api.ListPersons, api.ListQuery{}, "NAME STATUS CARDS GROUPS ID", personRow)
			},
		},
		suspension("suspend", "suspend a person: none of their cards opens anything", true),
		suspension("resume", "end the suspension of a person", false),
		{
			name: "pin", args: "NAME",
			usage: "set a person's PIN, which is read from standard input: 6 to 12 digits",
			run: func(x *call) error {
				code, err := x.secret("PIN")
				if err != nil {
					return err
				}
				return showChanges(x, api.SetPIN, api.AtWith(x.arg(0), api.NewPIN{Code: code}))
			},
		},
		{
			name: "pin-rm", args: "NAME", usage: "remove a person's PIN",
			run: func(x *call) error { return showChanges(x, api.RemovePIN, api.At(x.arg(0))) },
		},
		removal("NAME", "remove a person with their cards, grants and memberships", api.RemovePerson),
	}
}

func personRow(p api.Person) []string {
	status := "active"
	if p.Suspended {
		status = "suspended"
	}
	return []string{p.Name, status, strconv.Itoa(p.Cards), names(p.Groups), string(p.ID)}
}

func suspension(name, usage string, on bool) spec {
	return spec{name: name, args: "NAME", usage: usage, run: func(x *call) error {
		change := api.AtWith(x.arg(0), api.PersonChange{Suspended: &on})
		return ask(x, api.ChangePerson, change, func(p api.Person) string {
			if p.Suspended {
				return p.Name + " is suspended"
			}
			return p.Name + " is not suspended"
		})
	}}
}

// names lists the names of records in one cell.
func names(refs []audit.Named) string {
	s := ""
	for i, r := range refs {
		if i > 0 {
			s += ", "
		}
		s += r.Name
	}
	return s
}
