// Package confine confines a process before it reads a key or input of strangers. After that the
// process cannot open files, make sockets, start programs or reach other processes. A seccomp
// allow-list is the fence; Landlock is a second one if the kernel has it. The package does not
// limit what the process does with its open descriptors, nor how much CPU it uses.
package confine

import (
	"errors"
	"fmt"
)

// ErrNoFence means that a process cannot be confined: there are no seccomp filters in the kernel,
// or none for this architecture in this program.
var ErrNoFence = errors.New("confine: no seccomp filter on this system")

// Bounds limits what a confined process may use.
type Bounds struct {
	Files uint64 // open descriptors
	Data  uint64 // bytes of writable memory, RLIMIT_DATA; Go reserves 64 MiB at once, so less than 80 MiB is not enough. 0: not bounded
	// OOMScore is written to oom_score_adj: when memory is short the kernel ends the process with
	// the highest score first. 0: the same as the parent's.
	OOMScore int
	// Strict ends the process at the first system call that is not on the list. Otherwise such a
	// call fails with EPERM, and only calls that a bug of ours never makes end the process. Strict
	// has no effect in a program that is linked with C.
	Strict bool
}

// Protection says what this kernel offers to confine a process.
type Protection struct {
	Seccomp  bool `json:"seccomp"`
	Landlock int  `json:"landlock"` // version of its interface; 0: none
}

// Versions of Landlock's interface that restrict more than files.
const (
	landlockTCP   = 4 // TCP connections
	landlockScope = 6 // signals and abstract sockets
	landlockUnix  = 9 // unix sockets that have a path
)

// Lacks says in words what the kernel lacks. It is empty if nothing is missing.
func (p Protection) Lacks() string {
	switch {
	case !p.Seccomp:
		return "seccomp filters (CONFIG_SECCOMP_FILTER)"
	case p.Landlock == 0:
		return "Landlock (CONFIG_SECURITY_LANDLOCK, and landlock in its list of security modules)"
	case p.Landlock < landlockUnix:
		holds := "files only"
		if p.Landlock >= landlockScope {
			holds = "no unix sockets with a path"
		} else if p.Landlock >= landlockTCP {
			holds = "files and TCP only"
		}
		return fmt.Sprintf("a newer Landlock: version %d holds back %s", p.Landlock, holds)
	}
	return ""
}
