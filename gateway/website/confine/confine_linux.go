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

// Look says what this kernel has. It changes nothing.
func Look() Protection {
	_, listed := lists[runtime.GOARCH]
	p := Protection{Seccomp: listed && seccomp.Supported()}
	if abi, err := llsys.LandlockGetABIVersion(); err == nil {
		p.Landlock = abi
	}
	return p
}

// Apply confines this process with all of its threads, for ever. Without seccomp it returns
// [ErrNoFence] and the process must not go on; what else the kernel lacks is not an error. Time
// zones and whatever else lies in files must have been read before.
func Apply(b Bounds) (Protection, error) {
	p := Look()
	if !p.Seccomp {
		return p, ErrNoFence
	}
	if b.OOMScore != 0 { // before the process is not dumpable any more: its files in /proc are root's then
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
	// The filter is loaded by this thread for all of them; that it gains no privileges is asked of
	// this one.
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	// Landlock takes effect in all threads. Best effort: an older kernel holds back less, and one
	// without it nothing.
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

// failTSync makes it an error that a thread does not take the filter; without it the kernel returns
// the thread's id, which the library takes for success.
const failTSync = unix.SECCOMP_FILTER_FLAG_TSYNC_ESRCH

func loadFilter(strict bool, flags seccomp.FilterFlag) error {
	return seccomp.LoadFilter(seccomp.Filter{NoNewPrivs: true, Flag: flags, Policy: policy(runtime.GOARCH,
		strict)})
}
