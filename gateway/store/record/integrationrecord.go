package record

import (
	"latchkey/gateway/access"
	"latchkey/gateway/endpoint"
	"latchkey/keys"
)

const (
	KindIntegration = 'i'
	KindPIN         = 'q'
)

// endpointRecord is in the records of integrations and of sinks.
type endpointRecord struct {
	URL      string `cbor:"1,keyasint"`
	User     string `cbor:"2,keyasint,omitempty"`
	Password string `cbor:"3,keyasint,omitempty"`
	CA       string `cbor:"4,keyasint,omitempty"`
	Cert     string `cbor:"5,keyasint,omitempty"`
	Key      string `cbor:"6,keyasint,omitempty"`
	Private  bool   `cbor:"7,keyasint,omitempty"`
}

func packEndpoint(e endpoint.Endpoint) endpointRecord {
	return endpointRecord{e.URL, e.User, e.Password.Reveal(), e.CA, e.Cert, e.Key.Reveal(), e.Private}
}

func (s endpointRecord) unpack() endpoint.Endpoint {
	return endpoint.Endpoint{URL: s.URL, User: s.User, Password: keys.Hide(s.Password), CA: s.CA,
		Cert: s.Cert, Key: keys.Hide(s.Key), Private: s.Private}
}

type integrationRecord struct {
	Name     string         `cbor:"1,keyasint"`
	Endpoint endpointRecord `cbor:"2,keyasint"`
	Base     string         `cbor:"3,keyasint"`
	Prefix   string         `cbor:"4,keyasint"`
	Paused   string         `cbor:"5,keyasint,omitempty"`
	Created  *Stamp         `cbor:"6,keyasint,omitempty"`
}

var integrationCodec = &codec[access.Integration, integrationRecord]{
	kind:   access.Integrations,
	letter: KindIntegration,
	since:  5,
	id:     func(r access.Integration) string { return string(r.ID) },
	pack: func(r access.Integration) integrationRecord {
		return integrationRecord{r.Name, packEndpoint(r.Endpoint), r.Base, r.Prefix, r.Paused,
			MakeStamp(r.Created)}
	},
	unpack: func(id string, s integrationRecord) (access.Integration, error) {
		return access.Integration{ID: access.ID(id), Name: s.Name, Endpoint: s.Endpoint.unpack(),
			Base: s.Base, Prefix: s.Prefix, Paused: s.Paused, Created: s.Created.Time()}, nil
	},
}

type pinRecord struct {
	Hash    string `cbor:"1,keyasint"`
	Created *Stamp `cbor:"2,keyasint,omitempty"`
}

var pinCodec = &codec[access.PIN, pinRecord]{
	kind:   access.PINs,
	letter: KindPIN,
	since:  5,
	id:     func(r access.PIN) string { return string(r.Person) },
	pack:   func(r access.PIN) pinRecord { return pinRecord{r.Hash.Reveal(), MakeStamp(r.Created)} },
	unpack: func(id string, s pinRecord) (access.PIN, error) {
		return access.PIN{Person: access.ID(id), Hash: keys.Hide(s.Hash), Created: s.Created.Time()}, nil
	},
}
