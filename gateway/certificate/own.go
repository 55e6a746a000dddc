package certificate

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"math/big"
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"time"
)

const (
	caLife   = 10 * 365 * 24 * time.Hour
	leafLife = 90 * 24 * time.Hour // Apple accepts 825 days from a CA that a person installed, else 398
	leafRest = 30 * 24 * time.Hour // remaining life at which a leaf is replaced
	// early is for browsers whose clock is behind.
	early = time.Hour
	// maxReached bounds how many of this machine's addresses the leaf names.
	maxReached = 64
)

// own is a CA made here, and its leaf, which is only in memory.
type own struct {
	dir   string
	names names
	log   *slog.Logger
	now   func() time.Time

	mu   sync.Mutex
	ca   authority        // guarded by mu
	leaf *tls.Certificate // guarded by mu
	// reached are addresses of this machine to which somebody connected, so the leaf names them;
	// guarded by mu.
	reached []netip.Addr
	tried   time.Time // guarded by mu; when making a leaf was last tried
}

// authority is a CA's certificate and key.
type authority struct {
	cert *x509.Certificate
	key  *ecdsa.PrivateKey
}

func (o *own) open() error {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.renew(o.now())
}

func (o *own) authority() *x509.Certificate {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.ca.cert
}

// certificate returns the leaf. It first makes a new one if the old one will soon expire or is not
// valid yet, or if somebody connects to an address that the leaf does not name.
func (o *own) certificate(at netip.Addr) *tls.Certificate {
	o.mu.Lock()
	defer o.mu.Unlock()
	now := o.now()
	fresh := !now.Before(o.leaf.Leaf.NotBefore) && now.Before(o.leaf.Leaf.NotAfter.Add(-leafRest))
	late := within(o.names.nets, at) && !slices.Contains(o.reached, at) && !slices.Contains(o.names.addrs,
		at) && len(o.reached) < maxReached
	if fresh && !late {
		return o.leaf
	}
	if late {
		o.reached = append(o.reached, at)
	} else if since := now.Sub(o.tried); since >= 0 && since < time.Minute {
		return o.leaf // making one has just failed, and that was logged
	}
	if err := o.renew(now); err != nil {
		o.log.Error("console certificate not renewed", "err", err)
	}
	return o.leaf
}

// renew makes a leaf. If no CA covers it, renew makes a CA first. The caller holds mu.
func (o *own) renew(now time.Time) error {
	o.tried = now
	if err := o.ensureCA(now); err != nil {
		return err
	}
	leaf, err := o.ca.sign(o.names.hosts, append(slices.Clone(o.names.addrs), o.reached...), now)
	if err != nil {
		return err
	}
	o.leaf = leaf
	return nil
}

// ensureCA loads the CA or makes one. It replaces a CA that does not fit any more, and then
// everybody who trusts the old one must install the new one.
func (o *own) ensureCA(now time.Time) error {
	if o.ca.cert != nil && o.ca.cert.NotAfter.After(now.Add(leafLife)) {
		return nil
	}
	certFile, keyFile := filepath.Join(o.dir, CAFile), filepath.Join(o.dir, "console-ca.key")
	ca, err := loadCA(certFile, keyFile)
	why := ""
	switch {
	case errors.Is(err, errHalf):
		why = "its files do not belong together"
	case errors.Is(err, fs.ErrNotExist):
	case err != nil:
		return err
	case !o.names.coveredBy(ca.cert):
		why = "it may not sign for the present names of the console"
	case !ca.cert.NotAfter.After(now.Add(leafLife)):
		why = "it has expired, or soon will"
	default:
		o.ca = ca
		return nil
	}
	if ca, err = newCA(o.names, now); err != nil {
		return err
	}
	key, err := x509.MarshalPKCS8PrivateKey(ca.key)
	if err != nil {
		return fmt.Errorf("certificate: %w", err)
	}
	// Write the key first, so that there is never a CA certificate without its key.
	if err := errors.Join(writeWhole(keyFile, encodeKey(key), 0o600),
		writeWhole(certFile, encodeCertificate(ca.cert.Raw), 0o644)); err != nil {
		return fmt.Errorf("certificate: write the console's CA: %w", err)
	}
	o.ca = ca
	if why == "" {
		o.log.Info("console CA made", "file", certFile, "names", o.names.hosts)
	} else {
		o.log.Warn("console CA replaced: put the new one on each phone and browser that trusts the old one, and remove that",
			"file", certFile, "names", o.names.hosts, "reason", why)
	}
	return nil
}

// errHalf is the error for a CA with one file missing, or with files that do not match: the program
// ended between writing the two, or somebody removed one.
var errHalf = errors.New("not a pair")

func loadCA(certFile, keyFile string) (authority, error) {
	_, certErr := os.Stat(certFile)
	info, keyErr := os.Stat(keyFile)
	switch certGone, keyGone := errors.Is(certErr, fs.ErrNotExist), errors.Is(keyErr, fs.ErrNotExist); {
	case certGone && keyGone:
		return authority{}, fs.ErrNotExist
	case certGone || keyGone:
		return authority{}, errHalf
	case certErr != nil || keyErr != nil:
		return authority{}, fmt.Errorf("certificate: the console's CA: %w", errors.Join(certErr, keyErr))
	}
	if perm := info.Mode().Perm(); perm&0o077 != 0 {
		return authority{}, fmt.Errorf("certificate: %s has mode %04o, others may read it: chmod 600 it, or remove it to have a new CA made", keyFile, perm)
	}
	cert, err := readCertificate(certFile)
	if err != nil {
		return authority{}, fmt.Errorf("%w: put it back, or remove it to have a new CA made", err)
	}
	key, err := readKey(keyFile)
	if err != nil {
		return authority{}, fmt.Errorf("%w: put it back, or remove it to have a new CA made", err)
	}
	if !key.PublicKey.Equal(cert.PublicKey) {
		return authority{}, errHalf
	}
	if !cert.IsCA || !cert.PermittedDNSDomainsCritical {
		return authority{}, fmt.Errorf("certificate: %s is not a CA that was made here: remove it to have a new one made", certFile)
	}
	return authority{cert: cert, key: key}, nil
}

// newCA makes a CA that may only sign certificates of TLS servers for n. So its key is of no use
// for other websites.
func newCA(n names, now time.Time) (authority, error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return authority{}, fmt.Errorf("certificate: %w", err)
	}
	// In a phone's list of CAs the name shows which machine it belongs to, and which of two is the
	// older.
	name := fmt.Sprintf("latchkey %.32s %s", n.hosts[len(n.hosts)-1], now.UTC().Format("2006-01-02 15:04"))
	t := &x509.Certificate{SerialNumber: newSerial(), Subject: pkix.Name{CommonName: name,
		Organization: []string{"latchkey"}},
		NotBefore: now.Add(-early), NotAfter: now.Add(caLife), BasicConstraintsValid: true, IsCA: true,
		MaxPathLenZero:              true,
		KeyUsage:                    x509.KeyUsageCertSign | x509.KeyUsageCRLSign,
		ExtKeyUsage:                 []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth},
		PermittedDNSDomainsCritical: true, PermittedDNSDomains: n.hosts, PermittedIPRanges: n.ranges()}
	der, err := x509.CreateCertificate(rand.Reader, t, t, key.Public(), key)
	if err != nil {
		return authority{}, fmt.Errorf("certificate: make the console's CA: %w", err)
	}
	cert, err := x509.ParseCertificate(der)
	return authority{cert: cert, key: key}, err
}

// sign makes a leaf with a new key, as Chromium and Apple require: names in subjectAltName,
// serverAuth, a bounded life.
func (a authority) sign(hosts []string, addrs []netip.Addr, now time.Time) (*tls.Certificate, error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, fmt.Errorf("certificate: %w", err)
	}
	t := &x509.Certificate{SerialNumber: newSerial(), Subject: pkix.Name{CommonName: "latchkey console",
		Organization: []string{"latchkey"}},
		NotBefore: now.Add(-early), NotAfter: now.Add(leafLife), BasicConstraintsValid: true,
		KeyUsage: x509.KeyUsageDigitalSignature, ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth},
		DNSNames: hosts}
	for _, addr := range addrs {
		t.IPAddresses = append(t.IPAddresses, net.IP(addr.AsSlice()))
	}
	der, err := x509.CreateCertificate(rand.Reader, t, a.cert, key.Public(), a.key)
	if err != nil {
		return nil, fmt.Errorf("certificate: make the console's certificate: %w", err)
	}
	leaf, err := x509.ParseCertificate(der)
	if err != nil {
		return nil, fmt.Errorf("certificate: make the console's certificate: %w", err)
	}
	return &tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key, Leaf: leaf}, nil
}

// newSerial returns 127 random bits. RFC 5280 requires a positive number of at most 20 bytes.
func newSerial() *big.Int {
	var b [16]byte
	_, _ = rand.Read(b[:]) // never fails: crypto/rand ends the program instead
	b[0] &= 0x7f
	b[15] |= 1
	return new(big.Int).SetBytes(b[:])
}
