package natsout

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

// server is NATS's own server, which runs as a process of its own: see peers/natsserver.
type server struct {
	t    testing.TB
	dir  string
	port int
	ca   *testca.Authority // nil without TLS

	stop func()
}

// built is the folder with the server's program, once it was built.
var built string

var buildServer = sync.OnceValues(func() (string, error) {
	dir, err := os.MkdirTemp("", "latchkey-nats-")
	if err != nil {
		return "", err
	}
	built = dir
	path := filepath.Join(dir, "natsserver")
	out, err := exec.Command("go", "build", "-C", filepath.Join("peers", "natsserver"), "-o", path,
		".").CombinedOutput()
	if err != nil {
		return "", errors.New(string(out))
	}
	return path, nil
})

// startServer starts a server with JetStream that runs until the test ends. lines are added to its
// configuration.
func startServer(t testing.TB, secure bool, lines string) *server {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	l.Close()
	s := &server{t: t, dir: t.TempDir(), port: l.Addr().(*net.TCPAddr).Port}
	if secure {
		s.ca = testca.New(t)
		cert, key := s.ca.Issue(t, "nats")
		s.write("ca.pem", s.ca.PEM)
		s.write("cert.pem", cert)
		s.write("key.pem", key)
	}
	s.restart(lines)
	t.Cleanup(func() {
		s.stop()
		if t.Failed() {
			said, _ := os.ReadFile(s.path("log"))
			t.Logf("nats-server:\n%s", said[max(0, len(said)-4000):])
		}
	})
	return s
}

func (s *server) path(name string) string { return filepath.Join(s.dir, name) }

func (s *server) write(name, content string) {
	s.t.Helper()
	if err := os.WriteFile(s.path(name), []byte(content), 0o600); err != nil {
		s.t.Fatal(err)
	}
}

func (s *server) addr() string { return fmt.Sprintf("127.0.0.1:%d", s.port) }

// restart stops the server, if it runs, and starts it with these lines. Its streams stay.
func (s *server) restart(lines string) {
	s.t.Helper()
	path, err := buildServer()
	if err != nil {
		s.t.Fatal(err)
	}
	if s.stop != nil {
		s.stop()
	}
	conf := fmt.Sprintf("listen: %s\njetstream { store_dir: %q }\nlog_file: %q\n%s\n", s.addr(), s.path("store"),
		s.path("log"), lines)
	if s.ca != nil {
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

// endpointAt is how a user gets to the server, by way of a proxy: with a certificate of its own.
func (s *server) endpointAt(addr, user string) endpoint.Endpoint {
	if s.ca == nil {
		return endpoint.Endpoint{URL: "nats://" + addr, Private: true}
	}
	cert, key := s.ca.Issue(s.t, user)
	return endpoint.Endpoint{URL: "tls://" + addr, Private: true, CA: s.ca.PEM, Cert: cert, Key: keys.Hide(key)}
}

func (s *server) endpoint(user string) endpoint.Endpoint { return s.endpointAt(s.addr(), user) }

// admin connects by the stock client.
func (s *server) admin(user string) jetstream.JetStream {
	s.t.Helper()
	url, options := "nats://"+s.addr(), []nats.Option{}
	if s.ca != nil {
		cert, key := s.ca.Issue(s.t, user)
		pair, err := tls.X509KeyPair([]byte(cert), []byte(key))
		if err != nil {
			s.t.Fatal(err)
		}
		pool := x509.NewCertPool()
		pool.AppendCertsFromPEM([]byte(s.ca.PEM))
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

// stream makes a stream on disk.
func (s *server) stream(js jetstream.JetStream, c jetstream.StreamConfig) jetstream.Stream {
	s.t.Helper()
	c.Storage = jetstream.FileStorage
	stream, err := js.CreateStream(s.t.Context(), c)
	if err != nil {
		s.t.Fatal(err)
	}
	return stream
}

// read returns the next messages of a stream.
func read(t testing.TB, js jetstream.JetStream, stream string, n int) []jetstream.Msg {
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
