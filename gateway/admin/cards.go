package admin

import (
	"context"
	"encoding/hex"
	"fmt"
	"net/http"
	"strings"
	"time"

	"latchkey/gateway/access"
	"latchkey/keys"
)

// Card is a credential in an answer. Its UID is kept nowhere; the tail is what people tell cards
// apart by.
type Card struct {
	ID      access.CredentialID `json:"id" doc:"keyed hash of the UID, in hex; the first 8 digits or more stand for it"`
	Person  Ref                 `json:"person"`
	Tail    string              `json:"tail" doc:"the UID's last two bytes in hex"`
	Status  string              `json:"status" doc:"active or lost"`
	From    time.Time           `json:"from,omitzero" doc:"first instant of validity"`
	Until   time.Time           `json:"until,omitzero" doc:"first instant after validity"`
	Created time.Time           `json:"created"`
}

// NewCard asks for a card. The UID of a card can be read and copied by anybody who holds it for a
// moment.
type NewCard struct {
	Person string     `json:"person" doc:"name or id"`
	UID    string     `json:"uid" doc:"4, 7 or 10 bytes in hex, colons allowed" example:"04a1b2c3d4e580"`
	From   *time.Time `json:"from,omitempty"`
	Until  *time.Time `json:"until,omitempty"`
}

// CardChange changes a card.
type CardChange struct {
	Status string     `json:"status,omitempty" enum:"active,lost"`
	From   *time.Time `json:"from,omitempty"`
	Until  *time.Time `json:"until,omitempty"`
}

// CardFilter narrows a list of cards.
type CardFilter struct {
	Person string `query:"person" doc:"only this person's, by name or id"`
}

// LearnCard asks for the next unknown card at a reader.
type LearnCard struct {
	Reader  string `json:"reader" doc:"name or id of the device"`
	Person  string `json:"person" doc:"name or id of who gets the card"`
	Seconds int    `json:"seconds,omitempty" minimum:"1" maximum:"300" doc:"how long to wait; 30 if left out"`
}

func (a *api) cardRoutes() {
	handle(a, toLook, http.MethodGet, "/v1/cards", "list-cards", "All cards, by person",
		func(_ context.Context, in *CardFilter) (*body[list[Card]], error) {
			return a.listCards(in)
		})
	handle(a, toManage, http.MethodPost, "/v1/cards", "add-card", "Give a person a card, by its UID",
		func(ctx context.Context, in *struct{ Body NewCard }) (*body[Card], error) {
			uid, err := parseUID(in.Body.UID)
			if err != nil {
				return nil, err
			}
			c := access.Credential{ID: a.Store.CredentialID(uid), Tail: hex.EncodeToString(uid[len(uid)-2:]),
				From: valueOf(in.Body.From), Until: valueOf(in.Body.Until)}
			return a.addCard(ctx, in.Body.Person, c)
		})
	handle(a, toLook, http.MethodGet, "/v1/cards/{ref}", "get-card", "One card",
		func(_ context.Context, in *RefInput) (*body[Card], error) {
			return show(a, in.Ref, findCard, viewCard)
		})
	handle(a, toManage, http.MethodPatch, "/v1/cards/{ref}", "change-card",
		"Mark a card lost or active, or change its validity",
		func(ctx context.Context, in *struct {
			RefInput
			Body CardChange
		}) (*body[Card], error) {
			return put(ctx, a, func(p *access.Policy) (access.Credential, error) {
				c, err := findCard(p, in.Ref)
				if in.Body.Status != "" {
					c.Status = access.CredentialStatus(in.Body.Status)
				}
				if in.Body.From != nil {
					c.From = *in.Body.From
				}
				if in.Body.Until != nil {
					c.Until = *in.Body.Until
				}
				return c, err
			}, viewCard)
		})
	handle(a, toManage, http.MethodDelete, "/v1/cards/{ref}", "remove-card", "Remove a card",
		func(ctx context.Context, in *RefInput) (*body[Changed], error) {
			return remove(ctx, a, func(p *access.Policy) (access.Credential, error) {
				return findCard(p,
					in.Ref)
			})
		})
	handle(a, toManage, http.MethodPost, "/v1/cards/learn", "learn-card",
		"Give a person the next unknown card that is read at a reader",
		func(ctx context.Context, in *struct{ Body LearnCard }) (*body[Card], error) {
			return a.learnCard(ctx, in.Body)
		})
}

func (a *api) listCards(in *CardFilter) (*body[list[Card]], error) {
	p := a.Store.Snapshot()
	cards := p.Credentials
	if in.Person != "" {
		person, err := findPerson(p, in.Person)
		if err != nil {
			return nil, err
		}
		cards = map[access.CredentialID]access.Credential{}
		for id, c := range p.Credentials {
			if c.Person == person.ID {
				cards[id] = c
			}
		}
	}
	return listOf(viewAll(p, cards, viewCard, func(v Card) string {
		return v.Person.Name + "\x00" +
			v.ID.String()
	})), nil
}

// addCard refuses a card that somebody has: giving it to another person is removing it first, so
// that it is never by accident.
func (a *api) addCard(ctx context.Context, person string, card access.Credential) (*body[Card], error) {
	return put(ctx, a, func(p *access.Policy) (access.Credential, error) {
		who, err := findPerson(p, person)
		if err != nil {
			return access.Credential{}, err
		}
		if c, ok := p.Credentials[card.ID]; ok {
			return c, fmt.Errorf("card …%s: %w: it is already %s's, %s: remove it first", c.Tail,
				access.ErrConflict, p.Persons[c.Person].Name, c.Status)
		}
		card.Person, card.Status, card.Created = who.ID, access.CardActive, a.stamp()
		return card, nil
	}, viewCard)
}

const defaultLearn = 30 * time.Second

func (a *api) learnCard(ctx context.Context, in LearnCard) (*body[Card], error) {
	if a.Live == nil {
		return nil, ErrNoGateway
	}
	p := a.Store.Snapshot()
	reader, err := findDevice(p, in.Reader)
	if err != nil {
		return nil, err
	}
	if reader.Kind != keys.KindReader {
		return nil, fmt.Errorf("%s is a %s: %w: name a reader", reader.Name, reader.Kind, access.ErrInvalid)
	}
	if _, err := findPerson(p, in.Person); err != nil {
		return nil, err
	}
	wait := defaultLearn
	if in.Seconds > 0 {
		wait = time.Duration(in.Seconds) * time.Second
	}
	listen, cancel := context.WithTimeout(ctx, wait)
	defer cancel()
	id, tail, err := a.Live.Learn(listen, reader.ID)
	if err != nil && listen.Err() != nil && ctx.Err() == nil {
		return nil, noCard{fmt.Sprintf("no unknown card at %s within %v; one that somebody has already does not count", reader.Name, wait)}
	}
	if err != nil {
		return nil, fmt.Errorf("%s: %w", reader.Name, err)
	}
	return a.addCard(ctx, in.Person, access.Credential{ID: id, Tail: tail})
}

// noCard is the end of a wait.
type noCard struct{ text string }

func (e noCard) Error() string { return e.text }

func (noCard) Unwrap() error { return context.DeadlineExceeded }

// parseUID reads a UID as readers and phones print it. The error does not repeat it.
func parseUID(s string) ([]byte, error) {
	b, err := hex.DecodeString(strings.NewReplacer(":", "", "-", "", " ", "").Replace(s))
	if err != nil || len(b) != 4 && len(b) != 7 && len(b) != 10 {
		return nil, fmt.Errorf("uid: %w: want 4, 7 or 10 bytes in hex, like 04a1b2c3d4e580",
			access.ErrInvalid)
	}
	return b, nil
}

// minCardPrefix is how many digits of a card's id stand for it.
const minCardPrefix = 8

// findCard looks a card up by its id, by the start of its id, or by its tail where only one card
// ends so.
func findCard(p *access.Policy, ref string) (access.Credential, error) {
	ref = strings.TrimPrefix(strings.ToLower(ref), "…") // as lists show a tail
	var id access.CredentialID
	if id.UnmarshalText([]byte(ref)) == nil {
		if c, ok := p.Credentials[id]; ok {
			return c, nil
		}
		return access.Credential{}, missing("card", ref)
	}
	var found []access.Credential
	for _, c := range p.Credentials {
		if len(ref) == 4 && c.Tail == ref || len(ref) >= minCardPrefix && strings.HasPrefix(c.ID.String(),
			ref) {
			found = append(found, c)
		}
	}
	switch len(found) {
	case 0:
		return access.Credential{}, missing("card", ref)
	case 1:
		return found[0], nil
	}
	return access.Credential{}, fmt.Errorf("card %q: %w: %d cards fit: use the id", ref, access.ErrConflict,
		len(found))
}

func viewCard(p *access.Policy, c access.Credential) Card {
	return Card{ID: c.ID, Person: personRef(p, c.Person), Tail: c.Tail, Status: string(c.Status),
		From: c.From, Until: c.Until, Created: c.Created}
}
