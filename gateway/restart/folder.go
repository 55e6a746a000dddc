package restart

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
)

const (
	fileName = "sessions"
	newName  = "sessions.new" // while it is written
)

// errInside is returned for a runtime folder in the data folder: whoever copies that would copy the
// keys of sessions too.
var errInside = errors.New("it is in the data folder")

// Folder is a runtime folder in which sessions may be saved.
type Folder struct {
	root *os.Root
	path string
}

// OpenFolder opens a runtime folder. It must be on a tmpfs, so that nothing of it is on a disk; it
// must belong to the user of this process and be closed to all others (0700); and it must not be in
// the data folder. The caller closes it.
func OpenFolder(path, data string) (*Folder, error) {
	root, err := os.OpenRoot(path)
	if err != nil {
		return nil, fmt.Errorf("runtime folder: %w", err)
	}
	f := &Folder{root, path}
	err = f.check()
	if err == nil {
		err = checkOutside(root, data)
	}
	if err != nil {
		_ = root.Close()
		return nil, fmt.Errorf("runtime folder %s: %w", path, err)
	}
	return f, nil
}

// Close closes the folder. Twice is harmless.
func (f *Folder) Close() error {
	if f == nil {
		return nil
	}
	return f.root.Close()
}

// check looks at the open folder, whatever its path leads to by now.
func (f *Folder) check() error {
	dir, err := f.root.Open(".")
	if err != nil {
		return err
	}
	defer func() { _ = dir.Close() }()
	return checkMemory(dir)
}

// checkOutside checks that the folder is not the data folder, nor in it by whatever path.
func checkOutside(root *os.Root, data string) error {
	want, err := os.Stat(data)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	path, err := filepath.EvalSymlinks(root.Name())
	if err == nil {
		path, err = filepath.Abs(path)
	}
	if err != nil {
		return err
	}
	for {
		here, err := os.Stat(path)
		if err != nil {
			return err
		}
		if os.SameFile(here, want) {
			return errInside
		}
		above := filepath.Dir(path)
		if above == path {
			return nil
		}
		path = above
	}
}

// take reads the file, if there is one, and removes it before it returns. With an error nothing may
// be used, and the file is removed too if that is possible. b is nil if there is no file.
func (f *Folder) take(most int) (b []byte, err error) {
	err = f.root.Remove(newName)
	switch {
	case err == nil:
		err = errors.New("the stop was cut while it saved them")
	case errors.Is(err, fs.ErrNotExist):
		err = nil
	}
	info, serr := f.root.Lstat(fileName)
	if errors.Is(serr, fs.ErrNotExist) {
		return nil, err
	}
	err = errors.Join(err, serr)
	if err == nil {
		b, err = f.read(info, most)
	}
	if rerr := errors.Join(f.root.RemoveAll(fileName), f.sync()); rerr != nil {
		return nil, fmt.Errorf("%s was not removed: %w", filepath.Join(f.path, fileName), rerr)
	}
	if err != nil {
		return nil, err
	}
	return b, nil
}

func (f *Folder) read(info fs.FileInfo, most int) ([]byte, error) {
	switch {
	case !info.Mode().IsRegular():
		return nil, errors.New("not a file")
	case info.Size() > int64(most):
		return nil, fmt.Errorf("%d bytes, but there are at most %d", info.Size(), most)
	}
	file, err := f.root.Open(fileName)
	if err != nil {
		return nil, err
	}
	defer func() { _ = file.Close() }()
	b := make([]byte, info.Size())
	if _, err := io.ReadFull(file, b); err != nil {
		return nil, err
	}
	return b, nil
}

// put writes the file as a whole or not at all.
func (f *Folder) put(b []byte) error {
	if err := f.check(); err != nil {
		return err
	}
	err := f.write(b)
	if err == nil {
		err = f.root.Rename(newName, fileName)
	}
	if err != nil {
		return errors.Join(err, f.root.RemoveAll(newName))
	}
	return f.sync()
}

func (f *Folder) write(b []byte) (err error) {
	file, err := f.root.OpenFile(newName, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return err
	}
	_, err = file.Write(b)
	return errors.Join(err, file.Sync(), file.Close())
}

// sync makes the folder's entries durable, as far as a file system in memory knows that.
func (f *Folder) sync() error {
	dir, err := f.root.Open(".")
	if err != nil {
		return err
	}
	return errors.Join(dir.Sync(), dir.Close())
}
