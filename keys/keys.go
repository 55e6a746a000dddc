// Package keys holds key identities and secrets as types that do not give a secret away by
// accident. It mints and compares them; it does not store them, and it contains no cryptography of
// its own.
package keys

import (
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"crypto/subtle"
	"errors"
	"fmt"
	"log/slog"
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
	// A pointer, because fmt does not ask Format where it may not call it (an unexported field, a
	// wrong verb) and prints what it finds.
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

// PSK returns the bytes that go into the handshake: the ASCII of the text. The text is the key. A
// zero secret has none: nil.
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

// Hidden is any other text that must not be printed by accident. It behaves as a [Secret] does; the
// zero value is empty.
type Hidden struct{ Secret }

// Hide returns the text as one that does not print. An empty text is the zero Hidden.
func Hide(text string) Hidden {
	if text == "" {
		return Hidden{}
	}
	return Hidden{secret(text)}
}

// noSite stands in for a missing site secret: without one, anybody could work the decoys out and
// use them as keys.
var noSite = sync.OnceValue(func() []byte { return []byte(Random(SecretLen)) })

// Decoy returns the PSK that an unknown or revoked identity meets: as long as a real one and
// derived from a site secret, so that the handshake fails exactly as with a wrong key and the same
// identity always meets the same decoy. With an empty site secret that holds for this process only.
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

// State is where a key stands in its life: pending → active → retiring → revoked.
type State string

const (
	Pending  State = "pending"  // minted, has not completed a handshake
	Active   State = "active"   // has completed a handshake
	Retiring State = "retiring" // replaced by a newer key, still opens until that one is used
	Revoked  State = "revoked"  // opens nothing, for ever
)

// Usable tells whether a key in this state may complete a handshake. An unknown state may not.
func (s State) Usable() bool { return s == Pending || s == Active || s == Retiring }

// Key is one secret of one device, with a life of its own. Its ID is the PSK identity.
type Key struct {
	ID       ID        `json:"id"`
	Device   RecordID  `json:"device"`
	Secret   Secret    `json:"-"`
	State    State     `json:"state"`
	Created  time.Time `json:"created"`
	LastUsed time.Time `json:"lastUsed,omitzero"` // last completed handshake, to the day
}
