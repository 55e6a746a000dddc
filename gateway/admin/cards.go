package admin

import (
	"context"
	"encoding/hex"
	"fmt"
	"strings"
	"time"

	"latchkey/gateway/access"
	"latchkey/gateway/admin/api"
	"latchkey/gateway/admin/route"
	"latchkey/keys"
)

func (a *server) addCardRoutes() {
	handle(a, api.ListCards,
		func(_ context.Context, in *api.CardFilter) (api.List[api.Card], error) {
			return a.listCards(in)
		})
	handle(a, api.AddCard,
		func(ctx context.Context, in *api.Body[api.NewCard]) (api.Card, error) {
			uid, err := parseUID(in.Body.UID)
			if err != nil {
				return api.Card{}, err
			}
			c := access.Credential{ID: a.Store.CredentialID(uid), Tail: hex.EncodeToString(uid[len(uid)-2:]),
				From: valueOf(in.Body.From), Until: valueOf(in.Body.Until)}
			return a.addCard(ctx, in.Body.Person, c)
		})
	handle(a, api.GetCard,
		func(_ context.Context, in *api.ByRef) (api.Card, error) {
			return showRecord(a, in.Ref, findCard, viewCard)
		})
	handle(a, api.ChangeCard,
		func(ctx context.Context, in *api.RefBody[api.CardChange]) (api.Card, error) {
			return putRecord(ctx, a, func(p *access.Policy) (access.Credential, error) {
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
	handle(a, api.RemoveCard,
		func(ctx context.Context, in *api.ByRef) (api.Changed, error) {
			return removeRecord(ctx, a, in.Ref, findCard)
		})
	handle(a, api.LearnCard,
		func(ctx context.Context, in *api.Body[api.LearnRequest]) (api.Card, error) {
			return a.learnCard(ctx, in.Body)
		})
}

func (a *server) listCards(in *api.CardFilter) (api.List[api.Card], error) {
	p := a.Store.Snapshot()
	cards := p.Credentials
	if in.Person != "" {
		person, err := findPerson(p, in.Person)
		if err != nil {
			return api.List[api.Card]{}, err
		}
		cards = map[access.CredentialID]access.Credential{}
		for id, c := range p.Credentials {
			if c.Person == person.ID {
				cards[id] = c
			}
		}
	}
	return listRecords(a, p, cards, catalog[access.Credential, api.Card]{draw: viewCard,
		key:  func(v api.Card) string { return v.Person.Name + "\x00" + v.ID.String() },
		text: func(v api.Card) []string { return []string{v.Person.Name, v.Tail} }}, in.ListQuery)
}

// addCard refuses a card that somebody has. To give it to another person, one must remove it first,
// so that this never happens by accident.
func (a *server) addCard(ctx context.Context, person string, card access.Credential) (api.Card, error) {
	return putRecord(ctx, a, func(p *access.Policy) (access.Credential, error) {
		who, err := findPerson(p, person)
		if err != nil {
			return access.Credential{}, err
		}
		if c, ok := p.Credentials[card.ID]; ok {
			return c, fmt.Errorf("card …%s: %w: it is already %s's, %s: remove it first", c.Tail,
				access.ErrConflict, p.Persons[c.Person].Name, c.Status)
		}
		card.Person, card.Status, card.Created = who.ID, access.CardActive, a.makeStamp()
		return card, nil
	}, viewCard)
}

const defaultLearn = 30 * time.Second

func (a *server) learnCard(ctx context.Context, in api.LearnRequest) (api.Card, error) {
	if a.Live == nil {
		return api.Card{}, route.ErrNoGateway
	}
	p := a.Store.Snapshot()
	reader, err := findDevice(p, in.Reader)
	if err != nil {
		return api.Card{}, err
	}
	if reader.Kind != keys.KindReader {
		return api.Card{}, fmt.Errorf("%s is a %s: %w: name a reader", reader.Name, reader.Kind,
			access.ErrInvalid)
	}
	if _, err := findPerson(p, in.Person); err != nil {
		return api.Card{}, err
	}
	wait := defaultLearn
	if in.Seconds > 0 {
		wait = time.Duration(in.Seconds) * time.Second
	}
	listen, cancel := context.WithTimeout(ctx, wait)
	defer cancel()
	id, tail, err := a.Live.Learn(listen, reader.ID)
	if err != nil && listen.Err() != nil && ctx.Err() == nil {
		return api.Card{}, noCard{fmt.Sprintf("no unknown card at %s within %v; "+
			"one that somebody has already does not count", reader.Name, wait)}
	}
	if err != nil {
		return api.Card{}, fmt.Errorf("%s: %w", reader.Name, err)
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

// minCardPrefix is how many digits of a card's id are enough to name it.
const minCardPrefix = 8

// findCard looks a card up by its id, by the start of its id, or by its tail if no other card has
// the same tail.
func findCard(p *access.Policy, ref string) (access.Credential, error) {
	ref = strings.TrimPrefix(strings.ToLower(ref), "…") // as lists show a tail
	var id access.CredentialID
	if id.UnmarshalText([]byte(ref)) == nil {
		if c, ok := p.Credentials[id]; ok {
			return c, nil
		}
		return access.Credential{}, route.Missing("card", ref)
	}
	var found []access.Credential
	for _, c := range p.Credentials {
		if len(ref) == 4 && c.Tail == ref ||
			len(ref) >= minCardPrefix && strings.HasPrefix(c.ID.String(), ref) {
			found = append(found, c)
		}
	}
	switch len(found) {
	case 0:
		return access.Credential{}, route.Missing("card", ref)
	case 1:
		return found[0], nil
	}
	return access.Credential{}, fmt.Errorf("card %q: %w: %d cards fit: use the id", ref, access.ErrConflict,
		len(found))
}

func viewCard(p *access.Policy, c access.Credential) api.Card {
	return api.Card{ID: c.ID, Person: personRef(p, c.Person), Tail: c.Tail, Status: string(c.Status),
		From: c.From, Until: c.Until, Created: c.Created}
}
