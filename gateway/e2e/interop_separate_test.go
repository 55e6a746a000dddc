package e2e

import (
	"bufio"
	"fmt"
	"io"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"latchkey/coapres/device"
	"latchkey/coapres/wire"
	"latchkey/gateway/store"
	"latchkey/keys"
)

const coapDevPackage = "libcoap3-dev"

// stockLock runs bench/peers/libcoap-lock, a lock that uses libcoap and none of our code.
type stockLock struct {
	mu    sync.Mutex
	lines []string // guarded by mu
}

// runStockLock runs a stockLock against the gateway at addr until the test ends, and waits until it
// is registered.
func (d *door) runStockLock(t *testing.T, tls, addr, answer string) *stockLock {
	t.Helper()
	path := filepath.Join(t.TempDir(), "lock")
	gcc := exec.Command(findProgram(t, "gcc", "gcc"), "-std=gnu11", "-Wall", "-Wextra", "-Werror", "-O1",
		"../../bench/peers/libcoap-lock/lock.c", "-lcoap-3-"+tls, "-o", path)
	if out := runProgram(t, gcc); out != "" {
		t.Fatalf("gcc with %s: %s", coapDevPackage, out)
	}
	host, port, _ := strings.Cut(addr, ":")
	cmd := exec.Command(path, host, port, string(d.lockKey.ID), answer)
	in, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	cmd.Stderr = cmd.Stdout
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	l, done := &stockLock{}, make(chan struct{})
	go func() {
		defer close(done)
		for sc := bufio.NewScanner(out); sc.Scan(); {
			l.mu.Lock()
			l.lines = append(l.lines, sc.Text())
			l.mu.Unlock()
		}
	}()
	t.Cleanup(func() {
		_ = in.Close()
		limit := time.AfterFunc(10*time.Second, func() { _ = cmd.Process.Kill() })
		<-done
		_ = cmd.Wait()
		limit.Stop()
	})
	if _, err := io.WriteString(in, d.lockKey.Secret.Reveal()+"\n"); err != nil {
		t.Fatal(err)
	}
	eventually(t, "libcoap's lock is registered", 15*time.Second,
		func() bool { return slices.Contains(l.printedLines(), "registered") })
	return l
}

func (l *stockLock) printedLines() []string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return slices.Clone(l.lines)
}

// isEmptyACK recognises an encrypted empty ACK by its size, because no other message of the lock is
// as short: 4 bytes in a record of CCM_8 or CHACHA20 without a connection ID.
func isEmptyACK(b []byte) bool {
	return len(b) >= 13 && b[0] == 23 && (len(b) == 13+8+4+8 || len(b) == 13+4+16)
}

// A libcoap lock answers in the ACK, or with a separate response after an empty ACK, which may be
// lost. The door opens once, and the reader gets the verdict granted.
func TestStockLockAnswersSeparately(t *testing.T) {
	t.Parallel()
	for _, tls := range []string{"openssl", "gnutls"} {
		for _, answer := range []string{"ack", "con", "non"} {
			for _, lost := range []bool{false, true} {
				if lost && answer == "ack" {
					continue
				}
				t.Run(fmt.Sprintf("%s %s lost=%v", tls, answer, lost), func(t *testing.T) {
					t.Parallel()
					d := newDoor(t, store.Options{})
					r := newRelay(t, d.addr)
					var dropped atomic.Int32
					if lost {
						r.Lose(func(dir device.Direction, b []byte) bool {
							if dir == device.Up && isEmptyACK(b) {
								dropped.Add(1)
								return true
							}
							return false
						})
					}
					l := d.runStockLock(t, tls, r.Addr(), answer)
					d.awaitLockState() // the gateway's GET is answered in the same way
					d.reader = d.runNode("front-reader", keys.KindReader, d.readerKey, d.addr)
					v, err := d.scan(annsCard)
					if err != nil || v.Verdict != wire.Granted {
						t.Errorf("got %v, %v, want granted: the door is open", v, err)
					}
					posts := slices.DeleteFunc(l.printedLines(), func(s string) bool {
						return !strings.HasPrefix(s, "post")
					})
					if len(posts) != 1 {
						t.Errorf("got %q, want one command", posts)
					}
					if got := dropped.Load(); lost && got < 2 {
						t.Errorf("%d empty ACKs were lost, want those of a GET and a POST", got)
					}
				})
			}
		}
	}
}
