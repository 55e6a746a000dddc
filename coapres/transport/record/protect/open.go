package protect

import (
	"encoding/binary"
	"slices"

	"latchkey/coapres/transport/record"
)

// Opener opens the records that an association receives, each number once. It is not safe for
// concurrent use.
type Opener struct {
	direction
	window Window
}

// Record is an opened record.
type Record struct {
	Type    uint8 // of the content: alert, handshake or application data
	Content []byte
	Number  uint64
	// Newest tells that no record with a higher number was opened before. Only such a record may
	// move the other side's address (RFC 9146 §6).
	Newest bool
}

// NewOpener returns an Opener with an empty window. cid is our connection ID: if it is not empty,
// all records must have it, otherwise none.
func NewOpener(k Key, cid []byte) (*Opener, error) {
	d, err := newDirection(k, cid)
	if err != nil {
		return nil, err
	}
	return &Opener{direction: d}, nil
}

// Window returns which records were opened.
func (o *Opener) Window() Window { return o.window }

// Continue sets which records were opened before, by an Opener with the same key. It must be called
// before the first Open.
func (o *Opener) Continue(w Window) { o.window = w }

// Open opens one whole record. The content is appended to dst, whose room must not overlap r: r is
// never changed, so that other keys can be tried. If Open returns an error, the bytes that it wrote
// are zero. With [ErrContent] the record was authentic and its number counts as received; with every
// other error nothing has changed.
func (o *Opener) Open(dst, r []byte, s *Scratch) (Record, error) {
	size, ok := o.parse(r)
	if !ok {
		return Record{}, ErrMalformed
	}
	number := binary.BigEndian.Uint64(r[3:]) & (1<<48 - 1)
	if !o.window.Check(number) {
		return Record{}, ErrReplayed
	}

	header, explicit := r[:o.header()], r[o.header():o.header()+o.explicit()]
	sealed := r[len(header)+len(explicit):]
	o.setNonce(s, header[3:11], explicit)
	data := o.setData(s, header, size)
	start := len(dst)
	dst = slices.Grow(dst, size)
	out, err := o.decrypt(dst, sealed, data, s)
	if err != nil {
		clear(dst[start : start+size]) // it is already, but cipher.AEAD does not promise it
		return Record{}, ErrForged
	}

	rec := Record{Type: r[0], Content: out[start:], Number: number, Newest: o.window.Mark(number)}
	if len(o.cid) > 0 {
		rec.Type, rec.Content = unpad(rec.Content)
	}
	if !isContent(rec.Type, rec.Content) {
		clear(out[start:])
		return Record{}, ErrContent
	}
	return rec, nil
}

func (o *Opener) decrypt(dst, sealed, data []byte, s *Scratch) ([]byte, error) {
	if o.chacha != nil {
		return o.chacha.Open(dst, s.nonce[:], sealed, data)
	}
	return o.mode.Open(dst, s.nonce[:], sealed, data, &s.mode)
}

// parse checks the header of a record and returns the length of what is sealed.
func (o *Opener) parse(r []byte) (size int, ok bool) {
	head := o.header()
	size = len(r) - head - o.explicit() - int(o.tag)
	most := MaxContent
	if len(o.cid) > 0 {
		most++ // the type; content and padding share the rest
	}
	if size < 0 || size > most || r[1] != 0xfe || r[2] != 0xfd ||
		binary.BigEndian.Uint16(r[3:]) != epoch || int(binary.BigEndian.Uint16(r[head-2:])) != len(r)-head {
		return 0, false
	}
	if len(o.cid) > 0 {
		return size, r[0] == record.TLS12CID && string(r[11:head-2]) == string(o.cid)
	}
	return size, r[0] == record.ApplicationData || r[0] == record.Alert || r[0] == record.Handshake
}

// unpad takes an inner plaintext apart (RFC 9146 §4). One of zeros only has no type, and 0 is
// returned.
func unpad(inner []byte) (typ uint8, content []byte) {
	n := len(inner)
	for n > 0 && inner[n-1] == 0 {
		n--
	}
	if n == 0 {
		return 0, nil
	}
	return inner[n-1], inner[:n-1]
}
