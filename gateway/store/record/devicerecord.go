package record

import (
	"latchkey/gateway/access"
	"latchkey/keys"
)

const KindDevice = 'd'

type deviceRecord struct {
	Name    string   `cbor:"1,keyasint"`
	Kind    string   `cbor:"2,keyasint"`
	Targets []string `cbor:"3,keyasint,omitempty"`
	Created *Stamp   `cbor:"4,keyasint,omitempty"`
}

var deviceCodec = &codec[access.Device, deviceRecord]{
	kind:   access.Devices,
	letter: KindDevice,
	id:     func(r access.Device) string { return string(r.ID) },
	pack: func(r access.Device) deviceRecord {
		return deviceRecord{r.Name, string(r.Kind), convert[string](r.Targets), MakeStamp(r.Created)}
	},
	unpack: func(id string, s deviceRecord) (access.Device, error) {
		return access.Device{ID: access.ID(id), Name: s.Name, Kind: keys.Kind(s.Kind),
			Targets: convert[access.ID](s.Targets),
			Created: s.Created.Time()}, nil
	},
}
