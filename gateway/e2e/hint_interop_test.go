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

// chatClients are those of [chats].
var chatClients = []string{"openssl s_client", "gnutls-cli", "mbedtls"}

// hint is an unencrypted HelloRequest.
var hint = []byte{22, 0xfe, 0xfd, 0, 0, 0, 0, 0, 0, 0, 0, 0, 12, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0}

// lost are records of unknown sessions.
func lost() [][]byte {
	plain := append([]byte{23, 0xfe, 0xfd, 0, 1, 0, 0, 0, 0, 0, 9, 0, 40}, make([]byte, 40)...)
	cid := append([]byte{25, 0xfe, 0xfd, 0, 1, 0, 0, 0, 0, 0, 9, 1, 2, 3, 4, 5, 6, 7, 8, 0, 40},
		make([]byte, 40)...)
	return [][]byte{plain, cid}
}

// chat is a program that sends what it is told, each line in a record, and prints what comes.
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
	cmd := exec.Command(program(t, name, pkg), args...)
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

func (c *chat) said(what []byte) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return bytes.Contains(c.printed, what)
}

// passes says a line until the other one prints it.
func passes(t *testing.T, rule string, from, to *chat, line string) {
	t.Helper()
	again := time.NewTicker(time.Second)
	defer again.Stop()
	_, _ = io.WriteString(from.in, line+"\n")
	eventually(t, rule+": "+line, 20*time.Second, func() bool {
		select {
		case <-again.C:
			_, _ = io.WriteString(from.in, line+"\n") // a datagram may be lost
		default:
		}
		return to.said([]byte(line))
	})
}

// asks has the program ask the gateway for something that is not there, number times in a session,
// and wants the answers.
func (c *chat) asks(rule string, number byte) {
	c.t.Helper()
	if !c.gets(number, 20*time.Second) {
		c.t.Fatalf("%s: got no answer, it printed %q", rule, c.all())
	}
}

// gets does so and tells whether there was an answer before the program ended. The request ends in
// a line's end and has no zero byte.
func (c *chat) gets(number byte, limit time.Duration) bool {
	request := []byte{0x44, 1, 1, number, 'a', 'b', 'c', '0' + number, 0xb2, 'x', '\n'}
	answer := []byte{0x64, 4<<5 | 4, 1, number, 'a', 'b', 'c', '0' + number}
	_, _ = c.in.Write(request)
	over := time.After(limit)
	tick, again := time.NewTicker(5*time.Millisecond), time.NewTicker(time.Second)
	defer tick.Stop()
	defer again.Stop()
	for !c.said(answer) {
		select {
		case <-tick.C:
		case <-again.C:
			_, _ = c.in.Write(request) // a datagram may be lost
		case <-c.end:
			return c.said(answer)
		case <-over:
			return false
		}
	}
	return true
}

func (c *chat) all() []byte {
	c.mu.Lock()
	defer c.mu.Unlock()
	return bytes.Clone(c.printed)
}

// chats are the clients that a test can talk through. openssl's would wait for the next record at
// one that is dropped, and not look at its standard input meanwhile, but for -nbio.
func chats(t *testing.T, addr string, k keys.Key) map[string]func() *chat {
	host, port, _ := strings.Cut(addr, ":")
	return map[string]func() *chat{
		"openssl s_client": func() *chat {
			return newChat(t, opensslPackage, "openssl", "s_client", "-dtls1_2", "-quiet", "-nbio",
				"-connect", addr, "-psk", hexOf(k), "-psk_identity", string(k.ID),
				"-cipher", ourSuites[0]+":@SECLEVEL=0")
		},
		"gnutls-cli": func() *chat {
			return newChat(t, gnutlsPackage, "gnutls-cli", "--udp", "--port", port, "--pskusername",
				string(k.ID), "--pskkey", hexOf(k),
				"--priority", "NORMAL:-VERS-ALL:+VERS-DTLS1.2:-KX-ALL:+PSK:-CIPHER-ALL:+AES-128-CCM-8:+AES-128-CCM", host)
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
	gcc := exec.Command(program(t, "gcc", "gcc"), "-std=gnu11", "-Wall", "-Wextra", "-Werror", "-O1",
		"../../bench/peers/mbedtls-client/client.c", "-lmbedtls", "-lmbedcrypto", "-o", path)
	if out := output(t, gcc); out != "" {
		t.Fatalf("gcc with %s: %s", mbedtlsPackage, out)
	}
	return path
}

// hints sends hints to the node of a relay's flow, as fast as it can.
func hints(r *device.Relay, n int) {
	for range n {
		r.Inject(device.Down, hint)
	}
}

// Forged hints end no session of a stack that does not know hints.
func TestStockSessionsLiveThroughHints(t *testing.T) {
	t.Parallel()
	for _, name := range chatClients {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			d := newDoor(t, store.Options{})
			r := relay(t, d.addr)
			c := chats(t, r.Addr(), d.readerKey)[name]()
			c.asks("before", 1)
			hints(r, 2000)
			c.asks("after hints", 2)
			for _, b := range lost() {
				r.Inject(device.Up, b)
			}
			hints(r, 2000)
			c.asks("after more", 3)
			if got := d.metric("latchkey_handshakes_completed_total"); got != 1 {
				t.Errorf("got %d handshakes, want the one session to go on", got)
			}
		})
	}
	for _, name := range stockClients { // while it waits for its answer
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			d := newDoor(t, store.Options{})
			r := relay(t, d.addr)
			var once sync.Once
			r.Tap(func(dir device.Direction, b []byte) {
				if dir == device.Up && b[0] == 23 {
					once.Do(func() {
						_, _ = r.Hold(device.Down, 500*time.Millisecond)
						go hints(r, 2000)
					})
				}
			})
			c := d.stock(name, d.readerKey)
			c.t, c.addr = t, r.Addr()
			if got := c.call("/.well-known/core"); !strings.Contains(got, "</scan>") {
				t.Errorf("got %q, want an answer in spite of hints", got)
			}
			if got := d.metric("latchkey_handshakes_completed_total"); got != 1 {
				t.Errorf("got %d handshakes, want one", got)
			}
		})
	}
}

// Locks that are libcoap alone keep their sessions through hints while they wait for a command, and
// obey the next one.
func TestStockLocksLiveThroughHints(t *testing.T) {
	t.Parallel()
	for _, tls := range []string{"openssl", "gnutls"} {
		t.Run(tls, func(t *testing.T) {
			t.Parallel()
			d := newDoor(t, store.Options{})
			r := relay(t, d.addr)
			l := d.stockLock(t, tls, r.Addr(), "ack")
			d.settled()
			d.reader = d.node("front-reader", keys.KindReader, d.readerKey, d.addr)
			hints(r, 2000)
			if v, err := d.scan(annsCard); err != nil || v.Verdict != wire.Granted {
				t.Errorf("got %+v, %v, want it granted", v, err)
			}
			eventually(t, "it was told to open", 15*time.Second, func() bool {
				return slices.ContainsFunc(l.said(), func(line string) bool {
					return strings.HasPrefix(line,
						"post ")
				})
			})
			if got := d.metric("latchkey_handshakes_completed_total"); got != 2 {
				t.Errorf("got %d handshakes, want the reader's and the lock's", got)
			}
		})
	}
}

// The gateway sends no hint to an address where a handshake is under way, whatever comes from
// there, so each client completes its handshake. libcoap with GnuTLS would give up at one.
func TestStockHandshakesGetNoHints(t *testing.T) {
	t.Parallel()
	disturbed := func(t *testing.T, d *door) (*device.Relay, *atomic.Int32) {
		r := relay(t, d.addr)
		sent := new(atomic.Int32)
		r.Tap(func(dir device.Direction, b []byte) {
			if dir == device.Down && bytes.Equal(b, hint) {
				t.Error("a hint in the middle of a handshake")
			}
			if dir == device.Down && (b[0] == 22 || b[0] == 20) {
				for _, b := range lost() {
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
			r, sent := disturbed(t, d)
			switch name {
			case "latchkey":
				d.lock = d.node("front-lock", keys.KindLock, d.lockKey, r.Addr())
				d.settled()
			case "coap-client-openssl", "coap-client-gnutls":
				c := d.stock(name, d.readerKey)
				c.t, c.addr = t, r.Addr()
				if got := c.call("/.well-known/core"); !strings.Contains(got, "</scan>") {
					t.Errorf("got %q, want an answer", got)
				}
			default:
				chats(t, r.Addr(), d.readerKey)[name]().asks("through what disturbs", 1)
			}
			if sent.Load() == 0 {
				t.Error("nothing was disturbed")
			}
			if got := d.metric("latchkey_hints_total"); got != 0 {
				t.Errorf("got %d hints", got)
			}
		})
	}
}

// Other people's servers, too, live through a hint that was sent to their address or to their
// client's.
func TestStockPairsLiveThroughHints(t *testing.T) {
	t.Parallel()
	k := keys.Key{ID: "lk-0123456789", Secret: keys.NewSecret()}
	port := func(t *testing.T) string { // a free one
		r := relay(t, "127.0.0.1:9")
		defer r.Close()
		_, port, _ := strings.Cut(r.Addr(), ":")
		return port
	}
	servers := map[string]func(t *testing.T, port string) *chat{
		"openssl s_server": func(t *testing.T, port string) *chat {
			return newChat(t, opensslPackage, "openssl", "s_server", "-dtls1_2", "-quiet", "-nbio", "-nocert",
				"-accept", "127.0.0.1:"+port, "-psk", hexOf(k),
				"-psk_identity", string(k.ID), "-cipher", ourSuites[0]+":@SECLEVEL=0")
		},
		"gnutls-serv": func(t *testing.T, port string) *chat {
			file := t.TempDir() + "/psk"
			if err := os.WriteFile(file, []byte(string(k.ID)+":"+hexOf(k)+"\n"), 0o600); err != nil {
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
				r := relay(t, "127.0.0.1:"+at)
				c := chats(t, r.Addr(), k)[client]()
				to := s
				if server == "gnutls-serv" {
					to = c // it sends back what it gets, and prints nothing of it
				}
				passes(t, "before", c, to, "one-two")
				hints(r, 2000)
				for range 2000 {
					r.Inject(device.Up, hint)
				}
				passes(t, "after hints", c, to, "three-four")
				if to != c {
					passes(t, "the other way", s, c, "five-six")
				}
			})
		}
	}
}
