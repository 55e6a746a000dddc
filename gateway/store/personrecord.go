package store

import "latchkey/gateway/access"

const kindPerson = 'p'

type personRecord struct {
	Name      string `cbor:"1,keyasint"`
	Suspended bool   `cbor:"2,keyasint,omitempty"`
	Created   *stamp `cbor:"3,keyasint,omitempty"`
}

var personCodec = &codec[access.Person, personRecord]{
	kind:   access.Persons,
	letter: kindPerson,
	id:     func(r access.Person) string { return string(r.ID) },
	pack: func(r access.Person) personRecord {
		return personRecord{r.Name, r.Suspended, stampOf(r.Created)}
	},
	unpack: func(id string, s personRecord) (access.Person, error) {
		return access.Person{ID: access.ID(id), Name: s.Name, Suspended: s.Suspended, Created: s.Created.time()}, nil
	},
}
