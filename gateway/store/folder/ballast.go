package folder

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"sync"

	"golang.org/x/sys/unix"
)

const (
	// BallastKept is the part that only a memtable and its table may use: 8 MB and 5 MB, and some
	// for the file system. While it is there, one more change can be kept. Compactions may use the
	// rest.
	BallastKept = 16 << 20
	ballastName = "ballast"
)

// Ballast is a file that reserves space for what must be written on a full disk: a memtable with
// restrictions, and the table that the memtable before becomes. A nil Ballast holds nothing.
type Ballast struct {
	path string
	size int64 // how much it should hold

	mu   sync.Mutex
	held int64 // guarded by mu; as stat(2) counts
}

// OpenBallast opens the ballast of a data folder, which may exist from an earlier run. size is how
// much it should hold.
func OpenBallast(dir string, size int64) (*Ballast, error) {
	b := &Ballast{path: filepath.Join(dir, ballastName), size: size}
	return b, b.look()
}

func (b *Ballast) look() error {
	var st unix.Stat_t
	err := unix.Lstat(b.path, &st)
	b.mu.Lock()
	defer b.mu.Unlock()
	switch {
	case errors.Is(err, fs.ErrNotExist):
		b.held = 0
		return nil
	case err != nil:
		return fmt.Errorf("store: %s: %w", ballastName, err)
	}
	f, err := os.OpenFile(b.path, os.O_WRONLY, 0) // to shrink it later, we need this permission
	if err != nil {
		return DescribeUnreadable(ballastName, err)
	}
	_ = f.Close()
	b.held = st.Blocks * 512
	return nil
}

// Has returns how many bytes it holds.
func (b *Ballast) Has() int64 {
	if b == nil {
		return 0
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.held
}

// Lacks tells whether it holds less than it should.
func (b *Ballast) Lacks() bool { return b != nil && b.size-b.Has() >= 4096 }

// Give frees n bytes, and a little for the file system itself, if at least keep bytes stay in the
// ballast. The caller uses the space at once.
func (b *Ballast) Give(n, keep int64) bool {
	if b == nil {
		return false
	}
	const own = 128 << 10
	b.mu.Lock()
	defer b.mu.Unlock()
	left := b.held - n - own
	if left < keep {
		return false
	}
	if err := os.Truncate(b.path, left); err != nil {
		return false
	}
	b.held = left
	return true
}

// Fill refills the ballast from a disk with so much free space. Below the mark it takes only what
// restrictions need, so that events go on. When there is no space for events any more, it takes all
// that it can. It tells whether it took anything.
func (b *Ballast) Fill(free, mark uint64) bool {
	if b == nil {
		return false
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	missing := b.size - b.held
	if missing < 4096 {
		return false
	}
	const some = 1 << 20
	var take int64
	switch {
	case free < mark/4:
		take = min(missing, int64(min(free, 1<<62))-some)
	case b.held < BallastKept:
		take = min(missing, BallastKept-b.held, int64(min(free-mark/4, 1<<62)))
	case free > mark:
		take = min(missing, int64(min(free-mark, 1<<62)))
	}
	if take < 4096 {
		return false
	}
	f, err := os.OpenFile(b.path, os.O_WRONLY|os.O_CREATE, 0o600)
	if err != nil {
		return false
	}
	defer func() { _ = f.Close() }()
	before := b.held
	_ = unix.Fallocate(int(f.Fd()), 0, 0, b.held+take) // stat tells how much it got
	var st unix.Stat_t
	if unix.Fstat(int(f.Fd()), &st) != nil || f.Truncate(st.Blocks*512) != nil {
		return false
	}
	b.held = st.Blocks * 512
	return b.held > before
}

// ReserveValueLog reserves the blocks of the newest value log, before a value is written to it.
func ReserveValueLog(db string) error {
	logs, err := filepath.Glob(filepath.Join(db, "*.vlog"))
	if err != nil || len(logs) == 0 {
		return err
	}
	f, err := os.OpenFile(logs[len(logs)-1], os.O_WRONLY, 0)
	if err != nil {
		return err
	}
	defer func() { _ = f.Close() }()
	var st unix.Stat_t
	if err := unix.Fstat(int(f.Fd()), &st); err != nil || st.Blocks*512 >= st.Size {
		return err
	}
	if err := unix.Fallocate(int(f.Fd()), 0, 0, st.Size); err != nil && !errors.Is(err, unix.EOPNOTSUPP) {
		return err
	}
	return nil
}

// ManifestRoom is how many bytes are always reserved behind the end of MANIFEST: enough for some
// dozens of change sets. Badger appends a change set for each new table, also when that table
// itself needed no ballast.
const ManifestRoom = 16 << 10

// ReserveManifest reserves that room. If it fails the store goes on, and ends when MANIFEST cannot
// grow.
func (b *Ballast) ReserveManifest(f *os.File) {
	var st unix.Stat_t
	if unix.Fstat(int(f.Fd()), &st) != nil || st.Blocks*512 >= st.Size+ManifestRoom {
		return
	}
	more := func() error {
		return unix.Fallocate(int(f.Fd()), unix.FALLOC_FL_KEEP_SIZE, 0,
			st.Size+4*ManifestRoom)
	}
	if IsNoSpace(more()) && b.Give(4*ManifestRoom, 0) {
		_ = more()
	}
}

// ReserveOpenedManifest does the same when Badger has just opened the database, because opening
// cuts MANIFEST to its content.
func (b *Ballast) ReserveOpenedManifest(db string) error {
	f, err := os.OpenFile(filepath.Join(db, "MANIFEST"), os.O_WRONLY, 0)
	if err != nil {
		return fmt.Errorf("store: %w", err)
	}
	b.ReserveManifest(f)
	return f.Close()
}

// Replace replaces a small file of the data folder. On a full disk it uses space of the ballast.
func (b *Ballast) Replace(path string, text []byte) error {
	err := replace(path, text)
	if IsNoSpace(err) && b.Give(1<<16, 0) {
		err = replace(path, text)
	}
	return err
}

// MeasureFree returns how many bytes are free on the disk of dir.
func MeasureFree(dir string) (uint64, error) {
	var st unix.Statfs_t
	if err := unix.Statfs(dir, &st); err != nil {
		return 0, fmt.Errorf("free space of %s: %w", dir, err)
	}
	return st.Bavail * uint64(st.Bsize), nil
}

// MeasureUse returns how many bytes a data folder takes on disk.
func MeasureUse(dir string) (used uint64, err error) {
	err = filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if err != nil {
			if errors.Is(err, fs.ErrNotExist) { // Badger has just removed it
				return nil
			}
			return err
		}
		var st unix.Stat_t
		if err := unix.Lstat(path, &st); err == nil {
			used += uint64(st.Blocks) * 512 // as stat(2) counts; Badger's files are longer than their content
		}
		return nil
	})
	return used, err
}

// IsNoSpace tells whether an error says that the disk is full.
func IsNoSpace(err error) bool { return errors.Is(err, unix.ENOSPC) || errors.Is(err, unix.EDQUOT) }
