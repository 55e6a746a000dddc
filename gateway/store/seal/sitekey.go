package seal

import (
	"crypto/ed25519"
	"crypto/hkdf"
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base32"
	"errors"
	"fmt"
	"hash"
	"strings"
	"sync"
)

// Sentinels for [errors.Is].
var (
	// It is missing, malformed, readable by others or not this store's.
	ErrSiteKey = errors.New("site key")
	ErrCorrupt = errors.New("corrupt")                    // a file or a record; the text names it
	ErrFormat  = errors.New("written by a newer version") // this program cannot read it
)

const (
	siteKeyLen    = 32
	siteKeyPrefix = "latchkey-site-key-1 "
	checkPrefix   = "latchkey-site-check-"
)

// crockford is the encoding of all ids and secrets in latchkey: lower case, without padding.
var crockford = base32.NewEncoding("0123456789abcdefghjkmnpqrstvwxyz").WithPadding(base32.NoPadding)

// SiteKey is the 256-bit secret from which all other keys of a site are derived. It is used for
// nothing else.
type SiteKey [siteKeyLen]byte

// Format implements [fmt.Formatter] for every verb: a site key does not print.
func (SiteKey) Format(f fmt.State, _ rune) { _, _ = f.Write([]byte("[redacted]")) }

// derive returns 32 bytes for one purpose: HKDF-SHA256 (RFC 5869), no salt, the label as info.
func (k SiteKey) derive(label string) []byte {
	b, err := hkdf.Key(sha256.New, k[:], nil, "latchkey "+label, 32)
	if err != nil {
		panic(err) // only for a length that HKDF cannot return
	}
	return b
}

// Keys are the keys derived from a site key, one for each purpose.
type Keys struct {
	Seal, Digest, Decoy, head, Browser, Sessions, HeadLog []byte
	Sign                                                  ed25519.PrivateKey
	Site                                                  SiteKey // all of them: it goes into a backup
	SiteID                                                string  // 10 letters; not a secret
	credential                                            *macs
}

// Format implements [fmt.Formatter] for every verb: the keys do not print.
func (Keys) Format(f fmt.State, _ rune) { _, _ = f.Write([]byte("[redacted]")) }

// DeriveKeys returns the keys of this site.
func (k SiteKey) DeriveKeys() Keys {
	return Keys{Seal: k.derive("seal 1"), Digest: k.derive("digest 1"),
		credential: newMACs(k.derive("credential 1")), Decoy: k.derive("decoy 1"),
		head: k.derive("site head 1"), Browser: k.derive("browser 1"), Sessions: k.derive("sessions 1"),
		HeadLog: k.derive("head log 1"), Sign: k.SigningKey(), Site: k,
		SiteID: crockford.EncodeToString(k.derive("site id 1"))[:10]}
}

// SigningKey returns the key with which the site signs what must be checked without the site key.
func (k SiteKey) SigningKey() ed25519.PrivateKey { return ed25519.NewKeyFromSeed(k.derive("sign 1")) }

// CredentialID returns the keyed hash that identifies a card in the store.
func (k Keys) CredentialID(uid []byte) [32]byte { return k.credential.sum(uid) }

// macs computes HMAC-SHA256 under one key. It keeps its states, because a new one costs more than
// the hash of a card.
type macs struct{ free sync.Pool }

type mac struct {
	hash.Hash
	sum [sha256.Size]byte
}

func newMACs(key []byte) *macs {
	return &macs{sync.Pool{New: func() any { return &mac{Hash: hmac.New(sha256.New, key)} }}}
}

func (ms *macs) sum(b []byte) [32]byte {
	m := ms.free.Get().(*mac)
	defer ms.free.Put(m)
	m.Reset()
	m.Write(b)
	m.Sum(m.sum[:0])
	return m.sum
}

// NewSiteKey returns a random site key.
func NewSiteKey() (k SiteKey) {
	_, _ = rand.Read(k[:]) // never fails: crypto/rand ends the program instead
	return k
}

// Text returns the content of site.key.
func (k SiteKey) Text() string { return siteKeyPrefix + crockford.EncodeToString(k[:]) + "\n" }

// ParseSiteKey accepts only what Text returns. The error does not repeat the text.
func ParseSiteKey(s string) (k SiteKey, err error) {
	rest, ok := strings.CutPrefix(s, siteKeyPrefix)
	b, err := crockford.DecodeString(strings.TrimSuffix(rest, "\n"))
	if !ok || err != nil || len(b) != siteKeyLen {
		return SiteKey{}, fmt.Errorf("%w: want one line of %q and 52 characters", ErrSiteKey, siteKeyPrefix)
	}
	if k = SiteKey(b); k.Text() != s {
		return SiteKey{}, fmt.Errorf("%w: not in canonical form", ErrSiteKey)
	}
	return k, nil
}

// CheckText returns the content of site.check. It shows a wrong site key or a newer format before
// Badger is opened, because opening Badger writes.
func (k SiteKey) CheckText(format int) string {
	return fmt.Sprintf("%s%d %s\n", checkPrefix, format,
		crockford.EncodeToString(k.derive(fmt.Sprintf("site check %d", format))))
}

// ParseCheck returns the format in a text that CheckText made. ok is false for any other text.
func ParseCheck(text string) (format int, ok bool) {
	var rest string
	_, err := fmt.Sscanf(text, checkPrefix+"%d %s\n", &format, &rest)
	return format, err == nil
}

// SignHead returns the authentication code of one line of site.head, so that only this site can
// have written it.
func (k Keys) SignHead(line string) string {
	m := hmac.New(sha256.New, k.head)
	m.Write([]byte(line))
	return crockford.EncodeToString(m.Sum(nil))
}

// SigningPublic returns the key that checks what [Keys.Sign] has signed.
func (k Keys) SigningPublic() ed25519.PublicKey { return k.Sign.Public().(ed25519.PublicKey) }
