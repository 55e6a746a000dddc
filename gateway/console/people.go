package console

import (
	"context"
	"net/http"
	"strings"
	"time"

	"latchkey/gateway/access"
	"latchkey/gateway/admin/api"
	"latchkey/gateway/admin/client"
	"latchkey/gateway/console/page"
)

const peopleShown = 200 // on one page; a search finds the others

type peoplePage struct {
	Search string
	People []api.Person
	More   int // how many are not shown
	All    int
}

func (v *visit) showPeople() error {
	all, err := list(v, api.ListPersons, api.ListQuery{})
	if err != nil {
		return err
	}
	p := peoplePage{Search: clipText(strings.TrimSpace(v.r.URL.Query().Get("search"))), All: len(all)}
	for _, who := range all {
		if strings.Contains(strings.ToLower(who.Name), strings.ToLower(p.Search)) {
			p.People = append(p.People, who)
		}
	}
	if len(p.People) > peopleShown {
		p.More, p.People = len(p.People)-peopleShown, p.People[:peopleShown]
	}
	return v.showPage(v.chooseStatus(), "people", p)
}

func (v *visit) addPerson() error {
	who, err := call(v, api.AddPerson, api.With(api.NewPerson{Name: v.readField("name")}))
	if err != nil {
		return v.showAgain(err, (*visit).showPeople)
	}
	return v.reportDone(addressOf("/people/", who.ID),
		"%s is here now. Add a card, and a grant that says what it opens.", who.Name)
}

type personPage struct {
	api.Person
	HasCards  []api.Card
	Grants    []api.Grant // to this person alone; those to groups are in Inherited
	Inherited []api.Grant
	Groups    []api.Group // groups that the person is not in
	Readers   []api.Device
	Grant     page.GrantForm
}

func (v *visit) showPerson() error {
	who, err := call(v, api.GetPerson, v.readRef("person"))
	if err != nil {
		return err
	}
	p := personPage{Person: who}
	if p.HasCards, err = list(v, api.ListCards, v.cardsOfPerson()); err != nil {
		return err
	}
	grants, err := list(v, api.ListGrants, v.grantsOfPerson())
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
	groups, err := list(v, api.ListGroups, api.ListQuery{})
	if err != nil {
		return err
	}
	p.Groups = groupsWithout(p.Person, groups)
	if p.Readers, err = v.listDevicesOf("reader"); err != nil {
		return err
	}
	if p.Grant, err = v.makeGrantForm("person/"+string(p.ID), groups); err != nil {
		return err
	}
	return v.showPage(v.chooseStatus(), "person", p)
}

// cardsOfPerson and grantsOfPerson ask for the cards and grants of the person in the address.
func (v *visit) cardsOfPerson() api.CardFilter {
	return api.CardFilter{Person: v.r.PathValue("person")}
}

func (v *visit) grantsOfPerson() api.GrantFilter {
	return api.GrantFilter{Person: v.r.PathValue("person")}
}

// groupsWithout returns the groups that the person could still join.
func groupsWithout(who api.Person, groups []api.Group) (others []api.Group) {
	in := map[access.ID]bool{}
	for _, g := range who.Groups {
		in[g.ID] = true
	}
	for _, g := range groups {
		if g.Of == string(access.OfPersons) && !in[g.ID] {
			others = append(others, g)
		}
	}
	return others
}

func (v *visit) changePerson() error {
	change := api.PersonChange{Name: v.readField("name")}
	switch v.readField("do") {
	case "suspend", "resume":
		suspended := v.readField("do") == "suspend"
		change = api.PersonChange{Suspended: &suspended}
	}
	who, err := call(v, api.ChangePerson, api.AtWith(v.r.PathValue("person"), change))
	if err != nil {
		return v.showAgain(err, (*visit).showPerson)
	}
	return v.reportDone("/people/"+string(who.ID), "%s",
		map[bool]string{true: who.Name + " is suspended: no card of theirs opens anything.",
			false: "Saved."}[who.Suspended])
}

func (v *visit) removePerson() error {
	done, err := call(v, api.RemovePerson, v.readRef("person"))
	if err != nil {
		return v.showAgain(err, (*visit).showPerson)
	}
	return v.reportDone("/people", "%s", page.DescribeChanges(done))
}

func (v *visit) backToPerson() string { return addressOf("/people/", v.r.PathValue("person")) }

func (v *visit) addCard() error {
	in := api.NewCard{Person: v.r.PathValue("person"), UID: v.readField("uid")}
	var err error
	if in.Until, err = v.readOptionalTime("until"); err == nil {
		var card api.Card
		if card, err = call(v, api.AddCard, api.With(in)); err == nil {
			return v.reportDone(v.backToPerson(), "Card …%s is %s's now.", card.Tail, card.Person.Name)
		}
	}
	return v.showAgain(err, (*visit).showPerson)
}

// readOptionalTime reads a field with a date and a time; nil if it is empty.
func (v *visit) readOptionalTime(name string) (*time.Time, error) {
	s := v.readField(name)
	if s == "" {
		return nil, nil
	}
	t, err := v.readWallTime(s)
	return &t, err
}

// learnFor is how long we wait for a card at a reader.
const learnFor = 45 * time.Second

// learnCard answers when a card was held to the reader, or when the time is up. The browser waits
// for it as for any page.
func (v *visit) learnCard() error {
	_ = http.NewResponseController(v.w).SetWriteDeadline(time.Now().Add(learnFor + writeWait))
	ctx, cancel := context.WithTimeout(v.r.Context(), learnFor+writeWait/2)
	defer cancel()
	in := api.LearnRequest{Reader: v.readField("reader"), Person: v.r.PathValue("person"),
		Seconds: int(learnFor / time.Second)}
	card, err := client.Call(ctx, v.send, api.LearnCard, api.With(in))
	if err != nil {
		return v.showAgain(err, (*visit).showPerson)
	}
	return v.reportDone(v.backToPerson(), "Card …%s is %s's now.", card.Tail, card.Person.Name)
}

func (v *visit) changeCard() error {
	change := api.CardChange{Status: v.readField("status")}
	card, err := call(v, api.ChangeCard, api.AtWith(v.r.PathValue("card"), change))
	if err != nil {
		return err
	}
	return v.reportDone("/people/"+string(card.Person.ID), "Card …%s is %s.", card.Tail, card.Status)
}

func (v *visit) removeCard() error {
	card, err := call(v, api.GetCard, v.readRef("card"))
	if err != nil {
		return err
	}
	done, err := call(v, api.RemoveCard, v.readRef("card"))
	if err != nil {
		return err
	}
	return v.reportDone("/people/"+string(card.Person.ID), "%s", page.DescribeChanges(done))
}

func (v *visit) joinGroup() error {
	in := api.MemberInput{ByRef: api.At(v.readField("group")), Member: v.r.PathValue("person")}
	if _, err := call(v, api.JoinGroup, in); err != nil {
		return v.showAgain(err, (*visit).showPerson)
	}
	return v.reportDone(v.backToPerson(), "Saved.")
}

func (v *visit) leaveGroup() error {
	in := api.MemberInput{ByRef: v.readRef("group"), Member: v.r.PathValue("person")}
	if _, err := call(v, api.LeaveGroup, in); err != nil {
		return v.showAgain(err, (*visit).showPerson)
	}
	return v.reportDone(v.backToPerson(), "Saved.")
}

// setPIN sets a PIN that was typed twice. No page shows it again.
func (v *visit) setPIN() error {
	in := api.NewPIN{Code: v.r.PostForm.Get("pin")}
	if in.Code != v.r.PostForm.Get("repeat") {
		return v.showAgain(newProblem(http.StatusUnprocessableEntity, "The two PINs are not the same."),
			(*visit).showPerson)
	}
	done, err := call(v, api.SetPIN, api.AtWith(v.r.PathValue("person"), in))
	if err != nil {
		return v.showAgain(err, (*visit).showPerson)
	}
	return v.reportDone(v.backToPerson(), "%s", page.DescribeChanges(done))
}

func (v *visit) removePIN() error {
	done, err := call(v, api.RemovePIN, v.readRef("person"))
	if err != nil {
		return v.showAgain(err, (*visit).showPerson)
	}
	return v.reportDone(v.backToPerson(), "%s", page.DescribeChanges(done))
}
