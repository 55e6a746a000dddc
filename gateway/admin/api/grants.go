package api

import (
	"net/http"
	"time"

	"latchkey/coapres/wire"
	"latchkey/gateway/access"
)

// Grant says who may do what, where and when, in an answer.
type Grant struct {
	ID          access.ID     `json:"id"`
	Effect      string        `json:"effect" enum:"allow,deny" doc:"allow or deny"`
	Person      Ref           `json:"person,omitzero" doc:"exactly one of person, group and device"`
	Group       Ref           `json:"group,omitzero"`
	Device      Ref           `json:"device,omitzero"`
	Target      Ref           `json:"target,omitzero" doc:"exactly one of target and targetGroup"`
	TargetGroup Ref           `json:"targetGroup,omitzero"`
	Actions     []wire.Action `json:"actions,omitempty" doc:"none: all that fit the target"`
	Schedule    Ref           `json:"schedule,omitzero" doc:"none: always"`
	From        time.Time     `json:"from,omitzero" doc:"first instant"`
	Until       time.Time     `json:"until,omitzero" doc:"first instant after"`
	Created     time.Time     `json:"created"`
	Holders     []Ref         `json:"holders,omitempty" doc:"only if the request named a target: the persons that the grant is for, alone or by their group, without suspended ones"`
	Tagged
}

// NewGrant asks for a grant. It refers to records by name or id.
type NewGrant struct {
	Effect      string     `json:"effect,omitempty" enum:"allow,deny" doc:"allow if left out"`
	Person      string     `json:"person,omitempty" doc:"exactly one of person, group and device"`
	Group       string     `json:"group,omitempty"`
	Device      string     `json:"device,omitempty" doc:"a switch"`
	Target      string     `json:"target,omitempty" doc:"exactly one of target and targetGroup"`
	TargetGroup string     `json:"targetGroup,omitempty"`
	Actions     []string   `json:"actions,omitempty" doc:"any of unlock, lock, on, off, toggle, level; none: all that fit the target"`
	Schedule    string     `json:"schedule,omitempty" doc:"none: always"`
	From        *time.Time `json:"from,omitempty" doc:"first instant"`
	Until       *time.Time `json:"until,omitempty" doc:"first instant after"`
}

// GrantFilter narrows a list of grants.
type GrantFilter struct {
	ListQuery
	Person string `query:"person" doc:"only grants to this person, alone or in a group, by name or id"`
	Target string `query:"target" doc:"only grants on this target, alone or in a group, by name or id"`
}

// Operations on grants.
var (
	ListGrants = declare[GrantFilter, List[Grant]](toLook, http.MethodGet, "/v1/grants", "list-grants",
		"List all grants, ordered by person, group or device")
	AddGrant = declare[Body[NewGrant], Grant](toManage, http.MethodPost, "/v1/grants", "add-grant",
		"Allow or deny something to a person, a group or a switch")
	GetGrant = declare[ByRef, Grant](toLook, http.MethodGet, "/v1/grants/{ref}", "get-grant",
		"Get one grant, by id")
	RemoveGrant = declare[ByRef, Changed](toManage, http.MethodDelete, "/v1/grants/{ref}", "remove-grant",
		"Remove a grant, by id").acceptIfMatch()
)
