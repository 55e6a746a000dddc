package e2e

import (
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// The released program serves the website from a child process, on a socket that a service manager
// has handed over. The child has neither that socket nor the nodes' socket. When it dies, the
// gateway starts another one. When the gateway ends, even by a kill, the child ends too.
func TestWebsiteOfTheProgram(t *testing.T) {
	dir := t.TempDir()
	program := buildCommand(t, dir, "latchkey/cli/latchkey")
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	socket, err := l.(*net.TCPListener).File()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _, _ = l.Close(), socket.Close() })
	data := filepath.Join(dir, "data")
	cmd := exec.Command("sh", "-c", `LISTEN_PID=$$ LISTEN_FDS=1 exec "$0" "$@"`, program, "--data", data,
		"serve", "--listen", "127.0.0.1:0", "--clock", "rtc")
	var log syncBuffer
	cmd.Stdout, cmd.Stderr, cmd.ExtraFiles = &log, &log, []*os.File{socket}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	ended := make(chan error, 1)
	go func() { ended <- cmd.Wait() }()
	t.Cleanup(func() { _ = cmd.Process.Kill() })
	roots := x509.NewCertPool()
	eventually(t, "the CA's certificate is written", 20*time.Second, func() bool {
		pem, err := os.ReadFile(filepath.Join(data, "console-ca.pem"))
		return err == nil && roots.AppendCertsFromPEM(pem)
	})
	_, port, _ := net.SplitHostPort(l.Addr().String())
	look := func() error {
		c := http.Client{Timeout: 10 * time.Second, Transport: &http.Transport{ForceAttemptHTTP2: true,
			DisableKeepAlives: true, TLSClientConfig: &tls.Config{RootCAs: roots}}}
		resp, err := c.Get("https://localhost:" + port + "/setup")
		if err != nil {
			return err
		}
		defer func() { _ = resp.Body.Close() }()
		page, err := io.ReadAll(resp.Body)
		if err == nil && (resp.StatusCode != http.StatusOK || !strings.Contains(string(page), "<form")) {
			err = fmt.Errorf("%s %s", resp.Status, page)
		}
		return err
	}
	if err := look(); err != nil {
		t.Fatalf("%v\n%s", err, log.String())
	}
	child := childOf(t, cmd.Process.Pid)
	sockets := 0
	fds, err := os.ReadDir(fmt.Sprintf("/proc/%d/fd", child))
	for _, fd := range fds {
		if to, _ := os.Readlink(fmt.Sprintf("/proc/%d/fd/%s", child, fd.Name())); strings.HasPrefix(to,
			"socket:") {
			sockets++
		}
	}
	// Its own sockets are the two to its parent, and perhaps the connection of the last page.
	if os.Getuid() == 0 && (err != nil || sockets > 3) {
		t.Errorf("the child has %d sockets, %v, want at most 3", sockets, err)
	}
	if status := statusLine(t, child, "Seccomp"); status != "2" {
		t.Errorf("Seccomp of the child: got %s, want 2, a filter", status)
	}
	out, err := exec.Command(program, "--data", data, "doctor").CombinedOutput()
	if err != nil || !strings.Contains(string(out), "website: confined by seccomp") {
		t.Errorf("doctor: %v\n%s", err, out)
	}
	if err := unix.Kill(child, unix.SIGKILL); err != nil {
		t.Fatal(err)
	}
	eventually(t, "another child serves", 20*time.Second, func() bool { return look() == nil })
	child = childOf(t, cmd.Process.Pid)
	if err := cmd.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	<-ended
	eventually(t, "the child has ended too", 20*time.Second,
		func() bool { return unix.Kill(child, 0) != nil })
}

// childOf returns the process ID of a gateway's website, and fails the test if there is none.
func childOf(t *testing.T, parent int) int {
	t.Helper()
	pid := findChild(parent)
	if pid == 0 {
		t.Fatal("the website has no process")
	}
	return pid
}

// findChild returns the process ID of a gateway's website, or 0 if there is none.
func findChild(parent int) int {
	tasks, _ := os.ReadDir(fmt.Sprintf("/proc/%d/task", parent))
	for _, task := range tasks {
		b, _ := os.ReadFile(fmt.Sprintf("/proc/%d/task/%s/children", parent, task.Name()))
		for _, f := range strings.Fields(string(b)) {
			line, _ := os.ReadFile("/proc/" + f + "/cmdline")
			if strings.Contains(string(line), "website-child") {
				pid, _ := strconv.Atoi(f)
				return pid
			}
		}
	}
	return 0
}

// statusLine returns the value of a line of /proc/PID/status.
func statusLine(t *testing.T, pid int, name string) string {
	t.Helper()
	b, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", pid))
	if err != nil {
		t.Fatal(err)
	}
	for line := range strings.Lines(string(b)) {
		if text, ok := strings.CutPrefix(line, name+":"); ok {
			return strings.TrimSpace(text)
		}
	}
	return ""
}
