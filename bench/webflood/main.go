// Command webflood attacks a website on this machine: it tries to use up its memory, its time or
// its connections, and counts the answers. It has no account, except for one flood that needs a
// token, and connects to loopback only.
package main

import (
	"context"
	"crypto/tls"
	"errors"
	"flag"
	"fmt"
	"io"
	"net"
	"net/netip"
	"os"
	"os/signal"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"
)

// Bounds of a flood.
const (
	maxConns = 1000
	maxTime  = 5 * time.Minute
)

func main() {
	f := flood{}
	to := flag.String("to", "", "`address` of the website: 127.x.y.z:port")
	from := flag.String("from", "127.0.0.1",
		"`address` that the connections come from; several, with commas between, take turns")
	flag.StringVar(&f.host, "host", "localhost", "name that the website answers to")
	kind := flag.String("kind", "", "one of "+strings.Join(names(), ", "))
	flag.IntVar(&f.conns, "connections", 250,
		"how many connections at a time: one that ends is followed by another")
	flag.IntVar(&f.streams, "streams", 240, "how many requests on each of them, with HTTP/2")
	flag.DurationVar(&f.lasts, "time", 10*time.Second, "how long it lasts")
	tokenFile := flag.String("token", "", "`file` with the token for -kind events; none: a stranger")
	flag.Parse()
	err := f.check(*to, *from, *kind, *tokenFile)
	if err == nil {
		ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
		defer stop()
		f.run(ctx)
		f.report(os.Stdout)
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "webflood:", err)
		os.Exit(1)
	}
}

type flood struct {
	to             string
	from           []netip.Addr
	host           string
	token          string
	conns, streams int
	lasts          time.Duration
	kind           kind

	made, failed, ended, requests, answers, refused, sent atomic.Int64
}

// kind is one kind of attack: what it does with a connection until the connection ends. It gets a
// TLS connection, or a TCP connection if bare is set.
type kind struct {
	name  string
	about string
	proto string // of ALPN
	bare  bool
	do    func(*flood, context.Context, net.Conn) error
}

var kinds = []kind{
	{"posts", "forms to /sign-in whose bodies never end", "h2", false, (*flood).posts},
	{"events", "streams of events of the admin API", "h2", false, (*flood).events},
	{"idle", "connections without a request", "h2", false, (*flood).idle},
	{"silent", "connections that never send a ClientHello", "", true, (*flood).idle},
	{"hellos", "handshakes, one after the other", "h2", false,
		func(*flood, context.Context, net.Conn) error { return io.EOF }},
	{"headers", "headers that never end", "http/1.1", false, (*flood).slowHead},
	{"continuations", "headers that never end, with HTTP/2", "h2", false, (*flood).continuations},
	{"bodies", "bodies that are sent a byte at a time", "http/1.1", false, (*flood).slowBody},
	{"chunks", "bodies in chunks that never end", "http/1.1", false, (*flood).chunks},
	{"large", "bodies of a gigabyte", "http/1.1", false, (*flood).largeBody},
	{"resets", "requests that are reset at once", "h2", false, (*flood).resets},
	{"unread", "pages that are asked for and never read", "h2", false, (*flood).unread},
	{"pipeline", "pages that are asked for all at once and never read", "http/1.1", false, (*flood).pipeline},
	{"passwords", "wrong passwords, as fast as they are answered", "h2", false, (*flood).passwords},
}

func names() (out []string) {
	for _, k := range kinds {
		out = append(out, k.name)
	}
	return out
}

// check refuses what is not bounded and not of this machine.
func (f *flood) check(to, from, kind, tokenFile string) error {
	at, err := netip.ParseAddrPort(to)
	if err != nil || !at.Addr().Is4() || !at.Addr().IsLoopback() || at.Port() == 0 {
		return fmt.Errorf("-to %q: want a website of this machine, as 127.0.0.1:8443", to)
	}
	f.to = to
	for text := range strings.SplitSeq(from, ",") {
		a, err := netip.ParseAddr(text)
		if err != nil || !a.Is4() || !a.IsLoopback() {
			return fmt.Errorf("-from %q: want addresses of this machine, as 127.0.0.1", text)
		}
		f.from = append(f.from, a)
	}
	i := slices.Index(names(), kind)
	switch {
	case flag.NArg() > 0:
		return errors.New("there are flags only, no arguments")
	case i < 0:
		return fmt.Errorf("-kind %q: want one of %s", kind, strings.Join(names(), ", "))
	case f.conns < 1 || f.conns > maxConns:
		return fmt.Errorf("-connections %d: want 1…%d", f.conns, maxConns)
	case f.streams < 1 || f.streams > 1000:
		return fmt.Errorf("-streams %d: want 1…1000", f.streams)
	case f.lasts <= 0 || f.lasts > maxTime:
		return fmt.Errorf("-time %v: want up to %v", f.lasts, maxTime)
	}
	f.kind = kinds[i]
	if tokenFile != "" {
		b, err := os.ReadFile(tokenFile)
		if err != nil {
			return fmt.Errorf("-token: %w", err)
		}
		f.token = strings.TrimSpace(string(b))
	}
	return nil
}

// run keeps the connections until the time is over.
func (f *flood) run(ctx context.Context) {
	ctx, cancel := context.WithTimeout(ctx, f.lasts)
	defer cancel()
	var wg sync.WaitGroup
	for i := range f.conns {
		wg.Go(func() {
			for ctx.Err() == nil {
				if f.once(ctx, f.from[i%len(f.from)]) != nil {
					f.failed.Add(1)
				}
				select { // a peer that is refused at once must not turn this into a loop
				case <-time.After(5 * time.Millisecond):
				case <-ctx.Done():
				}
			}
		})
	}
	wg.Wait()
}

// once makes one connection and uses it until it ends.
func (f *flood) once(ctx context.Context, from netip.Addr) error {
	d := net.Dialer{LocalAddr: net.TCPAddrFromAddrPort(netip.AddrPortFrom(from, 0)),
		Timeout: 10 * time.Second}
	c, err := d.DialContext(ctx, "tcp4", f.to)
	if err != nil {
		return err
	}
	defer func() { _ = c.Close() }()
	stop := context.AfterFunc(ctx, func() { _ = c.Close() })
	defer stop()
	if !f.kind.bare {
		// The website is our own, on this machine, and no secret is sent.
		t := tls.Client(c, &tls.Config{ServerName: f.host, InsecureSkipVerify: true,
			NextProtos: []string{f.kind.proto}})
		if err := t.HandshakeContext(ctx); err != nil {
			return err
		}
		c = t
	}
	f.made.Add(1)
	if f.kind.do(f, ctx, c) != nil && ctx.Err() == nil {
		f.ended.Add(1)
	}
	return nil
}

// report is for people and for tests: a name and a number in each line.
func (f *flood) report(w io.Writer) {
	fmt.Fprintf(w, "connections %d\nfailed %d\nended %d\nrequests %d\nanswers %d\nrefused %d\nbytes %d\n",
		f.made.Load(), f.failed.Load(), f.ended.Load(), f.requests.Load(), f.answers.Load(), f.refused.Load(),
		f.sent.Load())
}
