// Package restore makes a new data folder from a backup. It changes no folder that has something
// in it, and does not decide who may restore what.
package restore

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"time"

	"golang.org/x/sys/unix"

	"latchkey/gateway/access"
	"latchkey/gateway/audit"
	"latchkey/gateway/store"
	"latchkey/gateway/store/backup"
	"latchkey/gateway/store/engine"
	"latchkey/gateway/store/folder"
	"latchkey/gateway/store/record"
	"latchkey/gateway/store/seal"
	"latchkey/keys"
)

// Options says how a backup is restored.
type Options struct {
	Dir         string                         // the new data folder: absent, or empty
	Fingerprint string                         // of the site that must have signed the backup
	Open        bool                           // without a lockdown, unless the backup has one
	Actor       string                         // who restores, for the events
	Now         func() time.Time               // time.Now if nil
	Store       func(dir string) store.Options // how the new store is opened, to check it
}

// Restored is what a restore made.
type Restored struct {
	Seq      uint64 // the newest event
	Epoch    uint64
	Lockdown bool
}

// ErrKind is the error of a backup that does not have everything.
var ErrKind = errors.New("only a full backup can be restored")

// minFree is the free space below which a restore ends: the database must never meet a full disk.
const minFree = 48 << 20

// Restore writes a new data folder beside o.Dir, opens the store in it, checks all of it and gives
// it its name. Before that there is no store with that name, and after an error nothing is left.
//
// The restored site begins a new epoch. An event says so, right after the newest event of the
// backup. Scan counters are void, nobody is signed in, and the site is in lockdown unless o.Open is
// set: what was revoked since the backup is valid again.
func Restore(ctx context.Context, r *backup.Reader, o Options) (done Restored, err error) {
	if o.Now == nil {
		o.Now = time.Now
	}
	switch h := &r.Header; {
	case o.Fingerprint == "" || h.Fingerprint() != o.Fingerprint:
		return done, fmt.Errorf("%w (it is signed by %s)", backup.ErrSigner, h.Fingerprint())
	case h.Kind != backup.Full:
		return done, fmt.Errorf("%w, and this one is of the kind %s", ErrKind, h.Kind)
	}
	inside, err := os.ReadDir(o.Dir)
	if err == nil && len(inside) > 0 {
		return done, fmt.Errorf("%s has something in it: name a new folder, or move that away", o.Dir)
	}
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return done, fmt.Errorf("restore: %w", err)
	}
	parent, name := filepath.Split(filepath.Clean(o.Dir))
	tmp, err := os.MkdirTemp(parent, "."+name+".*.restoring") // of mode 0700, and on the same disk
	if err != nil {
		return done, fmt.Errorf("restore: %w", err)
	}
	defer func() {
		if err != nil {
			_ = os.RemoveAll(tmp)
		}
	}()
	if err := fill(ctx, r, tmp, o, &done); err != nil {
		return done, err
	}
	if err := check(ctx, o.Store(tmp)); err != nil {
		return done, fmt.Errorf("restore: the new store is not as it should be, and was removed: %w", err)
	}
	// Unlike os.Rename this replaces an empty folder.
	if err := unix.Rename(tmp, filepath.Clean(o.Dir)); err != nil {
		return done, fmt.Errorf("restore: %w", err)
	}
	return done, folder.SyncPath(filepath.Dir(filepath.Clean(o.Dir)))
}

// check opens the store, verifies everything in it and closes it.
func check(ctx context.Context, o store.Options) error {
	s, err := store.Open(ctx, o)
	if err != nil {
		return err
	}
	return errors.Join(s.Check(ctx), s.Close())
}

// fill makes the files of a data folder.
func fill(ctx context.Context, r *backup.Reader, dir string, o Options, done *Restored) (err error) {
	f := folder.NameFiles(dir, "")
	if err := os.Mkdir(f.DB, 0o700); err != nil {
		return fmt.Errorf("restore: %w", err)
	}
	w := &writer{dir: dir, quit: ctx.Done()}
	if w.db, err = engine.Open(engine.Config{Dir: f.DB, MemTable: engine.DefaultMemTable,
		Log: slog.New(slog.DiscardHandler), Quit: w.quit, Failed: func(error) {}}); err != nil {
		return err
	}
	err = w.copyRecords(ctx, r)
	if err == nil {
		err = w.beginEpoch(r, o, done)
	}
	if cerr := w.db.Close(); err == nil && cerr != nil {
		err = fmt.Errorf("restore: %w", cerr)
	}
	if err != nil {
		return err
	}
	key, _ := r.SiteKey()
	if err := backup.Create(f.Key, func(w io.Writer) error {
		_, err := io.WriteString(w, key.Text())
		return err
	}); err != nil {
		return err
	}
	return folder.FinishCreation(key, f)
}

// writer writes the records of a backup.
type writer struct {
	db     *engine.DB
	dir    string
	quit   <-chan struct{}
	sealer *seal.Sealer // nil before the site key was read
	batch  engine.Writes
	count  int
	size   int
	raw    int

	head record.Head
	site []byte // plaintext of the site record; nil if there is none
}

// Bounds of one batch, far below those of the database.
const (
	batchRecords = 2000
	batchBytes   = 300 << 10
	batchRaw     = 4 << 20
)

func (w *writer) put(key record.Key, plain []byte) error {
	w.batch.Put(*w.sealer, string(key), plain)
	w.count++
	w.raw += len(plain)
	w.size += len(key) + 64
	if len(plain)+seal.Overhead < engine.ValueThreshold { // a larger one counts as a pointer
		w.size += len(plain) + seal.Overhead
	}
	if w.count < batchRecords && w.size < batchBytes && w.raw < batchRaw {
		return nil
	}
	return w.flush()
}

func (w *writer) flush() error {
	free, err := folder.MeasureFree(w.dir)
	if err == nil && free < minFree {
		return fmt.Errorf("restore: %w on the disk of %s, and nothing was kept: make room, or name a folder "+
			"on another disk", folder.ErrNoSpace, filepath.Dir(w.dir))
	}
	if err := w.db.Write(&w.batch); err != nil {
		return fmt.Errorf("restore: %w", err)
	}
	w.batch.Reset()
	w.count, w.size, w.raw = 0, 0, 0
	return nil
}

// copyRecords writes the records of the backup as they are, without the counters and the head.
func (w *writer) copyRecords(ctx context.Context, r *backup.Reader) error {
	for {
		if err := ctx.Err(); err != nil {
			return err
		}
		key, plain, err := r.Next()
		if errors.Is(err, io.EOF) {
			return w.checkHead(&r.Header)
		}
		if err != nil {
			return err
		}
		if w.sealer == nil {
			k, _ := r.SiteKey() // comes before all records
			s := seal.New(k.DeriveKeys().Seal)
			w.sealer = &s
		}
		switch {
		case key == record.HeadKey:
			if w.head, err = record.DecodeHead(plain); err != nil {
				return fmt.Errorf("restore: %v: %w", key, err)
			}
			continue
		case key.Kind() == record.KindCounter:
			continue
		case key == record.SiteKey:
			w.site = append([]byte(nil), plain...)
			continue
		}
		if err := w.put(key, plain); err != nil {
			return err
		}
	}
}

func (w *writer) checkHead(h *backup.Header) error {
	if w.sealer == nil || w.head.Seq != h.Head || w.head.Hash != h.HeadHash {
		return fmt.Errorf("%w (its head is not as its header says)", backup.ErrDamaged)
	}
	return nil
}

// beginEpoch appends two events: that the store was restored, and the change of the site record.
// The counters are those after them: none.
func (w *writer) beginEpoch(r *backup.Reader, o Options, done *Restored) error {
	key, _ := r.SiteKey()
	leaf := record.NewLeafer(key.DeriveKeys().Digest)
	site := record.Codecs.Policy.New().Site
	if w.site != nil {
		rec, err := record.DecodeRecord(record.SiteKey, w.site)
		if err != nil {
			return fmt.Errorf("restore: %v: %w", record.SiteKey, err)
		}
		site, _ = rec.(access.Site)
		w.head.Policy = w.head.Policy.Without(leaf.Leaf(record.SiteKey, w.site))
	}
	site.Epoch = max(1, site.Epoch) + 1
	site.Lockdown = site.Lockdown || !o.Open
	_, plain, err := record.EncodeRecord(site)
	if err != nil {
		return fmt.Errorf("restore: %w", err)
	}
	written := leaf.Leaf(record.SiteKey, plain)
	w.head.Policy = w.head.Policy.With(written)

	h := &w.head
	first, page := h.Seq+1, record.BeginPage(nil, h.Hash)
	now := o.Now().Round(0).UTC()
	detail := fmt.Sprintf("from the backup of %s; epoch %d begins, and scan counters are void",
		r.Header.Made.UTC().Format(time.RFC3339), site.Epoch)
	change := "site: begin a new epoch"
	if site.Lockdown {
		change += ", lockdown"
	}
	var enc record.Encoder
	for _, ev := range []audit.Event{{Kind: audit.EventRestore, Actor: o.Actor, Detail: detail},
		{Kind: audit.EventPolicy, Actor: o.Actor, Detail: change, Digest: keys.Hash(h.Policy.Sum.Bytes())}} {
		ev.Seq, ev.Prev, ev.At = h.Seq+1, h.Hash, now
		e := record.Event{Event: ev}
		e.Clean()
		page = append(page, enc.Encode(&e)...)
		h.Seq, h.Hash = e.Seq, e.Hash
	}
	if h.Seq > site.TimeTrusted && now.After(h.Latest) {
		h.Latest = now
	}
	h.PolicyAt, h.CountersAt, h.Counters = h.Seq, h.Seq, record.Tally{}
	changes, err := record.Encode(1, record.ChangeRecord{Changed: []record.ChangedRecord{
		{Key: []byte(record.SiteKey), Leaf: written.Shorten()}}})
	if err != nil {
		return fmt.Errorf("restore: %w", err)
	}
	if err := errors.Join(w.put(record.SiteKey, plain), w.put(record.ChangeKey(h.Seq), changes),
		w.put(record.EventKey(first), page), w.put(record.HeadKey, h.AppendTo(nil))); err != nil {
		return err
	}
	*done = Restored{Seq: h.Seq, Epoch: site.Epoch, Lockdown: site.Lockdown}
	return w.flush()
}
