package api

import (
	"net/http"
	"time"
)

// Site is what holds for the whole site.
type Site struct {
	Zone        string `json:"zone" doc:"IANA time zone, for schedules" example:"Europe/Berlin"`
	Lockdown    bool   `json:"lockdown" doc:"doors stay shut for everybody"`
	TimeTrusted uint64 `json:"timeTrusted,omitempty" doc:"events up to this one no longer count against the clock"`
	Tagged
}

// SiteChange changes what holds for the whole site.
type SiteChange struct {
	Zone string `json:"zone" example:"Europe/Berlin"`
}

// Lockdown starts or ends one.
type Lockdown struct {
	On bool `json:"on"`
}

// Time is the gateway's clock.
type Time struct {
	Now     time.Time `json:"now"`
	Zone    string    `json:"zone"`
	Trusted bool      `json:"trusted" doc:"false: what depends on the time denies"`
	Why     string    `json:"why,omitempty" doc:"why it is not trusted"`
}

// Operations on site.
var (
	GetSite = declare[Nothing, Site](toLook, http.MethodGet, "/v1/site", "get-site",
		"Time zone and lockdown")
	ChangeSite = declare[Body[SiteChange], Site](toManage, http.MethodPatch, "/v1/site", "change-site",
		"Set the time zone").matching()
	SetLockdown = declareCases[Body[Lockdown], Site]("on", []Case{{true, toSecure}, {false, toManage}},
		http.MethodPut, "/v1/lockdown", "set-lockdown", "Shut every door for everybody, or end that")
	GetTime = declare[Nothing, Time](toLook, http.MethodGet, "/v1/time", "get-time",
		"The clock of the running gateway, and whether it is trusted")
	TrustTime = declare[Nothing, Site](toManage, http.MethodPost, "/v1/time/trust", "trust-time",
		"Take the clock as right although events so far lie in its future")
)
