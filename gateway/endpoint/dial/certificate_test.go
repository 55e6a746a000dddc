package dial

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"io"
	"testing"

	"latchkey/gateway/endpoint"
	"latchkey/gateway/endpoint/testca"
	"latchkey/keys"
)

func TestIsCertificate(t *testing.T) {
	theirs, ours := testca.New(t), testca.New(t) // ours is unknown to the server
	serverCert, serverKey := theirs.Issue(t, "server")
	ourCert, ourKey := ours.Issue(t, "client")
	pair, err := tls.X509KeyPair([]byte(serverCert), []byte(serverKey))
	if err != nil {
		t.Fatal(err)
	}
	known := x509.NewCertPool()
	known.AppendCertsFromPEM([]byte(theirs.PEM))
	for _, tt := range []struct {
		name string
		most uint16
		e    endpoint.Endpoint
		want bool
	}{
		{"we do not know who signed the server's", tls.VersionTLS13, endpoint.Endpoint{CA: ours.PEM}, true},
		{"the server wants ours and we have none", tls.VersionTLS13, endpoint.Endpoint{CA: theirs.PEM}, true},
		{"the server does not know who signed ours", tls.VersionTLS13,
			endpoint.Endpoint{CA: theirs.PEM, Cert: ourCert, Key: keys.Hide(ourKey)}, true},
		{"the server does not know who signed ours, TLS 1.2", tls.VersionTLS12,
			endpoint.Endpoint{CA: theirs.PEM, Cert: ourCert, Key: keys.Hide(ourKey)}, true},
		{"the server is too old", tls.VersionTLS11, endpoint.Endpoint{CA: theirs.PEM}, false},
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
