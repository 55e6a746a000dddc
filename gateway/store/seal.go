package store

import (
	"crypto/cipher"
	"crypto/rand"
	"errors"

	"golang.org/x/crypto/chacha20poly1305"
)

// A sealed value is one version byte, a random 24-byte nonce, and XChaCha20-Poly1305 of the plaintext with its tag of 16 bytes.
// The Badger key is the associated data, so a value does not open under another key.
const (
	sealVersion  = 1
	sealOverhead = 1 + chacha20poly1305.NonceSizeX + chacha20poly1305.Overhead
)

var errSeal = errors.New("the seal does not open")

type sealer struct{ aead cipher.AEAD }

func newSealer(key []byte) sealer {
	a, err := chacha20poly1305.NewX(key)
	if err != nil {
		panic(err) // only for a key of the wrong length, and derive gives 32 bytes
	}
	return sealer{a}
}

func (s sealer) seal(key recordKey, plain []byte) []byte {
	const start = 1 + chacha20poly1305.NonceSizeX
	out := make([]byte, start, start+len(plain)+chacha20poly1305.Overhead)
	out[0] = sealVersion
	_, _ = rand.Read(out[1:start]) // never fails: crypto/rand ends the program instead
	return s.aead.Seal(out, out[1:start], plain, []byte(key))
}

// open returns the plaintext in memory of its own.
func (s sealer) open(key recordKey, value []byte) ([]byte, error) {
	if len(value) < sealOverhead || value[0] != sealVersion {
		return nil, errSeal
	}
	nonce, rest := value[1:1+chacha20poly1305.NonceSizeX], value[1+chacha20poly1305.NonceSizeX:]
	plain, err := s.aead.Open(nil, nonce, rest, []byte(key))
	if err != nil {
		return nil, errSeal
	}
	return plain, nil
}
