// Package certificate is where the console's TLS certificate comes from: a CA of this gateway's
// own, two files that the operator keeps, or an ACME server for a name that is reached from
// outside. It opens no port and serves no page: the console's listener asks it in each handshake.
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

// CAFile is the own CA's certificate in [Config.Dir], in PEM.
const CAFile = "console-ca.pem"

// Config says where the certificate comes from: from CertFile and KeyFile if they are set, from the
// gateway's own CA otherwise, with ACME beside it if that is set.
type Config struct {
	// Dir is a folder that exists: console-ca.pem and console-ca.key lie there, and the folder
	// acme.
	Dir string
	// Addr is where the console listens. With ACME the listener must be bound already: the ACME
	// server's question comes in there.
	Addr netip.AddrPort
	// Names are host names and IP addresses, without a port, by which the console is called.
	// localhost, the loopback addresses, this machine's name and Addr come by themselves. A name
	// stands for those below it, too: the own CA may vouch for them.
	Names             []string
	CertFile, KeyFile string // PEM; loaded again when they change
	ACME              *ACME  // nil: not used, and nothing of it runs
	Log               *slog.Logger
	Now               func() time.Time // default time.Now
}

// Source gives out the certificate. Its methods are safe for concurrent use.
type Source struct {
	own   *own   // nil with files
	given *given // nil without
	acme  *acme  // nil without
}

// Open makes the own CA if there is none that fits, or loads the files. Nothing runs before
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

// Hosts are the names by which the console may be called, in lower case; what a given certificate
// has a wildcard for stands as *.NAME. Addresses are not among them.
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

// TLS returns what the console's listener serves with: TLS 1.2 or later, HTTP/2 or HTTP/1.1. The
// caller owns it.
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

// reachedAt is this machine's own address of the connection, or the zero Addr.
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

// Fingerprint is the SHA-256 of the own CA's certificate, or of the given one, as browsers and
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
