package engine

import (
	"errors"
	"fmt"
	"path/filepath"
	"reflect"
	"runtime"
	"strconv"
	"strings"
	"sync"
	"time"
	_ "unsafe" // for go:linkname

	"golang.org/x/sys/unix"

	"latchkey/gateway/store/folder"
)

// Badger makes a file longer than its content, maps it and writes into the map. If the disk has no
// block for such a write, the kernel sends SIGBUS, which ends a Go program. So we reserve the
// blocks of every file before it is mapped, and a full disk becomes an error.

// unixMapper is the variable with which golang.org/x/sys/unix, and so Badger, maps files. We use
// only the first field of its type.
//
//go:linkname unixMapper golang.org/x/sys/unix.mapper
var unixMapper *mmapper

type mmapper struct {
	sync.Mutex
	_    map[*byte][]byte
	mmap func(addr, length uintptr, prot, flags, fd int, offset int64) (uintptr, error)
}

var systemMmap func(addr, length uintptr, prot, flags, fd int, offset int64) (uintptr, error)

func hookMmap() error {
	known := func() bool {
		f := runtime.FuncForPC(reflect.ValueOf(unixMapper.mmap).Pointer())
		return f.Name() == "golang.org/x/sys/unix.mmap"
	}
	if unixMapper == nil || !known() {
		return errors.New("store: this build's golang.org/x/sys maps files in another way: a full disk " +
			"would end the process")
	}
	systemMmap, unixMapper.mmap = unixMapper.mmap, reservingMmap
	return nil
}

func reservingMmap(addr, length uintptr, prot, flags, fd int, offset int64) (uintptr, error) {
	if prot&unix.PROT_WRITE != 0 && flags&unix.MAP_SHARED != 0 {
		if err := reserve(fd, int64(length)); err != nil {
			return 0, err
		}
	}
	return systemMmap(addr, length, prot, flags, fd, offset)
}

// logStart is how many bytes of a new value log are reserved at once. Space for a large value is
// reserved when it is written, see [folder.ReserveValueLog].
const logStart = 64 << 10

// waitForRoom is the time between two attempts to reserve space for a table.
const waitForRoom = 100 * time.Millisecond

// reserve reserves the blocks of a file, if need be with space of the ballast. For a new table it
// waits until there is space. That is safe: nobody waits for the table, and its content still
// exists elsewhere.
func reserve(fd int, length int64) error {
	var d *DB
	name := ""
	for {
		var st unix.Stat_t
		if err := unix.Fstat(fd, &st); err != nil {
			return fmt.Errorf("reserve space: %w", err)
		}
		if st.Mode&unix.S_IFMT != unix.S_IFREG || st.Blocks*512 >= length {
			return nil
		}
		if name == "" {
			name = nameOf(fd)
			if d = findDB(name); strings.HasSuffix(name, ".vlog") {
				length = min(length, logStart)
				continue
			}
		}
		switch err := unix.Fallocate(fd, 0, 0, length); {
		case err == nil, errors.Is(err, unix.EOPNOTSUPP): // this file system cannot reserve
			return nil
		case errors.Is(err, unix.EINTR):
			continue
		case !folder.IsNoSpace(err) || d == nil:
			return fmt.Errorf("reserve space for %s: %w", filepath.Base(name), err)
		default:
			keep := int64(0)
			if inCompaction() {
				keep = folder.BallastKept
			}
			if d.cfg.Ballast.Give(length-st.Blocks*512, keep) {
				continue
			}
			if !strings.HasSuffix(name, ".sst") {
				return fmt.Errorf("reserve space for %s: %w", filepath.Base(name), err)
			}
			if keep == 0 {
				d.stuck.Store(true)
			}
			select {
			case <-d.cfg.Quit:
				return fmt.Errorf("reserve space for %s: %w", filepath.Base(name), err)
			case <-time.After(waitForRoom):
			}
			if keep == 0 {
				d.stuck.Store(false)
			}
		}
	}
}

// nameOf returns the path of an open file. Without /proc it returns "", and then no ballast can be
// used.
func nameOf(fd int) string {
	b := make([]byte, unix.PathMax)
	n, err := unix.Readlink("/proc/self/fd/"+strconv.Itoa(fd), b)
	if err != nil {
		return ""
	}
	return string(b[:n])
}

// inCompaction tells whether the calling goroutine of Badger makes a table for a compaction, which
// can wait. Otherwise it is a flush.
func inCompaction() bool {
	pcs := make([]uintptr, 32)
	frames := runtime.CallersFrames(pcs[:runtime.Callers(0, pcs)])
	for {
		f, more := frames.Next()
		if strings.Contains(f.Function, "subcompact") {
			return true
		}
		if !more {
			return false
		}
	}
}
