package certificate

import (
	"bytes"
	"crypto/tls"
	"crypto/x509"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// files names the files of a certificate and its key that an operator provides.
type files struct{ cert, key string }

func newFiles(t *testing.T) files {
	dir := t.TempDir()
	return files{filepath.Join(dir, "cert.pem"), filepath.Join(dir, "key.pem")}
}

// makeIssuer makes a CA that is not the gateway's.
func makeIssuer(t *testing.T) authority {
	t.Helper()
	ca, err := newCA(names{hosts: []string{"example.org"}}, time.Now())
	if err != nil {
		t.Fatal(err)
	}
	return ca
}

func makePair(t *testing.T, ca authority, now time.Time, hosts ...string) (cert, key []byte) {
	t.Helper()
	c, err := ca.sign(hosts, nil, now)
	if err != nil {
		t.Fatal(err)
	}
	der, err := x509.MarshalPKCS8PrivateKey(c.PrivateKey)
	if err != nil {
		t.Fatal(err)
	}
	return encodeCertificate(c.Leaf.Raw), encodeKey(der)
}

func (f files) write(t *testing.T, cert, key []byte) {
	t.Helper()
	for path, b := range map[string][]byte{f.cert: cert, f.key: key} {
		if err := writeWhole(path, b, 0o600); err != nil {
			t.Fatal(err)
		}
	}
}

func TestGivenCertificate(t *testing.T) {
	ca, f, j := makeIssuer(t), newFiles(t), newJournal()
	cert, key := makePair(t, ca, time.Now(), "door.example.org")
	f.write(t, cert, key)
	ln, at := listen(t)
	dir := t.TempDir()
	s := open(t, Config{Dir: dir, Addr: at, Names: []string{"door.example.org", "gate.example.org"},
		CertFile: f.cert, KeyFile: f.key, Log: j.logger()})
	leaf := mustConnect(t, serve(t, s, ln), "door.example.org", makePool(encodeCertificate(ca.cert.Raw)),
		time.Now())
	if !bytes.Equal(encodeCertificate(leaf.Raw), cert) {
		t.Error("another certificate is served")
	}
	if s.CA() != nil {
		t.Error("there is a CA")
	}
	if inside, err := os.ReadDir(dir); err != nil || len(inside) != 0 {
		t.Errorf("the folder has %v, %v", inside, err)
	}
	if parts := strings.Split(s.Fingerprint(), ":"); len(parts) != 32 || len(parts[0]) != 2 {
		t.Errorf("fingerprint %q", s.Fingerprint())
	}
	if j.count("does not name the console") != 1 || j.count("name=gate.example.org") != 1 {
		text, _ := j.read()
		t.Errorf("want one warning about the missing name, and no other:\n%s", text)
	}
}

func TestGivenCertificateThatIsRefused(t *testing.T) {
	ca, now := makeIssuer(t), time.Now()
	cert, key := makePair(t, ca, now, "door.example.org")
	_, otherKey := makePair(t, ca, now, "door.example.org")
	old, oldKey := makePair(t, ca, now.Add(-leafLife-time.Hour), "door.example.org")
	nameless, namelessKey := makePair(t, ca, now)
	for _, c := range []struct {
		name      string
		cert, key []byte
		want      string
	}{
		{"key of another", cert, otherKey, "does not match"},
		{"expired", old, oldKey, "expired on "},
		{"no names", nameless, namelessKey, "names no host"},
		{"empty certificate", nil, key, "cert.pem"},
		{"empty key", cert, nil, "key.pem"},
		{"certificate cut off", cert[:100], key, "cert.pem"},
		{"too long", bytes.Repeat([]byte("a"), maxFile+1), key, "longer"},
	} {
		t.Run(c.name, func(t *testing.T) {
			f := newFiles(t)
			f.write(t, c.cert, c.key)
			_, err := Open(Config{CertFile: f.cert, KeyFile: f.key})
			if err == nil || !strings.Contains(err.Error(), c.want) {
				t.Errorf("got %v, want %q in it", err, c.want)
			}
			if err != nil && len(c.key) > 0 && strings.Contains(err.Error(), strings.Split(string(c.key),
				"\n")[1]) {
				t.Errorf("the error contains the key")
			}
		})
	}
	f := newFiles(t)
	for name, cfg := range map[string]Config{
		"no such file":      {CertFile: f.cert, KeyFile: f.key},
		"certificate alone": {CertFile: f.cert},
		"key alone":         {KeyFile: f.key},
		"ACME at the same time": {CertFile: f.cert, KeyFile: f.key, ACME: &ACME{Name: "door.example.org",
			Agreed: true}, Addr: netip.MustParseAddrPort("127.0.0.1:8443")},
	} {
		if _, err := Open(cfg); err == nil {
			t.Errorf("%s: accepted, want an error", name)
		}
	}
}

func TestGivenCertificateIsLoadedAgain(t *testing.T) {
	ca, f, j, c := makeIssuer(t), newFiles(t), newJournal(), newClock()
	cert, key := makePair(t, ca, c.now(), "door.example.org")
	f.write(t, cert, key)
	ln, at := listen(t)
	s := open(t, Config{Addr: at, CertFile: f.cert, KeyFile: f.key, Log: j.logger(), Now: c.now})
	addr, roots := serve(t, s, ln), makePool(encodeCertificate(ca.cert.Raw))
	served := func(want []byte) {
		t.Helper()
		if leaf := mustConnect(t, addr, "door.example.org", roots,
			c.now()); !bytes.Equal(encodeCertificate(leaf.Raw), want) {
			t.Error("another certificate is served")
		}
	}
	newer, newerKey := makePair(t, ca, c.now(), "door.example.org")
	f.write(t, newer, newerKey)
	c.move(look - time.Second)
	served(cert) // the files have not been read again yet
	c.move(time.Second)
	served(newer)

	f.write(t, newer[:50], newerKey)
	for range 3 { // it is logged only once
		c.move(look)
		served(newer)
	}
	if n := j.count("not used"); n != 1 {
		t.Errorf("a broken file was logged %d times, want once", n)
	}
	if err := os.Remove(f.key); err != nil {
		t.Fatal(err)
	}
	for range 3 {
		c.move(look)
		served(newer)
	}
	if n := j.count("not used"); n != 2 {
		t.Errorf("a broken file and a missing one were logged %d times, want twice", n)
	}
	f.write(t, cert, key)
	c.move(look)
	served(cert)
}

func TestGivenKeyThatOthersMayRead(t *testing.T) {
	f, j, c := newFiles(t), newJournal(), newClock()
	cert, key := makePair(t, makeIssuer(t), c.now(), "door.example.org")
	f.write(t, cert, key)
	if err := os.Chmod(f.key, 0o644); err != nil {
		t.Fatal(err)
	}
	s := open(t, Config{CertFile: f.cert, KeyFile: f.key, Log: j.logger(), Now: c.now})
	for range 3 {
		c.move(look)
		if _, err := s.certificate(&tls.ClientHelloInfo{}); err != nil {
			t.Fatal(err)
		}
	}
	if n := j.count("chmod 600"); n != 1 {
		t.Errorf("logged %d times, want once", n)
	}
}
