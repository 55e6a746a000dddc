package folder

import (
	"crypto/hmac"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	"latchkey/gateway/store/seal"
)

// State is what a data folder holds.
type State int

const (
	New        State = iota // nothing, or the rest of a creation that was cut off before its first batch
	Unfinished              // all but site.check, which is written last
	Made                    // a store, in which nothing is created any more
)

// FindSiteKey returns the site key of the store in f, and the state of the folder. It writes only
// if there is no site.check and no record: the key, if there is none, and an empty folder for the
// database.
func FindSiteKey(f Files) (seal.SiteKey, State, error) {
	gone, err := IsAbsent(f.Check)
	if err != nil {
		return seal.SiteKey{}, 0, DescribeUnreadable(filepath.Base(f.Check), err)
	}
	if gone {
		return beginAnew(f)
	}
	k, err := ReadSiteKey(f.Key)
	if err == nil {
		err = CheckKey(k, f)
	}
	if err != nil {
		return seal.SiteKey{}, 0, err
	}
	inside, err := os.ReadDir(f.DB)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return seal.SiteKey{}, 0, &Damage{Name: "db/",
			What: "is missing, and site.check says that there was a database", Do: doBegin}
	case err == nil && len(inside) == 0:
		return seal.SiteKey{}, 0, &Damage{Name: "db/",
			What: "is empty, and site.check says that there was a database", Do: doBegin}
	}
	return k, Made, nil // the survey finds all else that is wrong
}

// beginAnew goes on with a creation. It removes what an earlier one left in db/ if there is no
// record in it.
func beginAnew(f Files) (seal.SiteKey, State, error) {
	left, records, err := remains(f.DB)
	if err != nil {
		return seal.SiteKey{}, 0, err
	}
	k, err := ReadSiteKey(f.Key)
	switch {
	case err != nil && !errors.Is(err, fs.ErrNotExist):
		return seal.SiteKey{}, 0, err
	case err != nil && records:
		return seal.SiteKey{}, 0, err
	case records:
		return k, Unfinished, nil
	case err != nil:
		k = seal.NewSiteKey()
		if err := writeNew(f.Key, k.Text()); err != nil {
			return seal.SiteKey{}, 0, fmt.Errorf("store: write site key: %w", err)
		}
	}
	for _, name := range left {
		if err := os.Remove(filepath.Join(f.DB, name)); err != nil {
			return seal.SiteKey{}, 0, fmt.Errorf("store: begin anew: %w", err)
		}
	}
	if err := os.Mkdir(f.DB, 0o700); err != nil && !errors.Is(err, fs.ErrExist) {
		return seal.SiteKey{}, 0, fmt.Errorf("store: %w", err)
	}
	return k, New, SyncPath(f.Dir)
}

// remains lists the files of db/, and tells whether there may be a record in them. A creation that
// was cut off leaves no table, and only logs without a whole transaction.
func remains(db string) (names []string, records bool, err error) {
	inside, err := os.ReadDir(db)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, false, nil
	}
	if err != nil {
		return nil, false, DescribeUnreadable("db/", err)
	}
	for _, e := range inside {
		ext, _, known := fileID(e.Name())
		known = known || e.Name() == "REWRITE-KEYREGISTRY"
		if !known || !e.Type().IsRegular() || ext == TableExt {
			return nil, true, nil
		}
		names = append(names, e.Name())
		if ext == "" {
			continue
		}
		b, err := os.ReadFile(filepath.Join(db, e.Name()))
		if err != nil {
			return nil, false, DescribeUnreadable("db/"+e.Name(), err)
		}
		l, err := ParseLog(b)
		if err != nil || len(l.Entries) > 0 || UsedSize(b) > firstBatch {
			return nil, true, nil
		}
	}
	return names, false, nil
}

// firstBatch is an upper limit for the bytes of a store's first batch in a .mem file.
const firstBatch = 2 << 10

// FinishCreation makes the files of db/ durable and then writes site.check. After that nothing is
// created any more.
func FinishCreation(k seal.SiteKey, f Files) error {
	inside, err := os.ReadDir(f.DB)
	if err != nil {
		return fmt.Errorf("store: %w", err)
	}
	for _, e := range inside {
		// Badger may have turned a log into a table.
		if err := SyncPath(filepath.Join(f.DB, e.Name())); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return fmt.Errorf("store: sync: %w", err)
		}
	}
	if err := errors.Join(SyncPath(f.DB), writeNew(f.Check, k.CheckText(FormatVersion))); err != nil {
		return fmt.Errorf("store: write %s: %w", f.Check, err)
	}
	return nil
}

// silent is an error without a text, for errors.Is.
type silent struct{ error }

func (silent) Error() string   { return "" }
func (s silent) Unwrap() error { return s.error }

// ReadSiteKey reads the key. The error for a missing key is fs.ErrNotExist, too.
func ReadSiteKey(path string) (seal.SiteKey, error) {
	info, err := os.Stat(path)
	if errors.Is(err, fs.ErrNotExist) {
		return seal.SiteKey{}, fmt.Errorf("store: %w: %s is missing, and without it the database cannot "+
			"be read; nothing was changed: put it back%w", seal.ErrSiteKey, path, silent{err})
	}
	if err != nil {
		return seal.SiteKey{}, keyUnreadable(path, err)
	}
	if !info.Mode().IsRegular() {
		return seal.SiteKey{}, fmt.Errorf("store: %w: %s is not a file; nothing was changed: put it back",
			seal.ErrSiteKey, path)
	}
	if perm := info.Mode().Perm(); perm&0o077 != 0 {
		return seal.SiteKey{}, fmt.Errorf("store: %w: %s has mode %04o, others may read it: chmod 600 it",
			seal.ErrSiteKey, path, perm)
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
		return fmt.Errorf("store: %w: %s: %s; nothing was changed: %s", seal.ErrSiteKey, path, denied(path),
			doAllow)
	}
	return fmt.Errorf("store: %w: %w", seal.ErrSiteKey, err)
}

// CheckKey returns an error if site.check belongs to another key. Without a site.check it returns
// nil.
func CheckKey(k seal.SiteKey, f Files) error {
	path := f.Check
	if gone, err := IsAbsent(path); err != nil || gone {
		return err
	}
	b, err := os.ReadFile(path)
	if err != nil {
		return DescribeUnreadable(filepath.Base(path), err)
	}
	format, ok := seal.ParseCheck(string(b))
	if !ok {
		return &Damage{Name: filepath.Base(path), What: "is not as it was written", Do: doPutBack}
	}
	if format > FormatVersion {
		return fmt.Errorf("store: %s: format %d, this program reads up to %d: %w", path, format,
			FormatVersion, ErrFormat)
	}
	if !hmac.Equal(b, []byte(k.CheckText(format))) {
		return fmt.Errorf("store: %w: %s does not belong to it: this is not the key of this store; "+
			"nothing was changed: put the right one back",
			seal.ErrSiteKey, path)
	}
	return nil
}
