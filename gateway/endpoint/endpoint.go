// Package endpoint says where somebody else's server is, and how to prove to it who we are. It
// opens no connection; package dial does.
package endpoint

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"net/netip"
	"net/url"
	"slices"
	"strings"

	"latchkey/gateway/text"
	"latchkey/keys"
)

// Endpoint is a server that latchkey talks to as a client. The certificates are PEM text and not
// paths, so that a store holds all that a sink or an integration needs.
type Endpoint struct {
	URL      string      `json:"url"` // scheme://host[:port][/path], without user and password
	User     string      `json:"user,omitempty"`
	Password keys.Hidden `json:"-"`
	CA       string      `json:"ca,omitempty"`   // PEM, of those who may sign the server's certificate; empty: the system's
	Cert     string      `json:"cert,omitempty"` // PEM, the client certificate and its chain; empty: none
	Key      keys.Hidden `json:"-"`              // PEM, the key of Cert
	// Private allows addresses of a local network and of this machine. Without it a name that leads
	// there is refused, so that nobody makes the gateway talk to what only it can reach.
	Private bool `json:"private,omitempty"`
}

// Bounds of an endpoint's texts, in bytes.
const (
	maxURL    = 2048
	maxUser   = 256
	maxSecret = 4 << 10 // as much as a credentials file of NATS
	maxPEM    = 32 << 10
)

// secure maps each scheme that we speak to whether it is encrypted.
var secure = map[string]bool{"https": true, "http": false, "amqps": true, "amqp": false, "mqtts": true,
	"mqtt": false, "tls": true, "nats": false}

// ports are the default ports of the schemes.
var ports = map[string]string{"https": "443", "http": "80", "amqps": "5671", "amqp": "5672", "mqtts": "8883",
	"mqtt": "1883", "tls": "4222", "nats": "4222"}

// Secure tells whether the scheme of the URL is encrypted.
func (e Endpoint) Secure() bool { scheme, _, _ := strings.Cut(e.URL, "://"); return secure[scheme] }

// HostPort returns host:port of the server, with the scheme's default port.
func (e Endpoint) HostPort() string {
	u, err := url.Parse(e.URL)
	if err != nil {
		return ""
	}
	port := u.Port()
	if port == "" {
		port = ports[u.Scheme]
	}
	return joinHostPort(u.Hostname(), port)
}

func joinHostPort(host, port string) string {
	if strings.Contains(host, ":") {
		host = "[" + host + "]"
	}
	return host + ":" + port
}

// Check returns what is wrong with the endpoint and what to do. schemes are those that it may have.
func (e Endpoint) Check(schemes ...string) error {
	u, err := url.Parse(e.URL)
	switch {
	case err != nil || u.Host == "" || len(e.URL) > maxURL || !text.IsPrintable(e.URL):
		return fmt.Errorf("the URL is not one: want something like %s://host.example", schemes[0])
	case u.User != nil:
		return errors.New("the URL has a user or a password in it: give them by --user and --password-file, so " +
			"that the password stays secret")
	case !slices.Contains(schemes, u.Scheme):
		return fmt.Errorf("the URL begins with %s: want %s", text.Quote(u.Scheme), strings.Join(schemes, " or "))
	case u.Fragment != "":
		return errors.New("the URL has a # in it: leave that part out")
	case u.Hostname() == "":
		return errors.New("the URL names no host")
	case !secure[u.Scheme] && !isLoopback(u.Hostname()):
		return fmt.Errorf("%s is not encrypted, which is allowed to this machine only: want %s", u.Scheme, schemes[0])
	case len(e.User) > maxUser || e.User != "" && !text.IsPrintable(e.User):
		return fmt.Errorf("the user: want printable text of up to %d bytes", maxUser)
	case len(e.Password.Reveal()) > maxSecret:
		return fmt.Errorf("the password has more than %d bytes", maxSecret)
	case len(e.CA) > maxPEM || len(e.Cert) > maxPEM || len(e.Key.Reveal()) > maxPEM:
		return fmt.Errorf("a certificate or its key has more than %d bytes", maxPEM)
	case (e.Cert == "") != e.Key.IsZero():
		return errors.New("a client certificate needs its key, and the key its certificate: give both")
	}
	return e.checkCertificates()
}

// localhost is this machine, whatever a resolver says (RFC 6761 §6.3).
const localhost = "localhost"

func isLoopback(host string) bool {
	if host == localhost {
		return true
	}
	addr, err := netip.ParseAddr(host)
	return err == nil && addr.IsLoopback()
}

func (e Endpoint) checkCertificates() error {
	if e.CA != "" && !x509.NewCertPool().AppendCertsFromPEM([]byte(e.CA)) {
		return errors.New("the CA file has no certificate in it: want PEM")
	}
	if e.Cert != "" {
		if _, err := tls.X509KeyPair([]byte(e.Cert), []byte(e.Key.Reveal())); err != nil {
			return errors.New("the client certificate and its key do not belong together, or are not PEM")
		}
	}
	return nil
}

// Mark is a text that differs between endpoints, also by what is secret in them. It is itself
// secret.
func (e Endpoint) Mark() string {
	return fmt.Sprintf("%q %q %q %q %q %q %v", e.URL, e.User, e.Password.Reveal(), e.CA, e.Cert,
		e.Key.Reveal(), e.Private)
}
