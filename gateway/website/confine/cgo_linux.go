//go:build cgo

package confine

import "golang.org/x/sys/unix"

// A program that is linked with C, as test binaries are, has its threads made by the C library.
// Released ones are not.

// linkedC is what the C library needs besides.
var linkedC = []string{"set_robust_list", "rseq", "membarrier", "mremap"}

// missingC has to look missing, so that the C library takes the older call, whose flags a filter
// can see.
var missingC = []string{"clone3"}

// linkedWithC: what else the C library asks the kernel for, now and then, is not known, so nothing
// is strict.
const linkedWithC = true

// stacksOfC is what the C library reserves for the stacks of threads.
const stacksOfC = 64 * 8 << 20

const cThread = goThread | unix.CLONE_SETTLS | unix.CLONE_PARENT_SETTID | unix.CLONE_CHILD_CLEARTID

func rulesC() []rule { return []rule{exactly("clone", 0, cThread)} }
