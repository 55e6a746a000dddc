// Package engine runs Badger for the store and turns three faults into errors that the caller gets:
// a damaged file, at which Badger panics; a full disk, which would raise SIGBUS in its memory maps;
// and a failed write, after which Badger would go on. It knows no record, and all values in it are
// sealed.
package engine

import (
	"fmt"
	"log/slog"
	"runtime/debug"
	"strings"
	"sync/atomic"
	"unsafe"

	"github.com/dgraph-io/badger/v4"
	"github.com/dgraph-io/badger/v4/options"

	"latchkey/gateway/store/folder"
)

// Config describes a database. [MakeOptions] uses only Dir, MemTable and Small.
type Config struct {
	Dir      string // db/; in memory if empty
	MemTable int64  // bytes of a memtable
	Small    bool   // memtables of 256 KB, for tests that need many tables

	Log     *slog.Logger
	Ballast *folder.Ballast // space for writes on a full disk
	Quit    <-chan struct{} // closed when waiting for space must end
	// Failed is called with each error of the disk. In production it ends the process, because
	// nothing may build on a write that failed.
	Failed func(error)
	// SyncFault is for tests: an error from it counts as a failed sync of MANIFEST.
	SyncFault func() error
}

// DB is an open database. Read it by [DB.ReadTxn].
type DB struct {
	*badger.DB
	cfg   Config
	built atomic.Int64 // tables built by the running compaction
	stuck atomic.Bool  // a memtable waits for space
	// syncsLog points to Badger's private switch for syncing the value log at each commit.
	syncsLog *bool
	deleted  atomic.Uint64 // version of the newest delete
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
	d.syncsLog = (*bool)(unsafe.Add(unsafe.Pointer(d.DB), syncsLogOffset))
	if c.Dir != "" {
		if err := c.Ballast.ReserveOpenedManifest(c.Dir); err != nil {
			_ = d.Close()
			return nil, err
		}
	}
	return d, nil
}

// OpenScratch opens a copy of a database for reading only. It does not report errors of the disk.
func OpenScratch(dir string) (*DB, error) {
	o := MakeOptions(Config{Dir: dir, MemTable: DefaultMemTable}).WithReadOnly(true).WithNumCompactors(0)
	db, err := badger.Open(o)
	if err != nil {
		return nil, err
	}
	return &DB{DB: db, cfg: Config{Log: slog.New(slog.DiscardHandler)}}, nil
}

// Write commits the writes durably, all or none. It is not safe for concurrent use.
func (d *DB) Write(w *Writes) error {
	*d.syncsLog = w.large
	deletes := false
	err := d.Update(func(txn *badger.Txn) error {
		for i := range w.entries {
			e := &w.entries[i]
			var err error
			if e.Value == nil {
				err, deletes = txn.Delete(e.Key), true
			} else {
				err = txn.SetEntry(e)
			}
			if err != nil {
				return err
			}
		}
		return nil
	})
	if deletes {
		d.deleted.Store(d.MaxVersion())
	}
	return err
}

// Close closes the database.
func (d *DB) Close() error {
	defer d.forget()
	return d.DB.Close()
}

func (d *DB) forget() { opened.CompareAndDelete(d.cfg.Dir, d) }

// IsStuck tells whether a memtable waits for space. Then nothing more may be written.
func (d *DB) IsStuck() bool { return d != nil && d.stuck.Load() }

// ReadTxn runs f in a read-only transaction, which reads files that Badger has mapped. A file that
// became shorter, or a damaged block, makes that panic; ReadTxn returns it as an error. If Badger
// finds the index of a table wrong, Badger ends the process, and the next start names the file.
func (d *DB) ReadTxn(f func(*badger.Txn) error) (err error) {
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

// MakeOptions returns options that suit a Raspberry Pi. A memtable of 4 MB limits one transaction
// to about 600 KB and 6,500 records.
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
		// In memory there is no value log, so large values count in full.
		bo = bo.WithMemTableSize(8 << 20).WithValueThreshold(1 << 20)
	}
	return bo
}

// DefaultMemTable is how many bytes a memtable has.
const DefaultMemTable = 4 << 20

// ValueThreshold is the size from which values go to the value log, which costs a commit a second
// sync (see [DB.Write]). Pages of events are always smaller.
const ValueThreshold = 32 << 10

// openError turns errors that Badger only describes in text into sentinels.
func openError(dir string, err error) error {
	// Our own lock keeps out a second gateway. This one is for somebody who uses Badger's own
	// tools.
	if strings.Contains(err.Error(), "no space left on device") {
		return fmt.Errorf("store: open database: %w: %w", folder.ErrNoSpace, err)
	}
	if strings.Contains(err.Error(), "Cannot acquire directory lock") {
		return fmt.Errorf("store: %s: %w", dir, folder.ErrLocked)
	}
	return fmt.Errorf("store: open database: %w", err)
}
