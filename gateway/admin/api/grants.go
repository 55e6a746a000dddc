package api

import (
	"net/http"
	"time"

	"latchkey/gateway/access"
)

// Grant says who may do what, where and when, in an answer.
type Grant struct {
	ID          access.ID `json:"id"`
	Effect      string    `json:"effect" enum:"allow,deny" doc:"allow or deny"`
	Person      Ref       `json:"person,omitzero" doc:"exactly one of person, group, device and integration"`
	Group       Ref       `json:"group,omitzero"`
	Device      Ref       `json:"device,omitzero"`
	Integration Ref       `json:"integration,omitzero"`
	Target      Ref       `json:"target,omitzero" doc:"exactly one of target and targetGroup"`
	TargetGroup Ref       `json:"targetGroup,omitzero"`
	Actions     []string  `json:"actions,omitempty" doc:"none: all that fit the target, but never unlock for an integration"`
	Schedule    Ref       `json:"schedule,omitzero" doc:"none: always"`
	From        time.Time `json:"from,omitzero" doc:"first instant"`
	Until       time.Time `json:"until,omitzero" doc:"first instant after"`
	Code        bool      `json:"code,omitempty" doc:"an integration must send a code of this grant"`
	CodeOf      Ref       `json:"codeOf,omitzero" doc:"an integration must send the PIN of this person"`
	Created     time.Time `json:"created"`
	Holders     []Ref     `json:"holders,omitempty" doc:"only if the request named a target: the persons that the grant is for, alone or by their group, without suspended ones"`
	Notes       []string  `json:"notes,omitempty" doc:"what the grant does not do, though somebody may expect it"`
	Tagged
}

// NewGrant asks for a grant. It refers to records by name or id.
type NewGrant struct {
	Effect      string     `json:"effect,omitempty" enum:"allow,deny" doc:"allow if left out"`
	Person      string     `json:"person,omitempty" doc:"exactly one of person, group, device and integration"`
	Group       string     `json:"group,omitempty"`
	Device      string     `json:"device,omitempty" doc:"a switch"`
	Integration string     `json:"integration,omitempty" doc:"somebody else's system"`
	Target      string     `json:"target,omitempty" doc:"exactly one of target and targetGroup"`
	TargetGroup string     `json:"targetGroup,omitempty"`
	Actions     []string   `json:"actions,omitempty" doc:"any of unlock, lock, on, off, toggle, level; none: all that fit the target, but never unlock for an integration"`
	Code        string     `json:"code,omitempty" doc:"4 to 12 digits, 6 for a door: an integration must send it"`
	CodeOf      string     `json:"codeOf,omitempty" doc:"or a person: it must send their PIN"`
	NoCode      bool       `json:"noCode,omitempty" doc:"let an integration unlock a door without a code: whoever has the broker opens it"`
	Schedule    string     `json:"schedule,omitempty" doc:"none: always"`
	From        *time.Time `json:"from,omitempty" doc:"first instant"`
	Until       *time.Time `json:"until,omitempty" doc:"first instant after"`
}

// GrantFilter narrows a list of grants.
type GrantFilter struct {
	ListQuery
	Integration string `query:"integration" doc:"only grants to this integration, by name or id"`
	Person      string `query:"person" doc:"only grants to this person, alone or in a group, by name or id"`
	Target      string `query:"target" doc:"only grants on this target, alone or in a group, by name or id"`
}

// Operations on grants.
var (
	ListGrants = declare[GrantFilter, List[Grant]](toLook, http.MethodGet, "/v1/grants", "list-grants",
		"List all grants, ordered by person, group, device or integration")
	AddGrant = declare[Body[NewGrant], Grant](toManage, http.MethodPost, "/v1/grants", "add-grant",
		"Allow or deny something to a person, a group, a switch or an integration")
	GetGrant = declare[ByRef, Grant](toLook, http.MethodGet, "/v1/grants/{ref}", "get-grant",
		"Get one grant, by id")
	RemoveGrant = declare[ByRef, Changed](toManage, http.MethodDelete, "/v1/grants/{ref}", "remove-grant",
		"Remove a grant, by id").acceptIfMatch()
)
