package rollback

import (
	"cmp"
	"fmt"
	"slices"

	"latchkey/gateway/access"
	"latchkey/gateway/audit"
)

const (
	maxEntries  = 512 // more are folded, the oldest first
	maxFindings = 32  // the oldest are dropped
)

func isWhat(r access.Reason) bool {
	return slices.Contains([]access.Reason{audit.ReasonOlderCopy, audit.ReasonOtherChain, audit.ReasonNoFile,
		audit.ReasonBadFile, audit.ReasonNodeAhead, audit.ReasonNodeOther, audit.ReasonNodeWrong}, r)
}

// vague says how exact the counts of a finding are.
type vague uint8

const (
	atMost  vague = 1 << iota // some of them may be from before: they were folded together
	atLeast                   // head.log does not go back as far as the store
)

// entry is one event that took something away, or several that were folded.
type entry struct {
	at     point
	from   uint64 // the first event, at.seq if it is one
	counts Counts
}

// finding is something that was found. One that somebody has acknowledged is kept, because it explains
// what devices say.
type finding struct {
	number   uint64
	what     access.Reason
	at       point  // where the store ended
	from, to uint64 // events that it lacks; of a device: the command, and its epoch
	device   access.ID
	vague    vague
	counts   Counts
	event    uint64 // 0: no event says so yet
	seen     bool   // somebody has acknowledged it
}

// state is what the file says.
type state struct {
	began   point
	top     point   // the newest event
	heads   []point // events that were once the newest, since the file was last made shorter
	entries []entry // oldest first
	found   []finding
	last    uint64 // number of the newest finding
	lines   int
}

// apply adds what a line says.
func (st *state) apply(l line) {
	st.lines++
	switch l.verb {
	case verbBegan:
		st.began, st.top = l.at, l.at
	case verbHead:
		st.top = l.at
		st.heads = append(st.heads, l.at)
	case verbTook, verbFold:
		e := entry{at: l.at, from: l.at.seq, counts: l.counts}
		if l.verb == verbFold {
			e.from = l.from
		}
		st.entries = append(st.entries, e)
		st.top = later(st.top, l.at)
	case verbFound:
		st.found = append(st.found, finding{number: l.number, what: l.what, at: l.at, from: l.from, to: l.to,
			device: l.device, vague: l.vague, counts: l.counts})
		if len(st.found) > maxFindings {
			st.found = st.found[1:]
		}
		st.last = max(st.last, l.number)
	case verbTold:
		if f := st.find(l.number); f != nil {
			f.event = l.event
		}
	case verbSeen:
		if f := st.find(l.number); f != nil {
			f.seen = true
		}
	}
}

func (st *state) find(number uint64) *finding {
	for i := range st.found {
		if st.found[i].number == number {
			return &st.found[i]
		}
	}
	return nil
}

// list returns the lines that say the same in the shortest way.
func (st *state) list() (out []line) {
	out = append(out, line{verb: verbBegan, at: st.began})
	for _, f := range st.found {
		out = append(out, f.line())
		if f.event != 0 {
			out = append(out, line{verb: verbTold, number: f.number, event: f.event})
		}
		if f.seen {
			out = append(out, line{verb: verbSeen, number: f.number})
		}
	}
	for _, e := range st.entries {
		l := line{verb: verbTook, at: e.at, counts: e.counts}
		if e.from != e.at.seq {
			l.verb, l.from = verbFold, e.from
		}
		out = append(out, l)
	}
	return append(out, line{verb: verbHead, at: st.top})
}

func (f finding) line() line {
	return line{verb: verbFound, at: f.at, number: f.number, what: f.what, from: f.from, to: f.to,
		device: f.device, vague: f.vague, counts: f.counts}
}

// fold bounds the entries. Of the older half each two become one, so the oldest are the coarsest.
func (st *state) fold() {
	if len(st.entries) <= maxEntries {
		return
	}
	half := len(st.entries) / 2 &^ 1
	var out []entry
	for i := 0; i < half; i += 2 {
		a, b := st.entries[i], st.entries[i+1]
		a.at = b.at
		a.counts.add(b.counts)
		out = append(out, a)
	}
	st.entries = append(out, st.entries[half:]...)
}

// later returns the later of two events.
func later(a, b point) point {
	if cmp.Or(cmp.Compare(a.epoch, b.epoch), cmp.Compare(a.seq, b.seq)) < 0 {
		return b
	}
	return a
}

// compare returns what is wrong with a store that ends at head, and drops what the store does not
// have. holds tells whether the store has an event. known is the newest event up to which the file
// has all that the store took away.
func (st *state) compare(head point, holds func(point) bool) (f finding, wrong bool, known uint64) {
	if st.top.seq == 0 || head.epoch == st.top.epoch && holds(st.top) {
		return finding{}, false, st.top.seq
	}
	epoch := st.top.epoch
	agreed, other := uint64(0), false // the newest event that both have; the store has another one
	check := func(p point) bool {
		ok := holds(p)
		if ok {
			agreed = max(agreed, p.seq)
		} else if p.seq <= head.seq {
			other = true
		}
		return ok
	}
	for _, p := range append(st.heads, st.began, st.top) {
		if p.seq > 0 {
			check(p)
		}
	}
	var kept []entry
	f = finding{what: audit.ReasonOlderCopy, at: head, from: head.seq + 1, to: st.top.seq}
	for _, e := range st.entries {
		if check(e.at) {
			kept = append(kept, e)
			continue
		}
		f.counts.add(e.counts)
		if e.from <= head.seq && e.from != e.at.seq {
			f.vague |= atMost
		}
	}
	if other {
		f.what, f.from = audit.ReasonOtherChain, agreed+1
	}
	if f.from <= st.began.seq {
		f.vague |= atLeast
	}
	st.entries, st.heads, st.top = kept, nil, head
	if st.began.seq > head.seq {
		st.began = head
	}
	// After a restore the store has a newer epoch, and its own event says what was undone.
	restored := head.epoch > epoch
	if known = head.seq; other || restored {
		known = agreed
	}
	return f, !restored, known
}

// name returns the device that the finding is about.
func (f finding) name(p *access.Policy) audit.Named {
	if f.device == "" {
		return audit.Named{}
	}
	return audit.Named{ID: f.device, Name: cmp.Or(p.Devices[f.device].Name, fmt.Sprint(f.device))}
}
