package api

import (
	"net/http"
	"time"

	"latchkey/gateway/access"
)

// Integration is somebody else's system in an answer. No secret is in it.
type Integration struct {
	ID       access.ID          `json:"id"`
	Name     string             `json:"name"`
	Protocol string             `json:"protocol" enum:"mqtt"`
	URL      string             `json:"url"`
	User     string             `json:"user,omitempty"`
	Private  bool               `json:"private,omitempty"`
	Base     string             `json:"base" doc:"the beginning of our topics"`
	Topics   string             `json:"topics" doc:"the same with the site's id, as the broker's access list needs it"`
	Prefix   string             `json:"prefix" doc:"where the system looks for announcements"`
	Paused   string             `json:"paused,omitempty" doc:"why it may do nothing"`
	Grants   int                `json:"grants" doc:"how many grants it has; without one it may do nothing"`
	Created  time.Time          `json:"created"`
	Status   *IntegrationStatus `json:"status,omitempty" doc:"of a running gateway"`
	Tagged
}

// ViewIntegration returns an integration as an answer shows it.
func ViewIntegration(p *access.Policy, r access.Integration, site access.ID) Integration {
	v := Integration{ID: r.ID, Name: r.Name, Protocol: "mqtt", URL: r.Endpoint.URL, User: r.Endpoint.User,
		Private: r.Endpoint.Private, Base: r.Base, Topics: r.Base + "/" + string(site), Prefix: r.Prefix,
		Paused: r.Paused, Created: r.Created}
	for _, g := range p.Grants {
		if g.Subject == r.ID {
			v.Grants++
		}
	}
	return v
}

// IntegrationStatus says how an integration is doing.
type IntegrationStatus struct {
	Connected  bool              `json:"connected" doc:"to the broker"`
	Since      time.Time         `json:"since,omitzero" doc:"when that last changed"`
	LastError  string            `json:"lastError,omitempty"`
	Refused    map[string]uint64 `json:"refused" doc:"commands that were refused before a decision, by reason, since the start of the gateway"`
	WrongCodes int               `json:"wrongCodes,omitempty" doc:"within a day"`
	CodesAfter uint32            `json:"codesAfter,omitempty" doc:"seconds for which no code is checked, because too many were wrong"`
}

// NewIntegration asks for an integration.
type NewIntegration struct {
	Name     string   `json:"name"`
	Protocol string   `json:"protocol" enum:"mqtt"`
	Endpoint Endpoint `json:"endpoint" doc:"of the broker"`
	Base     string   `json:"base,omitempty" doc:"the beginning of our topics; none: latchkey"`
	Prefix   string   `json:"prefix,omitempty" doc:"where the system looks for announcements; none: homeassistant"`
}

// IntegrationChange changes an integration.
type IntegrationChange struct {
	Paused   *bool     `json:"paused,omitempty" doc:"true: it may do nothing until somebody resumes it"`
	Endpoint *Endpoint `json:"endpoint,omitempty" doc:"replaces all of it, with password and key"`
}

// NewPIN sets a person's PIN.
type NewPIN struct {
	Code string `json:"code" doc:"6 to 12 digits"`
}

// Operations on integrations, and on the PINs that their grants ask for.
var (
	ListIntegrations = declare[ListQuery, List[Integration]](toInspect, http.MethodGet, "/v1/integrations",
		"list-integrations", "List other systems that show and ask, such as Home Assistant")
	AddIntegration = declare[Body[NewIntegration], Integration](toManage, http.MethodPost, "/v1/integrations",
		"add-integration", "Add a system; it may do nothing without grants")
	GetIntegration = declare[ByRef, Integration](toInspect, http.MethodGet, "/v1/integrations/{ref}",
		"get-integration", "One integration, and how it is doing")
	ChangeIntegration = declare[RefBody[IntegrationChange], Integration](toManage,
		http.MethodPatch, "/v1/integrations/{ref}", "change-integration",
		"Pause or resume an integration, or change how its broker is reached").acceptIfMatch()
	RemoveIntegration = declare[ByRef, Changed](toManage, http.MethodDelete, "/v1/integrations/{ref}",
		"remove-integration", "Remove an integration with its grants").acceptIfMatch()
	TestIntegration = declare[ByRef, Nothing](toManage, http.MethodPost, "/v1/integrations/{ref}/test",
		"test-integration", "Connect to the broker once, with another client id")
	SetPIN = declare[RefBody[NewPIN], Changed](toManage, http.MethodPut, "/v1/persons/{ref}/pin", "set-pin",
		"Set the PIN of a person")
	RemovePIN = declare[ByRef, Changed](toManage, http.MethodDelete, "/v1/persons/{ref}/pin", "remove-pin",
		"Remove the PIN of a person")
)
