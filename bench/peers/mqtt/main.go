// Command mqtt decides who may open a door over MQTT, for benchmarks: it is what somebody would
// build with a broker instead of latchkey. It subscribes to scan/DOOR, decides with the same policy
// as the gateway, publishes the command on lock/DOOR, waits for the lock's receipt on receipt/DOOR
// and publishes the verdict on verdict/DOOR. All have QoS 1 and the same payloads as the gateway's
// messages. With -sync it writes each decision to disk before it publishes the command. It uses
// plain TCP to a broker on its own machine and ends when standard input ends.
//
// When it has subscribed it prints {"addr":"…","version":"…"}. Each line of standard input is
// answered with figures; the line "collect" collects the garbage first.
package main

import (
	"bufio"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"os"
	"runtime"
	"runtime/debug"
	"strings"
	"sync"
	"time"

	mqtt "github.com/eclipse/paho.mqtt.golang"

	"latchkey/coapres/wire"
	"latchkey/gateway/access"
)

const (
	qos     = 1
	patient = 10 * time.Second
	// receiptTime is how long it waits for a lock, as the gateway does.
	receiptTime = 1500 * time.Millisecond
)

func main() {
	broker := flag.String("broker", "127.0.0.1:1883", "where the broker is, on this machine")
	file := flag.String("sync", "", "write each decision to this file, and sync it, before it is published")
	uid := flag.String("uid", "04a1b2c3d4e580", "the card that opens the doors, in hex")
	flag.Parse()
	if err := run(*broker, *file, *uid); err != nil {
		fmt.Fprintln(os.Stderr, "mqtt:", err)
		os.Exit(1)
	}
}

// decider joins the broker and the policy.
type decider struct {
	client mqtt.Client
	site   *site
	log    *journal // or nil

	mu      sync.Mutex
	waiting map[uint64]chan wire.Receipt // guarded by mu; by command
}

func run(broker, file, uid string) error {
	s, err := newSite(uid)
	if err != nil {
		return err
	}
	d := &decider{site: s, waiting: map[uint64]chan wire.Receipt{}}
	if file != "" {
		if d.log, err = openJournal(file); err != nil {
			return err
		}
	}
	// Messages are handled one by one, so that counters stay in order. Waiting for a disk or a lock
	// happens in a goroutine of its own.
	opts := mqtt.NewClientOptions().AddBroker("tcp://" + broker).SetClientID("decider").SetOrderMatters(true).
		SetAutoReconnect(false).SetConnectTimeout(patient).SetMessageChannelDepth(1024)
	opts.SetConnectionLostHandler(func(_ mqtt.Client, err error) { fail(err) })
	d.client = mqtt.NewClient(opts)
	if err := done(d.client.Connect()); err != nil {
		return fmt.Errorf("connect to %s: %w", broker, err)
	}
	for topic, handle := range map[string]func(door string, body []byte) error{"scan": d.onScan,
		"receipt": d.onReceipt} {
		if err := done(d.client.Subscribe(topic+"/+", qos, func(_ mqtt.Client, m mqtt.Message) {
			_, door, _ := strings.Cut(m.Topic(), "/")
			complain(m.Topic(), handle(door, m.Payload()))
		})); err != nil {
			return fmt.Errorf("subscribe to %s: %w", topic, err)
		}
	}
	return d.serve(broker)
}

// serve prints that it is ready, and answers with figures until standard input ends.
func (d *decider) serve(broker string) error {
	in, out := bufio.NewScanner(os.Stdin), json.NewEncoder(os.Stdout)
	if err := out.Encode(map[string]string{"addr": broker, "version": version()}); err != nil {
		return err
	}
	for in.Scan() {
		if in.Text() == "collect" {
			runtime.GC()
			debug.FreeOSMemory() // collects a second time, because pools keep their objects over one
		}
		var m runtime.MemStats
		runtime.ReadMemStats(&m)
		if err := out.Encode(map[string]uint64{"goroutines": uint64(runtime.NumGoroutine()),
			"heap": m.HeapInuse, "stack": m.StackInuse,
			"mallocs": m.Mallocs}); err != nil {
			return err
		}
	}
	return in.Err()
}

// onScan decides. The order is the same as in the gateway: first the decision is kept, then the
// command is sent, then the verdict.
func (d *decider) onScan(door string, body []byte) error {
	scan, err := wire.ParseScan(wire.CBOR, body)
	if err != nil {
		return err
	}
	dec, last, err := d.site.decide(door, scan, time.Now())
	if err != nil {
		return err
	}
	go func() { complain("scan", d.act(door, scan.N, last, dec)) }()
	return nil
}

// act keeps a decision, sends the command if it is granted, and sends the verdict.
func (d *decider) act(door string, counter, last uint64, dec access.Decision) (err error) {
	if d.log != nil {
		if err := d.log.append(door, counter, dec); err != nil {
			return err
		}
	}
	v := wire.Verdict{Verdict: wire.Denied, Last: last}
	if dec.Granted {
		if v.Verdict, err = d.command(door, counter); err != nil {
			return err
		}
	}
	return d.publish("verdict/"+door, v)
}

// command sends the command to the lock and waits for its receipt.
func (d *decider) command(door string, id uint64) (wire.Outcome, error) {
	told := make(chan wire.Receipt, 1)
	d.mu.Lock()
	d.waiting[id] = told
	d.mu.Unlock()
	defer func() {
		d.mu.Lock()
		delete(d.waiting, id)
		d.mu.Unlock()
	}()
	if err := d.publish("lock/"+door, wire.Command{ID: id, Action: wire.Unlock,
		Duration: pulse}); err != nil {
		return wire.Denied, err
	}
	timeout := time.NewTimer(receiptTime)
	defer timeout.Stop()
	select {
	case r := <-told:
		if r.Result == wire.Done {
			return wire.Granted, nil
		}
		return wire.Retry, nil
	case <-timeout.C:
		return wire.Retry, nil
	}
}

func (d *decider) onReceipt(_ string, body []byte) error {
	r, err := wire.ParseReceipt(wire.CBOR, body)
	if err != nil {
		return err
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	if told := d.waiting[r.ID]; told != nil {
		delete(d.waiting, r.ID)
		told <- r
	}
	return nil
}

// publish does not wait for the broker's acknowledgement, because nothing here depends on it.
func (d *decider) publish(topic string, m interface {
	Encode(wire.Format) ([]byte, error)
}) error {
	b, err := m.Encode(wire.CBOR)
	if err == nil {
		d.client.Publish(topic, qos, false, b)
	}
	return err
}

// done waits until the broker has answered.
func done(t mqtt.Token) error {
	if !t.WaitTimeout(patient) {
		return errors.New("no answer")
	}
	return t.Error()
}

func complain(what string, err error) {
	if err != nil {
		fmt.Fprintf(os.Stderr, "mqtt: %s: %v\n", what, err)
	}
}

// fail ends a decider that has lost its broker.
func fail(err error) {
	fmt.Fprintln(os.Stderr, "mqtt: broker lost:", err)
	os.Exit(1)
}

func version() string {
	if info, ok := debug.ReadBuildInfo(); ok {
		for _, m := range info.Deps {
			if m.Path == "github.com/eclipse/paho.mqtt.golang" {
				return "paho.mqtt.golang " + m.Version
			}
		}
	}
	return "paho.mqtt.golang"
}
