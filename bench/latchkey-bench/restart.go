package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"slices"
	"sync"
	"time"

	"github.com/dustin/go-humanize"

	"latchkey/bench/load"
	"latchkey/bench/server"
	"latchkey/coapres/device"
	"latchkey/coapres/wire"
	"latchkey/keys"
)

// Ways in which a gateway ends.
const (
	planned = "restarted"     // it saves its sessions
	stopped = "asked to stop" // it has nowhere to save them, and closes them
	killed  = "killed"
)

var restartScenario = scenario{
	name: "restart", title: "A gateway that was away",
	what: "The gateway with its default limits, store on disk, and readers that behave as ours do: an " +
		"update every 30 s, 10 s to wait for an answer, a new session after a wait that doubles from 1 " +
		"s, with jitter. Restarted: it saves its sessions in memory, and the next process goes on with " +
		"them. From the moment when that has its port, one reader after the other presents a card, 1,000 " +
		"a second; the time of a tap counts from when it was due until its verdict. It takes two requests, " +
		"because no Echo of before is valid, and the scan is decided and synced. Handshakes are the " +
		"sessions that readers have begun. Away is the time from the request to stop until the next " +
		"process has its port. Asked to stop: it may save no sessions and closes every one. Killed: it " +
		"does neither, and the next process sends hints to the last addresses, 500 to 800 a second. In these two nobody presents a card, and the time " +
		"counts from when the next process has its port until that many nodes are registered again. One " +
		"address: it is known after its first node, 400 handshakes a second. At most three rounds, because " +
		"each takes minutes; the short form does not kill the gateway.",
	run: runRestart,
}

func runRestart(b *bench) error {
	n := b.size(10_000, 500, 20)
	ways := b.size(2, 1, 1)
	if err := b.restarts(n, 1, "", []string{stopped, killed}[:ways]); err != nil {
		return err
	}
	runtime, err := os.MkdirTemp("/dev/shm", "latchkey-bench") // the gateway wants it on a tmpfs
	if err != nil {
		return err
	}
	return errors.Join(b.restarts(n, 1000, runtime, []string{planned, killed}[:ways]), os.RemoveAll(runtime))
}

// restarts ends a gateway in several ways and starts it again. Its n nodes are at so many addresses.
func (b *bench) restarts(n, addresses int, runtime string, ways []string) (err error) {
	order := server.Order{Sessions: n, House: server.House{Readers: n}, Dir: b.newFolder(), Runtime: runtime}
	start := chooseSystems(gatewayName)[0].start
	t, err := start(b, order)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, t.stop()) }()
	order.Addr = t.addr
	readers, end, err := b.runReaders(t.addr, n, addresses)
	defer end()
	if err != nil {
		return err
	}
	if _, err := t.waitForAll(b.ctx, n); err != nil {
		return fmt.Errorf("before the first restart: %w", err)
	}
	for range min(b.rounds, 3) {
		for _, how := range ways {
			began := time.Now()
			if how == killed {
				t.own.Kill()
			} else if err := t.stop(); err != nil {
				return err
			}
			next, err := start(b, order)
			if err != nil {
				return fmt.Errorf("started again: %w", err)
			}
			t.own, t.stop, t.usage = next.own, next.stop, next.usage
			kase := fmt.Sprintf("%s sessions at %s, %s", humanize.Comma(int64(n)),
				count(addresses, "address"), how)
			if how == planned {
				b.add(kase, gatewayName, "away", "s", time.Since(began).Seconds())
				err = b.firstScans(kase, readers)
			} else {
				err = b.comeback(kase, t, n)
			}
			if err != nil {
				return fmt.Errorf("%s: %w", kase, err)
			}
			u, err := t.usage()
			if err != nil {
				return err
			}
			b.add(kase, gatewayName, "server CPU", "s", u.CPU.Seconds())
		}
	}
	return nil
}

func count(n int, what string) string {
	if n == 1 {
		return "one " + what
	}
	return humanize.Comma(int64(n)) + " " + what + "es"
}

// runReaders runs n readers at so many addresses, until end is called.
func (b *bench) runReaders(addr string, n, addresses int) (readers []*device.Device, end func(), err error) {
	const pace = 300 // a second
	ctx, cancel := context.WithCancel(b.ctx)
	var ran sync.WaitGroup
	end = func() { cancel(); ran.Wait() }
	for i := range n {
		cfg := device.Config{Name: "reader-" + string(server.Identity(i))[3:], Kind: keys.KindReader,
			Gateway: addr, Identity: server.Identity(i), Secret: b.secret}
		if addresses > 1 {
			cfg.Source = source(i % addresses)
		}
		d := device.New(cfg)
		readers = append(readers, d)
		ran.Go(func() { _ = d.Run(ctx) }) // returns nil when ctx ends
		if err := load.Sleep(ctx, time.Second/pace); err != nil {
			return readers, end, err
		}
	}
	return readers, end, nil
}

// firstScans presents a card at each reader, with a gateway that has just started.
func (b *bench) firstScans(kase string, readers []*device.Device) error {
	const rate = 1000 // a second
	sessions := func() (n int) {
		for _, r := range readers {
			n += r.Sessions()
		}
		return n
	}
	before := sessions()
	began := time.Now()
	answered := make([]time.Duration, len(readers)) // since began
	first := load.RunOpenLoop(b.ctx, len(readers), rate, len(readers),
		func(ctx context.Context, i int, _ time.Time) (time.Time, error) {
			v, err := readers[i].Scan(ctx, server.Stranger())
			if err == nil && v.Verdict != wire.Denied {
				err = fmt.Errorf("verdict %v", v.Verdict)
			}
			now := time.Now()
			answered[i] = now.Sub(began)
			return now, err
		})
	failed, why := first.Failed()
	if failed == len(readers) {
		return why
	}
	slices.Sort(answered)
	for _, share := range shares {
		b.add(kase, gatewayName, fmt.Sprintf("%d %% answered", share), "s",
			answered[(len(readers)*share-1)/100].Seconds())
	}
	b.add(kase, gatewayName, "p50", "µs", first.At(50))
	b.add(kase, gatewayName, "p99", "µs", first.At(99))
	b.add(kase, gatewayName, "longest", "µs", first.Max())
	b.add(kase, gatewayName, "failed", "", float64(failed))
	b.add(kase, gatewayName, "handshakes", "", float64(sessions()-before))
	return nil
}

// comeback waits until all n nodes are registered with a gateway that has just started.
func (b *bench) comeback(kase string, t *target, n int) error {
	times, err := t.waitForAll(b.ctx, n)
	if err != nil {
		return err
	}
	for _, share := range shares {
		b.add(kase, gatewayName, fmt.Sprintf("%d %% back", share), "s", times[share].Seconds())
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
