package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"time"

	"golang.org/x/sys/unix"

	"latchkey/bench/load"
	"latchkey/bench/peer"
	"latchkey/bench/report"
	"latchkey/bench/server"
)

const (
	tapRate  = 50 // a second
	tapDoors = 64
)

const (
	caseVerdict = "tap to verdict"
	caseRelay   = "tap to relay"
	caseTrip    = "one round trip, nothing decided"
	caseSync    = "one synced write, nothing else"
	caseInside  = "inside the gateway, p50"
)

var tapScenario = scenario{
	name: "tap", title: "From the tap to the door, warm sessions",
	what: "Fifty taps a second at a fixed rate, in turn at 64 doors, each with a reader and a lock on " +
		"sessions of their own. Times count from when a tap was due, and failed taps count too. The " +
		"gateway decides, writes the decision to disk, synced, commands the lock, gets its receipt and " +
		"answers; the receipt is written meanwhile. Over MQTT a decider does the same with the same " +
		"policy at one door. Scan, command, receipt and verdict pass through a broker, which the nodes " +
		"reach over TLS-PSK. The decider keeps nothing, or (`synced`) appends a line and syncs it " +
		"before the command. The round trips are of servers that decide nothing, at the same rate: " +
		"they show what a datagram there and back costs on this machine.",
	panel: &report.Panel{Title: "Tap to verdict", Case: caseVerdict},
	run:   runTap,
}

func runTap(b *bench) error {
	n := b.size(400, 128, 64)
	all := newCurves()
	trips := chooseSystems(server.Floor, transportName, server.GoCoAP, peer.GoCoAPDTLS2Name,
		peer.LibcoapGnuTLS, peer.LibcoapOpenSSL)
	for range b.rounds {
		if err := b.ourTaps(n, all); err != nil {
			return err
		}
		if hasMQTT() {
			for _, synced := range []bool{false, true} {
				if err := b.mqttTaps(n, synced, all); err != nil {
					return fmt.Errorf("mqtt: %w", err)
				}
			}
		}
		if err := b.syncAlone(n/4, all); err != nil {
			return err
		}
		for _, s := range trips {
			if err := b.trips(s, n/4, all); err != nil {
				return fmt.Errorf("%s: %w", s.name, err)
			}
		}
	}
	b.addCurves(all)
	return nil
}

func (b *bench) ourTaps(n int, all *curves) (err error) {
	for _, o := range []struct{ name, dir string }{{gatewayName, b.newFolder()},
		{gatewayName + ", store in memory", ""}} {
		if err := b.tapsAt(o.name, o.dir, n, all); err != nil {
			return fmt.Errorf("%s: %w", o.name, err)
		}
	}
	return nil
}

func (b *bench) tapsAt(name, dir string, n int, all *curves) (err error) {
	s := chooseSystems(gatewayName)[0]
	t, err := s.start(b, server.Order{Sessions: 2 * tapDoors, House: server.House{Doors: tapDoors}, Dir: dir,
		Unbound: true, Steps: true})
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, t.stop()) }()
	d, err := openDoors(b.ctx, t.addr, t, tapDoors)
	if err != nil {
		return err
	}
	defer d.close()
	if err := d.settle(b.ctx); err != nil {
		return err
	}
	if _, err := t.own.Steps(); err != nil { // drops the steps of the warm-up
		return err
	}
	before, err := t.usage()
	if err != nil {
		return err
	}
	verdicts, relays := d.taps(b.ctx, tapRate, n)
	after, err := t.usage()
	if err != nil {
		return err
	}
	steps, err := t.own.Steps()
	if err != nil {
		return err
	}
	if failed, first := verdicts.Failed(); failed > n/10 {
		return fmt.Errorf("%d of %d taps failed, the first: %w", failed, n, first)
	}
	b.addLatencies(caseVerdict, name, verdicts, all, explain(name, "tap"))
	b.add(caseVerdict, name, "CPU a tap", "µs", (after.CPU-before.CPU).Seconds()*1e6/float64(n))
	b.addLatencies(caseRelay, name, relays, all, explain(name, "tap"))
	inside := 0.0
	for _, step := range server.StepNames {
		b.add(caseInside, name, step, "µs", steps[step].P50)
		inside += steps[step].P50
	}
	b.add(caseInside, name, "network, DTLS, the reader's own work", "µs", max(verdicts.At(50)-inside, 0))
	return nil
}

func hasMQTT() bool {
	for _, p := range peer.Missing() {
		if p != "libcoap3-bin" && p != "nginx" && p != "rabbitmq-server" {
			return false
		}
	}
	return true
}

func (b *bench) mqttTaps(n int, synced bool, all *curves) (err error) {
	name, file := peer.MQTTName, ""
	if synced {
		name, file = peer.MQTTName+", synced",
			filepath.Join(b.tmp, fmt.Sprintf("decisions-%d", time.Now().UnixNano()))
	}
	m, err := peer.StartMQTT(b.ctx, peer.Config{Root: b.root, CPUs: b.server, Secret: b.secret,
		Identity: server.Identity(0)}, file)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, m.Stop()) }()
	b.result.Versions[m.Name] = m.Version
	before, err := m.Usage()
	if err != nil {
		return err
	}
	const warmUp = 50
	taps, err := m.Tap(b.ctx, peer.Taps{Rate: tapRate, WarmUp: warmUp, Count: n, CPUs: b.load})
	if err != nil {
		return err
	}
	after, err := m.Usage()
	if err != nil {
		return err
	}
	verdicts, relays := load.NewLatencies(), load.NewLatencies()
	for _, t := range taps {
		add(verdicts, t.Verdict)
		add(relays, t.Relay)
	}
	b.addLatencies(caseVerdict, name, verdicts, all)
	b.add(caseVerdict, name, "CPU a tap", "µs", (after.CPU-before.CPU).Seconds()*1e6/float64(n+warmUp))
	b.addLatencies(caseRelay, name, relays, all)
	return nil
}

// add adds a time. A negative time means that nothing arrived within 3 s.
func add(l *load.Latencies, d time.Duration) {
	if d < 0 {
		l.Add(3*time.Second, load.ErrPatience)
		return
	}
	l.Add(d, nil)
}

// syncAlone appends 200 bytes to a file and syncs it, at the same rate. No write of a decision can
// be faster than that.
func (b *bench) syncAlone(n int, all *curves) (err error) {
	f, err := os.Create(filepath.Join(b.tmp, "sync"))
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, f.Close()) }()
	record := make([]byte, 200)
	l := load.RunOpenLoop(b.ctx, 1, tapRate, n, func(context.Context, int, time.Time) (time.Time, error) {
		if _, err := f.Write(record); err != nil {
			return time.Time{}, err
		}
		return time.Time{}, unix.Fdatasync(int(f.Fd()))
	})
	b.addLatencies(caseSync, report.Floor, l, all)
	return nil
}

// trips measures round trips at a fixed rate, one session after the other.
func (b *bench) trips(s system, n int, all *curves) (err error) {
	const sessions = 16
	t, err := s.start(b, server.Order{Sessions: sessions, Unbound: true})
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, t.stop()) }()
	open, err := openAll(b.ctx, s, t, sessions, 0)
	defer closeAll(open)
	if err != nil {
		return err
	}
	do := func(_ context.Context, w int, _ time.Time) (time.Time, error) {
		return time.Time{},
			open[w].exchange()
	}
	load.RunOpenLoop(b.ctx, sessions, tapRate, sessions, do)
	l := load.RunOpenLoop(b.ctx, sessions, tapRate, n, do)
	b.addLatencies(caseTrip, s.name, l, all, explain(s.name, "trip"))
	return nil
}
