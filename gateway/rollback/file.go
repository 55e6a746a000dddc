package rollback

import (
	"cmp"
	"errors"
	"io"
	"io/fs"
	"os"
	"path/filepath"

	"latchkey/gateway/access"
)

// FileName is the name that the file has where nobody gives it another.
const FileName = "head.log"

// shortenAt is the size at which the file is made shorter.
const shortenAt = 256 << 10

// errInside is returned for a file in the data folder.
var errInside = errors.New("it lies in the data folder, so whoever puts back an older data folder puts " +
	"that back too")

// file is head.log on disk.
type file struct {
	path string
	site access.ID
	key  []byte

	open  *os.File // nil: replace the file before the next line
	codes codes
	size  int64
	most  int64 // size at which it is made shorter; shortenAt if 0
}

// read returns what the file says. exists is false if there is none.
func (f *file) read() (st state, exists bool, err error) {
	from, err := os.Open(f.path)
	if errors.Is(err, fs.ErrNotExist) {
		return st, false, nil
	}
	if err != nil {
		return st, true, err
	}
	defer func() { _ = from.Close() }()
	if info, err := from.Stat(); err != nil || !info.Mode().IsRegular() {
		return st, true, errors.Join(err, errors.New("it is not a file"))
	}
	b, err := io.ReadAll(io.LimitReader(from, maxFile+1))
	if err != nil {
		return st, true, err
	}
	st, err = parse(b, f.site, f.key)
	return st, true, err
}

// replace writes the file anew, as a whole or not at all.
func (f *file) replace(st *state) (err error) {
	f.close()
	c := codes{key: f.key}
	text := c.encode(nil, prefix+string(f.site))
	for _, l := range st.list() {
		text = c.encode(text, l.String())
	}
	dir := filepath.Dir(f.path)
	if err := os.Mkdir(dir, 0o700); err != nil && !errors.Is(err, fs.ErrExist) {
		return err
	}
	next := f.path + ".new"
	to, err := os.OpenFile(next, os.O_WRONLY|os.O_CREATE|os.O_TRUNC|os.O_APPEND, 0o600)
	if err != nil {
		return err
	}
	defer func() {
		if err != nil {
			_ = to.Close()
			_ = os.Remove(next)
		}
	}()
	if err := to.Chmod(0o600); err != nil {
		return err
	}
	if _, err := to.Write(text); err != nil {
		return err
	}
	if err := to.Sync(); err != nil {
		return err
	}
	if err := os.Rename(next, f.path); err != nil {
		return err
	}
	if err := syncFolder(dir); err != nil {
		return err
	}
	f.open, f.codes, f.size = to, c, int64(len(text))
	return nil
}

// append writes lines that are durable when it returns. After an error the file is to be replaced.
func (f *file) append(lines []line) error {
	if f.open == nil || f.size > cmp.Or(f.most, shortenAt) || !f.isOurs() {
		return errReplace
	}
	var text []byte
	for _, l := range lines {
		text = f.codes.encode(text, l.String())
	}
	_, err := f.open.Write(text)
	if err == nil {
		err = f.open.Sync()
	}
	if err != nil {
		f.close()
		return err
	}
	f.size += int64(len(text))
	return nil
}

// errReplace says that the file must be replaced before a line can be appended.
var errReplace = errors.New("to be replaced")

// isOurs tells whether the path still leads to the file that is open.
func (f *file) isOurs() bool {
	there, err := os.Stat(f.path)
	if err != nil {
		return false
	}
	here, err := f.open.Stat()
	return err == nil && os.SameFile(here, there) && here.Size() == f.size
}

func (f *file) close() {
	if f.open != nil {
		_ = f.open.Close()
		f.open = nil
	}
}

func syncFolder(path string) error {
	dir, err := os.Open(path)
	if err != nil {
		return err
	}
	return errors.Join(dir.Sync(), dir.Close())
}
