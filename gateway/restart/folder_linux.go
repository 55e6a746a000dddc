package restart

import (
	"errors"
	"fmt"
	"os"
	"syscall"
)

const tmpfsMagic = 0x01021994 // statfs(2)

// checkMemory checks that an open folder is on a tmpfs and private.
func checkMemory(dir *os.File) error {
	var disk syscall.Statfs_t
	if err := syscall.Fstatfs(int(dir.Fd()), &disk); err != nil {
		return fmt.Errorf("statfs: %w", err)
	}
	if int64(disk.Type) != tmpfsMagic {
		return errors.New("it is not on a tmpfs, and the keys of sessions must not come onto a disk")
	}
	info, err := dir.Stat()
	if err != nil {
		return err
	}
	if s, ok := info.Sys().(*syscall.Stat_t); !ok || int(s.Uid) != os.Geteuid() || info.Mode().Perm() != 0o700 {
		return fmt.Errorf("mode %04o: want 0700, and this process's user as its owner", info.Mode().Perm())
	}
	return nil
}
