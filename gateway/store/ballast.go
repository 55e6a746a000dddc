package store

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"sync"

	"golang.org/x/sys/unix"
)

// The ballast is a file that holds space for what must be written on a full disk: a memtable, the table that the one before becomes, and
// the restrictions in them.
const (
	// ballastKept is what only a memtable and its table get: 8 MB and 5 MB, and some for the file system. While there is as much, one more
	// change can be kept. Compactions have the rest.
	ballastKept = 16 << 20
	ballastName = "ballast"
)

type ballast struct {
	path string
	size int64 // how much there is to be

	mu   sync.Mutex
	held int64 // guarded by mu; as stat(2) counts
}

// openBallast finds out what there is in a data folder from an earlier run. size is how much there is
// to be.
func openBallast(dir string, size int64) (*ballast, error) {
	b := &ballast{path: filepath.Join(dir, ballastName), size: size}
	return b, b.look()
}

func (b *ballast) look() error {
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
		return unreadable(ballastName, err)
	}
	_ = f.Close()
	b.held = st.Blocks * 512
	return nil
}

func (b *ballast) has() int64 {
	if b == nil {
		return 0
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.held
}

func (b *ballast) lacks() bool { return b != nil && b.size-b.has() >= 4096 }

// give frees so much, and a little for the file system's own use, if more than keep is left then. Whoever asks takes it at once.
func (b *ballast) give(n, keep int64) bool {
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

// fill takes what is missing, from a disk with so much free: below the mark what restrictions need and no more, so that events go on;
// where those have ended too, whatever there is. It tells whether it took anything.
func (b *ballast) fill(free, mark uint64) bool {
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
	case b.held < ballastKept:
		take = min(missing, ballastKept-b.held, int64(min(free-mark/4, 1<<62)))
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

// reserveValueLog gives the newest value log its blocks, because a value is about to be written to it.
func reserveValueLog(db string) error {
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

// manifestRoom is how many bytes MANIFEST always has blocks for, beyond its end: some dozens of change sets. Badger appends one for each new table, and
// to a table that a full disk has room for the ballast gave nothing.
const manifestRoom = 16 << 10

// reserveManifest gives MANIFEST its room. Without, the store goes on, and ends when there is none.
func (b *ballast) reserveManifest(f *os.File) {
	var st unix.Stat_t
	if unix.Fstat(int(f.Fd()), &st) != nil || st.Blocks*512 >= st.Size+manifestRoom {
		return
	}
	more := func() error { return unix.Fallocate(int(f.Fd()), unix.FALLOC_FL_KEEP_SIZE, 0, st.Size+4*manifestRoom) }
	if noSpace(more()) && b.give(4*manifestRoom, 0) {
		_ = more()
	}
}

// reserveOpened reserves room for the MANIFEST in db that Badger has just opened, and so cut to its
// content.
func (b *ballast) reserveOpened(db string) error {
	f, err := os.OpenFile(filepath.Join(db, "MANIFEST"), os.O_WRONLY, 0)
	if err != nil {
		return fmt.Errorf("store: %w", err)
	}
	b.reserveManifest(f)
	return f.Close()
}

// replace replaces a small file of the data folder, on a full disk with space of the ballast.
func (b *ballast) replace(path string, text []byte) error {
	err := replace(path, text)
	if noSpace(err) && b.give(1<<16, 0) {
		err = replace(path, text)
	}
	return err
}

// freeIn is how many bytes are free where dir is.
func freeIn(dir string) (uint64, error) {
	var st unix.Statfs_t
	if err := unix.Statfs(dir, &st); err != nil {
		return 0, fmt.Errorf("free space of %s: %w", dir, err)
	}
	return st.Bavail * uint64(st.Bsize), nil
}

// usedIn is how many bytes a data folder takes on disk.
func usedIn(dir string) (used uint64, err error) {
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

// noSpace tells whether an error says that the disk is full.
func noSpace(err error) bool { return errors.Is(err, unix.ENOSPC) || errors.Is(err, unix.EDQUOT) }
