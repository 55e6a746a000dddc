package backup

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"

	"latchkey/gateway/store/folder"
)

// Create writes a new file of mode 0600 that appears under its name only when all of it is on the
// disk. If write fails, nothing is left. It does not replace a file that is there.
func Create(path string, write func(io.Writer) error) (err error) {
	dir, name := filepath.Split(path)
	if dir == "" {
		dir = "."
	}
	if _, err := os.Lstat(path); !errors.Is(err, fs.ErrNotExist) {
		if err == nil {
			err = fmt.Errorf("%s is there already: name another file", path)
		}
		return err
	}
	f, err := os.CreateTemp(dir, "."+name+".*.tmp") // in the same folder, for the rename
	if err != nil {
		return explainDisk(dir, err)
	}
	defer func() {
		if err != nil {
			_ = f.Close() // a second time, where that has failed
			_ = os.Remove(f.Name())
		}
	}()
	if err := write(f); err != nil {
		return explainDisk(dir, err)
	}
	if err := errors.Join(f.Sync(), f.Close()); err != nil {
		return explainDisk(dir, err)
	}
	if err := os.Rename(f.Name(), path); err != nil {
		return err
	}
	if err := folder.SyncPath(dir); err != nil {
		return fmt.Errorf("%s is written, but may be gone after a power cut: %w", path, err)
	}
	return nil
}

// explainDisk says what to do about a full disk.
func explainDisk(dir string, err error) error {
	if folder.IsNoSpace(err) {
		return fmt.Errorf("no space for the backup in %s, and nothing was written: make room, or name a file on "+
			"another disk: %w", dir, err)
	}
	return err
}
