package access

import (
	"errors"
	"reflect"

	"latchkey/keys"
)

// ErrNotDurable says that a change acts and is kept nowhere but in memory: it is lost if the gateway ends before there is space again.
var ErrNotDurable = errors.New("it acts now, but it is NOT durable: the disk is full, and it is lost if the gateway stops before there is space again")

// Restricts tells whether changes of p do nothing but take rights away: a lockdown begins, a key is revoked, a person is suspended, a card is
// lost, an account is disabled. They are what goes on when there is no space for anything else, so what is not named here is no restriction.
func Restricts(p *Policy, changes ...Change) bool {
	for _, c := range changes {
		if c.Put == nil || c.Delete != nil {
			return false
		}
		old, ok := p.Get(c.Put)
		if !ok || !restricts(old, c.Put) {
			return false
		}
	}
	return len(changes) > 0
}

// restricts tells whether after is before but for a right that it has lost.
func restricts(before, after Record) bool {
	switch after := after.(type) {
	case Site:
		before := before.(Site)
		before.Lockdown = true
		return before == after
	case keys.Key:
		before := before.(keys.Key)
		if before.State = keys.Revoked; after.Secret.IsZero() {
			before.Secret = after.Secret
		}
		return reflect.DeepEqual(before, after)
	case Person:
		before := before.(Person)
		before.Suspended = true
		return reflect.DeepEqual(before, after)
	case Credential:
		before := before.(Credential)
		before.Status = CardLost
		return reflect.DeepEqual(before, after)
	case Account:
		before := before.(Account)
		if before.Disabled = true; before.Epoch < after.Epoch { // which ends its sessions
			before.Epoch = after.Epoch
		}
		return reflect.DeepEqual(before, after)
	}
	return false
}
