package website_test

import (
	"bufio"
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"errors"
	"net/netip"
	"os/exec"
	"path/filepath"
	"strconv"
	"testing"

	"latchkey/gateway/certificate"
	"latchkey/gateway/website"
)

// An ACME server checks the name at the child, which holds neither the account nor the CA, and
// browsers get the certificate that it issued.
func TestACMECheckThroughTheChild(t *testing.T) {
	const name = "door.example.org"
	var source *certificate.Source
	var public *x509.CertPool
	s := newSite(t, "strict", func(cfg *website.Config) {
		at := netip.MustParseAddrPort(cfg.Listener.Addr().String())
		directory, server, root := startACMEServer(t, at.Port())
		public = root
		var err error
		source, err = certificate.Open(certificate.Config{Dir: t.TempDir(), Addr: at,
			Log:  cfg.Log.With("of", "certificate"),
			ACME: &certificate.ACME{Name: name, Directory: directory, Roots: server, Agreed: true}})
		if err != nil {
			t.Fatal(err)
		}
		cfg.Certificates = source
	})
	s.want(s.newVisitor(), "/hello", "127.0.0.1") // the child serves its first certificate
	if err := s.connect(name, public); err == nil {
		t.Fatal("the ACME certificate is there before it was requested")
	}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- source.Run(ctx) }()
	t.Cleanup(func() {
		cancel()
		if err := <-done; err != nil {
			t.Error(err)
		}
	})
	s.eventually("the child serves the ACME certificate",
		func() bool { return s.connect(name, public) == nil })
	if err := s.connect("localhost", public); err == nil {
		t.Error("a visitor of another name got the ACME certificate")
	}
}

// connect opens a connection like a browser that trusts only these CAs.
func (s *site) connect(name string, trusted *x509.CertPool) error {
	c, err := tls.Dial("tcp", s.addr, &tls.Config{ServerName: name, RootCAs: trusted})
	if err != nil {
		return err
	}
	return c.Close()
}

// startACMEServer starts an ACME server as a process (see gateway/certificate/peers/pebble), which
// resolves all names to 127.0.0.1 and checks them at a port there. It returns the address of its
// directory, the CAs of its own certificate, and the CAs of those that it issues.
func startACMEServer(t *testing.T, port uint16) (directory string, server, root *x509.CertPool) {
	t.Helper()
	path := filepath.Join(t.TempDir(), "pebble")
	source := filepath.Join("..", "certificate", "peers", "pebble")
	build := exec.Command("go", "build", "-C", source, "-o", path, ".")
	if out, err := build.CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	cmd := exec.Command(path, "-check-port", strconv.Itoa(int(port)))
	in, err1 := cmd.StdinPipe()
	out, err2 := cmd.StdoutPipe()
	if err := errors.Join(err1, err2, cmd.Start()); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := errors.Join(in.Close(), cmd.Wait()); err != nil {
			t.Error(err)
		}
	})
	var printed struct{ Directory, Server, Root string }
	line, err := bufio.NewReader(out).ReadBytes('\n')
	if err := errors.Join(err, json.Unmarshal(line, &printed)); err != nil {
		t.Fatal(err)
	}
	server, root = x509.NewCertPool(), x509.NewCertPool()
	if !server.AppendCertsFromPEM([]byte(printed.Server)) || !root.AppendCertsFromPEM([]byte(printed.Root)) {
		t.Fatal("the ACME server has printed no certificates")
	}
	return printed.Directory, server, root
}
