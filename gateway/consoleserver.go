package gateway

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/netip"
	"os"
	"time"

	"latchkey/gateway/certificate"
	"latchkey/gateway/doctor"
	"latchkey/gateway/website"
	"latchkey/gateway/website/child"
	"latchkey/gateway/website/confine"
)

// ConsoleConfig says where the website listens and which visitors are local. Listen and
// Certificate.Dir are required.
//
// The website is a process of its own: this program, started again with the one argument
// [child.Command]. Its main function must call [child.Main] then, before anything else.
type ConsoleConfig struct {
	Listen string // TCP "host:port"; never the nodes' port
	// Listener is used instead of Listen if a service manager hands one over.
	Listener net.Listener
	Local    []netip.Prefix // see [account.Website]
	// Dispensable: if the address is in use, the gateway logs that and runs without its website.
	// Doors do not depend on it.
	Dispensable bool
	Now         func() time.Time // of sign-ins; time.Now if nil
	// Certificate says where the certificate comes from. Addr, Log and Now are filled in.
	Certificate certificate.Config
}

// consoleServer is the gateway's side of the website.
type consoleServer struct {
	listener    net.Listener
	certificate *certificate.Source
	site        *website.Server // nil until the API exists
	url         string
}

// listenConsole binds the console's address. There are no pages yet: they need the admin API, which
// needs the console's URL first.
func listenConsole(cfg ConsoleConfig, log *slog.Logger) (*consoleServer, error) {
	if len(os.Args) > 1 && os.Args[1] == child.Command {
		return nil, errors.New("gateway: console: this process was started as the website: its main function must call child.Main")
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
	return &consoleServer{listener: l, certificate: source, url: cfg.Certificate.URL()}, nil
}

// open configures the console's child and what it may request.
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

// confinement returns how the website's process is confined, or nil if there is no website.
func (s *consoleServer) confinement() *doctor.Confinement {
	if s == nil || s.site == nil {
		return nil
	}
	if lacks := s.site.Unfit(); lacks != "" {
		return &doctor.Confinement{Lacks: lacks}
	}
	return &doctor.Confinement{Running: true, Lacks: confine.Look().Lacks()}
}

// owns tells whether a process is the website's or descends from it.
func (s *consoleServer) owns(pid int) bool { return s != nil && s.site != nil && s.site.Owns(pid) }

// ConsoleURL returns the console's URL for people, or nothing if there is no console.
func (g *Gateway) ConsoleURL() string {
	if g.console == nil {
		return ""
	}
	return g.console.url
}

// ConsoleCertificate returns the source of the console's certificate, or nil if there is no
// console.
func (g *Gateway) ConsoleCertificate() *certificate.Source {
	if g.console == nil {
		return nil
	}
	return g.console.certificate
}
