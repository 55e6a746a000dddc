// Package natsout sends events to a stream of NATS JetStream: each one to the subject
// PLACE.SITE.KIND, as a CloudEvent in structured mode. It makes no stream: somebody has set up one
// that takes PLACE.>.
package natsout

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"net"
	"strings"
	"sync/atomic"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"github.com/nats-io/nkeys"

	"latchkey/gateway/access/sinks"
	"latchkey/gateway/endpoint"
	"latchkey/gateway/endpoint/dial"
	"latchkey/gateway/sink/sender"
	"latchkey/gateway/text"
)

// DefaultPlace is where subjects begin if nobody says otherwise.
const DefaultPlace = "latchkey"

const (
	contentType = "application/cloudevents+json"
	// ackWithin is how long a stream may take to say that it has stored a message.
	ackWithin = 10 * time.Second
	// closeWithin bounds the farewell to a server that may not listen any more.
	closeWithin = time.Second
)

// Sender sends to one server. It holds a connection from the first message on.
type Sender struct {
	endpoint endpoint.Endpoint
	place    string
	link     *link // nil before the first message
}

// link is one connection.
type link struct {
	conn *nats.Conn
	js   jetstream.JetStream
	wire *wire
	// denied is what the server said about our rights. It says so beside the message.
	denied atomic.Pointer[error]
}

var _ sender.Sender = (*Sender)(nil)

// New returns the sender of a sink. The password of its endpoint is that of its user; without a
// user it is the seed of an NKey, the content of a credentials file, or a token.
func New(s sinks.Sink) (sender.Sender, error) {
	place := cmp.Or(s.Place, DefaultPlace)
	if !isSubject(place) {
		return nil, fmt.Errorf("natsout: %q is no beginning of subjects: want words with dots between", place)
	}
	return &Sender{endpoint: s.Endpoint, place: place}, nil
}

// isSubject tells whether it can be the beginning of a subject that is published to. Those with a $
// in front are the server's own.
func isSubject(place string) bool {
	for word := range strings.SplitSeq(place, ".") {
		wrong := func(c rune) bool { return c <= ' ' || c > '~' || c == '*' || c == '>' }
		if word == "" || strings.ContainsFunc(word, wrong) {
			return false
		}
	}
	return !strings.HasPrefix(place, "$")
}

// Send implements [sender.Sender]. The stream stores each message before the next one is sent: a
// stream that is full refuses one message and takes a later one as soon as there is room, so that
// the order would be lost.
func (s *Sender) Send(ctx context.Context, batch []sender.Message) (taken int, err error) {
	if err := s.connect(ctx); err != nil {
		return 0, err
	}
	for _, m := range batch {
		if err := s.publish(ctx, m); err != nil {
			return taken, err
		}
		taken++
	}
	return taken, nil
}

// publish sends one message and waits until a stream has stored it. The server drops a message with
// an id that the stream has had shortly before. The stream may hold the events of several sites, so
// that the id has the site, and the place, in it.
func (s *Sender) publish(ctx context.Context, m sender.Message) error {
	within, cancel := context.WithTimeout(ctx, ackWithin)
	defer cancel()
	subject := s.place + "." + m.Site + "." + m.Kind
	_, err := s.link.js.PublishMsg(within, &nats.Msg{Subject: subject, Data: m.Body, Header: nats.Header{
		"Nats-Msg-Id":  {s.place + "." + m.Site + "." + m.ID},
		"Content-Type": {contentType},
	}}, jetstream.WithRetryAttempts(0))
	switch {
	case err == nil:
		return nil
	case ctx.Err() != nil:
		return ctx.Err()
	case errors.Is(err, jetstream.ErrNoStreamResponse), errors.Is(err, nats.ErrNoResponders):
		// Also while a stream starts, so that it is not for good.
		return fmt.Errorf("nats: no stream takes the subject %s", text.Quote(subject))
	case within.Err() != nil:
		s.drop()
		return fmt.Errorf("nats: no stream has said within %v that it has stored the message", ackWithin)
	}
	return s.link.judge(err)
}

// codes that JetStream answers a message with, where a later try fails too.
const (
	codeTooLarge     = 10054
	codeHeadTooLarge = 10097
	codeNotAllowed   = 10039 // JetStream is off for the account
	codeOff          = 10076 // JetStream is off
	codeSealed       = 10109
)

// judge makes the kind of error that the engine knows.
func (l *link) judge(err error) error {
	if denied := l.denied.Load(); denied != nil {
		return &sender.Halt{Why: shorten(*denied)}
	}
	var refused *jetstream.APIError
	switch {
	case errors.Is(err, nats.ErrMaxPayload):
		return &sender.Refusal{Why: "nats: the message is larger than the server takes"}
	case errors.As(err, &refused):
		switch refused.ErrorCode {
		case codeTooLarge, codeHeadTooLarge:
			return &sender.Refusal{Why: shorten(err)}
		case codeNotAllowed, codeOff, codeSealed:
			return &sender.Halt{Why: shorten(err)}
		}
	case l.conn.IsClosed():
		if last := l.conn.LastError(); last != nil {
			return judgeConnection(last)
		}
	}
	return errors.New(shorten(err))
}

// judgeConnection does the same with the error of a connection.
func judgeConnection(err error) error {
	for _, lasting := range []error{nats.ErrAuthorization, nats.ErrAuthExpired, nats.ErrAuthRevoked,
		nats.ErrAccountAuthExpired, nats.ErrPermissionViolation, nats.ErrSecureConnRequired,
		nats.ErrSecureConnWanted, nats.ErrNkeysNotSupported, dial.ErrAddress, errSeed} {
		if errors.Is(err, lasting) {
			return &sender.Halt{Why: shorten(err)}
		}
	}
	if dial.IsCertificate(err) || strings.Contains(strings.ToLower(err.Error()), "authorization violation") {
		return &sender.Halt{Why: shorten(err)}
	}
	return errors.New(shorten(err))
}

// shorten returns the text of an error that may have come from the server.
func shorten(err error) string {
	s := strings.TrimPrefix(text.Shorten(err.Error()), "nats: ")
	if !text.IsPrintable(s) {
		s = text.Quote(s)
	}
	return "nats: " + s
}

// connect opens a connection if there is none.
func (s *Sender) connect(ctx context.Context) error {
	if s.link != nil && !s.link.conn.IsClosed() && s.link.denied.Load() == nil {
		return nil
	}
	s.drop()
	l := &link{}
	stop := func() bool { return true }
	open := dialer(func() (net.Conn, error) {
		w, err := openWire(ctx, s.endpoint)
		if err != nil {
			return nil, err
		}
		l.wire = w
		stop = context.AfterFunc(ctx, func() { w.Close() }) // the library knows no context
		return w, nil
	})
	options := []nats.Option{nats.Name("latchkey"), nats.SetCustomDialer(open), nats.NoReconnect(),
		nats.IgnoreDiscoveredServers(), nats.SkipHostLookup(), nats.Timeout(dial.Within),
		nats.ErrorHandler(func(c *nats.Conn, _ *nats.Subscription, err error) {
			if errors.Is(err, nats.ErrPermissionViolation) {
				l.denied.Store(&err)
				c.Close() // else the message waits for an answer
			}
		})}
	if s.endpoint.Secure() {
		options = append(options, nats.Secure())
	}
	proof, err := s.prove()
	if err != nil {
		return judgeConnection(err)
	}
	l.conn, err = nats.Connect(s.endpoint.URL, append(options, proof...)...)
	if !stop() {
		if err == nil {
			l.conn.Close()
		}
		return ctx.Err()
	}
	if err != nil {
		if l.wire != nil && l.wire.watched != nil && dial.IsCertificate(l.wire.watched.FirstError()) {
			err = l.wire.watched.FirstError()
		}
		return judgeConnection(err)
	}
	if l.js, err = jetstream.New(l.conn); err != nil {
		l.conn.Close()
		return judgeConnection(err)
	}
	s.link = l
	return nil
}

var errSeed = errors.New("the password begins like the seed of an NKey and is none")

// prove returns how we say who we are.
func (s *Sender) prove() ([]nats.Option, error) {
	secret := s.endpoint.Password.Reveal()
	switch {
	case secret == "" && s.endpoint.User == "":
		return nil, nil
	case s.endpoint.User != "":
		return []nats.Option{nats.UserInfo(s.endpoint.User, secret)}, nil
	case strings.Contains(secret, "-----BEGIN NATS USER JWT-----"):
		return []nats.Option{nats.UserCredentialBytes([]byte(secret))}, nil
	case strings.HasPrefix(secret, "SU") && len(secret) == 58:
		pair, err := nkeys.FromSeed([]byte(secret))
		if err != nil {
			return nil, errSeed
		}
		public, err := pair.PublicKey()
		if err != nil {
			return nil, errSeed
		}
		return []nats.Option{nats.Nkey(public, pair.Sign)}, nil
	}
	return []nats.Option{nats.Token(secret)}, nil
}

// drop closes the connection, if there is one.
func (s *Sender) drop() {
	if s.link == nil {
		return
	}
	l := s.link
	s.link = nil
	cut := time.AfterFunc(closeWithin, func() { l.wire.Close() })
	l.conn.Close()
	cut.Stop()
}

// Close implements [sender.Sender].
func (s *Sender) Close() error { s.drop(); return nil }
