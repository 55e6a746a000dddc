package record

import "latchkey/gateway/access"

const KindSchedule = 'w'

type scheduleRecord struct {
	Name    string `cbor:"1,keyasint"`
	Text    string `cbor:"2,keyasint"`
	Created *Stamp `cbor:"3,keyasint,omitempty"`
}

var scheduleCodec = &codec[access.Schedule, scheduleRecord]{
	kind:   access.Schedules,
	letter: KindSchedule,
	id:     func(r access.Schedule) string { return string(r.ID) },
	pack: func(r access.Schedule) scheduleRecord {
		return scheduleRecord{r.Name, r.Text, MakeStamp(r.Created)}
	},
	unpack: func(id string, s scheduleRecord) (access.Schedule, error) {
		return access.Schedule{ID: access.ID(id), Name: s.Name, Text: s.Text, Created: s.Created.Time()}, nil
	},
}
