package website_test

import (
	"bytes"
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"syscall"
	"time"
	"unsafe"

	"golang.org/x/sys/unix"
)

// leaked is the number of a descriptor that the parent has inherited.
const leaked = 50

// attacks are the attacks that the child makes when a test asks for them. Each returns nil if it
// succeeds. dir has a site.key and an admin.sock.
var attacks = map[string]func(dir string, parent int) error{
	"read site.key": func(dir string, _ int) error {
		return read(filepath.Join(dir, "site.key"))
	},
	"read site.key by the parent": func(_ string, parent int) error {
		return read(proc(parent, "cwd/site.key"))
	},
	"list a folder": func(dir string, _ int) error { _, err := os.ReadDir(dir); return err },
	"write a file": func(dir string, _ int) error {
		return os.WriteFile(filepath.Join(dir, "new"), nil, 0o600)
	},
	"open admin.sock": func(dir string, _ int) error {
		return connect("unix", filepath.Join(dir, "admin.sock"))
	},
	"open admin.sock by the parent": func(_ string, parent int) error {
		return connect("unix", proc(parent, "cwd/admin.sock"))
	},
	"open an abstract socket": func(dir string, _ int) error { return connect("unix", "@"+dir) },
	"trace the parent": func(_ string, parent int) error {
		return call(unix.SYS_PTRACE, unix.PTRACE_ATTACH, uintptr(parent))
	},
	"read the parent's memory": func(_ string, parent int) error { return readMemory(parent) },
	"open the parent's memory": func(_ string, parent int) error { return read(proc(parent, "mem")) },
	"list the parent's descriptors": func(_ string, parent int) error {
		_, err := os.ReadDir(proc(parent, "fd"))
		return err
	},
	"kill the parent": func(_ string, parent int) error {
		return call(unix.SYS_KILL, uintptr(parent), 0)
	},
	"kill a thread of the parent": func(_ string, parent int) error {
		return call(unix.SYS_TGKILL, uintptr(parent), uintptr(parent), 0)
	},
	"kill everybody": func(string, int) error { return call(unix.SYS_KILL, ^uintptr(0), 0) },
	"connect by TCP": func(dir string, _ int) error { return connect("tcp", readAddress(dir)) },
	"send by UDP":    func(dir string, _ int) error { return connect("udp", readAddress(dir)) },
	"ask the kernel by netlink": func(string, int) error {
		return call(unix.SYS_SOCKET, unix.AF_NETLINK, unix.SOCK_RAW, 0)
	},
	"make a raw socket": func(string, int) error {
		return call(unix.SYS_SOCKET, unix.AF_INET, unix.SOCK_RAW, unix.IPPROTO_ICMP)
	},
	"listen": func(string, int) error {
		l, err := net.Listen("tcp", "127.0.0.1:0")
		return errors.Join(err, closeIf(l))
	},
	"listen on a descriptor that it has": func(string, int) error { return call(unix.SYS_LISTEN, 3, 1) },
	"start a program": func(string, int) error {
		return syscall.Exec("/bin/true", []string{"true"}, nil)
	},
	"fork":                  func(string, int) error { return forkProcess() },
	"make a file in memory": func(string, int) error { _, err := unix.MemfdCreate("x", 0); return err },
	"map memory to run":     func(string, int) error { return mapCode() },
	"make memory run":       func(string, int) error { return protectCode() },
	"raise its bounds": func(string, int) error {
		return unix.Setrlimit(unix.RLIMIT_DATA, &unix.Rlimit{Cur: 1 << 40, Max: 1 << 40})
	},
	"load a program into the kernel": func(string, int) error { return call(unix.SYS_BPF) },
	"make an io_uring": func(string,
		int) error {
		return call(unix.SYS_IO_URING_SETUP, 8)
	},
	"leave its namespaces": func(string, int) error { return unix.Unshare(unix.CLONE_NEWUSER) },
	"mount": func(string, int) error {
		return unix.Mount("none", "/mnt", "tmpfs", 0, "")
	},
	"be dumpable": func(string, int) error {
		return unix.Prctl(unix.PR_SET_DUMPABLE, 1, 0, 0, 0)
	},
	"become another user": func(string, int) error { return call(unix.SYS_SETUID, 0) },
	"use a leaked descriptor": func(string, int) error {
		return call(unix.SYS_FCNTL, leaked, unix.F_GETFL)
	},
	"make a seccomp call": func(string, int) error { return call(unix.SYS_SECCOMP, 0, 0, 0) },
}

// These attacks end by themselves, or the child ends.
func init() {
	attacks["take all memory"] = func(string, int) error {
		var all [][]byte
		for range 64 { // 1 GB
			b := make([]byte, 16<<20)
			for i := 0; i < len(b); i += 4096 {
				b[i] = 1
			}
			all = append(all, b)
		}
		runtime.KeepAlive(all)
		return nil
	}
	attacks["flood the log"] = func(string, int) error {
		long := strings.Repeat("\x1b[31mall is well\x07 ", 100) + "\n"
		for end := time.Now().Add(time.Second); time.Now().Before(end); {
			_, _ = os.Stderr.WriteString(long)
		}
		return nil
	}
	attacks["flood the parent"] = func(string, int) error {
		for fd := controlSocket(); ; {
			if _, err := unix.Write(fd, []byte(`{"kind":"done","id":1}`)); err != nil &&
				!errors.Is(err, unix.EAGAIN) {
				return err
			}
		}
	}
	attacks["speak nonsense"] = func(string, int) error {
		_, err := unix.Write(controlSocket(), bytes.Repeat([]byte("{"), 1000))
		<-time.After(10 * time.Second)
		return err
	}
	attacks["speak at length"] = func(string, int) error {
		_, err := unix.Write(controlSocket(), bytes.Repeat([]byte(" "), 60<<10))
		<-time.After(10 * time.Second)
		return err
	}
	attacks["answer what was not asked"] = func(string, int) error {
		_, err := unix.Write(controlSocket(), []byte(`{"kind":"pong","id":1000000}`))
		<-time.After(10 * time.Second)
		return err
	}
}

func readAddress(dir string) string {
	b, _ := os.ReadFile(filepath.Join(dir, "addr"))
	if len(b) == 0 {
		return "127.0.0.1:9"
	}
	return string(b)
}

func closeIf(l net.Listener) error {
	if l == nil {
		return nil
	}
	return l.Close()
}

func readMemory(parent int) error {
	var b [8]byte
	local := []unix.Iovec{{Base: &b[0], Len: 8}}
	_, err := unix.ProcessVMReadv(parent, local, []unix.RemoteIovec{{Base: uintptr(unsafe.Pointer(&b)),
		Len: 8}}, 0)
	return err
}

func forkProcess() error {
	pid, _, errno := syscall.RawSyscall6(unix.SYS_CLONE, uintptr(unix.SIGCHLD), 0, 0, 0, 0, 0)
	if errno != 0 {
		return errno
	}
	if pid == 0 {
		for {
			_, _, _ = syscall.RawSyscall(unix.SYS_EXIT_GROUP, 0, 0, 0)
		}
	}
	return nil
}

func mapCode() error {
	_, err := unix.Mmap(-1, 0, 4096, unix.PROT_READ|unix.PROT_EXEC, unix.MAP_ANON|unix.MAP_PRIVATE)
	return err
}

func protectCode() error {
	b, err := unix.Mmap(-1, 0, 4096, unix.PROT_READ|unix.PROT_WRITE, unix.MAP_ANON|unix.MAP_PRIVATE)
	if err != nil {
		return fmt.Errorf("unexpected: %w", err)
	}
	return unix.Mprotect(b, unix.PROT_READ|unix.PROT_EXEC)
}

// controlSocket finds the control socket among the descriptors.
func controlSocket() int {
	for fd := 3; fd < 100; fd++ {
		if kind, err := unix.GetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_TYPE); err == nil &&
			kind == unix.SOCK_SEQPACKET {
			return fd
		}
	}
	return -1
}
