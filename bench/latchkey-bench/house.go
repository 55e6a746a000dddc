package main

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"latchkey/bench/load"
	"latchkey/bench/server"
	"latchkey/coapres/device"
	"latchkey/coapres/wire"
	"latchkey/keys"
)

// doors are the nodes at the doors of a gateway under test: a reader and a lock each.
type doors struct {
	readers []*device.Device
	opened  []chan time.Time // when the lock switched its output
	cancel  context.CancelFunc
	ran     sync.WaitGroup
}

// openDoors connects the nodes of n doors to a gateway, or to a relay before it, and waits until
// all are registered and commands can be sent.
func openDoors(ctx context.Context, addr string, t *target, n int) (*doors, error) {
	ctx, cancel := context.WithCancel(ctx)
	d := &doors{cancel: cancel}
	var all []*device.Device
	for i := range n {
		opened := make(chan time.Time, 16)
		d.opened = append(d.opened, opened)
		lock := device.New(lockConfig(t, addr, i, func(s wire.State) {
			if s.On {
				select {
				case opened <- time.Now():
				default: // nobody waits for it
				}
			}
		}))
		r := device.New(device.Config{Name: "reader-" + string(server.Reader(i))[3:], Kind: keys.KindReader,
			Gateway: addr, Identity: server.Reader(i), Secret: t.secret})
		d.readers = append(d.readers, r)
		all = append(all, lock, r)
	}
	for _, x := range all {
		d.ran.Go(func() { _ = x.Run(ctx) }) // returns nil when ctx ends
	}
	ready, stop := context.WithTimeout(ctx, time.Minute)
	defer stop()
	for _, x := range all {
		if err := x.Ready(ready); err != nil {
			d.close()
			return nil, err
		}
	}
	return d, nil
}

func lockConfig(t *target, addr string, door int, changed func(wire.State)) device.Config {
	return device.Config{Name: "lock-" + string(server.Lock(door))[3:], Kind: keys.KindLock, Gateway: addr,
		Identity: server.Lock(door), Secret: t.secret, Changed: changed}
}

func (d *doors) close() {
	d.cancel()
	d.ran.Wait()
}

// tap presents a door's card at its reader. It returns the time at which the lock switched, or the
// zero time if it did not.
func (d *doors) tap(ctx context.Context, door int) (relay time.Time, err error) {
	for len(d.opened[door]) > 0 {
		<-d.opened[door]
	}
	v, err := d.readers[door].Scan(ctx, server.Card(door))
	if err == nil && v.Verdict != wire.Granted {
		err = fmt.Errorf("verdict %v", v.Verdict)
	}
	select {
	case relay = <-d.opened[door]:
	default:
	}
	return relay, err
}

// settle taps at each door until a tap is granted: the first command needs an Echo of the lock,
// which the gateway gets when it reads the lock's state.
func (d *doors) settle(ctx context.Context) error {
	for door := range d.readers {
		var err error
		for range 20 {
			if _, err = d.tap(ctx, door); err == nil {
				break
			}
			if err := load.Sleep(ctx, 200*time.Millisecond); err != nil {
				return err
			}
		}
		if err != nil {
			return fmt.Errorf("door %d does not open: %w", door, err)
		}
	}
	return load.Sleep(ctx, 1500*time.Millisecond) // until the last pulse has ended
}

// taps taps n times at a fixed rate, at one door after the other, and returns the times to the
// verdict and to the relay.
func (d *doors) taps(ctx context.Context, rate float64, n int) (verdicts, relays *load.Latencies) {
	relays = load.NewLatencies()
	verdicts = load.RunOpenLoop(ctx, len(d.readers), rate, n,
		func(ctx context.Context, door int, due time.Time) (time.Time, error) {
			relay, err := d.tap(ctx, door)
			now := time.Now()
			switch {
			case !relay.IsZero():
				relays.Add(relay.Sub(due), nil)
			case err == nil:
				relays.Add(now.Sub(due), errors.New("granted, and the lock did not switch"))
			default:
				relays.Add(now.Sub(due), err)
			}
			return now, err
		})
	return verdicts, relays
}
