package load

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"net"
	"net/netip"
	"time"

	"github.com/pion/dtls/v3"
	"github.com/plgd-dev/go-coap/v3/message"
	"github.com/plgd-dev/go-coap/v3/message/codes"
	"github.com/plgd-dev/go-coap/v3/udp/coder"

	"latchkey/keys"
)

// Session is a minimal node: one association and one confirmable request at a time, so that the
// generator uses less CPU than the server that it measures. It is not safe for concurrent use.
type Session struct {
	conn  net.Conn
	lower *socket
	mid   uint16
	in    []byte
	out   []byte
	opts  []byte
	// Repeats is how many requests were retransmitted.
	Repeats int
}

// Options say how a session is opened.
type Options struct {
	Identity keys.ID
	Secret   keys.Secret
	CID      bool       // ask for a connection ID (RFC 9146)
	Source   netip.Addr // address to send from; not valid: any
}

// ErrPatience means that no answer came in time.
var ErrPatience = errors.New("no answer in time")

const patience = 3 * time.Second

// DialPlain opens a session without DTLS.
func DialPlain(addr string) (*Session, error) {
	c, err := net.Dial("udp4", addr)
	if err != nil {
		return nil, err
	}
	return newSession(c, nil), nil
}

// Dial opens a session over DTLS 1.2 with a pre-shared key and AES-128-CCM-8, as a small node does.
// The handshake is that of unmodified pion.
func Dial(ctx context.Context, addr string, o Options) (*Session, error) {
	to, err := net.ResolveUDPAddr("udp4", addr)
	if err != nil {
		return nil, err
	}
	var from *net.UDPAddr
	if o.Source.IsValid() {
		from = net.UDPAddrFromAddrPort(netip.AddrPortFrom(o.Source, 0))
	}
	lower, err := newSocket(from)
	if err != nil {
		return nil, err
	}
	opts := []dtls.ClientOption{
		dtls.WithPSK(func([]byte) ([]byte, error) { return o.Secret.PSK(), nil }),
		dtls.WithPSKIdentityHint([]byte(o.Identity)),
		dtls.WithCipherSuites(dtls.TLS_PSK_WITH_AES_128_CCM_8),
		dtls.WithExtendedMasterSecret(dtls.RequireExtendedMasterSecret),
	}
	if o.CID {
		opts = append(opts, dtls.WithConnectionIDGenerator(dtls.OnlySendCIDGenerator()))
	}
	c, err := dtls.ClientWithOptions(lower, to, opts...)
	if err != nil {
		return nil, errors.Join(err, lower.Close())
	}
	ctx, cancel := context.WithTimeout(ctx, 10*patience)
	defer cancel()
	if err := c.HandshakeContext(ctx); err != nil {
		return nil, errors.Join(fmt.Errorf("handshake with %s: %w", addr, err), c.Close(), lower.Close())
	}
	return newSession(c, lower), nil
}

func newSession(c net.Conn, lower *socket) *Session {
	return &Session{conn: c, lower: lower, mid: uint16(rand.Uint32()), in: make([]byte, 2048),
		out: make([]byte, 2048), opts: make([]byte, 256)}
}

// Close sends a close_notify and closes the socket.
func (s *Session) Close() error {
	if s.lower == nil {
		return s.conn.Close()
	}
	return errors.Join(s.conn.Close(), closed(s.lower.Close()))
}

// Move continues from another port, as a node does after sleep. Only the connection ID tells the
// server which session the records belong to.
func (s *Session) Move() error { return s.lower.move() }

func closed(err error) error {
	if errors.Is(err, net.ErrClosed) {
		return nil
	}
	return err
}

// Request is what a session sends.
type Request struct {
	Code    codes.Code
	Path    string
	Query   string
	Options message.Options // above Uri-Query (15), in the order of their numbers
	Payload []byte
}

// Echo sends bytes and expects the same bytes back, without CoAP. It measures the floor: a server
// that only returns datagrams.
func (s *Session) Echo(b []byte) error {
	deadline := time.Now().Add(patience)
	if err := s.conn.SetReadDeadline(deadline); err != nil {
		return err
	}
	if _, err := s.conn.Write(b); err != nil {
		return err
	}
	n, err := s.conn.Read(s.in)
	if err == nil && n != len(b) {
		err = fmt.Errorf("%d bytes came back for %d", n, len(b))
	}
	return err
}

// Do sends a confirmable request and returns its piggybacked response, whose bytes are valid until
// the next call. It retransmits the request after 1 s, doubled each time (RFC 7252 §4.2, without
// the random part of the first wait), until 3 s are over.
func (s *Session) Do(r Request) (message.Message, error) {
	s.mid++
	m := message.Message{Type: message.Confirmable, Code: r.Code, MessageID: int32(s.mid),
		Token: message.Token{byte(s.mid >> 8), byte(s.mid)}, Payload: r.Payload}
	var err error
	rest, n := s.opts, 0
	if m.Options, n, err = make(message.Options, 0, 8).SetPath(rest, r.Path); err != nil {
		return m, err
	}
	if r.Query != "" {
		if m.Options, _, err = m.Options.AddString(rest[n:], message.URIQuery, r.Query); err != nil {
			return m, err
		}
	}
	for _, o := range r.Options {
		m.Options = m.Options.Add(o)
	}
	size, err := coder.DefaultCoder.Encode(m, s.out)
	if err != nil {
		return m, err
	}
	deadline := time.Now().Add(patience)
	for wait := time.Second; ; wait *= 2 {
		if _, err := s.conn.Write(s.out[:size]); err != nil {
			return m, err
		}
		a, err := s.answer(earlier(time.Now().Add(wait), deadline))
		var timeout net.Error // from the kernel's socket or from pion
		if err == nil || !errors.As(err, &timeout) || !timeout.Timeout() {
			return a, err
		}
		if !time.Now().Before(deadline) {
			return a, ErrPatience
		}
		s.Repeats++
	}
}

// answer waits for the ACK of the request that was sent last. It answers pings and drops everything
// else.
func (s *Session) answer(deadline time.Time) (a message.Message, err error) {
	if err := s.conn.SetReadDeadline(deadline); err != nil {
		return a, err
	}
	for {
		n, err := s.conn.Read(s.in)
		if err != nil {
			return a, err
		}
		a = message.Message{Options: make(message.Options, 0, 8)}
		if _, err := coder.DefaultCoder.Decode(s.in[:n], &a); err != nil {
			return a, err
		}
		if a.Type == message.Confirmable && a.Code == codes.Empty { // a ping (RFC 7252 §4.3)
			if _, err := s.conn.Write([]byte{0x70, 0, byte(a.MessageID >> 8),
				byte(a.MessageID)}); err != nil {
				return a, err
			}
		}
		if a.MessageID == int32(s.mid) && (a.Type == message.Acknowledgement || a.Type == message.Reset) {
			if a.Type == message.Reset || a.Code == codes.Empty {
				return a, fmt.Errorf("%v instead of a response", a.Type)
			}
			return a, nil
		}
	}
}

func earlier(a, b time.Time) time.Time {
	if a.Before(b) {
		return a
	}
	return b
}
