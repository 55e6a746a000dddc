package folder

import (
	"cmp"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
)

// Survey is the result of reading db/ before Badger opens it. Opening makes, cuts and deletes
// files, and panics at a damaged one; a survey only reads.
type Survey struct {
	dir      string
	sizes    map[string]int64 // of every file
	manifest manifest
	Live     map[uint64]uint32 // level of each table that MANIFEST names
	spare    []uint64          // tables that it does not name, which Badger deletes
	mems     map[uint64]*Log
	vlogs    map[uint64]*Log
	tables   map[uint64]*tableFile // those of live that are whole
	points   map[pointer]string    // pointers to values, and the file that has the pointer
	left     int64                 // bytes of tables that may still be read
	damages  []*Damage
}

// SurveyBytes is how many bytes of the tables are read in full when a store is opened, newest
// tables first. Of older tables only the index is read; the daily check reads the rest.
const SurveyBytes = 64 << 20

const (
	TableExt = ".sst"
	MemExt   = ".mem"
	VlogExt  = ".vlog"
	// discardSize is the size of DISCARD, in which Badger counts what a collection of the value log
	// could free. We never collect.
	discardSize = 1 << 20
)

// TakeSurvey reads db/ and names every file that is missing, unexpected, too short, damaged or
// unreadable. It reads at most limit bytes of tables in full.
func TakeSurvey(dir string, limit int64) *Survey {
	v := &Survey{dir: dir, sizes: map[string]int64{}, mems: map[uint64]*Log{}, vlogs: map[uint64]*Log{},
		tables: map[uint64]*tableFile{}, points: map[pointer]string{}, left: limit}
	if !v.list() {
		return v
	}
	v.readManifest()
	v.readRegistry()
	v.checkDiscard()
	v.readLogs()
	v.readTables()
	v.checkLevels()
	v.checkSpare()
	v.checkPointers()
	return v
}

// Damage returns the first damage that was found, with the names of some others, and how much is
// whole.
func (v *Survey) Damage() error {
	if len(v.damages) == 0 {
		return nil
	}
	d := *v.damages[0]
	names := map[string]bool{d.Name: true}
	also := 0
	for _, o := range v.damages[1:] {
		if names[o.Name] {
			continue
		}
		names[o.Name] = true
		if also++; also <= 4 {
			d.What += fmt.Sprintf(", and %s: %s", o.Name, o.What)
		}
	}
	if also > 4 {
		d.What += fmt.Sprintf(", and %d files more", also-4)
	}
	whole := 0
	for name := range v.sizes {
		if !names["db/"+name] {
			whole++
		}
	}
	switch whole {
	case 0:
	case 1:
		d.Whole = "the one other file of db/ is whole"
	default:
		d.Whole = fmt.Sprintf("the other %d files of db/ are whole", whole)
	}
	return &d
}

func (v *Survey) find(name, what, do string) {
	v.damages = append(v.damages, &Damage{Name: "db/" + name, What: what, Do: do})
}

func (v *Survey) unreadable(name string, err error) {
	v.damages = append(v.damages, DescribeUnreadable("db/"+name, err))
}

// list lists the files. Names that Badger does not use, and anything but a file, do not belong
// there.
func (v *Survey) list() bool {
	inside, err := os.ReadDir(v.dir)
	if err != nil {
		d := DescribeUnreadable("db/", err)
		if info, serr := os.Stat(v.dir); serr == nil && !info.IsDir() {
			d.What, d.Do = "is not a folder", doPutBack
		}
		v.damages = append(v.damages, d)
		return false
	}
	for _, e := range inside {
		name := e.Name()
		info, err := os.Stat(filepath.Join(v.dir, name))
		switch _, _, known := fileID(name); {
		case err != nil:
			v.unreadable(name, err)
		case name == "lost+found" && info.IsDir(): // db/ may be a disk of its own
		case !known:
			v.find(name, "does not belong there", doMove)
		case !info.Mode().IsRegular():
			v.find(name, "is not a file", doPutBack)
		default:
			v.sizes[name] = info.Size()
			// Badger opens everything for writing.
			f, err := os.OpenFile(filepath.Join(v.dir, name), os.O_RDWR, 0)
			if err != nil {
				v.unreadable(name, err)
				continue
			}
			_ = f.Close()
		}
	}
	return true
}

// fileID parses the name of one of Badger's files. If it has a number, ext is its kind.
func fileID(name string) (ext string, id uint64, known bool) {
	switch name {
	case "MANIFEST", "KEYREGISTRY", "DISCARD", "LOCK":
		return "", 0, true
	case "MANIFEST-REWRITE": // a crash leaves it
		return "", 0, true
	}
	ext = filepath.Ext(name)
	digits := map[string]int{TableExt: 6, MemExt: 5, VlogExt: 6}[ext]
	id, err := strconv.ParseUint(strings.TrimSuffix(name, ext), 10, 32)
	return ext, id, err == nil && name == fileName(ext, id) && digits > 0
}

func fileName(ext string, id uint64) string {
	if ext == MemExt {
		return fmt.Sprintf("%05d%s", id, ext)
	}
	return fmt.Sprintf("%06d%s", id, ext)
}

// ids returns the numbers of the files of a kind, in order.
func (v *Survey) ids(ext string) (out []uint64) {
	for name := range v.sizes {
		if e, id, _ := fileID(name); e == ext && ext != "" {
			out = append(out, id)
		}
	}
	slices.Sort(out)
	return out
}

// read returns a file's content. If it cannot be read, that is recorded as a damage.
func (v *Survey) read(name, lost string) ([]byte, bool) {
	b, err := os.ReadFile(filepath.Join(v.dir, name))
	if errors.Is(err, fs.ErrNotExist) {
		v.find(name, "is missing", lost)
		return nil, false
	}
	if err != nil {
		v.unreadable(name, err)
		return nil, false
	}
	return b, true
}

func (v *Survey) readManifest() {
	b, ok := v.read("MANIFEST", DoRepair)
	if !ok {
		return
	}
	var err error
	if v.manifest, err = parseManifest(b); err == nil {
		v.Live, err = v.manifest.levels(len(v.manifest.sets))
	}
	if err != nil {
		v.Live = nil
		v.find("MANIFEST", err.Error(), DoRepair)
	}
}

// registry follows 16 random bytes in the KEYREGISTRY of a database that Badger does not encrypt.
const registry = "Hello Badger"

func (v *Survey) readRegistry() {
	b, ok := v.read("KEYREGISTRY", DoRepair)
	if ok && (len(b) != 16+len(registry) || string(b[16:]) != registry) {
		v.find("KEYREGISTRY", "is not as it was written", DoRepair)
	}
}

func (v *Survey) checkDiscard() {
	size, there := v.sizes["DISCARD"]
	switch {
	case !there:
		if _, err := os.Lstat(filepath.Join(v.dir, "DISCARD")); errors.Is(err, fs.ErrNotExist) {
			v.find("DISCARD", "is missing", DoRepair)
		}
	case size != 0 && (size < discardSize || size%discardSize != 0):
		v.find("DISCARD", fmt.Sprintf("has %d bytes, want %d", size, discardSize), DoRepair)
	}
}

// readLogs reads the .mem and the .vlog files. An empty one was being made or deleted when the
// program ended.
func (v *Survey) readLogs() {
	for _, ext := range []string{MemExt, VlogExt} {
		for _, id := range v.ids(ext) {
			name := fileName(ext, id)
			b, ok := v.read(name, doPutBack)
			if !ok {
				continue
			}
			l, err := ParseLog(b)
			if err != nil {
				v.find(name, err.Error(), doPutBack)
				continue
			}
			for i := range l.Entries {
				if p, ok := l.Entries[i].points(); ok && ext == MemExt {
					v.points[p] = name
				}
			}
			if ext == MemExt {
				v.mems[id] = l
			} else {
				v.vlogs[id] = l
			}
		}
	}
	if len(v.ids(VlogExt)) == 0 {
		v.find(fileName(VlogExt, 1), "is missing, and so is every other "+VlogExt, doPutBack)
	}
}

// readTables checks each table that MANIFEST names.
func (v *Survey) readTables() {
	ids := make([]uint64, 0, len(v.Live))
	for id := range v.Live {
		ids = append(ids, id)
	}
	slices.SortFunc(ids, func(a, b uint64) int { return cmp.Compare(b, a) })
	for _, id := range ids {
		name := fileName(TableExt, id)
		if _, ok := v.sizes[name]; !ok {
			if _, err := os.Lstat(filepath.Join(v.dir, name)); errors.Is(err, fs.ErrNotExist) {
				v.find(name, "is missing, and MANIFEST names it", DoRepair)
			}
			continue
		}
		v.readTable(id)
	}
	for _, id := range v.ids(TableExt) {
		if _, ok := v.Live[id]; !ok && v.Live != nil {
			v.spare = append(v.spare, id)
		}
	}
}

func (v *Survey) readTable(id uint64) {
	name := fileName(TableExt, id)
	err := v.withTable(id, func(t *tableFile) error {
		v.tables[id] = t
		if v.left -= v.sizes[name]; v.left < 0 {
			return nil
		}
		return t.check(func(e entry) {
			if p, ok := e.points(); ok {
				v.points[p] = name
			}
		})
	})
	if err != nil {
		delete(v.tables, id)
		if !v.tableError(name, err) {
			v.find(name, err.Error(), doPutBack)
		}
	}
}

// tableError records an error of the system as a damage, and tells whether there was one.
func (v *Survey) tableError(name string, err error) bool {
	var pe *fs.PathError
	if !errors.As(err, &pe) {
		return false
	}
	v.unreadable(name, err)
	return true
}

// withTable opens a table for f. It catches the panic of the index reader, in case an index is
// malformed although its checksum matches.
func (v *Survey) withTable(id uint64, f func(*tableFile) error) (err error) {
	defer func() {
		if recover() != nil {
			err = errTable
		}
	}()
	file, err := os.Open(filepath.Join(v.dir, fileName(TableExt, id)))
	if err != nil {
		return err
	}
	defer func() { _ = file.Close() }()
	info, err := file.Stat()
	if err != nil {
		return err
	}
	t, err := openTable(file, info.Size())
	if err != nil {
		return err
	}
	return f(t)
}

// checkLevels finds tables that were exchanged: below level 0 no two tables hold the same keys.
func (v *Survey) checkLevels() {
	byLevel := map[uint32][]uint64{}
	for id := range v.tables {
		if level := v.Live[id]; level > 0 {
			byLevel[level] = append(byLevel[level], id)
		}
	}
	for _, ids := range byLevel {
		slices.SortFunc(ids, func(a, b uint64) int {
			return cmp.Compare(v.tables[a].bounds[0], v.tables[b].bounds[0])
		})
		for i := 1; i < len(ids); i++ {
			if v.tables[ids[i]].bounds[0] < v.tables[ids[i-1]].bounds[1] {
				v.find(fileName(TableExt, ids[i]), "holds the same keys as "+fileName(TableExt, ids[i-1])+
					": it is another file's content, or MANIFEST another store's",
					doPutBack)
			}
		}
	}
}

// farAhead is more tables than Badger begins at a time. A table with a number further ahead cannot
// be one that it was making when the program ended.
const farAhead = 100

// checkSpare checks the tables that MANIFEST does not name. Badger deletes them, so they must be
// the rest of a crash: either not whole, because they were being made or deleted, or with records
// that are all elsewhere too.
func (v *Survey) checkSpare() {
	once, last := map[uint64]bool{}, uint64(0) // MANIFEST named them once; they are out of date
	for _, set := range v.manifest.sets {
		for _, c := range set.changes {
			once[c.Id], last = true, max(last, c.Id)
		}
	}
	for _, id := range v.spare {
		if once[id] {
			continue
		}
		if id > last+farAhead {
			v.find(fileName(TableExt, id),
				"does not belong there: MANIFEST does not name it, and no crash leaves it", doMove)
			continue
		}
		want, err := v.newest(id)
		if err != nil {
			continue
		}
		v.without(want)
		if len(want) > 0 {
			v.find("MANIFEST", fmt.Sprintf("does not name db/%s, which holds %d records "+
				"that are nowhere else", fileName(TableExt, id), len(want)), DoRepair)
		}
	}
}

// without deletes from want the records that the tables of MANIFEST or the .mem files also have, in
// the same or a newer version.
func (v *Survey) without(want map[string]uint64) {
	have := func(e entry) {
		if version, ok := want[e.key]; ok && e.version >= version {
			delete(want, e.key)
		}
	}
	for _, l := range v.mems {
		for _, e := range l.Entries {
			have(e.entry)
		}
	}
	for id := range v.tables {
		_ = v.eachEntry(id, have)
	}
}

// checkPointers finds values that should be in the value log and are not.
func (v *Survey) checkPointers() {
	found := map[string]bool{}
	for p, from := range v.points {
		name := fileName(VlogExt, uint64(p.file))
		l, whole := v.vlogs[uint64(p.file)]
		_, there := v.sizes[name]
		switch {
		case found[name] || there && !whole:
		case !there:
			found[name] = true
			v.find(name, "is missing, and "+from+" names it", doPutBack)
		case int(p.at)+int(p.size) > l.End:
			found[name] = true
			v.find(name, fmt.Sprintf("ends at byte %d, and %s names more of it", l.End, from), doPutBack)
		}
	}
}
