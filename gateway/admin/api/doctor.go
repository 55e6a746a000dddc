package api

import (
	"net/http"
	"time"

	"latchkey/gateway/doctor"
)

// Diagnosis says what keeps devices from reaching the gateway, as far as the gateway can see.
type Diagnosis struct {
	Findings []doctor.Finding    `json:"findings" doc:"what is wrong and what to do; empty if nothing is wrong"`
	More     int                 `json:"more,omitempty" doc:"how many further findings were left out"`
	Device   *Device             `json:"device,omitempty" doc:"the device that the request named"`
	Since    time.Time           `json:"since" doc:"the gateway's start; handshakes before it are unknown"`
	Sessions int                 `json:"sessions" doc:"live ones"`
	Limit    int                 `json:"limit" doc:"the largest number of sessions"`
	Space    *doctor.Space       `json:"space,omitempty" doc:"the disk that holds policy and events; left out if they are in memory"`
	Website  *doctor.Confinement `json:"website,omitempty" doc:"how the website's process is confined; left out if there is no website"`
	Verified *Verified           `json:"verified,omitempty" doc:"the result of the last check of all files and events; left out before the first check since the start"`
	Counts   []doctor.Count      `json:"counts" doc:"handshakes that failed since the start, of all peers"`
	Failures []doctor.Failure    `json:"failures" doc:"newest first. For one device: those with its identities and, while it has no session, those that name no device"`
}

// DoctorInput says which device to examine.
type DoctorInput struct {
	Device string `query:"device" doc:"name or id; everything if left out"`
}

// Operations that diagnose.
var (
	Diagnose = declare[DoctorInput, Diagnosis](toLook, http.MethodGet, "/v1/doctor", "diagnose",
		"Find out why devices cannot connect, and what to do about it")
)
