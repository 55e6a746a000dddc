package device

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/plgd-dev/go-coap/v3/message/codes"

	"latchkey/coapres"
	"latchkey/coapres/wire"
)

// Scan presents a card, as a tap at this moment, and returns the verdict. It gives up 3 s after the
// tap, even if it had to wait for an earlier scan: a door that opens later opens for somebody else.
func (d *Device) Scan(ctx context.Context, uid []byte) (wire.Verdict, error) {
	return d.ask(ctx, "/scan", func(n uint64, age int32) ([]byte, error) {
		return wire.Scan{N: n, UID: uid, Age: age}.Encode(wire.CBOR)
	})
}

// Ask asks the gateway to move a target, as a switch does when it is pressed.
func (d *Device) Ask(ctx context.Context, target string, a wire.Action, level uint8) (wire.Verdict, error) {
	return d.ask(ctx, "/act/"+target, func(n uint64, age int32) ([]byte, error) {
		return wire.Act{N: n, Action: a, Level: level, Age: age}.Encode(wire.CBOR)
	})
}

// ask sends one intent and repeats it as the gateway's answers require: with a new Echo after a
// 4.01, with a higher counter if ours was too low.
func (d *Device) ask(caller context.Context, path string, encode func(n uint64, age int32) ([]byte,
	error)) (wire.Verdict, error) {
	intent := time.Now()
	ctx, cancel := context.WithDeadline(caller, intent.Add(coapres.ScanWindow))
	defer cancel()
	select {
	case d.turn <- struct{}{}:
		defer func() { <-d.turn }()
	case <-ctx.Done():
		return wire.Verdict{}, ErrNoVerdict
	}
	l, err := d.online(ctx, nil)
	if err != nil {
		return wire.Verdict{}, fmt.Errorf("%w: %s is not connected", ErrNoVerdict, d.cfg.Name)
	}
	n := d.next()
	for stale := 0; ; {
		sent := time.Now()
		if coapres.Slept(intent, sent) {
			return wire.Verdict{}, ErrNoVerdict
		}
		echo, age := l.held.Age(intent, sent)
		body, err := encode(n, age)
		if err != nil {
			return wire.Verdict{}, err
		}
		a, err := coapres.Call(ctx, l.conn, &l.held, coapres.Request{Method: codes.POST, Path: path,
			Echo: echo, Format: wire.CBOR, Body: body})
		switch {
		case errors.Is(err, context.DeadlineExceeded):
			if caller.Err() == nil && time.Since(sent) >= coapres.ScanWindow/2 {
				d.leave(l) // after so long a silence, open a new session rather than trust this one
			}
			return wire.Verdict{}, ErrNoVerdict
		case err != nil && l.conn.Context().Err() != nil: // the same intent goes on with the next session
			if l, err = d.online(ctx, l); err != nil {
				return wire.Verdict{}, fmt.Errorf("%w: %s is not connected any more", ErrNoVerdict,
					d.cfg.Name)
			}
			continue
		case err != nil:
			return wire.Verdict{}, fmt.Errorf("%w: %w", ErrNoVerdict, err)
		case a.Code == codes.Unauthorized:
			if stale++; stale > 2 || ctx.Err() != nil {
				return wire.Verdict{}, ErrNotFresh
			}
			continue
		case a.Code != codes.Changed:
			return wire.Verdict{}, refusal(a)
		}
		v, err := wire.ParseVerdict(wire.CBOR, a.Body)
		if err != nil {
			return wire.Verdict{}, err
		}
		if v.Last > n && ctx.Err() == nil { // ours is too low: a new board, or erased flash
			n = v.Last + 1
			d.reached(n)
			continue
		}
		return v, nil
	}
}

// next takes the next scan counter.
func (d *Device) next() uint64 {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.counter++
	return d.counter
}

func (d *Device) reached(n uint64) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.counter = max(d.counter, n)
}

// Report sends measurements taken now.
func (d *Device) Report(ctx context.Context, r wire.Report) error {
	taken := time.Now()
	l, err := d.online(ctx, nil)
	if err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(ctx, 10*time.Second)
	defer cancel()
	var echo []byte
	echo, r.Age = l.held.Age(taken, time.Now())
	body, err := r.Encode(wire.SenMLCBOR)
	if err != nil {
		return err
	}
	a, err := coapres.Call(ctx, l.conn, &l.held, coapres.Request{Method: codes.POST, Path: "/report",
		Echo: echo, Format: wire.SenMLCBOR, Body: body})
	if err != nil {
		return err
	}
	if a.Code != codes.Changed {
		return refusal(a)
	}
	return nil
}
