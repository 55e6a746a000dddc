package keys

import (
	"encoding/hex"
	"fmt"
)

// Hash is a SHA-256 value.
type Hash [32]byte

func (h Hash) String() string { return hex.EncodeToString(h[:]) }

// MarshalText implements [encoding.TextMarshaler].
func (h Hash) MarshalText() ([]byte, error) { return []byte(h.String()), nil }

// UnmarshalText implements [encoding.TextUnmarshaler].
func (h *Hash) UnmarshalText(b []byte) error { return parseHash("hash", h, b) }

// CredentialID is a card as we keep it: HMAC-SHA256 of its UID under a key derived from the site
// key. The UID itself is stored nowhere.
type CredentialID [32]byte

func (c CredentialID) String() string { return hex.EncodeToString(c[:]) }

// MarshalText implements [encoding.TextMarshaler].
func (c CredentialID) MarshalText() ([]byte, error) { return []byte(c.String()), nil }

// UnmarshalText implements [encoding.TextUnmarshaler].
func (c *CredentialID) UnmarshalText(b []byte) error {
	return parseHash("credential id", (*Hash)(c), b)
}

// parseHash reads hex digits into h, which stays as it was if they are not its length.
func parseHash(what string, h *Hash, b []byte) error {
	var read Hash
	if len(b) != 2*len(read) { // hex.Decode panics on what does not fit
		return fmt.Errorf("keys: %s: want %d hex digits", what, 2*len(read))
	}
	if _, err := hex.Decode(read[:], b); err != nil {
		return fmt.Errorf("keys: %s: want %d hex digits", what, 2*len(read))
	}
	*h = read
	return nil
}
