package access

import (
	"cmp"
	"time"

	"latchkey/gateway/access/edit"
	"latchkey/gateway/text"
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
		r.Created = edit.NormalizeTime(r.Created)
		return r, nil
	},
	Check: func(d *Draft, r Person) error { return cmp.Or(text.CheckName(r.Name), CheckID(r.ID)) },

	Label: func(n Namer, r Person) string { return "person " + n.NameOr(r.Name, r.ID) },
	Difference: func(_ Namer, label string, b, a Person, say *edit.Sentences) {
		say.If(a.Name != b.Name, "rename ", label, " to ", text.Quote(a.Name))
		say.If(a.Suspended && !b.Suspended, "suspend ", label)
		say.If(!a.Suspended && b.Suspended, "resume ", label)
	},
	Restricted: func(before, _ Person) Person { before.Suspended = true; return before },

	table: func(p *Policy) *map[ID]Person { return &p.Persons },
}

// PersonByName returns the person of that name.
func (p *Policy) PersonByName(name string) (Person, bool) { return Persons.ByName(p, name) }
