package wire

import (
	"bytes"
	"encoding/json"
	"math"
	"slices"
	"strconv"
	"strings"
	"unicode/utf8"

	"github.com/fxamacker/cbor/v2"
)

// senml is a record as it was sent, before the base fields are applied. A nil pointer is an absent
// field.
type senml struct {
	version                                        float64 // 0 if absent
	baseName, baseUnit, name, unit, text           *string
	baseTime, baseValue, baseSum, value, sum, time *float64
	updateTime                                     *float64
	flag                                           *bool
}

// Labels of RFC 8428 §4.3; the index of baseLabels is −1 − the CBOR label, the index of labels the
// CBOR label.
var (
	baseLabels = []string{"bver", "bn", "bt", "bu", "bv", "bs"}
	labels     = []string{"n", "u", "v", "vs", "vb", "s", "t", "ut", "vd"}
)

// set sets one field. Values are float64, string or bool; anything else fits no label.
func (s *senml) set(name string, v any) (why string) {
	ok := true
	switch name {
	case "bver":
		s.version, ok = v.(float64)
		ok = ok && s.version >= 1 && s.version == math.Trunc(s.version)
	case "bn":
		ok = take(&s.baseName, v)
	case "bt":
		ok = take(&s.baseTime, v)
	case "bu":
		ok = take(&s.baseUnit, v)
	case "bv":
		ok = take(&s.baseValue, v)
	case "bs":
		ok = take(&s.baseSum, v)
	case "n":
		ok = take(&s.name, v)
	case "u":
		ok = take(&s.unit, v)
	case "v":
		ok = take(&s.value, v)
	case "vs":
		ok = take(&s.text, v)
	case "vb":
		ok = take(&s.flag, v)
	case "s":
		ok = take(&s.sum, v)
	case "t":
		ok = take(&s.time, v)
	case "ut":
		ok = take(&s.updateTime, v)
	case "vd":
		return "data values are not taken"
	default:
		if strings.HasSuffix(name, "_") {
			return "a label that must be understood is not"
		}
	}
	if !ok {
		return name + " is not of its type"
	}
	return ""
}

func take[T any](field **T, v any) bool {
	t, ok := v.(T)
	*field = &t
	return ok
}

// inherit takes over the base fields of rec, which apply from that record on (RFC 8428 §4.1).
func (s *senml) inherit(rec *senml) {
	s.baseName = later(s.baseName, rec.baseName)
	s.baseTime = later(s.baseTime, rec.baseTime)
	s.baseUnit = later(s.baseUnit, rec.baseUnit)
	s.baseValue = later(s.baseValue, rec.baseValue)
	s.baseSum = later(s.baseSum, rec.baseSum)
}

func later[T any](was, is *T) *T {
	if is != nil {
		return is
	}
	return was
}

func or[T any](p *T) (v T) {
	if p != nil {
		v = *p
	}
	return v
}

// measure resolves a record (RFC 8428 §4.5). If only one of base value and value is there, the
// other is zero; the same holds for base sum and sum.
func (s *senml) measure(base *senml) (m Measurement, why string) {
	m.Name = or(base.baseName) + or(s.name)
	m.Unit = or(later(base.baseUnit, s.unit))
	m.Time = or(base.baseTime) + or(s.time)
	m.UpdateTime = or(s.updateTime)
	values := 0
	if s.text != nil {
		m.Type, m.Text = TextValue, *s.text
		values++
	}
	if s.flag != nil {
		m.Type, m.Flag = FlagValue, *s.flag
		values++
	}
	if s.value != nil || base.baseValue != nil && values == 0 && s.sum == nil {
		m.Type, m.Number = NumberValue, or(base.baseValue)+or(s.value)
		values++
	}
	if values > 1 {
		return m, "a record has two values"
	}
	if s.sum != nil || base.baseSum != nil {
		m.HasSum, m.Sum = true, or(base.baseSum)+or(s.sum)
	}
	return m, ""
}

var senmlDec = must(cbor.DecOptions{
	DupMapKey:        cbor.DupMapKeyEnforcedAPF,
	IndefLength:      cbor.IndefLengthForbidden,
	TagsMd:           cbor.TagsForbidden,
	NaN:              cbor.NaNDecodeForbidden,
	Inf:              cbor.InfDecodeForbidden,
	MaxNestedLevels:  4,
	MaxArrayElements: MaxRecords,
	MaxMapPairs:      32,
}.DecMode())

var senmlEnc = must(cbor.CoreDetEncOptions().EncMode())

func must[T any](v T, err error) T {
	if err != nil {
		panic(err) // options written above
	}
	return v
}

func parsePackCBOR(b []byte) (pack []senml, why string) {
	var maps []map[any]any
	if err := senmlDec.Unmarshal(b, &maps); err != nil {
		return nil, "not a pack in CBOR" // the library's text may quote the body
	}
	pack = make([]senml, len(maps))
	for i, fields := range maps {
		for k, v := range fields {
			name, ok := labelOf(k)
			if !ok {
				return nil, "a label is neither an integer of SenML nor text"
			}
			if name == "bver" {
				if _, ok := v.(uint64); !ok {
					return nil, "bver is not of its type"
				}
			}
			if why := pack[i].set(name, number(v)); why != "" {
				return nil, why
			}
		}
	}
	return pack, ""
}

// labelOf returns the name of a CBOR label. A name that has an integer label may not come as text:
// a field could come twice.
func labelOf(k any) (name string, ok bool) {
	switch k := k.(type) {
	case uint64:
		if k < uint64(len(labels)) {
			return labels[k], true
		}
		return "", true // unknown, to be ignored
	case int64:
		if i := -1 - k; i >= 0 && i < int64(len(baseLabels)) {
			return baseLabels[i], true
		}
		return "", true
	case string:
		return k, !slices.Contains(labels, k) && !slices.Contains(baseLabels, k)
	}
	return "", false
}

func number(v any) any {
	switch v := v.(type) {
	case uint64:
		return float64(v)
	case int64:
		return float64(v)
	}
	return v
}

func parsePackJSON(b []byte) (pack []senml, why string) {
	const notPack = "not a pack in JSON"
	if !utf8.Valid(b) || !json.Valid(b) {
		return nil, notPack
	}
	d := json.NewDecoder(bytes.NewReader(b))
	d.UseNumber()
	if t, err := d.Token(); err != nil || t != json.Delim('[') {
		return nil, notPack
	}
	for d.More() {
		if t, err := d.Token(); err != nil || t != json.Delim('{') {
			return nil, notPack
		}
		var rec senml
		var seen []string
		for d.More() {
			t, err := d.Token()
			name, ok := t.(string)
			if err != nil || !ok {
				return nil, notPack
			}
			if slices.Contains(seen, name) {
				return nil, "a label is repeated"
			}
			seen = append(seen, name)
			var v any
			if err := d.Decode(&v); err != nil {
				return nil, notPack
			}
			if n, ok := v.(json.Number); ok {
				if v, err = strconv.ParseFloat(n.String(), 64); err != nil {
					return nil, "a number is out of range"
				}
			}
			if why := rec.set(name, v); why != "" {
				return nil, why
			}
		}
		if _, err := d.Token(); err != nil {
			return nil, notPack
		}
		pack = append(pack, rec)
	}
	return pack, ""
}

// packRecord is a resolved record, for both encodings.
type packRecord struct {
	Name       string  `cbor:"0,keyasint" json:"n"`
	Unit       string  `cbor:"1,keyasint,omitempty" json:"u,omitempty"`
	Value      any     `cbor:"2,keyasint,omitempty" json:"v,omitempty"`
	Text       *string `cbor:"3,keyasint,omitempty" json:"vs,omitempty"`
	Flag       *bool   `cbor:"4,keyasint,omitempty" json:"vb,omitempty"`
	Sum        any     `cbor:"5,keyasint,omitempty" json:"s,omitempty"`
	Time       any     `cbor:"6,keyasint,omitempty" json:"t,omitempty"`
	UpdateTime any     `cbor:"7,keyasint,omitempty" json:"ut,omitempty"`
}

func encodePack(ms []Measurement, f Format) ([]byte, error) {
	pack := make([]packRecord, len(ms))
	for i := range ms {
		m, p := &ms[i], &pack[i]
		p.Name, p.Unit = m.Name, m.Unit
		switch m.Type {
		case NumberValue:
			p.Value = compact(m.Number)
		case TextValue:
			p.Text = &m.Text
		case FlagValue:
			p.Flag = &m.Flag
		}
		if m.HasSum {
			p.Sum = compact(m.Sum)
		}
		if m.Time != 0 {
			p.Time = compact(m.Time)
		}
		if m.UpdateTime != 0 {
			p.UpdateTime = compact(m.UpdateTime)
		}
	}
	if f == SenMLCBOR {
		return senmlEnc.Marshal(pack)
	}
	return json.Marshal(pack)
}

// compact turns whole numbers into integers, which take fewer bytes in CBOR than floats.
func compact(v float64) any {
	if v == math.Trunc(v) && math.Abs(v) <= maxCounter {
		return int64(v)
	}
	return v
}
