// Package child is the website's process. It confines itself, and serves the console's pages on the
// connections that the gateway passes to it. The gateway's side is package website.
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

// Command is the only argument of a process that must call [Main].
const Command = "website-child"

// Bounds of the console, so that many visitors cannot take the memory, time or files that doors
// need. The console's README has them in a table.
var (
	// Connections is for the parent, which accepts them.
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

// http2 allows few streams on a connection and small buffers. With the defaults a connection can
// take a megabyte.
var http2 = http.HTTP2Config{MaxConcurrentStreams: 20, MaxReadFrameSize: 16 << 10,
	MaxReceiveBufferPerConnection: 64 << 10,
	MaxReceiveBufferPerStream:     64 << 10, WriteByteTimeout: 10 * time.Second}

// processBounds are the bounds of the child's process. It also has GOMEMLIMIT, which memory in use
// may exceed; the kernel allocates nothing beyond Data. Go reserves 64 MiB of that at once. A
// connection needs two descriptors for a moment, so Files allows two for each.
var processBounds = confine.Bounds{Files: 1024, Data: 192 << 20, OOMScore: 900}

// Settings is what the child must know.
type Settings struct {
	Hosts []string // names of the console
	ACME  bool     // an ACME server may check a name
	Debug bool     // log messages for developers, too
}

// Program returns the command that runs this program as the website, even if its file has been
// replaced meanwhile.
func Program() *exec.Cmd {
	cmd := exec.Command("/proc/self/exe", Command)
	cmd.Args[0] = os.Args[0]
	return cmd
}

// Main serves the website for the gateway that started this process, and returns the exit status.
// Call it before anything else, because it confines the process.
func Main() int {
	if err := serve(); err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	return 0
}

func serve() error {
	_ = mime.TypeByExtension(".css") // reads this machine's files of MIME types
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
	// The parent has already bounded the connections. Only this process knows on which of them
	// requests are under way.
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
		// Browsers keep event streams open for as long as they can, so requests must end when the
		// gateway ends.
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
	// slack is how many more connections the child may have than the parent: it learns a little
	// later which were ended.
	slack = 16
	// certificateCheck is the protocol of an ACME server that checks a name (RFC 8737).
	certificateCheck = "acme-tls/1"
)

// newLog returns a log whose lines the parent reads. The lines have no time: the parent adds it.
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
