package peer

import (
	"os/exec"
	"syscall"
)

// endWithUs makes the kernel end the peer when this process is killed and can no longer do so
// itself.
func endWithUs(cmd *exec.Cmd) { cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL} }
