package broker

import "syscall"

// dieWithUs makes the kernel end a process together with the thread that started it, so that no
// broker outlives a test that panicked or timed out.
func dieWithUs() *syscall.SysProcAttr { return &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL} }
