package certificate

import (
	"crypto/tls"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"sync"
	"time"
)

// look is the least time between two checks of the files of a given certificate.
const look = time.Minute

// given is a certificate that somebody else renews, in two files.
type given struct {
	certFile, keyFile string
	log               *slog.Logger
	now               func() time.Time

	mu      sync.Mutex
	current *tls.Certificate // guarded by mu
	state   filesState       // guarded by mu; of the files that were loaded last, successfully or not
	looked  time.Time        // guarded by mu
}

// filesState identifies a version of the two files.
type filesState [2]struct {
	size     int64
	modified time.Time
}

func openGiven(cfg Config) (*given, error) {
	g := &given{certFile: cfg.CertFile, keyFile: cfg.KeyFile, log: cfg.Log, now: cfg.Now, looked: cfg.Now()}
	state, err := g.stat()
	if err != nil {
		return nil, err
	}
	if g.current, err = g.load(g.looked); err != nil {
		return nil, err
	}
	g.state = state
	for _, name := range cfg.Names {
		if g.current.Leaf.VerifyHostname(name) != nil {
			g.log.Warn("console certificate does not name the console: browsers will refuse it", "file",
				g.certFile, "name", name)
		}
	}
	return g, nil
}

// certificate returns the newest certificate that could be loaded.
func (g *given) certificate() *tls.Certificate {
	g.mu.Lock()
	defer g.mu.Unlock()
	now := g.now()
	if since := now.Sub(g.looked); since >= 0 && since < look {
		return g.current
	}
	g.looked = now
	state, err := g.stat() // before the files are read, so that a change meanwhile is seen the next time
	if err == nil && state == g.state {
		return g.current
	}
	failed := err != nil && g.state == filesState{} // logged before
	g.state = state
	if err == nil {
		var c *tls.Certificate
		if c, err = g.load(now); err == nil {
			g.current = c
			g.log.Info("console certificate loaded", "file", g.certFile, "until", c.Leaf.NotAfter)
		}
	}
	if err != nil && !failed {
		g.log.Error("new console certificate not used, the old one stays", "err", err)
	}
	return g.current
}

// stat returns the zero state with an error.
func (g *given) stat() (s filesState, err error) {
	for i, path := range []string{g.certFile, g.keyFile} {
		info, err := os.Stat(path)
		if err != nil {
			return filesState{}, fmt.Errorf("certificate: %w", err)
		}
		s[i].size, s[i].modified = info.Size(), info.ModTime()
		if perm := info.Mode().Perm(); i == 1 && perm&0o077 != 0 && g.state[1] != s[1] {
			g.log.Warn("console key can be read by others: chmod 600 it", "file", path, "mode",
				fmt.Sprintf("%04o", perm))
		}
	}
	return s, nil
}

// load reads both files and refuses a certificate that no browser would accept.
func (g *given) load(now time.Time) (*tls.Certificate, error) {
	certPEM, err1 := readFile(g.certFile)
	keyPEM, err2 := readFile(g.keyFile)
	if err := errors.Join(err1, err2); err != nil {
		return nil, err
	}
	c, err := tls.X509KeyPair(certPEM, keyPEM)
	if err != nil {
		return nil, fmt.Errorf("certificate: %s and %s: %w", g.certFile, g.keyFile, err)
	}
	switch leaf := c.Leaf; {
	case now.After(leaf.NotAfter):
		return nil, fmt.Errorf("certificate: %s expired on %s: renew it", g.certFile,
			leaf.NotAfter.UTC().Format(time.DateOnly))
	case len(leaf.DNSNames) == 0 && len(leaf.IPAddresses) == 0:
		return nil, fmt.Errorf("certificate: %s names no host (subjectAltName), and browsers refuse that",
			g.certFile)
	case now.Before(leaf.NotBefore):
		// A Pi learns the time some seconds after it starts.
		g.log.Warn("console certificate is not valid yet", "file", g.certFile, "from", leaf.NotBefore)
	}
	return &c, nil
}
