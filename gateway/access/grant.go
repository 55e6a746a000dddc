package access

import (
	"cmp"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"latchkey/coapres/wire"
	"latchkey/gateway/access/edit"
	"latchkey/gateway/text"
	"latchkey/keys"
)

// Effect is what a grant does. The zero effect allows nothing.
type Effect string

const (
	Allow Effect = "allow"
	Deny  Effect = "deny"
)

// SubjectKind says what kind of subject a grant is for.
type SubjectKind string

const (
	SubjectPerson SubjectKind = "person"
	SubjectGroup  SubjectKind = "group"
	SubjectDevice SubjectKind = "device" // a switch
	// SubjectIntegration is somebody else's system. It may unlock only where a grant names that
	// action.
	SubjectIntegration SubjectKind = "integration"
)

// Grant says who may do what to which target, and when.
type Grant struct {
	ID          ID            `json:"id"`
	SubjectKind SubjectKind   `json:"subjectKind"`
	Subject     ID            `json:"subject"`
	Target      ID            `json:"target,omitempty"`      // exactly one of Target
	TargetGroup ID            `json:"targetGroup,omitempty"` // and TargetGroup
	Actions     []wire.Action `json:"actions,omitempty"`     // empty: all that fit the target's kind
	Schedule    ID            `json:"schedule,omitempty"`    // empty: always
	From        time.Time     `json:"from,omitzero"`
	Until       time.Time     `json:"until,omitzero"`
	Effect      Effect        `json:"effect"`
	Code        keys.Hidden   `json:"-"`                // hash of the code that it asks for; zero: none
	CodeOf      ID            `json:"codeOf,omitempty"` // or the person whose PIN it must send
	Created     time.Time     `json:"created"`
}

// Grants is the kind of [Grant].
var Grants = &Kind[ID, *Grant]{
	Name:  "grant",
	ID:    func(r *Grant) ID { return r.ID },
	Order: cmp.Compare[ID],
	Blank: func(id ID) *Grant { return &Grant{ID: id} },

	Normal: func(_ *Draft, r *Grant) (*Grant, error) { // r is our own: unbox made it
		r.Actions = edit.NormalizeList(r.Actions)
		edit.NormalizeTimes(&r.From, &r.Until, &r.Created)
		return r, nil
	},
	References: func(r *Grant, to *References) {
		switch r.SubjectKind {
		case SubjectPerson:
			to.To(Persons, r.Subject)
		case SubjectGroup:
			to.To(Groups, r.Subject)
		case SubjectDevice:
			to.To(Devices, r.Subject)
		case SubjectIntegration:
			to.To(Integrations, r.Subject)
		}
		if r.CodeOf != "" {
			to.To(Persons, r.CodeOf)
		}
		if r.Target != "" {
			to.To(Targets, r.Target)
		}
		if r.TargetGroup != "" {
			to.To(Groups, r.TargetGroup)
		}
		if r.Schedule != "" {
			to.To(Schedules, r.Schedule)
		}
	},
	Leaf:  true,
	Check: checkGrant,
	Index: func(d *Draft, e *Edit[ID, *Grant]) error {
		d.Next.grantsAt = edit.UpdateIndex(d.Next.grantsAt, e, (*Grant).getPlace, compareGrants)
		return nil
	},

	Label: func(n Namer, r *Grant) string { return n.describeGrant(r) },
	Difference: func(n Namer, _ string, b, a *Grant, say *edit.Sentences) {
		was, is := n.describeGrant(b), n.describeGrant(a)
		say.If(was != is || a.SubjectKind != b.SubjectKind, "change ", was, " to ", is)
		say.If(was == is && a.Code.Reveal() != b.Code.Reveal(), "set the code of ", is)
	},
	Follow: func(r *Grant, removed ID) (Change, bool) {
		needs := r.Schedule == removed // else the grant would be valid at all times, or at none
		return Change{Delete: *r}, !needs
	},

	table:     func(p *Policy) *map[ID]*Grant { return &p.Grants },
	referrers: grantReferrers,
	box:       func(r *Grant) Record { return *r },
	unbox:     func(r Record) *Grant { g := r.(Grant); return &g },
	unboxID:   func(r Record) ID { return r.(Grant).ID },
}

// getPlace returns the target or the group that the grant is on: its key in Policy.grantsAt.
func (g *Grant) getPlace() ID { return cmp.Or(g.Target, g.TargetGroup) }

// grantReferrers asks the index, which holds neither schedules nor whose code a grant asks for.
func grantReferrers(p *Policy, id ID) ([]*Grant, bool) {
	if _, is := p.Schedules[id]; is {
		return nil, false
	}
	if _, is := p.Persons[id]; is && len(p.Integrations) > 0 { // it may be in CodeOf
		return nil, false
	}
	return append(p.findGrants(id), p.grantsAt[id]...), true
}

func checkGrant(d *Draft, r *Grant) error {
	if err := cmp.Or(checkSubject(d, r), checkPlace(d, r)); err != nil {
		return err
	}
	switch {
	case r.Effect != Allow && r.Effect != Deny:
		return fmt.Errorf("effect %q: want allow or deny", string(r.Effect))
	case (!r.Code.IsZero() || r.CodeOf != "") && (r.SubjectKind != SubjectIntegration || r.Effect != Allow):
		return errors.New("only a grant that allows an integration something asks for a code")
	case !r.Code.IsZero() && r.CodeOf != "":
		return errors.New("it asks for a code of its own and for somebody's: choose one of the two")
	case !edit.IsWindow(r.From, r.Until):
		return errors.New("it ends before it starts: set until after from")
	}
	return CheckID(r.ID)
}

func checkSubject(d *Draft, r *Grant) error {
	switch r.SubjectKind {
	case SubjectPerson:
	case SubjectGroup:
		if g := d.Next.Groups[r.Subject]; g.Of != OfPersons {
			return fmt.Errorf("%s is of targets: a grant goes to a group of persons", d.Label(g))
		}
	case SubjectDevice:
		if dev := d.Next.Devices[r.Subject]; dev.Kind != keys.KindSwitch {
			return fmt.Errorf("%s asks for nothing by itself: among devices only a switch has grants",
				d.Label(dev))
		}
	case SubjectIntegration:
		if d.Next.Targets[r.Target].Kind == Door && len(r.Actions) == 0 {
			return errors.New("say what the integration may do with a door: unlock, lock or both")
		}
	default:
		return fmt.Errorf("subject kind %q: want person, group, device or integration", string(r.SubjectKind))
	}
	return nil
}

func checkPlace(d *Draft, r *Grant) error {
	if (r.Target == "") == (r.TargetGroup == "") {
		return errors.New("set exactly one of target and target group")
	}
	for _, a := range r.Actions {
		if !a.Valid() {
			return fmt.Errorf("there is no %v", a)
		}
	}
	if r.TargetGroup != "" {
		if g := d.Next.Groups[r.TargetGroup]; g.Of != OfTargets {
			return fmt.Errorf("%s is of persons: want a group of targets", d.Label(g))
		}
		return nil // the group may hold doors and lamps: each action is for those it fits
	}
	for _, a := range r.Actions {
		if t := d.Next.Targets[r.Target]; !t.Kind.Fits(a) {
			return fmt.Errorf("%v does not fit a %s: leave it out", a, t.Kind)
		}
	}
	return nil
}

// Covers tells whether the grant is about the action.
func (g *Grant) Covers(a wire.Action) bool {
	if len(g.Actions) == 0 {
		return g.SubjectKind != SubjectIntegration || a != wire.Unlock
	}
	return slices.Contains(g.Actions, a)
}

func compareGrants(a, b *Grant) int {
	return cmp.Or(cmp.Compare(a.Subject, b.Subject), cmp.Compare(a.ID, b.ID))
}

// findSubject returns where the subject's grants begin in a list sorted by compareGrants.
func findSubject(list []*Grant, subject ID) int {
	i, _ := slices.BinarySearchFunc(list, subject, func(g *Grant, s ID) int {
		if g.Subject < s {
			return -1
		}
		return 1 // never equal: the search ends at the first one
	})
	return i
}

// findGrants returns the grants to the subject, by id.
func (p *Policy) findGrants(subject ID) []*Grant {
	var out []*Grant
	for _, list := range p.grantsAt {
		for i := findSubject(list, subject); i < len(list) && list[i].Subject == subject; i++ {
			out = append(out, list[i])
		}
	}
	slices.SortFunc(out, func(a, b *Grant) int { return cmp.Compare(a.ID, b.ID) })
	return out
}

func (n Namer) describeGrant(r *Grant) string {
	if r.Subject == "" {
		return "grant " + text.Quote(string(r.ID))
	}
	var b strings.Builder
	if r.Effect == Deny {
		b.WriteString("deny ")
	}
	b.WriteString("grant " + n.Name(r.Subject) + " → " + n.Name(r.getPlace()))
	for i, a := range r.Actions {
		b.WriteString([]string{", ", " and "}[min(i, 1)] + a.String())
	}
	if r.Schedule != "" {
		b.WriteString(", " + n.Name(r.Schedule))
	}
	if r.CodeOf != "" {
		b.WriteString(", with the PIN of " + n.Name(r.CodeOf))
	} else if !r.Code.IsZero() {
		b.WriteString(", with a code")
	}
	b.WriteString(n.describeValidity(r.From, r.Until))
	return b.String()
}
