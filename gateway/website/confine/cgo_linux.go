//go:build cgo

package confine

import "golang.org/x/sys/unix"

// In a program that is linked with C, as test binaries are, the C library makes the threads.
// Released programs are not linked with C.

// linkedC are the further calls that the C library makes.
var linkedC = []string{"set_robust_list", "rseq", "membarrier", "mremap"}

// missingC are calls that must seem to be missing. Then the C library uses an older call, whose
// flags a filter can see.
var missingC = []string{"clone3"}

// linkedWithC turns off Bounds.Strict, because we do not know all calls that the C library
// sometimes makes.
const linkedWithC = true

// stacksOfC is how much memory the C library reserves for the stacks of threads.
const stacksOfC = 64 * 8 << 20

const cThread = goThread | unix.CLONE_SETTLS | unix.CLONE_PARENT_SETTID | unix.CLONE_CHILD_CLEARTID

func rulesC() []rule { return []rule{exactly("clone", 0, cThread)} }
