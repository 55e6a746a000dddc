package certificate

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"net/netip"
	"net/url"
	"path/filepath"
	"strings"
	"sync/atomic"
	"time"

	"github.com/caddyserver/certmagic"
	"go.uber.org/zap"
)

const (
	// acmeProtocol is the only protocol that an ACME server offers when it checks a name (RFC
	// 8737).
	acmeProtocol = "acme-tls/1"
	// again is the wait after certmagic has given up. certmagic itself tries for a month.
	again = time.Hour
)

// ACME asks an ACME server (RFC 8555) for a certificate for one name. The server connects to port
// 443 of that name (TLS-ALPN-01, RFC 8737), so that port must lead to the console's listener.
// Nothing listens on port 80.
type ACME struct {
	Name      string         // the DNS name of the console from outside
	Email     string         // optional: where the CA may write to
	Directory string         // https URL; default Let's Encrypt
	Roots     *x509.CertPool // CAs of the server at Directory; nil: those of this machine
	Agreed    bool           // to the terms of the CA; without it no certificate is requested
}

func (a *ACME) check(at netip.AddrPort) error {
	host, err := parseHost(a.Name)
	switch {
	case err != nil:
		return err
	case !strings.Contains(host, "."):
		return fmt.Errorf("certificate: ACME needs a name in public DNS, and %s is none", host)
	case !a.Agreed:
		return errors.New("certificate: ACME: the CA's terms have to be agreed to first")
	case !at.IsValid() || at.Port() == 0:
		return errors.New("certificate: ACME needs the address of a listener that is bound")
	}
	if a.Directory != "" {
		if u, err := url.Parse(a.Directory); err != nil || u.Scheme != "https" || u.Host == "" {
			return fmt.Errorf("certificate: the ACME directory %q is not an https URL", a.Directory)
		}
	}
	return nil
}

// acme keeps the certificate of one name. certmagic does not run before run is called.
type acme struct {
	cfg     ACME
	name    string
	at      netip.AddrPort
	dir     string
	log     *slog.Logger
	trouble *slog.Logger // the same, with a hint what to check
	now     func() time.Time
	running atomic.Pointer[managed]
}

// managed are certmagic's parts while they run.
type managed struct {
	cache  *certmagic.Cache
	config *certmagic.Config
}

func newACME(cfg Config) *acme {
	name, _ := parseHost(cfg.ACME.Name) // checked
	// Somebody who reads the log at night must see what to check.
	check := fmt.Sprintf("does %s point to this network, and is port 443 there forwarded to %s?", name,
		cfg.Addr)
	log := cfg.Log.With("name", name)
	return &acme{cfg: *cfg.ACME, name: name, at: cfg.Addr, dir: filepath.Join(cfg.Dir, "acme"), now: cfg.Now,
		log: log, trouble: log.With("check", check)}
}

// certificate returns the certificate for the ACME server's check, or for visitors who ask for the
// name. It returns nil if there is none yet.
func (a *acme) certificate(hello *tls.ClientHelloInfo) (*tls.Certificate, error) {
	m := a.running.Load()
	if m == nil || !strings.EqualFold(hello.ServerName, a.name) {
		return nil, nil
	}
	if len(hello.SupportedProtos) == 1 && hello.SupportedProtos[0] == acmeProtocol {
		return m.config.GetCertificate(hello)
	}
	return a.leaf(), nil
}

// leaf returns the certificate for the name, or nil while there is no valid one.
func (a *acme) leaf() *tls.Certificate {
	m := a.running.Load()
	if m == nil {
		return nil
	}
	now := a.now()
	for _, c := range m.cache.AllMatchingCertificates(a.name) {
		if now.Before(c.Leaf.NotAfter) {
			return &c.Certificate
		}
	}
	return nil
}

// run gets and renews the certificate until ctx ends. Then all goroutines that it started end too,
// except one in which certmagic counts requests: there is one in each process, and it only waits.
func (a *acme) run(ctx context.Context) {
	m := a.start()
	a.running.Store(m)
	defer func() {
		a.running.Store(nil)
		m.cache.Stop()
	}()
	for {
		err := a.obtain(ctx, m)
		if err == nil || ctx.Err() != nil {
			break
		}
		a.trouble.Error("ACME certificate not there", "err", err, "again", again)
		select {
		case <-time.After(again):
		case <-ctx.Done():
		}
	}
	<-ctx.Done()
}

// obtain loads the certificate from storage, or else requests one from the server. certmagic tries
// that for up to 30 days.
func (a *acme) obtain(ctx context.Context, m *managed) error {
	_, err := m.config.CacheManagedCertificate(ctx, a.name)
	if errors.Is(err, fs.ErrNotExist) {
		a.log.Info("ACME certificate requested; until it comes the console uses the one of its own CA",
			"needs", fmt.Sprintf("port 443 of %s forwarded to %s", a.name, a.at))
		if err := m.config.ObtainCertAsync(ctx, a.name); err != nil {
			return err
		}
		_, err = m.config.CacheManagedCertificate(ctx, a.name)
	}
	if err != nil {
		return fmt.Errorf("%s: %w", a.dir, err)
	}
	a.log.Info("ACME certificate in use")
	// Renew now a certificate that expired while the gateway was off. certmagic by itself would
	// check later.
	return m.cache.RenewManagedCertificates(ctx)
}

// start makes certmagic's parts. Its cache checks every ten minutes whether a certificate must be
// renewed.
func (a *acme) start() *managed {
	m := &managed{}
	log := zapTo(a.trouble)
	m.cache = certmagic.NewCache(certmagic.CacheOptions{Logger: log,
		GetConfigForCert: func(certmagic.Certificate) (*certmagic.Config, error) { return m.config, nil }})
	m.config = certmagic.New(m.cache, certmagic.Config{Storage: &certmagic.FileStorage{Path: a.dir},
		Logger:  log,
		OnEvent: a.said,
		OCSP:    certmagic.OCSPConfig{DisableStapling: true}}) // browsers do not need it
	m.config.Issuers = []certmagic.Issuer{certmagic.NewACMEIssuer(m.config,
		certmagic.ACMEIssuer{CA: a.cfg.Directory, Email: a.cfg.Email, Agreed: a.cfg.Agreed,
			TrustedRoots: a.cfg.Roots, DisableHTTPChallenge: true, DisableDistributedSolvers: true,
			// certmagic would open this port itself if it were free. It is the console's port, so
			// it never is.
			ListenHost: a.at.Addr().String(), AltTLSALPNPort: int(a.at.Port()),
			Logger: zap.NewNop()})} // errors are returned, too
	return m
}

// said logs that certmagic got a certificate.
func (a *acme) said(_ context.Context, event string, data map[string]any) error {
	if event == "cert_obtained" {
		a.log.Info("ACME certificate obtained", "renewal", data["renewal"])
	}
	return nil
}
