package cli_test

import (
	"bufio"
	"os"
	"os/exec"
	"strings"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"
)

// A gateway that is killed by a signal that normally dumps core must not leave a core file, since
// its memory holds keys.
func TestNoCoreDump(t *testing.T) {
	program, err := exec.LookPath("latchkey") // the program that the scripts run
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command("/bin/sh", "-c",
		`ulimit -c unlimited; exec "$0" serve --listen 127.0.0.1:0 --console off --clock rtc --data "$1"`,
		program, t.TempDir())
	cmd.Env = append(os.Environ(), "GOTRACEBACK=crash")
	out, err := cmd.StderrPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	for s := bufio.NewScanner(out); s.Scan(); {
		if strings.Contains(s.Text(), "msg=listening") {
			var limit unix.Rlimit
			if err := unix.Prlimit(cmd.Process.Pid, unix.RLIMIT_CORE, nil, &limit); err != nil ||
				limit.Cur != 0 || limit.Max != 0 {
				t.Errorf("got the limit %+v for core files, %v, want 0", limit, err)
			}
			if err := cmd.Process.Signal(syscall.SIGSEGV); err != nil {
				t.Error(err)
			}
		}
	}
	_ = cmd.Wait()
	if got := cmd.ProcessState.Sys().(syscall.WaitStatus); !got.Signaled() || got.CoreDump() {
		t.Errorf("got %v, want it ended by a signal, without a core file", cmd.ProcessState)
	}
}
