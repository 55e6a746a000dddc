package folder

import (
	"maps"
	"math"
	"slices"
	"strings"
)

// Plan is what a repair goes by.
type Plan struct {
	*Survey
	whole map[uint64]span // tables that are whole, and the versions in them
}

type span struct{ min, max uint64 }

func (s *span) add(version uint64) {
	if s.max == 0 || version < s.min {
		s.min = version
	}
	s.max = max(s.max, version)
}

// MakePlan looks at what a survey found. ok is false when it cannot be mended without the content
// of a file that is not there.
func MakePlan(v *Survey, asked bool) (p *Plan, ok bool) {
	p = &Plan{Survey: v, whole: map[uint64]span{}}
	return p, p.possible(asked)
}

// possible tells whether all that is wrong can be mended without the content of a file that is not
// there: the logs must be whole.
func (p *Plan) possible(asked bool) bool {
	mendable := func(name string) bool {
		name = strings.TrimPrefix(name, "db/")
		ext, _, _ := fileID(name)
		return ext == TableExt || asked && (name == "MANIFEST" || name == "KEYREGISTRY" || name == "DISCARD")
	}
	for _, d := range p.damages {
		if !mendable(d.Name) || d.Do == doAllow {
			return false
		}
	}
	for _, id := range p.ids(TableExt) {
		var s span
		if p.eachEntry(id, func(e entry) { s.add(e.version) }) == nil {
			p.whole[id] = s
		}
	}
	return true
}

// maxCandidates bounds how many states are tried.
const maxCandidates = 32

// ListCandidates are states of the tables, the likeliest first: without the change sets whose
// tables were not kept; as it was after each set; and, as the last resort, all tables in one level,
// where only their versions count.
func (p *Plan) ListCandidates(asked bool) (out []map[uint64]uint32) {
	add := func(live map[uint64]uint32) {
		for id := range live {
			if _, ok := p.whole[id]; !ok {
				return
			}
		}
		if len(out) < maxCandidates && !slices.ContainsFunc(out,
			func(o map[uint64]uint32) bool { return maps.Equal(o, live) }) {
			out = append(out, live)
		}
	}
	kept := manifest{}
	for i, set := range p.manifest.sets {
		if !p.dropped(i) {
			kept.sets = append(kept.sets, set)
		}
	}
	if live, err := kept.levels(len(kept.sets)); err == nil {
		add(live)
	}
	if !asked {
		return out
	}
	for n := len(p.manifest.sets); n > 0; n-- {
		if live, err := p.manifest.levels(n); err == nil {
			add(live)
		}
	}
	all := map[uint64]uint32{}
	for id := range p.whole {
		all[id] = 0
	}
	add(all)
	return out
}

// dropped tells whether a change set makes a table that is not there and that no later set takes
// away: Badger deleted it when it could not sync MANIFEST.
func (p *Plan) dropped(i int) bool {
	for _, c := range p.manifest.sets[i].changes {
		if _, live := p.Live[c.Id]; live {
			if _, ok := p.whole[c.Id]; !ok {
				return true
			}
		}
	}
	return false
}

// IsLossless tells whether a state of the tables holds, with the logs, all that any file has; and
// all that a table had that is missing and was made of a .mem: that, or the next table, must go on
// where the tables before it end.
func (p *Plan) IsLossless(live map[uint64]uint32) bool {
	old := map[uint64]bool{} // deleted by MANIFEST, and not wanted back
	for _, set := range p.manifest.sets {
		for _, c := range set.changes {
			if c.Op != 0 {
				old[c.Id] = true
			}
		}
	}
	v := *p.Survey
	v.tables = map[uint64]*tableFile{}
	for id := range live {
		v.tables[id] = nil
	}
	for id := range p.whole {
		if _, ok := live[id]; ok || old[id] {
			continue
		}
		want, err := p.newest(id)
		if err != nil {
			return false
		}
		if v.without(want); len(want) > 0 {
			return false
		}
	}
	return p.contiguous()
}

// contiguous tells whether no flush is missing. Versions are numbers without a gap, and each batch
// writes the head, so a table or log that goes on after others begins at the next one at the
// latest.
func (p *Plan) contiguous() bool {
	var before uint64
	for i, set := range p.manifest.sets {
		flush := len(set.changes) == 1 && set.changes[0].Op == 0 && set.changes[0].Level == 0
		if flush && p.dropped(i) && p.next(i+1) > before+1 {
			return false
		}
		for _, c := range set.changes {
			before = max(before, p.whole[c.Id].max)
		}
	}
	return true
}

// next is the first version that was flushed by the sets from i on, or is in the logs; of none it
// is out of reach.
func (p *Plan) next(i int) uint64 {
	for _, set := range p.manifest.sets[i:] {
		for _, c := range set.changes {
			if s, ok := p.whole[c.Id]; ok && c.Op == 0 && c.Level == 0 {
				return s.min
			}
		}
	}
	var s span
	for _, l := range p.mems {
		for _, e := range l.Entries {
			s.add(e.version)
		}
	}
	if s.max == 0 {
		return math.MaxUint64
	}
	return s.min
}
