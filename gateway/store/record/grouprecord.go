package record

import "latchkey/gateway/access"

const KindGroup = 'g'

type groupRecord struct {
	Name    string   `cbor:"1,keyasint"`
	Of      string   `cbor:"2,keyasint"`
	Members []string `cbor:"3,keyasint,omitempty"`
	Created *Stamp   `cbor:"4,keyasint,omitempty"`
}

var groupCodec = &codec[access.Group, groupRecord]{
	kind:   access.Groups,
	letter: KindGroup,
	id:     func(r access.Group) string { return string(r.ID) },
	pack: func(r access.Group) groupRecord {
		return groupRecord{r.Name, string(r.Of), convert[string](r.Members), MakeStamp(r.Created)}
	},
	unpack: func(id string, s groupRecord) (access.Group, error) {
		return access.Group{ID: access.ID(id), Name: s.Name, Of: access.GroupOf(s.Of),
			Members: convert[access.ID](s.Members),
			Created: s.Created.Time()}, nil
	},
}
