package store

import (
	"bytes"
	"crypto/hmac"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"syscall"

	"latchkey/gateway/store/seal"
	"latchkey/keys"
)

// files are the parts of a data folder.
type files struct{ dir, key, check, head, db string }

// filesOf are the files of a data folder. keyFile is where the site key is, if not in it.
func filesOf(dir, keyFile string) files {
	f := files{dir: dir, key: keyFile, check: filepath.Join(dir, "site.check"), head: filepath.Join(dir, "site.head"),
		db: filepath.Join(dir, "db")}
	if f.key == "" {
		f.key = filepath.Join(dir, "site.key")
	}
	return f
}

// empty tells whether there is no store yet.
func (f files) empty() bool {
	inside, err := os.ReadDir(f.db)
	return len(inside) == 0 && (err == nil || errors.Is(err, fs.ErrNotExist))
}

// lock makes the data folder if need be and takes its lock, which leaves no trace on disk and goes
// when the file is closed. Whoever has it is alone.
func (f files) lock() (*os.File, error) {
	if f.dir == "" {
		return nil, errors.New("store: no data folder given")
	}
	if err := os.MkdirAll(f.dir, 0o700); err != nil {
		return nil, fmt.Errorf("store: data folder: %w", err)
	}
	d, err := os.Open(f.dir)
	if errors.Is(err, fs.ErrPermission) {
		return nil, unreadable(f.dir, err)
	}
	if err != nil {
		return nil, fmt.Errorf("store: data folder: %w", err)
	}
	if err := syscall.Flock(int(d.Fd()), syscall.LOCK_EX|syscall.LOCK_NB); err != nil {
		_ = d.Close()
		if errors.Is(err, syscall.EWOULDBLOCK) {
			err = errLocked
		}
		return nil, fmt.Errorf("store: %s: %w", f.dir, err)
	}
	return d, nil
}

// folder is what a data folder holds.
type folder int

const (
	folderNew        folder = iota // nothing, or what a creation leaves that was cut before its first batch
	folderUnfinished               // all but site.check, which a creation writes last
	folderMade                     // a store: nothing is ever created in it
)

// siteKeyFor returns the site key of the store in f, and what there is. Only where there is no site.check and no record does it write
// anything: the key, if there is none, and an empty folder for the database.
func siteKeyFor(f files) (seal.SiteKey, folder, error) {
	gone, err := absent(f.check)
	if err != nil {
		return seal.SiteKey{}, 0, unreadable(filepath.Base(f.check), err)
	}
	if gone {
		return beginAnew(f)
	}
	k, err := readSiteKey(f.key)
	if err == nil {
		err = checkKey(k, f)
	}
	if err != nil {
		return seal.SiteKey{}, 0, err
	}
	inside, err := os.ReadDir(f.db)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return seal.SiteKey{}, 0, &Damage{Name: "db/", What: "is missing, and site.check says that there was a database", Do: doBegin}
	case err == nil && len(inside) == 0:
		return seal.SiteKey{}, 0, &Damage{Name: "db/", What: "is empty, and site.check says that there was a database", Do: doBegin}
	}
	return k, folderMade, nil // the survey tells of whatever else is wrong
}

// beginAnew goes on with a creation. What an earlier one left in db/ is removed if there is no record in it.
func beginAnew(f files) (seal.SiteKey, folder, error) {
	left, records, err := remains(f.db)
	if err != nil {
		return seal.SiteKey{}, 0, err
	}
	k, err := readSiteKey(f.key)
	switch {
	case err != nil && !errors.Is(err, fs.ErrNotExist):
		return seal.SiteKey{}, 0, err
	case err != nil && records:
		return seal.SiteKey{}, 0, err
	case records:
		return k, folderUnfinished, nil
	case err != nil:
		k = seal.NewSiteKey()
		if err := writeNew(f.key, k.Text()); err != nil {
			return seal.SiteKey{}, 0, fmt.Errorf("store: write site key: %w", err)
		}
	}
	for _, name := range left {
		if err := os.Remove(filepath.Join(f.db, name)); err != nil {
			return seal.SiteKey{}, 0, fmt.Errorf("store: begin anew: %w", err)
		}
	}
	if err := os.Mkdir(f.db, 0o700); err != nil && !errors.Is(err, fs.ErrExist) {
		return seal.SiteKey{}, 0, fmt.Errorf("store: %w", err)
	}
	return k, folderNew, syncPath(f.dir)
}

// remains lists what is in db/, and tells whether there may be a record in it. A creation that was cut leaves no table, and logs in which no
// transaction is whole.
func remains(db string) (names []string, records bool, err error) {
	inside, err := os.ReadDir(db)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, false, nil
	}
	if err != nil {
		return nil, false, unreadable("db/", err)
	}
	for _, e := range inside {
		ext, _, known := fileID(e.Name())
		known = known || e.Name() == "REWRITE-KEYREGISTRY"
		if !known || !e.Type().IsRegular() || ext == tableExt {
			return nil, true, nil
		}
		names = append(names, e.Name())
		if ext == "" {
			continue
		}
		b, err := os.ReadFile(filepath.Join(db, e.Name()))
		if err != nil {
			return nil, false, unreadable("db/"+e.Name(), err)
		}
		l, err := parseLog(b)
		if err != nil || len(l.entries) > 0 || len(bytes.TrimRight(b, "\x00")) > firstBatch {
			return nil, true, nil
		}
	}
	return names, false, nil
}

// firstBatch is more than the first batch of a store takes of a .mem file.
const firstBatch = 2 << 10

// finishCreation makes what is in db/ durable, and then writes site.check, from which on nothing is created any more.
func finishCreation(k seal.SiteKey, f files) error {
	inside, err := os.ReadDir(f.db)
	if err != nil {
		return fmt.Errorf("store: %w", err)
	}
	for _, e := range inside {
		if err := syncPath(filepath.Join(f.db, e.Name())); err != nil && !errors.Is(err, fs.ErrNotExist) { // Badger may have turned a log into a table
			return fmt.Errorf("store: sync: %w", err)
		}
	}
	if err := errors.Join(syncPath(f.db), writeNew(f.check, k.CheckText(formatVersion))); err != nil {
		return fmt.Errorf("store: write %s: %w", f.check, err)
	}
	return nil
}

// silent is an error that is there for errors.Is and says nothing.
type silent struct{ error }

func (silent) Error() string   { return "" }
func (s silent) Unwrap() error { return s.error }

// readSiteKey reads the key. One that is not there is fs.ErrNotExist, too.
func readSiteKey(path string) (seal.SiteKey, error) {
	info, err := os.Stat(path)
	if errors.Is(err, fs.ErrNotExist) {
		return seal.SiteKey{}, fmt.Errorf("store: %w: %s is missing, and without it the database cannot be read; nothing was changed: put it back%w", seal.ErrSiteKey, path, silent{err})
	}
	if err != nil {
		return seal.SiteKey{}, keyUnreadable(path, err)
	}
	if !info.Mode().IsRegular() {
		return seal.SiteKey{}, fmt.Errorf("store: %w: %s is not a file; nothing was changed: put it back", seal.ErrSiteKey, path)
	}
	if perm := info.Mode().Perm(); perm&0o077 != 0 {
		return seal.SiteKey{}, fmt.Errorf("store: %w: %s has mode %04o, others may read it: chmod 600 it", seal.ErrSiteKey, path, perm)
	}
	b, err := os.ReadFile(path)
	if err != nil {
		return seal.SiteKey{}, keyUnreadable(path, err)
	}
	k, err := seal.ParseSiteKey(string(b))
	if err != nil {
		return seal.SiteKey{}, fmt.Errorf("store: %s: %w", path, err)
	}
	return k, nil
}

func keyUnreadable(path string, err error) error {
	if errors.Is(err, fs.ErrPermission) {
		return fmt.Errorf("store: %w: %s: %s; nothing was changed: %s", seal.ErrSiteKey, path, denied(path), doAllow)
	}
	return fmt.Errorf("store: %w: %w", seal.ErrSiteKey, err)
}

// checkKey tells whether site.check belongs to a key. Where there is none, it says nothing.
func checkKey(k seal.SiteKey, f files) error {
	path := f.check
	if gone, err := absent(path); err != nil || gone {
		return err
	}
	b, err := os.ReadFile(path)
	if err != nil {
		return unreadable(filepath.Base(path), err)
	}
	format, ok := seal.ParseCheck(string(b))
	if !ok {
		return &Damage{Name: filepath.Base(path), What: "is not as it was written", Do: doPutBack}
	}
	if format > formatVersion {
		return fmt.Errorf("store: %s: format %d, this program reads up to %d: %w", path, format, formatVersion, errFormat)
	}
	if !hmac.Equal(b, []byte(k.CheckText(format))) {
		return fmt.Errorf("store: %w: %s does not belong to it: this is not the key of this store; nothing was changed: put the right one back",
			seal.ErrSiteKey, path)
	}
	return nil
}

func absent(path string) (bool, error) {
	_, err := os.Lstat(path)
	if errors.Is(err, fs.ErrNotExist) {
		return true, nil
	}
	return false, err
}

// writeNew makes a file of mode 0600 that is either whole or not there, durable when it returns. It replaces nothing.
func writeNew(path, text string) error {
	// The folder's lock is held, so nobody makes the file between the look and the rename.
	if gone, err := absent(path); err != nil || !gone {
		return fmt.Errorf("%s: %w", path, fs.ErrExist)
	}
	return replace(path, []byte(text))
}

// replace is writeNew, in place of what is there.
func replace(path string, text []byte) (err error) {
	tmp := path + "." + keys.Random(10)
	f, err := os.OpenFile(tmp, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return err
	}
	defer func() { _ = os.Remove(tmp) }()
	_, err = f.Write(text)
	if err == nil {
		err = f.Sync()
	}
	if cerr := f.Close(); err == nil {
		err = cerr
	}
	if err != nil {
		return err
	}
	if err := os.Rename(tmp, path); err != nil {
		return err
	}
	return syncPath(filepath.Dir(path))
}

// syncPath makes a file, or which files a folder has, durable.
func syncPath(path string) error {
	d, err := os.Open(path)
	if err != nil {
		return err
	}
	err = d.Sync()
	if cerr := d.Close(); err == nil {
		err = cerr
	}
	return err
}
