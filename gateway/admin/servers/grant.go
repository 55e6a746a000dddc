package servers

import (
	"fmt"
	"slices"

	"latchkey/coapres/wire"
	"latchkey/gateway/access"
	"latchkey/gateway/account"
	"latchkey/gateway/admin/api"
)

// CheckCode refuses a grant to an integration that would open a door without a code, unless the
// caller says so, and one that asks for a second code: a request is checked against one.
func CheckCode(p *access.Policy, in api.NewGrant, g access.Grant) error {
	coded := in.Code != "" || in.CodeOf != ""
	switch {
	case g.SubjectKind != access.SubjectIntegration:
		return nil // the policy refuses a code
	case g.Effect == access.Allow && slices.Contains(g.Actions, wire.Unlock) && !coded && !in.NoCode:
		return fmt.Errorf("grant: %w: whoever has the broker would open the door: ask for a code, or say no-code",
			access.ErrInvalid)
	case in.Code != "" && len(in.Code) < account.MinDoorCode && p.Targets[g.Target].Kind != access.Lamp:
		return fmt.Errorf("grant: %w: the code for a door, or for a group, has %d to 12 digits", access.ErrInvalid,
			account.MinDoorCode)
	case coded && in.NoCode:
		return fmt.Errorf("grant: %w: it has a code and says no-code: want one of the two", access.ErrInvalid)
	}
	if _, ok := p.PINs[g.CodeOf]; g.CodeOf != "" && !ok {
		return fmt.Errorf("grant: %w: %s has no PIN: set it first, with latchkey person pin", access.ErrInvalid,
			p.Persons[g.CodeOf].Name)
	}
	for _, other := range p.Grants {
		if coded && other.Subject == g.Subject && (!other.Code.IsZero() || other.CodeOf != "") &&
			other.Target == g.Target && other.TargetGroup == g.TargetGroup {
			return fmt.Errorf("grant: %w: there is one with a code already, %s: remove that first",
				access.ErrConflict, other.ID)
		}
	}
	return nil
}
