// Package mosquitto starts Debian's mosquitto on loopback for tests, with certificates, users and
// rights, and reads and writes there as another client. It is for tests only.
package mosquitto

import (
	"bytes"
	"context"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"latchkey/gateway/endpoint"
	"latchkey/gateway/endpoint/testca"
	"latchkey/keys"
)

// within bounds each wait for a program, on a slow machine too.
const within = 60 * time.Second

// Options say how the broker is set up. Without any, it takes anybody without TLS.
type Options struct {
	// TLS makes the broker ask for a client certificate. Its common name is the user.
	TLS bool
	// Users are those who have a password, without TLS. If there are some, nobody else is let in.
	Users map[string]string
	// ACL is the text of mosquitto's acl_file. Empty: each user may do everything.
	ACL string
	// Persistent makes the broker keep sessions and messages when it is stopped.
	Persistent bool
	// Lines are added to the configuration, such as "message_size_limit 1000".
	Lines string
}

// Broker is a running mosquitto.
type Broker struct {
	Options
	t    testing.TB
	dir  string
	port int
	ca   *testca.Authority

	mu      sync.Mutex
	process *exec.Cmd     // guarded by mu; nil while it is stopped
	ended   chan struct{} // guarded by mu; closed when the process has ended
	log     *os.File
}

// Start starts a broker that runs until the test ends.
func Start(t testing.TB, o Options) *Broker {
	t.Helper()
	b := &Broker{Options: o, t: t, dir: t.TempDir(), port: findPort(t)}
	var err error
	if b.log, err = os.Create(b.path("log")); err != nil {
		t.Fatal(err)
	}
	if o.TLS {
		b.ca = testca.New(t)
		b.write("ca.pem", b.ca.PEM)
		cert, key := b.ca.Issue(t, "broker")
		b.write("cert.pem", cert)
		b.write("key.pem", key)
	}
	b.SetACL(o.ACL)
	for user, password := range o.Users {
		run(t, "mosquitto_passwd", "-b", b.touch("passwords"), user, password)
	}
	b.write("conf", b.configuration())
	b.Restart()
	t.Cleanup(func() {
		b.Stop()
		b.log.Close()
		if t.Failed() {
			said, _ := os.ReadFile(b.path("log"))
			t.Logf("mosquitto:\n%s", said[max(0, len(said)-8000):])
		}
	})
	return b
}

func (b *Broker) configuration() string {
	// Version 2.0.11 ends the connection after a refused message if max_queued_messages is 0.
	lines := []string{"user root", "set_tcp_nodelay true", "max_queued_messages 1000000",
		"persistence " + strconv.FormatBool(b.Persistent), "persistence_location " + b.dir + "/",
		"log_dest stderr", "log_type error", "log_type warning", "log_type notice",
		fmt.Sprintf("listener %d 127.0.0.1", b.port)}
	anybody := !b.TLS && len(b.Users) == 0
	lines = append(lines, "allow_anonymous "+strconv.FormatBool(anybody))
	if b.TLS {
		lines = append(lines, "cafile "+b.path("ca.pem"), "certfile "+b.path("cert.pem"),
			"keyfile "+b.path("key.pem"), "require_certificate true", "use_identity_as_username true")
	}
	if len(b.Users) > 0 {
		lines = append(lines, "password_file "+b.path("passwords"))
	}
	if b.ACL != "" {
		lines = append(lines, "acl_file "+b.path("acl"))
	}
	return strings.Join(append(lines, b.Lines), "\n") + "\n"
}

func (b *Broker) path(name string) string { return filepath.Join(b.dir, name) }

func (b *Broker) write(name, content string) {
	b.t.Helper()
	if err := os.WriteFile(b.path(name), []byte(content), 0o600); err != nil {
		b.t.Fatal(err)
	}
}

func (b *Broker) touch(name string) string {
	f, err := os.OpenFile(b.path(name), os.O_CREATE|os.O_WRONLY, 0o600)
	if err != nil {
		b.t.Fatal(err)
	}
	f.Close()
	return b.path(name)
}

// SetACL sets the rights. A running broker has them after [Broker.Reload] or its next start.
func (b *Broker) SetACL(acl string) { b.t.Helper(); b.write("acl", acl) }

// Reload makes the running broker read its rights again. Connections stay.
func (b *Broker) Reload() {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.process.Process.Signal(syscall.SIGHUP)
}

// Restart stops the broker, if it runs, and starts it on the same port. What was retained is gone.
func (b *Broker) Restart() {
	b.t.Helper()
	b.Stop()
	b.mu.Lock()
	defer b.mu.Unlock()
	b.process = exec.Command(find(b.t, "mosquitto"), "-c", b.path("conf"))
	b.process.Stderr, b.process.Stdout = b.log, b.log
	if err := b.process.Start(); err != nil {
		b.t.Fatal(err)
	}
	ended := make(chan struct{})
	b.ended = ended
	go func(p *exec.Cmd) { p.Wait(); close(ended) }(b.process)
	for deadline := time.Now().Add(within); ; {
		conn, err := net.Dial("tcp", b.Addr())
		if err == nil {
			conn.Close()
			return
		}
		select {
		case <-ended:
			said, _ := os.ReadFile(b.path("log"))
			b.t.Fatalf("mosquitto has ended:\n%s", said)
		case <-time.After(10 * time.Millisecond):
		}
		if time.Now().After(deadline) {
			b.t.Fatal("mosquitto does not listen")
		}
	}
}

// Stop stops the broker, without a farewell unless it is persistent.
func (b *Broker) Stop() {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.process != nil {
		if b.Persistent {
			b.process.Process.Signal(syscall.SIGTERM)
		} else {
			b.process.Process.Kill()
		}
		<-b.ended
		b.process = nil
	}
}

// Addr is host:port of the broker.
func (b *Broker) Addr() string { return "127.0.0.1:" + strconv.Itoa(b.port) }

// URL is the broker's.
func (b *Broker) URL() string { return b.scheme() + b.Addr() }

func (b *Broker) scheme() string {
	if b.TLS {
		return "mqtts://"
	}
	return "mqtt://"
}

// Endpoint is how a user gets to the broker: with a certificate of its own, or its password.
func (b *Broker) Endpoint(user string) endpoint.Endpoint {
	b.t.Helper()
	return b.EndpointAt(b.Addr(), user)
}

// EndpointAt is Endpoint by way of another address, such as that of a proxy.
func (b *Broker) EndpointAt(addr, user string) endpoint.Endpoint {
	b.t.Helper()
	e := endpoint.Endpoint{URL: b.scheme() + addr, Private: true}
	if b.TLS {
		cert, key := b.ca.Issue(b.t, user)
		e.CA, e.Cert, e.Key = b.ca.PEM, cert, keys.Hide(key)
		return e
	}
	if password, ok := b.Users[user]; ok {
		e.User, e.Password = user, keys.Hide(password)
	}
	return e
}

// arguments are those of mosquitto_pub and mosquitto_sub for a user.
func (b *Broker) arguments(user string) []string {
	args := []string{"-h", "127.0.0.1", "-p", strconv.Itoa(b.port), "-V", "5", "-q", "1"}
	if b.TLS {
		cert, key := b.ca.Issue(b.t, user)
		name := fmt.Sprintf("%s-%d", user, time.Now().UnixNano())
		b.write(name+".pem", cert)
		b.write(name+".key", key)
		return append(args, "--cafile", b.path("ca.pem"), "--cert", b.path(name+".pem"),
			"--key", b.path(name+".key"))
	}
	if password, ok := b.Users[user]; ok {
		return append(args, "-u", user, "-P", password)
	}
	return args
}

// Publish publishes as a user, with mosquitto_pub and QoS 1, and returns what the program says: it
// exits with 0 when the broker has refused the message. more are more arguments, such as "-r".
func (b *Broker) Publish(user, topic, payload string, more ...string) string {
	b.t.Helper()
	args := append(b.arguments(user), "-t", topic, "-m", payload)
	return run(b.t, "mosquitto_pub", append(args, more...)...)
}

// Subscription reads as another client.
type Subscription struct {
	t     testing.TB
	ready chan struct{}
	more  chan struct{} // holds one token if there are lines that Next has not seen
	rest  []byte        // of a line; only Write uses it, while a program runs

	mu    sync.Mutex
	lines []string // guarded by mu
}

// Subscribe reads the topic filters as a user, with mosquitto_sub, until the test ends. It returns
// when the subscriptions hold. format is that of mosquitto_sub: "%t %p" is topic and payload. A
// line that begins with "Client ", "Subscribed ", "Error: " or "OpenSSL Error" is taken for the
// program's own.
//
// If the broker is persistent, it keeps what comes while it or the program is away. The program, which
// ends when the broker ends in the middle of a TLS handshake, is started again then.
func (b *Broker) Subscribe(user, format string, topics ...string) *Subscription {
	b.t.Helper()
	// Without stdbuf, lines come in blocks of 4 KB.
	args := append([]string{"-oL", find(b.t, "mosquitto_sub")}, b.arguments(user)...)
	args = append(args, "-F", format, "-d")
	if b.Persistent {
		args = append(args, "-c", "-x", "3600", "-i", fmt.Sprintf("reader-%d", time.Now().UnixNano()))
	}
	for _, topic := range topics {
		args = append(args, "-t", topic)
	}
	s := &Subscription{t: b.t, ready: make(chan struct{}, 1), more: make(chan struct{}, 1)}
	program := find(b.t, "stdbuf")
	ctx, end := context.WithCancel(context.Background())
	var ended sync.WaitGroup
	ended.Go(func() {
		for ctx.Err() == nil {
			cmd := exec.CommandContext(ctx, program, args...)
			cmd.Stdout, cmd.Stderr = s, s
			if err := cmd.Run(); !b.Persistent {
				return
			} else if ctx.Err() == nil {
				b.t.Logf("mosquitto_sub has ended, and starts again: %v", err)
			}
			s.rest = nil
			select {
			case <-ctx.Done():
			case <-time.After(100 * time.Millisecond): // the broker may be away
			}
		}
	})
	b.t.Cleanup(func() { end(); ended.Wait() })
	select {
	case <-s.ready:
	case <-time.After(within):
		b.t.Fatal("mosquitto_sub has not subscribed")
	}
	return s
}

// Write takes what the program writes.
func (s *Subscription) Write(p []byte) (int, error) {
	s.rest = append(s.rest, p...)
	for {
		line, rest, ok := bytes.Cut(s.rest, []byte("\n"))
		if !ok {
			return len(p), nil
		}
		s.rest = rest
		switch text := string(line); {
		case strings.HasPrefix(text, "Subscribed ("):
			signal(s.ready)
		case strings.HasPrefix(text, "Client "), strings.HasPrefix(text, "Subscribed "),
			strings.HasPrefix(text, "Error: "), strings.HasPrefix(text, "OpenSSL Error"):
		default:
			s.mu.Lock()
			s.lines = append(s.lines, text)
			s.mu.Unlock()
			signal(s.more)
		}
	}
}

func signal(c chan struct{}) {
	select {
	case c <- struct{}{}:
	default:
	}
}

// Next returns the next message, and fails the test if none comes.
func (s *Subscription) Next() string {
	s.t.Helper()
	for late := time.After(within); ; {
		s.mu.Lock()
		if len(s.lines) > 0 {
			line := s.lines[0]
			s.lines = s.lines[1:]
			s.mu.Unlock()
			return line
		}
		s.mu.Unlock()
		select {
		case <-s.more:
		case <-late:
			s.t.Fatal("no message came")
		}
	}
}

func run(t testing.TB, program string, args ...string) string {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), within)
	defer cancel()
	out, err := exec.CommandContext(ctx, find(t, program), args...).CombinedOutput()
	if err != nil {
		return fmt.Sprintf("%s%v", out, err)
	}
	return string(out)
}

func find(t testing.TB, program string) string {
	t.Helper()
	for _, name := range []string{program, "/usr/sbin/" + program} {
		if path, err := exec.LookPath(name); err == nil {
			return path
		}
	}
	t.Fatalf("%s is missing: install Debian's mosquitto and mosquitto-clients", program)
	return ""
}

func findPort(t testing.TB) int {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	return l.Addr().(*net.TCPAddr).Port
}
