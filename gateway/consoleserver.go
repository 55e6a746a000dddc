package gateway

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"net/netip"
	"strconv"
	"time"

	"latchkey/gateway/certificate"
	"latchkey/gateway/console"
	"latchkey/gateway/limit"
)

// ConsoleConfig says where the website is and who is near it. Listen and Certificate.Dir are required.
type ConsoleConfig struct {
	Listen string         // TCP "host:port"; never the nodes' port
	Local  []netip.Prefix // see [account.Website]
	// Dispensable: where the address is taken, the gateway goes on without its website and says so. Doors do not depend on it.
	Dispensable bool
	Now         func() time.Time // of sign-ins; time.Now if nil
	// Certificate says where the certificate comes from. Addr, Log and Now are filled in.
	Certificate certificate.Config
}

// Bounds of the console, so that a crowd of browsers, or of others, takes neither the memory nor the time nor the files that doors need. Its README
// has them in a table.
var (
	consoleConns = limit.Connections{All: 256, EachAddr: 64, Known: 128, EachKnown: 24, Idle: 10 * time.Second, Rate: 100, EachRate: 30,
		Burst: 8 << 10, Pace: 4 << 10}

	consoleRequests = limit.Requests{
		Strangers: limit.Class{All: limit.Budget{Requests: 64, Bytes: 1 << 20}, Each: limit.Budget{Requests: 16, Bytes: 256 << 10},
			Body: 16 << 10, Read: 5 * time.Second, Write: 10 * time.Second, Rate: 200, EachRate: 50},
		Known: limit.Class{All: limit.Budget{Requests: 64, Bytes: 4 << 20}, Each: limit.Budget{Requests: 16, Bytes: 512 << 10},
			Body: 64 << 10, Read: 15 * time.Second, Write: 30 * time.Second},
	}
)

const maxConsoleHead = 16 << 10 // bytes of a request's head

// consoleHTTP2 has few streams on a connection and small buffers. The defaults are made for servers with memory to spare: a megabyte a connection.
var consoleHTTP2 = http.HTTP2Config{MaxConcurrentStreams: 20, MaxReadFrameSize: 16 << 10, MaxReceiveBufferPerConnection: 64 << 10,
	MaxReceiveBufferPerStream: 64 << 10, WriteByteTimeout: 10 * time.Second}

// consoleServer serves the website.
type consoleServer struct {
	listener    *limit.Listener
	certificate *certificate.Source
	http        *http.Server
	url         string
}

// listenConsole binds the console's address. It has no pages yet: they need the admin API, which tells where the console is.
func listenConsole(cfg ConsoleConfig, log *slog.Logger) (*consoleServer, error) {
	l, err := net.Listen("tcp", cfg.Listen)
	if err != nil {
		return nil, fmt.Errorf("gateway: console: %w", err)
	}
	cfg.Certificate.Addr, cfg.Certificate.Log = l.Addr().(*net.TCPAddr).AddrPort(), log
	source, err := certificate.Open(cfg.Certificate)
	if err != nil {
		return nil, errors.Join(fmt.Errorf("gateway: console: %w", err), l.Close())
	}
	bounded := limit.NewListener(l, consoleConns)
	return &consoleServer{listener: bounded, certificate: source, url: urlOf(cfg),
		http: &http.Server{TLSConfig: source.TLS(), ReadHeaderTimeout: 5 * time.Second, IdleTimeout: 2 * time.Minute, MaxHeaderBytes: maxConsoleHead,
			HTTP2: &consoleHTTP2, ConnContext: bounded.ConnContext, ErrorLog: slog.NewLogLogger(log.Handler(), slog.LevelDebug)}}, nil
}

// urlOf is how people call the console: by the name that they gave it, else by the one that browsers take for this machine, which is the only one
// besides where passkeys work.
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

// open gives the console its pages.
func (s *consoleServer) open(g *Gateway) error {
	c, err := console.New(console.Config{API: g.api.Visitors(), Hosts: s.certificate.Hosts(), Log: g.log})
	if err != nil {
		return err
	}
	s.http.Handler = limit.NewHandler(c, c.Client, consoleRequests)
	return nil
}

func (s *consoleServer) serve(ctx context.Context) error {
	// Browsers watch events for as long as they are open, so their requests end with ctx, and not when they like.
	s.http.BaseContext = func(net.Listener) context.Context { return ctx }
	stop := context.AfterFunc(ctx, func() { _ = s.close() })
	defer stop()
	if err := s.http.ServeTLS(s.listener, "", ""); !errors.Is(err, http.ErrServerClosed) {
		return fmt.Errorf("gateway: console: %w", err)
	}
	return nil
}

func (s *consoleServer) close() error {
	ctx, cancel := context.WithTimeout(context.Background(), time.Second)
	defer cancel()
	if s.http.Shutdown(ctx) != nil {
		_ = s.http.Close()
	}
	if err := s.listener.Close(); err != nil && !errors.Is(err, net.ErrClosed) {
		return fmt.Errorf("gateway: console: %w", err)
	}
	return nil
}

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
