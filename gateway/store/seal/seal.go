// Package seal holds the site key, the keys derived from it, and the sealing of values. It reads
// and writes no file, and does not know what is sealed.
//
//	site.key     = "latchkey-site-key-1 " | 52 characters of Crockford base32 | newline
//	sealed value = version (1) | random nonce (24) | XChaCha20-Poly1305 | its tag (16)
package seal

import (
	"crypto/cipher"
	"crypto/rand"
	"errors"
	"slices"

	"golang.org/x/crypto/chacha20poly1305"
)

const (
	sealVersion = 1

	// Overhead is how much longer a sealed value is than its plaintext.
	Overhead = 1 + chacha20poly1305.NonceSizeX + chacha20poly1305.Overhead
)

var errSeal = errors.New("the seal does not open")

// Sealer seals values. The name of a value is its associated data, so a value does not open under
// another name. It may be used from any goroutine.
type Sealer struct{ aead cipher.AEAD }

// New makes a sealer with a key of 32 bytes.
func New(key []byte) Sealer {
	a, err := chacha20poly1305.NewX(key)
	if err != nil {
		panic(err) // only for a key of the wrong length, and derive gives 32 bytes
	}
	return Sealer{a}
}

// Seal returns the sealed form of a plaintext.
func (s Sealer) Seal(name string, plain []byte) []byte {
	return s.Append(make([]byte, 0, len(plain)+Overhead), []byte(name), plain)
}

// Append appends the sealed form of a plaintext to dst.
func (s Sealer) Append(dst, name, plain []byte) []byte {
	start := len(dst)
	dst = append(slices.Grow(dst, len(plain)+Overhead), sealVersion)
	nonce := dst[start+1 : start+1+chacha20poly1305.NonceSizeX]
	_, _ = rand.Read(nonce) // never fails: crypto/rand ends the program instead
	return s.aead.Seal(dst[:start+1+len(nonce)], nonce, plain, name)
}

// Open returns the plaintext in newly allocated memory.
func (s Sealer) Open(name string, value []byte) ([]byte, error) {
	if len(value) < Overhead || value[0] != sealVersion {
		return nil, errSeal
	}
	nonce, rest := value[1:1+chacha20poly1305.NonceSizeX], value[1+chacha20poly1305.NonceSizeX:]
	plain, err := s.aead.Open(nil, nonce, rest, []byte(name))
	if err != nil {
		return nil, errSeal
	}
	return plain, nil
}
