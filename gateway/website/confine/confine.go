// Package confine takes from a process what it does not need, before it reads anything that a
// stranger sent or a key: opening files, making sockets, starting programs, reaching other
// processes. A seccomp allow-list is the fence; Landlock is a second one where the kernel has it.
// It does not bound what the process does with the descriptors that it has, nor how much of the
// processor it uses.
package confine

import (
	"errors"
	"fmt"
)

// ErrNoFence is why a process is not confined: the kernel, or this program's build for it, has no
// seccomp filters.
var ErrNoFence = errors.New("confine: no seccomp filter on this system")

// Bounds are what a confined process may have.
type Bounds struct {
	Files uint64 // open descriptors
	Data  uint64 // bytes of writable memory, RLIMIT_DATA; Go reserves 64 MiB at once, so less than 80 MiB is not enough. 0: not bounded
	// OOMScore goes to oom_score_adj: what a kernel that is short of memory ends first. 0: as the
	// parent's.
	OOMScore int
	// Strict ends the process at the first system call that is not on the list. Otherwise that
	// fails with EPERM, and only what no mistake of ours asks for ends it. It has no effect in a
	// program that is linked with C.
	Strict bool
}

// Protection is what a kernel has to confine a process with.
type Protection struct {
	Seccomp  bool `json:"seccomp"`
	Landlock int  `json:"landlock"` // version of its interface; 0: none
}

// Versions of Landlock's interface: from these on it holds back more than files.
const (
	landlockTCP   = 4 // TCP connections
	landlockScope = 6 // signals and abstract sockets
	landlockUnix  = 9 // unix sockets that have a path
)

// Lacks says in words what the kernel does not have; empty if it has all.
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
