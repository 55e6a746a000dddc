// Command dtls2 is a server of go-coap/v3 over pion/dtls v2, for benchmarks: one PUT, answered
// 2.04. It is a module of its own, so that no other part of the project depends on pion/dtls v2.
// The first line of standard input is its key, as {"secret":"…"}; the first line of standard output
// is where it listens, as {"addr":"127.0.0.1:PORT","version":"…"}. Each further line is answered
// with figures; the line "collect" collects the garbage first. It ends when standard input ends.
package main

import (
	"bufio"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"runtime"
	"runtime/debug"
	"strings"
	"sync/atomic"
	"time"

	piondtls "github.com/pion/dtls/v2"
	coapdtls "github.com/plgd-dev/go-coap/v3/dtls"
	"github.com/plgd-dev/go-coap/v3/message/codes"
	"github.com/plgd-dev/go-coap/v3/message/pool"
	coapnet "github.com/plgd-dev/go-coap/v3/net"
	"github.com/plgd-dev/go-coap/v3/net/responsewriter"
	"github.com/plgd-dev/go-coap/v3/options"
	"github.com/plgd-dev/go-coap/v3/udp/client"
)

// path is the only resource, as in bench/peer.
const path = "/example_data"

// cidLen is the length of the gateway's connection IDs.
const cidLen = 8

type figures struct {
	Sessions   int64  `json:"sessions"`
	Goroutines int    `json:"goroutines"`
	Heap       uint64 `json:"heap"`  // bytes of spans in use
	Stack      uint64 `json:"stack"` // bytes of spans in use
	Mallocs    uint64 `json:"mallocs"`
}

func main() {
	if err := serve(); err != nil {
		fmt.Fprintln(os.Stderr, "dtls2:", err)
		os.Exit(1)
	}
}

func serve() error {
	in, out := bufio.NewScanner(os.Stdin), json.NewEncoder(os.Stdout)
	var order struct {
		Secret string `json:"secret"`
	}
	if !in.Scan() {
		return errors.Join(errors.New("no key"), in.Err())
	}
	if err := json.Unmarshal(in.Bytes(), &order); err != nil || order.Secret == "" {
		return errors.New(`the first line is not {"secret":"…"}`)
	}
	l, err := coapnet.NewDTLSListener("udp4", "127.0.0.1:0", &piondtls.Config{
		PSK:                   func([]byte) ([]byte, error) { return []byte(order.Secret), nil },
		CipherSuites:          []piondtls.CipherSuiteID{piondtls.TLS_PSK_WITH_AES_128_CCM_8},
		ExtendedMasterSecret:  piondtls.RequireExtendedMasterSecret,
		ConnectionIDGenerator: piondtls.RandomCIDGenerator(cidLen),
	})
	if err != nil {
		return err
	}
	var sessions atomic.Int64
	s := coapdtls.NewServer(
		options.WithHandlerFunc(handle),
		// By default a session ends after 16 silent seconds.
		options.WithInactivityMonitor(24*time.Hour, func(c *client.Conn) { _ = c.Close() }),
		options.WithOnNewConn(func(c *client.Conn) {
			sessions.Add(1)
			c.AddOnClose(func() { sessions.Add(-1) })
		}))
	go func() {
		fmt.Fprintln(os.Stderr, "dtls2: serves no more:", s.Serve(l))
		os.Exit(1)
	}()
	if err := out.Encode(map[string]string{"addr": l.Addr().String(), "version": version()}); err != nil {
		return err
	}
	for in.Scan() {
		if in.Text() == "collect" {
			runtime.GC()
			debug.FreeOSMemory() // collects a second time, because pools keep their objects over one
		}
		var m runtime.MemStats
		runtime.ReadMemStats(&m)
		f := figures{Sessions: sessions.Load(), Goroutines: runtime.NumGoroutine(), Heap: m.HeapInuse,
			Stack: m.StackInuse, Mallocs: m.Mallocs}
		if err := out.Encode(f); err != nil {
			return err
		}
	}
	return in.Err()
}

// handle reads the payload, as a server would that needs it.
func handle(w *responsewriter.ResponseWriter[*client.Conn], r *pool.Message) {
	at, err := r.Path()
	code := codes.Changed
	switch {
	case err != nil || at != path:
		code = codes.NotFound
	case r.Code() != codes.PUT:
		code = codes.MethodNotAllowed
	default:
		if _, err := r.ReadBody(); err != nil {
			code = codes.BadRequest
		}
	}
	w.Message().SetCode(code)
}

// version returns the versions of the two modules that this server is built from.
func version() string {
	var all []string
	if info, ok := debug.ReadBuildInfo(); ok {
		for _, m := range info.Deps {
			if m.Replace != nil {
				m = m.Replace
			}
			for _, name := range []string{"github.com/plgd-dev/go-coap/v3", "github.com/pion/dtls/v2"} {
				if m.Path == name {
					all = append(all, strings.TrimPrefix(m.Path, "github.com/")+" "+m.Version)
				}
			}
		}
	}
	return strings.Join(all, ", ")
}
