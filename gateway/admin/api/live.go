package api

import (
	"net/http"
	"time"

	"latchkey/coapres/wire"
	"latchkey/gateway/access"
	"latchkey/gateway/audit"
	"latchkey/gateway/doctor"
	"latchkey/keys"
)

// DeviceStatus is what a running gateway knows about a device. What was commanded, what was
// acknowledged and what is sensed are three things. State is the second and third, and is valid
// only while Known is true.
type DeviceStatus struct {
	Device    access.ID `json:"device"`
	Online    bool      `json:"online" doc:"it is registered, and the registration has not expired"`
	Since     time.Time `json:"since,omitzero" doc:"start of the present or last session"`
	Addr      string    `json:"addr,omitempty"`
	Identity  keys.ID   `json:"identity,omitempty" doc:"id of the session's key"`
	LastHeard time.Time `json:"lastHeard,omitzero"`

	Commanded   wire.Action `json:"commanded,omitempty" doc:"the last command that was sent"`
	CommandedAt time.Time   `json:"commandedAt,omitzero"`
	Known       bool        `json:"known" doc:"false before the first reading, after a lost receipt, and from the end of a pulse until the device confirms it. Unknown does not mean locked"`
	State       *State      `json:"state,omitempty" doc:"as last acknowledged or reported"`
	StateAt     time.Time   `json:"stateAt,omitzero"`

	MaxPulse  uint32            `json:"maxPulse,omitempty" doc:"the longest unlock in ms, as the lock has reported; left out if it has not"`
	LateScans *doctor.LateScans `json:"lateScans,omitempty" doc:"scans that came too late to be decided; left out if there were none"`

	Reports []Reading       `json:"reports,omitempty" doc:"the last reading of each name"`
	Refused *doctor.Refusal `json:"refused,omitempty" doc:"the last request of the device that was refused since the gateway's start"`
}

// State is what an actuator reports about itself.
type State struct {
	On      bool   `json:"on" doc:"the relay or lamp is on; a lock that is on is unlocked"`
	Level   uint8  `json:"level,omitempty"`
	Contact string `json:"contact,omitempty" doc:"open or closed"`
	Left    uint32 `json:"left,omitempty" doc:"ms until a pulse ends by itself"`
}

// Reading is one reported value: a number, a text or a truth value.
type Reading struct {
	Name  string    `json:"name"`
	Unit  string    `json:"unit,omitempty"`
	Value any       `json:"value"`
	At    time.Time `json:"at"`
	Late  bool      `json:"late,omitempty" doc:"it came too late to count as the present value"`
}

// Order asks for a target to be moved, such as a door to be unlocked.
type Order struct {
	Target string `json:"target" doc:"name or id"`
	Action string `json:"action" enum:"unlock,lock,on,off,toggle,level"`
	Level  uint8  `json:"level,omitempty" maximum:"100" doc:"for the action level"`
}

// Operated is the result of an operator's attempt.
type Operated struct {
	Seq     uint64        `json:"seq" doc:"sequence number of the decision's event"`
	Granted bool          `json:"granted"`
	Reason  access.Reason `json:"reason"`
	Outcome audit.Outcome `json:"outcome,omitempty" doc:"result of the command: done, refused, offline, unknown or late; only if the attempt was granted"`
	Note    string        `json:"note,omitempty" doc:"how the result differs from the target's settings, for people"`
	Holds   uint32        `json:"holds,omitempty" doc:"after an unlock: ms until the lock locks again by itself, as it has reported"`
}

// Status is the state of the running gateway.
type Status struct {
	Version  string         `json:"version"`
	Time     Time           `json:"time"`
	Lockdown bool           `json:"lockdown"`
	Devices  []DeviceStatus `json:"devices"`
	Doors    []Target       `json:"doors" doc:"all doors by name, each with its state"`
	Alarms   []Alarm        `json:"alarms" doc:"alarms that nobody has acknowledged, oldest first"`
}

// Health is whether the gateway can do its work.
type Health struct {
	Status  string `json:"status" doc:"ok"`
	Gateway bool   `json:"gateway" doc:"false if no gateway is running and only the data folder is open"`
	Version string `json:"version"`
}

// Operations on the running gateway.
var (
	Operate = declareCases[Body[Order], Operated]("action", []Case{{"unlock", toUnlock}, {"lock", toLock},
		{"on", toSwitch}, {"off", toSwitch}, {"toggle", toSwitch}, {"level", toSwitch}},
		http.MethodPost, "/v1/operate", "operate", "Open, lock or switch a target now, as an operator")
	GetStatus = declare[Nothing, Status](toLook, http.MethodGet, "/v1/status", "get-status",
		"Get what the running gateway knows about its devices")
	GetHealth = declare[Nothing, Health](toLook, http.MethodGet, "/healthz", "get-health",
		"Check whether a valid card would be let in now. "+
			"A lockdown is intended and does not count as a fault")
)
