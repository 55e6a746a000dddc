package folder

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"strconv"
)

// Log is one of Badger's logs, read without Badger. A .mem holds the transactions that are not in a
// table yet; a .vlog holds large values.
//
//	id of a key (8 bytes, 0) | unused (12) | entries | zeros
//	entry = meta (1) | user meta (1) | sizes of key and value, expiry (varints) | key | value
//	        | CRC-32C of all that (4)
//
// In a .mem a transaction ends with an entry that holds its version. Badger assumes that all bytes
// after the last whole transaction are from a write that a crash cut off, and silently drops them.
// So this package must find out whether they are.
type Log struct {
	End     int // offset behind the last whole transaction
	Entries []LogEntry
}

type LogEntry struct {
	entry
	At, Size int
}

const (
	logHeadSize = 20

	metaPointer = 1 << 1 // the value is in the value log
	metaTxn     = 1 << 6 // part of a transaction
	metaFin     = 1 << 7 // ends one
)

var txnEnd = []byte("!badger!txn")

// ParseLog reads a log. It returns an error if bytes were changed after they were written.
func ParseLog(b []byte) (*Log, error) {
	l := &Log{End: min(logHeadSize, len(b))}
	used := UsedSize(b)
	if used == 0 && len(b) > logHeadSize || len(b) == 0 {
		return l, nil // new: nothing was written yet
	}
	if len(b) < logHeadSize || binary.BigEndian.Uint64(b) != 0 {
		return l, errors.New("does not begin as such a file does")
	}
	at, version := logHeadSize, uint64(0)
	var open []LogEntry // of a transaction
	for {
		e, ok := parseEntry(b, at)
		if !ok {
			break
		}
		at += e.Size
		switch {
		case e.meta&metaFin != 0:
			n, err := strconv.ParseUint(string(e.value), 10, 64)
			if err != nil || n != version {
				return l, fmt.Errorf("the transaction at byte %d does not end as it began", l.End)
			}
			l.Entries, l.End, open, version = append(l.Entries, open...), at, nil, 0
		case e.meta&metaTxn != 0:
			if version != 0 && e.version != version {
				return l, fmt.Errorf("the transaction at byte %d does not end", l.End)
			}
			open, version = append(open, e), e.version
		case version != 0:
			return l, fmt.Errorf("the transaction at byte %d does not end", l.End)
		default:
			l.Entries, l.End = append(l.Entries, e), at
		}
	}
	if used > at && !torn(b, at, used, version) {
		return l, fmt.Errorf("the entry at byte %d does not match its checksum", at)
	}
	return l, nil
}

func parseEntry(b []byte, at int) (e LogEntry, ok bool) {
	h := b[at:]
	if len(h) < 5 {
		return e, false
	}
	n := 2
	var sizes [3]uint64 // key, value, expiry
	for i := range sizes {
		v, k := binary.Uvarint(h[n:])
		if k <= 0 {
			return e, false
		}
		sizes[i], n = v, n+k
	}
	// The store writes no user meta, no expiry and no long keys.
	if h[1] != 0 || sizes[2] != 0 || sizes[0] < 8 || sizes[0] > 128 || sizes[1] > uint64(len(h)) {
		return e, false
	}
	key := n + int(sizes[0])
	value := key + int(sizes[1])
	if value+4 > len(h) || crc32.Checksum(h[:value], castagnoli) != binary.BigEndian.Uint32(h[value:]) {
		return e, false
	}
	e.entry = entry{string(h[n : key-8]), ^binary.BigEndian.Uint64(h[key-8 : key]), h[0], h[key:value]}
	e.At, e.Size = at, value+4
	return e, true
}

// UsedSize returns the size of b without the zeros at its end. A log is made as a file of many
// megabytes of zeros, so they are compared in blocks.
func UsedSize(b []byte) int {
	n := len(b)
	for n >= len(zeros) && bytes.Equal(b[n-len(zeros):n], zeros[:]) {
		n -= len(zeros)
	}
	return len(bytes.TrimRight(b[:n], "\x00"))
}

var zeros [4096]byte

// sectorSize is the smallest unit that a disk writes as a whole.
const sectorSize = 512

// torn tells whether the bytes from the bad entry at `at` up to `used` can be the rest of a
// transaction that a crash cut off. Such a transaction was never acknowledged, so nothing is lost
// with it. version is the transaction's version if some entry of it is whole, else 0.
//
// A killed process leaves a part of the entry that it was copying, and nothing behind it. The
// missing part may be the beginning: Go copies in blocks and may store the first one last. A power
// failure leaves out sectors, in any order. In both cases the missing bytes are zero.
func torn(b []byte, at, used int, version uint64) bool {
	follows := false
	for i := at + 1; i < used; i++ {
		e, ok := parseEntry(b, i)
		if !ok {
			continue
		}
		if version != 0 && e.version != version {
			return false // another one was begun, so this one was already durable
		}
		follows, version, i = true, e.version, i+e.Size-1
	}
	if follows {
		return lacksSector(b, at, used)
	}
	return version == 0 || !wrongEnd(b[at:], used-at, version)
}

// lacksSector tells whether one sector of those bytes was never written.
func lacksSector(b []byte, at, used int) bool {
	for from := at; from < used; {
		to := min(from/sectorSize*sectorSize+sectorSize, used)
		if to-from >= 16 && len(bytes.Trim(b[from:to], "\x00")) == 0 {
			return true
		}
		from = to
	}
	return false
}

// wrongEnd tells whether b, of which so much is used, is the end of the transaction of that version
// except for a wrong byte or two. Bytes that were not written yet are zero.
func wrongEnd(b []byte, used int, version uint64) bool {
	text := strconv.FormatUint(version, 10)
	want := []byte{metaFin, 0, byte(len(txnEnd) + 8), byte(len(text)), 0}
	want = append(want, txnEnd...)
	want = binary.BigEndian.AppendUint64(want, ^version)
	want = append(want, text...)
	want = binary.BigEndian.AppendUint32(want, crc32.Checksum(want, castagnoli))
	if used > len(want) || len(want) > len(b) {
		return false
	}
	differ, wrong := 0, false
	for i, c := range want {
		if b[i] != c {
			differ++
			wrong = wrong || b[i] != 0
		}
	}
	return wrong && differ <= 2
}

// pointer is the place of a value in the value log.
type pointer struct{ file, size, at uint32 }

// points returns the place of an entry's value, if that is in the value log.
func (e *entry) points() (p pointer, ok bool) {
	if e.meta&metaPointer == 0 || len(e.value) != 12 {
		return p, false
	}
	// Badger writes the struct in the machine's byte order.
	return pointer{binary.NativeEndian.Uint32(e.value), binary.NativeEndian.Uint32(e.value[4:]),
		binary.NativeEndian.Uint32(e.value[8:])}, true
}
