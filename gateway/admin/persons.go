package admin

import (
	"context"
	"net/http"
	"time"

	"latchkey/gateway/access"
)

// Person is somebody in an answer.
type Person struct {
	ID        access.ID `json:"id"`
	Name      string    `json:"name"`
	Suspended bool      `json:"suspended,omitempty"`
	Cards     int       `json:"cards" doc:"how many are active"`
	Groups    []Ref     `json:"groups,omitempty"`
	Created   time.Time `json:"created"`
}

// NewPerson asks for a person.
type NewPerson struct {
	Name string `json:"name" doc:"1 to 64 bytes of printable text"`
}

// PersonChange changes somebody.
type PersonChange struct {
	Name      string `json:"name,omitempty"`
	Suspended *bool  `json:"suspended,omitempty" doc:"true: none of their cards opens anything"`
}

func (a *api) personRoutes() {
	handle(a, toLook, http.MethodGet, "/v1/persons", "list-persons", "Everybody, by name",
		func(context.Context, *struct{}) (*body[list[Person]], error) {
			p := a.Store.Snapshot()
			return listOf(viewPersons(p)), nil
		})
	handle(a, toManage, http.MethodPost, "/v1/persons", "add-person", "Add a person",
		func(ctx context.Context, in *struct{ Body NewPerson }) (*body[Person], error) {
			return put(ctx, a, func(*access.Policy) (access.Person, error) {
				return access.Person{ID: access.NewID(), Name: in.Body.Name, Created: a.stamp()}, nil
			}, viewPerson)
		})
	handle(a, toLook, http.MethodGet, "/v1/persons/{ref}", "get-person", "One person",
		func(_ context.Context, in *RefInput) (*body[Person], error) {
			return show(a, in.Ref, findPerson, viewPerson)
		})
	handle(a, toManage, http.MethodPatch, "/v1/persons/{ref}", "change-person",
		"Rename, suspend or resume a person",
		func(ctx context.Context, in *struct {
			RefInput
			Body PersonChange
		}) (*body[Person], error) {
			return put(ctx, a, func(p *access.Policy) (access.Person, error) {
				r, err := findPerson(p, in.Ref)
				if in.Body.Name != "" {
					r.Name = in.Body.Name
				}
				if in.Body.Suspended != nil {
					r.Suspended = *in.Body.Suspended
				}
				return r, err
			}, viewPerson)
		})
	handle(a, toManage, http.MethodDelete, "/v1/persons/{ref}", "remove-person",
		"Remove a person with their cards, grants and memberships",
		func(ctx context.Context, in *RefInput) (*body[Changed], error) {
			return remove(ctx, a, func(p *access.Policy) (access.Person, error) {
				return findPerson(p,
					in.Ref)
			})
		})
}

func viewPerson(p *access.Policy, r access.Person) Person {
	v := Person{ID: r.ID, Name: r.Name, Suspended: r.Suspended, Created: r.Created}
	for _, c := range p.Credentials {
		if c.Person == r.ID && c.Status == access.CardActive {
			v.Cards++
		}
	}
	v.Groups = memberships(p, access.OfPersons, r.ID)
	return v
}

// viewPersons counts everybody's cards in one pass: one pass for each person is too slow for
// thousands.
func viewPersons(p *access.Policy) []Person {
	cards := map[access.ID]int{}
	for _, c := range p.Credentials {
		if c.Status == access.CardActive {
			cards[c.Person]++
		}
	}
	groups := map[access.ID][]Ref{}
	for _, g := range sortedGroups(p) {
		if g.Of == access.OfPersons {
			for _, m := range g.Members {
				groups[m] = append(groups[m], groupRef(p, g.ID))
			}
		}
	}
	return viewAll(p, p.Persons, func(_ *access.Policy, r access.Person) Person {
		return Person{ID: r.ID, Name: r.Name, Suspended: r.Suspended, Cards: cards[r.ID],
			Groups: groups[r.ID], Created: r.Created}
	}, func(v Person) string { return v.Name })
}
