package record

import (
	"fmt"

	"latchkey/gateway/access"
	"latchkey/gateway/store/seal"
	"latchkey/keys"
)

const kindKey = 'k'

type keyRecord struct {
	Device   string `cbor:"1,keyasint"`
	Secret   string `cbor:"2,keyasint,omitempty"`
	State    string `cbor:"3,keyasint"`
	Created  *Stamp `cbor:"4,keyasint,omitempty"`
	LastUsed *Stamp `cbor:"5,keyasint,omitempty"`
}

var keyCodec = &codec[keys.Key, keyRecord]{
	kind:   access.Keys,
	letter: kindKey,
	id:     func(r keys.Key) string { return string(r.ID) },
	pack: func(r keys.Key) keyRecord {
		return keyRecord{string(r.Device), r.Secret.Reveal(), string(r.State), MakeStamp(r.Created),
			MakeStamp(r.LastUsed)}
	},
	unpack: func(id string, s keyRecord) (keys.Key, error) {
		k := keys.Key{ID: keys.ID(id), Device: access.ID(s.Device), State: keys.State(s.State),
			Created: s.Created.Time(), LastUsed: s.LastUsed.Time()}
		if s.Secret == "" { // a revoked key may have lost it
			return k, nil
		}
		secret, err := keys.ParseSecret(s.Secret)
		if err != nil {
			return k, fmt.Errorf("%w: %w", seal.ErrCorrupt, err)
		}
		k.Secret = secret
		return k, nil
	},
}
