// Package certificate provides the console's TLS certificate: from this gateway's own CA, from two
// files of the operator, or from an ACME server for a public name. It opens no port and serves no
// page. The console's listener asks it in each handshake.
package certificate

import (
	"context"
	"crypto/sha256"
	"crypto/tls"
	"errors"
	"fmt"
	"log/slog"
	"net/netip"
	"slices"
	"strings"
	"time"
)

// CAFile is the file of the own CA's certificate in [Config.Dir], in PEM.
const CAFile = "console-ca.pem"

// Config says where the certificate comes from: from CertFile and KeyFile if they are set, else
// from the gateway's own CA, and also from ACME if that is set.
type Config struct {
	// Dir is an existing folder. It holds console-ca.pem, console-ca.key and the folder acme.
	Dir string
	// Addr is the address on which the console listens. With ACME the listener must be bound
	// before: the ACME server connects to it.
	Addr netip.AddrPort
	// Names are host names and IP addresses of the console, without a port. localhost, the loopback
	// addresses, this machine's name and Addr are added. A name includes its subdomains: the own CA
	// may sign for them.
	Names             []string
	CertFile, KeyFile string // PEM; reloaded when they change
	ACME              *ACME  // nil: not used
	Log               *slog.Logger
	Now               func() time.Time // default time.Now
}

// Source provides the certificate. Its methods are safe for concurrent use.
type Source struct {
	own   *own   // nil with files
	given *given // nil without
	acme  *acme  // nil without
}

// Open loads the files, or makes the own CA if there is none that fits. Nothing runs before
// [Source.Run].
func Open(cfg Config) (*Source, error) {
	if cfg.Log == nil {
		cfg.Log = slog.New(slog.DiscardHandler)
	}
	if cfg.Now == nil {
		cfg.Now = time.Now
	}
	if cfg.CertFile == "" && cfg.KeyFile == "" {
		return openOwn(cfg)
	}
	switch {
	case cfg.CertFile == "" || cfg.KeyFile == "":
		return nil, errors.New("certificate: a certificate file and a key file go together: give both, or none")
	case cfg.ACME != nil:
		return nil, errors.New("certificate: files and ACME exclude each other: give one of them")
	}
	g, err := openGiven(cfg)
	if err != nil {
		return nil, err
	}
	return &Source{given: g}, nil
}

func openOwn(cfg Config) (*Source, error) {
	if cfg.ACME != nil {
		if err := cfg.ACME.check(cfg.Addr); err != nil {
			return nil, err
		}
		cfg.Names = append(cfg.Names[:len(cfg.Names):len(cfg.Names)], cfg.ACME.Name)
	}
	n, err := namesOf(cfg)
	if err != nil {
		return nil, err
	}
	s := &Source{own: &own{dir: cfg.Dir, names: n, log: cfg.Log, now: cfg.Now}}
	if err := s.own.open(); err != nil {
		return nil, err
	}
	if cfg.ACME != nil {
		s.acme = newACME(cfg)
	}
	return s, nil
}

// Hosts returns the host names of the console, in lower case, without addresses. A wildcard of a
// given certificate is listed as *.NAME.
func (s *Source) Hosts() []string {
	if s.own != nil {
		return slices.Clone(s.own.names.hosts)
	}
	hosts := []string{"localhost"}
	for _, name := range s.given.certificate().Leaf.DNSNames {
		hosts = append(hosts, strings.ToLower(name))
	}
	return hosts
}

// Run gets the ACME certificate and keeps it, until ctx ends; then it returns nil. Without ACME it
// only waits.
func (s *Source) Run(ctx context.Context) error {
	if s.acme != nil {
		s.acme.run(ctx)
	}
	<-ctx.Done()
	return nil
}

// TLS returns the TLS settings of the console's listener: TLS 1.2 or later, HTTP/2 or HTTP/1.1. The
// caller owns them.
func (s *Source) TLS() *tls.Config {
	c := &tls.Config{MinVersion: tls.VersionTLS12, NextProtos: []string{"h2", "http/1.1"},
		GetCertificate: s.certificate}
	if s.acme != nil {
		c.NextProtos = append(c.NextProtos, acmeProtocol)
	}
	return c
}

func (s *Source) certificate(hello *tls.ClientHelloInfo) (*tls.Certificate, error) {
	if s.given != nil {
		return s.given.certificate(), nil
	}
	if s.acme != nil {
		if c, err := s.acme.certificate(hello); c != nil || err != nil {
			return c, err
		}
	}
	return s.own.certificate(reachedAt(hello)), nil
}

// reachedAt returns this machine's own address of the connection, or the zero Addr.
func reachedAt(hello *tls.ClientHelloInfo) netip.Addr {
	if hello.Conn == nil || hello.Conn.LocalAddr() == nil {
		return netip.Addr{}
	}
	ap, err := netip.ParseAddrPort(hello.Conn.LocalAddr().String())
	if err != nil {
		return netip.Addr{}
	}
	return ap.Addr().Unmap()
}

// CA returns the own CA's certificate in PEM, for browsers and phones to trust; nil with a given
// certificate.
func (s *Source) CA() []byte {
	if s.own == nil {
		return nil
	}
	return encodeCertificate(s.own.authority().Raw)
}

// Fingerprint returns the SHA-256 of the own CA's certificate, or of the given one, as browsers and
// phones show it: pairs of hex digits with colons.
func (s *Source) Fingerprint() string {
	var raw []byte
	if s.own != nil {
		raw = s.own.authority().Raw
	} else {
		raw = s.given.certificate().Leaf.Raw
	}
	sum := sha256.Sum256(raw)
	return strings.ReplaceAll(fmt.Sprintf("% X", sum[:]), " ", ":")
}
