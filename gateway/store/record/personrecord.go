package record

import "latchkey/gateway/access"

const KindPerson = 'p'

type personRecord struct {
	Name      string `cbor:"1,keyasint"`
	Suspended bool   `cbor:"2,keyasint,omitempty"`
	Created   *Stamp `cbor:"3,keyasint,omitempty"`
}

var personCodec = &codec[access.Person, personRecord]{
	kind:   access.Persons,
	letter: KindPerson,
	id:     func(r access.Person) string { return string(r.ID) },
	pack: func(r access.Person) personRecord {
		return personRecord{r.Name, r.Suspended, MakeStamp(r.Created)}
	},
	unpack: func(id string, s personRecord) (access.Person, error) {
		return access.Person{ID: access.ID(id), Name: s.Name, Suspended: s.Suspended,
			Created: s.Created.Time()}, nil
	},
}
