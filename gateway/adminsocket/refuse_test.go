package adminsocket

import (
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
	"time"
)

// askSocket is the environment variable that makes this test binary a process that connects to a
// socket. Its exit status says whether it got an answer.
const askSocket = "LATCHKEY_TEST_SOCKET"

func TestMain(m *testing.M) {
	if path := os.Getenv(askSocket); path != "" {
		os.Exit(askOnce(path))
	}
	os.Exit(m.Run())
}

// askOnce returns 0 if it can read a byte from the socket.
func askOnce(path string) int {
	c, err := net.Dial("unix", path)
	if err != nil {
		return 2
	}
	if n, _ := c.Read(make([]byte, 1)); n != 1 {
		return 1
	}
	return 0
}

// The socket closes the connections of the processes that the function refuses, and no others.
func TestSocketRefusesProcesses(t *testing.T) {
	path := filepath.Join(t.TempDir(), "admin.sock")
	l, err := net.Listen("unix", path)
	if err != nil {
		t.Fatal(err)
	}
	refused := make(chan int, 1)
	bounded := refusing{l, func(pid int) bool {
		select {
		case p := <-refused:
			refused <- p
			return p == pid
		case <-time.After(10 * time.Second):
			return true
		}
	}}
	t.Cleanup(func() { _ = l.Close() })
	go func() {
		for {
			c, err := bounded.Accept()
			if err != nil {
				return
			}
			_, _ = c.Write([]byte("x"))
			_ = c.Close()
		}
	}()
	for _, want := range []int{1, 0} {
		cmd := exec.Command("/proc/self/exe")
		cmd.Env = append(os.Environ(), askSocket+"="+path)
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		if want == 1 {
			refused <- cmd.Process.Pid
		}
		_ = cmd.Wait()
		if got := cmd.ProcessState.ExitCode(); got != want {
			t.Errorf("process %d: got %d, want %d", cmd.Process.Pid, got, want)
		}
	}
}
