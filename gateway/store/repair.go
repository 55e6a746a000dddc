package store

import (
	"context"
	"errors"
	"fmt"
	"math"
	"os"
	"path/filepath"

	"latchkey/gateway/store/folder"
)

// Repaired is what a repair did.
type Repaired struct {
	First uint64   `json:"first"`           // the first event that is kept
	Seq   uint64   `json:"seq"`             // newest event; all up to it are verified
	Done  []string `json:"done"`            // what was done, for people
	Aside string   `json:"aside,omitempty"` // folder with the files as they were
}

// Repair repairs a store that was refused because of its MANIFEST, a missing table, or a file
// without content. It goes back to change sets whose tables all exist. It writes only if a trial
// proves the result: all events from the first to the newest that any file or site.head knows, and
// the digests. It fails with ErrWhole if nothing is wrong, and with the damage if it cannot prove a
// result.
func Repair(ctx context.Context, o Options) (*Repaired, error) {
	o = o.withDefaults()
	s := &Store{opts: o, log: o.Log}
	f := o.files()
	if _, err := os.Stat(f.DB); err != nil {
		return nil, folder.DescribeUnreadable("db/", err)
	}
	if err := s.lockFolder(f); err != nil {
		return nil, err
	}
	defer func() { _ = s.lock.Close() }()
	gone, err := folder.IsAbsent(f.Check)
	if err != nil {
		return nil, folder.DescribeUnreadable(filepath.Base(f.Check), err)
	}
	if _, err = o.runTrial(ctx, trial{Dir: f.Dir, KeyFile: f.Key, All: true}); err == nil && !gone {
		return nil, fmt.Errorf("store: %s: %w", f.Dir, ErrWhole)
	} else if err != nil && !errors.Is(err, ErrCorrupt) {
		return nil, err
	}
	return s.repair(ctx, err, true)
}

// repair finds a MANIFEST that a trial proves, and installs it. why is the damage, or nil if only
// site.check is missing. Without asked it mends only what a crash leaves: change sets whose tables
// are missing.
func (s *Store) repair(ctx context.Context, why error, asked bool) (*Repaired, error) {
	f := s.opts.files()
	k, err := folder.ReadSiteKey(f.Key)
	if err != nil {
		return nil, err
	}
	v := folder.TakeSurvey(f.DB, math.MaxInt64)
	p, ok := folder.MakePlan(v, asked)
	if !ok {
		return nil, why
	}
	if w, err := folder.ReadWitness(f.Head, k.DeriveKeys()); err != nil || w == nil && v.Live == nil {
		// Without MANIFEST and site.head nobody could notice that a table is missing.
		return nil, folder.Unproven(why)
	}
	for _, live := range p.ListCandidates(asked) {
		if !p.IsLossless(live) {
			continue
		}
		r, err := s.opts.runTrial(ctx, trial{Dir: f.Dir, KeyFile: f.Key, All: true, Live: live, Given: true})
		if ctx.Err() != nil {
			return nil, ctx.Err()
		}
		if err != nil {
			continue
		}
		done, aside, err := folder.Mend(f, k, v, live, s.opts.Now())
		if err != nil {
			return nil, err
		}
		return &Repaired{First: r.First, Seq: r.Seq, Done: done, Aside: aside}, nil
	}
	return nil, folder.Unproven(why)
}
