// Package dial opens connections to the servers of other people that an [endpoint.Endpoint] names.
// It looks at the address that a name has led to, not at the name, because a name can lead
// elsewhere tomorrow.
package dial

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"net/url"
	"slices"
	"syscall"
	"time"

	"latchkey/gateway/endpoint"
)

// ErrAddress is returned for a connection to an address that the endpoint must not have. A later
// try fails too, unless the name leads elsewhere then.
var ErrAddress = endpoint.ErrAddress

// Within bounds the time for one connection, with its TLS handshake.
const Within = 10 * time.Second

// Dialer returns the dialer for an endpoint. It refuses an address that the endpoint may not have,
// after the name was resolved and for each address that is tried.
func Dialer(e endpoint.Endpoint) *net.Dialer {
	return &net.Dialer{Timeout: Within, KeepAlive: 30 * time.Second,
		Control: func(_, address string, _ syscall.RawConn) error {
			ap, err := netip.ParseAddrPort(address)
			if err != nil {
				return fmt.Errorf("%w: %s is not an IP address", ErrAddress, address)
			}
			return e.CheckAddress(ap.Addr())
		}}
}

// TLS returns the TLS configuration of an endpoint, nil for one that is not encrypted.
func TLS(e endpoint.Endpoint) (*tls.Config, error) {
	if !e.Secure() {
		return nil, nil
	}
	u, err := url.Parse(e.URL)
	if err != nil {
		return nil, fmt.Errorf("dial: %w", err)
	}
	c := &tls.Config{MinVersion: tls.VersionTLS12, ServerName: u.Hostname()}
	if e.CA != "" {
		c.RootCAs = x509.NewCertPool()
		if !c.RootCAs.AppendCertsFromPEM([]byte(e.CA)) {
			return nil, errors.New("dial: no certificate in the CA")
		}
	}
	if e.Cert != "" {
		pair, err := tls.X509KeyPair([]byte(e.Cert), []byte(e.Key.Reveal()))
		if err != nil {
			return nil, errors.New("dial: the client certificate and its key do not belong together")
		}
		c.Certificates = []tls.Certificate{pair}
	}
	return c, nil
}

// Open opens a connection to the endpoint: TCP, and TLS where its scheme has it. next are the
// protocols that are offered by ALPN, such as "mqtt"; none: no offer.
func Open(ctx context.Context, e endpoint.Endpoint, next ...string) (net.Conn, error) {
	c, err := TLS(e)
	if err != nil {
		return nil, err
	}
	ctx, cancel := context.WithTimeout(ctx, Within)
	defer cancel()
	if c == nil {
		return Dialer(e).DialContext(ctx, "tcp", e.HostPort())
	}
	c.NextProtos = next
	return (&tls.Dialer{NetDialer: Dialer(e), Config: c}).DialContext(ctx, "tcp", e.HostPort())
}

// refusals are the alerts of a server that does not want our certificate (RFC 8446 §6.2): bad,
// unsupported, revoked, expired and unknown certificate, unknown CA, access denied, certificate
// required; and handshake failure, which TLS 1.2 has for a missing one (RFC 5246 §7.4.6).
var refusals = []tls.AlertError{42, 43, 44, 45, 46, 48, 49, 116, 40}

// IsCertificate tells whether err says that a certificate does not fit: the server's for us, or
// ours for the server. A later try fails too, unless somebody changes something.
func IsCertificate(err error) bool {
	var verify *tls.CertificateVerificationError
	if errors.As(err, &verify) {
		return true
	}
	// The alert of a server comes as a type of crypto/tls that is not exported, with the same text.
	var remote *net.OpError
	if !errors.As(err, &remote) || remote.Op != "remote error" || remote.Err == nil {
		return false
	}
	return slices.ContainsFunc(refusals, func(a tls.AlertError) bool {
		return a.Error() == remote.Err.Error()
	})
}
