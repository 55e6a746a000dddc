package api

import (
	"net/http"
	"time"

	"latchkey/gateway/access"
	"latchkey/keys"
)

// Device is an enrolled device in an answer.
type Device struct {
	ID      access.ID     `json:"id"`
	Name    string        `json:"name"`
	Kind    string        `json:"kind" enum:"reader,switch,lock,lamp,sensor" doc:"reader, switch, lock, lamp or sensor"`
	Targets []Ref         `json:"targets,omitempty"`
	Keys    []Key         `json:"keys" doc:"oldest first"`
	Live    *DeviceStatus `json:"live,omitempty" doc:"only if a gateway is running and has heard from the device"`
	Created time.Time     `json:"created"`
	Tagged
}

// Key is one of a device's secrets, without the secret.
type Key struct {
	ID       keys.ID   `json:"id" doc:"the PSK identity"`
	State    string    `json:"state" enum:"pending,active,retiring,revoked" doc:"pending, active, retiring or revoked"`
	Created  time.Time `json:"created"`
	LastUsed time.Time `json:"lastUsed,omitzero" doc:"last completed handshake, to the day"`
	LastSeen time.Time `json:"lastSeen,omitzero" doc:"the same to the second, since the gateway's start; only if a gateway is running"`
}

// NewDevice asks for a device.
type NewDevice struct {
	Name    string   `json:"name" doc:"1 to 64 of a-z 0-9 . _ -"`
	Kind    string   `json:"kind" enum:"reader,switch,lock,lamp,sensor"`
	Targets []string `json:"targets,omitempty" doc:"names or ids of the targets that it stands at, moves or may ask for"`
	Gateway string   `json:"gateway,omitempty" doc:"host:port that the device will connect to, if not the gateway's own"`
}

// Enrolled is a new device with everything that must be installed on it. Only this answer holds the
// secret.
type Enrolled struct {
	Device
	Bundle Bundle `json:"bundle"`
}

// Bundle is [provision.Bundle] with its secret in the clear.
type Bundle struct {
	Device   string    `json:"device"`
	Kind     keys.Kind `json:"kind"`
	Targets  []string  `json:"targets"`
	Gateway  string    `json:"gateway"`
	Identity keys.ID   `json:"identity"`
	Secret   string    `json:"secret"`
}

// NewKey asks for another key of a device.
type NewKey struct {
	Gateway string `json:"gateway,omitempty" doc:"host:port that the device will connect to, if not the gateway's own"`
}

// KeyInput names a key in the path.
type KeyInput struct {
	Key string `path:"key" doc:"identity"`
}

// Operations on devices.
var (
	ListDevices = declare[ListQuery, List[Device]](toLook, http.MethodGet, "/v1/devices", "list-devices",
		"List all devices, by name")
	AddDevice = declare[Body[NewDevice], Enrolled](toManage, http.MethodPost, "/v1/devices", "add-device",
		"Enrol a device: the answer holds its secret, once")
	GetDevice = declare[ByRef, Device](toLook, http.MethodGet, "/v1/devices/{ref}", "get-device",
		"Get one device with its keys")
	RemoveDevice = declare[ByRef, Changed](toManage,
		http.MethodDelete, "/v1/devices/{ref}", "remove-device",
		"Remove a device with its keys and grants").acceptIfMatch()
	RekeyDevice = declare[RefBody[NewKey], Enrolled](toManage,
		http.MethodPost, "/v1/devices/{ref}/keys", "rekey-device",
		"Mint another key for a device: the answer holds its secret, once. "+
			"The older keys work until the new one is first used")
	RevokeDevice = declare[ByRef, Changed](toManage,
		http.MethodPost, "/v1/devices/{ref}/revoke", "revoke-device",
		"Revoke every key of a device: its session ends and it cannot come back")
	RevokeKey = declare[KeyInput, Changed](toManage, http.MethodPost, "/v1/keys/{key}/revoke", "revoke-key",
		"Revoke one key")
)
