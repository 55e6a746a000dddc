package api

import (
	"net/http"
	"time"

	"latchkey/gateway/doctor"
)

// Diagnosis is what is wrong with the devices' way to the gateway, as the gateway sees it.
type Diagnosis struct {
	Findings []doctor.Finding    `json:"findings" doc:"what is wrong and what to do; none when nothing is"`
	More     int                 `json:"more,omitempty" doc:"further findings that were left out"`
	Device   *Device             `json:"device,omitempty" doc:"the one that was asked about"`
	Since    time.Time           `json:"since" doc:"the gateway's start: nothing is known of handshakes before"`
	Sessions int                 `json:"sessions" doc:"live ones"`
	Limit    int                 `json:"limit" doc:"how many sessions there may be"`
	Space    *doctor.Space       `json:"space,omitempty" doc:"where policy and events lie; left out when that is in memory"`
	Website  *doctor.Confinement `json:"website,omitempty" doc:"what holds the website back; left out when there is none"`
	Verified *Verified           `json:"verified,omitempty" doc:"what the last check of all files and events found; left out before the first since the start"`
	Counts   []doctor.Count      `json:"counts" doc:"handshakes that failed since then, of all peers"`
	Failures []doctor.Failure    `json:"failures" doc:"newest first; of one device those with its identities, and while it is not there those that name no device"`
}

// DoctorInput says what to look at.
type DoctorInput struct {
	Device string `query:"device" doc:"name or id; everything if left out"`
}

// Operations that look for what is wrong.
var (
	Diagnose = declare[DoctorInput, Diagnosis](toLook, http.MethodGet, "/v1/doctor", "diagnose",
		"Why devices do not come in, and what to do about it")
)
