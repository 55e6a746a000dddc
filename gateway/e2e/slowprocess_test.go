package e2e

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/cookiejar"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"latchkey/coapres/device"
	"latchkey/coapres/wire"
	"latchkey/gateway/store"
	"latchkey/keys"
)

// The disk of a real gateway takes 700 ms for each sync. /healthz answers 503 with the reason,
// within a second, the website still shows its pages, and the doctor says what is wrong. Taps are
// answered meanwhile.
func TestSlowDiskIsSeenFromOutside(t *testing.T) {
	t.Parallel()
	d := newDoor(t, store.Options{Dir: t.TempDir()})
	if w := d.callAPI("POST", "/v1/accounts",
		`{"name":"owner","role":"owner","password":"correct horse battery"}`); w.Code/100 != 2 {
		t.Fatalf("account: got %d %s", w.Code, w.Body)
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	at := l.Addr().String()
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
	d.handOverStore()
	a := &ownGateway{d: d, program: buildCommand(t, t.TempDir(), "latchkey/cli/latchkey"), console: at}
	a.api = http.Client{Timeout: 10 * time.Second,
		Transport: &http.Transport{DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
			return (&net.Dialer{}).DialContext(ctx, "unix", filepath.Join(d.dir, "admin.sock"))
		}}}
	a.start()
	t.Cleanup(func() { a.endProcess(syscall.SIGTERM) })
	d.lock = d.runNode("front-lock", keys.KindLock, d.lockKey, d.addr)
	d.reader = d.runNode("front-reader", keys.KindReader, d.readerKey, d.addr)
	d.tapUntilGranted("on a quick disk", time.Now())
	a.waitForHealth(http.StatusOK)
	owner := a.signInOwner()

	slow := exec.Command("strace", "-f", "-qq", "-o", os.DevNull, "-e", "trace=msync,fsync,fdatasync", "-e",
		"inject=msync,fsync,fdatasync:delay_exit=700000",
		"-p", strconv.Itoa(a.cmd.Process.Pid))
	if err := slow.Start(); err != nil {
		t.Fatal(err)
	}
	detach := func() { _ = slow.Process.Signal(os.Interrupt); _ = slow.Wait() }
	defer detach()
	began := time.Now()
	var worst time.Duration
	eventually(t, "healthz says that the disk is slow", 4*time.Second, func() bool {
		asked := time.Now()
		status, _, text := a.askAPI("GET", "/healthz", "")
		worst = max(worst, time.Since(asked))
		return status == http.StatusServiceUnavailable && strings.Contains(text, "the disk takes")
	})
	t.Logf("healthz: 503 after %v, each answer within %v", time.Since(began).Round(time.Millisecond),
		worst.Round(time.Millisecond))
	if worst > 10*time.Second {
		t.Errorf("healthz: an answer took %v", worst)
	}
	tapped := make(chan struct{})
	go func() {
		defer close(tapped)
		for range 3 {
			began := time.Now()
			v, err := d.scan(annsCard)
			t.Logf("tap: %v %v after %v", v, err, time.Since(began).Round(time.Millisecond))
			if errors.Is(err, device.ErrNoVerdict) || err == nil && v.Verdict == wire.Denied {
				t.Errorf("a tap: got %v, %v, want an answer", v, err)
			}
		}
	}()
	defer func() { <-tapped }()
	for _, path := range []string{"/", "/events", "/people", "/health"} {
		began := time.Now()
		resp, err := owner.Get("https://localhost:" + owner.port + path)
		if err != nil {
			t.Fatal(err)
		}
		b, err := io.ReadAll(resp.Body)
		_ = resp.Body.Close()
		took := time.Since(began)
		t.Logf("%s: %d after %v", path, resp.StatusCode, took.Round(time.Millisecond))
		if err != nil || resp.StatusCode != http.StatusOK || took > 20*time.Second {
			t.Errorf("%s: got %s after %v, %v", path, resp.Status, took, err)
		}
		if (path == "/" || path == "/health") && !strings.Contains(string(b), "the disk takes") &&
			!strings.Contains(string(b), "The disk takes") {
			t.Errorf("%s does not say that the disk is slow", path)
		}
	}
	began = time.Now()
	out, err := exec.Command(a.program, "--data", d.dir, "doctor").CombinedOutput()
	t.Logf("doctor: %v after %v", err, time.Since(began).Round(time.Millisecond))
	if err == nil || !strings.Contains(string(out), "the disk takes") || !strings.Contains(string(out),
		"replace the disk") {
		t.Errorf("doctor: got %v\n%s", err, out)
	}
	<-tapped
	if n := d.reader.Sessions(); n != 1 {
		t.Errorf("got %d sessions, want the reader's first to continue", n)
	}
	detach()
	d.tapUntilOpen(t)
	a.waitForHealth(http.StatusOK)
}

// ownersBrowser is a browser in which the owner is signed in.
type ownersBrowser struct {
	http.Client
	port string
}

func (a *ownGateway) signInOwner() *ownersBrowser {
	t := a.d.t
	t.Helper()
	pem, err := os.ReadFile(filepath.Join(a.d.dir, "console-ca.pem"))
	if err != nil {
		t.Fatal(err)
	}
	roots := x509.NewCertPool()
	roots.AppendCertsFromPEM(pem)
	jar, err := cookiejar.New(nil)
	if err != nil {
		t.Fatal(err)
	}
	b := &ownersBrowser{Client: http.Client{Jar: jar, Timeout: time.Minute,
		Transport: &http.Transport{TLSClientConfig: &tls.Config{RootCAs: roots},
			DialContext: func(ctx context.Context, network, _ string) (net.Conn, error) {
				return (&net.Dialer{}).DialContext(ctx, network, a.console)
			}}}}
	t.Cleanup(b.CloseIdleConnections)
	_, b.port, _ = net.SplitHostPort(a.console)
	resp, err := b.PostForm(fmt.Sprintf("https://localhost:%s/sign-in", b.port), url.Values{"name": {"owner"},
		"password": {"correct horse battery"}})
	if err != nil || resp.StatusCode != http.StatusOK { // the client follows the redirect to the first page
		t.Fatalf("sign in: got %v, %v", resp, err)
	}
	_ = resp.Body.Close()
	return b
}
