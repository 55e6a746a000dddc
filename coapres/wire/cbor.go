package wire

import (
	"encoding/binary"
	"fmt"
	"unicode/utf8"
)

// Major types of RFC 8949 §3.1, as the top three bits of an item's first byte.
const (
	majorUint  = 0 << 5
	majorNint  = 1 << 5
	majorBytes = 2 << 5
	majorText  = 3 << 5
	majorArray = 4 << 5
	majorMap   = 5 << 5

	cborFalse = 0xf4
	cborTrue  = 0xf5
)

// head reads the start of a data item: its major type and argument, in the shortest form only (RFC
// 8949 §4.2.1). For indefinite lengths, reserved forms and simple values ok is false.
func head(b []byte) (major byte, arg uint64, rest []byte, ok bool) {
	if len(b) == 0 {
		return 0, 0, nil, false
	}
	major, low := b[0]&0xe0, b[0]&0x1f
	b = b[1:]
	switch {
	case low < 24:
		return major, uint64(low), b, true
	case low == 24 && len(b) >= 1:
		arg = uint64(b[0])
		return major, arg, b[1:], arg >= 24
	case low == 25 && len(b) >= 2:
		arg = uint64(binary.BigEndian.Uint16(b))
		return major, arg, b[2:], arg > 0xff
	case low == 26 && len(b) >= 4:
		arg = uint64(binary.BigEndian.Uint32(b))
		return major, arg, b[4:], arg > 0xffff
	case low == 27 && len(b) >= 8:
		arg = binary.BigEndian.Uint64(b)
		return major, arg, b[8:], arg > 0xffffffff
	}
	return 0, 0, nil, false
}

func appendHead(b []byte, major byte, arg uint64) []byte {
	switch {
	case arg < 24:
		return append(b, major|byte(arg))
	case arg <= 0xff:
		return append(b, major|24, byte(arg))
	case arg <= 0xffff:
		return binary.BigEndian.AppendUint16(append(b, major|25), uint16(arg))
	case arg <= 0xffffffff:
		return binary.BigEndian.AppendUint32(append(b, major|26), uint32(arg))
	}
	return binary.BigEndian.AppendUint64(append(b, major|27), arg)
}

// parseCBOR reads one map with the labels above and elective keys in ascending order, and nothing
// after it. It returns what is wrong, or an empty text.
func (r *record) parseCBOR(sh *shape, b []byte) string {
	major, pairs, b, ok := head(b)
	if !ok || major != majorMap {
		return "not a map in its shortest form"
	}
	last := uint64(0)
	for range pairs {
		var key uint64
		if major, key, b, ok = head(b); !ok || major != majorUint {
			return "a key is no unsigned integer in shortest form"
		}
		l, known := sh.findKey(key)
		elective := !known && key >= firstElective && sh.grows
		if !known && !elective {
			return unknownKey(key)
		}
		if key <= last {
			return "keys are repeated or not in ascending order"
		}
		last = key
		if elective {
			if b, ok = skip(b); !ok {
				return badElective(key)
			}
			continue
		}
		if b, ok = r.parseValue(l, b); !ok {
			return fields[l].name + " is not of its type or shortest form"
		}
	}
	if len(b) != 0 {
		return "bytes after the map"
	}
	return ""
}

// unknownKey names only a small key: a large one may be anything.
func unknownKey(key uint64) string {
	if key > 255 {
		return "unknown key"
	}
	return fmt.Sprintf("unknown key %d", key)
}

func badElective(key uint64) string {
	if key > 255 {
		return "an elective key has no such value"
	}
	return fmt.Sprintf("elective key %d has no such value", key)
}

// skip passes over the value of an elective member: a scalar, or an array of scalars.
func skip(b []byte) (rest []byte, ok bool) {
	major, items, in, ok := head(b)
	if !ok || major != majorArray {
		return skipScalar(b)
	}
	b = in
	for range items {
		if b, ok = skipScalar(b); !ok {
			return nil, false
		}
	}
	return b, true
}

func skipScalar(b []byte) (rest []byte, ok bool) {
	if len(b) > 0 && (b[0] == cborFalse || b[0] == cborTrue) {
		return b[1:], true
	}
	major, arg, b, ok := head(b)
	switch {
	case !ok:
		return nil, false
	case major == majorUint || major == majorNint:
		return b, true
	case major != majorBytes && major != majorText || arg > uint64(len(b)):
		return nil, false
	}
	return b[arg:], major == majorBytes || utf8.Valid(b[:arg])
}

func (r *record) parseValue(l label, b []byte) (rest []byte, ok bool) {
	if fields[l].syntax == boolean {
		if len(b) == 0 || b[0] != cborFalse && b[0] != cborTrue {
			return nil, false
		}
		r.put(l, int64(b[0]-cborFalse))
		return b[1:], true
	}
	major, arg, b, ok := head(b)
	switch {
	case !ok || arg > maxCounter: // no field holds more, and this fits an int64 with either sign
		return nil, false
	case fields[l].syntax == octets:
		if major != majorBytes || arg > uint64(len(b)) {
			return nil, false
		}
		r.putUID(b[:arg])
		return b[arg:], true
	case major == majorUint:
		r.put(l, int64(arg))
		return b, true
	case major == majorNint:
		r.put(l, -1-int64(arg))
		return b, true
	}
	return nil, false
}

func (r *record) appendCBOR(b []byte) []byte {
	pairs := uint64(0)
	for l := labelN; l < labelEnd; l++ {
		if r.present.has(l) {
			pairs++
		}
	}
	b = appendHead(b, majorMap, pairs)
	for l := labelN; l < labelEnd; l++ {
		if !r.present.has(l) {
			continue
		}
		b = appendHead(b, majorUint, l.key())
		switch v := r.num[l]; {
		case fields[l].syntax == octets:
			b = append(appendHead(b, majorBytes, uint64(len(r.uid))), r.uid...)
		case fields[l].syntax == boolean:
			b = append(b, cborFalse+byte(v))
		case v < 0:
			b = appendHead(b, majorNint, uint64(-1-v))
		default:
			b = appendHead(b, majorUint, uint64(v))
		}
	}
	return b
}
