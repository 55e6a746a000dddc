package connection

import (
	"fmt"

	"golang.org/x/sys/unix"
)

// ForbidDumps keeps keys out of core files, and other processes of the same user from reading this
// one's memory.
func ForbidDumps() error {
	if err := unix.Prctl(unix.PR_SET_DUMPABLE, 0, 0, 0, 0); err != nil {
		return fmt.Errorf("core dumps cannot be forbidden: %w", err)
	}
	// A core that is piped to a program does not ask for the limit, and one that is written does
	// not ask for the flag of a later kernel.
	if err := unix.Setrlimit(unix.RLIMIT_CORE, &unix.Rlimit{}); err != nil {
		return fmt.Errorf("core dumps cannot be forbidden: %w", err)
	}
	return nil
}
