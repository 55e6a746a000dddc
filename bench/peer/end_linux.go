package peer

import (
	"os/exec"
	"syscall"
)

// endWithUs has the kernel end the peer when this process is killed and cannot do it any more.
func endWithUs(cmd *exec.Cmd) { cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL} }
