package webtest

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"math/big"
	"net"
	"sync"
	"testing"
	"time"
)

// authority signs the certificates of a test binary. Its key is never written.
type authority struct {
	cert *x509.Certificate
	key  *ecdsa.PrivateKey
}

var ownCA = sync.OnceValues(newAuthority)

func newAuthority() (*authority, error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, err
	}
	now := time.Now()
	der, err := sign(&x509.Certificate{Subject: pkix.Name{CommonName: "webtest"},
		NotBefore: now.Add(-time.Hour), NotAfter: now.Add(24 * time.Hour),
		IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign}, nil, key, key)
	if err != nil {
		return nil, err
	}
	cert, err := x509.ParseCertificate(der)
	return &authority{cert: cert, key: key}, err
}

// sign signs cert with the key by. If parent is nil, cert is self-signed.
func sign(cert, parent *x509.Certificate, key, by *ecdsa.PrivateKey) (der []byte, err error) {
	if cert.SerialNumber, err = rand.Int(rand.Reader, new(big.Int).Lsh(big.NewInt(1), 120)); err != nil {
		return nil, err
	}
	if parent == nil {
		parent = cert
	}
	return x509.CreateCertificate(rand.Reader, cert, parent, &key.PublicKey, by)
}

func (a *authority) certificate(names ...string) (tls.Certificate, error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return tls.Certificate{}, err
	}
	now := time.Now()
	cert := &x509.Certificate{Subject: pkix.Name{CommonName: "webtest server"},
		NotBefore: now.Add(-time.Hour), NotAfter: now.Add(24 * time.Hour),
		KeyUsage: x509.KeyUsageDigitalSignature, ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth}}
	for _, name := range names {
		if ip := net.ParseIP(name); ip != nil {
			cert.IPAddresses = append(cert.IPAddresses, ip)
		} else {
			cert.DNSNames = append(cert.DNSNames, name)
		}
	}
	der, err := sign(cert, a.cert, key, a.key)
	return tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key}, err
}

// Certificate returns a certificate for localhost and 127.0.0.1 that the browser of [Start] trusts,
// for a day.
func Certificate(t testing.TB) tls.Certificate {
	t.Helper()
	ca, err := ownCA()
	if err != nil {
		t.Fatal(err)
	}
	cert, err := ca.certificate("localhost", "127.0.0.1")
	if err != nil {
		t.Fatal(err)
	}
	return cert
}

// Roots returns a pool that trusts what [Certificate] returns, for a client that is not a browser.
func Roots(t testing.TB) *x509.CertPool {
	t.Helper()
	ca, err := ownCA()
	if err != nil {
		t.Fatal(err)
	}
	pool := x509.NewCertPool()
	pool.AddCert(ca.cert)
	return pool
}
