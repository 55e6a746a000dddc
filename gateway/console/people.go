package console

import (
	"context"
	"fmt"
	"net/http"
	"strings"
	"time"

	"latchkey/gateway/access"
	"latchkey/gateway/admin/api"
)

const peopleShown = 200 // on one page; a search finds the others

type peoplePage struct {
	Search string
	People []api.Person
	More   int // that are not shown
	All    int
}

func (v *visit) showPeople() error {
	all, err := listOf[api.Person](v, "/v1/persons")
	if err != nil {
		return err
	}
	p := peoplePage{Search: clip(strings.TrimSpace(v.r.URL.Query().Get("search"))), All: len(all)}
	for _, who := range all {
		if strings.Contains(strings.ToLower(who.Name), strings.ToLower(p.Search)) {
			p.People = append(p.People, who)
		}
	}
	if len(p.People) > peopleShown {
		p.More, p.People = len(p.People)-peopleShown, p.People[:peopleShown]
	}
	return v.show(v.status(), "people", p)
}

func (v *visit) addPerson() error {
	var who api.Person
	if err := v.post("/v1/persons", api.NewPerson{Name: v.field("name")}, &who); err != nil {
		return v.again(err, (*visit).showPeople)
	}
	return v.done("/people/"+escape(string(who.ID)),
		"%s is here now. Add a card, and a grant that says what it opens.", who.Name)
}

type personPage struct {
	api.Person
	HasCards  []api.Card
	Grants    []api.Grant // to this person; those of groups are under Inherited
	Inherited []api.Grant
	Groups    []api.Group // that the person is not in
	Readers   []api.Device
	Grant     grantForm
}

func (v *visit) showPerson() error {
	var p personPage
	if err := v.get("/v1/persons/"+v.ref("person"), &p.Person); err != nil {
		return err
	}
	id := string(p.ID)
	var err error
	if p.HasCards, err = listOf[api.Card](v, "/v1/cards?person="+escape(id)); err != nil {
		return err
	}
	grants, err := listOf[api.Grant](v, "/v1/grants?person="+escape(id))
	if err != nil {
		return err
	}
	for _, g := range grants {
		if g.Person.ID == p.ID {
			p.Grants = append(p.Grants, g)
		} else {
			p.Inherited = append(p.Inherited, g)
		}
	}
	if p.Groups, err = v.groupsWithout(p.Person); err != nil {
		return err
	}
	if p.Readers, err = v.devicesOf("reader"); err != nil {
		return err
	}
	if p.Grant, err = v.grantForm(); err != nil {
		return err
	}
	p.Grant.Subject = "person/" + id
	return v.show(v.status(), "person", p)
}

// groupsWithout returns the groups that somebody could still join.
func (v *visit) groupsWithout(who api.Person) (others []api.Group, err error) {
	groups, err := listOf[api.Group](v, "/v1/groups")
	if err != nil {
		return nil, err
	}
	in := map[access.ID]bool{}
	for _, g := range who.Groups {
		in[g.ID] = true
	}
	for _, g := range groups {
		if g.Of == string(access.OfPersons) && !in[g.ID] {
			others = append(others, g)
		}
	}
	return others, nil
}

func (v *visit) changePerson() error {
	change := api.PersonChange{Name: v.field("name")}
	switch v.field("do") {
	case "suspend", "resume":
		suspended := v.field("do") == "suspend"
		change = api.PersonChange{Suspended: &suspended}
	}
	var who api.Person
	if err := v.call(http.MethodPatch, "/v1/persons/"+v.ref("person"), change, &who); err != nil {
		return v.again(err, (*visit).showPerson)
	}
	return v.done("/people/"+string(who.ID), "%s",
		map[bool]string{true: who.Name + " is suspended: no card of theirs opens anything.",
			false: "Saved."}[who.Suspended])
}

func (v *visit) removePerson() error {
	var done api.Changed
	if err := v.call(http.MethodDelete, "/v1/persons/"+v.ref("person"), nil, &done); err != nil {
		return v.again(err, (*visit).showPerson)
	}
	return v.done("/people", "%s", changes(done))
}

// changes is what a change did, in a sentence.
func changes(c api.Changed) string {
	if len(c.Changes) == 0 {
		return "It is so already."
	}
	if len(c.Changes) > 4 {
		return sentence(fmt.Sprintf("%s and %d more", strings.Join(c.Changes[len(c.Changes)-3:], ", "),
			len(c.Changes)-3))
	}
	return sentence(strings.Join(c.Changes, ", "))
}

func (v *visit) backToPerson() string { return "/people/" + v.ref("person") }

func (v *visit) addCard() error {
	in := api.NewCard{Person: v.r.PathValue("person"), UID: v.field("uid")}
	var err error
	if in.Until, err = v.optionalTime("until"); err == nil {
		var card api.Card
		if err = v.post("/v1/cards", in, &card); err == nil {
			return v.done(v.backToPerson(), "Card …%s is %s's now.", card.Tail, card.Person.Name)
		}
	}
	return v.again(err, (*visit).showPerson)
}

// optionalTime is a field with a date and a time, nil if it is empty.
func (v *visit) optionalTime(name string) (*time.Time, error) {
	s := v.field(name)
	if s == "" {
		return nil, nil
	}
	t, err := v.wallTime(s)
	return &t, err
}

// learnFor is how long a reader is watched for a card.
const learnFor = 45 * time.Second

// learnCard answers when a card was held to the reader, or nobody did. A browser waits for that as
// for any page.
func (v *visit) learnCard() error {
	_ = http.NewResponseController(v.w).SetWriteDeadline(time.Now().Add(learnFor + writeWait))
	ctx, cancel := context.WithTimeout(v.r.Context(), learnFor+writeWait/2)
	defer cancel()
	var card api.Card
	in := api.LearnRequest{Reader: v.field("reader"), Person: v.r.PathValue("person"),
		Seconds: int(learnFor / time.Second)}
	if err := v.callFor(ctx, http.MethodPost, "/v1/cards/learn", in, &card); err != nil {
		return v.again(err, (*visit).showPerson)
	}
	return v.done(v.backToPerson(), "Card …%s is %s's now.", card.Tail, card.Person.Name)
}

func (v *visit) changeCard() error {
	var card api.Card
	if err := v.call(http.MethodPatch, "/v1/cards/"+v.ref("card"),
		api.CardChange{Status: v.field("status")}, &card); err != nil {
		return err
	}
	return v.done("/people/"+string(card.Person.ID), "Card …%s is %s.", card.Tail, card.Status)
}

func (v *visit) removeCard() error {
	var card api.Card
	if err := v.get("/v1/cards/"+v.ref("card"), &card); err != nil {
		return err
	}
	var done api.Changed
	if err := v.call(http.MethodDelete, "/v1/cards/"+v.ref("card"), nil, &done); err != nil {
		return err
	}
	return v.done("/people/"+string(card.Person.ID), "%s", changes(done))
}

func (v *visit) joinGroup() error {
	if err := v.call(http.MethodPut, "/v1/groups/"+escape(v.field("group"))+"/members/"+v.ref("person"), nil,
		nil); err != nil {
		return v.again(err, (*visit).showPerson)
	}
	return v.done(v.backToPerson(), "Saved.")
}

func (v *visit) leaveGroup() error {
	if err := v.call(http.MethodDelete, "/v1/groups/"+v.ref("group")+"/members/"+v.ref("person"), nil,
		nil); err != nil {
		return v.again(err, (*visit).showPerson)
	}
	return v.done(v.backToPerson(), "Saved.")
}
