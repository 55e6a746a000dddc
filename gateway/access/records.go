package access

import (
	"fmt"

	"latchkey/keys"
)

// ID is the id of a record of the policy. People use names; references use ids.
type ID = keys.RecordID

// ParseID accepts only the canonical form.
func ParseID(s string) (ID, error) {
	if !ID(s).Valid() {
		return "", fmt.Errorf("access: id %q: %w: want 10 characters of lower-case Crockford base32",
			s, ErrInvalid)
	}
	return ID(s), nil
}

// NewID mints a random id.
func NewID() ID { return keys.NewRecordID() }

// Record is a record of one of the policy's kinds, by value: a [Person], a [keys.Key], and so on;
// see [Standard].
type Record interface{}

// Change is one step of a policy change: Put writes a record whole, Delete removes one. Exactly one
// of the two is set. A Delete needs only the record's ID field.
type Change struct {
	Put    Record
	Delete Record
}
