package e2e

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"latchkey/coapres/device"
	"latchkey/coapres/wire"
	"latchkey/gateway/access"
	"latchkey/gateway/store"
	"latchkey/keys"
)

// killable is a door with its reader and lock among other nodes, served by a process that can be
// killed.
type killable struct {
	*door
	process *process
	tap     func(context.Context) (wire.Verdict, error)
	ready   func(context.Context) error // every node is registered
}

// runner runs one node until the test ends and returns it.
type runner func(name string, kind keys.Kind, k keys.Key) node

// node is a simulated one or the firmware.
type node interface {
	Ready(context.Context) error
	Scan(context.Context, []byte) (wire.Verdict, error)
}

// newKillable makes a door and so many nodes more, half of them lamps and half of them readers of
// the door.
func newKillable(t *testing.T, others int, with func(*door) runner) *killable {
	t.Helper()
	d := &killable{door: newDoor(t, store.Options{})}
	run := with(d.door)
	type enrolled struct {
		name string
		kind keys.Kind
		key  keys.Key
	}
	all := []enrolled{{"front-lock", keys.KindLock, d.lockKey}, {"front-reader", keys.KindReader,
		d.readerKey}}
	for i := range others {
		if i%2 == 0 {
			name := fmt.Sprintf("lamp-%d", i)
			_, k := d.enrol(name, keys.KindLamp, d.target(name, access.Lamp, 0))
			all = append(all, enrolled{name, keys.KindLamp, k})
			continue
		}
		name := fmt.Sprintf("reader-%d", i)
		_, k := d.enrol(name, keys.KindReader, d.id)
		all = append(all, enrolled{name, keys.KindReader, k})
	}
	d.leave()
	d.process = d.site.process()
	t.Cleanup(func() { d.process.stop() })
	var nodes []node
	for _, e := range all {
		nodes = append(nodes, run(e.name, e.kind, e.key))
	}
	d.ready = func(ctx context.Context) error {
		for _, n := range nodes {
			if err := n.Ready(ctx); err != nil {
				return err
			}
		}
		return nil
	}
	d.tap = func(ctx context.Context) (wire.Verdict, error) { return nodes[1].Scan(ctx, annsCard) }
	return d
}

// simulated runs nodes in Go.
func simulated(d *door) runner {
	return func(name string, kind keys.Kind, k keys.Key) node {
		n := device.New(device.Config{Name: name, Kind: kind, Gateway: d.addr, Identity: k.ID,
			Secret: k.Secret})
		ctx, cancel := context.WithCancel(context.Background())
		done := make(chan struct{})
		go func() {
			defer close(done)
			_ = n.Run(ctx)
		}()
		d.t.Cleanup(func() { cancel(); <-done })
		return n
	}
}

// opens taps until the door opens and returns how often that took.
func (d *killable) opens(limit time.Duration) (taps int) {
	d.t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), limit)
	defer cancel()
	for ctx.Err() == nil {
		taps++
		v, err := d.tap(ctx)
		if err == nil && v.Verdict == wire.Granted {
			return taps
		}
	}
	d.t.Fatalf("no tap opened the door within %v", limit)
	return taps
}

// killed kills the gateway, starts it again after a twentieth of a second, and returns how long
// after its socket was bound the first tap opened the door.
func (d *killable) killed() (took time.Duration, taps int) {
	d.t.Helper()
	d.process.kill()
	time.Sleep(50 * time.Millisecond) // as a supervisor does
	d.process = d.site.process()
	taps = d.opens(time.Minute)
	return time.Since(d.process.bound), taps
}

// trial kills the gateway so many times, each time when all nodes are there and the last pulse is
// over.
func (d *killable) trial(kills int) (took []time.Duration) {
	d.t.Helper()
	all := func() {
		ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
		defer cancel()
		if err := d.ready(ctx); err != nil {
			d.t.Fatal(err)
		}
	}
	all()
	d.opens(20 * time.Second)
	d.kept()
	for i := range kills {
		all()
		d.opens(20 * time.Second)
		d.rested()
		t, taps := d.killed()
		d.t.Logf("kill %d: opened %v after the socket was bound, at tap %d", i+1, t.Round(time.Millisecond),
			taps)
		took = append(took, t)
	}
	slices.Sort(took)
	d.t.Logf("median %v, worst %v", took[len(took)/2].Round(time.Millisecond),
		took[len(took)-1].Round(time.Millisecond))
	return took
}

// within wants so many kills to be over within these times.
func (d *killable) within(kills int, median, worst time.Duration) {
	d.t.Helper()
	took := d.trial(kills)
	if m, w := took[len(took)/2], took[len(took)-1]; m > median || w > worst {
		d.t.Errorf("got %v at the median and %v at worst, want %v and %v; usual is 1.1 s", m, w, median,
			worst)
	}
}

// rested waits until nodes would follow a hint at once.
func (d *killable) rested() {
	began := time.Now()
	eventually(d.t, "a ping of before does not count any more", 30*time.Second,
		func() bool { return time.Since(began) > 6*time.Second })
}

// kept waits until the gateway has had the time to write where its actuators are.
func (d *killable) kept() {
	began := time.Now()
	eventually(d.t, "the addresses are on disk", 30*time.Second,
		func() bool { return time.Since(began) > 13*time.Second })
}

// A gateway that was killed has its doors back within seconds: it asks its lock whether it still
// has a session, and the reader as soon as that speaks. Without that they find out half a minute
// later.
func TestBackAfterAKill(t *testing.T) {
	t.Parallel()
	d := newKillable(t, 6, simulated)
	d.within(3, 10*1100*time.Millisecond, 40*time.Second)
	if log := d.process.log.String(); strings.Contains(log, "level=ERROR") {
		t.Errorf("got errors:\n%s", log)
	}
}
