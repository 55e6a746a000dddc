package store

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"maps"
	"math"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"latchkey/gateway/store/seal"
	"latchkey/keys"
)

// Repaired is what a repair did.
type Repaired struct {
	Seq   uint64   `json:"seq"`             // newest event, up to which all verifies
	Done  []string `json:"done"`            // what was done, for people
	Aside string   `json:"aside,omitempty"` // folder with the files as they were
}

// Repair makes a store usable that was refused because of its MANIFEST, a missing table, or a file that holds nothing. It goes back to the change sets whose
// tables are all there, and writes nothing unless a trial proves the result: all events from the first to the newest that any file or site.head knows, and the
// digests. It fails with ErrWhole where there is nothing to do, and with the damage where it cannot prove anything.
func Repair(ctx context.Context, o Options) (*Repaired, error) {
	o = o.withDefaults()
	s := &Store{opts: o, log: o.Log}
	f := o.files()
	if _, err := os.Stat(f.db); err != nil {
		return nil, unreadable("db/", err)
	}
	if err := s.prepare(f); err != nil {
		return nil, err
	}
	defer func() { _ = s.lock.Close() }()
	gone, err := absent(f.check)
	if err != nil {
		return nil, unreadable(filepath.Base(f.check), err)
	}
	if _, err = o.try(ctx, trial{Dir: f.dir, KeyFile: f.key, All: true}); err == nil && !gone {
		return nil, fmt.Errorf("store: %s: %w", f.dir, ErrWhole)
	} else if err != nil && !errors.Is(err, ErrCorrupt) {
		return nil, err
	}
	return s.repair(ctx, err, true)
}

// repair finds a MANIFEST that a trial proves and puts it in place. why is the damage, nil if site.check alone is missing. Unless it is asked for, only
// what a crash leaves is mended: change sets whose tables were not kept.
func (s *Store) repair(ctx context.Context, why error, asked bool) (*Repaired, error) {
	f := s.opts.files()
	k, err := readSiteKey(f.key)
	if err != nil {
		return nil, err
	}
	v := takeSurvey(f.db, math.MaxInt64)
	p := plan{survey: v, whole: map[uint64]span{}}
	if !p.possible(asked) {
		return nil, why
	}
	if w, err := readWitness(f.head, k.DeriveKeys()); err != nil || w == nil && v.live == nil {
		return nil, unproven(why) // without MANIFEST and site.head a table could be missing that nobody knows of
	}
	for _, live := range p.candidates(asked) {
		if !p.lossless(live) {
			continue
		}
		r, err := s.opts.try(ctx, trial{Dir: f.dir, KeyFile: f.key, All: true, Live: live, Given: true})
		if ctx.Err() != nil {
			return nil, ctx.Err()
		}
		if err != nil {
			continue
		}
		done, err := s.mend(k, v, live)
		if err != nil {
			return nil, err
		}
		done.Seq = r.Seq
		return done, nil
	}
	return nil, unproven(why)
}

// unproven adds to a damage that nothing could be proven.
func unproven(why error) error {
	var d *Damage
	if !errors.As(why, &d) {
		return why
	}
	out := *d
	out.What += "; and no older state of MANIFEST could be proven to lose nothing"
	out.Do = doCopy
	return &out
}

// plan is what a repair goes by.
type plan struct {
	*survey
	whole map[uint64]span // tables that are whole, and the versions in them
}

type span struct{ min, max uint64 }

func (s *span) add(version uint64) {
	if s.max == 0 || version < s.min {
		s.min = version
	}
	s.max = max(s.max, version)
}

// possible tells whether all that is wrong can be mended without the content of a file that is not there: the logs must be whole.
func (p *plan) possible(asked bool) bool {
	mendable := func(name string) bool {
		name = strings.TrimPrefix(name, "db/")
		ext, _, _ := fileID(name)
		return ext == tableExt || asked && (name == "MANIFEST" || name == "KEYREGISTRY" || name == "DISCARD")
	}
	for _, d := range p.damages {
		if !mendable(d.Name) || d.Do == doAllow {
			return false
		}
	}
	for _, id := range p.ids(tableExt) {
		var s span
		if p.withTable(id, func(t *tableFile) error { return t.check(func(e entry) { s.add(e.version) }) }) == nil {
			p.whole[id] = s
		}
	}
	return true
}

// maxCandidates bounds how many states are tried.
const maxCandidates = 32

// candidates are states of the tables, the likeliest first: without the change sets whose tables were not kept; as it was after each set; and, as the
// last resort, all tables in one level, where only their versions count.
func (p *plan) candidates(asked bool) (out []map[uint64]uint32) {
	add := func(live map[uint64]uint32) {
		for id := range live {
			if _, ok := p.whole[id]; !ok {
				return
			}
		}
		if len(out) < maxCandidates && !slices.ContainsFunc(out, func(o map[uint64]uint32) bool { return maps.Equal(o, live) }) {
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

// dropped tells whether a change set makes a table that is not there and that no later set takes away: Badger deleted it when it could not sync MANIFEST.
func (p *plan) dropped(i int) bool {
	for _, c := range p.manifest.sets[i].changes {
		if _, live := p.live[c.Id]; live {
			if _, ok := p.whole[c.Id]; !ok {
				return true
			}
		}
	}
	return false
}

// lossless tells whether a state of the tables holds, with the logs, all that any file has; and all that a table had that is missing and was made of a
// .mem: that, or the next table, must go on where the tables before it end.
func (p *plan) lossless(live map[uint64]uint32) bool {
	old := map[uint64]bool{} // deleted by MANIFEST, and not wanted back
	for _, set := range p.manifest.sets {
		for _, c := range set.changes {
			if c.Op != 0 {
				old[c.Id] = true
			}
		}
	}
	v := *p.survey
	v.tables = map[uint64]*tableFile{}
	for id := range live {
		v.tables[id] = nil
	}
	for id := range p.whole {
		if _, ok := live[id]; ok || old[id] {
			continue
		}
		want := map[string]uint64{}
		if p.withTable(id, func(t *tableFile) error { return t.check(func(e entry) { want[e.key] = max(want[e.key], e.version) }) }) != nil {
			return false
		}
		if v.without(want); len(want) > 0 {
			return false
		}
	}
	return p.contiguous()
}

// contiguous tells whether no flush is missing. Versions are numbers without a gap, and each batch writes the head, so a table or log that goes on after
// others begins at the next one at the latest.
func (p *plan) contiguous() bool {
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

// next is the first version that was flushed by the sets from i on, or is in the logs; of none it is out of reach.
func (p *plan) next(i int) uint64 {
	for _, set := range p.manifest.sets[i:] {
		for _, c := range set.changes {
			if s, ok := p.whole[c.Id]; ok && c.Op == 0 && c.Level == 0 {
				return s.min
			}
		}
	}
	var s span
	for _, l := range p.mems {
		for _, e := range l.entries {
			s.add(e.version)
		}
	}
	if s.max == 0 {
		return math.MaxUint64
	}
	return s.min
}

// mend puts a proven state in place. What it replaces is kept aside first.
func (s *Store) mend(k seal.SiteKey, v *survey, live map[uint64]uint32) (*Repaired, error) {
	f := s.opts.files()
	files := map[string][]byte{}
	want, err := encodeManifest(live)
	if err != nil {
		return nil, err
	}
	done := &Repaired{Done: []string{}}
	if v.live == nil || !maps.Equal(live, v.live) {
		files["MANIFEST"] = want
		done.Done = append(done.Done, fmt.Sprintf("MANIFEST names %d tables, which are all there", len(live)))
	}
	for _, d := range v.damages {
		switch d.Name {
		case "db/KEYREGISTRY":
			files["KEYREGISTRY"] = append([]byte(keys.Random(16)), registry...)
			done.Done = append(done.Done, "KEYREGISTRY made anew: it held no key")
		case "db/DISCARD":
			files["DISCARD"] = make([]byte, discardSize)
			done.Done = append(done.Done, "DISCARD made anew: it held nothing of use")
		}
	}
	aside := filepath.Join(f.dir, "aside-"+s.opts.Now().UTC().Format("20060102T150405Z"))
	for _, name := range slices.Sorted(maps.Keys(files)) {
		old, err := os.ReadFile(filepath.Join(f.db, name))
		if err == nil {
			if err := os.Mkdir(aside, 0o700); err != nil && !errors.Is(err, os.ErrExist) {
				return nil, fmt.Errorf("store: %w", err)
			}
			done.Aside = aside
			err = replace(filepath.Join(aside, name), old)
		} else if errors.Is(err, os.ErrNotExist) {
			err = nil
		}
		if err == nil {
			err = put(f.db, name, files[name])
		}
		if err != nil {
			return nil, fmt.Errorf("store: repair: %w", err)
		}
	}
	if gone, err := absent(f.check); err == nil && gone {
		if err := writeNew(f.check, k.CheckText(formatVersion)); err != nil {
			return nil, fmt.Errorf("store: write %s: %w", f.check, err)
		}
		done.Done = append(done.Done, "site.check written anew: the site key opens the database")
	}
	return done, syncPath(f.dir)
}

// put replaces a file of db/ by way of a name that a crash may leave there.
func put(db, name string, content []byte) error {
	tmp := filepath.Join(db, "MANIFEST-REWRITE")
	if err := os.WriteFile(tmp, content, 0o600); err != nil {
		return err
	}
	if err := errors.Join(syncPath(tmp), os.Rename(tmp, filepath.Join(db, name))); err != nil {
		return err
	}
	if b, err := os.ReadFile(filepath.Join(db, name)); err != nil || !bytes.Equal(b, content) {
		return fmt.Errorf("%s is not as it was written: %w", name, err)
	}
	return syncPath(db)
}
