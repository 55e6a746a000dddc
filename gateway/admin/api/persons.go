package api

import (
	"net/http"
	"time"

	"latchkey/gateway/access"
)

// Person is a person in an answer.
type Person struct {
	ID        access.ID `json:"id"`
	Name      string    `json:"name"`
	Suspended bool      `json:"suspended,omitempty"`
	Cards     int       `json:"cards" doc:"how many active cards they have"`
	Groups    []Ref     `json:"groups,omitempty"`
	PIN       bool      `json:"pin,omitempty" doc:"they have a PIN"`
	Created   time.Time `json:"created"`
	Tagged
}

// NewPerson asks for a person.
type NewPerson struct {
	Name string `json:"name" doc:"1 to 64 bytes of printable text"`
}

// PersonChange changes a person.
type PersonChange struct {
	Name      string `json:"name,omitempty"`
	Suspended *bool  `json:"suspended,omitempty" doc:"true: none of their cards opens anything"`
}

// Operations on persons.
var (
	ListPersons = declare[ListQuery, List[Person]](toLook, http.MethodGet, "/v1/persons", "list-persons",
		"List all persons, by name")
	AddPerson = declare[Body[NewPerson], Person](toManage, http.MethodPost, "/v1/persons", "add-person",
		"Add a person")
	GetPerson = declare[ByRef, Person](toLook, http.MethodGet, "/v1/persons/{ref}", "get-person",
		"One person")
	ChangePerson = declare[RefBody[PersonChange], Person](toManage,
		http.MethodPatch, "/v1/persons/{ref}", "change-person",
		"Rename, suspend or resume a person").acceptIfMatch()
	RemovePerson = declare[ByRef, Changed](toManage,
		http.MethodDelete, "/v1/persons/{ref}", "remove-person",
		"Remove a person with their cards, grants and memberships").acceptIfMatch()
)
