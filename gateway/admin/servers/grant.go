package servers

import (
	"fmt"
	"slices"
	"strings"

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
	if coded {
		return checkTwin(p, g)
	}
	return nil
}

// CheckMembers refuses a group of targets whose members would get a second code by a grant on it. p
// is the policy with the group.
func CheckMembers(p *access.Policy, group access.ID) error {
	for _, g := range p.Grants {
		if g.TargetGroup == group && hasCode(g) {
			if err := checkTwin(p, *g); err != nil {
				return err
			}
		}
	}
	return nil
}

func hasCode(g *access.Grant) bool { return !g.Code.IsZero() || g.CodeOf != "" }

// checkTwin refuses a grant with a code if another one of the same integration asks for a code, too,
// for the same action on the same target: a request is checked against one code, and nobody would
// know which.
func checkTwin(p *access.Policy, g access.Grant) error {
	var others []*access.Grant
	for _, other := range p.Grants {
		if other.Subject == g.Subject && other.ID != g.ID && hasCode(other) {
			others = append(others, other)
		}
	}
	slices.SortFunc(others, func(a, b *access.Grant) int { return strings.Compare(string(a.ID), string(b.ID)) })
	for _, other := range others {
		theirs := findTargets(p, other)
		for _, id := range findTargets(p, &g) {
			t := p.Targets[id]
			if a, both := findAction(t, &g, other); both && slices.Contains(theirs, id) {
				return fmt.Errorf("grant: %w: %s would have two codes to %v: grant %s on %s asks for one already, and "+
					"a request is checked against one only: remove that grant first", access.ErrConflict, t.Name, a,
					other.ID, nameOfPlace(p, other))
			}
		}
	}
	return nil
}

// NotesOn returns what a grant does not do, though somebody may expect it. Home Assistant has no place
// to type a code for a light; another program at the broker may send one.
func NotesOn(p *access.Policy, g access.Grant) (notes []string) {
	if g.SubjectKind != access.SubjectIntegration || !hasCode(&g) {
		return nil
	}
	var lamps []string
	for _, id := range findTargets(p, &g) {
		t := p.Targets[id]
		if _, covered := findAction(t, &g); covered && t.Kind == access.Lamp {
			lamps = append(lamps, t.Name)
		}
	}
	if len(lamps) == 0 {
		return nil
	}
	slices.Sort(lamps)
	return []string{"Home Assistant sends no code for a lamp, so with this grant it cannot switch " +
		strings.Join(lamps, ", ") + ": make one without a code for that"}
}

// findTargets returns the targets that the grant is about, alone or in a group.
func findTargets(p *access.Policy, g *access.Grant) []access.ID {
	if g.Target != "" {
		return []access.ID{g.Target}
	}
	return p.Groups[g.TargetGroup].Members
}

func nameOfPlace(p *access.Policy, g *access.Grant) string {
	if g.Target != "" {
		return p.Targets[g.Target].Name
	}
	return "group " + p.Groups[g.TargetGroup].Name
}

// findAction returns the first action on the target that all grants are about.
func findAction(t access.Target, grants ...*access.Grant) (wire.Action, bool) {
	for a := wire.Unlock; a.Valid(); a++ {
		all := t.Kind.Fits(a)
		for _, g := range grants {
			all = all && g.Covers(a)
		}
		if all {
			return a, true
		}
	}
	return 0, false
}
