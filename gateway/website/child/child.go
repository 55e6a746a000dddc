// Package child is what the website's process does: it confines itself, and serves the console's
// pages on the connections that the gateway passes to it. The gateway's side is package website.
package child

import (
	"context"
	"crypto/tls"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"mime"
	"net"
	"net/http"
	"os"
	"os/exec"
	"time"
	_ "time/tzdata" // the child opens no files

	"latchkey/gateway/console"
	"latchkey/gateway/limit"
	"latchkey/gateway/website"
	"latchkey/gateway/website/confine"
)

// Command is the one argument of a process that is to call [Main].
const Command = "website-child"

// Bounds of the console, so that a crowd of browsers, or of others, takes neither the memory nor
// the time nor the files that doors need. Its README has them in a table.
var (
	// Connections are for the parent, which accepts them.
	Connections = limit.Connections{All: 256, EachAddr: 64, Known: 128, EachKnown: 24, Idle: 10 * time.Second,
		Rate: 100, EachRate: 30,
		Burst: 8 << 10, Pace: 4 << 10}

	requests = limit.Requests{
		Strangers: limit.Class{All: limit.Budget{Requests: 64, Bytes: 1 << 20},
			Each: limit.Budget{Requests: 16, Bytes: 256 << 10},
			Body: 16 << 10, Read: 5 * time.Second, Write: 10 * time.Second, Rate: 200, EachRate: 50},
		Known: limit.Class{All: limit.Budget{Requests: 64, Bytes: 4 << 20}, Each: limit.Budget{Requests: 16,
			Bytes: 512 << 10},
			Body: 64 << 10, Read: 15 * time.Second, Write: 30 * time.Second},
	}
)

const maxHead = 16 << 10 // bytes of a request's head

// http2 has few streams on a connection and small buffers. The defaults are made for servers with
// memory to spare: a megabyte a connection.
var http2 = http.HTTP2Config{MaxConcurrentStreams: 20, MaxReadFrameSize: 16 << 10,
	MaxReceiveBufferPerConnection: 64 << 10,
	MaxReceiveBufferPerStream:     64 << 10, WriteByteTimeout: 10 * time.Second}

// processBounds are those of the child's process. It has GOMEMLIMIT besides, which what is in use
// may exceed; the kernel says no at Data, of which Go reserves 64 MiB at once. There is room for
// two descriptors of each connection, while one is made of the other.
var processBounds = confine.Bounds{Files: 1024, Data: 192 << 20, OOMScore: 900}

// Settings is what the child has to know.
type Settings struct {
	Hosts []string // that the console answers to
	ACME  bool     // an ACME server may come and check a name
	Debug bool     // the log holds what is of use to developers only
}

// Program is this program as the website, also when its file has been replaced meanwhile.
func Program() *exec.Cmd {
	cmd := exec.Command("/proc/self/exe", Command)
	cmd.Args[0] = os.Args[0]
	return cmd
}

// Main serves the website for the gateway that has started this process, and returns the exit
// status. It must be called before anything else is done: it confines the process.
func Main() int {
	if err := serve(); err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	return 0
}

func serve() error {
	_ = mime.TypeByExtension(".css") // reads this machine's files of types
	site, err := website.Enter(processBounds)
	if err != nil {
		return err
	}
	var s Settings
	if err := json.Unmarshal(site.Settings, &s); err != nil {
		return fmt.Errorf("website: settings: %w", err)
	}
	log := newLog(s.Debug)
	c, err := console.New(console.Config{API: site, Hosts: s.Hosts, Log: log})
	if err != nil {
		return err
	}
	// The parent has bounded the connections already. This list knows what it cannot: on which of
	// them requests are under way.
	bounds := Connections
	bounds.Rate, bounds.EachRate = 0, 0
	bounds.All, bounds.EachAddr = bounds.All+slack, bounds.EachAddr+slack
	listener := limit.NewListener(site, bounds)
	listener.Known = site.Known
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	protocols := []string{"h2", "http/1.1"}
	if s.ACME {
		protocols = append(protocols, certificateCheck)
	}
	server := &http.Server{Handler: limit.NewHandler(c, c.Client, requests),
		TLSConfig: &tls.Config{MinVersion: tls.VersionTLS12, NextProtos: protocols,
			GetCertificate: site.Certificate},
		ReadHeaderTimeout: 5 * time.Second, IdleTimeout: 2 * time.Minute, MaxHeaderBytes: maxHead,
		HTTP2:    &http2,
		ErrorLog: slog.NewLogLogger(log.Handler(), slog.LevelDebug),
		// Browsers watch events for as long as they are open, so their requests end when the
		// gateway does, and not when they like.
		BaseContext: func(net.Listener) context.Context { return ctx },
		ConnContext: func(ctx context.Context, c net.Conn) context.Context {
			return listener.ConnContext(site.ConnContext(ctx, c), c)
		}}
	ended := make(chan struct{})
	go func() {
		<-site.Stopping()
		cancel()
		wait, done := context.WithTimeout(context.Background(), time.Second)
		defer done()
		_ = server.Shutdown(wait)
		close(ended)
	}()
	if err := server.ServeTLS(listener, "", ""); !errors.Is(err, http.ErrServerClosed) &&
		!errors.Is(err, net.ErrClosed) {
		return fmt.Errorf("website: %w", err)
	}
	<-ended
	return nil
}

const (
	// slack is how many connections more than the parent passes on the child may have: it learns a
	// little later which were ended.
	slack = 16
	// certificateCheck is the protocol of an ACME server that checks a name (RFC 8737).
	certificateCheck = "acme-tls/1"
)

// newLog writes lines for the parent, which has a clock of its own.
func newLog(debug bool) *slog.Logger {
	level := slog.LevelInfo
	if debug {
		level = slog.LevelDebug
	}
	return slog.New(slog.NewTextHandler(os.Stderr, &slog.HandlerOptions{Level: level,
		ReplaceAttr: func(groups []string, a slog.Attr) slog.Attr {
			if a.Key == slog.TimeKey && len(groups) == 0 {
				return slog.Attr{}
			}
			return a
		}}))
}
