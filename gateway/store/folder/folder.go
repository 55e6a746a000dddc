// Package folder checks the files of a store's data folder: which there must be, how each must
// look, and which are missing or damaged. It reads Badger's files without Badger, which panics at
// damaged ones. It also plans and makes a repair, makes the files of a new store, and keeps the
// ballast, which reserves space for a full disk. It opens no database, knows no record and unseals
// nothing.
package folder

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"syscall"

	"latchkey/gateway/store/seal"
	"latchkey/keys"
)

// Sentinels for [errors.Is].
var (
	ErrCorrupt = seal.ErrCorrupt
	ErrFormat  = seal.ErrFormat
	ErrLocked  = errors.New("in use by another process")
	ErrNoSpace = errors.New("too little free space")
)

// FormatVersion is the newest format this program reads and the one it writes. See FORMAT.md.
const FormatVersion = 1

// Files are the paths of a data folder: the folder itself, site.key, site.check, site.head and db/.
type Files struct{ Dir, Key, Check, Head, DB string }

// NameFiles returns the paths of a data folder. keyFile is the path of the site key if that is
// elsewhere.
func NameFiles(dir, keyFile string) Files {
	f := Files{Dir: dir, Key: keyFile, Check: filepath.Join(dir, "site.check"),
		Head: filepath.Join(dir, "site.head"),
		DB:   filepath.Join(dir, "db")}
	if f.Key == "" {
		f.Key = filepath.Join(dir, "site.key")
	}
	return f
}

// IsEmpty tells whether there is no store yet.
func (f Files) IsEmpty() bool {
	inside, err := os.ReadDir(f.DB)
	return len(inside) == 0 && (err == nil || errors.Is(err, fs.ErrNotExist))
}

// Lock makes the data folder if need be and locks it. Only one process can hold the lock. It leaves
// no trace on disk and ends when the file is closed.
func (f Files) Lock() (*os.File, error) {
	if f.Dir == "" {
		return nil, errors.New("store: no data folder given")
	}
	if err := os.MkdirAll(f.Dir, 0o700); err != nil {
		return nil, fmt.Errorf("store: data folder: %w", err)
	}
	d, err := os.Open(f.Dir)
	if errors.Is(err, fs.ErrPermission) {
		return nil, DescribeUnreadable(f.Dir, err)
	}
	if err != nil {
		return nil, fmt.Errorf("store: data folder: %w", err)
	}
	if err := syscall.Flock(int(d.Fd()), syscall.LOCK_EX|syscall.LOCK_NB); err != nil {
		_ = d.Close()
		if errors.Is(err, syscall.EWOULDBLOCK) {
			err = ErrLocked
		}
		return nil, fmt.Errorf("store: %s: %w", f.Dir, err)
	}
	return d, nil
}

// IsAbsent tells whether there is no file with that name.
func IsAbsent(path string) (bool, error) {
	_, err := os.Lstat(path)
	if errors.Is(err, fs.ErrNotExist) {
		return true, nil
	}
	return false, err
}

// writeNew makes a file of mode 0600 and makes it durable. After a crash the file is either whole
// or missing. It replaces no file.
func writeNew(path, text string) error {
	// The folder's lock is held, so nobody makes the file between the look and the rename.
	if gone, err := IsAbsent(path); err != nil || !gone {
		return fmt.Errorf("%s: %w", path, fs.ErrExist)
	}
	return replace(path, []byte(text))
}

// replace is like writeNew, but may replace a file.
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
	return SyncPath(filepath.Dir(path))
}

// SyncPath makes a file, or the list of a folder's files, durable.
func SyncPath(path string) error {
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
