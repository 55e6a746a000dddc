package broker

import (
	"context"
	"errors"
	"fmt"
	"time"

	amqp10 "github.com/Azure/go-amqp"
	amqp "github.com/rabbitmq/amqp091-go"
)

// Delivery is a message as a receiver gets it. AMQP 1.0 has no key.
type Delivery struct {
	ID, Key, ContentType string
	Durable              bool
	Body                 []byte
}

// do calls f with a channel to the server, as guest.
func (r *Rabbit) do(f func(*amqp.Channel) error) error {
	conn, err := amqp.Dial("amqp://guest:guest@127.0.0.1:" + r.Port + "/")
	if err != nil {
		return fmt.Errorf("broker: %w", err)
	}
	ch, err := conn.Channel()
	if err == nil {
		err = f(ch)
	}
	return errors.Join(err, conn.Close())
}

// DeclareExchange makes a durable topic exchange.
func (r *Rabbit) DeclareExchange(name string) error {
	return r.do(func(ch *amqp.Channel) error {
		return ch.ExchangeDeclare(name, "topic", true, false, false, false, nil)
	})
}

// DeleteExchange removes an exchange.
func (r *Rabbit) DeleteExchange(name string) error {
	return r.do(func(ch *amqp.Channel) error { return ch.ExchangeDelete(name, false, false) })
}

// DeclareQueue makes a durable queue. With most > 0 it holds so many messages and then refuses
// more.
func (r *Rabbit) DeclareQueue(name string, most int) error {
	var args amqp.Table
	if most > 0 {
		args = amqp.Table{"x-max-length": most, "x-overflow": "reject-publish"}
	}
	return r.do(func(ch *amqp.Channel) error {
		_, err := ch.QueueDeclare(name, true, false, false, false, args)
		return err
	})
}

// DeleteQueue removes a queue with its messages.
func (r *Rabbit) DeleteQueue(name string) error {
	return r.do(func(ch *amqp.Channel) error {
		_, err := ch.QueueDelete(name, false, false, false)
		return err
	})
}

// Bind makes an exchange put the messages whose keys match into a queue.
func (r *Rabbit) Bind(queue, exchange, key string) error {
	return r.do(func(ch *amqp.Channel) error { return ch.QueueBind(queue, key, exchange, false, nil) })
}

// Unbind ends what Bind began.
func (r *Rabbit) Unbind(queue, exchange, key string) error {
	return r.do(func(ch *amqp.Channel) error { return ch.QueueUnbind(queue, key, exchange, nil) })
}

// Count returns how many messages are in a queue.
func (r *Rabbit) Count(queue string) (n int, err error) {
	err = r.do(func(ch *amqp.Channel) error {
		q, err := ch.QueueDeclarePassive(queue, true, false, false, false, nil)
		n = q.Messages
		return err
	})
	return n, err
}

// Read takes all messages out of a queue by AMQP 0-9-1, the oldest first.
func (r *Rabbit) Read(queue string) (all []Delivery, err error) {
	n, err := r.Count(queue)
	if err != nil || n == 0 {
		return nil, err
	}
	late := time.After(within)
	err = r.do(func(ch *amqp.Channel) error {
		from, err := ch.Consume(queue, "reader", true, false, false, false, nil)
		if err != nil {
			return err
		}
		for len(all) < n {
			select {
			case d, ok := <-from:
				if !ok {
					return errors.New("broker: the server ended the reading")
				}
				all = append(all, convert(d))
			case <-late:
				return fmt.Errorf("broker: %d of %d messages in %v", len(all), n, within)
			}
		}
		if err := ch.Cancel("reader", false); err != nil {
			return err
		}
		for d := range from { // what came meanwhile
			all = append(all, convert(d))
		}
		return nil
	})
	return all, err
}

func convert(d amqp.Delivery) Delivery {
	return Delivery{d.MessageId, d.RoutingKey, d.ContentType, d.DeliveryMode == amqp.Persistent, d.Body}
}

// Read10 takes all messages out of a queue by AMQP 1.0, the oldest first.
func (r *Rabbit) Read10(queue string) (all []Delivery, err error) {
	n, err := r.Count(queue)
	if err != nil || n == 0 {
		return nil, err
	}
	ctx, cancel := context.WithTimeout(context.Background(), within)
	defer cancel()
	conn, err := amqp10.Dial(ctx, "amqp://guest:guest@127.0.0.1:"+r.Port, nil)
	if err != nil {
		return nil, fmt.Errorf("broker: %w", err)
	}
	defer func() { err = errors.Join(err, conn.Close()) }()
	session, err := conn.NewSession(ctx, nil)
	if err != nil {
		return nil, err
	}
	receiver, err := session.NewReceiver(ctx, "/amq/queue/"+queue, &amqp10.ReceiverOptions{Credit: 200})
	if err != nil {
		return nil, err
	}
	for len(all) < n {
		m, err := receiver.Receive(ctx, nil)
		if err != nil {
			return all, fmt.Errorf("broker: %d of %d messages: %w", len(all), n, err)
		}
		d := Delivery{Body: m.GetData(), Durable: m.Header != nil && m.Header.Durable}
		if m.Properties != nil {
			d.ID, _ = m.Properties.MessageID.(string)
			if m.Properties.ContentType != nil {
				d.ContentType = *m.Properties.ContentType
			}
		}
		all = append(all, d)
		if err := receiver.AcceptMessage(ctx, m); err != nil {
			return all, err
		}
	}
	return all, nil
}

// Watch calls each with every message that comes to a queue, and when it came, until stop is called.
func (r *Rabbit) Watch(queue string, each func(body []byte, came time.Time)) (stop func() error, err error) {
	conn, err := amqp.Dial("amqp://guest:guest@127.0.0.1:" + r.Port + "/")
	if err != nil {
		return nil, fmt.Errorf("broker: %w", err)
	}
	ch, err := conn.Channel()
	if err != nil {
		return nil, errors.Join(err, conn.Close())
	}
	from, err := ch.Consume(queue, "watcher", true, false, false, false, nil)
	if err != nil {
		return nil, errors.Join(err, conn.Close())
	}
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		for d := range from {
			each(d.Body, time.Now())
		}
	}()
	return func() error { err := conn.Close(); <-ended; return err }, nil
}
