package access

// Restricts tells whether changes of p only take rights away: a lockdown begins, a key is revoked,
// a person is suspended, a card is lost, an account is disabled. Such changes are made even if
// there is no space for others. A kind without [Kind.Restricted] has no such changes.
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
