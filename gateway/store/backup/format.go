// Package backup is the file that a store is saved to: it writes one, reads it again, and verifies
// it, without a database. It decides neither what belongs into a backup nor who may have one, and
// restores nothing.
//
//	NAME.lkb = age( gzip( header | record … | page … | trailer ) )
//	header   = "latchkey-backup-1" LF | length (2 bytes) | version | CBOR map
//	record   = length of the key (2 bytes) | key | length (4 bytes) | plaintext
//	trailer  = 0 (2 bytes) | number of records (8 bytes) | SHA-256 of all before | Ed25519 signature
//
// FORMAT.md of the store has the fields.
package backup

import (
	"crypto/ed25519"
	"crypto/sha256"
	"crypto/subtle"
	"encoding/base32"
	"errors"
	"fmt"
	"strings"
	"time"
	"unicode/utf8"

	"latchkey/gateway/access"
	"latchkey/gateway/store/record"
	"latchkey/keys"
)

// Extension ends the name of a backup file.
const Extension = ".lkb"

// Sentinels for [errors.Is]. Each error says what to do.
var (
	ErrDamaged  = errors.New("the backup is damaged or was cut off: take another copy of it")
	ErrIdentity = errors.New("the backup cannot be opened with that")
	ErrNewer    = errors.New("the backup was written by a newer latchkey: read it with that one or a later one")
	// Its signature is not that of the site whose key is in it, or not that of the expected site.
	ErrSigner = errors.New("this is not a backup of that site: do not use it")
	// It is whole, but does not agree with the head that somebody kept.
	ErrHead = errors.New("the backup does not agree with that head")
)

const (
	magicStem  = "latchkey-backup-"
	magic      = magicStem + "1\n"
	signLabel  = "latchkey backup 1\x00"
	maxHeader  = 4096 // bytes
	maxKey     = 64
	maxPage    = 64 << 10 // a page is full at 16 KB
	maxProgram = 64
)

// Kind says what a backup holds.
type Kind string

// The kinds of backups.
const (
	Full   Kind = "full"   // everything
	Policy Kind = "policy" // the same without events, change records and counters
	Events Kind = "events" // only some of the events and their change records, and no site key
)

// Kinds are all kinds of backups.
var Kinds = []Kind{Full, Policy, Events}

// Header says what a backup is. Nothing in it is proven before the whole file was read: see
// [Reader.Next].
type Header struct {
	Site    access.ID // the id of the site
	Epoch   uint64    // of the site, from 1
	Made    time.Time // by the clock of the gateway, to the second
	Program string    // version of the program that wrote it
	Kind    Kind

	Head        uint64    // the newest event
	HeadHash    keys.Hash // its hash
	Policy      keys.Hash // digest over the policy records
	PolicyCount uint64    // number of policy records

	From, To uint64 // of Events: the first and the last event in it

	Signer ed25519.PublicKey // who has signed it
}

// Fingerprint returns the short form of the key that signed the backup, for people to compare.
func (h *Header) Fingerprint() string { return Fingerprint(h.Signer) }

var crockford = base32.NewEncoding("0123456789abcdefghjkmnpqrstvwxyz").WithPadding(base32.NoPadding)

const fingerprintLetters = 24 // 120 bits

// Fingerprint returns the short form of a public key: 120 bits of a hash, as 24 letters.
func Fingerprint(signer ed25519.PublicKey) string {
	sum := sha256.Sum256(append([]byte("latchkey backup signer 1\x00"), signer...))
	return groupLetters(crockford.EncodeToString(sum[:])[:fingerprintLetters])
}

// groupLetters puts a hyphen after each four letters.
func groupLetters(text string) string {
	var groups []string
	for ; len(text) > 4; text = text[4:] {
		groups = append(groups, text[:4])
	}
	return strings.Join(append(groups, text), "-")
}

// ParseFingerprint returns a fingerprint in the form of [Fingerprint], however somebody has typed
// it.
func ParseFingerprint(text string) (string, error) {
	plain := strings.ToLower(strings.NewReplacer("-", "", " ", "", "\n", "", "\r", "").Replace(text))
	if _, err := crockford.DecodeString(plain); err != nil || len(plain) != fingerprintLetters {
		return "", errors.New("want a fingerprint as latchkey backup create prints it: six groups of four letters")
	}
	return groupLetters(plain), nil
}

// sameText compares fingerprints.
func sameText(a, b string) bool { return subtle.ConstantTimeCompare([]byte(a), []byte(b)) == 1 }

const headerVersion = 1

type headerRecord struct {
	Site        string        `cbor:"1,keyasint"`
	Epoch       uint64        `cbor:"2,keyasint"`
	Made        *record.Stamp `cbor:"3,keyasint"`
	Program     string        `cbor:"4,keyasint"`
	Kind        string        `cbor:"5,keyasint"`
	Head        uint64        `cbor:"6,keyasint"`
	HeadHash    []byte        `cbor:"7,keyasint"`
	Policy      []byte        `cbor:"8,keyasint"`
	PolicyCount uint64        `cbor:"9,keyasint"`
	From        uint64        `cbor:"10,keyasint,omitempty"`
	To          uint64        `cbor:"11,keyasint,omitempty"`
	Signer      []byte        `cbor:"12,keyasint"`
}

func (h *Header) encode() ([]byte, error) {
	return record.Encode(headerVersion, headerRecord{string(h.Site), h.Epoch,
		record.MakeStamp(h.Made.Truncate(time.Second)),
		h.Program, string(h.Kind), h.Head, h.HeadHash[:], h.Policy[:], h.PolicyCount, h.From, h.To, h.Signer})
}

// decodeHeader reads a header of a file that anybody may have written.
func decodeHeader(plain []byte) (*Header, error) {
	if len(plain) > 0 && plain[0] > headerVersion {
		return nil, ErrNewer
	}
	r, err := record.Decode[headerRecord](plain)
	if err != nil {
		return nil, fmt.Errorf("%w (its header cannot be read)", ErrDamaged)
	}
	h := &Header{Site: access.ID(r.Site), Epoch: r.Epoch, Made: r.Made.Time(), Program: r.Program,
		Kind: Kind(r.Kind), Head: r.Head, PolicyCount: r.PolicyCount, From: r.From, To: r.To, Signer: r.Signer}
	if copy(h.HeadHash[:], r.HeadHash) != len(r.HeadHash) || len(r.HeadHash) != len(h.HeadHash) ||
		copy(h.Policy[:], r.Policy) != len(r.Policy) || len(r.Policy) != len(h.Policy) {
		return nil, fmt.Errorf("%w (a hash in its header has another length)", ErrDamaged)
	}
	return h, h.check()
}

// check refuses a header that no writer makes.
func (h *Header) check() error {
	id, err := crockford.DecodeString(string(h.Site))
	switch ranged := h.Kind == Events; {
	case h.Kind != Full && h.Kind != Policy && h.Kind != Events:
		return fmt.Errorf("%w (it is of a kind that this program does not know)", ErrNewer)
	case err != nil || len(h.Site) != 10 || len(id) == 0,
		h.Epoch == 0, h.Made.IsZero(), len(h.Program) > maxProgram, !utf8.ValidString(h.Program),
		len(h.Signer) != ed25519.PublicKeySize,
		ranged && (h.From == 0 || h.To < h.From || h.To != h.Head),
		!ranged && (h.From != 0 || h.To != 0),
		h.Head == 0 && h.HeadHash != (keys.Hash{}):
		return fmt.Errorf("%w (its header makes no sense)", ErrDamaged)
	}
	return nil
}

// siteKey is the key of the record that holds the text of site.key. It exists only in backups.
const siteKey record.Key = "ma"

// rank is the order of records in a backup: what the others need, the other records, and the pages
// of events. Within a rank they are in the order of their keys.
func rank(k record.Key) int {
	switch k.Kind() {
	case record.KindMeta:
		return 0
	case record.KindEvent:
		return 2
	}
	return 1
}

// follows tells whether a record may come after another one. The first comes after "".
func follows(before, k record.Key) bool {
	if a, b := rank(before), rank(k); before != "" && a != b {
		return a < b
	}
	return before < k
}

// Has tells whether a backup of this kind holds records under a letter.
func (k Kind) Has(letter byte) bool {
	switch letter {
	case record.KindSignIn, record.KindAddress:
		return false
	case record.KindEvent, record.KindChange:
		return k != Policy
	case record.KindCounter:
		return k == Full
	}
	_, known := record.NameKind(letter)
	return known && k != Events
}
