// Package natstest starts NATS's own server on loopback for tests, with JetStream, certificates and
// rights, and reads there by the stock client. It is for tests only.
package natstest

import (
	"bufio"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"latchkey/gateway/endpoint"
	"latchkey/gateway/endpoint/testca"
	"latchkey/gateway/sink/sinktest"
	"latchkey/keys"
)

// Server is NATS's own server, which runs as a process of its own: see peers/natsserver of natsout.
type Server struct {
	CA   *testca.Authority // nil without TLS
	t    testing.TB
	dir  string
	port int

	stop func()
}

var (
	mu    sync.Mutex
	built string // guarded by mu; the folder with the server's program; empty: there is none
)

// Build returns the path of the server's program, and builds it if there is none. Remove removes it.
func Build() (path string, err error) {
	mu.Lock()
	defer mu.Unlock()
	if built != "" {
		return filepath.Join(built, "natsserver"), nil
	}
	source, err := exec.Command("go", "list", "-f", "{{.Dir}}", "latchkey/gateway/sink/natsout").Output()
	if err != nil {
		return "", err
	}
	dir, err := os.MkdirTemp("", "latchkey-nats-")
	if err != nil {
		return "", err
	}
	path = filepath.Join(dir, "natsserver")
	peer := filepath.Join(strings.TrimSpace(string(source)), "peers", "natsserver")
	if out, err := exec.Command("go", "build", "-C", peer, "-o", path, ".").CombinedOutput(); err != nil {
		return "", errors.Join(errors.New(string(out)), os.RemoveAll(dir))
	}
	built = dir
	return path, nil
}

// Remove removes the server's program, if there is one.
func Remove() {
	mu.Lock()
	defer mu.Unlock()
	if built != "" {
		_ = os.RemoveAll(built)
		built = ""
	}
}

// Start starts a server with JetStream that runs until the test ends. lines are added to its
// configuration.
func Start(t testing.TB, secure bool, lines string) *Server {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	l.Close()
	s := &Server{t: t, dir: t.TempDir(), port: l.Addr().(*net.TCPAddr).Port}
	if secure {
		s.CA = testca.New(t)
		cert, key := s.CA.Issue(t, "nats")
		s.write("ca.pem", s.CA.PEM)
		s.write("cert.pem", cert)
		s.write("key.pem", key)
	}
	s.Restart(lines)
	t.Cleanup(func() {
		s.stop()
		if t.Failed() {
			said, _ := os.ReadFile(s.path("log"))
			t.Logf("nats-server:\n%s", said[max(0, len(said)-4000):])
		}
	})
	return s
}

func (s *Server) path(name string) string { return filepath.Join(s.dir, name) }

func (s *Server) write(name, content string) {
	s.t.Helper()
	if err := os.WriteFile(s.path(name), []byte(content), 0o600); err != nil {
		s.t.Fatal(err)
	}
}

// Addr is host:port of the server.
func (s *Server) Addr() string { return fmt.Sprintf("127.0.0.1:%d", s.port) }

// Restart stops the server, if it runs, and starts it with these lines. Its streams stay.
func (s *Server) Restart(lines string) {
	s.t.Helper()
	path, err := Build()
	if err != nil {
		s.t.Fatal(err)
	}
	if s.stop != nil {
		s.stop()
	}
	conf := fmt.Sprintf("listen: %s\njetstream { store_dir: %q }\nlog_file: %q\n%s\n", s.Addr(), s.path("store"),
		s.path("log"), lines)
	if s.CA != nil {
		conf += fmt.Sprintf("tls { cert_file: %q, key_file: %q, ca_file: %q, verify_and_map: true }\n",
			s.path("cert.pem"), s.path("key.pem"), s.path("ca.pem"))
	}
	s.write("conf", conf)
	cmd := exec.Command(path, s.path("conf"))
	cmd.Stderr = os.Stderr
	in, err1 := cmd.StdinPipe()
	out, err2 := cmd.StdoutPipe()
	if err := errors.Join(err1, err2, cmd.Start()); err != nil {
		s.t.Fatal(err)
	}
	s.stop = sync.OnceFunc(func() {
		if err := errors.Join(in.Close(), cmd.Wait()); err != nil {
			s.t.Error(err)
		}
	})
	if line, err := bufio.NewReader(out).ReadString('\n'); line != "ready\n" {
		s.t.Fatalf("the server says %q, %v", line, err)
	}
}

// EndpointAt is how a user gets to the server, by way of a proxy: with a certificate of its own.
func (s *Server) EndpointAt(addr, user string) endpoint.Endpoint {
	if s.CA == nil {
		return endpoint.Endpoint{URL: "nats://" + addr, Private: true}
	}
	cert, key := s.CA.Issue(s.t, user)
	return endpoint.Endpoint{URL: "tls://" + addr, Private: true, CA: s.CA.PEM, Cert: cert, Key: keys.Hide(key)}
}

// Endpoint is how a user gets to the server.
func (s *Server) Endpoint(user string) endpoint.Endpoint { return s.EndpointAt(s.Addr(), user) }

// Stop stops the server. Restart starts it again.
func (s *Server) Stop() { s.stop() }

// Admin connects by the stock client.
func (s *Server) Admin(user string) jetstream.JetStream {
	s.t.Helper()
	url, options := "nats://"+s.Addr(), []nats.Option{}
	if s.CA != nil {
		cert, key := s.CA.Issue(s.t, user)
		pair, err := tls.X509KeyPair([]byte(cert), []byte(key))
		if err != nil {
			s.t.Fatal(err)
		}
		pool := x509.NewCertPool()
		pool.AppendCertsFromPEM([]byte(s.CA.PEM))
		options = append(options, nats.Secure(&tls.Config{RootCAs: pool, Certificates: []tls.Certificate{pair}}))
	} else if user != "" {
		name, password, _ := strings.Cut(user, ":")
		options = append(options, nats.UserInfo(name, password))
	}
	conn, err := nats.Connect(url, append(options, nats.ReconnectWait(10e6), nats.MaxReconnects(-1))...)
	if err != nil {
		s.t.Fatal(err)
	}
	s.t.Cleanup(conn.Close)
	js, err := jetstream.New(conn, jetstream.WithDefaultTimeout(sinktest.Within))
	if err != nil {
		s.t.Fatal(err)
	}
	return js
}

// Stream makes a stream on disk.
func (s *Server) Stream(js jetstream.JetStream, c jetstream.StreamConfig) jetstream.Stream {
	s.t.Helper()
	c.Storage = jetstream.FileStorage
	stream, err := js.CreateStream(s.t.Context(), c)
	if err != nil {
		s.t.Fatal(err)
	}
	return stream
}

// Read returns the next messages of a stream.
func Read(t testing.TB, js jetstream.JetStream, stream string, n int) []jetstream.Msg {
	t.Helper()
	consumer, err := js.OrderedConsumer(t.Context(), stream, jetstream.OrderedConsumerConfig{})
	if err != nil {
		t.Fatal(err)
	}
	var all []jetstream.Msg
	for len(all) < n {
		batch, err := consumer.Fetch(min(n-len(all), 1000), jetstream.FetchMaxWait(sinktest.Within))
		if err != nil {
			t.Fatal(err)
		}
		before := len(all)
		for m := range batch.Messages() {
			all = append(all, m)
		}
		if len(all) == before {
			t.Fatalf("the stream has %d messages, want %d: %v", len(all), n, batch.Error())
		}
	}
	return all
}
