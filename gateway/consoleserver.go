package gateway

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/netip"
	"os"
	"strconv"
	"time"

	"latchkey/gateway/certificate"
	"latchkey/gateway/doctor"
	"latchkey/gateway/website"
	"latchkey/gateway/website/child"
	"latchkey/gateway/website/confine"
)

// ConsoleConfig says where the website is and who is near it. Listen and Certificate.Dir are
// required.
//
// The website is a process of its own: this program, started again with the one argument
// [child.Command]. Its main function must call [child.Main] then, before anything else.
type ConsoleConfig struct {
	Listen string // TCP "host:port"; never the nodes' port
	// Listener is used instead of Listen where a service manager hands one over.
	Listener net.Listener
	Local    []netip.Prefix // see [account.Website]
	// Dispensable: where the address is taken, the gateway goes on without its website and says so.
	// Doors do not depend on it.
	Dispensable bool
	Now         func() time.Time // of sign-ins; time.Now if nil
	// Certificate says where the certificate comes from. Addr, Log and Now are filled in.
	Certificate certificate.Config
}

// urlOf is how people call the console: by the name that they gave it, else by the one that
// browsers take for this machine, which is the only one besides where passkeys work.
func urlOf(cfg ConsoleConfig) string {
	host, port := "localhost", strconv.Itoa(int(cfg.Certificate.Addr.Port()))
	switch at := cfg.Certificate.Addr.Addr(); {
	case cfg.Certificate.ACME != nil:
		return "https://" + cfg.Certificate.ACME.Name + "/" // port 443 leads here, or there will be no certificate
	case len(cfg.Certificate.Names) > 0:
		host = cfg.Certificate.Names[0]
	case !at.IsLoopback() && !at.IsUnspecified():
		host = at.Unmap().WithZone("").String()
	}
	return "https://" + net.JoinHostPort(host, port) + "/"
}

// consoleServer is the gateway's side of the website.
type consoleServer struct {
	listener    net.Listener
	certificate *certificate.Source
	site        *website.Server // nil until the API is there
	url         string
}

// listenConsole binds the console's address. It has no pages yet: they need the admin API, which
// tells where the console is.
func listenConsole(cfg ConsoleConfig, log *slog.Logger) (*consoleServer, error) {
	if len(os.Args) > 1 && os.Args[1] == child.Command {
		return nil, errors.New("gateway: console: this process is to be a website, and does not know it: its main function has to call child.Main")
	}
	l := cfg.Listener
	if l == nil {
		var err error
		if l, err = net.Listen("tcp", cfg.Listen); err != nil {
			return nil, fmt.Errorf("gateway: console: %w", err)
		}
	}
	at, ok := l.Addr().(*net.TCPAddr)
	if !ok {
		return nil, errors.Join(fmt.Errorf("gateway: console: %s is no TCP address", l.Addr()), l.Close())
	}
	cfg.Certificate.Addr, cfg.Certificate.Log = at.AddrPort(), log
	source, err := certificate.Open(cfg.Certificate)
	if err != nil {
		return nil, errors.Join(fmt.Errorf("gateway: console: %w", err), l.Close())
	}
	return &consoleServer{listener: l, certificate: source, url: urlOf(cfg)}, nil
}

// open says what the console's child is and what it may ask for.
func (s *consoleServer) open(g *Gateway) {
	s.site = website.New(website.Config{Listener: s.listener, Bounds: child.Connections, Child: child.Program, Certificates: s.certificate,
		Settings: child.Settings{Hosts: s.certificate.Hosts(), ACME: g.cfg.Console.Certificate.ACME != nil,
			Debug: g.log.Enabled(context.Background(), slog.LevelDebug)},
		API: g.api.Visitors(), Log: g.log})
}

func (s *consoleServer) serve(ctx context.Context) error {
	if err := s.site.Run(ctx); err != nil {
		return fmt.Errorf("gateway: console: %w", err)
	}
	return nil
}

func (s *consoleServer) close() error {
	if err := s.listener.Close(); err != nil && !errors.Is(err, net.ErrClosed) {
		return fmt.Errorf("gateway: console: %w", err)
	}
	return nil
}

// confinement is what holds the website's process back; nil when there is no website.
func (s *consoleServer) confinement() *doctor.Confinement {
	if s == nil || s.site == nil {
		return nil
	}
	if lacks := s.site.Unfit(); lacks != "" {
		return &doctor.Confinement{Lacks: lacks}
	}
	return &doctor.Confinement{Running: true, Lacks: confine.Look().Lacks()}
}

// owns tells whether a process is the website's, or comes from it.
func (s *consoleServer) owns(pid int) bool { return s != nil && s.site != nil && s.site.Owns(pid) }

// ConsoleURL is how people call the console; empty when there is none.
func (g *Gateway) ConsoleURL() string {
	if g.console == nil {
		return ""
	}
	return g.console.url
}

// ConsoleCertificate is where the console's certificate comes from; nil when there is no console.
func (g *Gateway) ConsoleCertificate() *certificate.Source {
	if g.console == nil {
		return nil
	}
	return g.console.certificate
}
