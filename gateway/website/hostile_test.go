package website_test

import (
	"maps"
	"net"
	"net/http"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"latchkey/gateway/website"
)

// makePrey makes what an attacker wants: the working directory of this process with a key and a
// socket, and ports that listen. reached tells whether somebody connected to them.
func makePrey(t *testing.T) (dir string, reached func() bool) {
	t.Helper()
	dir = t.TempDir()
	t.Chdir(dir)
	if err := os.WriteFile("site.key", []byte("secret"), 0o600); err != nil {
		t.Fatal(err)
	}
	u, err := net.Listen("unix", filepath.Join(dir, "admin.sock"))
	if err != nil {
		t.Fatal(err)
	}
	a, err := net.Listen("unix", "@"+dir)
	if err != nil {
		t.Fatal(err)
	}
	tcp, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	udp, err := net.ListenPacket("udp", tcp.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile("addr", []byte(tcp.Addr().String()), 0o600); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _, _, _, _ = u.Close(), a.Close(), tcp.Close(), udp.Close() })
	// A descriptor that a careless service manager left open.
	if err := unix.Dup3(int(open(t, "site.key").Fd()), leaked, 0); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = unix.Close(leaked) })
	if err := website.GuardDescriptors(); err != nil {
		t.Fatal(err)
	}
	return dir, func() bool {
		for _, l := range []net.Listener{u, a, tcp} {
			_ = l.(interface{ SetDeadline(time.Time) error }).SetDeadline(time.Now())
			if c, err := l.Accept(); err == nil {
				_ = c.Close()
				return true
			}
		}
		_ = udp.SetDeadline(time.Now())
		n, _, _ := udp.ReadFrom(make([]byte, 1))
		return n > 0
	}
}

func open(t *testing.T, path string) *os.File {
	t.Helper()
	f, err := os.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = f.Close() })
	return f
}

// Somebody who has taken over the website succeeds with no attack: it is refused, or the child
// ends.
func TestHostileChild(t *testing.T) {
	dir, reached := makePrey(t)
	bounded := []string{"take all memory", "flood the log"} // these may succeed, as they harm only the child
	for _, what := range slices.Sorted(maps.Keys(attacks)) {
		t.Run(what, func(t *testing.T) {
			s := newSite(t, "hostile", func(c *website.Config) { c.Ping = 50 * time.Millisecond })
			s.want(s.newVisitor(), "/hello", "127")
			q := url.Values{"what": {what}, "dir": {dir}, "parent": {strconv.Itoa(os.Getpid())}}
			got, err := s.get(s.newVisitor(), "/attack?"+q.Encode())
			if got == "no such attack" || got == "done" && !slices.Contains(bounded, what) {
				t.Errorf("got %q\n%s", got, s.log)
			}
			if err != nil { // the child ended, and the log must say why
				got = "ended"
				s.eventually("its end is logged", func() bool {
					return strings.Contains(s.log.String(), "website ended")
				})
			}
			if reached() {
				t.Error("the child reached a socket or a port")
			}
			s.eventually("there is a website",
				func() bool { _, err := s.get(s.newVisitor(), "/hello"); return err == nil })
			s.stop()
			if n := strings.Count(s.log.String(), "\n"); n > 250 || strings.ContainsAny(s.log.String(),
				"\x1b\x07") {
				t.Errorf("got %d lines of log, or control characters in it", n)
			}
			t.Logf("%s: %s", what, got)
			for line := range strings.Lines(s.log.String()) {
				if _, why, ok := strings.Cut(line, `msg="website ended" `); ok {
					t.Log(why)
				}
			}
		})
	}
}

// The child can call the API only on behalf of connections that are open now.
func TestRequestsOfNobody(t *testing.T) {
	s := newSite(t, "hostile", nil)
	s.want(s.newVisitor(), "/hello", "127")
	for _, id := range []string{"", "0", "999", "x"} {
		got, err := s.get(s.newVisitor(), "/forge?id="+id)
		if err != nil || got != strconv.Itoa(http.StatusMisdirectedRequest) {
			t.Errorf("connection %q: got %q, %v, want 421", id, got, err)
		}
	}
	if n := s.api.Load(); n > 0 {
		t.Errorf("%d requests without a connection reached the API", n)
	}
}

// Owns knows the child and its descendants, and no other process.
func TestWhoseProcess(t *testing.T) {
	s := newSite(t, "site", nil)
	s.want(s.newVisitor(), "/hello", "127")
	other := exec.Command("sleep", "60")
	if err := other.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = other.Process.Kill(); _ = other.Wait() })
	child := s.findChild()
	for pid, want := range map[int]bool{child: true, os.Getpid(): false, other.Process.Pid: false, 1: false,
		0: false} {
		if got := s.server.Owns(pid); got != want {
			t.Errorf("process %d: got %v, want %v", pid, got, want)
		}
	}
	if score, err := os.ReadFile(proc(child, "oom_score_adj")); err != nil ||
		strings.TrimSpace(string(score)) != "900" {
		t.Errorf("oom_score_adj: got %q, %v", score, err)
	}
	if env, err := os.ReadFile(proc(child, "environ")); os.IsPermission(err) != (os.Getuid() != 0) ||
		strings.Contains(string(env), "PATH=") || strings.Contains(string(env), "HOME=") {
		t.Errorf("the child's environment: got %q, %v", env, err)
	}
	s.stop()
	if s.server.Owns(child) {
		t.Error("an ended child still counts as the website's")
	}
}

// asNobody is the environment variable that makes this test binary run these tests as a user
// without rights.
const asNobody = "LATCHKEY_TEST_NOBODY"

// The same for a gateway and a website that do not run as root, but own their files.
func TestHostileChildOfNobody(t *testing.T) {
	if os.Getenv(asNobody) != "" || os.Getuid() != 0 {
		return // this process does not run as root anyway
	}
	dir, err := os.MkdirTemp("/tmp", "latchkey-nobody-")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	if err := os.Chown(dir, 65534, 65534); err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command("/proc/self/exe",
		"-test.run=^(TestHostileChild|TestPagesComeFromTheChild|TestWhoseProcess)$", "-test.v")
	cmd.Dir, cmd.Env = "/", append(os.Environ(), asNobody+"=1", "TMPDIR="+dir)
	cmd.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: 65534, Gid: 65534}}
	out, err := cmd.CombinedOutput()
	if err != nil || strings.Count(string(out), "--- PASS: TestHostileChild/") != len(attacks) {
		t.Errorf("%v\n%s", err, out)
	}
}
