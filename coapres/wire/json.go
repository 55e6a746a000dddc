package wire

import (
	"bytes"
	"encoding/hex"
	"encoding/json"
	"slices"
	"strconv"
	"strings"
	"unicode/utf8"
)

// parseJSON reads one object with the names of the fields. encoding/json accepts repeated names,
// names in another case and null, so this function walks the tokens. It returns what is wrong, or
// an empty text.
func (r *record) parseJSON(sh *shape, b []byte) string {
	if !utf8.Valid(b) || !json.Valid(b) { // Decoder.Token alone is too forgiving about commas
		return "not one JSON value in UTF-8"
	}
	d := json.NewDecoder(bytes.NewReader(b))
	d.UseNumber()
	if t, err := d.Token(); err != nil || t != json.Delim('{') {
		return "not an object"
	}
	var skipped []string
	for {
		t, err := d.Token()
		if err != nil {
			return "not an object"
		}
		if t == json.Delim('}') {
			return ""
		}
		name, _ := t.(string)
		l := slices.IndexFunc(fields[:], func(f field) bool { return f.name == name })
		if l >= int(labelObeyed) && !sh.optional.has(label(l)) {
			l = 0 // an elective name of another message
		}
		if l <= 0 && sh.grows && strings.HasPrefix(name, electivePrefix) {
			if slices.Contains(skipped, name) {
				return "an elective name is repeated"
			}
			if skipped = append(skipped, name); !skipJSON(d) {
				return "an elective name has no such value"
			}
			continue
		}
		if l <= 0 {
			return "unknown name"
		}
		if r.present.has(label(l)) {
			return fields[l].name + " is repeated"
		}
		if t, err = d.Token(); err != nil || !r.parseToken(label(l), t) {
			return fields[l].name + " is not of its type"
		}
	}
}

// skipJSON passes over the value of an elective member: a scalar, or an array of scalars. The
// caller has checked that the body is valid JSON.
func skipJSON(d *json.Decoder) bool {
	t, err := d.Token()
	if t != json.Delim('[') {
		return err == nil && scalar(t)
	}
	for {
		t, err := d.Token()
		if t == json.Delim(']') {
			return true
		}
		if err != nil || !scalar(t) {
			return false
		}
	}
}

func scalar(t json.Token) bool {
	switch v := t.(type) {
	case json.Number:
		return !strings.ContainsAny(v.String(), ".eE") && v != "-0"
	case string, bool:
		return true
	}
	return false
}

func (r *record) parseToken(l label, t json.Token) bool {
	switch v := t.(type) {
	case json.Number:
		n, err := strconv.ParseInt(v.String(), 10, 64) // refuses fractions and exponents
		r.put(l, n)
		return err == nil && fields[l].syntax == integer && v != "-0"
	case bool:
		r.put(l, 0)
		if v {
			r.put(l, 1)
		}
		return fields[l].syntax == boolean
	case string:
		if fields[l].syntax == octets {
			uid, err := hex.DecodeString(v)
			r.putUID(uid)
			return err == nil
		}
		i := slices.Index(fields[l].words, v)
		r.put(l, fields[l].min+int64(i))
		return fields[l].syntax == word && i >= 0
	}
	return false
}

func (r *record) appendJSON(b []byte) []byte {
	sep := byte('{')
	for l := labelN; l < labelEnd; l++ {
		if !r.present.has(l) {
			continue
		}
		f := &fields[l]
		b = append(append(append(b, sep, '"'), f.name...), '"', ':')
		sep = ','
		switch f.syntax {
		case octets:
			b = append(hex.AppendEncode(append(b, '"'), r.uid), '"')
		case boolean:
			b = strconv.AppendBool(b, r.num[l] == 1)
		case word:
			b = append(append(append(b, '"'), f.words[r.num[l]-f.min]...), '"')
		default:
			b = strconv.AppendInt(b, r.num[l], 10)
		}
	}
	return append(b, '}')
}
