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

// DeviceStatus is what a running gateway knows of a device. What was commanded, what was
// acknowledged and what is sensed are three things: State is the second and third, and means
// something only while Known.
type DeviceStatus struct {
	Device    access.ID `json:"device"`
	Online    bool      `json:"online" doc:"registered, and not lapsed"`
	Since     time.Time `json:"since,omitzero" doc:"of the present or last session"`
	Addr      string    `json:"addr,omitempty"`
	Identity  keys.ID   `json:"identity,omitempty" doc:"of the session's key"`
	LastHeard time.Time `json:"lastHeard,omitzero"`

	Commanded   wire.Action `json:"commanded,omitempty" doc:"the last command that was sent"`
	CommandedAt time.Time   `json:"commandedAt,omitzero"`
	Known       bool        `json:"known" doc:"false before the first reading, after a lost receipt, and once a pulse should be over until the device has said so: unknown is not locked"`
	State       *State      `json:"state,omitempty" doc:"as last acknowledged or read"`
	StateAt     time.Time   `json:"stateAt,omitzero"`

	MaxPulse  uint32            `json:"maxPulse,omitempty" doc:"ms that a lock holds an unlock at the most, as it said; left out if it did not"`
	LateScans *doctor.LateScans `json:"lateScans,omitempty" doc:"scans that came too late to be decided, if there were any"`

	Reports []Reading       `json:"reports,omitempty" doc:"the last of each"`
	Refused *doctor.Refusal `json:"refused,omitempty" doc:"the last request that was refused, since the gateway's start"`
}

// State is what an actuator says of itself.
type State struct {
	On      bool   `json:"on" doc:"relay or lamp is energised: a lock that is on is unlocked"`
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
	Late  bool      `json:"late,omitempty" doc:"it came too late to count as the present state"`
}

// Order asks for a target to be moved.
type Order struct {
	Target string `json:"target" doc:"name or id"`
	Action string `json:"action" enum:"unlock,lock,on,off,toggle,level"`
	Level  uint8  `json:"level,omitempty" maximum:"100" doc:"for the action level"`
}

// Operated is what came of an operator's attempt.
type Operated struct {
	Seq     uint64        `json:"seq" doc:"sequence number of the decision's event"`
	Granted bool          `json:"granted"`
	Reason  access.Reason `json:"reason"`
	Outcome audit.Outcome `json:"outcome,omitempty" doc:"what came of the command: done, refused, offline, unknown or late; only when granted"`
	Note    string        `json:"note,omitempty" doc:"what was done otherwise than the target says, for people"`
	Holds   uint32        `json:"holds,omitempty" doc:"of an unlock: ms until the lock lets go by itself, as it says"`
}

// Status is the gateway at work.
type Status struct {
	Version  string         `json:"version"`
	Time     Time           `json:"time"`
	Lockdown bool           `json:"lockdown"`
	Devices  []DeviceStatus `json:"devices"`
	Doors    []Target       `json:"doors" doc:"by name, with what each is now"`
	Alarms   []Alarm        `json:"alarms" doc:"that nobody has acknowledged, oldest first"`
}

// Health is whether the gateway can do its work.
type Health struct {
	Status  string `json:"status" doc:"ok"`
	Gateway bool   `json:"gateway" doc:"false when only the data folder is open"`
	Version string `json:"version"`
}

// Operations on the running gateway.
var (
	Operate = declareCases[Body[Order], Operated]("action", []Case{{"unlock", toUnlock}, {"lock", toLock},
		{"on", toSwitch}, {"off", toSwitch}, {"toggle", toSwitch}, {"level", toSwitch}},
		http.MethodPost, "/v1/operate", "operate", "Move a target now, as an operator")
	GetStatus = declare[Nothing, Status](toLook, http.MethodGet, "/v1/status", "get-status",
		"What the running gateway knows of its devices")
	GetHealth = declare[Nothing, Health](toLook, http.MethodGet, "/healthz", "get-health",
		"Whether a card that may enter would be let in now. A lockdown is meant, and is no illness")
)
