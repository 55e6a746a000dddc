package server

import (
	"sync/atomic"
	"time"

	piondtls "github.com/pion/dtls/v3"
	coapdtls "github.com/plgd-dev/go-coap/v3/dtls"
	"github.com/plgd-dev/go-coap/v3/dtls/server"
	"github.com/plgd-dev/go-coap/v3/message"
	"github.com/plgd-dev/go-coap/v3/message/codes"
	"github.com/plgd-dev/go-coap/v3/message/pool"
	coapnet "github.com/plgd-dev/go-coap/v3/net"
	"github.com/plgd-dev/go-coap/v3/net/blockwise"
	"github.com/plgd-dev/go-coap/v3/net/responsewriter"
	"github.com/plgd-dev/go-coap/v3/options"
	"github.com/plgd-dev/go-coap/v3/options/config"
	"github.com/plgd-dev/go-coap/v3/udp/client"
)

// startGoCoAP starts go-coap's DTLS server as its documentation shows it, with a connection ID of
// our length and our first cipher suite. By default it would end a session after 16 silent seconds.
// tuned chooses the options that are fastest here: no block-wise transfer, and each message handled
// by the goroutine that read it.
func startGoCoAP(o Order, tuned bool) (holder, error) {
	l, err := coapnet.NewDTLSListener("udp4", anyPort, coapnet.NewDTLSServerOptions(
		piondtls.WithPSK(func([]byte) ([]byte, error) { return o.Secret.PSK(), nil }),
		piondtls.WithCipherSuites(piondtls.TLS_PSK_WITH_AES_128_CCM_8),
		piondtls.WithExtendedMasterSecret(piondtls.RequireExtendedMasterSecret),
		piondtls.WithConnectionIDGenerator(piondtls.RandomCIDGenerator(8))))
	if err != nil {
		return holder{}, err
	}
	var sessions atomic.Int64
	opts := []server.Option{
		options.WithHandlerFunc(func(w *responsewriter.ResponseWriter[*client.Conn], _ *pool.Message) {
			// If this fails, the node gets no answer and reports it.
			_ = w.SetResponse(codes.Changed, message.TextPlain, nil)
		}),
		options.WithInactivityMonitor(24*time.Hour, func(c *client.Conn) { _ = c.Close() }),
		options.WithOnNewConn(func(c *client.Conn) {
			sessions.Add(1)
			c.AddOnClose(func() { sessions.Add(-1) })
		}),
	}
	if tuned {
		opts = append(opts, options.WithBlockwise(false, blockwise.SZX1024, time.Second),
			options.WithProcessReceivedMessageFunc(func(m *pool.Message, c *client.Conn,
				h config.HandlerFunc[*client.Conn]) {
				c.ProcessReceivedMessageWithHandler(m, h)
			}))
	}
	s := coapdtls.NewServer(opts...)
	go func() {
		if err := s.Serve(l); err != nil {
			fail(err)
		}
	}()
	return holder{l.Addr().String(), func() int { return int(sessions.Load()) }, nil,
		func() error { s.Stop(); return nil }}, nil
}
