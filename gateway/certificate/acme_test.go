package certificate

import (
	"bufio"
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"errors"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"
)

// pebble is an ACME server that runs as a process of its own: see peers/pebble.
type pebble struct {
	Directory    string
	Server, Root string // PEM
	stop         func()
}

var buildPebble = sync.OnceValues(func() (string, error) {
	dir, err := os.MkdirTemp("", "latchkey-pebble-")
	if err != nil {
		return "", err
	}
	path := filepath.Join(dir, "pebble")
	out, err := exec.Command("go", "build", "-C", filepath.Join("peers", "pebble"), "-o", path,
		".").CombinedOutput()
	if err != nil {
		return "", errors.New(string(out))
	}
	return path, nil
})

// startPebble starts a server that validates names at this port of 127.0.0.1.
func startPebble(t *testing.T, port uint16, args ...string) *pebble {
	t.Helper()
	path, err := buildPebble()
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command(path, append([]string{"-check-port", strconv.Itoa(int(port))}, args...)...)
	in, err1 := cmd.StdinPipe()
	out, err2 := cmd.StdoutPipe()
	if err := errors.Join(err1, err2, cmd.Start()); err != nil {
		t.Fatal(err)
	}
	p := &pebble{stop: sync.OnceFunc(func() {
		if err := errors.Join(in.Close(), cmd.Wait()); err != nil {
			t.Error(err)
		}
	})}
	t.Cleanup(p.stop)
	line, err := bufio.NewReader(out).ReadBytes('\n')
	if err := errors.Join(err, json.Unmarshal(line, p)); err != nil {
		t.Fatal(err)
	}
	return p
}

// runSource runs s until stop is called or the test ends.
func runSource(t *testing.T, s *Source) (stop func()) {
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- s.Run(ctx) }()
	stop = sync.OnceFunc(func() {
		cancel()
		if err := <-done; err != nil {
			t.Error(err)
		}
	})
	t.Cleanup(stop)
	return stop
}

const outside = "door.example.org"

func (p *pebble) config(dir string, at netip.AddrPort, j *journal) Config {
	return Config{Dir: dir, Addr: at, Log: j.logger(),
		ACME: &ACME{Name: outside, Directory: p.Directory, Roots: makePool([]byte(p.Server)), Agreed: true}}
}

func TestACME(t *testing.T) {
	dir, j := t.TempDir(), newJournal()
	ln, at := listen(t)
	p := startPebble(t, at.Port())
	s := open(t, p.config(dir, at, j))
	addr, public := serve(t, s, ln), makePool([]byte(p.Root))

	// Before the ACME certificate is there, a client that trusts the own CA can connect under the
	// same name.
	mustConnect(t, addr, outside, makePool(s.CA()), time.Now())
	if _, err := connect(addr, outside, public, time.Now()); err == nil {
		t.Fatal("the ACME certificate is there before it was requested")
	}
	stop := runSource(t, s)
	j.wait(t, "ACME certificate in use")
	leaf := mustConnect(t, addr, outside, public, time.Now())
	// Under other names clients still get the certificate of the own CA.
	mustConnect(t, addr, "localhost", makePool(s.CA()), time.Now())
	mustConnect(t, addr, "127.0.0.1", makePool(s.CA()), time.Now())
	if n := j.count("level=WARN") + j.count("level=ERROR"); n != 0 {
		text, _ := j.read()
		t.Errorf("the log has warnings or errors:\n%s", text)
	}
	stop()
	mustConnect(t, addr, outside, makePool(s.CA()), time.Now())
	p.stop()

	// After a restart the certificate comes from storage, because the server has stopped.
	j = newJournal()
	again, at := listen(t)
	s = open(t, p.config(dir, at, j))
	addr = serve(t, s, again)
	runSource(t, s)
	j.wait(t, "ACME certificate in use")
	if got := mustConnect(t, addr, outside, public, time.Now()); !got.Equal(leaf) {
		t.Error("another certificate is served after a restart")
	}
	checkModes(t, filepath.Join(dir, "acme"))
}

// checkModes checks that nobody else may read the files in dir.
func checkModes(t *testing.T, dir string) {
	t.Helper()
	keys := 0
	err := filepath.WalkDir(dir, func(path string, d os.DirEntry, err error) error {
		if err != nil {
			return err
		}
		info, err := d.Info()
		if err == nil && info.Mode().Perm()&0o077 != 0 {
			t.Errorf("%s has mode %v", path, info.Mode())
		}
		if strings.HasSuffix(path, ".key") {
			keys++
		}
		return err
	})
	if err != nil || keys < 2 {
		t.Errorf("got %d keys, %v, want those of the account and the certificate", keys, err)
	}
}

func TestACMECertificateThatEndedIsRenewed(t *testing.T) {
	dir, j := t.TempDir(), newJournal()
	ln, at := listen(t)
	p := startPebble(t, at.Port(), "-life", "5s")
	s := open(t, p.config(dir, at, j))
	addr, public := serve(t, s, ln), makePool([]byte(p.Root))
	stop := runSource(t, s)
	j.wait(t, "ACME certificate in use")
	first := mustConnect(t, addr, outside, public, time.Now())
	stop()

	// The gateway is off until the certificate has expired.
	<-time.After(time.Until(first.NotAfter))
	j = newJournal()
	again, at2 := listen(t)
	p2 := startPebble(t, at2.Port())
	cfg := p2.config(dir, at2, j)
	// Its URL tells the gateway which server it is. The new server has another URL, so nothing
	// stored for the first one is used for it.
	s = open(t, cfg)
	addr = serve(t, s, again)
	mustConnect(t, addr, outside, makePool(s.CA()), time.Now())
	runSource(t, s)
	j.wait(t, "ACME certificate in use")
	if got := mustConnect(t, addr, outside, makePool([]byte(p2.Root)), time.Now()); got.Equal(first) {
		t.Error("the expired certificate is served")
	}
}

// If port 443 is not forwarded, the log says so, once for each try.
func TestACMEThatIsRefused(t *testing.T) {
	closed, nobody := listen(t)
	if err := closed.Close(); err != nil {
		t.Fatal(err)
	}
	j := newJournal()
	ln, at := listen(t)
	p := startPebble(t, nobody.Port())
	s := open(t, p.config(t.TempDir(), at, j))
	addr := serve(t, s, ln)
	runSource(t, s)
	j.wait(t, "will retry")
	for _, want := range []string{"level=WARN", "name=" + outside, "does " + outside +
		" point to this network", at.String(), "Failed to connect", "again=1m0s"} {
		if j.count(want) == 0 {
			text, _ := j.read()
			t.Errorf("no %q in the log:\n%s", want, text)
		}
	}
	if n := j.count("level=WARN"); n != 1 {
		text, _ := j.read()
		t.Errorf("%d lines for one try:\n%s", n, text)
	}
	mustConnect(t, addr, outside, makePool(s.CA()), time.Now())
}

// A client that pretends to be an ACME server gets no certificate from certmagic, neither for the
// name nor for another one.
func TestACMECheckThatNobodyAskedFor(t *testing.T) {
	ln, at := listen(t)
	p := startPebble(t, at.Port())
	j := newJournal()
	s := open(t, p.config(t.TempDir(), at, j))
	addr := serve(t, s, ln)
	runSource(t, s)
	j.wait(t, "ACME certificate in use")
	for name, want := range map[string]bool{outside: false, "../../" + outside: true,
		"other.example.org": true} {
		c, err := tls.Dial("tcp", addr, &tls.Config{ServerName: name, NextProtos: []string{acmeProtocol},
			InsecureSkipVerify: true})
		if (err == nil) != want {
			t.Errorf("%s: got %v", name, err)
			continue
		}
		if err == nil {
			got := c.ConnectionState().PeerCertificates[0]
			if got.CheckSignatureFrom(s.own.authority()) != nil {
				t.Errorf("%s: got a certificate that is not of the own CA", name)
			}
			_ = c.Close()
		}
	}
}

func TestACMEConfigThatIsRefused(t *testing.T) {
	bound := netip.MustParseAddrPort("127.0.0.1:8443")
	for _, c := range []struct {
		name string
		at   netip.AddrPort
		acme ACME
		want string
	}{
		{"terms not agreed to", bound, ACME{Name: outside}, "agreed"},
		{"no name", bound, ACME{Agreed: true}, "host name"},
		{"name of this network only", bound, ACME{Name: "raspberrypi", Agreed: true}, "public DNS"},
		{"an address", bound, ACME{Name: "192.0.2.1", Agreed: true}, "host name"},
		{"the provider's own name", bound, ACME{Name: "duckdns.org", Agreed: true}, "others"},
		{"no listener", netip.AddrPort{}, ACME{Name: outside, Agreed: true}, "bound"},
		{"directory without TLS", bound, ACME{Name: outside, Agreed: true, Directory: "http://192.0.2.1/dir"},
			"https"},
	} {
		dir := t.TempDir()
		if _, err := Open(Config{Dir: dir, Addr: c.at, ACME: &c.acme}); err == nil ||
			!strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: got %v, want %q in it", c.name, err, c.want)
		}
		if inside, err := os.ReadDir(dir); err != nil || len(inside) != 0 {
			t.Errorf("%s: left %v, %v", c.name, inside, err)
		}
	}
}

var _ = x509.NewCertPool
