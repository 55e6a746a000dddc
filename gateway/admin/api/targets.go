package api

import (
	"net/http"
	"time"

	"latchkey/gateway/access"
)

// Target is a door or a lamp in an answer.
type Target struct {
	ID       access.ID `json:"id"`
	Name     string    `json:"name"`
	Kind     string    `json:"kind" enum:"door,lamp" doc:"door or lamp"`
	Pulse    string    `json:"pulse,omitempty" doc:"how long an unlock lasts, like 3s; doors only"`
	Actuator Ref       `json:"actuator,omitzero" doc:"the lock or lamp device that moves it"`
	Created  time.Time `json:"created"`

	State    *DoorState `json:"state,omitempty" doc:"the state of a door; only if a gateway is running"`
	MaxPulse string     `json:"maxPulse,omitempty" doc:"the longest unlock that its lock allows, whatever the pulse; left out until the lock has reported it"`
	Tagged
}

// NewTarget asks for a target.
type NewTarget struct {
	Name  string `json:"name" doc:"1 to 64 of a-z 0-9 . _ -"`
	Kind  string `json:"kind" enum:"door,lamp"`
	Pulse string `json:"pulse,omitempty" doc:"like 3s or 500ms; doors only, 3s if left out" example:"3s"`
}

// TargetChange changes a target.
type TargetChange struct {
	Name  string `json:"name,omitempty"`
	Pulse string `json:"pulse,omitempty"`
}

// Operations on targets.
var (
	ListTargets = declare[ListQuery, List[Target]](toLook, http.MethodGet, "/v1/targets", "list-targets",
		"List all doors and lamps, by name")
	AddTarget = declare[Body[NewTarget], Target](toManage, http.MethodPost, "/v1/targets", "add-target",
		"Add a door or a lamp")
	GetTarget = declare[ByRef, Target](toLook, http.MethodGet, "/v1/targets/{ref}", "get-target",
		"Get one door or lamp")
	ChangeTarget = declare[RefBody[TargetChange], Target](toManage,
		http.MethodPatch, "/v1/targets/{ref}", "change-target",
		"Rename a target or change its pulse").acceptIfMatch()
	RemoveTarget = declare[ByRef, Changed](toManage,
		http.MethodDelete, "/v1/targets/{ref}", "remove-target",
		"Remove a target with its grants").acceptIfMatch()
)
