package peer

import (
	"bytes"
	"context"
	"encoding/hex"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"latchkey/bench/load"
	"latchkey/keys"
)

// MQTTName is the name of that peer in the results.
const MQTTName = "mqtt"

// MQTT is the broker mosquitto with a decider, which subscribes, decides with the gateway's policy
// and publishes the command. Both run on the server's CPUs, as they would share a machine. The
// nodes use TLS-PSK to the broker, the decider plain TCP on loopback.
type MQTT struct {
	Name    string
	Version string
	Broker  *Server // Addr is where nodes connect
	Decider *Server // has [Server.Figures]

	cfg    Config
	lock   keys.ID
	dir    string
	node   string // path of the program of the nodes
	scans  uint64 // sent so far: the counter continues where the last run ended
	broken bool   // a run has failed, so the decider's last counter is unknown
}

// Taps is a run of taps at one door at a fixed rate: each scan is sent when it is due, whether or
// not the ones before were answered.
type Taps struct {
	Rate   int // a second
	WarmUp int // sent first, at the same rate, and not reported
	Count  int
	CPUs   []int // for the reader and the lock, which are one process
}

// Tap has the times of one scan, counted from when it was due. A negative time means that it did
// not happen within 3 s.
type Tap struct {
	Relay time.Duration // the command has arrived at the lock
	// The reader has a verdict that grants, which the decider sends after the lock's receipt.
	Verdict time.Duration
}

// Each node may use only the topics that it needs. The decider has a listener of its own, which
// only this machine reaches.
const (
	mosquittoConf = `user root
per_listener_settings true
persistence false
set_tcp_nodelay true
max_inflight_messages 0
max_queued_messages 0
log_dest stderr
log_type error
log_type warning
listener %d 127.0.0.1
allow_anonymous false
psk_hint latchkey
psk_file %s
use_identity_as_username true
acl_file %s
listener %d 127.0.0.1
allow_anonymous true
`
	mosquittoACL = `user %s
topic write scan/1
topic read verdict/1
user %s
topic read lock/1
topic write receipt/1
`
)

// StartMQTT builds the nodes and the decider, and starts the broker and the decider. decisions is a
// file: each decision is on disk there before its command is published, as a careful user would
// have it. If it is empty, no decision is kept.
func StartMQTT(ctx context.Context, cfg Config, decisions string) (*MQTT, error) {
	dir, err := os.MkdirTemp("", "latchkey-peer-")
	if err != nil {
		return nil, err
	}
	m := &MQTT{Name: MQTTName, cfg: cfg, lock: keys.NewID(), dir: dir}
	if err := m.start(ctx, decisions); err != nil {
		return nil, errors.Join(err, m.Stop())
	}
	m.Version = m.Broker.Version + ", " + m.Decider.Version
	return m, nil
}

func (m *MQTT) start(ctx context.Context, decisions string) (err error) {
	if m.node, err = m.cfg.buildNode(ctx, m.dir); err != nil {
		return err
	}
	decider, err := m.cfg.build(ctx, "mqtt", m.dir)
	if err != nil {
		return err
	}
	plain, err := m.startBroker(ctx)
	if err != nil {
		return err
	}
	decider.Args = append(decider.Args, "-broker", plain)
	if decisions != "" {
		decider.Args = append(decider.Args, "-sync", decisions)
	}
	var h hello
	if m.Decider, err = m.cfg.startOwn(ctx, &Server{Name: "decider"}, decider, nil, &h); err != nil {
		return err
	}
	m.Decider.Addr, m.Decider.Version = h.Addr, h.Version
	return nil
}

// startBroker returns the address at which the broker accepts plain TCP.
func (m *MQTT) startBroker(ctx context.Context) (plain string, err error) {
	path, err := findProgram("mosquitto")
	if err != nil {
		return "", err
	}
	ports, err := findFreePorts(2)
	if err != nil {
		return "", err
	}
	secret := hex.EncodeToString(m.cfg.Secret.PSK())
	file := func(name string) string { return filepath.Join(m.dir, name) }
	err = errors.Join(
		os.WriteFile(file("psk"), fmt.Appendf(nil, "%s:%s\n%s:%s\n", m.cfg.Identity, secret, m.lock, secret),
			0o600),
		os.WriteFile(file("acl"), fmt.Appendf(nil, mosquittoACL, m.cfg.Identity, m.lock), 0o600),
		os.WriteFile(file("conf"), fmt.Appendf(nil, mosquittoConf, ports[0], file("psk"), file("acl"),
			ports[1]), 0o600))
	if err != nil {
		return "", err
	}
	version := strings.Replace(firstLine(ctx, path, "-h"), "mosquitto version", "mosquitto", 1)
	s := &Server{Name: "mosquitto", Addr: localAddr(ports[0]), Version: version}
	plain = localAddr(ports[1])
	m.Broker, err = m.cfg.launch(ctx, s, exec.Command(path, "-c", file("conf")),
		func(ctx context.Context) error {
			return errors.Join(poll(ctx, tryConnect(s.Addr)), poll(ctx, tryConnect(plain)))
		})
	return plain, err
}

// buildNode builds the program of the reader and the lock. It uses the firmware's encodings and
// compiler warnings.
func (c Config) buildNode(ctx context.Context, dir string) (string, error) {
	gcc, err := findProgram("gcc")
	if err != nil {
		return "", err
	}
	if _, err := os.Stat(mosquittoHeader); err != nil {
		return "", fmt.Errorf("%s is not here: install Debian's libmosquitto-dev", mosquittoHeader)
	}
	out, core := filepath.Join(dir, "node"), filepath.Join(c.Root, "firmware", "core")
	args := append(strings.Fields("-std=c11 -O2 -Wall -Wextra -Wconversion -Wshadow -Wstrict-prototypes "+
		"-Wmissing-prototypes -Wvla -Werror"),
		"-I", core, filepath.Join(c.Root, "bench", "peers", "mqtt", "node", "node.c"),
		filepath.Join(core, "wire.c"),
		filepath.Join(core, "cbor.c"), "-lmosquitto", "-o", out)
	if said, err := exec.CommandContext(ctx, gcc, args...).CombinedOutput(); err != nil {
		return "", fmt.Errorf("build bench/peers/mqtt/node: %w: %s", err, said)
	}
	return out, nil
}

// Tap connects a reader and a lock, lets the reader tap, and returns the times of each tap, in
// order. Only one run may be under way.
func (m *MQTT) Tap(ctx context.Context, t Taps) ([]Tap, error) {
	if m.broken {
		return nil, errors.New("mqtt: a run before this one has failed: start anew")
	}
	_, port, err := net.SplitHostPort(m.Broker.Addr)
	if err != nil {
		return nil, err
	}
	m.broken = true
	all := t.WarmUp + t.Count
	ctx, cancel := context.WithTimeout(ctx,
		time.Duration(float64(all)/float64(max(t.Rate, 1))*float64(time.Second))+2*patient)
	defer cancel()
	n := strconv.Itoa
	cmd := exec.Command(m.node, port, string(m.cfg.Identity), string(m.lock), n(t.Rate), n(t.WarmUp),
		n(t.Count), strconv.FormatUint(m.scans+1, 10))
	cmd.Stdin = strings.NewReader(hex.EncodeToString(m.cfg.Secret.PSK()) + "\n")
	var out bytes.Buffer
	said := &tail{}
	cmd.Stdout, cmd.Stderr = &out, said
	endWithUs(cmd)
	p, err := load.Start(ctx, cmd, t.CPUs)
	if err != nil {
		return nil, err
	}
	<-p.Ended() // it ends when ctx ends at the latest
	if err := p.Stop(); err != nil {
		return nil, errors.Join(fmt.Errorf("mqtt: %w", err), ctx.Err(), said.err())
	}
	taps, err := parseTaps(out.String(), t.Count)
	if err != nil {
		return nil, fmt.Errorf("mqtt: %w", err)
	}
	m.scans, m.broken = m.scans+uint64(all), false
	return taps, nil
}

func parseTaps(text string, want int) ([]Tap, error) {
	var taps []Tap
	for line := range strings.Lines(text) {
		var i, relay, verdict int
		if n, err := fmt.Sscanf(line, "%d %d %d\n", &i, &relay, &verdict); n != 3 || err != nil ||
			i != len(taps) {
			return nil, fmt.Errorf("the nodes' line %d is %q", len(taps)+1, line)
		}
		taps = append(taps, Tap{time.Duration(relay) * time.Microsecond,
			time.Duration(verdict) * time.Microsecond})
	}
	if len(taps) != want {
		return nil, fmt.Errorf("the nodes reported %d taps, want %d", len(taps), want)
	}
	return taps, nil
}

// Usage is the CPU time and memory of broker and decider together.
func (m *MQTT) Usage() (load.Usage, error) {
	a, err1 := m.Broker.Usage()
	b, err2 := m.Decider.Usage()
	return load.Usage{CPU: a.CPU + b.CPU, RSS: a.RSS + b.RSS, Peak: a.Peak + b.Peak}, errors.Join(err1, err2)
}

// Stop ends both and removes their files, except the decisions.
func (m *MQTT) Stop() error {
	var errs []error
	// A decider that loses its broker ends by itself, with an error.
	for _, s := range []*Server{m.Decider, m.Broker} {
		if s != nil {
			errs = append(errs, s.Stop())
		}
	}
	return errors.Join(append(errs, os.RemoveAll(m.dir))...)
}
