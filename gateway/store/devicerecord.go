package store

import (
	"latchkey/gateway/access"
	"latchkey/keys"
)

const kindDevice = 'd'

type deviceRecord struct {
	Name    string   `cbor:"1,keyasint"`
	Kind    string   `cbor:"2,keyasint"`
	Targets []string `cbor:"3,keyasint,omitempty"`
	Created *stamp   `cbor:"4,keyasint,omitempty"`
}

var deviceCodec = &codec[access.Device, deviceRecord]{
	kind:   access.Devices,
	letter: kindDevice,
	id:     func(r access.Device) string { return string(r.ID) },
	pack: func(r access.Device) deviceRecord {
		return deviceRecord{r.Name, string(r.Kind), convert[string](r.Targets), stampOf(r.Created)}
	},
	unpack: func(id string, s deviceRecord) (access.Device, error) {
		return access.Device{ID: access.ID(id), Name: s.Name, Kind: keys.Kind(s.Kind), Targets: convert[access.ID](s.Targets),
			Created: s.Created.time()}, nil
	},
}
