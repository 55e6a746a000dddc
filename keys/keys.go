// Package keys has the types of key identities and secrets, and of the ids and hashes of other
// records; a secret does not print by accident. The package mints and compares them. It does not
// store them, and it has no cryptography of its own.
package keys

import (
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"crypto/subtle"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"sync"
	"time"
)

// alphabet is Crockford's base32 in lower case: no i, l, o, u. Its 32 letters divide 256, so a
// random byte mod 32 is uniform.
const alphabet = "0123456789abcdefghjkmnpqrstvwxyz"

const (
	idPrefix    = "lk-"
	idLen       = 10
	recordIDLen = 10

	// SecretLen is the length of a secret in bytes, which is also its length as text (130 random
	// bits).
	SecretLen = 26
)

// ErrMalformed is returned for text that is not an id or a secret in canonical form.
var ErrMalformed = errors.New("malformed")

// ID is a key's id and, byte for byte, its PSK identity (RFC 4279 §5.1): "lk-" and 10 characters of
// lower-case Crockford base32. The handshake shows it in the clear, so it names nobody.
type ID string

// NewID mints a random id.
func NewID() ID { return ID(idPrefix + Random(idLen)) }

// ParseID accepts only the canonical form. The error does not repeat the text, which may be a
// secret in the wrong place.
func ParseID(s string) (ID, error) {
	if rest, ok := strings.CutPrefix(s, idPrefix); !ok || len(rest) != idLen || !canonical(rest) {
		return "", fmt.Errorf("keys: identity: %w: want lk- and %d characters of %s", ErrMalformed, idLen,
			alphabet)
	}
	return ID(s), nil
}

// RecordID is the random id of a record that people manage, such as a device or a person: 10
// characters of lower-case Crockford base32. It is no secret.
type RecordID string

// NewRecordID mints a random id.
func NewRecordID() RecordID { return RecordID(Random(recordIDLen)) }

// Valid tells whether the id has the canonical form.
func (id RecordID) Valid() bool { return len(id) == recordIDLen && canonical(string(id)) }

// Random returns n characters of lower-case Crockford base32 from the system's random source, 5
// bits each.
func Random(n int) string {
	b := make([]byte, n)
	_, _ = rand.Read(b) // never fails: crypto/rand ends the program instead
	for i := range b {
		b[i] = alphabet[b[i]%32]
	}
	return string(b)
}

func canonical(s string) bool {
	for i := range len(s) {
		if strings.IndexByte(alphabet, s[i]) < 0 {
			return false
		}
	}
	return true
}

// Secret is a pre-shared key. It prints as [redacted] under every verb, in JSON and in slog, and
// cannot be compared with ==. The zero Secret is empty and opens nothing.
type Secret struct {
	_ [0]func() // not comparable: == on a secret is not constant time
	// A pointer, because fmt sometimes cannot call Format (an unexported field, a wrong verb) and
	// then prints the fields themselves.
	text *string
}

func secret(text string) Secret { return Secret{text: &text} }

// NewSecret mints a secret: 26 characters of lower-case Crockford base32, 130 random bits.
func NewSecret() Secret { return secret(Random(SecretLen)) }

// ParseSecret accepts only the canonical form. The error does not repeat the text.
func ParseSecret(s string) (Secret, error) {
	if len(s) != SecretLen || !canonical(s) {
		return Secret{}, fmt.Errorf("keys: secret: %w: want %d characters of %s", ErrMalformed, SecretLen,
			alphabet)
	}
	return secret(s), nil
}

// PSK returns the pre-shared key for the handshake: the bytes of the text. For a zero secret it
// returns nil.
func (s Secret) PSK() []byte {
	if s.IsZero() {
		return nil
	}
	return []byte(*s.text)
}

// Reveal returns the text, to be shown once to the person who provisions the device.
func (s Secret) Reveal() string { return string(s.PSK()) }

// IsZero tells whether there is no secret.
func (s Secret) IsZero() bool { return s.text == nil }

// Equal compares in constant time. Two zero secrets are not equal.
func (s Secret) Equal(t Secret) bool {
	return !s.IsZero() && subtle.ConstantTimeCompare(s.PSK(), t.PSK()) == 1
}

const redacted = "[redacted]"

// Format implements [fmt.Formatter] for every verb.
func (Secret) Format(f fmt.State, _ rune) { _, _ = f.Write([]byte(redacted)) }

// MarshalJSON implements [encoding/json.Marshaler].
func (Secret) MarshalJSON() ([]byte, error) { return []byte(`"` + redacted + `"`), nil }

// MarshalText implements [encoding.TextMarshaler].
func (Secret) MarshalText() ([]byte, error) { return []byte(redacted), nil }

// LogValue implements [slog.LogValuer].
func (Secret) LogValue() slog.Value { return slog.StringValue(redacted) }

// Hidden is any other text that must not be printed by accident. It behaves like a [Secret]. The
// zero value is empty.
type Hidden struct{ Secret }

// Hide wraps a text so that it does not print. An empty text is the zero Hidden.
func Hide(text string) Hidden {
	if text == "" {
		return Hidden{}
	}
	return Hidden{secret(text)}
}

// noSite replaces a missing site secret. Without any secret, everybody could compute the decoys and
// use them as keys.
var noSite = sync.OnceValue(func() []byte { return []byte(Random(SecretLen)) })

// Decoy returns the PSK for an unknown or revoked identity, so that its handshake fails exactly as
// with a wrong key. It is as long as a real one and derived from the site secret, so that an
// identity always has the same decoy. With an empty site secret that holds only within this
// process.
func Decoy(site []byte, identity []byte) []byte {
	if len(site) == 0 {
		site = noSite()
	}
	m := hmac.New(sha256.New, site)
	m.Write([]byte("latchkey decoy psk\x00"))
	m.Write(identity)
	sum := m.Sum(nil)[:SecretLen]
	for i := range sum {
		sum[i] = alphabet[sum[i]%32]
	}
	return sum
}

// State is the stage of a key's life: pending → active → retiring → revoked.
type State string

const (
	Pending  State = "pending"  // minted, has not completed a handshake
	Active   State = "active"   // has completed a handshake
	Retiring State = "retiring" // replaced by a newer key, but works until that one is used
	Revoked  State = "revoked"  // never works again
)

// Usable tells whether a key in this state may complete a handshake. A key in an unknown state may
// not.
func (s State) Usable() bool { return s == Pending || s == Active || s == Retiring }

// Stage returns the position of a state in a key's life, from 1; 0 for an unknown state.
func (s State) Stage() int { return 1 + slices.Index([]State{Pending, Active, Retiring, Revoked}, s) }

// Verb says what somebody does who brings a key into this state.
func (s State) Verb() string {
	switch s {
	case Active:
		return "activate"
	case Retiring:
		return "retire"
	case Revoked:
		return "revoke"
	}
	return "reset"
}

// Key is one secret of one device. Its ID is the PSK identity.
type Key struct {
	ID       ID        `json:"id"`
	Device   RecordID  `json:"device"`
	Secret   Secret    `json:"-"`
	State    State     `json:"state"`
	Created  time.Time `json:"created"`
	LastUsed time.Time `json:"lastUsed,omitzero"` // last completed handshake, to the day
}
