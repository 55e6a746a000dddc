package console

import (
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"time"

	"latchkey/gateway/access"
	"latchkey/gateway/access/accounts"
	"latchkey/gateway/admin/api"
	"latchkey/gateway/admin/client"
	"latchkey/gateway/calendar"
	"latchkey/gateway/console/page"
)

type whyPage struct {
	Targets      []api.Target
	Persons      []api.Person
	Switches     []api.Device
	Integrations []api.Integration // none for those who may not see how they are reached
	Who          string            // kind and id in one: person/ID, device/ID, card/ID or integration/ID
	Cards        []api.Card
	Name         string   // a person's name, typed because the list is incomplete
	More         []string // which lists are incomplete
	Target       string
	Action       string
	At           string // in the format of a browser's field for date and time
	Answer       *api.Explanation
	Steps        []access.Step
}

// maxChoices bounds a list to choose from. Other names must be typed.
const maxChoices = 500

// limitChoices returns the first records of all, and the one that was chosen before. If it leaves
// others out, more says so in words.
func limitChoices[T any](all []T, what string, chosen func(T) bool) (some []T, more string) {
	if len(all) <= maxChoices {
		return all, ""
	}
	some = slices.Clone(all[:maxChoices])
	if i := slices.IndexFunc(all, chosen); i >= maxChoices {
		some = append(some, all[i])
	}
	return some, fmt.Sprintf("%d of %d %s", len(some), len(all), what)
}

// showWhy asks what would be decided, and why. The question changes nothing, so the page has an
// address that can be stored as a link.
func (v *visit) showWhy() error {
	q := v.r.URL.Query()
	p := whyPage{Who: q.Get("who"), Name: strings.TrimSpace(q.Get("name")), Target: q.Get("target"),
		Action: q.Get("action"), At: q.Get("at")}
	var err error
	if p.Targets, err = list(v, api.ListTargets, api.ListQuery{}); err != nil {
		return err
	}
	if p.Name != "" {
		p.Who = "person/" + clipText(p.Name)
	}
	persons, err := list(v, api.ListPersons, api.ListQuery{})
	if err != nil {
		return err
	}
	cards, err := list(v, api.ListCards, api.CardFilter{})
	if err != nil {
		return err
	}
	var more [2]string
	p.Persons, more[0] = limitChoices(persons, "people",
		func(r api.Person) bool { return "person/"+string(r.ID) == p.Who })
	p.Cards, more[1] = limitChoices(cards, "cards",
		func(r api.Card) bool { return fmt.Sprint("card/", r.ID) == p.Who })
	p.More = slices.DeleteFunc(more[:], func(s string) bool { return s == "" })
	if p.Switches, err = v.listDevicesOf("switch"); err != nil {
		return err
	}
	if v.account.Role.Includes(accounts.RoleAdmin) {
		if p.Integrations, err = list(v, api.ListIntegrations, api.ListQuery{}); err != nil {
			return err
		}
	}
	if p.Who != "" && p.Target != "" {
		err = v.explain(&p)
	}
	if refused := (*client.Problem)(nil); errors.As(err, &refused) {
		v.problem, err = page.Sentence(refused.Detail), nil
	}
	if err != nil {
		return err
	}
	return v.showPage(v.chooseStatus(), "why", p)
}

func (v *visit) explain(p *whyPage) error {
	in := api.Question{Target: p.Target, Action: p.Action}
	kind, id, _ := strings.Cut(p.Who, "/")
	switch kind {
	case "device":
		in.Device = id
	case "card":
		in.Card = id
	case "integration":
		in.Integration = id
	default:
		in.Person = id
	}
	if p.At != "" {
		at, err := v.readWallTime(p.At)
		if err != nil {
			return err
		}
		in.At = &at
	}
	got, err := call(v, api.Explain, api.With(in))
	if err != nil {
		return err
	}
	p.Answer = &got
	for _, s := range got.Steps {
		if !strings.HasPrefix(s.Detail, "does not apply to ") {
			p.Steps = append(p.Steps, s)
		}
	}
	return nil
}

// readWallTime reads a date and a time in the site's zone, as a browser's field sends them.
func (v *visit) readWallTime(s string) (time.Time, error) {
	zone, err := v.findZone()
	if err != nil {
		return time.Time{}, err
	}
	t, err := calendar.ParseTime(s, zone)
	if err != nil {
		return time.Time{}, newProblem(http.StatusUnprocessableEntity, "time: "+err.Error())
	}
	return t, nil
}

// findZone returns the time zone of the site.
func (v *visit) findZone() (*time.Location, error) {
	site, err := v.askSite()
	if err != nil {
		return nil, err
	}
	zone, err := v.zones.Find(site.Zone)
	if err != nil {
		return nil, fmt.Errorf("console: %w", err)
	}
	return zone, nil
}
