package record

import (
	"time"

	"latchkey/gateway/access"
)

const KindTarget = 't'

type targetRecord struct {
	Name    string `cbor:"1,keyasint"`
	Kind    string `cbor:"2,keyasint"`
	Pulse   int64  `cbor:"3,keyasint,omitempty"` // ns
	Created *Stamp `cbor:"4,keyasint,omitempty"`
}

var targetCodec = &codec[access.Target, targetRecord]{
	kind:   access.Targets,
	letter: KindTarget,
	id:     func(r access.Target) string { return string(r.ID) },
	pack: func(r access.Target) targetRecord {
		return targetRecord{r.Name, string(r.Kind), int64(r.Pulse), MakeStamp(r.Created)}
	},
	unpack: func(id string, s targetRecord) (access.Target, error) {
		return access.Target{ID: access.ID(id), Name: s.Name, Kind: access.TargetKind(s.Kind),
			Pulse:   time.Duration(s.Pulse),
			Created: s.Created.Time()}, nil
	},
}
