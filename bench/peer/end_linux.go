package peer

import (
	"os/exec"
	"syscall"
)

// endWithUs makes the kernel kill the peer when this process is killed, because this process cannot
// end it then.
func endWithUs(cmd *exec.Cmd) { cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL} }
