package e2e

import (
	"io"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"latchkey/gateway/store"
	"latchkey/keys"
)

const wolfsslPackage = "libwolfssl-dev"

// newWolfSSL starts bench/peers/wolfssl-client. As Debian builds wolfSSL, it has one of our suites.
func newWolfSSL(t *testing.T, addr string, k keys.Key) *chat {
	t.Helper()
	path := filepath.Join(t.TempDir(), "client")
	gcc := exec.Command(findProgram(t, "gcc", "gcc"), "-std=gnu11", "-Wall", "-Wextra", "-Werror", "-O1",
		"../../bench/peers/wolfssl-client/client.c", "-lwolfssl", "-o", path)
	if out := runProgram(t, gcc); out != "" {
		t.Fatalf("gcc with %s: %s", wolfsslPackage, out)
	}
	host, port, _ := strings.Cut(addr, ":")
	c := newChat(t, "gcc", path, host, port, string(k.ID), ourSuites[2])
	_, _ = io.WriteString(c.in, k.Secret.Reveal()+"\n")
	return c
}

// wolfSSL opens a session, is answered, and hears its end; the gateway hears of wolfSSL's.
func TestWolfSSL(t *testing.T) {
	t.Parallel()
	d := newDoor(t, store.Options{})
	wantSessions := func(rule string, n int) {
		t.Helper()
		eventually(t, rule, 20*time.Second, func() bool { return d.readMetric("latchkey_sessions") == n })
	}
	c := newWolfSSL(t, d.addr, d.readerKey)
	for n := range byte(9) {
		c.wantAnswer("a request", n+1)
	}
	wantSessions("the session is live", 1)
	if got := string(c.allPrinted()); !strings.HasPrefix(got, "handshake complete: "+ourSuites[2]+"\n") {
		t.Errorf("got %q, want a handshake with %s", got, ourSuites[2])
	}
	_ = c.in.(io.Closer).Close() // it sends a close_notify
	wantSessions("the session has ended", 0)

	c = newWolfSSL(t, d.addr, d.readerKey)
	c.wantAnswer("another session", 1)
	d.revokeKey(d.readerKey)
	select {
	case <-c.end:
	case <-time.After(20 * time.Second):
		t.Error("wolfSSL has not heard that its session ended")
	}
	if got := string(c.allPrinted()); !strings.HasSuffix(got, "closed\n") {
		t.Errorf("got %q, want a close_notify from the gateway", got)
	}
}

// A session of wolfSSL goes on after each of two restarts, and wolfSSL does not notice them.
func TestWolfSSLGoesOn(t *testing.T) {
	t.Parallel()
	d := newLasting(t)
	_, k := d.enrolDevice("side-reader", keys.KindReader, d.id)
	c := newWolfSSL(t, d.addr, k)
	c.wantAnswer("before the restart", 1)
	for n := byte(2); n < 6; n += 2 {
		d.stopAndClose()
		d.startAgain()
		d.wantResumed("count=3 refused=0")
		c.wantAnswer("after a restart", n)
		c.wantAnswer("once more", n+1)
		if got := d.readMetric("latchkey_handshakes_completed_total"); got != 0 {
			t.Errorf("got %d handshakes after the restart, want none", got)
		}
	}
}
