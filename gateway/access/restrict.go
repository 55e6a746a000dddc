package access

import "errors"

// ErrNotDurable says that a change acts and is kept nowhere but in memory: it is lost if the
// gateway ends before there is space again.
var ErrNotDurable = errors.New("it acts now, but it is NOT durable: the disk is full, " +
	"and it is lost if the gateway stops before there is space again")

// Restricts tells whether changes of p do nothing but take rights away: a lockdown begins, a key is
// revoked, a person is suspended, a card is lost, an account is disabled. They are made even when
// there is no space for anything else, so a kind without [Kind.Restricted] has no restrictions.
func Restricts(p *Policy, changes ...Change) bool {
	for _, c := range changes {
		if c.Put == nil || c.Delete != nil {
			return false
		}
		k, ok := p.kinds.findKind(c.Put)
		if !ok {
			return false
		}
		before, ok := k.findRecord(p, c.Put)
		if !ok || !k.isRestriction(before, c.Put) {
			return false
		}
	}
	return len(changes) > 0
}
