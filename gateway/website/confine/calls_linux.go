package confine

import (
	"os"
	"slices"

	"github.com/elastic/go-seccomp-bpf"
	"golang.org/x/sys/unix"
)

// rule says which arguments a call on the list must have. BitsSet of the library means any of the
// bits, so flags are compared whole.
type rule = seccomp.NameWithConditions

func arg(n uint32, op seccomp.Operation, value uint64) seccomp.Condition {
	return seccomp.Condition{Argument: n, Operation: op, Value: value}
}

// exactly is a rule for a call one of whose arguments has exactly this value.
func exactly(name string, n uint32, value uint64) rule {
	return rule{Name: name, Conditions: []seccomp.Condition{arg(n, seccomp.Equal, value)}}
}

// unexecutable is a rule for calls that set the protection of memory: none that makes code of it.
func unexecutable(name string) rule {
	return rule{Name: name, Conditions: []seccomp.Condition{arg(2, seccomp.BitsNotSet, unix.PROT_EXEC)}}
}

const (
	prSetVMA = 0x53564d41 // PR_SET_VMA: names for memory, which the runtime gives
	// goThread are the flags with which Go's runtime makes a thread: CLONE_VM, FS, FILES, SIGHAND,
	// SYSVSEM and THREAD. amd64 adds SETTLS.
	goThread = unix.CLONE_VM | unix.CLONE_FS | unix.CLONE_FILES | unix.CLONE_SIGHAND | unix.CLONE_SYSVSEM | unix.CLONE_THREAD
)

// common are the calls that a Go program needs for connections that it is given, on every
// architecture.
var common = []string{
	"read", "write", "close", "recvmsg", "sendmsg", "shutdown", "getsockname", "getpeername", "getsockopt",
	"setsockopt",
	"epoll_pwait", "epoll_ctl", "futex", "nanosleep", "sched_yield", "sched_getaffinity", "restart_syscall",
	"clock_gettime",
	"madvise", "munmap", "pread64", "getrandom", // the runtime looks at its control group again and again
	"rt_sigreturn", "rt_sigprocmask", "rt_sigaction", "sigaltstack", "getpid", "gettid", "exit", "exit_group",
}

// commonRules are those that must have certain arguments.
func commonRules() []rule {
	return []rule{unexecutable("mprotect"), exactly("prctl", 0, prSetVMA),
		exactly("tgkill", 0, uint64(os.Getpid())),
		exactly("fcntl", 1, unix.F_GETFL), exactly("fcntl", 1, unix.F_SETFL),
		exactly("fcntl", 1, unix.F_DUPFD_CLOEXEC)}
}

// deadly are calls that no mistake of ours makes: whoever does has taken the process over, and it
// ends.
var deadly = []string{"execve", "execveat", "ptrace", "process_vm_readv", "process_vm_writev", "socket",
	"connect", "bind", "mount", "bpf",
	"io_uring_setup", "unshare", "setns", "memfd_create"}

// list is what an architecture needs besides, or instead.
type list struct {
	names []string
	rules []rule
}

// lists are the architectures on which this has a fence. On others there is none.
var lists = map[string]list{
	"amd64": {nil, []rule{unexecutable("mmap"), exactly("clone", 0, goThread),
		exactly("clone", 0, goThread|unix.CLONE_SETTLS)}},
	"arm64": {nil, []rule{unexecutable("mmap"), exactly("clone", 0, goThread)}},
	// The 32-bit calls have successors for times beyond 2038 and for large files; Go uses both.
	"arm": {[]string{"futex_time64", "clock_gettime64"}, []rule{unexecutable("mmap2"),
		exactly("clone", 0, goThread),
		exactly("fcntl64", 1, unix.F_GETFL), exactly("fcntl64", 1, unix.F_SETFL),
		exactly("fcntl64", 1, unix.F_DUPFD_CLOEXEC)}},
}

// policy is the filter of an architecture. What stands first decides.
func policy(arch string, strict bool) seccomp.Policy {
	own := lists[arch]
	allowed := seccomp.SyscallGroup{Names: slices.Concat(common, own.names, linkedC),
		NamesWithCondtions: slices.Concat(commonRules(), own.rules, rulesC()), Action: seccomp.ActionAllow}
	p := seccomp.Policy{DefaultAction: seccomp.ActionErrno,
		Syscalls: []seccomp.SyscallGroup{{Names: deadly, Action: seccomp.ActionKillProcess}, allowed}}
	if strict && !linkedWithC {
		p.DefaultAction = seccomp.ActionKillProcess
	}
	if len(missingC) > 0 {
		p.Syscalls = append(p.Syscalls, seccomp.SyscallGroup{Names: missingC,
			Action: seccomp.ActionErrno | seccomp.Action(unix.ENOSYS)})
	}
	return p
}
