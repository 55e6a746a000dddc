package record

import (
	"latchkey/coapres/wire"
	"latchkey/gateway/access"
	"latchkey/keys"
)

const KindGrant = 'r'

// grantRecord is the form of version 2. Version 1 has no Code and no CodeOf.
type grantRecord struct {
	SubjectKind string  `cbor:"1,keyasint"`
	Subject     string  `cbor:"2,keyasint"`
	Target      string  `cbor:"3,keyasint,omitempty"`
	TargetGroup string  `cbor:"4,keyasint,omitempty"`
	Actions     []uint8 `cbor:"5,keyasint,omitempty"` // a byte string
	Schedule    string  `cbor:"6,keyasint,omitempty"`
	From        *Stamp  `cbor:"7,keyasint,omitempty"`
	Until       *Stamp  `cbor:"8,keyasint,omitempty"`
	Effect      string  `cbor:"9,keyasint"`
	Created     *Stamp  `cbor:"10,keyasint,omitempty"`
	Code        string  `cbor:"11,keyasint,omitempty"`
	CodeOf      string  `cbor:"12,keyasint,omitempty"`
}

var grantCodec = &codec[access.Grant, grantRecord]{
	kind:    access.Grants,
	letter:  KindGrant,
	version: 2,
	id:      func(r access.Grant) string { return string(r.ID) },
	pack: func(r access.Grant) grantRecord {
		actions := make([]uint8, len(r.Actions))
		for i, a := range r.Actions {
			actions[i] = uint8(a)
		}
		return grantRecord{string(r.SubjectKind), string(r.Subject), string(r.Target), string(r.TargetGroup),
			actions,
			string(r.Schedule), MakeStamp(r.From), MakeStamp(r.Until), string(r.Effect), MakeStamp(r.Created),
			r.Code.Reveal(), string(r.CodeOf)}
	},
	unpack: func(id string, s grantRecord) (access.Grant, error) {
		g := access.Grant{ID: access.ID(id), SubjectKind: access.SubjectKind(s.SubjectKind),
			Subject: access.ID(s.Subject),
			Target:  access.ID(s.Target), TargetGroup: access.ID(s.TargetGroup),
			Schedule: access.ID(s.Schedule),
			From:     s.From.Time(), Until: s.Until.Time(), Effect: access.Effect(s.Effect),
			Created: s.Created.Time(), Code: keys.Hide(s.Code), CodeOf: access.ID(s.CodeOf)}
		for _, a := range s.Actions {
			g.Actions = append(g.Actions, wire.Action(a))
		}
		return g, nil
	},
}
