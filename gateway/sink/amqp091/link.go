package amqp091

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"net/url"
	"strings"
	"sync"
	"time"

	amqp "github.com/rabbitmq/amqp091-go"

	"latchkey/gateway/access/sinks"
	"latchkey/gateway/endpoint"
	"latchkey/gateway/endpoint/dial"
	"latchkey/gateway/sink/flight"
	"latchkey/gateway/sink/sender"
	"latchkey/gateway/text"
)

const maxFrame = 128 << 10

// link is one connection with one channel.
type link struct {
	net      *dial.Watched
	conn     *amqp.Connection
	channel  *amqp.Channel
	exchange string
	ends     chan *amqp.Error
	spoiled  bool // a write has failed

	// returns has room for all messages that may be on their way, because the library drops a
	// return after 5 s if there is none. A return comes before the confirmation of its message.
	returns  chan amqp.Return
	returned map[string]bool // ids of those that came out of returns

	watching sync.WaitGroup
	mu       sync.Mutex
	blocked  string        // guarded by mu; why the server takes nothing; empty: it takes messages
	changed  chan struct{} // guarded by mu; closed when blocked changes
}

// connect opens a connection, and makes sure that the exchange is there.
func connect(ctx context.Context, s sinks.Sink, silence time.Duration) (*link, error) {
	ctx, cancel := context.WithTimeout(ctx, dial.Within)
	defer cancel()
	conf, err := configure(s.Endpoint)
	if err != nil {
		return nil, err
	}
	conf.Heartbeat = silence * 2 / 3 // the library gives up after one and a half of it
	raw, err := dial.Open(ctx, s.Endpoint)
	if err != nil {
		if dial.IsCertificate(err) || errors.Is(err, dial.ErrAddress) {
			return nil, sender.Halted("%v", err)
		}
		return nil, err
	}
	l := &link{net: dial.Watch(dial.LimitAnswers(raw)), exchange: cmp.Or(s.Place, "latchkey"),
		ends: make(chan *amqp.Error, 1), returns: make(chan amqp.Return, 2*flight.Most),
		returned: map[string]bool{}, changed: make(chan struct{})}

	// The library knows no context. If it ends, so does the connection, and with it all waiting.
	stop := context.AfterFunc(ctx, func() { _ = raw.Close() })
	err = l.open(conf, s.Declare)
	if !stop() {
		err = fmt.Errorf("the server did not answer in time: %w", context.Cause(ctx))
	}
	if err != nil {
		l.close()
		return nil, err
	}
	return l, nil
}

// configure says how we prove who we are, and which virtual host we want.
func configure(e endpoint.Endpoint) (amqp.Config, error) {
	u, err := url.Parse(e.URL)
	if err != nil {
		return amqp.Config{}, sender.Halted("the URL is not one")
	}
	properties := amqp.Table{"product": "latchkey"}
	conf := amqp.Config{FrameSize: maxFrame, ChannelMax: 1, Locale: "en_US",
		Properties: properties, Vhost: cmp.Or(strings.TrimPrefix(u.Path, "/"), "/")}
	switch {
	case e.User != "":
		plain := &amqp.PlainAuth{Username: e.User, Password: e.Password.Reveal()}
		conf.SASL = []amqp.Authentication{login{plain, properties}}
	case e.Cert != "":
		conf.SASL = []amqp.Authentication{login{&amqp.ExternalAuth{}, properties}}
	default:
		return conf, sender.Halted("there is neither a user nor a client certificate: give one of them")
	}
	return conf, nil
}

// login asks the server to say when it does not know us. Otherwise it just ends the connection,
// which looks like a cut. The library sets the capabilities itself, before it calls Response.
type login struct {
	amqp.Authentication
	properties amqp.Table
}

func (l login) Response() string {
	if c, ok := l.properties["capabilities"].(amqp.Table); ok {
		c["authentication_failure_close"] = true
	}
	return l.Authentication.Response()
}

func (l *link) open(conf amqp.Config, declare bool) error {
	var err error
	if l.conn, err = amqp.Open(l.net, conf); err != nil {
		return l.explainOpen(err)
	}
	if l.channel, err = l.conn.Channel(); err != nil {
		return l.classify(err)
	}
	l.channel.NotifyClose(l.ends)
	l.channel.NotifyReturn(l.returns)
	blocks := l.conn.NotifyBlocked(make(chan amqp.Blocking))
	l.watching.Go(func() { l.watchBlocked(blocks) })
	if err := l.channel.Confirm(false); err != nil {
		return l.classify(err)
	}
	if declare {
		err = l.channel.ExchangeDeclare(l.exchange, "topic", true, false, false, false, nil)
	} else {
		err = l.channel.ExchangeDeclarePassive(l.exchange, "topic", true, false, false, false, nil)
	}
	return l.classify(err)
}

// explainOpen returns why the server did not let us in.
func (l *link) explainOpen(err error) error {
	if cause := l.net.FirstError(); dial.IsCertificate(cause) {
		return sender.Halted("the server did not accept our certificate: %v", cause)
	}
	var e *amqp.Error
	switch {
	case err == amqp.ErrSASL:
		return sender.Halted("the server offers no way to sign in that we have: with a client certificate it " +
			"needs EXTERNAL (RabbitMQ: the plugin rabbitmq_auth_mechanism_ssl), with a user PLAIN")
	case errors.As(err, &e) && e.Server && e.Code == amqp.NotAllowed && strings.Contains(e.Reason, "limit"):
		return fmt.Errorf("the server lets nobody in for now: %s", shorten(e.Reason))
	case errors.As(err, &e) && e.Server && e.Code == amqp.NotAllowed:
		return sender.Halted("the server refuses the virtual host: %s", shorten(e.Reason))
	case errors.As(err, &e) && e.Server && e.Code == amqp.AccessRefused:
		return sender.Halted("the server does not know our user, password or certificate: %s", shorten(e.Reason))
	}
	return l.classify(err)
}

// classify returns what an error of the open connection means to the sink.
func (l *link) classify(err error) error {
	var e *amqp.Error
	if err == nil {
		return nil
	}
	if !errors.As(err, &e) {
		return fmt.Errorf("the connection ended: %w", err)
	}
	if !e.Server {
		return fmt.Errorf("the connection ended: %s", shorten(e.Reason))
	}
	switch e.Code {
	case amqp.AccessRefused:
		return sender.Halted("the server does not let us write to the exchange %s: %s", l.exchange, shorten(e.Reason))
	case amqp.NotFound:
		return sender.Halted("the server has no exchange %s: make it, or let it be made with --declare", l.exchange)
	case amqp.PreconditionFailed:
		return sender.Halted("the server has an exchange %s of another kind: %s", l.exchange, shorten(e.Reason))
	}
	return fmt.Errorf("the server ended the connection: %s", shorten(e.Reason))
}

// shorten bounds what the server says, because it is stored and shown.
func shorten(reason string) string {
	if len(reason) > 150 {
		reason = strings.ToValidUTF8(reason[:150], "")
	}
	return text.Quote(reason)
}

// watchBlocked keeps what the server says about itself until the connection ends.
func (l *link) watchBlocked(from <-chan amqp.Blocking) {
	for b := range from {
		l.mu.Lock()
		l.blocked = ""
		if b.Active {
			l.blocked = cmp.Or(shorten(b.Reason), "it gave no reason")
		}
		close(l.changed)
		l.changed = make(chan struct{})
		l.mu.Unlock()
	}
}

func (l *link) readBlocked() (why string, changed <-chan struct{}) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.blocked, l.changed
}

// isLost tells whether the connection or its channel has ended.
func (l *link) isLost() bool { return l.spoiled || l.channel.IsClosed() || l.conn.IsClosed() }

// explain returns why the connection has ended.
func (l *link) explain() error {
	select {
	case e := <-l.ends:
		if e != nil {
			return l.classify(e)
		}
	default:
	}
	return nil
}

// takeReturned tells whether the message with this id came back, and forgets it. Its confirmation
// has come.
func (l *link) takeReturned(id string) bool {
	for {
		select {
		case r, ok := <-l.returns:
			if ok {
				l.returned[r.MessageId] = true
				continue
			}
		default:
		}
		came := l.returned[id]
		delete(l.returned, id)
		return came
	}
}

// Route implements [flight.Link].
func (l *link) Route(m sender.Message) string { return Key(m) }

// Publish implements [flight.Link].
func (l *link) Publish(ctx context.Context, m sender.Message) (flight.Pending, error) {
	if why, _ := l.readBlocked(); why != "" {
		return nil, fmt.Errorf("the server takes nothing for now: %s", why)
	}
	// A server that does not read makes the write wait. What is written in part ends the connection.
	stop := context.AfterFunc(ctx, func() { _ = l.net.SetWriteDeadline(time.Unix(1, 0)) })
	done, err := l.channel.PublishWithDeferredConfirm(l.exchange, Key(m), true, false, amqp.Publishing{
		MessageId: m.ID, ContentType: "application/cloudevents+json", DeliveryMode: amqp.Persistent,
		AppId: "latchkey", Body: m.Body})
	if !stop() {
		err = cmp.Or(err, ctx.Err())
	}
	if err != nil {
		l.spoiled = true
		return nil, fmt.Errorf("the connection ended: %w", err)
	}
	return &pending{link: l, id: m.ID, key: Key(m), done: done}, nil
}

// close ends the connection. A server that does not answer is not waited for long.
func (l *link) close() {
	if l.conn != nil {
		_ = l.conn.CloseDeadline(time.Now().Add(time.Second)) // what was not confirmed is sent again
	}
	_ = l.net.Close()
	l.watching.Wait()
}
