package record

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/binary"
	"hash"
	"math/bits"
)

// Sum is an element of the integers mod 2^256, most significant word first. A digest over many
// records is the sum of their leaves, so one change among 100,000 costs two leaves, and the order
// does not matter.
type Sum [4]uint64

func (a Sum) plus(b Sum) (r Sum) {
	var carry uint64
	for i := 3; i >= 0; i-- {
		r[i], carry = bits.Add64(a[i], b[i], carry)
	}
	return r
}

func (a Sum) minus(b Sum) (r Sum) {
	var borrow uint64
	for i := 3; i >= 0; i-- {
		r[i], borrow = bits.Sub64(a[i], b[i], borrow)
	}
	return r
}

func (a Sum) Bytes() (b [32]byte) {
	for i, w := range a {
		binary.BigEndian.PutUint64(b[8*i:], w)
	}
	return b
}

func sumOf(b [32]byte) (a Sum) {
	for i := range a {
		a[i] = binary.BigEndian.Uint64(b[8*i:])
	}
	return a
}

// Shorten returns the part of a leaf that a change record keeps. It is enough to distinguish
// versions of a record.
func (a Sum) Shorten() []byte {
	b := a.Bytes()
	return b[:16]
}

// Tally is the digest over a set of records, and their number.
type Tally struct {
	Sum   Sum
	Count uint64
}

func (t Tally) With(leaf Sum) Tally { return Tally{t.Sum.plus(leaf), t.Count + 1} }

func (t Tally) Without(leaf Sum) Tally { return Tally{t.Sum.minus(leaf), t.Count - 1} }

// Leafer makes leaves: HMAC-SHA256 over the record's Badger key, with its length in front, and its
// plaintext. It is for one goroutine.
type Leafer struct{ mac hash.Hash }

func NewLeafer(key []byte) Leafer { return Leafer{hmac.New(sha256.New, key)} }

func (l Leafer) Leaf(key Key, plain []byte) Sum {
	var buf [32]byte
	l.mac.Reset()
	l.mac.Write(binary.BigEndian.AppendUint16(buf[:0], uint16(len(key))))
	l.mac.Write([]byte(key))
	l.mac.Write(plain)
	return sumOf([32]byte(l.mac.Sum(buf[:0])))
}
