// Package engine runs Badger for the store, so that what Badger cannot cope with becomes an error
// of whoever asked: a damaged file that makes it panic, a full disk that would send SIGBUS into its
// maps, and a failed write after which it would go on. It knows no record, and what it holds is
// sealed.
package engine

import (
	"fmt"
	"log/slog"
	"runtime/debug"
	"strings"
	"sync/atomic"

	"github.com/dgraph-io/badger/v4"
	"github.com/dgraph-io/badger/v4/options"

	"latchkey/gateway/store/folder"
)

// Config says which database, and who is told of what. Only Dir, MemTable and Small matter to
// [MakeOptions].
type Config struct {
	Dir      string // db/; in memory if empty
	MemTable int64  // bytes of a memtable
	Small    bool   // memtables of 256 KB, for tests of what Badger does with tables

	Log     *slog.Logger
	Ballast *folder.Ballast // what a full disk is written from
	Quit    <-chan struct{} // closed when nobody waits for space any more
	// Failed is told of each error of the disk. Nothing may be built on what was not written, so in
	// production it ends the process.
	Failed func(error)
	// SyncFault is for tests: an error from it stands for a failed sync of MANIFEST.
	SyncFault func() error
}

// DB is an open database. Read it by [DB.Look].
type DB struct {
	*badger.DB
	cfg   Config
	built atomic.Int64 // tables that the compaction under way has built
	stuck atomic.Bool  // a memtable waits for space
}

// Open opens the database, or makes it. The caller closes it.
func Open(c Config) (*DB, error) {
	if err := hookBadger(); err != nil {
		return nil, err
	}
	d := &DB{cfg: c}
	if c.Dir != "" {
		opened.Store(c.Dir, d)
	}
	var err error
	if d.DB, err = badger.Open(MakeOptions(c).WithLogger(badgerLog{d})); err != nil {
		d.forget()
		return nil, openError(c.Dir, err)
	}
	if c.Dir != "" {
		if err := c.Ballast.ReserveOpenedManifest(c.Dir); err != nil {
			_ = d.Close()
			return nil, err
		}
	}
	return d, nil
}

// OpenScratch opens a copy of a database for reading alone. It tells nobody of anything.
func OpenScratch(dir string) (*DB, error) {
	o := MakeOptions(Config{Dir: dir, MemTable: DefaultMemTable}).WithReadOnly(true).WithNumCompactors(0)
	db, err := badger.Open(o)
	if err != nil {
		return nil, err
	}
	return &DB{DB: db, cfg: Config{Log: slog.New(slog.DiscardHandler)}}, nil
}

// Close closes the database.
func (d *DB) Close() error {
	defer d.forget()
	return d.DB.Close()
}

func (d *DB) forget() { opened.CompareAndDelete(d.cfg.Dir, d) }

// IsStuck tells whether a memtable waits for space, so that nothing more may be written.
func (d *DB) IsStuck() bool { return d != nil && d.stuck.Load() }

// Look runs f in a read-only transaction, which reads what Badger has mapped. A file that got
// shorter, or a damaged block, makes that panic: it is an error of who looks. Where Badger finds a
// table's own index wrong it ends the process by itself, and the next start names the file.
func (d *DB) Look(f func(*badger.Txn) error) (err error) {
	defer debug.SetPanicOnFault(debug.SetPanicOnFault(true))
	defer func() {
		if p := recover(); p != nil {
			d.cfg.Log.Error("store damaged", "err", fmt.Sprint(p))
			err = &folder.Damage{Name: "db/", What: "a file of it was damaged while it was in use",
				Whole: "latchkey audit verify tells which", Do: folder.DoCopy}
		}
	}()
	return d.View(f)
}

// MakeOptions is a profile for a Raspberry Pi: a 4 MB memtable limits one transaction to about 600
// KB and 6,500 records.
func MakeOptions(c Config) badger.Options {
	bo := badger.DefaultOptions(c.Dir).
		WithInMemory(c.Dir == "").
		WithSyncWrites(true).
		WithMemTableSize(c.MemTable).
		WithNumMemtables(2).
		WithBaseTableSize(1 << 20).
		WithBaseLevelSize(4 << 20).
		WithValueThreshold(ValueThreshold).
		WithValueLogFileSize(16 << 20).
		WithBlockCacheSize(1 << 20).
		WithIndexCacheSize(1 << 20).
		WithCompression(options.None).
		WithNumCompactors(2).
		WithDetectConflicts(false). // one writer
		WithMetricsEnabled(false).
		WithLogger(nil)
	if c.Small {
		bo = bo.WithMemTableSize(256 << 10).WithBaseTableSize(64 << 10).WithBaseLevelSize(128 << 10)
	}
	if c.Dir == "" {
		// There is no value log, so large values count in full.
		bo = bo.WithMemTableSize(8 << 20).WithValueThreshold(1 << 20)
	}
	return bo
}

// DefaultMemTable is how many bytes a memtable has.
const DefaultMemTable = 4 << 20

// ValueThreshold is from what size on values go to the value log, which costs a commit a second
// sync. Pages of events never do.
const ValueThreshold = 32 << 10

// openError makes a sentinel of what Badger only says in text.
func openError(dir string, err error) error {
	// Badger hides the cause in text. Ours is the lock that matters; this is somebody with Badger's
	// own tools.
	if strings.Contains(err.Error(), "no space left on device") {
		return fmt.Errorf("store: open database: %w: %w", folder.ErrNoSpace, err)
	}
	if strings.Contains(err.Error(), "Cannot acquire directory lock") {
		return fmt.Errorf("store: %s: %w", dir, folder.ErrLocked)
	}
	return fmt.Errorf("store: open database: %w", err)
}
