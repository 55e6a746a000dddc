package engine

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"sync"
	_ "unsafe" // for go:linkname

	"github.com/dgraph-io/badger/v4"
	"go.opentelemetry.io/otel"
	"go.opentelemetry.io/otel/trace"
	"go.opentelemetry.io/otel/trace/noop"

	"latchkey/gateway/store/folder"
)

// After an error of the disk Badger goes on. It repeats a flush or a compaction for ever. When the
// sync of MANIFEST fails, it deletes new tables that MANIFEST already names. When a compaction
// cannot write a table, it loses that error (it passes a nil that was evaluated too early), and
// MANIFEST then deletes the old tables although their content is nowhere else. So the first error
// must end the process. Three hooks detect it in time: Badger's logger, its variable for syncing
// MANIFEST, and its tracer, which makes compactions run one at a time.

// badgerSync is the function with which Badger syncs MANIFEST after it has appended a change set,
// and before it deletes a table.
//
//go:linkname badgerSync github.com/dgraph-io/badger/v4.syncFunc
var badgerSync func(*os.File) error

// With SyncWrites, Badger syncs the value log at each commit, also if nothing was written to it. On
// a disk with a write cache that costs as much as the sync that is needed. There is no option for
// it, so [DB.Write] sets one private field, badger.DB.vlog.opt.SyncWrites. Badger reads it only in
// the goroutine that writes, while the commit waits for it.
var syncsLogOffset, syncsLogErr = findSyncsLog(reflect.TypeFor[badger.DB]())

func findSyncsLog(db reflect.Type) (uintptr, error) {
	vlog, ok := db.FieldByName("vlog")
	if !ok || vlog.Type.Kind() != reflect.Struct {
		return 0, fmt.Errorf("store: this build's Badger has no vlog in %s", db)
	}
	opt, ok := vlog.Type.FieldByName("opt")
	if !ok || opt.Type != reflect.TypeFor[badger.Options]() {
		return 0, fmt.Errorf("store: this build's Badger has no options in %s", vlog.Type)
	}
	syncs, ok := opt.Type.FieldByName("SyncWrites")
	if !ok || syncs.Type.Kind() != reflect.Bool {
		return 0, fmt.Errorf("store: this build's Badger has no SyncWrites in %s", opt.Type)
	}
	return vlog.Offset + opt.Offset + syncs.Offset, nil
}

// opened holds the open databases by their folders, so that the hooks can find them.
var opened sync.Map // string → *DB

// findDB returns the open database that a file belongs to, or nil.
func findDB(file string) *DB {
	if d, ok := opened.Load(filepath.Dir(file)); ok {
		return d.(*DB)
	}
	return nil
}

// hookBadger is done once, before the first database is opened.
var hookBadger = sync.OnceValue(func() error {
	if badgerSync == nil {
		return errors.New("store: this build's Badger has no syncFunc: the store cannot tell whether the " +
			"disk fails")
	}
	if syncsLogErr != nil {
		return syncsLogErr
	}
	badgerSync = syncManifest
	otel.SetTracerProvider(oneCompaction{})
	return hookMmap()
})

// syncManifest replaces badgerSync. It removes a change set that cannot be synced, or that lacks a
// table: the files of the state before it still exist.
func syncManifest(f *os.File) error {
	d := findDB(f.Name())
	if d == nil {
		return f.Sync()
	}
	last, err := folder.ReadLastChange(f)
	if err == nil {
		err = d.lostTable(last)
	}
	if err == nil && d.cfg.SyncFault != nil {
		err = d.cfg.SyncFault()
	}
	if err == nil {
		err = f.Sync()
	}
	if err == nil {
		d.cfg.Ballast.ReserveManifest(f)
		return nil
	}
	if last.At > 0 {
		err = errors.Join(err, f.Truncate(last.At))
		if _, e := f.Seek(last.At, io.SeekStart); e != nil {
			err = errors.Join(err, e)
		}
	}
	err = fmt.Errorf("%s: %w", filepath.Base(f.Name()), err)
	d.cfg.Failed(err)
	return err
}

// lostTable tells whether a compaction's change set lacks a table that it has built.
func (d *DB) lostTable(c folder.LastChange) error {
	if !c.Deletes { // a flush, which keeps its memtable when it fails
		return nil
	}
	if built := d.built.Swap(0); built != c.Made {
		return fmt.Errorf("a compaction built %d tables and could write %d", built, c.Made)
	}
	return nil
}

// badgerLog receives Badger's log.
type badgerLog struct{ db *DB }

func (badgerLog) Infof(string, ...any) {}

// builtTable is what Badger logs for each table that a compaction has built and will write next,
// with the number of keys in it.
const builtTable = "[%d] LOG Compact. Added %d keys."

func (l badgerLog) Debugf(f string, a ...any) {
	if strings.HasPrefix(f, builtTable) {
		if n, ok := a[1].(uint64); !ok || n > 0 {
			l.db.built.Add(1)
		}
	}
}

func (l badgerLog) Errorf(f string, a ...any)   { l.heard(f, a) }
func (l badgerLog) Warningf(f string, a ...any) { l.heard(f, a) }

// harmless lists parts of warnings that are not errors of the disk, or that Badger's caller gets as
// well.
var harmless = []string{
	"might be too small",       // a cache
	"Cache life expectancy",    //
	"MANIFEST delete: table",   // twice
	"non-empty level",          // a compaction that does not begin
	"Received err:",            // Open returns it
	"Unable to read: Key:",     // a read, which returns it
	"Invalid read: vp:",        //
	"Unable to get stats for",  // never asked for
	"We shouldn't reach batch", //
	"While running doCompact",  // Flatten returns it, and an error of the disk was logged before
}

func (l badgerLog) heard(f string, a []any) {
	text := strings.TrimSpace(fmt.Sprintf(f, a...))
	if slices.ContainsFunc(harmless, func(part string) bool { return strings.Contains(text, part) }) {
		l.db.cfg.Log.Warn("database warning", "err", text)
		return
	}
	l.db.cfg.Failed(errors.New(text))
}

// oneCompaction is a tracer for Badger, which runs each compaction in a span. It allows one span at
// a time, so there is one compaction at a time, and all tables built in a span belong to it.
type oneCompaction struct{ noop.TracerProvider }

type compactionTracer struct{ noop.Tracer }

type compactionSpan struct{ noop.Span }

var compacting sync.Mutex

func (oneCompaction) Tracer(string, ...trace.TracerOption) trace.Tracer { return compactionTracer{} }

func (compactionTracer) Start(ctx context.Context, name string,
	_ ...trace.SpanStartOption) (context.Context, trace.Span) {
	if name != "Badger.Compaction" {
		return ctx, noop.Span{}
	}
	compacting.Lock()
	return ctx, compactionSpan{}
}

func (compactionSpan) End(...trace.SpanEndOption) { compacting.Unlock() }

var _ badger.Logger = badgerLog{}
