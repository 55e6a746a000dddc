package store

import (
	"fmt"
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

func (sp *space) err() error {
	return fmt.Errorf("store: %w: want %d MiB free", ErrNoSpace, sp.min>>20)
}
