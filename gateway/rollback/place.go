package rollback

import (
	"errors"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
)

// placeName is the file in the data folder that says where head.log is: then a head.log that is gone
// is noticed, and commands that work without a gateway find it.
const placeName = "head.place"

const (
	placePrefix = "latchkey-head-place-1 "
	maxPlace    = 4096 + len(placePrefix) + 1
)

// Place says where head.log is.
type Place struct {
	File string // empty: there is none
	Data string // the data folder; empty: the store is in memory
}

// read returns the path that was noted last, empty if there is none.
func (p Place) read() string {
	if p.Data == "" {
		return ""
	}
	f, err := os.Open(filepath.Join(p.Data, placeName))
	if err != nil {
		return ""
	}
	defer func() { _ = f.Close() }()
	b, err := io.ReadAll(io.LimitReader(f, int64(maxPlace)))
	path, ok := strings.CutPrefix(strings.TrimSuffix(string(b), "\n"), placePrefix)
	if err != nil || !ok || !filepath.IsAbs(path) {
		return ""
	}
	return path
}

// note notes where the file is.
func (p Place) note() error {
	if p.Data == "" || p.read() == p.File {
		return nil
	}
	path := filepath.Join(p.Data, placeName)
	err := os.WriteFile(path+".new", []byte(placePrefix+p.File+"\n"), 0o600)
	if err == nil {
		err = os.Rename(path+".new", path)
	}
	return err
}

// FindPlace returns the place that was noted in the data folder, and false if there is none.
func FindPlace(data string) (Place, bool) {
	p := Place{Data: data}
	p.File = p.read()
	return p, p.File != ""
}

// Check refuses a file that lies in the data folder, by whatever path.
func (p Place) Check() error {
	if p.File == "" || p.Data == "" {
		return nil
	}
	want, err := os.Stat(p.Data)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	dir, err := filepath.Abs(filepath.Dir(p.File))
	if err != nil {
		return err
	}
	if there, err := filepath.EvalSymlinks(dir); err == nil {
		dir = there
	}
	for {
		if here, err := os.Stat(dir); err == nil && os.SameFile(here, want) {
			return errInside
		}
		above := filepath.Dir(dir)
		if above == dir {
			return nil
		}
		dir = above
	}
}
