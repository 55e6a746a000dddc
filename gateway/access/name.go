package access

import (
	"cmp"
	"slices"
	"strconv"
	"strings"
	"time"

	"latchkey/keys"
)

// namer turns records and ids into words for people. It looks in now first, then in before: a record that was just deleted still has
// its name there.
type namer struct {
	now, before *Policy
	put         map[ID]string // names given by changes that neither of the two holds
}

func (d *draft) label(r Record) string { return namer{now: &d.next, before: d.base}.label(r) }

// full returns the record itself where r may hold only its id.
func (n namer) full(r Record) Record {
	for _, p := range []*Policy{n.now, n.before} {
		if found, ok := p.Get(r); ok {
			return found
		}
	}
	return r
}

// name is the name of whatever has the id, or the id.
func (n namer) name(id ID) string {
	if s, ok := n.put[id]; ok {
		return quoteOdd(s)
	}
	for _, p := range []*Policy{n.now, n.before} {
		if r, ok := p.Persons[id]; ok {
			return quoteOdd(r.Name)
		}
		if r, ok := p.Groups[id]; ok {
			return quoteOdd(r.Name)
		}
		if r, ok := p.Targets[id]; ok {
			return quoteOdd(r.Name)
		}
		if r, ok := p.Devices[id]; ok {
			return quoteOdd(r.Name)
		}
		if r, ok := p.Schedules[id]; ok {
			return quoteOdd(r.Name)
		}
		if r, ok := p.Accounts[id]; ok {
			return quoteOdd(r.Name)
		}
	}
	return quoteOdd(string(id))
}

// quoteOdd quotes what would not show as it is: a refused name must not write into a terminal or a log.
func quoteOdd(s string) string {
	if s == "" || !printable(s) {
		return strconv.Quote(s)
	}
	return s
}

// names lists the names, sorted, and says how many more there are beyond five.
func (n namer) names(ids []ID) string {
	var out []string
	for _, id := range ids {
		out = append(out, n.name(id))
	}
	slices.Sort(out)
	if more := len(out) - 5; more > 1 {
		out = append(out[:5], strconv.Itoa(more)+" more")
	}
	return strings.Join(out, ", ")
}

// label is a record in a few words: its kind and its name. A record that holds only its id is looked up.
func (n namer) label(r Record) string {
	switch r := r.(type) {
	case Site:
		return "site"
	case Person:
		return "person " + n.own(r.Name, r.ID)
	case Credential:
		if f, ok := n.full(r).(Credential); ok && r.Person == "" {
			r = f
		}
		if r.Person == "" {
			return "card" // its id is a hash that nobody would recognise
		}
		return "card …" + quoteOdd(r.Tail) + " of " + n.name(r.Person)
	case Target:
		if f, ok := n.full(r).(Target); ok && r.Kind == "" {
			r = f
		}
		return quoteOdd(cmp.Or(string(r.Kind), "target")) + " " + n.own(r.Name, r.ID)
	case Device:
		if f, ok := n.full(r).(Device); ok && r.Kind == "" {
			r = f
		}
		return quoteOdd(cmp.Or(string(r.Kind), "device")) + " " + n.own(r.Name, r.ID)
	case keys.Key:
		if f, ok := n.full(r).(keys.Key); ok && r.Device == "" {
			r = f
		}
		if r.Device == "" {
			return "key " + quoteOdd(string(r.ID))
		}
		return "key " + quoteOdd(string(r.ID)) + " of " + n.name(r.Device)
	case Group:
		return "group " + n.own(r.Name, r.ID)
	case Schedule:
		return "schedule " + n.own(r.Name, r.ID)
	case Account:
		return "account " + n.own(r.Name, r.ID)
	case Grant:
		if f, ok := n.full(r).(Grant); ok && r.Subject == "" {
			r = f
		}
		return n.grant(r)
	}
	return "unknown record"
}

func (n namer) own(name string, id ID) string {
	if name != "" {
		return quoteOdd(name)
	}
	return n.name(id)
}

func (n namer) grant(r Grant) string {
	if r.Subject == "" {
		return "grant " + quoteOdd(string(r.ID))
	}
	var b strings.Builder
	if r.Effect == Deny {
		b.WriteString("deny ")
	}
	b.WriteString("grant " + n.name(r.Subject) + " → " + n.name(r.place()))
	for i, a := range r.Actions {
		b.WriteString([]string{", ", " and "}[min(i, 1)] + a.String())
	}
	if r.Schedule != "" {
		b.WriteString(", " + n.name(r.Schedule))
	}
	b.WriteString(n.window(r.From, r.Until))
	return b.String()
}

// window is the validity of a card or grant, by the site's wall clock.
func (n namer) window(from, until time.Time) (s string) {
	const layout = "2006-01-02 15:04"
	if !from.IsZero() {
		s += ", from " + from.In(n.now.Zone()).Format(layout)
	}
	if !until.IsZero() {
		s += ", until " + until.In(n.now.Zone()).Format(layout)
	}
	return s
}
