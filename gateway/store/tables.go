package store

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
)

// liveTables reads which tables MANIFEST names now, and the level of each.
func liveTables(dir string) (map[uint64]uint32, error) {
	b, err := os.ReadFile(filepath.Join(dir, "MANIFEST"))
	if err != nil {
		return nil, unreadable("db/MANIFEST", err)
	}
	m, err := parseManifest(b)
	var live map[uint64]uint32
	if err == nil {
		live, err = m.levels(len(m.sets))
	}
	if err != nil {
		return nil, &Damage{Name: "db/MANIFEST", What: err.Error(), Do: doCopy}
	}
	return live, nil
}

// checkTable reads all of a table and names what is wrong with it.
func checkTable(dir string, id uint64) error {
	v := survey{dir: dir}
	err := v.withTable(id, func(t *tableFile) error { return t.check(nil) })
	if err == nil {
		return nil
	}
	name := "db/" + fileName(tableExt, id)
	var pe *fs.PathError
	if errors.As(err, &pe) {
		return unreadable(name, err)
	}
	return &Damage{Name: name, What: err.Error(), Do: doCopy}
}

// emptyLogs are the names of the logs without a byte.
func (v *survey) emptyLogs() (names []string) {
	for _, ext := range []string{memExt, vlogExt} {
		for _, id := range v.ids(ext) {
			if name := fileName(ext, id); v.sizes[name] == 0 {
				names = append(names, name)
			}
		}
	}
	return names
}

// countMems is how many whole .mem files there are.
func (v *survey) countMems() int { return len(v.mems) }
