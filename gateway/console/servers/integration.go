package servers

import (
	"net/http"
	"slices"
	"strings"

	"latchkey/gateway/access"
	"latchkey/gateway/admin/api"
	"latchkey/gateway/console/page"
)

// integrationView is the page of an integration.
type integrationView struct {
	page.Integration
	Grants  []api.Grant
	Grant   page.GrantForm
	Holders []api.Person // of PINs
}

func makeIntegration(v Visit) (any, error) {
	r, err := call(v, api.GetIntegration, v.readRef("integration"))
	if err != nil {
		return nil, err
	}
	p := integrationView{Integration: page.Integration{Integration: r}}
	grants, err := call(v, api.ListGrants, api.GrantFilter{Integration: string(r.ID)})
	if err != nil {
		return nil, err
	}
	p.Grants = grants.Items
	if p.Grant, err = makeGrantForm(v, r); err != nil {
		return nil, err
	}
	persons, err := call(v, api.ListPersons, api.ListQuery{})
	for _, who := range persons.Items {
		if who.PIN {
			p.Holders = append(p.Holders, who)
		}
	}
	return p, err
}

func makeGrantForm(v Visit, r api.Integration) (f page.GrantForm, err error) {
	targets, err := call(v, api.ListTargets, api.ListQuery{})
	if err != nil {
		return f, err
	}
	groups, err := call(v, api.ListGroups, api.ListQuery{})
	if err != nil {
		return f, err
	}
	schedules, err := call(v, api.ListSchedules, api.ListQuery{})
	return page.NewGrantForm("integration/"+string(r.ID), targets.Items, groups.Items, schedules.Items), err
}

// addGrant makes a grant to an integration. No page shows its code again.
func addGrant(v Visit) (to, text string, err error) {
	in := api.NewGrant{Integration: v.Path("integration"), Effect: v.Field("effect"), Schedule: v.Field("schedule")}
	if kind, id, _ := strings.Cut(v.Field("place"), "/"); kind == "group" {
		in.TargetGroup = id
	} else {
		in.Target = id
	}
	for _, actions := range v.Values("action") {
		in.Actions = append(in.Actions, strings.Fields(actions)...)
	}
	ask, code := v.Field("ask"), v.Field("code")
	switch {
	case ask == "" && code == "" && in.Effect != string(access.Deny) && slices.Contains(in.Actions, "unlock"):
		return "", "", refuse(http.StatusUnprocessableEntity,
			"To unlock a door it must send a code: choose which, or the last choice, that none is needed.")
	case code != v.Field("repeat"):
		return "", "", refuse(http.StatusUnprocessableEntity, "The two codes are not the same.")
	case ask == "own" && code == "":
		return "", "", refuse(http.StatusUnprocessableEntity, "Type the code of this grant, twice.")
	case ask != "own" && code != "":
		return "", "", refuse(http.StatusUnprocessableEntity,
			"You typed a code, but chose that another one or none is asked for. Choose a code of this grant, "+
				"or leave the code empty.")
	case ask == "pin":
		in.CodeOf = v.Field("of")
	}
	in.Code, in.NoCode = code, ask == "never"
	if in.From, err = v.Time("from"); err != nil {
		return "", "", err
	}
	if in.Until, err = v.Time("until"); err != nil {
		return "", "", err
	}
	g, err := call(v, api.AddGrant, api.With(in))
	if err != nil {
		return "", "", err
	}
	text = "Saved."
	for _, note := range g.Notes {
		text += " " + page.Sentence(note)
	}
	return v.addressOf("integration"), text, nil
}
