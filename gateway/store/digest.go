package store

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/binary"
	"hash"
	"math/bits"
)

// sum is an element of the integers mod 2^256, most significant word first. A digest over many records is the sum of their leaves, so
// one change among 100,000 costs two leaves, and the order does not matter.
type sum [4]uint64

func (a sum) plus(b sum) (r sum) {
	var carry uint64
	for i := 3; i >= 0; i-- {
		r[i], carry = bits.Add64(a[i], b[i], carry)
	}
	return r
}

func (a sum) minus(b sum) (r sum) {
	var borrow uint64
	for i := 3; i >= 0; i-- {
		r[i], borrow = bits.Sub64(a[i], b[i], borrow)
	}
	return r
}

func (a sum) bytes() (b [32]byte) {
	for i, w := range a {
		binary.BigEndian.PutUint64(b[8*i:], w)
	}
	return b
}

func sumOf(b [32]byte) (a sum) {
	for i := range a {
		a[i] = binary.BigEndian.Uint64(b[8*i:])
	}
	return a
}

// tally is the digest over a set of records, and how many they are.
type tally struct {
	sum   sum
	count uint64
}

func (t tally) with(leaf sum) tally { return tally{t.sum.plus(leaf), t.count + 1} }

func (t tally) without(leaf sum) tally { return tally{t.sum.minus(leaf), t.count - 1} }

// leafer makes leaves: HMAC-SHA256 over the record's Badger key, with its length in front, and its plaintext.
// It is for one goroutine.
type leafer struct{ mac hash.Hash }

func newLeafer(key []byte) leafer { return leafer{hmac.New(sha256.New, key)} }

func (l leafer) leaf(key recordKey, plain []byte) sum {
	var buf [32]byte
	l.mac.Reset()
	l.mac.Write(binary.BigEndian.AppendUint16(buf[:0], uint16(len(key))))
	l.mac.Write([]byte(key))
	l.mac.Write(plain)
	return sumOf([32]byte(l.mac.Sum(buf[:0])))
}
