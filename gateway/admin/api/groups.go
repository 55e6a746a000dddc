package api

import (
	"net/http"
	"time"

	"latchkey/gateway/access"
)

// Group is a set of persons or of targets in an answer.
type Group struct {
	ID      access.ID `json:"id"`
	Name    string    `json:"name"`
	Of      string    `json:"of" enum:"persons,targets" doc:"persons or targets"`
	Members []Ref     `json:"members"`
	Created time.Time `json:"created"`
	Tagged
}

// NewGroup asks for a group.
type NewGroup struct {
	Name    string   `json:"name" doc:"1 to 64 of a-z 0-9 . _ -"`
	Of      string   `json:"of,omitempty" enum:"persons,targets" doc:"persons if left out"`
	Members []string `json:"members,omitempty" doc:"names or ids"`
}

// MemberInput names a member of a group in the path.
type MemberInput struct {
	ByRef
	Member string `path:"member" doc:"name or id of the person or target"`
}

// Operations on groups.
var (
	ListGroups = declare[ListQuery, List[Group]](toLook, http.MethodGet, "/v1/groups", "list-groups",
		"List all groups, by name")
	AddGroup = declare[Body[NewGroup], Group](toManage, http.MethodPost, "/v1/groups", "add-group",
		"Add a group")
	GetGroup = declare[ByRef, Group](toLook, http.MethodGet, "/v1/groups/{ref}", "get-group",
		"One group")
	RemoveGroup = declare[ByRef, Changed](toManage, http.MethodDelete, "/v1/groups/{ref}", "remove-group",
		"Remove a group, with the grants to it and on it").acceptIfMatch()
	JoinGroup = declare[MemberInput, Group](toManage,
		http.MethodPut, "/v1/groups/{ref}/members/{member}", "join-group",
		"Put a person or target into a group").acceptIfMatch()
	LeaveGroup = declare[MemberInput, Group](toManage,
		http.MethodDelete, "/v1/groups/{ref}/members/{member}", "leave-group",
		"Take a person or target out of a group").acceptIfMatch()
)
