package access

import (
	"cmp"
	"fmt"
	"maps"
	"slices"
	"time"

	"latchkey/gateway/access/edit"
	"latchkey/gateway/text"
)

// GroupOf says what a group holds.
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

// Groups is the kind of [Group].
var Groups = &Kind[ID, Group]{
	Name:   "group",
	ID:     func(r Group) ID { return r.ID },
	Order:  cmp.Compare[ID],
	Blank:  func(id ID) Group { return Group{ID: id} },
	NameOf: func(r Group) string { return r.Name },

	Normal: func(_ *Draft, r Group) (Group, error) {
		r.Members = edit.NormalizeList(r.Members)
		r.Created = edit.NormalizeTime(r.Created)
		return r, nil
	},
	References: func(r Group, to *References) {
		for _, m := range r.Members {
			switch r.Of {
			case OfPersons:
				to.To(Persons, m)
			case OfTargets:
				to.To(Targets, m)
			}
		}
	},
	Recheck: func(before, after Group) bool { return before.Of != after.Of },
	Check: func(d *Draft, r Group) error {
		if r.Of != OfPersons && r.Of != OfTargets {
			return fmt.Errorf("of %q: want persons or targets", string(r.Of))
		}
		return cmp.Or(CheckID(r.ID), text.CheckHandle(r.Name))
	},
	Index: indexGroups,

	Label: func(n Namer, r Group) string { return "group " + n.NameOr(r.Name, r.ID) },
	Details: func(n Namer, r Group) string {
		if len(r.Members) > 0 {
			return " with " + n.Names(r.Members)
		}
		return " of " + text.Quote(string(r.Of))
	},
	Difference: func(n Namer, label string, b, a Group, say *edit.Sentences) {
		added, gone := edit.Subtract(a.Members, b.Members), edit.Subtract(b.Members, a.Members)
		say.If(a.Name != b.Name, "rename ", label, " to ", text.Quote(a.Name))
		say.If(a.Of != b.Of, "make ", label, " one of ", text.Quote(string(a.Of)))
		say.If(len(added) > 0, "add ", n.Names(added), " to ", label)
		say.If(len(gone) > 0, "take ", n.Names(gone), " from ", label)
	},
	Follow: func(r Group, removed ID) (Change, bool) {
		r.Members = slices.DeleteFunc(slices.Clone(r.Members), func(m ID) bool { return m == removed })
		return Change{Put: r}, true
	},

	table: func(p *Policy) *map[ID]Group { return &p.Groups },
	referrers: func(p *Policy, member ID) (found []Group, ok bool) {
		for _, id := range p.groupsOf[member] {
			found = append(found, p.Groups[id])
		}
		return found, true
	},
}

// indexGroups builds the index anew: there are few memberships, and finding those that changed
// costs as much.
func indexGroups(d *Draft, _ *Edit[ID, Group]) error {
	index := make(map[ID][]ID, len(d.Next.groupsOf))
	for _, id := range slices.Sorted(maps.Keys(d.Next.Groups)) {
		for _, member := range d.Next.Groups[id].Members {
			index[member] = append(index[member], id)
		}
	}
	d.Next.groupsOf = index
	return nil
}

// GroupByName returns the group of that name; groups of persons and of targets share their names.
func (p *Policy) GroupByName(name string) (Group, bool) { return Groups.ByName(p, name) }
