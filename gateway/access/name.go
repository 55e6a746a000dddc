package access

import (
	"time"

	"latchkey/gateway/text"
)

// Namer turns records and ids into words for people. It looks in now first, then in before: a
// record that was just deleted still has its name there.
type Namer struct {
	now, before *Policy
	put         map[ID]string // names given by changes that neither of the two holds
}

// makeLabel returns a record in a few words: its kind and its name. A record that holds only its id
// is looked up.
func (n Namer) makeLabel(r Record) string {
	k, ok := n.now.kinds.findKind(r)
	if !ok {
		return "unknown record"
	}
	if k.isBlank(r) {
		r = n.findFull(r)
	}
	return k.makeLabel(n, r)
}

// makeLabel returns the record in a few words, by the names of this policy.
func (p *Policy) makeLabel(r Record) string { return Namer{now: p, before: p}.makeLabel(r) }

// findFull returns the record itself where r may hold only its id.
func (n Namer) findFull(r Record) Record {
	for _, p := range []*Policy{n.now, n.before} {
		if found, ok := p.Get(r); ok {
			return found
		}
	}
	return r
}

// Name returns the name of the record with that id, or the id if there is none.
func (n Namer) Name(id ID) string {
	if s, ok := n.put[id]; ok {
		return text.Quote(s)
	}
	for _, p := range []*Policy{n.now, n.before} {
		for _, k := range p.kinds.listKinds() {
			if name, ok := k.findName(p, id); ok {
				return text.Quote(name)
			}
		}
	}
	return text.Quote(string(id))
}

// NameOr returns the name, or that of the record with that id if the name is empty.
func (n Namer) NameOr(name string, id ID) string {
	if name != "" {
		return text.Quote(name)
	}
	return n.Name(id)
}

// Names lists the names, sorted, and says how many more there are beyond five.
func (n Namer) Names(ids []ID) string {
	var out []string
	for _, id := range ids {
		out = append(out, n.Name(id))
	}
	return text.ListSome(out)
}

// describeValidity says when a card or a grant is valid, by the site's wall clock.
func (n Namer) describeValidity(from, until time.Time) (s string) {
	const layout = "2006-01-02 15:04"
	if !from.IsZero() {
		s += ", from " + from.In(n.now.Zone()).Format(layout)
	}
	if !until.IsZero() {
		s += ", until " + until.In(n.now.Zone()).Format(layout)
	}
	return s
}
