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
	// BallastKept is what only a memtable and its table get: 8 MB and 5 MB, and some for the file
	// system. While there is as much, one more change can be kept. Compactions have the rest.
	BallastKept = 16 << 20
	ballastName = "ballast"
)

// Ballast is a file that holds space for what must be written on a full disk: a memtable, the table
// that the one before becomes, and the restrictions in them. A nil one holds nothing.
type Ballast struct {
	path string
	size int64 // how much there is to be

	mu   sync.Mutex
	held int64 // guarded by mu; as stat(2) counts
}

// OpenBallast finds out what there is in a data folder from an earlier run. size is how much there
// is to be.
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
	f, err := os.OpenFile(b.path, os.O_WRONLY, 0) // else it would give nothing back when it is needed
	if err != nil {
		return DescribeUnreadable(ballastName, err)
	}
	_ = f.Close()
	b.held = st.Blocks * 512
	return nil
}

// Has is how many bytes it holds.
func (b *Ballast) Has() int64 {
	if b == nil {
		return 0
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.held
}

// Lacks tells whether it holds less than it is to.
func (b *Ballast) Lacks() bool { return b != nil && b.size-b.Has() >= 4096 }

// Give frees so much, and a little for the file system's own use, if more than keep is left then.
// Whoever asks takes it at once.
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

// Fill takes what is missing, from a disk with so much free: below the mark what restrictions need
// and no more, so that events go on; where those have ended too, whatever there is. It tells
// whether it took anything.
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
	_ = unix.Fallocate(int(f.Fd()), 0, 0, b.held+take) // what it got, stat says
	var st unix.Stat_t
	if unix.Fstat(int(f.Fd()), &st) != nil || f.Truncate(st.Blocks*512) != nil {
		return false
	}
	b.held = st.Blocks * 512
	return b.held > before
}

// ReserveValueLog gives the newest value log its blocks, because a value is about to be written to
// it.
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

// ManifestRoom is how many bytes MANIFEST always has blocks for, beyond its end: some dozens of
// change sets. Badger appends one for each new table, and to a table that a full disk has room for
// the ballast gave nothing.
const ManifestRoom = 16 << 10

// ReserveManifest gives MANIFEST its room. Without, the store goes on, and ends when there is none.
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

// ReserveOpenedManifest reserves room for the MANIFEST in db that Badger has just opened, and so
// cut to its content.
func (b *Ballast) ReserveOpenedManifest(db string) error {
	f, err := os.OpenFile(filepath.Join(db, "MANIFEST"), os.O_WRONLY, 0)
	if err != nil {
		return fmt.Errorf("store: %w", err)
	}
	b.ReserveManifest(f)
	return f.Close()
}

// Replace replaces a small file of the data folder, on a full disk with space of the ballast.
func (b *Ballast) Replace(path string, text []byte) error {
	err := replace(path, text)
	if IsNoSpace(err) && b.Give(1<<16, 0) {
		err = replace(path, text)
	}
	return err
}

// MeasureFree is how many bytes are free where dir is.
func MeasureFree(dir string) (uint64, error) {
	var st unix.Statfs_t
	if err := unix.Statfs(dir, &st); err != nil {
		return 0, fmt.Errorf("free space of %s: %w", dir, err)
	}
	return st.Bavail * uint64(st.Bsize), nil
}

// MeasureUse is how many bytes a data folder takes on disk.
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
			used += uint64(st.Blocks) * 512 // as stat(2) counts; files are longer than what is in them
		}
		return nil
	})
	return used, err
}

// IsNoSpace tells whether an error says that the disk is full.
func IsNoSpace(err error) bool { return errors.Is(err, unix.ENOSPC) || errors.Is(err, unix.EDQUOT) }
