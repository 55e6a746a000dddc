package api

import (
	"net/http"
	"time"

	"latchkey/gateway/access"
)

// Question asks how an attempt would be decided, without making it.
type Question struct {
	Person       string     `json:"person,omitempty" doc:"exactly one of person, card, uid, device and integration. For a person, the answer assumes a valid card"`
	Card         string     `json:"card,omitempty" doc:"id"`
	UID          string     `json:"uid,omitempty" doc:"UID of a card, known or not"`
	Device       string     `json:"device,omitempty" doc:"a switch"`
	Integration  string     `json:"integration,omitempty" doc:"somebody else's system. The answer assumes the right code, if one is asked for"`
	Target       string     `json:"target" doc:"name or id"`
	Action       string     `json:"action,omitempty" doc:"if left out: unlock for a door, on for a lamp"`
	Level        uint8      `json:"level,omitempty" maximum:"100"`
	At           *time.Time `json:"at,omitempty" doc:"now if left out"`
	ClockTrusted *bool      `json:"clockTrusted,omitempty" doc:"if left out: true if at is given, else as it is now"`
}

// Explanation is the decision that would be made, and how.
type Explanation struct {
	Decision     access.Decision `json:"decision"`
	Steps        []access.Step   `json:"steps" doc:"the rules that were checked, in order, up to the one that decided"`
	At           time.Time       `json:"at"`
	ClockTrusted bool            `json:"clockTrusted"`
	Person       Ref             `json:"person,omitzero"`
	Notes        []string        `json:"notes,omitempty" doc:"facts that the decision does not show"`
}

// Operations that explain.
var (
	Explain = declare[Body[Question], Explanation](toLook, http.MethodPost, "/v1/explain", "explain",
		"Explain what would be decided for a person, a card, a switch or an integration, and why")
)
