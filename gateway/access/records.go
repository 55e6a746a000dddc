package access

import (
	"encoding/hex"
	"fmt"
	"time"

	"latchkey/coapres/wire"
	"latchkey/keys"
)

// ID is the id of a record of the policy. People use names; everything that refers uses ids.
type ID = keys.RecordID

// ParseID accepts only the canonical form.
func ParseID(s string) (ID, error) {
	if !ID(s).Valid() {
		return "", fmt.Errorf("access: id %q: %w: want 10 characters of lower-case Crockford base32", s, ErrInvalid)
	}
	return ID(s), nil
}

// NewID mints a random id.
func NewID() ID { return keys.NewRecordID() }

// CredentialID is a card as we keep it: HMAC-SHA256 of its UID under a key derived from the site key. The UID itself is kept nowhere.
type CredentialID [32]byte

func (c CredentialID) String() string { return hex.EncodeToString(c[:]) }

// MarshalText implements [encoding.TextMarshaler].
func (c CredentialID) MarshalText() ([]byte, error) { return []byte(c.String()), nil }

// UnmarshalText implements [encoding.TextUnmarshaler].
func (c *CredentialID) UnmarshalText(b []byte) error {
	var id CredentialID
	if len(b) != 2*len(id) { // hex.Decode panics on what does not fit
		return fmt.Errorf("access: credential id: want %d hex digits", 2*len(id))
	}
	if _, err := hex.Decode(id[:], b); err != nil {
		return fmt.Errorf("access: credential id: want %d hex digits", 2*len(id))
	}
	*c = id
	return nil
}

// Person is somebody who may hold cards.
type Person struct {
	ID        ID        `json:"id"`
	Name      string    `json:"name"`
	Suspended bool      `json:"suspended,omitempty"`
	Created   time.Time `json:"created"`
}

// CredentialStatus is whether a card is in use. The zero status is not, so a half-read record opens nothing.
type CredentialStatus string

const (
	CardActive CredentialStatus = "active"
	CardLost   CredentialStatus = "lost"
)

// Credential is a card. Its UID can be read and copied by anybody who holds it for a moment: it is a name, not a secret.
type Credential struct {
	ID      CredentialID     `json:"id"`
	Person  ID               `json:"person"`
	Tail    string           `json:"tail"` // the UID's last two bytes in hex, so that people can tell cards apart
	Status  CredentialStatus `json:"status"`
	From    time.Time        `json:"from,omitzero"`  // first instant of validity; zero: always
	Until   time.Time        `json:"until,omitzero"` // first instant after validity; zero: for ever
	Created time.Time        `json:"created"`
}

// TargetKind is what a target is.
type TargetKind string

const (
	Door TargetKind = "door"
	Lamp TargetKind = "lamp"
)

// Target is a door or a lamp.
type Target struct {
	ID      ID            `json:"id"`
	Name    string        `json:"name"`
	Kind    TargetKind    `json:"kind"`
	Pulse   time.Duration `json:"pulse,omitempty"` // doors: how long an unlock lasts, 200 ms to 60 s; the lock has an upper limit of its own
	Created time.Time     `json:"created"`
}

// Device is what we enrol. Its keys are records of their own.
type Device struct {
	ID      ID        `json:"id"`
	Name    string    `json:"name"`
	Kind    keys.Kind `json:"kind"`
	Targets []ID      `json:"targets,omitempty"` // reader, lock, lamp: exactly one; switch: one or more; sensor: none or one
	Created time.Time `json:"created"`
}

// GroupOf is what a group holds.
type GroupOf string

const (
	OfPersons GroupOf = "persons"
	OfTargets GroupOf = "targets"
)

// Group is a named set of persons, or of targets.
type Group struct {
	ID      ID        `json:"id"`
	Name    string    `json:"name"`
	Of      GroupOf   `json:"of"`
	Members []ID      `json:"members,omitempty"` // sorted, no duplicates
	Created time.Time `json:"created"`
}

// Schedule is weekly windows in the site's time zone, with dated exceptions. Text is its canonical form; see [ParseSchedule].
type Schedule struct {
	ID      ID        `json:"id"`
	Name    string    `json:"name"`
	Text    string    `json:"text"`
	Created time.Time `json:"created"`
}

// Effect is what a grant does. The zero effect allows nothing.
type Effect string

const (
	Allow Effect = "allow"
	Deny  Effect = "deny"
)

// SubjectKind is who a grant is for.
type SubjectKind string

const (
	SubjectPerson SubjectKind = "person"
	SubjectGroup  SubjectKind = "group"
	SubjectDevice SubjectKind = "device" // a switch
)

// Grant says who may do what to which target, and when.
type Grant struct {
	ID          ID            `json:"id"`
	SubjectKind SubjectKind   `json:"subjectKind"`
	Subject     ID            `json:"subject"`
	Target      ID            `json:"target,omitempty"`      // exactly one of Target
	TargetGroup ID            `json:"targetGroup,omitempty"` // and TargetGroup
	Actions     []wire.Action `json:"actions,omitempty"`     // empty: every action that fits the target's kind
	Schedule    ID            `json:"schedule,omitempty"`    // empty: always
	From        time.Time     `json:"from,omitzero"`
	Until       time.Time     `json:"until,omitzero"`
	Effect      Effect        `json:"effect"`
	Created     time.Time     `json:"created"`
}

// Site is the one record about the whole site.
type Site struct {
	Zone     string `json:"zone"` // IANA name, for schedules
	Lockdown bool   `json:"lockdown"`
	// TimeTrusted is the sequence number of the last "time trusted" event: events up to it no longer count when the clock is compared
	// with the last event.
	TimeTrusted uint64 `json:"timeTrusted,omitempty"`
}

// Record is one of Site, Person, Credential, Target, Device, keys.Key, Group, Schedule, Grant and Account, by value.
type Record interface{}

// Change is one step of a policy change: Put writes a record whole, Delete takes one away. Exactly one of the two is set.
// A Delete needs only the record's ID field.
type Change struct {
	Put    Record
	Delete Record
}
