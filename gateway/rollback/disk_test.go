package rollback

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"latchkey/gateway/faultdisk"
)

// readFile returns what head.log says, as another process would read it.
func (h *house) readFile() state {
	h.t.Helper()
	f := &file{path: h.place.File, site: h.store.SiteID(), key: h.store.HeadLogKey()}
	st, exists, err := f.read()
	if err != nil || !exists {
		h.t.Fatalf("head.log: %v, %v", exists, err)
	}
	return st
}

// takenSince sums up what was taken away after an event.
func (st state) takenSince(seq uint64) (c Counts) {
	for _, e := range st.entries {
		if e.at.seq > seq {
			c.add(e.counts)
		}
	}
	return c
}

// A full disk delays no answer for long and refuses nothing, and nothing is lost when
// there is space again, before a restart or after it.
func TestAFullDisk(t *testing.T) {
	for _, kind := range []string{"tmpfs", "ext4"} {
		for _, restarts := range []bool{false, true} {
			t.Run(kind+map[bool]string{false: " that has space again", true: " until a restart"}[restarts],
				func(t *testing.T) {
					h := newHouse(t)
					mnt := faultdisk.Mount(t, kind, 16)
					h.place.File = filepath.Join(mnt, "head", FileName)
					h.open()
					h.furnish()
					h.watch.flush()
					before, _ := h.store.Head()
					empty := faultdisk.Fill(t, mnt)
					padLastBlock(t, h.place.File)
					h.watch.flush() // it is longer than it was, so it must be replaced
					h.revoke()
					h.watch.flush()
					h.want("head.log is not written")
					began := time.Now()
					seq := h.lose()
					h.watch.Settle(seq)
					if took := time.Since(began); took > 2*settleWithin {
						t.Errorf("the answer took %v", took)
					}
					h.readFile() // half a line at its end is no damage
					if restarts {
						h.close()
					}
					empty()
					if restarts {
						h.open()
					} else {
						h.watch.flush()
					}
					h.want()
					got := h.readFile().takenSince(before)
					exact := got[KeyRevoked] == 1 && got[CardLost] == 1 && got.Sum() == 2
					if !exact && !(restarts && got[Unjudged] == 2 && got.Sum() == 2) {
						t.Errorf("head.log has %q since event %d, want both restrictions", got, before)
					}
				})
		}
	}
}

// padLastBlock makes the file longer than it is known to be, so that nothing more fits its last block.
func padLastBlock(t *testing.T, path string) {
	t.Helper()
	f, err := os.OpenFile(path, os.O_WRONLY|os.O_APPEND, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = f.Close() }()
	if _, err := f.WriteString(strings.Repeat("x", 64)); err != nil {
		t.Fatal(err)
	}
}

// A disk that can only be read is a finding.
func TestAReadOnlyDisk(t *testing.T) {
	h := newHouse(t)
	mnt := faultdisk.Mount(t, "tmpfs", 16)
	h.place.File = filepath.Join(mnt, "head", FileName)
	h.open()
	h.furnish()
	h.close()
	if err := unix.Mount("", mnt, "", unix.MS_REMOUNT|unix.MS_RDONLY, ""); err != nil {
		t.Fatal(err)
	}
	h.open()
	h.want("head.log is not written")
	before, _ := h.store.Head()
	h.revoke()
	h.watch.flush()
	h.want("head.log is not written")
	if err := unix.Mount("", mnt, "", unix.MS_REMOUNT, ""); err != nil {
		t.Fatal(err)
	}
	h.watch.flush()
	h.want()
	if got := h.readFile().takenSince(before); got[KeyRevoked] != 1 {
		t.Errorf("got %q, want the revocation", got)
	}
}
