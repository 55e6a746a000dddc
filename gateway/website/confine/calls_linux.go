package confine

import (
	"os"
	"slices"

	"github.com/elastic/go-seccomp-bpf"
	"golang.org/x/sys/unix"
)

// rule says which arguments a call on the list must have. The library's BitsSet means any of the
// bits, so we compare whole flags.
type rule = seccomp.NameWithConditions

func arg(n uint32, op seccomp.Operation, value uint64) seccomp.Condition {
	return seccomp.Condition{Argument: n, Operation: op, Value: value}
}

// exactly returns a rule for a call: argument n must have exactly this value.
func exactly(name string, n uint32, value uint64) rule {
	return rule{Name: name, Conditions: []seccomp.Condition{arg(n, seccomp.Equal, value)}}
}

// unexecutable returns a rule for calls that set the protection of memory: they may not make it
// executable.
func unexecutable(name string) rule {
	return rule{Name: name, Conditions: []seccomp.Condition{arg(2, seccomp.BitsNotSet, unix.PROT_EXEC)}}
}

const (
	prSetVMA = 0x53564d41 // PR_SET_VMA: the runtime names its memory
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
	"madvise", "munmap", "pread64", "getrandom", // the runtime reads its control group periodically
	"rt_sigreturn", "rt_sigprocmask", "rt_sigaction", "sigaltstack", "getpid", "gettid", "exit", "exit_group",
}

// commonRules returns the calls that must have certain arguments.
func commonRules() []rule {
	return []rule{unexecutable("mprotect"), exactly("prctl", 0, prSetVMA),
		exactly("tgkill", 0, uint64(os.Getpid())),
		exactly("fcntl", 1, unix.F_GETFL), exactly("fcntl", 1, unix.F_SETFL),
		exactly("fcntl", 1, unix.F_DUPFD_CLOEXEC)}
}

// deadly are calls that a bug of ours never makes: whoever makes one has taken over the process, so
// the kernel ends it.
var deadly = []string{"execve", "execveat", "ptrace", "process_vm_readv", "process_vm_writev", "socket",
	"connect", "bind", "mount", "bpf",
	"io_uring_setup", "unshare", "setns", "memfd_create"}

// list has the further calls of one architecture.
type list struct {
	names []string
	rules []rule
}

// lists has the supported architectures. On others there is no filter, and so no website.
var lists = map[string]list{
	"amd64": {nil, []rule{unexecutable("mmap"), exactly("clone", 0, goThread),
		exactly("clone", 0, goThread|unix.CLONE_SETTLS)}},
	"arm64": {nil, []rule{unexecutable("mmap"), exactly("clone", 0, goThread)}},
	// The 32-bit calls have newer versions for times beyond 2038 and for large files. Go uses both.
	"arm": {[]string{"futex_time64", "clock_gettime64"}, []rule{unexecutable("mmap2"),
		exactly("clone", 0, goThread),
		exactly("fcntl64", 1, unix.F_GETFL), exactly("fcntl64", 1, unix.F_SETFL),
		exactly("fcntl64", 1, unix.F_DUPFD_CLOEXEC)}},
}

// policy returns the filter of an architecture. The first rule that matches decides.
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
