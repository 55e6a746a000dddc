package access

import (
	"slices"
	"strings"
	"time"

	"latchkey/keys"
)

// Describe says what a change does in one short sentence with names and without secrets: "add grant ann → front-door, weekdays",
// "revoke key lk-0123456789 of front-reader". Call it on the policy that the change is for, before it is made: that one tells adding
// from changing and knows the names of what is deleted.
func (p *Policy) Describe(c Change) string { return namer{now: p, before: p}.describe(c) }

// DescribeAll describes the changes of one step, one sentence each. They may refer to records that are put in the same step.
func (p *Policy) DescribeAll(changes []Change) []string {
	n := namer{now: p, before: p, put: map[ID]string{}}
	for _, c := range changes {
		var id ID
		var name string
		switch r := c.Put.(type) {
		case Person:
			id, name = r.ID, r.Name
		case Target:
			id, name = r.ID, r.Name
		case Device:
			id, name = r.ID, r.Name
		case Group:
			id, name = r.ID, r.Name
		case Schedule:
			id, name = r.ID, r.Name
		case Account:
			id, name = r.ID, r.Name
		}
		if _, known := p.Get(c.Put); name != "" && !known {
			n.put[id] = name
		}
	}
	out := make([]string, 0, len(changes))
	for _, c := range changes {
		out = append(out, n.describe(c))
	}
	return out
}

func (n namer) describe(c Change) string {
	if c.Delete != nil {
		return "delete " + n.label(n.full(c.Delete))
	}
	if c.Put == nil {
		return "change nothing"
	}
	old, known := n.now.Get(c.Put)
	if !known {
		return "add " + n.label(c.Put) + n.details(c.Put)
	}
	if diff := n.difference(old, c.Put); len(diff) > 0 {
		return strings.Join(diff, ", ")
	}
	return "write " + n.label(old) + " again, unchanged"
}

// details is what a new record says beyond its label.
func (n namer) details(r Record) string {
	switch r := r.(type) {
	case Credential:
		s := n.window(r.From, r.Until)
		if r.Status == CardLost {
			s = ", lost" + s
		}
		return s
	case Target:
		if r.Pulse != 0 {
			return ", pulse " + r.Pulse.String()
		}
	case Device:
		if len(r.Targets) > 0 {
			return " at " + n.names(r.Targets)
		}
	case Group:
		if len(r.Members) > 0 {
			return " with " + n.names(r.Members)
		}
		return " of " + quoteOdd(string(r.Of))
	case Account:
		return ", " + quoteOdd(string(r.Role))
	case Schedule:
		return ": " + quoteOdd(shorten(r.Text))
	}
	return ""
}

func shorten(s string) string {
	const most = 120
	if len(s) <= most {
		return s
	}
	cut := strings.LastIndexByte(s[:most], ',') // schedule items are ASCII
	if cut < 0 {
		return "a long text"
	}
	return s[:cut] + ", …"
}

// difference says how after differs from before, which is the same record earlier.
func (n namer) difference(before, after Record) (out []string) {
	add := func(is bool, words ...string) {
		if is {
			out = append(out, strings.Join(words, ""))
		}
	}
	label := n.label(before)
	switch a := after.(type) {
	case Site:
		b := before.(Site)
		add(a.Lockdown && !b.Lockdown, "start lockdown")
		add(!a.Lockdown && b.Lockdown, "end lockdown")
		add(a.Zone != b.Zone, "set time zone ", quoteOdd(a.Zone))
		add(a.TimeTrusted != b.TimeTrusted, "trust the time from now on")
	case Person:
		b := before.(Person)
		add(a.Name != b.Name, "rename ", label, " to ", quoteOdd(a.Name))
		add(a.Suspended && !b.Suspended, "suspend ", label)
		add(!a.Suspended && b.Suspended, "resume ", label)
	case Credential:
		b := before.(Credential)
		add(a.Status != b.Status, "mark ", label, " ", quoteOdd(string(a.Status)))
		add(a.Person != b.Person, "give ", label, " to ", n.name(a.Person))
		add(!sameWindow(a.From, a.Until, b.From, b.Until), "make ", label, " valid", orAlways(n.window(a.From, a.Until)))
	case Target:
		b := before.(Target)
		add(a.Name != b.Name, "rename ", label, " to ", quoteOdd(a.Name))
		add(a.Kind != b.Kind, "make ", label, " a ", quoteOdd(string(a.Kind)))
		add(a.Pulse != b.Pulse, "set pulse of ", label, " to ", a.Pulse.String())
	case Device:
		b := before.(Device)
		add(a.Name != b.Name, "rename ", label, " to ", quoteOdd(a.Name))
		add(a.Kind != b.Kind, "make ", label, " a ", quoteOdd(string(a.Kind)))
		add(!slices.Equal(a.Targets, b.Targets) && len(a.Targets) > 0, "move ", label, " to ", n.names(a.Targets))
		add(len(a.Targets) == 0 && len(b.Targets) > 0, "take ", label, " from ", n.names(b.Targets))
	case keys.Key:
		b := before.(keys.Key)
		add(a.State != b.State, stateVerb(a.State), " ", label)
		add(a.State == b.State && !a.LastUsed.Equal(b.LastUsed), "note use of ", label)
	case Group:
		b := before.(Group)
		in, gone := without(a.Members, b.Members), without(b.Members, a.Members)
		add(a.Name != b.Name, "rename ", label, " to ", quoteOdd(a.Name))
		add(a.Of != b.Of, "make ", label, " one of ", quoteOdd(string(a.Of)))
		add(len(in) > 0, "add ", n.names(in), " to ", label)
		add(len(gone) > 0, "take ", n.names(gone), " from ", label)
	case Schedule:
		b := before.(Schedule)
		add(a.Name != b.Name, "rename ", label, " to ", quoteOdd(a.Name))
		add(a.Text != b.Text, "change ", label, " to ", quoteOdd(shorten(a.Text)))
	case Account:
		n.accountDifference(label, before.(Account), a, add)
	case Grant:
		b := before.(Grant)
		was, is := n.grant(b), n.grant(a)
		add(was != is || a.SubjectKind != b.SubjectKind, "change ", was, " to ", is)
	}
	return out
}

func stateVerb(s keys.State) string {
	switch s {
	case keys.Active:
		return "activate"
	case keys.Retiring:
		return "retire"
	case keys.Revoked:
		return "revoke"
	}
	return "reset"
}

func orAlways(window string) string {
	if window == "" {
		return " always"
	}
	return strings.TrimPrefix(window, ",")
}

func sameWindow(from1, until1, from2, until2 time.Time) bool {
	return from1.Equal(from2) && until1.Equal(until2)
}

// without returns the members of a that b lacks.
func without[E comparable](a, b []E) []E {
	has := make(map[E]bool, len(b))
	for _, e := range b {
		has[e] = true
	}
	return slices.DeleteFunc(slices.Clone(a), func(e E) bool { return has[e] })
}
