package record

import (
	"encoding/binary"
	"time"

	"latchkey/gateway/audit"
)

// The records that every attempt writes, events and the head, are encoded here by hand: encoding by
// reflection costs several times as much. The bytes are those of encMode, which the tests compare.

// CBOR major types (RFC 8949 §3.1), in the place where they stand in the first byte.
const (
	majorUint   = 0 << 5
	majorNegint = 1 << 5
	majorBytes  = 2 << 5
	majorText   = 3 << 5
	majorArray  = 4 << 5
	majorMap    = 5 << 5

	cborTrue = 0xf5
)

// appendCBORHead appends the shortest head of an item: its type and a number.
func appendCBORHead(b []byte, major byte, n uint64) []byte {
	switch {
	case n < 24:
		return append(b, major|byte(n))
	case n < 1<<8:
		return append(b, major|24, byte(n))
	case n < 1<<16:
		return binary.BigEndian.AppendUint16(append(b, major|25), uint16(n))
	case n < 1<<32:
		return binary.BigEndian.AppendUint32(append(b, major|26), uint32(n))
	default:
		return binary.BigEndian.AppendUint64(append(b, major|27), n)
	}
}

func appendCBORInt(b []byte, n int64) []byte {
	if n < 0 {
		return appendCBORHead(b, majorNegint, uint64(^n)) // −1−n
	}
	return appendCBORHead(b, majorUint, uint64(n))
}

func appendCBORText(b []byte, s string) []byte {
	return append(appendCBORHead(b, majorText, uint64(len(s))), s...)
}

// mapWriter appends a map with small keys to b. Its methods are called in the order of the keys.
type mapWriter struct {
	b  []byte
	at int // of the map's head
}

// beginMap begins a map behind b.
func beginMap(b []byte) mapWriter { return mapWriter{append(b, majorMap), len(b)} }

// key appends a key of at most 23. There are at most 23, so that both fit into one byte.
func (m *mapWriter) key(k byte) {
	m.b[m.at]++
	m.b = append(m.b, k)
}

func (m *mapWriter) uint(k byte, n uint64) {
	m.key(k)
	m.b = appendCBORHead(m.b, majorUint, n)
}

func (m *mapWriter) int(k byte, n int64) {
	m.key(k)
	m.b = appendCBORInt(m.b, n)
}

func (m *mapWriter) text(k byte, s string) {
	m.key(k)
	m.b = appendCBORText(m.b, s)
}

func (m *mapWriter) hash(k byte, h [32]byte) {
	m.key(k)
	m.b = append(appendCBORHead(m.b, majorBytes, uint64(len(h))), h[:]...)
}

func (m *mapWriter) named(k byte, n audit.Named) {
	m.key(k)
	m.b = appendCBORText(appendCBORText(appendCBORHead(m.b, majorArray, 2), string(n.ID)), n.Name)
}

// These leave out a zero value.

func (m *mapWriter) someUint(k byte, n uint64) {
	if n != 0 {
		m.uint(k, n)
	}
}

func (m *mapWriter) someInt(k byte, n int64) {
	if n != 0 {
		m.int(k, n)
	}
}

func (m *mapWriter) someText(k byte, s string) {
	if s != "" {
		m.text(k, s)
	}
}

func (m *mapWriter) someHash(k byte, h [32]byte) {
	if h != [32]byte{} {
		m.hash(k, h)
	}
}

func (m *mapWriter) someTrue(k byte, yes bool) {
	if yes {
		m.key(k)
		m.b = append(m.b, cborTrue)
	}
}

// someTime appends an instant as a [Stamp].
func (m *mapWriter) someTime(k byte, t time.Time) {
	if !t.IsZero() {
		m.key(k)
		m.b = appendCBORInt(appendCBORHead(m.b, majorArray, 2), t.Unix())
		m.b = appendCBORHead(m.b, majorUint, uint64(t.Nanosecond()))
	}
}
