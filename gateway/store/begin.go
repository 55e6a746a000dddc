package store

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	"latchkey/gateway/store/folder"
)

// ErrWhole says that nothing is wrong with a store, so that it is not set aside or repaired.
var ErrWhole = errors.New("the store is whole")

// SetAside moves what is left of a store that cannot be opened into a folder below the data folder,
// and returns that folder's name. [Open] then makes a new store. SetAside deletes nothing. It does
// nothing to an empty folder, and does not move a store that is whole, in use, or of a newer
// version.
func SetAside(ctx context.Context, o Options) (aside string, err error) {
	o = o.withDefaults()
	s := &Store{opts: o, log: o.Log}
	f := o.files()
	if err := s.lockFolder(f); err != nil {
		return "", err
	}
	defer func() { _ = s.lock.Close() }()
	var left []string
	for _, path := range []string{f.Check, f.Head, f.DB, filepath.Join(f.Dir, "site.key")} {
		if _, err := os.Lstat(path); err == nil {
			left = append(left, path)
		} else if !errors.Is(err, fs.ErrNotExist) {
			return "", fmt.Errorf("store: %w", err)
		}
	}
	if len(left) == 0 {
		return "", nil
	}
	switch _, err := o.runTrial(ctx, trial{Dir: f.Dir, KeyFile: f.Key}); {
	case err == nil:
		return "", fmt.Errorf("store: %s: %w, and was kept: to begin anew, move it away yourself", f.Dir,
			ErrWhole)
	case !errors.Is(err, ErrCorrupt) && !errors.Is(err, ErrSiteKey) && !errors.Is(err, fs.ErrNotExist):
		return "", err
	}
	aside = filepath.Join(f.Dir, "aside-"+o.Now().UTC().Format("20060102T150405Z"))
	if err := os.Mkdir(aside, 0o700); err != nil {
		return "", fmt.Errorf("store: %w", err)
	}
	for _, path := range left {
		if err := os.Rename(path, filepath.Join(aside, filepath.Base(path))); err != nil {
			return "", fmt.Errorf("store: %w", err)
		}
	}
	return aside, errors.Join(folder.SyncPath(aside), folder.SyncPath(f.Dir))
}
