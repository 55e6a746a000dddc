package store

import (
	"bufio"
	"errors"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"latchkey/gateway/faultdisk"
	"latchkey/gateway/store/folder"
)

// fillDisk runs a process that writes to a store as fast as it can, on a small disk that the test
// fills at random moments. The process must not end, and everything that was durable must be there
// afterwards. It returns how many events there were.
func fillDisk(t *testing.T, kind string, times int) (events uint64) {
	t.Helper()
	mnt := faultdisk.Mount(t, kind, 256)
	dir := filepath.Join(mnt, "data")
	cmd := exec.Command(os.Args[0])
	cmd.Env = append(os.Environ(), childDir+"="+dir, childFault+"=")
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	var stderr strings.Builder
	cmd.Stderr = &stderr
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	var durable atomic.Uint64
	ended := make(chan error, 1)
	go func() {
		for lines := bufio.NewScanner(out); lines.Scan(); {
			if n, err := strconv.ParseUint(lines.Text(), 10, 64); err == nil && n > durable.Load() {
				durable.Store(n)
			}
		}
		ended <- cmd.Wait()
	}()
	more := func(n uint64) {
		t.Helper()
		want, deadline := durable.Load()+n, time.Now().Add(time.Minute)
		for durable.Load() < want {
			select {
			case err := <-ended:
				t.Fatalf("the process has ended: %v: %s", err, stderr.String())
			case <-time.After(time.Millisecond):
			}
			if time.Now().After(deadline) {
				t.Fatal("no more events although there is space again")
			}
		}
	}
	for range times {
		more(uint64(100 + rand.IntN(1500)))
		empty := faultdisk.Fill(t, mnt)
		select {
		case err := <-ended:
			t.Fatalf("the process has ended: %v: %s", err, stderr.String())
		// the disk stays full for a random time
		case <-time.After(time.Duration(rand.IntN(300)) * time.Millisecond):
		}
		empty()
	}
	more(100)
	if err := cmd.Process.Signal(syscall.SIGKILL); err != nil {
		t.Fatalf("%v: %v: %s", err, <-ended, stderr.String())
	}
	<-ended
	checkSurvived(t, dir, kind, durable.Load())
	return durable.Load()
}

func TestDiskIsFilledAtOnce(t *testing.T) {
	for _, kind := range []string{"tmpfs", "ext4"} {
		t.Run(kind, func(t *testing.T) { t.Log(fillDisk(t, kind, 3), "events") })
	}
}

// TestManifestHasRoom: MANIFEST must still get its change set for a table that was written with the
// last space of the disk.
func TestManifestHasRoom(t *testing.T) {
	for _, kind := range []string{"tmpfs", "ext4"} {
		t.Run(kind, func(t *testing.T) {
			mnt := faultdisk.Mount(t, kind, 128)
			dir := filepath.Join(mnt, "data")
			s := buildHouse(t, Options{Dir: dir, memTable: smallTable, MinFree: 1})
			if err := s.Close(); err != nil { // it writes a table
				t.Fatal(err)
			}
			if s, err := Open(t.Context(), Options{Dir: dir, memTable: smallTable, MinFree: 1}); err != nil {
				t.Fatal(err)
			} else {
				defer checkAndClose(t, s)
			}
			empty := faultdisk.Fill(t, mnt)
			defer empty()
			manifest, err := os.OpenFile(filepath.Join(dir, "db", "MANIFEST"), os.O_RDWR|os.O_APPEND, 0)
			if err != nil {
				t.Fatal(err)
			}
			info, err := manifest.Stat()
			if err != nil {
				t.Fatal(err)
			}
			if _, err := manifest.Write(make([]byte, folder.ManifestRoom)); err != nil {
				t.Error(err)
			}
			if err := errors.Join(manifest.Truncate(info.Size()), manifest.Close()); err != nil {
				t.Error(err)
			}
		})
	}
}
