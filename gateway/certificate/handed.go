package certificate

import (
	"crypto/tls"
	"errors"
	"net"
	"net/netip"
)

// Another process may serve the certificate. It gets only leaves, and knows neither the CA nor the
// ACME account.

// Leaves returns the certificate for connections to an address of this machine and, if ACME has
// one, the certificate for its name. A new certificate has a new pointer.
func (s *Source) Leaves(local netip.Addr) (plain *tls.Certificate, name string, named *tls.Certificate) {
	if s.given != nil {
		return s.given.certificate(), "", nil
	}
	if s.acme != nil {
		name, named = s.acme.name, s.acme.leaf()
	}
	return s.own.certificate(local), name, named
}

// Challenge returns the certificate for an ACME server that checks a name (RFC 8737) on a
// connection between these two addresses.
func (s *Source) Challenge(name string, local, remote net.Addr) (*tls.Certificate, error) {
	if s.acme == nil {
		return nil, errors.New("certificate: no ACME")
	}
	// certmagic reads the addresses of the connection, and panics without one.
	c, err := s.acme.certificate(&tls.ClientHelloInfo{ServerName: name,
		SupportedProtos: []string{acmeProtocol}, Conn: ends{local: local, remote: remote}})
	if c == nil && err == nil {
		err = errors.New("certificate: no check of this name is under way")
	}
	return c, err
}

// ends is a connection that has only addresses.
type ends struct {
	net.Conn
	local, remote net.Addr
}

func (e ends) LocalAddr() net.Addr  { return e.local }
func (e ends) RemoteAddr() net.Addr { return e.remote }
