package dial

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"io"
	"math/big"
	"net"
	"testing"
	"time"

	"latchkey/gateway/endpoint"
	"latchkey/keys"
)

// makeCertificate returns a certificate for 127.0.0.1 that signs itself, and its key, as PEM.
func makeCertificate(t *testing.T) (cert, key string) {
	t.Helper()
	k, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{SerialNumber: big.NewInt(1), NotAfter: time.Now().Add(time.Hour),
		IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)}}
	der, err1 := x509.CreateCertificate(rand.Reader, template, template, &k.PublicKey, k)
	raw, err2 := x509.MarshalECPrivateKey(k)
	if err := errors.Join(err1, err2); err != nil {
		t.Fatal(err)
	}
	return string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})),
		string(pem.EncodeToMemory(&pem.Block{Type: "EC PRIVATE KEY", Bytes: raw}))
}

func TestIsCertificate(t *testing.T) {
	serverCert, serverKey := makeCertificate(t)
	ourCert, ourKey := makeCertificate(t)
	pair, err := tls.X509KeyPair([]byte(serverCert), []byte(serverKey))
	if err != nil {
		t.Fatal(err)
	}
	known := x509.NewCertPool()
	known.AppendCertsFromPEM([]byte(serverCert)) // and not ours
	for _, tt := range []struct {
		name string
		most uint16
		e    endpoint.Endpoint
		want bool
	}{
		{"we do not know who signed the server's", tls.VersionTLS13, endpoint.Endpoint{CA: ourCert}, true},
		{"the server wants ours and we have none", tls.VersionTLS13, endpoint.Endpoint{CA: serverCert}, true},
		{"the server does not know who signed ours", tls.VersionTLS13,
			endpoint.Endpoint{CA: serverCert, Cert: ourCert, Key: keys.Hide(ourKey)}, true},
		{"the server does not know who signed ours, TLS 1.2", tls.VersionTLS12,
			endpoint.Endpoint{CA: serverCert, Cert: ourCert, Key: keys.Hide(ourKey)}, true},
		{"the server is too old", tls.VersionTLS11, endpoint.Endpoint{CA: serverCert}, false},
	} {
		t.Run(tt.name, func(t *testing.T) {
			l, err := tls.Listen("tcp", "127.0.0.1:0", &tls.Config{Certificates: []tls.Certificate{pair},
				MaxVersion: tt.most, MinVersion: tls.VersionTLS10, ClientAuth: tls.RequireAndVerifyClientCert,
				ClientCAs: known})
			if err != nil {
				t.Fatal(err)
			}
			done := make(chan struct{})
			go func() {
				defer close(done)
				c, err := l.Accept()
				if err == nil {
					_, _ = io.Copy(io.Discard, c)
					_ = c.Close()
				}
			}()
			defer func() { _ = l.Close(); <-done }()
			tt.e.URL, tt.e.Private = "https://"+l.Addr().String(), true
			c, err := Open(context.Background(), tt.e)
			if err == nil { // with TLS 1.3 a client learns it with the first read
				_, err = c.Read(make([]byte, 1))
				_ = c.Close()
			}
			if err == nil || IsCertificate(err) != tt.want {
				t.Errorf("%v: got %v, want %v", err, IsCertificate(err), tt.want)
			}
		})
	}
}
