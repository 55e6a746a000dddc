package record

import (
	"fmt"
	"time"

	"latchkey/gateway/store/seal"
)

// SignIn is the stored form of a browser's session at the website.
type SignIn struct {
	Data   []byte `cbor:"1,keyasint,omitempty"`
	Expiry *Stamp `cbor:"2,keyasint,omitempty"`
}

// MakeSignIn makes a sign-in that lasts until expiry.
func MakeSignIn(data []byte, expiry time.Time) SignIn { return SignIn{data, MakeStamp(expiry)} }

// Encode returns its plaintext.
func (s SignIn) Encode() ([]byte, error) { return Encode(1, s) }

// DecodeSignIn reads the plaintext of a sign-in that was kept under key.
func DecodeSignIn(key Key, plain []byte) (SignIn, error) {
	if len(key) != len(SignInKey([hashLen]byte{})) {
		return SignIn{}, fmt.Errorf("key length: %w", seal.ErrCorrupt)
	}
	return Decode[SignIn](plain)
}
