package api

import (
	"net/http"
	"time"

	"latchkey/gateway/access"
)

// Card is a credential in an answer. Its UID is stored nowhere; people tell cards apart by the
// tail.
type Card struct {
	ID      access.CredentialID `json:"id" doc:"keyed hash of the UID, in hex; in a request the first 8 digits or more are enough"`
	Person  Ref                 `json:"person"`
	Tail    string              `json:"tail" doc:"the UID's last two bytes in hex"`
	Status  string              `json:"status" enum:"active,lost" doc:"active or lost"`
	From    time.Time           `json:"from,omitzero" doc:"first instant of validity"`
	Until   time.Time           `json:"until,omitzero" doc:"first instant after validity"`
	Created time.Time           `json:"created"`
	Tagged
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
	ListQuery
	Person string `query:"person" doc:"only this person's, by name or id"`
}

// LearnRequest asks for the next unknown card at a reader.
type LearnRequest struct {
	Reader  string `json:"reader" doc:"name or id of the device"`
	Person  string `json:"person" doc:"name or id of the person who gets the card"`
	Seconds int    `json:"seconds,omitempty" minimum:"1" maximum:"300" doc:"how long to wait; 30 if left out"`
}

// Operations on cards.
var (
	ListCards = declare[CardFilter, List[Card]](toLook, http.MethodGet, "/v1/cards", "list-cards",
		"List all cards, by person")
	AddCard = declare[Body[NewCard], Card](toManage, http.MethodPost, "/v1/cards", "add-card",
		"Give a person a card, by its UID")
	GetCard = declare[ByRef, Card](toLook, http.MethodGet, "/v1/cards/{ref}", "get-card",
		"One card")
	ChangeCard = declare[RefBody[CardChange], Card](toManage,
		http.MethodPatch, "/v1/cards/{ref}", "change-card",
		"Mark a card as lost or active, or change its validity").acceptIfMatch()
	RemoveCard = declare[ByRef, Changed](toManage, http.MethodDelete, "/v1/cards/{ref}", "remove-card",
		"Remove a card").acceptIfMatch()
	LearnCard = declare[Body[LearnRequest], Card](toManage,
		http.MethodPost, "/v1/cards/learn", "learn-card",
		"Give a person the next unknown card that is read at a reader")
)
