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

// prey is what an attacker wants: a folder with a key and a socket, which is this process's own,
// and ports that listen.
func prey(t *testing.T) (dir string, reached func() bool) {
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
	// A descriptor that a careless service manager left to us.
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

// Whoever has taken the website over gets none of what an attacker would want: it is refused, or
// the child ends.
func TestHostileChild(t *testing.T) {
	dir, reached := prey(t)
	bounded := []string{"take all memory", "flood the log"} // may be done, at the child's cost
	for _, what := range slices.Sorted(maps.Keys(attacks)) {
		t.Run(what, func(t *testing.T) {
			s := newSite(t, "hostile", func(c *website.Config) { c.Ping = 50 * time.Millisecond })
			s.want(s.visitor(), "/hello", "127")
			q := url.Values{"what": {what}, "dir": {dir}, "parent": {strconv.Itoa(os.Getpid())}}
			got, err := s.get(s.visitor(), "/attack?"+q.Encode())
			if got == "no such attack" || got == "done" && !slices.Contains(bounded, what) {
				t.Errorf("got %q\n%s", got, s.log)
			}
			if err != nil { // it ended, and why is logged
				got = "ended"
				s.eventually("its end is logged", func() bool {
					return strings.Contains(s.log.String(),
						"website ended")
				})
			}
			if reached() {
				t.Error("somebody was reached")
			}
			s.eventually("there is a website",
				func() bool { _, err := s.get(s.visitor(), "/hello"); return err == nil })
			s.stop()
			if n := strings.Count(s.log.String(), "\n"); n > 250 || strings.ContainsAny(s.log.String(),
				"\x1b\x07") {
				t.Errorf("%d lines of log, or control characters", n)
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

// It asks the API only for connections that are open now, and for nothing else over the pair.
func TestRequestsOfNobody(t *testing.T) {
	s := newSite(t, "hostile", nil)
	s.want(s.visitor(), "/hello", "127")
	for _, id := range []string{"", "0", "999", "x"} {
		got, err := s.get(s.visitor(), "/forge?id="+id)
		if err != nil || got != strconv.Itoa(http.StatusMisdirectedRequest) {
			t.Errorf("connection %q: got %q, %v, want 421", id, got, err)
		}
	}
	if n := s.api.Load(); n > 0 {
		t.Errorf("%d requests of nobody came to the API", n)
	}
}

// The child and what comes from it are known, whoever else runs is not theirs.
func TestWhoseProcess(t *testing.T) {
	s := newSite(t, "site", nil)
	s.want(s.visitor(), "/hello", "127")
	other := exec.Command("sleep", "60")
	if err := other.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = other.Process.Kill(); _ = other.Wait() })
	child := s.child()
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
		t.Error("a process of before")
	}
}

// asNobody names the environment variable of a process that runs these tests as somebody without
// rights.
const asNobody = "LATCHKEY_TEST_NOBODY"

// The same where neither the gateway nor its website is root: the files are their own then.
func TestHostileChildOfNobody(t *testing.T) {
	if os.Getenv(asNobody) != "" || os.Getuid() != 0 {
		return // that is how it runs anyway
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
