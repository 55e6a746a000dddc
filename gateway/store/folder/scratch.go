package folder

import (
	"fmt"
	"io"
	"maps"
	"os"
	"path/filepath"
	"slices"
)

// ScratchParents returns the folders in which the scratch folder may be: in memory, with the
// temporary files, or in the data folder if there is no room elsewhere.
func ScratchParents(dir string) []string { return []string{"/dev/shm", os.TempDir(), dir} }

// MakeScratch makes a folder of that name from what the survey found, as Badger would have it with
// these tables. It has copies of the small files, cut where Badger would cut them, and links to the
// others. The caller removes it.
func (v *Survey) MakeScratch(name string, live map[uint64]uint32) (dir string, err error) {
	for _, parent := range ScratchParents(filepath.Dir(v.dir)) {
		dir = filepath.Join(parent, name)
		if err = os.Mkdir(dir, 0o700); err != nil {
			continue
		}
		if err = v.fill(dir, live); err == nil {
			return dir, nil
		}
		_ = os.RemoveAll(dir)
	}
	return "", fmt.Errorf("store: no room to try the store out: %w", err)
}

func (v *Survey) fill(dir string, live map[uint64]uint32) error {
	manifest, err := encodeManifest(live)
	if err != nil {
		return err
	}
	if err := os.WriteFile(filepath.Join(dir, "MANIFEST"), manifest, 0o600); err != nil {
		return err
	}
	from, err := filepath.Abs(v.dir)
	if err != nil {
		return err
	}
	link := func(name string) error { return os.Symlink(filepath.Join(from, name), filepath.Join(dir, name)) }
	for _, id := range slices.Sorted(maps.Keys(live)) {
		if err := link(fileName(TableExt, id)); err != nil {
			return err
		}
	}
	for id := range v.vlogs {
		if v.sizes[fileName(VlogExt, id)] == 0 {
			continue
		}
		if err := link(fileName(VlogExt, id)); err != nil {
			return err
		}
	}
	for id, l := range v.mems {
		if len(l.Entries) == 0 {
			continue
		}
		b := make([]byte, l.End)
		file, err := os.Open(filepath.Join(from, fileName(MemExt, id)))
		if err != nil {
			return err
		}
		_, err = io.ReadFull(file, b)
		if cerr := file.Close(); err == nil {
			err = cerr
		}
		if err == nil {
			err = os.WriteFile(filepath.Join(dir, fileName(MemExt, id)), b, 0o600)
		}
		if err != nil {
			return err
		}
	}
	return nil
}
