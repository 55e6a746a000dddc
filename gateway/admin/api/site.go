package api

import (
	"net/http"
	"time"
)

// Site is the settings of the whole site.
type Site struct {
	Zone        string `json:"zone" doc:"IANA time zone, for schedules" example:"Europe/Berlin"`
	Lockdown    bool   `json:"lockdown" doc:"doors stay shut for everybody"`
	TimeTrusted uint64 `json:"timeTrusted,omitempty" doc:"events up to this number are ignored when the clock is checked"`
	Tagged
}

// SiteChange changes the settings of the whole site.
type SiteChange struct {
	Zone string `json:"zone" example:"Europe/Berlin"`
}

// Lockdown starts or ends a lockdown.
type Lockdown struct {
	On bool `json:"on"`
}

// Time is the gateway's clock.
type Time struct {
	Now     time.Time `json:"now"`
	Zone    string    `json:"zone"`
	Trusted bool      `json:"trusted" doc:"false: rules that depend on the time deny"`
	Why     string    `json:"why,omitempty" doc:"why the clock is not trusted"`
}

// Operations on site.
var (
	GetSite = declare[Nothing, Site](toLook, http.MethodGet, "/v1/site", "get-site",
		"Get the time zone and the lockdown")
	ChangeSite = declare[Body[SiteChange], Site](toManage, http.MethodPatch, "/v1/site", "change-site",
		"Set the time zone").acceptIfMatch()
	SetLockdown = declareCases[Body[Lockdown], Site]("on", []Case{{true, toSecure}, {false, toManage}},
		http.MethodPut, "/v1/lockdown", "set-lockdown",
		"Start or end a lockdown: doors stay shut for everybody")
	GetTime = declare[Nothing, Time](toLook, http.MethodGet, "/v1/time", "get-time",
		"Get the clock of the running gateway, and whether it is trusted")
	TrustTime = declare[Nothing, Site](toManage, http.MethodPost, "/v1/time/trust", "trust-time",
		"Trust the clock even if earlier events have a later time")
)
