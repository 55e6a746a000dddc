package confine

import (
	"errors"
	"fmt"
	"os"
	"runtime"
	"strconv"

	"github.com/elastic/go-seccomp-bpf"
	"github.com/landlock-lsm/go-landlock/landlock"
	llsys "github.com/landlock-lsm/go-landlock/landlock/syscall"
	"golang.org/x/sys/unix"
)

// Look returns what this kernel has. It changes nothing.
func Look() Protection {
	_, listed := lists[runtime.GOARCH]
	p := Protection{Seccomp: listed && seccomp.Supported()}
	if abi, err := llsys.LandlockGetABIVersion(); err == nil {
		p.Landlock = abi
	}
	return p
}

// Apply confines this process with all its threads, for ever. Without seccomp it returns
// [ErrNoFence] and the process must end; other protection that the kernel lacks is not an error.
// Read time zones and all other files before.
func Apply(b Bounds) (Protection, error) {
	p := Look()
	if !p.Seccomp {
		return p, ErrNoFence
	}
	if b.OOMScore != 0 { // before the process becomes undumpable: then root owns its files in /proc
		if err := os.WriteFile("/proc/self/oom_score_adj", []byte(strconv.Itoa(b.OOMScore)), 0); err != nil {
			return p, fmt.Errorf("confine: %w", err)
		}
	}
	if err := unix.Prctl(unix.PR_SET_DUMPABLE, 0, 0, 0, 0); err != nil {
		return p, fmt.Errorf("confine: core dumps: %w", err)
	}
	if b.Data != 0 && linkedWithC {
		b.Data += stacksOfC
	}
	for _, l := range []struct {
		what  int
		bound uint64
		name  string
	}{{unix.RLIMIT_CORE, 0, "core"}, {unix.RLIMIT_NOFILE, b.Files, "files"}, {unix.RLIMIT_DATA, b.Data,
		"data"}} {
		if l.bound == 0 && l.what != unix.RLIMIT_CORE || withRace && l.what == unix.RLIMIT_DATA {
			continue
		}
		if err := unix.Setrlimit(l.what, &unix.Rlimit{Cur: l.bound, Max: l.bound}); err != nil {
			return p, fmt.Errorf("confine: bound of %s: %w", l.name, err)
		}
	}
	// This thread loads the filter for all threads. For that it must set no_new_privs itself.
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	// Landlock takes effect in all threads. BestEffort: an older kernel restricts less, and one
	// without Landlock nothing.
	if err := landlock.V11.BestEffort().Restrict(); err != nil {
		return p, fmt.Errorf("confine: Landlock: %w", err)
	}
	err := loadFilter(b.Strict, seccomp.FilterFlagTSync|failTSync)
	if errors.Is(err, unix.EINVAL) { // before Linux 5.7
		err = loadFilter(b.Strict, seccomp.FilterFlagTSync)
	}
	if err != nil {
		return p, fmt.Errorf("confine: seccomp: %w", err)
	}
	return p, nil
}

// failTSync makes the kernel return an error if a thread cannot take the filter. Without it the
// kernel returns the thread's id, which the library takes for success.
const failTSync = unix.SECCOMP_FILTER_FLAG_TSYNC_ESRCH

func loadFilter(strict bool, flags seccomp.FilterFlag) error {
	return seccomp.LoadFilter(seccomp.Filter{NoNewPrivs: true, Flag: flags, Policy: policy(runtime.GOARCH,
		strict)})
}
