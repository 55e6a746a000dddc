package main

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"runtime"
	"runtime/debug"
	"strconv"
	"sync/atomic"
	"time"

	piondtls "github.com/pion/dtls/v3"
	coapdtls "github.com/plgd-dev/go-coap/v3/dtls"
	"github.com/plgd-dev/go-coap/v3/message"
	"github.com/plgd-dev/go-coap/v3/message/codes"
	"github.com/plgd-dev/go-coap/v3/message/pool"
	coapnet "github.com/plgd-dev/go-coap/v3/net"
	"github.com/plgd-dev/go-coap/v3/net/responsewriter"
	"github.com/plgd-dev/go-coap/v3/options"
	"github.com/plgd-dev/go-coap/v3/udp/client"

	"latchkey/coapres/wire"
	"latchkey/gateway"
	"latchkey/gateway/access"
	"latchkey/gateway/store"
	"latchkey/gateway/transport"
	"latchkey/keys"
)

// serverArg makes this program a server; its name follows.
const serverArg = "idle-server"

// servers are the names of those that are measured.
var servers = []string{"transport", "gateway", "go-coap"}

// order is the first line that a server reads. Each further line asks it for figures.
type order struct {
	Sessions int    `json:"sessions"`
	Secret   string `json:"secret"`
}

// answer is a line that a server writes: first its address, then figures.
type answer struct {
	Addr string `json:"addr,omitempty"`
	figures
}

// figures are what a process holds after a collection, with its free memory given back: without that, RSS is what the collector has not yet
// come to. Memory is in bytes.
type figures struct {
	Sessions   int   `json:"sessions"`
	Goroutines int   `json:"goroutines"`
	RSS        int64 `json:"rss"`
	Peak       int64 `json:"rssAtMost"` // since its start
	Heap       int64 `json:"heap"`
	Stack      int64 `json:"stack"`
}

// holder is a server that holds sessions.
type holder struct {
	addr     string
	sessions func() int
}

func isServer() bool { return len(os.Args) == 3 && os.Args[1] == serverArg }

func serverMain() int {
	if err := serve(os.Args[2]); err != nil {
		fmt.Fprintf(os.Stderr, "idle: %s: %v\n", os.Args[2], err)
		return 1
	}
	return 0
}

// serve is the whole life of a server: until standard input ends.
func serve(name string) error {
	in, out := bufio.NewScanner(os.Stdin), json.NewEncoder(os.Stdout)
	if !in.Scan() {
		return errors.Join(errors.New("no order"), in.Err())
	}
	var o order
	if err := json.Unmarshal(in.Bytes(), &o); err != nil {
		return err
	}
	secret, err := keys.ParseSecret(o.Secret)
	if err != nil {
		return err
	}
	var h holder
	switch name {
	case "transport":
		h, err = ours(o.Sessions, secret)
	case "gateway":
		h, err = whole(o.Sessions, secret)
	case "go-coap":
		h, err = stock(secret)
	default:
		err = errors.New("no such server")
	}
	if err != nil {
		return err
	}
	if err := out.Encode(answer{Addr: h.addr}); err != nil {
		return err
	}
	for in.Scan() {
		f, err := now()
		if err != nil {
			return err
		}
		f.Sessions = h.sessions()
		if err := out.Encode(answer{figures: f}); err != nil {
			return err
		}
	}
	return in.Err()
}

// now collects twice, because pools keep what they had for one collection more.
func now() (f figures, err error) {
	runtime.GC()
	debug.FreeOSMemory()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	f.Goroutines, f.Heap, f.Stack = runtime.NumGoroutine(), int64(m.HeapInuse), int64(m.StackInuse)
	b, err := os.ReadFile("/proc/self/status")
	if err != nil {
		return f, fmt.Errorf("resident memory is known on Linux only: %w", err)
	}
	if f.RSS, err = kilobytes(b, "VmRSS:"); err == nil {
		f.Peak, err = kilobytes(b, "VmHWM:")
	}
	return f, err
}

// kilobytes finds a line of /proc/self/status, as "VmRSS:	   12345 kB", and returns bytes.
func kilobytes(status []byte, name string) (int64, error) {
	_, rest, _ := bytes.Cut(status, []byte("\n"+name))
	fields := bytes.Fields(rest)
	if len(fields) < 2 || string(fields[1]) != "kB" {
		return 0, fmt.Errorf("/proc/self/status has no %s", name)
	}
	n, err := strconv.ParseInt(string(fields[0]), 10, 64)
	return n << 10, err
}

// ours is the listener of package transport, as the gateway runs it, with nothing above.
func ours(sessions int, secret keys.Secret) (holder, error) {
	l, err := transport.Listen(transport.Config{Addr: "127.0.0.1:0", MaxSessions: sessions,
		PSK: func([]byte) []byte { return secret.PSK() }})
	if err != nil {
		return holder{}, err
	}
	h := func(_ *transport.Conn, _, resp *pool.Message, _ time.Time) { resp.SetCode(codes.Content) }
	go func() {
		fail(l.Serve(context.Background(), h, func(*transport.Conn) error { return nil }, func(*transport.Conn) {}))
	}()
	return holder{l.Addr().String(), l.Sessions}, nil
}

// whole is a gateway that knows every node, with its store in memory. The nodes' keys have been used today, or it would write each of them.
func whole(sessions int, secret keys.Secret) (holder, error) {
	st, err := store.Open(context.Background(), store.Options{InMemory: true})
	if err != nil {
		return holder{}, err
	}
	g, err := gateway.New(gateway.Config{Store: st, Listen: "127.0.0.1:0", Clock: gateway.ClockRTC, MaxSessions: sessions})
	if err != nil {
		return holder{}, err
	}
	at := time.Now()
	door := access.Target{ID: access.NewID(), Name: "door", Kind: access.Door, Pulse: time.Second, Created: at}
	if _, err := g.Apply(context.Background(), "bench", access.Change{Put: door}); err != nil {
		return holder{}, err
	}
	var changes []access.Change
	for i := range sessions {
		d := access.Device{ID: access.NewID(), Name: fmt.Sprintf("reader-%d", i), Kind: wire.KindReader, Targets: []access.ID{door.ID}, Created: at}
		k := keys.Key{ID: identity(i), Device: string(d.ID), Secret: secret, State: keys.Active, Created: at, LastUsed: at}
		changes = append(changes, access.Change{Put: d}, access.Change{Put: k})
		if len(changes) == store.MaxChanges || i == sessions-1 {
			if _, err := g.Apply(context.Background(), "bench", changes...); err != nil {
				return holder{}, err
			}
			changes = changes[:0]
		}
	}
	go func() { fail(g.Run(context.Background())) }()
	return holder{g.Addr().String(), func() (n int) {
		for _, v := range g.Views() {
			if v.Online {
				n++
			}
		}
		return n
	}}, nil
}

// stock is go-coap's DTLS server as its documentation has it, with a connection ID of our length and our first suite. By default it would end a
// session after 16 silent seconds.
func stock(secret keys.Secret) (holder, error) {
	l, err := coapnet.NewDTLSListener("udp4", "127.0.0.1:0", coapnet.NewDTLSServerOptions(
		piondtls.WithPSK(func([]byte) ([]byte, error) { return secret.PSK(), nil }),
		piondtls.WithCipherSuites(piondtls.TLS_PSK_WITH_AES_128_CCM_8),
		piondtls.WithExtendedMasterSecret(piondtls.RequireExtendedMasterSecret),
		piondtls.WithConnectionIDGenerator(piondtls.RandomCIDGenerator(8))))
	if err != nil {
		return holder{}, err
	}
	var sessions atomic.Int64
	s := coapdtls.NewServer(
		options.WithHandlerFunc(func(w *responsewriter.ResponseWriter[*client.Conn], _ *pool.Message) {
			_ = w.SetResponse(codes.Content, message.TextPlain, nil) // without its answer the node says so
		}),
		options.WithInactivityMonitor(24*time.Hour, func(c *client.Conn) { _ = c.Close() }),
		options.WithOnNewConn(func(c *client.Conn) {
			sessions.Add(1)
			c.AddOnClose(func() { sessions.Add(-1) })
		}))
	go func() { fail(s.Serve(l)) }()
	return holder{l.Addr().String(), func() int { return int(sessions.Load()) }}, nil
}

// fail ends a server that does not serve any more.
func fail(err error) {
	fmt.Fprintln(os.Stderr, "idle: server ended:", err)
	os.Exit(1)
}
