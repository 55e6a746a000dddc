// Package faultdisk makes a small disk that a test can fill. Only tests import it.
package faultdisk

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"testing"

	"golang.org/x/sys/unix"
)

// Mount mounts a file system of mib MiB for a test: "tmpfs", or "ext4" in a file.
func Mount(t testing.TB, kind string, mib int) string {
	t.Helper()
	if os.Geteuid() != 0 {
		t.Skip("only root may mount")
	}
	dir := t.TempDir()
	mnt := filepath.Join(dir, "mnt")
	args := []string{"-t", "tmpfs", "-o", fmt.Sprintf("size=%dm", mib), "tmpfs", mnt}
	if kind == "ext4" {
		image := filepath.Join(dir, "image")
		if err := errors.Join(os.WriteFile(image, nil, 0o600),
			os.Truncate(image, int64(mib)<<20)); err != nil {
			t.Fatal(err)
		}
		if out, err := exec.Command("/sbin/mkfs.ext4", "-q", "-F", image).CombinedOutput(); err != nil {
			t.Fatalf("mkfs.ext4: %v: %s", err, out)
		}
		args = []string{"-o", "loop", image, mnt}
	}
	if err := os.Mkdir(mnt, 0o700); err != nil {
		t.Fatal(err)
	}
	if out, err := exec.Command("mount", args...).CombinedOutput(); err != nil {
		t.Fatalf("mount: %v: %s", err, out)
	}
	t.Cleanup(func() {
		if out, err := exec.Command("umount", mnt).CombinedOutput(); err != nil {
			t.Errorf("umount: %v: %s", err, out)
		}
	})
	return mnt
}

// CutPower does to a disk of the kind "ext4" what a power cut does: nothing reaches it any more, not
// even the journal, and what was not synced is lost. Each system call that needs the disk fails.
func CutPower(mnt string) error {
	f, err := os.Open(mnt)
	if err != nil {
		return err
	}
	const (
		shutdown   = 0x8004587d // EXT4_IOC_SHUTDOWN, _IOR('X', 125, __u32)
		noLogFlush = 2          // EXT4_GOING_FLAGS_NOLOGFLUSH
	)
	return errors.Join(unix.IoctlSetPointerInt(int(f.Fd()), shutdown, noLogFlush), f.Close())
}

// Remount brings a disk of the kind "ext4" back as the start of a machine does. Nothing may use it.
func Remount(t testing.TB, mnt string) {
	t.Helper()
	for _, args := range [][]string{{"umount", mnt}, {"mount", "-o", "loop",
		filepath.Join(filepath.Dir(mnt), "image"), mnt}} {
		if out, err := exec.Command(args[0], args[1:]...).CombinedOutput(); err != nil {
			t.Fatalf("%v: %v: %s", args, err, out)
		}
	}
}

// Fill takes every free block of a disk at once. empty frees them.
func Fill(t testing.TB, mnt string) (empty func()) {
	t.Helper()
	path := filepath.Join(mnt, "filler")
	f, err := os.Create(path)
	if err != nil {
		t.Fatal(err)
	}
	var st unix.Statfs_t
	if err := unix.Statfs(mnt, &st); err != nil {
		t.Fatal(err)
	}
	at := int64(0)
	for step := int64(st.Bavail) * st.Bsize; step >= 4096; {
		switch err := unix.Fallocate(int(f.Fd()), 0, at, step); {
		case err == nil:
			at += step
		case errors.Is(err, unix.EINTR):
		case errors.Is(err, unix.ENOSPC):
			step /= 2
		default:
			t.Fatal(err)
		}
	}
	return func() {
		if err := errors.Join(f.Close(), os.Remove(path)); err != nil {
			t.Error(err)
		}
	}
}
