package folder

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
)

// ReadLiveTables returns the tables that MANIFEST names now, and the level of each.
func ReadLiveTables(dir string) (map[uint64]uint32, error) {
	b, err := os.ReadFile(filepath.Join(dir, "MANIFEST"))
	if err != nil {
		return nil, DescribeUnreadable("db/MANIFEST", err)
	}
	m, err := parseManifest(b)
	var live map[uint64]uint32
	if err == nil {
		live, err = m.levels(len(m.sets))
	}
	if err != nil {
		return nil, &Damage{Name: "db/MANIFEST", What: err.Error(), Do: DoCopy}
	}
	return live, nil
}

// CheckTable reads a whole table and says what is wrong with it.
func CheckTable(dir string, id uint64) error {
	v := Survey{dir: dir}
	err := v.withTable(id, func(t *tableFile) error { return t.check(nil) })
	if err == nil {
		return nil
	}
	name := "db/" + fileName(TableExt, id)
	var pe *fs.PathError
	if errors.As(err, &pe) {
		return DescribeUnreadable(name, err)
	}
	return &Damage{Name: name, What: err.Error(), Do: DoCopy}
}

// EmptyLogs returns the names of the logs without a byte.
func (v *Survey) EmptyLogs() (names []string) {
	for _, ext := range []string{MemExt, VlogExt} {
		for _, id := range v.ids(ext) {
			if name := fileName(ext, id); v.sizes[name] == 0 {
				names = append(names, name)
			}
		}
	}
	return names
}

// CountMems returns how many whole .mem files there are.
func (v *Survey) CountMems() int { return len(v.mems) }

// eachEntry calls f with every entry of a table that is whole.
func (v *Survey) eachEntry(id uint64, f func(entry)) error {
	return v.withTable(id, func(t *tableFile) error { return t.check(f) })
}

// newest returns the newest version of each record in a table that is whole.
func (v *Survey) newest(id uint64) (map[string]uint64, error) {
	out := map[string]uint64{}
	err := v.eachEntry(id, func(e entry) { out[e.key] = max(out[e.key], e.version) })
	return out, err
}

// CheckLiveTables reads the tables of a database in use, without Badger, which would read its memory
// maps. It reads only tables that MANIFEST names, because others may be incomplete. It calls rest
// after each.
func CheckLiveTables(db string, rest func() error) error {
	live, err := ReadLiveTables(db)
	if err != nil {
		return err
	}
	for id := range live {
		if err := CheckTable(db, id); err != nil {
			// A compaction may have deleted it meanwhile.
			if now, merr := ReadLiveTables(db); merr != nil {
				return merr
			} else if _, still := now[id]; still {
				return err
			}
		}
		if err := rest(); err != nil {
			return err
		}
	}
	return nil
}
