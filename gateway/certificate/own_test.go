package certificate

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"
)

func TestBrowserThatTrustsTheCA(t *testing.T) {
	ln, at := listen(t)
	s := open(t, Config{Dir: t.TempDir(), Addr: at, Names: []string{"Door.Example.org", "192.0.2.7",
		"2001:db8::7"}})
	addr, roots, now := serve(t, s, ln), makePool(s.CA()), time.Now()
	names := []string{"localhost", "127.0.0.1", "::1", "door.example.org", "192.0.2.7", "2001:db8::7"}
	if host, err := os.Hostname(); err == nil {
		if h, err := parseHost(host); err == nil {
			names = append(names, h)
		}
	}
	for _, name := range names {
		if state, err := connect(addr, name, roots, now); err != nil || state.Version != tls.VersionTLS13 ||
			state.NegotiatedProtocol != "h2" {
			t.Errorf("%s: got version %x, protocol %q, %v", name, state.Version, state.NegotiatedProtocol,
				err)
		}
	}
	var wrong x509.HostnameError
	if _, err := connect(addr, "other.example.org", roots, now); !errors.As(err, &wrong) {
		t.Errorf("another name: got %v", err)
	}
	var unknown x509.UnknownAuthorityError
	if _, err := connect(addr, "localhost", makePool(), now); !errors.As(err, &unknown) {
		t.Errorf("without the CA: got %v", err)
	}
}

func TestOldTLSIsRefused(t *testing.T) {
	ln, at := listen(t)
	s := open(t, Config{Dir: t.TempDir(), Addr: at})
	addr := serve(t, s, ln)
	for version, taken := range map[uint16]bool{tls.VersionTLS11: false, tls.VersionTLS12: true,
		tls.VersionTLS13: true} {
		c, err := tls.Dial("tcp", addr, &tls.Config{RootCAs: makePool(s.CA()), MinVersion: version,
			MaxVersion: version})
		if (err == nil) != taken {
			t.Errorf("%s: got %v", tls.VersionName(version), err)
		}
		if err == nil {
			_ = c.Close()
		}
	}
}

// The leaf meets the rules of Chromium and Apple for certificates (Apple HT210176 and HT211025),
// which are stricter than Go's.
func TestLeafMeetsRulesOfBrowsers(t *testing.T) {
	ln, at := listen(t)
	s := open(t, Config{Dir: t.TempDir(), Addr: at})
	leaf := mustConnect(t, serve(t, s, ln), "localhost", makePool(s.CA()), time.Now())
	if life := leaf.NotAfter.Sub(leaf.NotBefore); life > 398*24*time.Hour {
		t.Errorf("life: got %v", life)
	}
	if !slices.Equal(leaf.ExtKeyUsage, []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth}) || leaf.IsCA ||
		!leaf.BasicConstraintsValid {
		t.Errorf("got usage %v, CA %t, basic constraints %t", leaf.ExtKeyUsage, leaf.IsCA,
			leaf.BasicConstraintsValid)
	}
	if leaf.SignatureAlgorithm != x509.ECDSAWithSHA256 || leaf.SerialNumber.Sign() != 1 ||
		leaf.SerialNumber.BitLen() > 159 {
		t.Errorf("got %v, serial %v", leaf.SignatureAlgorithm, leaf.SerialNumber)
	}
	ca := s.own.authority()
	critical := map[string]bool{}
	for _, e := range ca.Extensions {
		critical[e.Id.String()] = e.Critical
	}
	if !critical["2.5.29.19"] || !critical["2.5.29.30"] || !critical["2.5.29.15"] {
		t.Errorf("basic constraints, name constraints and key usage are not all critical: %v", critical)
	}
	if len(ca.Subject.CommonName) > 64 {
		t.Errorf("the CA's name is longer than X.520 allows: %q", ca.Subject.CommonName)
	}
}

// A browser that trusts the CA trusts it only for the console's names, not for the rest of the web,
// even if its key is stolen.
func TestCAVouchesForNothingElse(t *testing.T) {
	s := open(t, Config{Dir: t.TempDir(), Addr: netip.MustParseAddrPort("192.168.1.10:8443"),
		Names: []string{"door.example.org"}})
	ca := s.own.ca
	for _, c := range []struct {
		name  string
		hosts []string
		addrs []string
		usage x509.ExtKeyUsage
		good  bool
	}{
		{name: "the console's name", hosts: []string{"door.example.org"}, good: true},
		{name: "the console's address", addrs: []string{"192.168.1.10"}, good: true},
		{name: "another name", hosts: []string{"bank.example"}},
		{name: "a name above", hosts: []string{"example.org"}},
		{name: "a name with the same end", hosts: []string{"outdoor.example.org"}},
		{name: "a wildcard above", hosts: []string{"*.example.org"}},
		{name: "another name besides ours", hosts: []string{"door.example.org", "bank.example"}},
		{name: "another address", addrs: []string{"192.168.1.11"}},
		{name: "another IPv6 address", addrs: []string{"2001:db8::1"}},
		{name: "the console's name for another use", hosts: []string{"door.example.org"},
			usage: x509.ExtKeyUsageCodeSigning},
	} {
		t.Run(c.name, func(t *testing.T) {
			leaf := forgeLeaf(t, ca, c.hosts, c.addrs, c.usage)
			_, err := leaf.Verify(x509.VerifyOptions{Roots: makePool(s.CA()),
				KeyUsages: []x509.ExtKeyUsage{max(c.usage, x509.ExtKeyUsageServerAuth)}})
			if invalid := (x509.CertificateInvalidError{}); c.good != (err == nil) || err != nil &&
				!errors.As(err, &invalid) {
				t.Errorf("got %v", err)
			}
		})
	}
}

// forgeLeaf makes a leaf with a CA's key, for any names and usage.
func forgeLeaf(t *testing.T, ca authority, hosts, addrs []string, usage x509.ExtKeyUsage) *x509.Certificate {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{SerialNumber: newSerial(), NotBefore: ca.cert.NotBefore,
		NotAfter: ca.cert.NotAfter, DNSNames: hosts,
		ExtKeyUsage: []x509.ExtKeyUsage{max(usage, x509.ExtKeyUsageServerAuth)}}
	for _, a := range addrs {
		template.IPAddresses = append(template.IPAddresses, net.ParseIP(a))
	}
	der, err := x509.CreateCertificate(rand.Reader, template, ca.cert, key.Public(), ca.key)
	if err != nil {
		t.Fatal(err)
	}
	leaf, err := x509.ParseCertificate(der)
	if err != nil {
		t.Fatal(err)
	}
	return leaf
}

func TestLeafIsRenewed(t *testing.T) {
	ln, at := listen(t)
	c := newClock()
	s := open(t, Config{Dir: t.TempDir(), Addr: at, Now: c.now})
	addr, roots := serve(t, s, ln), makePool(s.CA())
	const day = 24 * time.Hour
	last := mustConnect(t, addr, "localhost", roots, c.now())
	for _, step := range []struct {
		name  string
		move  time.Duration
		fresh bool
	}{
		{"not before 60 days", 60*day - time.Minute, false},
		{"after 60 days", time.Minute, true},
		{"after a year without a visitor", 365 * day, true},
		{"after the clock was ahead and is set back", -300 * day, true},
	} {
		c.move(step.move)
		leaf := mustConnect(t, addr, "localhost", roots, c.now())
		if fresh := !leaf.Equal(last); fresh != step.fresh {
			t.Errorf("%s: got a new leaf %t, want %t", step.name, fresh, step.fresh)
		}
		last = leaf
	}
}

func TestCAIsReplacedBeforeItEnds(t *testing.T) {
	ln, at := listen(t)
	c, j := newClock(), newJournal()
	s := open(t, Config{Dir: t.TempDir(), Addr: at, Now: c.now, Log: j.logger()})
	addr, before, fingerprint := serve(t, s, ln), s.CA(), s.Fingerprint()
	c.move(caLife - leafLife)
	var unknown x509.UnknownAuthorityError
	if _, err := connect(addr, "localhost", makePool(before), c.now()); !errors.As(err, &unknown) {
		t.Errorf("a client that trusts only the old CA: got %v, want an unknown authority", err)
	}
	mustConnect(t, addr, "localhost", makePool(s.CA()), c.now())
	if bytes.Equal(before, s.CA()) || fingerprint == s.Fingerprint() || j.count("console CA replaced") != 1 {
		text, _ := j.read()
		t.Errorf("the CA is still the same, or its replacement was not logged:\n%s", text)
	}
}

func TestCAIsKeptWhileItCovers(t *testing.T) {
	dir, at := t.TempDir(), netip.MustParseAddrPort("127.0.0.1:8443")
	first := open(t, Config{Dir: dir, Addr: at, Names: []string{"door.example.org"}}).CA()
	for _, c := range []struct {
		name     string
		at       string
		names    []string
		replaced bool
	}{
		{"the same names", "127.0.0.1:8443", []string{"door.example.org"}, false},
		{"one name fewer", "127.0.0.1:8443", nil, false},
		{"a name below a known one", "127.0.0.1:8443", []string{"west.door.example.org"}, false},
		{"another port", "127.0.0.1:443", nil, false},
		{"a new name", "127.0.0.1:8443", []string{"gate.example.org"}, true},
		{"a new address", "192.168.1.10:8443", []string{"gate.example.org"}, true},
		{"every address", "0.0.0.0:8443", []string{"gate.example.org", "192.168.1.10"}, true},
		{"an address within every address", "192.168.1.77:8443", []string{"gate.example.org"}, false},
	} {
		t.Run(c.name, func(t *testing.T) {
			j := newJournal()
			s := open(t, Config{Dir: dir, Addr: netip.MustParseAddrPort(c.at), Names: c.names,
				Log: j.logger()})
			if replaced := !bytes.Equal(s.CA(), first); replaced != c.replaced ||
				(j.count("console CA replaced") == 1) != c.replaced {
				text, _ := j.read()
				t.Errorf("replaced: got %t, want %t, and logged:\n%s", replaced, c.replaced, text)
			}
			first = s.CA()
		})
	}
}

func TestFilesOfTheCA(t *testing.T) {
	dir := t.TempDir()
	s := open(t, Config{Dir: dir})
	inside, err := os.ReadDir(dir)
	if err != nil || len(inside) != 2 {
		t.Errorf("got %v, %v, want two files", inside, err)
	}
	for name, mode := range map[string]os.FileMode{"console-ca.pem": 0o644, "console-ca.key": 0o600} {
		if info, err := os.Stat(filepath.Join(dir, name)); err != nil || info.Mode() != mode {
			t.Errorf("%s: got %v, %v", name, info, err)
		}
	}
	if b, err := os.ReadFile(filepath.Join(dir, "console-ca.pem")); err != nil || !bytes.Equal(b, s.CA()) {
		t.Errorf("the file is not the CA: %v", err)
	}
}

func TestDamagedFilesOfTheCA(t *testing.T) {
	other := t.TempDir()
	open(t, Config{Dir: other})
	foreign, err := os.ReadFile(filepath.Join(other, "console-ca.key"))
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		name   string
		damage func(cert, key string) error
		want   string // a part of the error; empty: a new CA is made, and that is logged
	}{
		{"key that others may read", func(_, key string) error { return os.Chmod(key, 0o640) }, "chmod 600"},
		{"key that is cut off", func(_, key string) error { return os.Truncate(key, 60) }, "console-ca.key"},
		{"certificate file that is empty", func(cert, _ string) error { return os.Truncate(cert, 0) },
			"console-ca.pem"},
		{"certificate file with another content", func(cert, _ string) error {
			return os.WriteFile(cert, foreign, 0o644)
		}, "console-ca.pem"},
		{"certificate file that is too long", func(cert, _ string) error { return os.Truncate(cert, 1<<30) },
			"longer"},
		{"key is gone", func(_, key string) error { return os.Remove(key) }, ""},
		{"certificate is gone", func(cert, _ string) error { return os.Remove(cert) }, ""},
		{"key of another CA", func(_, key string) error { return os.WriteFile(key, foreign, 0o600) }, ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			dir, j := t.TempDir(), newJournal()
			before := open(t, Config{Dir: dir}).CA()
			if err := c.damage(filepath.Join(dir, "console-ca.pem"),
				filepath.Join(dir, "console-ca.key")); err != nil {
				t.Fatal(err)
			}
			s, err := Open(Config{Dir: dir, Log: j.logger()})
			if c.want != "" {
				if err == nil || !strings.Contains(err.Error(), c.want) {
					t.Errorf("got %v, want %q in it", err, c.want)
				}
				return
			}
			if err != nil || bytes.Equal(s.CA(), before) || j.count("console CA replaced") != 1 {
				t.Errorf("got %v, and the CA is still the same, or its replacement was not logged", err)
			}
		})
	}
}

// placed is a connection with another local address.
type placed struct {
	net.Conn
	at net.Addr
}

func (p placed) LocalAddr() net.Addr { return p.at }

// If a Raspberry Pi listens on all addresses, it may get its address from the router only after the
// gateway has started.
func TestAddressThatCameLater(t *testing.T) {
	s := open(t, Config{Dir: t.TempDir(), Addr: netip.MustParseAddrPort("[::]:8443")})
	for _, c := range []struct {
		at    string
		named bool
	}{
		{"192.168.178.20", true},
		{"fd00::20", true},
		{"100.101.102.103", true},
		{"2001:db8::20", false}, // a public address must be in Names
	} {
		near, far := net.Pipe()
		server := tls.Server(placed{near, &net.TCPAddr{IP: net.ParseIP(c.at), Port: 8443}}, s.TLS())
		done := make(chan error, 1)
		go func() { done <- errors.Join(server.Handshake(), near.Close()) }()
		client := tls.Client(far, &tls.Config{ServerName: c.at, RootCAs: makePool(s.CA())})
		err := client.Handshake()
		if (err == nil) != c.named {
			t.Errorf("%s: got %v", c.at, err)
		}
		_ = far.Close()
		<-done
	}
}
