package access

import (
	"bytes"
	"errors"
	"fmt"
	"strings"
	"time"

	"latchkey/gateway/access/edit"
	"latchkey/gateway/text"
	"latchkey/keys"
)

// CredentialID is the id of a card: a keyed hash of its UID.
type CredentialID = keys.CredentialID

func compareCredentials(a, b CredentialID) int { return bytes.Compare(a[:], b[:]) }

// CredentialStatus says whether a card is in use. The zero status is not in use, so a half-read
// record opens nothing.
type CredentialStatus string

const (
	CardActive CredentialStatus = "active"
	CardLost   CredentialStatus = "lost"
)

// Credential is a card. Its UID can be read and copied by anybody who holds it for a moment: it is
// a name, not a secret. Tail is the UID's last two bytes in hex, so that people can tell cards
// apart.
type Credential struct {
	ID      CredentialID     `json:"id"`
	Person  ID               `json:"person"`
	Tail    string           `json:"tail"`
	Status  CredentialStatus `json:"status"`
	From    time.Time        `json:"from,omitzero"`  // first instant of validity; zero: always
	Until   time.Time        `json:"until,omitzero"` // first instant after validity; zero: for ever
	Created time.Time        `json:"created"`
}

// Credentials is the kind of [Credential].
var Credentials = &Kind[CredentialID, Credential]{
	Name:  "credential",
	ID:    func(r Credential) CredentialID { return r.ID },
	Order: compareCredentials,
	Blank: func(id CredentialID) Credential { return Credential{ID: id} },

	Normal: func(_ *Draft, r Credential) (Credential, error) {
		edit.NormalizeTimes(&r.From, &r.Until, &r.Created)
		return r, nil
	},
	References: func(r Credential, to *References) { to.To(Persons, r.Person) },
	Check: func(d *Draft, r Credential) error {
		switch {
		case r.ID == CredentialID{}:
			return errors.New("the id is empty")
		case len(r.Tail) != 4 || strings.Trim(r.Tail, "0123456789abcdef") != "":
			return errors.New("the tail is not the last two bytes of the UID as 4 lower-case hex digits")
		case r.Status != CardActive && r.Status != CardLost:
			return fmt.Errorf("status %q: want active or lost", string(r.Status))
		case !edit.IsWindow(r.From, r.Until):
			return errors.New("it ends before it starts: set until after from")
		}
		return nil
	},

	Label: func(n Namer, r Credential) string {
		if r.Person == "" {
			return "card" // its id is a hash that nobody would recognise
		}
		return "card …" + text.Quote(r.Tail) + " of " + n.Name(r.Person)
	},
	Details: func(n Namer, r Credential) string {
		s := n.describeValidity(r.From, r.Until)
		if r.Status == CardLost {
			s = ", lost" + s
		}
		return s
	},
	Difference: func(n Namer, label string, b, a Credential, say *edit.Sentences) {
		say.If(a.Status != b.Status, "mark ", label, " ", text.Quote(string(a.Status)))
		say.If(a.Person != b.Person, "give ", label, " to ", n.Name(a.Person))
		sameWindow := a.From.Equal(b.From) && a.Until.Equal(b.Until)
		say.If(!sameWindow, "make ", label, " valid", orAlways(n.describeValidity(a.From, a.Until)))
	},
	Restricted: func(before, _ Credential) Credential { before.Status = CardLost; return before },
	Follow:     func(r Credential, _ ID) (Change, bool) { return Change{Delete: r}, true },

	table: func(p *Policy) *map[CredentialID]Credential { return &p.Credentials },
}

func orAlways(validity string) string {
	if validity == "" {
		return " always"
	}
	return strings.TrimPrefix(validity, ",")
}
