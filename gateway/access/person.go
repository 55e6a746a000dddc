package access

import (
	"cmp"
	"errors"
	"fmt"
	"time"
)

// Person is somebody who may hold cards.
type Person struct {
	ID        ID        `json:"id"`
	Name      string    `json:"name"`
	Suspended bool      `json:"suspended,omitempty"`
	Created   time.Time `json:"created"`
}

// Persons is the kind of [Person].
var Persons = &Kind[ID, Person]{
	Name:   "person",
	ID:     func(r Person) ID { return r.ID },
	Order:  cmp.Compare[ID],
	Blank:  func(id ID) Person { return Person{ID: id} },
	NameOf: func(r Person) string { return r.Name },

	Normal: func(_ *Draft, r Person) (Person, error) {
		r.Created = NormalTime(r.Created)
		return r, nil
	},
	Check: func(d *Draft, r Person) error {
		switch {
		case len(r.Name) < 1 || len(r.Name) > maxName:
			return fmt.Errorf("the name has %d bytes: want 1 to %d", len(r.Name), maxName)
		case !printable(r.Name):
			return errors.New("want a name of printable characters, without spaces at its ends")
		}
		return CheckID(r.ID)
	},

	Label: func(n Namer, r Person) string { return "person " + n.NameOr(r.Name, r.ID) },
	Difference: func(_ Namer, label string, b, a Person, say *Sentences) {
		say.If(a.Name != b.Name, "rename ", label, " to ", Quote(a.Name))
		say.If(a.Suspended && !b.Suspended, "suspend ", label)
		say.If(!a.Suspended && b.Suspended, "resume ", label)
	},
	Restricted: func(before, _ Person) Person { before.Suspended = true; return before },

	table: func(p *Policy) *map[ID]Person { return &p.Persons },
}

// PersonByName returns the person of that name.
func (p *Policy) PersonByName(name string) (Person, bool) { return Persons.ByName(p, name) }
