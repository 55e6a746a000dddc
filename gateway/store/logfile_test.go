package store

import (
	"bytes"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"runtime/debug"
	"testing"

	"golang.org/x/sys/unix"

	"latchkey/gateway/store/folder"
)

const (
	logHead = 20  // bytes in front of the first entry
	sector  = 512 // the smallest unit that a disk writes as a whole
)

// makeLogs returns the newest .mem file and the value log of a store whose process was killed,
// without the zeros at their ends.
func makeLogs(t *testing.T) map[string][]byte {
	t.Helper()
	dir := filepath.Join(t.TempDir(), "data")
	killWriter(t, dir, 70)
	out := map[string][]byte{}
	walk(t, os.DirFS(filepath.Join(dir, "db")), func(path string, _ os.FileInfo, b []byte) {
		ext := filepath.Ext(path)
		if ext != folder.MemExt && ext != folder.VlogExt {
			return
		}
		l, err := folder.ParseLog(b)
		if err != nil || len(l.Entries) < 2 {
			t.Fatalf("%s: got %v, want a log with entries", path, err)
		}
		out[ext] = b[:l.End]
	})
	return out
}

// copyUpTo copies b to offset at of a mapping in which the page of limit cannot be touched, and
// returns what the copy has left there. A process that is killed while it copies also stops at its
// first access to a page.
func copyUpTo(t *testing.T, b []byte, at, limit int) []byte {
	t.Helper()
	page := os.Getpagesize()
	m, err := unix.Mmap(-1, 0, (at+len(b)+page-1)/page*page, unix.PROT_READ|unix.PROT_WRITE,
		unix.MAP_ANON|unix.MAP_PRIVATE)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = unix.Munmap(m) }()
	shut := m[limit/page*page:][:page]
	if err := unix.Mprotect(shut, unix.PROT_NONE); err != nil {
		t.Fatal(err)
	}
	func() {
		defer debug.SetPanicOnFault(debug.SetPanicOnFault(true))
		defer func() {
			if recover() == nil {
				t.Error("the copy was not stopped")
			}
		}()
		copy(m[at:], b)
	}()
	if err := unix.Mprotect(shut, unix.PROT_READ); err != nil {
		t.Fatal(err)
	}
	return bytes.Clone(m[at : at+len(b)])
}

// TestLogOfKilledWriter: wherever the copy of the last entry stops, the log still parses, and ends
// before that entry's transaction.
func TestLogOfKilledWriter(t *testing.T) {
	page := os.Getpagesize()
	heads := 0
	for ext, b := range makeLogs(t) {
		l, err := folder.ParseLog(b)
		if err != nil {
			t.Fatal(err)
		}
		for i := range l.Entries {
			e := &l.Entries[i]
			whole := b[e.At : e.At+e.Size]
			end := findEndBefore(t, b, e.At)
			try := func(how string, part []byte) {
				t.Helper()
				if bytes.Equal(part, whole) {
					return
				}
				got, err := folder.ParseLog(append(append(bytes.Clone(b[:e.At]), part...),
					make([]byte, 1<<10)...))
				if err != nil || got.End != end {
					t.Errorf("%s: entry %d of %d bytes, %s: got the end %d, %v, want %d", ext, i, e.Size, how,
						got.End, err, end)
				}
			}
			for n := range e.Size {
				if i%5 == 0 && e.Size < 1<<12 || n%997 == 0 {
					try(fmt.Sprintf("cut at byte %d", n),
						append(bytes.Clone(whole[:n]), make([]byte, e.Size-n)...))
				}
			}
			for n := 1; n < min(64, e.Size); n += 1 + i%5 {
				try(fmt.Sprintf("without its first %d bytes", n), append(make([]byte, n), whole[n:]...))
			}
			for _, off := range []int{page - 1, page - 33, page - 100, page - e.Size/2, e.At % page} {
				off = (off%page + page) % page
				for limit := page; limit < off+e.Size; limit += page {
					part := copyUpTo(t, whole, off, limit)
					if len(part) > 0 && part[0] == 0 && len(bytes.Trim(part, "\x00")) > 0 {
						heads++
					}
					try(fmt.Sprintf("stopped at page %d from byte %d of one", limit/page, off), part)
				}
			}
		}
	}
	t.Logf("%d copies lacked their beginning", heads)
}

// findEndBefore returns where the last whole transaction before an entry ends.
func findEndBefore(t *testing.T, b []byte, at int) int {
	t.Helper()
	l, err := folder.ParseLog(b[:at])
	if err != nil {
		t.Fatal(err)
	}
	return l.End
}

// TestLogFlips: a flipped bit counts as damage unless it is in the last transaction, which may also
// have been cut.
func TestLogFlips(t *testing.T) {
	r := rand.New(rand.NewPCG(16, 5))
	for ext, b := range makeLogs(t) {
		l, err := folder.ParseLog(b)
		if err != nil {
			t.Fatal(err)
		}
		last := findEndBefore(t, b, l.Entries[len(l.Entries)-1].At)
		tolerated, tries := 0, 0
		for range 500 {
			at := logHead + r.IntN(len(b)-logHead)
			if r.IntN(4) == 0 {
				at = last + r.IntN(len(b)-last)
			}
			bad := bytes.Clone(b)
			bad[at] ^= 1 << r.IntN(8)
			got, err := folder.ParseLog(bad)
			switch {
			case err == nil && at < last:
				t.Errorf("%s: byte %d of %d: got no damage", ext, at, len(b))
			case err == nil && got.End != last:
				t.Errorf("%s: byte %d of %d: got the end %d, want %d", ext, at, len(b), got.End, last)
			case err == nil:
				tolerated++
			}
			if at >= last {
				tries++
			}
		}
		t.Logf("%s: of %d flips in the last transaction, %d look like a transaction that was cut", ext,
			tries, tolerated)
	}
}

// TestLogHoles: a power failure can lose sectors of the last transaction, but of no other.
func TestLogHoles(t *testing.T) {
	for ext, b := range makeLogs(t) {
		l, err := folder.ParseLog(b)
		if err != nil {
			t.Fatal(err)
		}
		last := findEndBefore(t, b, l.Entries[len(l.Entries)-1].At)
		for from := 0; from < len(b); from += sector {
			bad := bytes.Clone(b)
			clear(bad[from:min(from+sector, len(b))])
			got, err := folder.ParseLog(bad)
			switch before := from < last; {
			// The .mem file's pointer to a value says whether that value was durable. A sector in which the
			// last transaction begins may be lost with it: what is left looks like one transaction.
			case before && ext == folder.MemExt && err == nil && from >= sector && from+sector <= last:
				t.Errorf("%s: sector at %d of a whole transaction: got the end %d", ext, from, got.End)
			case !before && err != nil:
				t.Errorf("%s: sector at %d of the last transaction, from %d on: %v", ext, from, last, err)
			}
		}
	}
}
