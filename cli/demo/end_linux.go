package demo

import "syscall"

// endWithUs makes the kernel end a program together with the thread that started it, so that no
// broker outlives a demo that was killed. In a process group of its own, Ctrl-C reaches the demo
// alone, which then ends the broker last.
func endWithUs() *syscall.SysProcAttr {
	return &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL, Setpgid: true}
}
