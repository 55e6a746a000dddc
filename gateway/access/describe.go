package access

import (
	"strings"
)

// Describe says what a change does in one short sentence with names and without secrets: "add grant
// ann → front-door, weekdays", "revoke key lk-0123456789 of front-reader". Call it on the policy
// that the change is for, before the change is made: that policy tells adding from changing, and
// knows the names of what is deleted.
func (p *Policy) Describe(c Change) string { return Namer{now: p, before: p}.describe(c) }

// DescribeAll describes the changes of one step, one sentence each. They may refer to records that
// are put in the same step.
func (p *Policy) DescribeAll(changes []Change) []string {
	n := Namer{now: p, before: p, put: map[ID]string{}}
	for _, c := range changes {
		k, ok := p.kinds.findKind(c.Put)
		if !ok {
			continue
		}
		if _, known := k.findRecord(p, c.Put); !known {
			if name := k.getName(c.Put); name != "" {
				n.put[k.getID(c.Put)] = name
			}
		}
	}
	out := make([]string, 0, len(changes))
	for _, c := range changes {
		out = append(out, n.describe(c))
	}
	return out
}

func (n Namer) describe(c Change) string {
	if c.Delete != nil {
		return "delete " + n.makeLabel(n.findFull(c.Delete))
	}
	if c.Put == nil {
		return "change nothing"
	}
	k, ok := n.now.kinds.findKind(c.Put)
	if !ok {
		return "add " + n.makeLabel(c.Put)
	}
	old, known := k.findRecord(n.now, c.Put)
	if !known {
		return "add " + n.makeLabel(c.Put) + k.describeDetails(n, c.Put)
	}
	if diff := k.describeDifference(n, old, c.Put); len(diff) > 0 {
		return strings.Join(diff, ", ")
	}
	return "write " + k.makeLabel(n, old) + " again, unchanged"
}
