package mqtt

import (
	"bytes"
	"cmp"
	"context"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"time"

	"github.com/eclipse/paho.golang/packets"
	"github.com/eclipse/paho.golang/paho"
	"github.com/eclipse/paho.golang/paho/session/state"

	"latchkey/gateway/endpoint/dial"
	"latchkey/gateway/text"
)

// ackWithin is how long a server may take to acknowledge a message.
const ackWithin = 10 * time.Second

// closeWithin bounds the farewell to a server that may not listen any more.
const closeWithin = time.Second

// errClosed is why a connection has ended that we closed.
var errClosed = errors.New("mqtt: the connection was closed here")

// Conn is one connection. Its methods may be called from several goroutines.
type Conn struct {
	settings  Settings
	wire      *wire
	client    *paho.Client
	session   *state.State
	maxPacket uint32 // what the server takes
	retains   bool   // the server keeps retained messages

	sending  chan struct{} // holds one token while a message is written, so that messages keep their order
	received chan Message
	dropped  atomic.Uint64
	work     sync.WaitGroup // Up, and the goroutine that hands out messages

	finish sync.Once
	done   chan struct{} // closed after the connection has ended
	err    error         // why; set before done is closed
}

// Open opens a connection, and returns it after its subscriptions hold. The caller closes it.
func Open(ctx context.Context, s Settings) (*Conn, error) {
	s.KeepAlive = cmp.Or(s.KeepAlive, DefaultKeepAlive)
	if err := s.check(); err != nil {
		return nil, err
	}
	raw, err := dial.Open(ctx, s.Endpoint)
	if err != nil {
		return nil, fmt.Errorf("mqtt: %w", err)
	}
	watched := dial.Watch(raw)
	c := &Conn{settings: s, wire: newWire(watched), session: state.NewInMemory(),
		sending: make(chan struct{}, 1), received: make(chan Message, maxWaiting), done: make(chan struct{})}
	c.client = paho.NewClient(paho.ClientConfig{Conn: c.wire, Session: c.session, PacketTimeout: ackWithin,
		OnPublishReceived: []func(paho.PublishReceived) (bool, error){c.receive},
		OnClientError:     c.end,
		OnServerDisconnect: func(d *paho.Disconnect) {
			says := ""
			if d.Properties != nil {
				says = d.Properties.ReasonString
			}
			c.end(refuse("the connection", d.ReasonCode, says))
		}})
	if err := c.greet(ctx); err != nil {
		raw.Close()
		if first := watched.FirstError(); dial.IsCertificate(first) {
			err = fmt.Errorf("mqtt: connect: %w", first)
		}
		return nil, err
	}
	c.work.Go(c.handOut)
	if err := c.Subscribe(ctx, s.Subscriptions...); err != nil {
		c.Close()
		return nil, err
	}
	if s.Up != nil {
		up, cancel := c.within(context.Background())
		c.work.Go(func() { defer cancel(); s.Up(up, c) })
	}
	return c, nil
}

// greet sends CONNECT. Without a session expiry, the server keeps nothing for us after the end of
// the connection.
func (c *Conn) greet(ctx context.Context) error {
	e := c.settings.Endpoint
	hello := &paho.Connect{ClientID: c.settings.ClientID, CleanStart: true,
		KeepAlive: uint16(c.settings.KeepAlive / time.Second), UsernameFlag: e.User != "", Username: e.User,
		Properties: &paho.ConnectProperties{ReceiveMaximum: paho.Uint16(maxReceived),
			MaximumPacketSize: paho.Uint32(MaxPacket), RequestProblemInfo: true}}
	if !e.Password.IsZero() {
		hello.PasswordFlag, hello.Password = true, []byte(e.Password.Reveal())
	}
	if w := c.settings.Will; w != nil {
		hello.WillMessage = &paho.WillMessage{Topic: w.Topic, Payload: w.Payload, QoS: 1, Retain: true}
		hello.WillProperties = &paho.WillProperties{}
	}
	answer, err := c.client.Connect(ctx, hello)
	switch {
	case err != nil && answer != nil && answer.ReasonCode >= 0x80:
		return refuse("the connection", answer.ReasonCode, answer.Properties.ReasonString)
	case err != nil:
		return fmt.Errorf("mqtt: connect: %w", err)
	}
	p := answer.Properties
	c.retains = p.RetainAvailable
	if p.MaximumPacketSize != nil {
		c.maxPacket = *p.MaximumPacketSize
	}
	if p.MaximumQoS != nil && *p.MaximumQoS < 1 {
		c.Close()
		return refuse("the connection", packets.ConnackQoSNotSupported, "")
	}
	return nil
}

// Subscribe asks for the messages of more topics. They come from then on until the connection ends.
func (c *Conn) Subscribe(ctx context.Context, topics ...Subscription) error {
	if len(topics) == 0 {
		return nil
	}
	ask := &paho.Subscribe{}
	for _, t := range topics {
		handling := byte(2) // nothing retained
		if t.Retained {
			handling = 0
		}
		ask.Subscriptions = append(ask.Subscriptions, paho.SubscribeOptions{Topic: t.Topic, QoS: 1,
			RetainHandling: handling, RetainAsPublished: true})
	}
	ctx, cancel := c.within(ctx)
	defer cancel()
	answer, err := c.client.Subscribe(ctx, ask)
	if answer == nil {
		return fmt.Errorf("mqtt: subscribe: %w", c.explain(err))
	}
	if len(answer.Reasons) != len(topics) {
		return errors.New("mqtt: subscribe: the server's answer has another number of topics")
	}
	for i, code := range answer.Reasons {
		if code >= 0x80 {
			what := "the subscription to " + text.Quote(topics[i].Topic)
			return refuse(what, code, answer.Properties.ReasonString)
		}
	}
	return nil
}

// Unsubscribe asks for no more messages of these topic filters.
func (c *Conn) Unsubscribe(ctx context.Context, topics ...string) error {
	ctx, cancel := c.within(ctx)
	defer cancel()
	if _, err := c.client.Unsubscribe(ctx, &paho.Unsubscribe{Topics: topics}); err != nil {
		return fmt.Errorf("mqtt: unsubscribe: %w", c.explain(err))
	}
	return nil
}

// within ends with the connection, too: the library does not wake who waits for an answer then.
func (c *Conn) within(ctx context.Context) (context.Context, context.CancelFunc) {
	ctx, cancel := context.WithCancel(ctx)
	go func() {
		select {
		case <-c.done:
			cancel()
		case <-ctx.Done():
		}
	}()
	return ctx, cancel
}

// explain returns why the connection has ended, if it has, else err.
func (c *Conn) explain(err error) error {
	select {
	case <-c.done:
		return c.err
	default:
		return err
	}
}

// receive runs in the library's goroutine. It never waits.
func (c *Conn) receive(r paho.PublishReceived) (bool, error) {
	m := Message{Topic: r.Packet.Topic, Payload: r.Packet.Payload, Retained: r.Packet.Retain,
		Duplicate: r.Packet.Duplicate(), At: time.Now()}
	select {
	case c.received <- m:
	default:
		c.dropped.Add(1)
	}
	return true, nil
}

// handOut gives each message to Settings.Message until the connection ends.
func (c *Conn) handOut() {
	for {
		select {
		case m := <-c.received:
			if c.settings.Message != nil {
				c.settings.Message(m)
			}
		case <-c.done:
			return
		}
	}
}

// end records why the connection has ended. Only the first reason counts.
func (c *Conn) end(why error) {
	c.finish.Do(func() {
		c.err = why
		close(c.done)
	})
	c.wire.Conn.Close()
}

// Done returns a channel that is closed when the connection has ended.
func (c *Conn) Done() <-chan struct{} { return c.done }

// Err returns why the connection has ended, nil while it has not.
func (c *Conn) Err() error { return c.explain(nil) }

// Dropped returns how many messages came too fast for Settings.Message.
func (c *Conn) Dropped() uint64 { return c.dropped.Load() }

// Close ends the connection and asks the server to send the will. It returns after Up and Message
// have.
func (c *Conn) Close() error {
	select {
	case <-c.done:
	default:
		bye := &paho.Disconnect{ReasonCode: 0}
		if c.settings.Will != nil {
			bye.ReasonCode = packets.DisconnectDisconnectWithWillMessage
		}
		cut := time.AfterFunc(closeWithin, func() { c.wire.Conn.Close() })
		c.client.Disconnect(bye) // it closes the connection even if it cannot say so
		cut.Stop()
	}
	c.end(errClosed)
	<-c.client.Done()
	c.work.Wait()
	return nil
}

// Publish sends a message and waits until the server has acknowledged it. expiry 0: none.
func (c *Conn) Publish(ctx context.Context, topic string, payload []byte, retained bool,
	expiry time.Duration) error {
	sent, err := c.Start(ctx, Publication{Topic: topic, Payload: payload, Retained: retained, Expiry: expiry})
	if err != nil {
		return err
	}
	return sent.Wait(ctx)
}

// Sent is a message that was written to the connection.
type Sent struct {
	conn    *Conn
	topic   string
	answer  chan packets.ControlPacket
	expires time.Time // when the server must have acknowledged it
}

// Start writes a message to the connection. Messages go out in the order of the calls. It waits
// while the server has as many unacknowledged messages as it takes.
func (c *Conn) Start(ctx context.Context, p Publication) (*Sent, error) {
	if err := checkTopic(p.Topic); err != nil {
		return nil, err
	}
	if p.Retained && !c.retains {
		return nil, refuse("the message to "+text.Quote(p.Topic), packets.ConnackRetainNotSupported, "")
	}
	ctx, cancel := c.within(ctx)
	defer cancel()
	select {
	case c.sending <- struct{}{}:
	case <-ctx.Done():
		return nil, c.explain(ctx.Err())
	}
	defer func() { <-c.sending }()
	return c.write(ctx, p)
}

func (c *Conn) write(ctx context.Context, p Publication) (*Sent, error) {
	if ctx.Err() != nil { // below, it would end the connection
		return nil, c.explain(ctx.Err())
	}
	packet := &packets.Publish{QoS: 1, Topic: p.Topic, Payload: p.Payload, Retain: p.Retained,
		Properties: &packets.Properties{ContentType: p.ContentType}}
	if p.Expiry > 0 {
		packet.Properties.MessageExpiry = paho.Uint32(uint32((p.Expiry + time.Second - 1) / time.Second))
	}
	var out bytes.Buffer
	packet.WriteTo(&out)
	if c.maxPacket > 0 && uint32(out.Len()) > c.maxPacket {
		return nil, refuse("the message to "+text.Quote(p.Topic), PacketTooLarge, "")
	}
	sent := &Sent{conn: c, topic: p.Topic, answer: make(chan packets.ControlPacket, 1)}
	room, cancel := context.WithTimeout(ctx, ackWithin)
	defer cancel()
	if err := c.session.AddToSession(room, packet, sent.answer); err != nil {
		if ctx.Err() == nil && room.Err() != nil {
			c.end(errors.New("mqtt: the server acknowledges nothing"))
		}
		return nil, c.explain(fmt.Errorf("mqtt: publish: %w", err))
	}
	out.Reset()
	packet.WriteTo(&out) // now with its id
	sent.expires = time.Now().Add(ackWithin)
	stop := context.AfterFunc(ctx, func() { c.wire.Conn.Close() })
	c.wire.Lock()
	_, err := c.wire.Write(out.Bytes())
	c.wire.Unlock()
	stop()
	if err != nil { // part of the packet may be out
		c.end(fmt.Errorf("mqtt: publish: %w", err))
		return nil, c.err
	}
	return sent, nil
}

// Wait waits until the server has acknowledged the message. It returns [ErrLost] if the connection
// ends before, and a *[Refusal] if the server does not take the message. Call it again only after
// an error of ctx.
func (s *Sent) Wait(ctx context.Context) error {
	late := time.NewTimer(time.Until(s.expires))
	defer late.Stop()
	var why error
	select {
	case answer := <-s.answer:
		return s.judge(answer)
	case <-ctx.Done():
		why = ctx.Err()
	case <-late.C:
		s.conn.end(fmt.Errorf("mqtt: the server did not acknowledge a message within %v", ackWithin))
	case <-s.conn.done:
	}
	// The answer may have come just before the end.
	select {
	case answer := <-s.answer:
		return s.judge(answer)
	default:
	}
	if why != nil {
		return why
	}
	return fmt.Errorf("%w: %w", ErrLost, s.conn.err)
}

func (s *Sent) judge(answer packets.ControlPacket) error {
	ack, ok := answer.Content.(*packets.Puback)
	if !ok {
		return fmt.Errorf("%w: %w", ErrLost, s.conn.explain(errors.New("another kind of answer")))
	}
	// Success, or taken though nobody has subscribed.
	if ack.ReasonCode < 0x80 {
		return nil
	}
	says := ""
	if ack.Properties != nil {
		says = ack.Properties.ReasonString
	}
	return refuse("the message to "+text.Quote(s.topic), ack.ReasonCode, says)
}
