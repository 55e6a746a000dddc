package record

import "latchkey/gateway/access/retention"

// RetentionKey is the key of the one record that says how long events are kept.
const RetentionKey Key = "v"

type retentionRecord struct {
	Days uint16 `cbor:"1,keyasint"`
}

var retentionCodec = &codec[retention.Setting, retentionRecord]{
	kind:   retention.Kind,
	letter: RetentionKey[0],
	since:  6,
	id:     func(retention.Setting) string { return "" },
	pack: func(r retention.Setting) retentionRecord {
		return retentionRecord{uint16(max(0, min(r.Days, retention.MaxDays+1)))}
	},
	unpack: func(_ string, s retentionRecord) (retention.Setting, error) {
		return retention.Setting{Days: int(s.Days)}, nil
	},
}
