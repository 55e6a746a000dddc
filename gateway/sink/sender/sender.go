// Package sender is what the engine of the sinks and the protocols below it agree on: a message,
// how it is sent, and the three kinds of failure.
package sender

import (
	"context"
	"errors"
	"fmt"
	"time"
)

// Message is one event, ready to be sent.
type Message struct {
	ID     string // epoch.seq: receivers tell duplicates apart by it, within one source
	Seq    uint64
	Kind   string // of the event, such as "decision"
	Site   string // id of the site
	Target string // id of the door or lamp; empty if there is none
	Body   []byte // CloudEvent as JSON; see package cloudevent
}

// Sender sends messages to one server. It is for one goroutine.
type Sender interface {
	// Send sends the messages in order, and returns how many of them, from the first on, the server
	// has taken for certain. taken < len(batch) comes with an error about message taken. An error
	// is a *[Refusal], a *[Halt], or anything else, which is temporary: then the same messages are
	// sent again later. Send ends soon after ctx.
	Send(ctx context.Context, batch []Message) (taken int, err error)
	// Close closes the connection. After it, no other method is called.
	Close() error
}

// Refusal says that the server will never take this one message, such as HTTP 400. The message
// becomes a dead letter, and sending goes on behind it.
type Refusal struct{ Why string }

func (e *Refusal) Error() string { return e.Why }

// Halt says that the server takes nothing from us until somebody changes something, such as HTTP
// 401 or a certificate that does not fit. The sink is paused.
type Halt struct{ Why string }

func (e *Halt) Error() string { return e.Why }

// Later is a temporary failure of a server that says when to come back.
type Later struct {
	Why   string
	After time.Duration
}

func (e *Later) Error() string { return e.Why }

// Halted wraps the text of err as a [Halt].
func Halted(format string, a ...any) error { return &Halt{fmt.Sprintf(format, a...)} }

// IsPermanent tells whether err is a [Refusal] or a [Halt].
func IsPermanent(err error) bool {
	var r *Refusal
	var h *Halt
	return errors.As(err, &r) || errors.As(err, &h)
}
