package dial

import (
	"crypto/tls"
	"errors"
	"io"
	"net"
	"testing"

	"latchkey/gateway/endpoint"
	"latchkey/gateway/endpoint/testca"
)

// startTLS starts a server on loopback that closes each connection after the handshake, and returns
// its address and the certificate of its authority.
func startTLS(t *testing.T, change func(*tls.Config)) (addr, ca string) {
	t.Helper()
	authority := testca.New(t)
	cert, key := authority.Issue(t, "server")
	pair, err := tls.X509KeyPair([]byte(cert), []byte(key))
	if err != nil {
		t.Fatal(err)
	}
	c := &tls.Config{Certificates: []tls.Certificate{pair}}
	change(c)
	l, err := tls.Listen("tcp", "127.0.0.1:0", c)
	if err != nil {
		t.Fatal(err)
	}
	done := make(chan struct{})
	go func() {
		defer close(done)
		for {
			conn, err := l.Accept()
			if err != nil {
				return
			}
			conn.(*tls.Conn).Handshake()
			conn.Close()
		}
	}()
	t.Cleanup(func() { l.Close(); <-done })
	return l.Addr().String(), authority.PEM
}

// readOnce opens a connection and reads from it until it ends.
func readOnce(t *testing.T, e endpoint.Endpoint) error {
	t.Helper()
	conn, err := Open(t.Context(), e)
	if err != nil {
		return err
	}
	defer conn.Close()
	_, err = io.ReadAll(conn)
	return err
}

func TestACertificateThatDoesNotFitIsToldFromALostConnection(t *testing.T) {
	for _, version := range []uint16{tls.VersionTLS12, tls.VersionTLS13} {
		plain := func(c *tls.Config) { c.MaxVersion = version }
		addr, ca := startTLS(t, plain)
		if err := readOnce(t, endpoint.Endpoint{URL: "mqtts://" + addr, CA: ca, Private: true}); err != nil {
			t.Errorf("%s, all in order: got %v", tls.VersionName(version), err)
		}
		err := readOnce(t, endpoint.Endpoint{URL: "mqtts://" + addr, Private: true})
		if !IsCertificate(err) {
			t.Errorf("%s, server's certificate unknown: got %v, want one about a certificate",
				tls.VersionName(version), err)
		}
		addr, ca = startTLS(t, func(c *tls.Config) { plain(c); c.ClientAuth = tls.RequireAnyClientCert })
		err = readOnce(t, endpoint.Endpoint{URL: "mqtts://" + addr, CA: ca, Private: true})
		if !IsCertificate(err) {
			t.Errorf("%s, no certificate of ours: got %v, want one about a certificate",
				tls.VersionName(version), err)
		}
	}
	for _, err := range []error{nil, io.EOF, net.ErrClosed, &net.OpError{Op: "remote error", Err: io.EOF}} {
		if IsCertificate(err) {
			t.Errorf("%v is not about a certificate", err)
		}
	}
}

func TestAPrivateAddressNeedsLeave(t *testing.T) {
	addr, ca := startTLS(t, func(*tls.Config) {})
	if err := readOnce(t, endpoint.Endpoint{URL: "mqtts://" + addr, CA: ca}); !errors.Is(err, ErrAddress) {
		t.Errorf("got %v, want ErrAddress", err)
	}
}
