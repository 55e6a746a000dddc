package wirebytes

import (
	"context"
	"errors"
	"fmt"
	"net"
	"strconv"

	"latchkey/coapres/device"
)

// Measure counts the packets to and from a port, UDP or TCP, while connect runs and then while more
// runs, each until no more packets follow. Packets of others at that port count too.
func Measure(ctx context.Context, port int, connect, more func() error) (first, further Traffic, err error) {
	c, err := StartCapture(ctx, port)
	if err != nil {
		return first, further, err
	}
	defer func() { err = errors.Join(err, c.Close()) }()
	if err := connect(); err != nil {
		return first, further, fmt.Errorf("wirebytes: connect: %w", err)
	}
	if first, err = c.WaitSettled(ctx); err != nil {
		return first, further, err
	}
	if err := more(); err != nil {
		return first, further, fmt.Errorf("wirebytes: one more: %w", err)
	}
	all, err := c.WaitSettled(ctx)
	return first, all.Minus(first), err
}

// MeasureReader counts what a reader and its gateway send to each other until the first verdict,
// and for one more scan. The reader connects through a relay that changes nothing, so that the
// gateway's other nodes are not counted. Before and after, the reader is not connected.
func MeasureReader(ctx context.Context, r *Reader) (connect, scan Traffic, err error) {
	relay, err := device.NewRelay(r.Gateway, 0)
	if err != nil {
		return connect, scan, err
	}
	defer func() { _ = relay.Close() }()
	gateway := r.Gateway
	r.Gateway = relay.Addr()
	defer func() { r.Gateway = gateway }()
	defer r.Close()
	_, text, err := net.SplitHostPort(relay.Addr())
	if err != nil {
		return connect, scan, err
	}
	port, err := strconv.Atoi(text)
	if err != nil {
		return connect, scan, err
	}
	return Measure(ctx, port, func() error { return r.Connect(ctx) }, func() error { return r.Scan(ctx) })
}
