package store

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"github.com/dgraph-io/badger/v4"
	"github.com/dgraph-io/badger/v4/options"

	"latchkey/gateway/store/seal"
)

// Open opens the store, or makes a new one in an empty folder, and checks all of it but the chain's past (see [Store.Verify]).
// Sign-ins that have expired are deleted.
// It fails with ErrLocked while another process has it, ErrSiteKey before anything is written, ErrNoSpace when there is hardly any, ErrFormat, or ErrCorrupt
// with the name of a record. The caller closes it.
func Open(ctx context.Context, o Options) (*Store, error) {
	o = o.withDefaults()
	s := &Store{opts: o, log: o.Log, queue: make(chan *request, maxBatch), quit: make(chan struct{}), gone: make(chan struct{})}
	sp := space{min: o.MinFree, free: o.Free, stuck: s.stuck.Load}
	key, state := seal.NewSiteKey(), folderNew
	if !o.InMemory {
		f := o.files()
		if err := s.prepare(f); err != nil {
			return nil, err
		}
		if sp.free == nil {
			sp.free = func() (uint64, error) { return freeIn(f.dir) }
		}
		if sp.look(); sp.low && f.empty() {
			return nil, s.abandon(sp.err())
		}
		var err error
		if key, state, err = siteKeyFor(f); err != nil {
			return nil, s.abandon(err)
		}
		if s.ballast, err = openBallast(f.dir, o.ballast); err != nil {
			return nil, s.abandon(err)
		}
	}
	s.keys = key.DeriveKeys()
	s.sealer = seal.New(s.keys.Seal)
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
	if err := hookBadger(); err != nil {
		return nil, s.abandon(err)
	}
	if !o.InMemory {
		opened.Store(o.files().db, s)
	}
	db, err := badger.Open(badgerOptions(o).WithLogger(badgerLog{s}))
	if err != nil {
		return nil, s.abandon(openError(o, err))
	}
	s.db = db
	if !o.InMemory {
		if err := s.ballast.reserveOpened(o.files().db); err != nil {
			_ = db.Close()
			return nil, s.abandon(err)
		}
	}
	w, err := s.load(ctx, sp, state)
	if err == nil && !o.InMemory && state != folderMade {
		err = finishCreation(key, o.files())
	}
	if err != nil {
		_ = db.Close()
		return nil, s.abandon(err)
	}
	go w.run()
	if !o.InMemory {
		s.witnessed = make(chan struct{})
		go s.witnesses()
	}
	return s, nil
}

// tryOut opens the store for a look, so that nothing is changed and nobody falls if it is damaged.
func (s *Store) tryOut(ctx context.Context, state folder) error {
	if state == folderNew {
		return nil
	}
	ctx, cancel := context.WithTimeout(ctx, trialWait)
	defer cancel()
	f := s.opts.files()
	r, err := s.opts.try(ctx, trial{Dir: f.dir, KeyFile: f.key})
	if state == folderUnfinished && (err != nil || r.Seq > 0) {
		return fmt.Errorf("store: %w: %s is missing, and db/ is not as a creation leaves it that was cut; nothing was changed: put it back, or run latchkey store repair",
			ErrSiteKey, f.check)
	}
	if errors.Is(err, ErrCorrupt) {
		// A crash may leave a MANIFEST that names tables which were not kept, when it could not be synced.
		done, failed := s.repair(ctx, err, false)
		if failed != nil {
			return err
		}
		s.log.Warn("store repaired", "done", strings.Join(done.Done, ", "), "aside", done.Aside)
		r, err = s.opts.try(ctx, trial{Dir: f.dir, KeyFile: f.key})
	}
	if err != nil {
		return err
	}
	return s.tidy(f, r)
}

// makeRoom sees that there is space for what Badger writes when it is opened: a memtable, and a table of the one that was left.
func (s *Store) makeRoom(f files, sp *space) error {
	sp.ballast = s.ballast
	if sp.look(); sp.none {
		return fmt.Errorf("store: %w: make room on the disk that %s is on: it takes %d MiB to begin", ErrNoSpace, f.dir, ballastKept>>20)
	}
	return nil
}

// prepare takes the lock of the data folder. Everything after it is alone.
func (s *Store) prepare(f files) (err error) {
	s.lock, err = f.lock()
	return err
}

// abandon gives the lock back and returns err.
func (s *Store) abandon(err error) error {
	if s.lock != nil {
		opened.CompareAndDelete(s.opts.files().db, s)
		_ = s.lock.Close()
	}
	return err
}

// badgerOptions is a profile for a Raspberry Pi: a 4 MB memtable limits one transaction to about 600 KB and 6,500 records.
func badgerOptions(o Options) badger.Options {
	dir := ""
	if !o.InMemory {
		dir = o.files().db
	}
	bo := badger.DefaultOptions(dir).
		WithInMemory(o.InMemory).
		WithSyncWrites(true).
		WithMemTableSize(o.memTable).
		WithNumMemtables(2).
		WithBaseTableSize(1 << 20).
		WithBaseLevelSize(4 << 20).
		WithValueThreshold(valueThreshold).
		WithValueLogFileSize(16 << 20).
		WithBlockCacheSize(1 << 20).
		WithIndexCacheSize(1 << 20).
		WithCompression(options.None).
		WithNumCompactors(2).
		WithDetectConflicts(false). // one writer
		WithMetricsEnabled(false).
		WithLogger(nil)
	if o.small {
		bo = bo.WithMemTableSize(256 << 10).WithBaseTableSize(64 << 10).WithBaseLevelSize(128 << 10)
	}
	if o.InMemory {
		bo = bo.WithMemTableSize(8 << 20).WithValueThreshold(1 << 20) // there is no value log, so large values count in full
	}
	return bo
}

// valueThreshold is from what size on values go to the value log, which costs a commit a second sync. Pages of events never do.
const valueThreshold = 32 << 10

func openError(o Options, err error) error {
	// Badger hides the cause in text. Ours is the lock that matters; this is somebody with Badger's own tools.
	if strings.Contains(err.Error(), "no space left on device") {
		return fmt.Errorf("store: open database: %w: %w", ErrNoSpace, err)
	}
	if strings.Contains(err.Error(), "Cannot acquire directory lock") {
		return fmt.Errorf("store: %s: %w", o.files().db, ErrLocked)
	}
	return fmt.Errorf("store: open database: %w", err)
}
