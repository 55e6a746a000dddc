package amqp10

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"net/url"
	"strconv"
	"strings"
	"time"

	amqp "github.com/Azure/go-amqp"

	"latchkey/gateway/access/sinks"
	"latchkey/gateway/endpoint"
	"latchkey/gateway/endpoint/dial"
	"latchkey/gateway/sink/flight"
	"latchkey/gateway/sink/sender"
	"latchkey/gateway/text"
)

// link is one connection with one link to the address.
type link struct {
	net     *dial.Watched
	conn    *amqp.Conn
	sender  *amqp.Sender
	address string
	lost    bool // nothing more can be sent
}

// connect opens a connection, and makes sure that the address is there and keeps messages.
func connect(ctx context.Context, s sinks.Sink, silence time.Duration) (*link, error) {
	ctx, cancel := context.WithTimeout(ctx, dial.Within)
	defer cancel()
	if s.Place == "" {
		return nil, sender.Halted("it has no address: give one, such as /queues/NAME (RabbitMQ 4), " +
			"/amq/queue/NAME (RabbitMQ 3) or queue://NAME (ActiveMQ)")
	}
	opts, err := configure(s.Endpoint, silence)
	if err != nil {
		return nil, err
	}
	raw, err := dial.Open(ctx, s.Endpoint)
	if err != nil {
		if dial.IsCertificate(err) || errors.Is(err, dial.ErrAddress) {
			return nil, sender.Halted("%v", err)
		}
		return nil, err
	}
	l := &link{net: dial.Watch(dial.LimitAnswers(raw)), address: s.Place}
	if err := l.open(ctx, opts); err != nil {
		l.close()
		return nil, err
	}
	return l, nil
}

// configure says how we prove who we are, and which virtual host we want.
func configure(e endpoint.Endpoint, silence time.Duration) (*amqp.ConnOptions, error) {
	u, err := url.Parse(e.URL)
	if err != nil {
		return nil, sender.Halted("the URL is not one")
	}
	opts := &amqp.ConnOptions{HostName: u.Hostname(), IdleTimeout: silence, WriteTimeout: dial.Within,
		Properties: map[string]any{"product": "latchkey"}}
	if vhost := strings.TrimPrefix(u.Path, "/"); vhost != "" {
		opts.HostName = "vhost:" + vhost // RabbitMQ's way to name one
	}
	switch {
	case e.User != "":
		opts.SASLType = amqp.SASLTypePlain(e.User, e.Password.Reveal())
	case e.Cert != "":
		opts.SASLType = amqp.SASLTypeExternal("")
	default:
		return nil, sender.Halted("there is neither a user nor a client certificate: give one of them")
	}
	return opts, nil
}

func (l *link) open(ctx context.Context, opts *amqp.ConnOptions) error {
	var err error
	if l.conn, err = amqp.NewConn(ctx, l.net, opts); err != nil {
		return l.explainOpen(err)
	}
	if err := l.checkAddress(); err != nil {
		return err
	}
	session, err := l.conn.NewSession(ctx, nil)
	if err != nil {
		return l.fail(err)
	}
	// The link may be of any mode, since some servers do not agree to another. Each message is sent
	// unsettled, which a link of settled messages refuses.
	l.sender, err = session.NewSender(ctx, l.address,
		&amqp.SenderOptions{TargetDurability: amqp.DurabilityUnsettledState})
	if err != nil {
		return l.fail(err)
	}
	return l.checkQueue(ctx)
}

// checkQueue makes sure that the queue is there. RabbitMQ 3 also accepts messages for a queue that
// never was, or that was removed since, so it is asked before the first and after each batch.
// Only to those who want to read a queue it says whether the queue is there.
func (l *link) checkQueue(ctx context.Context) error {
	if !l.isRabbit3() {
		return nil
	}
	if l.lost {
		return errors.New("the connection ended")
	}
	session, err := l.conn.NewSession(ctx, nil)
	if err != nil {
		return l.fail(err)
	}
	// Without credit nothing is read. The server does not answer to the end of the link alone.
	_, err = session.NewReceiver(ctx, l.address, &amqp.ReceiverOptions{Credit: -1})
	var e *amqp.Error
	if errors.As(err, &e) && e.Condition == amqp.ErrCondUnauthorizedAccess {
		if strings.Contains(e.Description, "in exclusive use") {
			return nil // by a receiver, so it is there
		}
		l.lost = true
		return sender.Halted("our user must be allowed to read %s: RabbitMQ 3 accepts messages for a queue "+
			"that is not there, and tells only readers (nothing is read): %s", text.Quote(l.address), describe(e))
	}
	if err != nil {
		return l.fail(err)
	}
	// The end of a session is not always answered. Then the next Send has a new connection.
	end, cancel := context.WithTimeout(ctx, time.Second)
	defer cancel()
	l.lost = session.Close(end) != nil
	return nil
}

// property returns what the server says about itself.
func (l *link) property(name string) string { s, _ := l.conn.Properties()[name].(string); return s }

func (l *link) isRabbit() bool { return l.property("product") == "RabbitMQ" }

// checkAddress refuses addresses where the server accepts messages that it does not keep.
func (l *link) checkAddress() error {
	product, version := l.property("product"), l.property("version")
	switch {
	case l.isRabbit3() && !strings.HasPrefix(l.address, "/amq/queue/"):
		return sender.Halted("RabbitMQ %s accepts messages for %s that no queue gets, or that do not outlive a "+
			"restart: make a durable queue, and give its address, /amq/queue/NAME", text.Quote(version), text.Quote(l.address))
	case strings.Contains(strings.ToLower(product), "activemq") && strings.HasPrefix(l.address, "topic://"):
		return sender.Halted("%s accepts messages for a topic that nobody listens to, and drops them: "+
			"give a queue, queue://NAME", text.Quote(product))
	}
	return nil
}

// isRabbit3 tells whether the server is a RabbitMQ before 4, also if it does not say which.
func (l *link) isRabbit3() bool {
	major, _, _ := strings.Cut(l.property("version"), ".")
	n, err := strconv.Atoi(major)
	return l.isRabbit() && (err != nil || n < 4)
}

// explainOpen returns why the server did not let us in. The library has no types for it.
func (l *link) explainOpen(err error) error {
	if cause := l.net.FirstError(); dial.IsCertificate(cause) {
		return sender.Halted("the server did not accept our certificate: %v", cause)
	}
	switch said := err.Error(); {
	case strings.Contains(said, "auth failed with code 0x1"), strings.Contains(said, "auth failed with code 0x3"):
		return sender.Halted("the server does not know our user, password or certificate")
	case strings.Contains(said, "no supported auth mechanism"):
		return sender.Halted("the server offers no way to sign in that we have: with a client certificate it " +
			"needs EXTERNAL (RabbitMQ: the plugin rabbitmq_auth_mechanism_ssl), with a user PLAIN")
	}
	return l.fail(err)
}

// fail returns what an error means to the sink. The connection is of no use after it.
func (l *link) fail(err error) error {
	l.lost = true
	var e *amqp.Error
	if !errors.As(err, &e) {
		return fmt.Errorf("the connection ended: %w", err)
	}
	switch e.Condition {
	case amqp.ErrCondUnauthorizedAccess, amqp.ErrCondNotAllowed:
		return sender.Halted("the server does not let us send to %s: %s", text.Quote(l.address), describe(e))
	case amqp.ErrCondNotFound, amqp.ErrCondResourceDeleted:
		return sender.Halted("the server has no %s: %s", text.Quote(l.address), describe(e))
	case amqp.ErrCondPreconditionFailed, amqp.ErrCondInvalidField, amqp.ErrCondNotImplemented:
		return sender.Halted("the server cannot use the address %s: %s", text.Quote(l.address), describe(e))
	}
	return fmt.Errorf("the server ended the connection: %s", describe(e))
}

// describe bounds what the server says, because it is stored and shown.
func describe(e *amqp.Error) string {
	said := cmp.Or(e.Description, string(e.Condition))
	if len(said) > 150 {
		said = strings.ToValidUTF8(said[:150], "")
	}
	return text.Quote(said)
}

// Route implements [flight.Link]. All messages go to the one address.
func (l *link) Route(sender.Message) string { return l.address }

// Publish implements [flight.Link].
func (l *link) Publish(ctx context.Context, m sender.Message) (flight.Pending, error) {
	kind := "application/cloudevents+json"
	message := amqp.NewMessage(m.Body)
	message.Header = &amqp.MessageHeader{Durable: true}
	message.Properties = &amqp.MessageProperties{MessageID: m.ID, ContentType: &kind}

	// The library waits for a write that is under way, also when the context has ended.
	stop := context.AfterFunc(ctx, func() { _ = l.net.SetWriteDeadline(time.Unix(1, 0)) })
	receipt, err := l.sender.SendWithReceipt(ctx, message, nil)
	stop()
	switch {
	case err != nil && ctx.Err() != nil:
		return nil, fmt.Errorf("the server takes nothing for now: %w", ctx.Err())
	case err != nil:
		return nil, l.fail(err)
	}
	return &pending{link: l, receipt: receipt}, nil
}

// close ends the connection. A server that does not answer is not waited for long.
func (l *link) close() {
	stop := time.AfterFunc(time.Second, func() { _ = l.net.Close() })
	if l.conn != nil {
		_ = l.conn.Close() // what was not accepted is sent again
	}
	stop.Stop()
	_ = l.net.Close()
}
