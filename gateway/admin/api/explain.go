package api

import (
	"net/http"
	"time"

	"latchkey/gateway/access"
)

// Question asks what would come of an attempt, without making one.
type Question struct {
	Person       string     `json:"person,omitempty" doc:"exactly one of person, card, uid and device; a person is taken to hold a good card"`
	Card         string     `json:"card,omitempty" doc:"id"`
	UID          string     `json:"uid,omitempty" doc:"of a card, known or not"`
	Device       string     `json:"device,omitempty" doc:"a switch"`
	Target       string     `json:"target" doc:"name or id"`
	Action       string     `json:"action,omitempty" doc:"unlock for a door and on for a lamp if left out"`
	Level        uint8      `json:"level,omitempty" maximum:"100"`
	At           *time.Time `json:"at,omitempty" doc:"now if left out"`
	ClockTrusted *bool      `json:"clockTrusted,omitempty" doc:"as it is now if neither this nor at is given, else true"`
}

// Explanation is the decision that would be made, and how.
type Explanation struct {
	Decision     access.Decision `json:"decision"`
	Steps        []access.Step   `json:"steps" doc:"what was looked at, in order, up to what decided"`
	At           time.Time       `json:"at"`
	ClockTrusted bool            `json:"clockTrusted"`
	Person       Ref             `json:"person,omitzero"`
	Notes        []string        `json:"notes,omitempty" doc:"what the decision does not say"`
}

// Operations that explain.
var (
	Explain = declare[Body[Question], Explanation](toLook, http.MethodPost, "/v1/explain", "explain",
		"What would be decided for a person, a card or a switch, and why")
)
