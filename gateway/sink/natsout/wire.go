package natsout

import (
	"bufio"
	"bytes"
	"context"
	"crypto/tls"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"regexp"
	"strconv"
	"sync"
	"time"

	"github.com/nats-io/nats.go"

	"latchkey/gateway/endpoint"
	"latchkey/gateway/endpoint/dial"
)

// Bounds of what a server may send to us: the answers to our messages are short.
const (
	maxLine    = 32 << 10
	maxPayload = 64 << 10
)

// dialer opens a connection for the library, whatever address the library asks for: it may come from
// a server.
type dialer func() (net.Conn, error)

// Dial implements nats.CustomDialer.
func (d dialer) Dial(_, _ string) (net.Conn, error) { return d() }

// SkipTLSHandshake tells the library that the connection has TLS already.
func (d dialer) SkipTLSHandshake() bool { return true }

// openWire opens a connection to the endpoint. NATS does the TLS handshake after the server's first
// line, so that it is done here, between the network and the check of what comes.
func openWire(ctx context.Context, e endpoint.Endpoint) (*wire, error) {
	config, err := dial.TLS(e)
	if err != nil {
		return nil, err
	}
	ctx, cancel := context.WithTimeout(ctx, dial.Within)
	defer cancel()
	raw, err := dial.Dialer(e).DialContext(ctx, "tcp", e.HostPort())
	if err != nil {
		return nil, err
	}
	stop := context.AfterFunc(ctx, func() { raw.Close() })
	defer stop()
	w := newWire(raw)
	if err := w.secure(ctx, config); err != nil {
		raw.Close()
		return nil, err
	}
	return w, nil
}

// secure reads the server's first line and does the handshake, unless config is nil. The line is
// kept for the library.
func (w *wire) secure(ctx context.Context, config *tls.Config) error {
	line, err := w.next()
	if err != nil {
		return err
	}
	w.rest = line
	var info struct {
		Required  bool `json:"tls_required"`
		Available bool `json:"tls_available"`
	}
	text, isInfo := bytes.CutPrefix(line, []byte("INFO "))
	if !isInfo || json.Unmarshal(text, &info) != nil {
		return errors.New("what answers there does not greet as NATS does")
	}
	switch {
	case config == nil && info.Required:
		return nats.ErrSecureConnRequired
	case config == nil:
		return nil
	case !info.Required && !info.Available:
		return nats.ErrSecureConnWanted
	case w.in.Buffered() > 0:
		return errors.New("the server sends more than a greeting before TLS")
	}
	secure := tls.Client(w.Conn, config)
	if err := secure.HandshakeContext(ctx); err != nil {
		return err
	}
	w.watched = dial.Watch(secure)
	w.Conn, w.in = w.watched, bufio.NewReaderSize(w.watched, maxLine)
	return nil
}

// wire is the connection as the library sees it. It passes on only whole, bounded lines and
// messages: the library allocates what a line says that its message has, and panics if that is too
// much.
type wire struct {
	net.Conn
	in   *bufio.Reader
	rest []byte // what is left of the line or message that is being passed on

	err error // why reading has ended
	// watched is Conn if it has TLS: with TLS 1.3 a server refuses our certificate after the
	// handshake.
	watched *dial.Watched
}

func newWire(c net.Conn) *wire { return &wire{Conn: c, in: bufio.NewReaderSize(c, maxLine)} }

// Write bounds the time for what is written, so that a server that reads nothing holds nobody up.
func (w *wire) Write(p []byte) (int, error) {
	if err := w.SetWriteDeadline(time.Now().Add(dial.Within)); err != nil {
		return 0, err
	}
	return w.Conn.Write(p)
}

func (w *wire) Read(p []byte) (int, error) {
	if len(w.rest) == 0 {
		if w.err == nil {
			w.rest, w.err = w.next()
		}
		if w.err != nil {
			return 0, w.err
		}
	}
	n := copy(p, w.rest)
	w.rest = w.rest[n:]
	return n, nil
}

// lines are those that a server may send. Only who has such a sink pays for the pattern, which is
// large.
var lines = sync.OnceValue(func() *regexp.Regexp {
	return regexp.MustCompile(`^(?:PING|PONG|\+OK|-ERR .{0,1000}|INFO \{.*\} ?|` +
		`MSG [!-~]+ [0-9]{1,9} (?:[!-~]+ )?(?P<size>[0-9]{1,6})|` +
		`HMSG [!-~]+ [0-9]{1,9} (?:[!-~]+ )?(?P<head>[0-9]{1,6}) (?P<all>[0-9]{1,6}))\r\n$`)
})

// next returns the next line, with its message if it has one.
func (w *wire) next() ([]byte, error) {
	line, err := w.in.ReadSlice('\n')
	switch {
	case errors.Is(err, bufio.ErrBufferFull):
		return nil, fmt.Errorf("the server sends a line of more than %d bytes", maxLine)
	case errors.Is(err, io.EOF) && len(line) > 0:
		return nil, io.ErrUnexpectedEOF
	case err != nil:
		return nil, err
	}
	found := lines().FindSubmatch(line)
	if found == nil {
		return nil, errors.New("what answers there does not speak NATS, or sends what it must not")
	}
	group := func(name string) string { return string(found[lines().SubexpIndex(name)]) }
	head, size := group("head"), group("size")
	if head != "" {
		size = group("all")
	}
	line = bytes.Clone(line) // until now it was the reader's
	if size == "" {
		return line, nil
	}
	n := toInt(size)
	if n > maxPayload || toInt(head) > n {
		return nil, fmt.Errorf("the server sends a message of %d bytes: at most %d are taken", n, maxPayload)
	}
	whole := append(line, make([]byte, n+len("\r\n"))...)
	if _, err := io.ReadFull(w.in, whole[len(line):]); err != nil {
		if errors.Is(err, io.EOF) {
			err = io.ErrUnexpectedEOF
		}
		return nil, err
	}
	if !bytes.HasSuffix(whole, []byte("\r\n")) {
		return nil, errors.New("the server sends a message that does not end where it says")
	}
	return whole, nil
}

// toInt is 0 without digits.
func toInt(digits string) int { n, _ := strconv.Atoi(digits); return n }
