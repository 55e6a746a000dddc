package store

import (
	"errors"
	"fmt"
	"io/fs"
	"path/filepath"
	"time"

	"golang.org/x/sys/unix"
)

// space watches the free bytes of the file system. Badger maps files that are larger than what is in them, so a full disk ends the
// process with SIGBUS: the store stops taking work well before.
type space struct {
	free  func() (uint64, error)
	min   uint64
	last  time.Time // of the last look, for the writer only
	count int       // batches since
	low   bool      // below min: no grants, no policy changes
	full  bool      // below a quarter of it: nothing at all
	eager bool      // look before every batch
}

const (
	spaceEvery   = 2 * time.Second
	spaceBatches = 256
)

func freeIn(dir string) func() (uint64, error) {
	return func() (uint64, error) {
		var st unix.Statfs_t
		if err := unix.Statfs(dir, &st); err != nil {
			return 0, fmt.Errorf("free space of %s: %w", dir, err)
		}
		return st.Bavail * uint64(st.Bsize), nil
	}
}

// look asks at most every few seconds or batches. If the question itself fails the disk counts as full.
// It tells whether the answer is another than before.
func (sp *space) look() (changed bool) {
	if sp.free == nil {
		return false
	}
	if sp.count++; !sp.eager && !sp.last.IsZero() && sp.count < spaceBatches && time.Since(sp.last) < spaceEvery {
		return false
	}
	n, err := sp.free()
	before := sp.low
	sp.last, sp.count = time.Now(), 0
	sp.low, sp.full = err != nil || n < sp.min, err != nil || n < sp.min/4
	return sp.low != before
}

// Space tells, in bytes, what the store takes on disk, what is free there, and below how much nothing is granted any more. Of a store in memory it
// is errors.ErrUnsupported.
func (s *Store) Space() (used, free, least uint64, err error) {
	if s.opts.InMemory {
		return 0, 0, 0, fmt.Errorf("store: space: %w in memory", errors.ErrUnsupported)
	}
	ask := s.opts.Free
	if ask == nil {
		ask = freeIn(s.opts.Dir)
	}
	if free, err = ask(); err != nil {
		return 0, 0, 0, fmt.Errorf("store: %w", err)
	}
	err = filepath.WalkDir(s.opts.Dir, func(path string, d fs.DirEntry, err error) error {
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
	if err != nil {
		return 0, 0, 0, fmt.Errorf("store: space: %w", err)
	}
	return used, free, s.opts.MinFree, nil
}

func (sp *space) err() error {
	return fmt.Errorf("store: %w: want %d MiB free", ErrNoSpace, sp.min>>20)
}
