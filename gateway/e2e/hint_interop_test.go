package e2e

import (
	"bytes"
	"io"
	"os"
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

const (
	gnutlsPackage  = "gnutls-bin"
	mbedtlsPackage = "libmbedtls-dev"
)

// chatClients are the names of the clients that [newChats] returns.
var chatClients = []string{"openssl s_client", "gnutls-cli", "mbedtls"}

// hint is a HelloRequest in plaintext, in one record.
var hint = []byte{22, 0xfe, 0xfd, 0, 0, 0, 0, 0, 0, 0, 0, 0, 12, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0}

// unknownRecords returns records of sessions that the gateway does not have: one without and one
// with a connection ID.
func unknownRecords() [][]byte {
	plain := append([]byte{23, 0xfe, 0xfd, 0, 1, 0, 0, 0, 0, 0, 9, 0, 40}, make([]byte, 40)...)
	cid := append([]byte{25, 0xfe, 0xfd, 0, 1, 0, 0, 0, 0, 0, 9, 1, 2, 3, 4, 5, 6, 7, 8, 0, 40},
		make([]byte, 40)...)
	return [][]byte{plain, cid}
}

// chat is a program that sends each line of its input in a record, and prints the records that it
// receives.
type chat struct {
	t   *testing.T
	in  io.Writer
	end <-chan struct{} // closed when it has ended

	mu      sync.Mutex
	printed []byte // guarded by mu
}

func newChat(t *testing.T, pkg, name string, args ...string) *chat {
	t.Helper()
	end := make(chan struct{})
	c := &chat{t: t, end: end}
	cmd := exec.Command(findProgram(t, name, pkg), args...)
	in, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	c.in, cmd.Stdout, cmd.Stderr = in, c, c
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	go func() {
		defer close(end)
		_ = cmd.Wait()
	}()
	t.Cleanup(func() {
		_ = cmd.Process.Kill()
		<-end
	})
	return c
}

func (c *chat) Write(b []byte) (int, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.printed = append(c.printed, b...)
	return len(b), nil
}

func (c *chat) hasPrinted(what []byte) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return bytes.Contains(c.printed, what)
}

// passLine writes a line to one program until the other one prints it.
func passLine(t *testing.T, rule string, from, to *chat, line string) {
	t.Helper()
	again := time.NewTicker(time.Second)
	defer again.Stop()
	_, _ = io.WriteString(from.in, line+"\n")
	eventually(t, rule+": "+line, 20*time.Second, func() bool {
		select {
		case <-again.C:
			_, _ = io.WriteString(from.in, line+"\n") // the datagram may have been lost
		default:
		}
		return to.hasPrinted([]byte(line))
	})
}

// wantAnswer sends a request for a path that does not exist, and fails if no answer comes. Each
// request of a session needs a number of its own.
func (c *chat) wantAnswer(rule string, number byte) {
	c.t.Helper()
	if !c.getAnswer(number, 20*time.Second) {
		c.t.Fatalf("%s: got no answer, it printed %q", rule, c.allPrinted())
	}
}

// getAnswer sends the request and tells whether an answer came before the program ended. The
// request ends with a newline and has no zero byte, so that the programs send it as one line.
func (c *chat) getAnswer(number byte, limit time.Duration) bool {
	request := []byte{0x44, 1, 1, number, 'a', 'b', 'c', '0' + number, 0xb2, 'x', '\n'}
	answer := []byte{0x64, 4<<5 | 4, 1, number, 'a', 'b', 'c', '0' + number}
	_, _ = c.in.Write(request)
	over := time.After(limit)
	tick, again := time.NewTicker(5*time.Millisecond), time.NewTicker(time.Second)
	defer tick.Stop()
	defer again.Stop()
	for !c.hasPrinted(answer) {
		select {
		case <-tick.C:
		case <-again.C:
			_, _ = c.in.Write(request) // the datagram may have been lost
		case <-c.end:
			return c.hasPrinted(answer)
		case <-over:
			return false
		}
	}
	return true
}

func (c *chat) allPrinted() []byte {
	c.mu.Lock()
	defer c.mu.Unlock()
	return bytes.Clone(c.printed)
}

// newChats returns functions that start the clients through which a test can send datagrams.
// Without -nbio openssl would stop reading its standard input after a record that it drops.
func newChats(t *testing.T, addr string, k keys.Key) map[string]func() *chat {
	host, port, _ := strings.Cut(addr, ":")
	return map[string]func() *chat{
		"openssl s_client": func() *chat {
			return newChat(t, opensslPackage, "openssl", "s_client", "-dtls1_2", "-quiet", "-nbio",
				"-connect", addr, "-psk", secretInHex(k), "-psk_identity", string(k.ID),
				"-cipher", ourSuites[0]+":@SECLEVEL=0")
		},
		"gnutls-cli": func() *chat {
			return newChat(t, gnutlsPackage, "gnutls-cli", "--udp", "--port", port, "--pskusername",
				string(k.ID), "--pskkey", secretInHex(k),
				"--priority", "NORMAL:-VERS-ALL:+VERS-DTLS1.2:-KX-ALL:+PSK:-CIPHER-ALL:+AES-128-CCM-8:+AES-128-CCM",
				host)
		},
		"mbedtls": func() *chat {
			c := newChat(t, "gcc", mbedtlsClient(t), host, port, string(k.ID))
			_, _ = io.WriteString(c.in, k.Secret.Reveal()+"\n")
			return c
		},
	}
}

// mbedtlsClient builds bench/peers/mbedtls-client.
func mbedtlsClient(t *testing.T) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "client")
	gcc := exec.Command(findProgram(t, "gcc", "gcc"), "-std=gnu11", "-Wall", "-Wextra", "-Werror", "-O1",
		"../../bench/peers/mbedtls-client/client.c", "-lmbedtls", "-lmbedcrypto", "-o", path)
	if out := runProgram(t, gcc); out != "" {
		t.Fatalf("gcc with %s: %s", mbedtlsPackage, out)
	}
	return path
}

// sendHints sends n hints to the node behind a relay, as fast as it can.
func sendHints(r *device.Relay, n int) {
	for range n {
		r.Inject(device.Down, hint)
	}
}

// Forged hints end no session of a DTLS stack that does not know hints.
func TestStockSessionsSurviveHints(t *testing.T) {
	t.Parallel()
	for _, name := range chatClients {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			d := newDoor(t, store.Options{})
			r := newRelay(t, d.addr)
			c := newChats(t, r.Addr(), d.readerKey)[name]()
			c.wantAnswer("before", 1)
			sendHints(r, 2000)
			c.wantAnswer("after hints", 2)
			for _, b := range unknownRecords() {
				r.Inject(device.Up, b)
			}
			sendHints(r, 2000)
			c.wantAnswer("after more", 3)
			if got := d.readMetric("latchkey_handshakes_completed_total"); got != 1 {
				t.Errorf("got %d handshakes, want one: the session continues", got)
			}
		})
	}
	for _, name := range stockClients { // the hints come while the client waits for an answer
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			d := newDoor(t, store.Options{})
			r := newRelay(t, d.addr)
			var once sync.Once
			r.Tap(func(dir device.Direction, b []byte) {
				if dir == device.Up && b[0] == 23 {
					once.Do(func() {
						_, _ = r.Hold(device.Down, 500*time.Millisecond)
						go sendHints(r, 2000)
					})
				}
			})
			c := d.stockClient(name, d.readerKey)
			c.t, c.addr = t, r.Addr()
			if got := c.sendRequest("/.well-known/core"); !strings.Contains(got, "</scan>") {
				t.Errorf("got %q, want an answer despite the hints", got)
			}
			if got := d.readMetric("latchkey_handshakes_completed_total"); got != 1 {
				t.Errorf("got %d handshakes, want one", got)
			}
		})
	}
}

// Locks built on plain libcoap keep their sessions when hints come while they wait for a command,
// and execute the next command.
func TestStockLocksSurviveHints(t *testing.T) {
	t.Parallel()
	for _, tls := range []string{"openssl", "gnutls"} {
		t.Run(tls, func(t *testing.T) {
			t.Parallel()
			d := newDoor(t, store.Options{})
			r := newRelay(t, d.addr)
			l := d.runStockLock(t, tls, r.Addr(), "ack")
			d.awaitLockState()
			d.reader = d.runNode("front-reader", keys.KindReader, d.readerKey, d.addr)
			sendHints(r, 2000)
			if v, err := d.scan(annsCard); err != nil || v.Verdict != wire.Granted {
				t.Errorf("got %+v, %v, want granted", v, err)
			}
			eventually(t, "the lock got the command", 15*time.Second, func() bool {
				return slices.ContainsFunc(l.printedLines(), func(line string) bool {
					return strings.HasPrefix(line, "post ")
				})
			})
			if got := d.readMetric("latchkey_handshakes_completed_total"); got != 2 {
				t.Errorf("got %d handshakes, want the reader's and the lock's", got)
			}
		})
	}
}

// The gateway sends no hint to an address where a handshake is under way, whatever records come
// from there, so each client completes its handshake. libcoap with GnuTLS would give up its
// handshake at a hint.
func TestStockHandshakesGetNoHints(t *testing.T) {
	t.Parallel()
	newDisturbingRelay := func(t *testing.T, d *door) (*device.Relay, *atomic.Int32) {
		r := newRelay(t, d.addr)
		sent := new(atomic.Int32)
		r.Tap(func(dir device.Direction, b []byte) {
			if dir == device.Down && bytes.Equal(b, hint) {
				t.Error("the gateway sent a hint in the middle of a handshake")
			}
			if dir == device.Down && (b[0] == 22 || b[0] == 20) {
				for _, b := range unknownRecords() {
					sent.Add(1)
					r.Inject(device.Up, b)
				}
			}
		})
		return r, sent
	}
	for _, name := range append(append([]string{"latchkey"}, chatClients...), stockClients...) {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			d := newDoor(t, store.Options{})
			r, sent := newDisturbingRelay(t, d)
			switch name {
			case "latchkey":
				d.lock = d.runNode("front-lock", keys.KindLock, d.lockKey, r.Addr())
				d.awaitLockState()
			case "coap-client-openssl", "coap-client-gnutls":
				c := d.stockClient(name, d.readerKey)
				c.t, c.addr = t, r.Addr()
				if got := c.sendRequest("/.well-known/core"); !strings.Contains(got, "</scan>") {
					t.Errorf("got %q, want an answer", got)
				}
			default:
				newChats(t, r.Addr(), d.readerKey)[name]().wantAnswer("while unknown records come", 1)
			}
			if sent.Load() == 0 {
				t.Error("the relay injected no record")
			}
			if got := d.readMetric("latchkey_hints_total"); got != 0 {
				t.Errorf("got %d hints, want none", got)
			}
		})
	}
}

// Other DTLS servers and their clients also keep their sessions when hints come.
func TestStockPairsSurviveHints(t *testing.T) {
	t.Parallel()
	k := keys.Key{ID: "lk-0123456789", Secret: keys.NewSecret()}
	port := func(t *testing.T) string { // returns a free port
		r := newRelay(t, "127.0.0.1:9")
		defer r.Close()
		_, port, _ := strings.Cut(r.Addr(), ":")
		return port
	}
	servers := map[string]func(t *testing.T, port string) *chat{
		"openssl s_server": func(t *testing.T, port string) *chat {
			return newChat(t, opensslPackage, "openssl", "s_server", "-dtls1_2", "-quiet", "-nbio", "-nocert",
				"-accept", "127.0.0.1:"+port, "-psk", secretInHex(k),
				"-psk_identity", string(k.ID), "-cipher", ourSuites[0]+":@SECLEVEL=0")
		},
		"gnutls-serv": func(t *testing.T, port string) *chat {
			file := t.TempDir() + "/psk"
			if err := os.WriteFile(file, []byte(string(k.ID)+":"+secretInHex(k)+"\n"), 0o600); err != nil {
				t.Fatal(err)
			}
			return newChat(t, gnutlsPackage, "gnutls-serv", "--udp", "--port", port, "--echo", "--pskpasswd",
				file,
				"--priority", "NORMAL:-VERS-ALL:+VERS-DTLS1.2:-KX-ALL:+PSK:-CIPHER-ALL:+AES-128-CCM-8:+AES-128-CCM")
		},
	}
	for server, serve := range servers {
		for _, client := range chatClients {
			t.Run(client+" with "+server, func(t *testing.T) {
				t.Parallel()
				at := port(t)
				s := serve(t, at)
				r := newRelay(t, "127.0.0.1:"+at)
				c := newChats(t, r.Addr(), k)[client]()
				to := s
				if server == "gnutls-serv" {
					to = c // it echoes lines and prints nothing
				}
				passLine(t, "before", c, to, "one-two")
				sendHints(r, 2000)
				for range 2000 {
					r.Inject(device.Up, hint)
				}
				passLine(t, "after hints", c, to, "three-four")
				if to != c {
					passLine(t, "the other way", s, c, "five-six")
				}
			})
		}
	}
}
