// Package transport carries CoAP over DTLS 1.2 with pre-shared keys. It has a listener, which tells
// which key opened each association, and the node's side. It is the only package that knows pion.
// It does not know what a key opens, nor what a request means.
//
// A datagram takes this way: package socket reads it, with all others that are there.
// Listener.handleDatagram splits it and finds the association of each record, or answers a
// ClientHello with a cookie. pion makes the handshake. Then package takeover takes keys and numbers
// out of pion, and secure opens and seals the records. Conn gives each message to its
// message.Exchange, which filters, answers repeated requests and retransmits as CoAP requires. A
// worker of package workers takes each new request: go-coap's coder parses it, and the Handler
// answers it and may wait. The answer goes back from Conn through secure to the socket, which sends
// all answers that are there in one system call. All else happens in the one goroutine that reads
// the socket, so a session that is idle has no goroutine, no timer and no buffer.
//
// A session can outlive the process: Serve saves it at its end if Config.Save says so, and the next
// listener gets it by Config.Resume. Whoever stores it meanwhile sees to it that it is used once.
//
// This differs from pion's own listener, go-coap's dtls.Server and libcoap: a forged plaintext
// datagram ends no session, a node that starts again on the same port is served at once, and a
// ClientHello costs no memory before its address is proven.
package transport

import (
	"log/slog"
	"time"

	"github.com/pion/dtls/v3"
)

// suites are the cipher suites that we offer and accept, in order of preference: first those of the
// small nodes.
var suites = []dtls.CipherSuiteID{
	dtls.TLS_PSK_WITH_AES_128_CCM_8,
	dtls.TLS_PSK_WITH_AES_128_CCM,
	dtls.TLS_ECDHE_PSK_WITH_CHACHA20_POLY1305_SHA256,
}

const (
	handshakeTime  = 30 * time.Second // at the gateway
	flightInterval = time.Second      // a node's, RFC 6347 §4.2.4.1
	// A node's: enough for four retransmissions. Then it begins anew, for a gateway that was
	// restarted in the middle of a handshake knows nothing of it.
	nodeHandshakeTime = 15 * time.Second
	// The gateway's. A node that has lost a datagram retransmits its flight first, and then we
	// retransmit ours. A timer as short as the node's would not help, and it would delay a node
	// that takes our retransmission for an answer, as GnuTLS does.
	gatewayFlightInterval = 4 * time.Second
	defaultIdle           = 24 * time.Hour
)

func orDiscard(l *slog.Logger) *slog.Logger {
	if l == nil {
		return slog.New(slog.DiscardHandler)
	}
	return l
}
