package peer

import (
	"bytes"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"io"
	"net/http"
	"net/http/httptrace"
	"testing"
	"time"
)

func TestHTTPS(t *testing.T) {
	s, pool, err := StartHTTPS(bounded(t), config())
	started(t, s, err)
	client := &http.Client{Transport: &http.Transport{TLSClientConfig: &tls.Config{RootCAs: pool}},
		Timeout: 10 * time.Second}
	defer client.CloseIdleConnections()
	connections := 0
	trace := &httptrace.ClientTrace{GotConn: func(i httptrace.GotConnInfo) {
		if !i.Reused {
			connections++
		}
	}}
	for method, want := range map[string]int{http.MethodPut: 204, http.MethodPost: 204, http.MethodGet: 405} {
		r, err := http.NewRequestWithContext(httptrace.WithClientTrace(bounded(t), trace), method,
			"https://"+s.Addr+"/"+Path,
			bytes.NewReader(make([]byte, Payload)))
		if err != nil {
			t.Fatal(err)
		}
		a, err := client.Do(r)
		if err != nil {
			t.Fatal(err)
		}
		_, err = io.Copy(io.Discard, a.Body) // a body that is not read to its end closes the connection
		if err := errors.Join(err, a.Body.Close()); err != nil {
			t.Fatal(err)
		}
		if a.StatusCode != want || a.TLS.Version != tls.VersionTLS13 ||
			a.TLS.PeerCertificates[0].PublicKeyAlgorithm != x509.ECDSA {
			t.Errorf("%s: got %s, TLS %x", method, a.Status, a.TLS.Version)
		}
	}
	if connections != 1 {
		t.Errorf("three requests took %d connections, want 1", connections)
	}
}

func TestHTTPSIsTrustedOnlyByItsOwnPool(t *testing.T) {
	s, _, err := StartHTTPS(bounded(t), config())
	started(t, s, err)
	if err := putOnce(bounded(t), s.Addr, x509.NewCertPool()); err == nil {
		t.Error("an empty pool trusts the certificate")
	}
}
