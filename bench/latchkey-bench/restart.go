package main

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/dustin/go-humanize"

	"latchkey/bench/load"
	"latchkey/bench/server"
	"latchkey/coapres/device"
	"latchkey/keys"
)

var restartScenario = scenario{
	name: "restart", title: "A gateway that was away",
	what: "The gateway with its default limits, store on disk, and readers that behave as ours do: an " +
		"update every 30 s, 10 s to wait for an answer, a new session after a wait that doubles from 1 " +
		"s, with jitter. When it is asked to stop, it closes every session; when it is killed, it does " +
		"not, and each node has to find out. The time counts from when the new process listens until " +
		"that many nodes are registered again. All nodes have one address of this machine, which is " +
		"known after its first node: 400 handshakes a second. At most three rounds, because each takes " +
		"minutes; the short form does not kill the gateway.",
	run: runRestart,
}

func runRestart(b *bench) (err error) {
	n := b.size(10_000, 500, 20)
	order := server.Order{Sessions: n, House: server.House{Readers: n}, Dir: b.newFolder()}
	start := chooseSystems(gatewayName)[0].start
	t, err := start(b, order)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, t.stop()) }()
	order.Addr = t.addr
	ctx, cancel := context.WithCancel(b.ctx)
	var ran sync.WaitGroup
	defer func() { cancel(); ran.Wait() }()
	const pace = 300
	for i := range n {
		d := device.New(device.Config{Name: "reader-" + string(server.Identity(i))[3:], Kind: keys.KindReader,
			Gateway: t.addr, Identity: server.Identity(i), Secret: b.secret})
		ran.Go(func() { _ = d.Run(ctx) }) // returns nil when ctx ends
		if err := load.Sleep(ctx, time.Second/pace); err != nil {
			return err
		}
	}
	if _, err := t.waitForAll(b.ctx, n); err != nil {
		return fmt.Errorf("before the first restart: %w", err)
	}
	for range min(b.rounds, 3) {
		for _, how := range []string{"asked to stop", "killed"}[:b.size(2, 1, 1)] {
			if how == "killed" {
				t.own.Kill()
			} else if err := t.stop(); err != nil {
				return err
			}
			next, err := start(b, order)
			if err != nil {
				return fmt.Errorf("started again: %w", err)
			}
			t.own, t.stop, t.usage = next.own, next.stop, next.usage
			times, err := t.waitForAll(b.ctx, n)
			if err != nil {
				return fmt.Errorf("%s: %w", how, err)
			}
			u, err := t.usage()
			if err != nil {
				return err
			}
			kase := fmt.Sprintf("%s sessions, %s", humanize.Comma(int64(n)), how)
			for _, share := range shares {
				b.add(kase, gatewayName, fmt.Sprintf("%d %% back", share), "s", times[share].Seconds())
			}
			b.add(kase, gatewayName, "server CPU", "s", u.CPU.Seconds())
		}
	}
	return nil
}

var shares = []int{50, 95, 100}

// waitForAll waits until all n nodes are registered again, and returns when each of shares, in per
// cent, was reached.
func (t *target) waitForAll(ctx context.Context, n int) (map[int]time.Duration, error) {
	const patient = 5 * time.Minute
	times := map[int]time.Duration{}
	for began := time.Now(); ; {
		here, err := t.own.Sessions()
		if err != nil {
			return nil, err
		}
		took := time.Since(began)
		for _, share := range shares {
			if _, ok := times[share]; !ok && here*100 >= n*share {
				times[share] = took
			}
		}
		if here == n {
			return times, nil
		}
		if took > patient {
			return nil, fmt.Errorf("%d of %d are registered after %v", here, n, patient)
		}
		if err := load.Sleep(ctx, 50*time.Millisecond); err != nil {
			return nil, err
		}
	}
}
