package coapres

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/plgd-dev/go-coap/v3/message/codes"

	"latchkey/coapres/wire"
)

// Errors of a command. Each says how much is known of what the node did.
var (
	ErrLate      = errors.New("too long after its cause, not sent")
	ErrNoReceipt = errors.New("sent, no receipt") // nobody knows whether the node obeyed
	ErrNotObeyed = errors.New("the node did not obey")
)

// CodeError is an [ErrNotObeyed]. It holds the response code of the node's answer.
type CodeError struct{ Code codes.Code }

func (e *CodeError) Error() string { return "the node did not obey: " + e.Code.String() }

// Is reports that a CodeError is an ErrNotObeyed.
func (e *CodeError) Is(target error) bool { return target == ErrNotObeyed }

const (
	actPath  = "/act"
	maxSends = 3 // a command and its repetitions after a 4.01
)

// Command is what an actuator is asked to do, and when somebody asked for it. Actuate fills in its
// age.
type Command struct {
	wire.Command
	Intent time.Time // with a monotonic reading
}

// Deadline returns the latest time at which the node may obey: CommandWindow after the intent.
func (c Command) Deadline() time.Time { return c.Intent.Add(CommandWindow) }

// Actuate sends a command to a node (POST /act) and returns its receipt. The node obeys only within
// CommandWindow after the intent, and Actuate sends nothing later. A repetition after a 4.01 has
// the same deadline.
func Actuate(ctx context.Context, p *Peer, cmd Command) (wire.Receipt, error) {
	if d, ok := ctx.Deadline(); !ok || d.After(cmd.Deadline()) { // else no second timer
		var cancel context.CancelFunc
		ctx, cancel = context.WithDeadline(ctx, cmd.Deadline())
		defer cancel()
	}
	for range maxSends {
		now := time.Now()
		if ctx.Err() != nil || !now.Before(cmd.Deadline()) || Slept(cmd.Intent, now) {
			return wire.Receipt{}, ErrLate
		}
		var echo []byte
		echo, cmd.Age = p.Held.Age(cmd.Intent, now)
		body, err := cmd.Encode(wire.CBOR)
		if err != nil {
			return wire.Receipt{}, fmt.Errorf("coapres: command %d: %w", cmd.ID, err)
		}
		a, err := Call(ctx, p.Caller, &p.Held, Request{Method: codes.POST, Path: actPath, Echo: echo,
			Format: wire.CBOR, Body: body})
		switch {
		case err != nil:
			return wire.Receipt{}, fmt.Errorf("%w: %w", ErrNoReceipt, err)
		case a.Code == codes.Unauthorized:
			continue // not obeyed, and p.Held has the new Echo
		case a.Code != codes.Changed:
			p.Refuse(Refusal{At: time.Now(), ByDevice: true, Request: "POST " + actPath, Code: a.Code,
				Why: a.Diagnostic()})
			return wire.Receipt{}, &CodeError{a.Code}
		}
		r, err := wire.ParseReceipt(wire.CBOR, a.Body)
		switch {
		case err != nil || r.Result == wire.Done && r.State.ID != cmd.ID:
			return wire.Receipt{}, fmt.Errorf("%w: its receipt is not one for command %d", ErrNoReceipt,
				cmd.ID)
		case r.Result != wire.Done:
			return r, ErrNotObeyed
		}
		return r, nil
	}
	return wire.Receipt{}, fmt.Errorf("%w: not fresh for it, %d times", ErrNotObeyed, maxSends)
}

// ReadState asks a node for its state (GET /act), which also brings an Echo for the next command.
func ReadState(ctx context.Context, p *Peer) (wire.State, error) {
	a, err := Call(ctx, p.Caller, &p.Held, Request{Method: codes.GET, Path: actPath, Format: wire.CBOR})
	if err == nil && a.Code != codes.Content {
		p.Refuse(Refusal{At: time.Now(), ByDevice: true, Request: "GET " + actPath, Code: a.Code,
			Why: a.Diagnostic()})
		err = fmt.Errorf("answered %s", a.Code)
	}
	if err != nil {
		return wire.State{}, fmt.Errorf("coapres: state of %s: %w", p.Name, err)
	}
	return wire.ParseState(wire.CBOR, a.Body)
}
