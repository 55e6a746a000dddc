package peer

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"math/big"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"time"
)

// HTTPSName is the name of that peer in the results.
const HTTPSName = "https"

// nginxConf keeps nginx's defaults for TLS and HTTP, except TLS 1.3, which Debian's nginx.conf
// turns on too. nginx writes only into a folder of this run. It is one process, so that all its CPU
// time and memory are counted.
const nginxConf = `daemon off;
master_process off;
pid %[1]s/pid;
error_log stderr;
events {}
http {
	access_log off;
	ssl_protocols TLSv1.2 TLSv1.3;
	client_body_temp_path %[1]s/body;
	proxy_temp_path %[1]s/proxy;
	fastcgi_temp_path %[1]s/fastcgi;
	uwsgi_temp_path %[1]s/uwsgi;
	scgi_temp_path %[1]s/scgi;
	server {
		listen %[2]s ssl;
		ssl_certificate %[1]s/cert.pem;
		ssl_certificate_key %[1]s/key.pem;
		location = /%[3]s {
			if ($request_method !~ ^(PUT|POST)$) {
				return 405;
			}
			return 204;
		}
	}
}
`

// StartHTTPS starts nginx with a new ECDSA P-256 certificate for 127.0.0.1, which the returned pool
// trusts. A PUT or POST to Path is answered 204. It uses neither secret nor identity: it is here to
// measure the bytes of TLS and HTTP.
func StartHTTPS(ctx context.Context, cfg Config) (*Server, *x509.CertPool, error) {
	path, err := findProgram("nginx")
	if err != nil {
		return nil, nil, err
	}
	ports, err := findFreePorts(1)
	if err != nil {
		return nil, nil, err
	}
	dir, err := os.MkdirTemp("", "latchkey-peer-")
	if err != nil {
		return nil, nil, err
	}
	version := strings.Replace(firstLine(ctx, path, "-v"), "nginx version: nginx/", "nginx ", 1)
	s := &Server{Name: HTTPSName, Addr: localAddr(ports[0]), Version: version,
		tidy: func() { _ = os.RemoveAll(dir) }}
	pool, err := certify(dir)
	if err == nil {
		err = os.WriteFile(filepath.Join(dir, "conf"), fmt.Appendf(nil, nginxConf, dir, s.Addr, Path), 0o600)
	}
	if err != nil {
		s.tidy()
		return nil, nil, err
	}
	s, err = cfg.launch(ctx, s, exec.Command(path, "-e", "stderr", "-p", dir, "-c",
		filepath.Join(dir, "conf")), func(ctx context.Context) error {
		return poll(ctx, func(ctx context.Context) error { return putOnce(ctx, s.Addr, pool) })
	})
	return s, pool, err
}

// certify writes a certificate and its key into dir, and returns a pool that trusts it.
func certify(dir string) (*x509.CertPool, error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, err
	}
	now := time.Now()
	c := &x509.Certificate{SerialNumber: big.NewInt(now.UnixNano()), NotBefore: now.Add(-time.Hour),
		NotAfter:    now.Add(24 * time.Hour),
		IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)}, KeyUsage: x509.KeyUsageDigitalSignature,
		ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth}}
	der, err1 := x509.CreateCertificate(rand.Reader, c, c, key.Public(), key)
	pkcs8, err2 := x509.MarshalPKCS8PrivateKey(key)
	if err := errors.Join(err1, err2); err != nil {
		return nil, err
	}
	cert := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})
	pool := x509.NewCertPool()
	pool.AppendCertsFromPEM(cert)
	return pool, errors.Join(
		os.WriteFile(filepath.Join(dir, "cert.pem"), cert, 0o600),
		os.WriteFile(filepath.Join(dir, "key.pem"),
			pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: pkcs8}), 0o600))
}

// putOnce makes the request that is measured, on a connection of its own.
func putOnce(ctx context.Context, addr string, pool *x509.CertPool) error {
	t := &http.Transport{TLSClientConfig: &tls.Config{RootCAs: pool}, DisableKeepAlives: true}
	defer t.CloseIdleConnections()
	r, err := http.NewRequestWithContext(ctx, http.MethodPut, "https://"+addr+"/"+Path,
		strings.NewReader(strings.Repeat("x", Payload)))
	if err != nil {
		return err
	}
	a, err := t.RoundTrip(r)
	if err != nil {
		return err
	}
	defer func() { _ = a.Body.Close() }()
	if a.StatusCode != http.StatusNoContent {
		return errors.New(a.Status)
	}
	return nil
}
