package store

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"latchkey/gateway/store/engine"
	"latchkey/gateway/store/folder"
	"latchkey/gateway/store/reader"
	"latchkey/gateway/store/seal"
)

// Open opens the store, or makes a new one in an empty folder. It checks all of it except older
// events (see [Store.Verify]), and deletes sign-ins that have expired. It fails with ErrLocked
// while another process has the store, ErrSiteKey before anything is written, ErrNoSpace when there
// is hardly any, ErrFormat, or ErrCorrupt with the name of a file or record. The caller closes it.
func Open(ctx context.Context, o Options) (*Store, error) {
	o = o.withDefaults()
	s := &Store{opts: o, log: o.Log, queue: make(chan *request, maxBatch), quit: make(chan struct{}),
		gone: make(chan struct{})}
	sp := space{min: o.MinFree, free: o.Free, stuck: func() bool { return s.db.IsStuck() }}
	key, state := seal.NewSiteKey(), folder.New
	if !o.InMemory {
		f := o.files()
		if err := s.lockFolder(f); err != nil {
			return nil, err
		}
		if sp.free == nil {
			sp.free = func() (uint64, error) { return folder.MeasureFree(f.Dir) }
		}
		if sp.measure(); sp.low && f.IsEmpty() {
			return nil, s.abandon(sp.err())
		}
		var err error
		if key, state, err = folder.FindSiteKey(f); err != nil {
			return nil, s.abandon(err)
		}
		if s.ballast, err = folder.OpenBallast(f.Dir, o.ballast); err != nil {
			return nil, s.abandon(err)
		}
	}
	s.keys = key.DeriveKeys()
	s.sealer, s.reader = seal.New(s.keys.Seal), reader.New(s.keys)
	if err := s.tryOut(ctx, state); err != nil {
		return nil, s.abandon(err)
	}
	if err := ctx.Err(); err != nil {
		return nil, s.abandon(err)
	}
	if !o.InMemory {
		if err := s.makeRoom(o.files(), &sp); err != nil {
			return nil, s.abandon(err)
		}
	}
	db, err := engine.Open(s.engineConfig())
	if err != nil {
		return nil, s.abandon(err)
	}
	s.db = db
	w, err := s.load(ctx, sp, state)
	if err == nil && !o.InMemory && state != folder.Made {
		err = folder.FinishCreation(key, o.files())
	}
	if err != nil {
		_ = db.Close()
		return nil, s.abandon(err)
	}
	go w.run()
	if !o.InMemory {
		s.witnessed = make(chan struct{})
		go s.keepWitness()
	}
	return s, nil
}

// tryOut opens a copy of the store in a trial. A damaged store then changes nothing and does not
// end this process.
func (s *Store) tryOut(ctx context.Context, state folder.State) error {
	if state == folder.New {
		return nil
	}
	ctx, cancel := context.WithTimeout(ctx, trialWait)
	defer cancel()
	f := s.opts.files()
	r, err := s.opts.runTrial(ctx, trial{Dir: f.Dir, KeyFile: f.Key})
	if state == folder.Unfinished && (err != nil || r.Seq > 0) {
		return fmt.Errorf("store: %w: %s is missing, and db/ is not as a creation leaves it that was cut; "+
			"nothing was changed: put it back, or run latchkey store repair",
			ErrSiteKey, f.Check)
	}
	if errors.Is(err, ErrCorrupt) {
		// When MANIFEST could not be synced, a crash may leave one that names missing tables.
		done, failed := s.repair(ctx, err, false)
		if failed != nil {
			return err
		}
		s.log.Warn("store repaired", "done", strings.Join(done.Done, ", "), "aside", done.Aside)
		r, err = s.opts.runTrial(ctx, trial{Dir: f.Dir, KeyFile: f.Key})
	}
	if err != nil {
		return err
	}
	return s.removeEmptyLogs(f, r)
}

// makeRoom makes sure that there is space for what Badger writes when it opens: a memtable, and a
// table with the content of the old one.
func (s *Store) makeRoom(f folder.Files, sp *space) error {
	sp.ballast = s.ballast
	if sp.measure(); sp.none {
		return fmt.Errorf("store: %w: make room on the disk that %s is on: it takes %d MiB to begin",
			ErrNoSpace, f.Dir, folder.BallastKept>>20)
	}
	return nil
}

// lockFolder locks the data folder, so that no other process uses it.
func (s *Store) lockFolder(f folder.Files) (err error) {
	s.lock, err = f.Lock()
	return err
}

// abandon releases the lock and returns err.
func (s *Store) abandon(err error) error {
	if s.lock != nil {
		_ = s.lock.Close()
	}
	return err
}

// engineConfig returns the configuration of this store's database.
func (s *Store) engineConfig() engine.Config {
	c := engine.Config{MemTable: s.opts.memTable, Small: s.opts.small, Log: s.log, Ballast: s.ballast,
		Quit:   s.quit,
		Failed: s.failDisk, SyncFault: s.opts.syncFault}
	if !s.opts.InMemory {
		c.Dir = s.opts.files().DB
	}
	return c
}
