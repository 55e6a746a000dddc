package folder

import (
	"maps"
	"math"
	"slices"
	"strings"
)

// Plan says what a repair may do.
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

// MakePlan makes a plan from a survey. ok is false if a repair would need the content of a missing
// file.
func MakePlan(v *Survey, asked bool) (p *Plan, ok bool) {
	p = &Plan{Survey: v, whole: map[uint64]span{}}
	return p, p.possible(asked)
}

// possible tells whether all damages can be mended without the content of a missing file. For that
// the logs must be whole.
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

// maxCandidates limits how many states are tried.
const maxCandidates = 32

// ListCandidates returns states of the tables to try, the likeliest first: MANIFEST without the
// change sets whose tables are missing; then its state after each set; and last all tables in one
// level, where only their versions count.
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

// dropped tells whether a change set makes a table that is missing although no later set deletes
// it: Badger deleted the file when it could not sync MANIFEST.
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

// IsLossless tells whether this state of the tables, together with the logs, holds every record
// that any file has. It also checks that no flushed table is missing: each flush must go on where
// the one before ends.
func (p *Plan) IsLossless(live map[uint64]uint32) bool {
	old := map[uint64]bool{} // MANIFEST deleted them, so they are not needed
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

// contiguous tells whether no flush is missing. Versions have no gaps, and each batch writes the
// head. So the table or log after a flush begins at the next version at the latest.
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

// next returns the first version that the sets from i on have flushed, or else the first in the
// logs. If there is none it returns a number above all versions.
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
