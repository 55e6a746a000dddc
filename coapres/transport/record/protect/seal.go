package protect

import (
	"encoding/binary"
	"fmt"
	"slices"
	"sync/atomic"

	"latchkey/coapres/transport/record"
)

// MaxNumber is the first sequence number that is never used. DTLS has twice as many, and other parts
// of an association may add to a number without a fear of reaching the end.
const MaxNumber = 1 << 47

// Sealer seals the records that an association sends, and owns their sequence numbers: no two
// records of it have the same, which would be the same nonce. It is safe for concurrent use.
type Sealer struct {
	direction
	next atomic.Uint64
}

// NewSealer returns a Sealer. cid is the connection ID that the other side wants in its records; it
// may be empty. first is the number of the first record. It must be above every number that was
// used with this key, by whomever.
func NewSealer(k Key, cid []byte, first uint64) (*Sealer, error) {
	if first > MaxNumber {
		return nil, fmt.Errorf("protect: first record %d: %w", first, ErrNumbers)
	}
	d, err := newDirection(k, cid)
	if err != nil {
		return nil, err
	}
	s := &Sealer{direction: d}
	s.next.Store(first)
	return s, nil
}

// takeNumber returns a number that nobody else gets.
func (s *Sealer) takeNumber() (uint64, error) {
	for {
		n := s.next.Load()
		if n >= MaxNumber {
			return 0, ErrNumbers
		}
		if s.next.CompareAndSwap(n, n+1) {
			return n, nil
		}
	}
}

// End makes every later Seal fail with [ErrNumbers]. It returns the number that the next record
// would have had.
func (s *Sealer) End() uint64 { return s.next.Swap(MaxNumber) }

// Overhead returns how many bytes a record has beside content and padding.
func (s *Sealer) Overhead() int {
	n := s.header() + s.explicit() + int(s.tag)
	if len(s.cid) > 0 {
		n++ // the type
	}
	return n
}

// Seal appends a record with this content to dst. padding zeros hide the content's length; only
// records with a connection ID can have them. Nothing is allocated if dst has room. content must
// not overlap that room.
func (s *Sealer) Seal(dst []byte, typ uint8, content []byte, padding int, sc *Scratch) ([]byte, error) {
	inner := len(content)
	if len(s.cid) > 0 {
		inner += 1 + padding
	}
	switch {
	case !isContent(typ, content):
		return nil, ErrContent
	case padding < 0, padding > 0 && len(s.cid) == 0, padding > MaxContent, inner > MaxContent+1:
		return nil, fmt.Errorf("protect: padding of %d bytes: %w", padding, ErrContent)
	}
	number, err := s.takeNumber()
	if err != nil {
		return nil, err
	}

	start, size := len(dst), s.header()+s.explicit()+inner+int(s.tag)
	dst = slices.Grow(dst, size)
	r := dst[start : start+size]

	header := r[:s.header()]
	header[0], header[1], header[2] = typ, 0xfe, 0xfd
	binary.BigEndian.PutUint64(header[3:], epoch<<48|number)
	copy(header[11:], s.cid)
	binary.BigEndian.PutUint16(header[len(header)-2:], uint16(size-len(header)))
	explicit := r[len(header) : len(header)+s.explicit()]
	copy(explicit, header[3:11])

	plain := r[len(header)+len(explicit):][:inner]
	n := copy(plain, content)
	if len(s.cid) > 0 {
		header[0], plain[n] = record.TLS12CID, typ
		clear(plain[n+1:])
	}

	s.setNonce(sc, header[3:11], explicit)
	data := s.setData(sc, header, inner)
	if s.chacha != nil {
		s.chacha.Seal(plain[:0], sc.nonce[:], plain, data)
	} else {
		s.mode.Seal(plain[:0], sc.nonce[:], plain, data, &sc.mode)
	}
	return dst[:start+size], nil
}

// isContent tells whether a record may have this content. Only application data may be empty (RFC
// 5246 §6.2.1). A ChangeCipherSpec would begin another epoch, which we never do.
func isContent(typ uint8, content []byte) bool {
	switch typ {
	case record.ApplicationData:
		return len(content) <= MaxContent
	case record.Alert, record.Handshake:
		return len(content) > 0 && len(content) <= MaxContent
	}
	return false
}
