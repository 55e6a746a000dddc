package wire

import (
	"cmp"
	"math"
	"unicode/utf8"
)

const (
	MaxRecords = 16 // records of a report, the age among them
	MaxName    = 64 // characters of a resolved name: RFC 8428's own examples need 34
	MaxText    = 64 // bytes of a unit or a text value
)

// Report is a SenML pack (RFC 8428) with its base fields applied. A record named "age" with the
// unit "ms" is this system's own and becomes Age.
type Report struct {
	Age          int32 // ms from receiving the Echo to the reading; 0 if the pack has none
	Measurements []Measurement
}

// ValueType tells which value of a measurement is set.
type ValueType uint8

const (
	NoValue     ValueType = 0 // a sum alone
	NumberValue ValueType = 1
	TextValue   ValueType = 2
	FlagValue   ValueType = 3
)

// Measurement is one resolved SenML record (RFC 8428 §4.6), except that Time stays as it was sent:
// seconds, since 1970 from 2^28 on and relative to the arrival of the report below that (§4.5.3).
type Measurement struct {
	Name       string // 1…64 of A–Z a–z 0–9 - : . / _, the first a letter or digit
	Unit       string // may be empty
	Time       float64
	UpdateTime float64 // seconds until the next reading at the latest, 0 if not given
	Type       ValueType
	Number     float64 // finite
	Text       string
	Flag       bool
	HasSum     bool
	Sum        float64
}

const (
	ageName = "age"
	ageUnit = "ms"

	maxVersion = 10.0 // the version of RFC 8428, and its default
)

// ParseReport reads a SenML pack in CBOR (112) or JSON (110). Beyond the RFC it refuses indefinite
// lengths, tags (so no decimal fractions), data values, repeated labels, and more than the limits
// above. Unknown labels are ignored, those that end in "_" refused (§4.4). Errors wrap ErrMalformed
// or ErrFormat.
func ParseReport(f Format, b []byte) (Report, error) {
	if f != SenMLCBOR && f != SenMLJSON {
		return Report{}, unsupported("report", f)
	}
	if len(b) > MaxReport {
		return Report{}, tooLong("report", MaxReport)
	}
	var pack []senml
	var why string
	if f == SenMLCBOR {
		pack, why = parsePackCBOR(b)
	} else {
		pack, why = parsePackJSON(b)
	}
	if why != "" {
		return Report{}, malformed("report", why)
	}
	if len(pack) == 0 || len(pack) > MaxRecords {
		return Report{}, malformed("report", "it has no record, or too many")
	}
	r, why := resolve(pack)
	if why != "" {
		return Report{}, malformed("report", why)
	}
	return r, nil
}

// Append writes r after dst, resolved and with the age first, and returns the extended slice; on an
// impossible value it returns dst and an error.
func (r Report) Append(dst []byte, f Format) ([]byte, error) {
	if f != SenMLCBOR && f != SenMLJSON {
		return dst, unsupported("report", f)
	}
	pack := make([]Measurement, 0, 1+len(r.Measurements))
	if r.Age != 0 {
		pack = append(pack, Measurement{Name: ageName, Unit: ageUnit, Type: NumberValue,
			Number: float64(r.Age)})
	}
	for _, m := range r.Measurements {
		if why := m.check(); why != "" {
			return dst, malformed("report", why)
		}
		if m.Name == ageName {
			return dst, malformed("report", "the name age is taken")
		}
		pack = append(pack, m)
	}
	if len(pack) == 0 || len(pack) > MaxRecords {
		return dst, malformed("report", "it has no record, or too many")
	}
	b, err := encodePack(pack, f)
	if err != nil {
		return dst, malformed("report", "it has no encoding")
	}
	if len(b) > MaxReport {
		return dst, tooLong("report", MaxReport)
	}
	return append(dst, b...), nil
}

// Encode returns r as a SenML pack in CBOR (112) or JSON (110).
func (r Report) Encode(f Format) ([]byte, error) { return r.Append(nil, f) }

// resolve applies the base fields (RFC 8428 §4.1, §4.5) and takes out the age.
func resolve(pack []senml) (r Report, why string) {
	var base senml
	seen := false
	version := cmp.Or(pack[0].version, maxVersion)
	for i := range pack {
		rec := &pack[i]
		if v := cmp.Or(rec.version, version); v != version || v > maxVersion {
			return Report{}, "bver is unknown, or not the same throughout" // §4.4
		}
		base.inherit(rec)
		m, why := rec.measure(&base)
		if why == "" {
			why = m.check()
		}
		if why != "" {
			return Report{}, why
		}
		if m.Name != ageName {
			r.Measurements = append(r.Measurements, m)
			continue
		}
		if seen || m.Unit != ageUnit || m.Type != NumberValue || m.Number != math.Trunc(m.Number) ||
			m.Number < math.MinInt32 || m.Number > math.MaxInt32 {
			return Report{}, "age must be one whole number of ms"
		}
		seen = true
		r.Age = int32(m.Number)
	}
	return r, ""
}

// check returns why m cannot be in a report, or an empty text.
func (m *Measurement) check() string {
	switch {
	case !validName(m.Name):
		return "n is missing, too long or not of SenML characters"
	case len(m.Unit) > MaxText || !utf8.ValidString(m.Unit):
		return "a unit is too long or not UTF-8"
	case len(m.Text) > MaxText || !utf8.ValidString(m.Text):
		return "a text is too long or not UTF-8"
	case !finite(m.Number) || !finite(m.Sum) || !finite(m.Time) || !finite(m.UpdateTime):
		return "a number is not finite"
	case m.Type > FlagValue || m.Type == NoValue && !m.HasSum:
		return "a record has no value"
	}
	return ""
}

func validName(s string) bool {
	if len(s) == 0 || len(s) > MaxName {
		return false
	}
	for i := range len(s) {
		switch c := s[i]; {
		case c >= 'a' && c <= 'z', c >= 'A' && c <= 'Z', c >= '0' && c <= '9':
		case i > 0 && (c == '-' || c == ':' || c == '.' || c == '/' || c == '_'):
		default:
			return false
		}
	}
	return true
}

func finite(v float64) bool { return !math.IsInf(v, 0) && !math.IsNaN(v) }
