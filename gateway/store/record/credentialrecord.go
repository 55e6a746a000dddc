package record

import (
	"fmt"

	"latchkey/gateway/access"
	"latchkey/gateway/store/seal"
)

const kindCredential = 'c'

type credentialRecord struct {
	Person  string `cbor:"1,keyasint"`
	Tail    string `cbor:"2,keyasint,omitempty"`
	Status  string `cbor:"3,keyasint"`
	From    *Stamp `cbor:"4,keyasint,omitempty"`
	Until   *Stamp `cbor:"5,keyasint,omitempty"`
	Created *Stamp `cbor:"6,keyasint,omitempty"`
}

var credentialCodec = &codec[access.Credential, credentialRecord]{
	kind:   access.Credentials,
	letter: kindCredential,
	id:     func(r access.Credential) string { return string(r.ID[:]) },
	pack: func(r access.Credential) credentialRecord {
		return credentialRecord{string(r.Person), r.Tail, string(r.Status), MakeStamp(r.From),
			MakeStamp(r.Until),
			MakeStamp(r.Created)}
	},
	unpack: func(id string, s credentialRecord) (access.Credential, error) {
		c := access.Credential{Person: access.ID(s.Person), Tail: s.Tail,
			Status: access.CredentialStatus(s.Status),
			From:   s.From.Time(), Until: s.Until.Time(), Created: s.Created.Time()}
		if copy(c.ID[:], id) != len(id) || len(id) != len(c.ID) {
			return c, fmt.Errorf("key length: %w", seal.ErrCorrupt)
		}
		return c, nil
	},
}
