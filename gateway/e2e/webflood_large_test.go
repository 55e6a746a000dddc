//go:build large || long

package e2e

import (
	"bytes"
	"context"
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/cookiejar"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"latchkey/coapres/wire"
	"latchkey/gateway/access"
	"latchkey/gateway/access/accounts"
	"latchkey/gateway/admin/api"
	"latchkey/gateway/admin/client"
	"latchkey/gateway/store"
	"latchkey/keys"
)

// What a flood of the website may cost the gateway.
const (
	webMemory = 256 << 20              // the memory limit of the gateway's control group, in bytes
	webChild  = 64 << 20               // and of the website process's
	webGrowth = 64 << 20               // bytes of resident memory, over all floods
	webTap    = 200 * time.Millisecond // a tap, at the 99th percentile
	webPage   = 2 * time.Second        // a page for an owner at an address that does not flood
)

// webFlood is one flood, in the terms of bench/webflood.
type webFlood struct {
	kind           string
	conns, streams int
	from           string
	token          bool // with the viewer's token
}

const attacker = "127.0.0.1"

var shortFloods = []webFlood{
	{"posts", 250, 240, attacker, false},
	{"events", 250, 32, attacker, true},
	{"idle", 256, 1, attacker, false},
	{"headers", 256, 1, attacker, false},
	{"bodies", 256, 1, attacker, false},
	{"large", 256, 1, attacker, false},
	{"resets", 256, 1, attacker, false},
}

// Seven floods, one after the other. The gateway stays within 256 MB, doors open, and an owner can
// use the website.
func TestLargeWebFloods(t *testing.T) { floodWebsite(t, shortFloods, 5*time.Second) }

// website is a site whose gateway runs in a control group of its own, on the first CPU. It has an
// owner's account, and a viewer's with a token.
type website struct {
	*site
	pid     int
	at      string // the website's address
	group   string // path of the control group
	child   string // path of the control group for the website's process
	roots   *x509.CertPool
	token   string // path of a file with the viewer's token
	program string // path of the flood program
	cpus    []int
	doors   []*entrance
}

const webPassword = "correct horse battery"

func newWebsite(t *testing.T) *website {
	t.Helper()
	bin := t.TempDir()
	w := &website{site: newSite(t, store.Options{}), token: filepath.Join(bin, "token"), cpus: splitCPUs(t),
		group: memoryGroup(t, "gateway", webMemory), child: memoryGroup(t, "website", webChild)}
	program := buildCommand(t, bin, "latchkey/cli/latchkey")
	w.program = buildCommand(t, bin, "latchkey/bench/webflood")
	for i := range 2 { // two, because the test taps ten times a second and a reader may not
		e := &entrance{name: fmt.Sprintf("door-%d", i), uid: []byte{4, 3, 2, byte(i)}}
		id := w.addTarget(e.name, access.Door, time.Second)
		w.addPerson(e.name+"-person", e.uid, id)
		w.doors = append(w.doors, e)
	}
	w.addAccounts()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	w.at = l.Addr().String()
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
	t.Setenv("LATCHKEY_CONSOLE", w.at)
	type pair struct{ reader, lock func() }
	var connect []pair
	for _, e := range w.doors {
		id, _ := w.store.Snapshot().TargetByName(e.name)
		_, readerKey := w.enrolDevice(e.name+"-reader", keys.KindReader, id.ID)
		_, lockKey := w.enrolDevice(e.name+"-lock", keys.KindLock, id.ID)
		connect = append(connect, pair{
			func() { e.reader = w.runNode(e.name+"-reader", keys.KindReader, readerKey, w.addr) },
			func() { e.lock = w.runNode(e.name+"-lock", keys.KindLock, lockKey, w.addr) },
		})
	}
	w.pid = w.serveApart("sh", "-c", `echo $$ >"$0" && exec taskset -c "$@"`,
		filepath.Join(w.group, "cgroup.procs"), strconv.Itoa(w.cpus[0]), program)
	pem, err := os.ReadFile(filepath.Join(w.dir, "console-ca.pem"))
	if err != nil {
		t.Fatal(err)
	}
	w.roots = x509.NewCertPool()
	w.roots.AppendCertsFromPEM(pem)
	for i, e := range w.doors {
		connect[i].lock()
		connect[i].reader()
		eventually(t, e.name+" opens", 10*time.Second, func() bool {
			v, err := e.reader.Scan(context.Background(), e.uid)
			return err == nil && v.Verdict == wire.Granted
		})
	}
	return w
}

// addAccounts makes the accounts and the token, while the gateway still runs in this process.
func (w *website) addAccounts() {
	w.t.Helper()
	send := client.InProcess(w.gw.AdminHandler()).RoundTrip
	for _, role := range []string{"owner", "viewer"} {
		in := api.NewAccount{Name: role, Role: role, Password: webPassword}
		if _, err := client.Call(w.t.Context(), send, api.AddAccount, api.With(in)); err != nil {
			w.t.Fatal(err)
		}
	}
	minted, err := client.Call(w.t.Context(), send, api.AddToken,
		api.AtWith("viewer", api.NewToken{Label: "one", Scopes: []accounts.Scope{accounts.ScopeRead}}))
	if err != nil {
		w.t.Fatal(err)
	}
	if err := os.WriteFile(w.token, []byte(minted.Text), 0o600); err != nil {
		w.t.Fatal(err)
	}
}

// memoryGroup makes a control group with a memory limit, and removes it at the end of the test.
func memoryGroup(t *testing.T, name string, limit int) string {
	t.Helper()
	dir := fmt.Sprintf("/sys/fs/cgroup/memory/latchkey-test-%d-%s", os.Getpid(), name)
	if err := os.Mkdir(dir, 0o755); err != nil {
		t.Fatalf("this test needs root and a memory controller (cgroup v1): %v", err)
	}
	t.Cleanup(func() {
		if err := os.Remove(dir); err != nil {
			t.Errorf("the control group was not removed: %v", err)
		}
	})
	if err := os.WriteFile(filepath.Join(dir, "memory.limit_in_bytes"), []byte(strconv.Itoa(limit)),
		0); err != nil {
		t.Fatal(err)
	}
	return dir
}

// splitCPUs leaves the first CPU to the gateway: during the test this process, with its nodes and
// browsers, runs on the last one. It returns the two.
func splitCPUs(t *testing.T) []int {
	t.Helper()
	var all unix.CPUSet
	if err := unix.SchedGetaffinity(0, &all); err != nil {
		t.Fatal(err)
	}
	var cpus []int
	for i := range 1024 {
		if all.IsSet(i) {
			cpus = append(cpus, i)
		}
	}
	if len(cpus) < 2 {
		t.Fatal("this test needs two CPUs")
	}
	cpus = []int{cpus[0], cpus[len(cpus)-1]}
	var last unix.CPUSet
	last.Set(cpus[1])
	move := func(to *unix.CPUSet) {
		tasks, err := os.ReadDir("/proc/self/task")
		if err != nil {
			t.Error(err)
		}
		for _, task := range tasks {
			id, _ := strconv.Atoi(task.Name())
			_ = unix.SchedSetaffinity(id, to) // it fails for a thread that has ended meanwhile
		}
	}
	move(&last)
	t.Cleanup(func() { move(&all) })
	return cpus
}

// children records the website's processes, of which one runs at a time.
type children struct {
	mu   sync.Mutex
	pids []int // guarded by mu
	peak int   // guarded by mu; the most resident memory of any of them, in bytes
}

// limitChildren limits each of the website's processes to webChild bytes, soon after its start.
func (w *website) limitChildren() *children {
	w.t.Helper()
	over, ended := make(chan struct{}), make(chan struct{})
	c := &children{}
	go func() {
		defer close(ended)
		for pace := time.NewTicker(20 * time.Millisecond); ; {
			if pid := findChild(w.pid); pid != 0 {
				c.noteChild(pid, w.child)
			}
			select {
			case <-over:
				pace.Stop()
				return
			case <-pace.C:
			}
		}
	}()
	w.t.Cleanup(func() { close(over); <-ended })
	return c
}

func (c *children) noteChild(pid int, group string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if !slices.Contains(c.pids, pid) {
		c.pids = append(c.pids, pid)
		_ = os.WriteFile(filepath.Join(group, "cgroup.procs"), []byte(strconv.Itoa(pid)), 0)
	}
	b, _ := os.ReadFile(fmt.Sprintf("/proc/%d/status", pid))
	if _, rest, ok := strings.Cut(string(b), "VmHWM:"); ok {
		kib, _ := strconv.Atoi(strings.Fields(rest)[0])
		c.peak = max(c.peak, kib<<10)
	}
}

// visitor is a browser at a loopback address.
type visitor struct {
	http.Client
	w     *website
	name  string
	path  string // URL of the page that it loads
	pages int
	worst time.Duration
	wrong string // what was wrong with the first page that failed
}

// visitor returns a visitor that opens a new connection for each page if fresh is true, and
// otherwise keeps one.
func (w *website) visitor(name, addr, path string, fresh bool) *visitor {
	w.t.Helper()
	jar, err := cookiejar.New(nil)
	if err != nil {
		w.t.Fatal(err)
	}
	_, port, _ := net.SplitHostPort(w.at)
	d := net.Dialer{LocalAddr: &net.TCPAddr{IP: net.ParseIP(addr)}}
	tr := &http.Transport{DisableKeepAlives: fresh, ForceAttemptHTTP2: true,
		TLSClientConfig: &tls.Config{RootCAs: w.roots},
		DialContext: func(ctx context.Context, network, _ string) (net.Conn, error) {
			return d.DialContext(ctx, network, w.at)
		}}
	w.t.Cleanup(tr.CloseIdleConnections)
	return &visitor{Client: http.Client{Jar: jar, Transport: tr, Timeout: 10 * time.Second,
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }},
		w: w, name: name, path: "https://localhost:" + port + path}
}

// signIn signs the owner in.
func (v *visitor) signIn() {
	v.w.t.Helper()
	resp, err := v.PostForm(strings.TrimSuffix(v.path, "/")+"/sign-in", url.Values{"name": {"owner"},
		"password": {webPassword}})
	if err != nil || resp.StatusCode != http.StatusSeeOther {
		v.w.t.Fatalf("%s: sign in: got %v, %v", v.name, resp, err)
	}
	_ = resp.Body.Close()
}

// loadPage loads the page and notes if it fails or is slow.
func (v *visitor) loadPage() {
	began := time.Now()
	resp, err := v.Get(v.path)
	what := fmt.Sprint(err)
	if err == nil {
		_, err = io.Copy(io.Discard, resp.Body)
		_ = resp.Body.Close()
		what = fmt.Sprint(resp.Status, err)
	}
	took := time.Since(began)
	v.pages++
	v.worst = max(v.worst, took)
	if v.wrong == "" && (err != nil || resp.StatusCode != http.StatusOK || took > webPage) {
		v.wrong = fmt.Sprintf("page %d after %v: %s", v.pages, took, what)
	}
}

// runWebFlood floods the website and returns the flood program's counts.
func (w *website) runWebFlood(f webFlood, lasts time.Duration) string {
	args := []string{"-c", strconv.Itoa(w.cpus[1]), "nice", "-n", "5", w.program, "-to", w.at, "-kind",
		f.kind, "-from", f.from,
		"-connections", strconv.Itoa(f.conns), "-streams", strconv.Itoa(f.streams), "-time", lasts.String()}
	if f.token {
		args = append(args, "-token", w.token)
	}
	ctx, cancel := context.WithTimeout(context.Background(), lasts+30*time.Second)
	defer cancel()
	out, err := exec.CommandContext(ctx, "taskset", args...).CombinedOutput()
	if err != nil || !bytes.Contains(out, []byte("connections ")) ||
		bytes.HasPrefix(out, []byte("connections 0\n")) {
		w.t.Errorf("%s: the flood: %v\n%s", f.kind, err, out)
	}
	return strings.ReplaceAll(strings.TrimSpace(string(out)), "\n", ", ")
}

// tapUntil taps five times a second until over is closed. It returns how long each tap took, from
// the time at which it was due.
func (e *entrance) tapUntil(t *testing.T, over chan struct{}) (took []time.Duration) {
	pace := time.NewTicker(200 * time.Millisecond)
	defer pace.Stop()
	for {
		select {
		case <-over:
			return took
		case due := <-pace.C:
			ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
			v, err := e.reader.Scan(ctx, e.uid)
			cancel()
			if err != nil || v.Verdict != wire.Granted {
				t.Errorf("%s: a tap: got %+v, %v, want granted", e.name, v, err)
			}
			took = append(took, time.Since(due))
		}
	}
}

// floodWebsite floods a gateway and checks taps, pages and memory. Floods from several addresses
// take all places for new connections, so then only pages on an open connection are checked.
func floodWebsite(t *testing.T, floods []webFlood, lasts time.Duration) {
	w := newWebsite(t)
	lives := w.limitChildren()
	stranger := w.visitor("a stranger at another address", "127.0.0.3", "/sign-in", true)
	stranger.loadPage()
	before := residentMemory(t, w.pid)
	owner := w.visitor("the owner at another address", "127.0.0.2", "/", true)
	beside := w.visitor("the owner at the flood's own address, on an open connection", attacker, "/",
		false)
	owner.signIn()
	beside.signIn()
	for _, f := range floods {
		over := make(chan struct{})
		var wg sync.WaitGroup
		var mu sync.Mutex
		var taps []time.Duration
		for _, e := range w.doors {
			wg.Go(func() {
				took := e.tapUntil(t, over)
				mu.Lock()
				defer mu.Unlock()
				taps = append(taps, took...)
			})
		}
		visitors := []*visitor{owner, beside, stranger}
		for _, v := range visitors {
			v.pages, v.worst, v.wrong = 0, 0, ""
			wg.Go(func() {
				for pace := time.NewTicker(500 * time.Millisecond); ; {
					v.loadPage()
					select {
					case <-over:
						pace.Stop()
						return
					case <-pace.C:
					}
				}
			})
		}
		said := w.runWebFlood(f, lasts)
		close(over)
		wg.Wait()
		slices.Sort(taps)
		p99 := taps[(len(taps)-1)*99/100]
		now := residentMemory(t, w.pid)
		t.Logf("%s, %d × %d: %s", f.kind, f.conns, f.streams, said)
		t.Logf("  %d taps: p50 %v, p99 %v; resident %d KiB, %d before all", len(taps), taps[len(taps)/2], p99,
			now>>10, before>>10)
		if want := int(lasts/time.Second) * 8; len(taps) < want || p99 > webTap {
			t.Errorf("%s: %d taps, p99 %v: want %d taps at least, within %v", f.kind, len(taps), p99, want,
				webTap)
		}
		for _, v := range visitors {
			t.Logf("  %s: %d pages, %v at most", v.name, v.pages, v.worst)
			if v.wrong != "" && (f.from == attacker || v == beside) {
				t.Errorf("%s: %s: %s", f.kind, v.name, v.wrong)
			}
		}
	}
	lives.mu.Lock()
	t.Logf("the website had %d processes, the largest %d KiB", len(lives.pids), lives.peak>>10)
	if len(lives.pids) != 1 {
		t.Errorf("%d processes of the website, want one that lives in %d KiB", len(lives.pids), webChild>>10)
	}
	lives.mu.Unlock()
	if grown := peakMemory(t, w.pid) - before; grown >= webGrowth {
		t.Errorf("resident memory grew by %d KiB, want less than %d", grown>>10, webGrowth>>10)
	} else {
		t.Logf("resident memory grew by %d KiB at most", grown>>10)
	}
}

// peakMemory returns the most resident memory that a process has had, in bytes.
func peakMemory(t *testing.T, pid int) int { return readStatus(t, pid, "VmHWM") }
