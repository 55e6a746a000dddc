package demo

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/netip"
	"os"
	"path/filepath"
	"sync"
	"time"

	"latchkey/cli/simulate"
	"latchkey/coapres/device"
	"latchkey/coapres/wire"
	"latchkey/gateway"
	"latchkey/gateway/access"
	"latchkey/gateway/admin/api"
	"latchkey/gateway/admin/client"
	"latchkey/gateway/certificate"
	"latchkey/gateway/clock"
	"latchkey/gateway/store"
	"latchkey/keys"
	"latchkey/keys/provision"
)

// House is the stage of the demo: a gateway on 127.0.0.1 with its store in a temporary folder, and
// nodes that reach it over real DTLS through relays, so that the demo can play the attacker too.
type House struct {
	out   *console
	cast  cast
	dir   string
	store *store.Store
	gw    *gateway.Gateway
	addr  string
	code  string // with which the website makes its first account
	end   context.CancelFunc
	ran   chan error

	bundles map[string]provision.Bundle // by device name
	nodes   map[string]*powered
	relays  map[string]*device.Relay // by device name
	people  []resident

	wire evidence // what the attacker at the reader's wire has captured
	home *home    // nil without Home Assistant

	asked time.Time // when the last attempt was over

	mu   sync.Mutex
	last gateway.Timeline // guarded by mu; of the last attempt decided
	seen int              // guarded by mu; attempts decided
}

// node is what the demo needs from a device.
type node interface {
	Scan(ctx context.Context, uid []byte) (wire.Verdict, error)
	Ask(ctx context.Context, target string, a wire.Action, level uint8) (wire.Verdict, error)
	Ready(ctx context.Context) error
	State() wire.State
	Moves() int
}

// powered is a node and how to take its power away. A simulated one says goodbye to the gateway
// then; the firmware cannot.
type powered struct {
	node
	off func()
}

// resident is somebody with a card.
type resident struct {
	name string
	uid  []byte
}

// Devices and targets of the house, by their names.
const (
	Door, Reader, Lock = "front-door", "front-reader", "front-lock"
	Lamp, Bulb, Switch = "desk", "desk-lamp", "hall-switch"
	Tester             = "test-reader"
	doorPulse          = 3 * time.Second
)

// thisMachine counts as local in the demo, since there is no reverse proxy behind which every
// visitor has this address.
var thisMachine = []netip.Prefix{netip.MustParsePrefix("127.0.0.0/8"), netip.MustParsePrefix("::1/128")}

var stranger = []byte{0x04, 0xde, 0xad, 0xbe, 0xef, 0x00, 0x01}

// buildHouse makes everything and waits until every node is registered. bobs is the schedule of
// bob's grant.
func buildHouse(ctx context.Context, out *console, set Setting, as cast, bobs string) (h *House, err error) {
	h = &House{out: out, cast: as, bundles: map[string]provision.Bundle{}, nodes: map[string]*powered{},
		relays: map[string]*device.Relay{},
		ran:    make(chan error, 1), people: []resident{{"ann",
			[]byte{0x04, 0xa1, 0xb2, 0xc3, 0xd4, 0xe5, 0x80}},
			{"bob", []byte{0x04, 0x11, 0x22, 0x33, 0x44, 0x55, 0x66}}}}
	defer func() {
		if err != nil {
			h.Close()
		}
	}()
	if h.dir, err = os.MkdirTemp("", "latchkey-demo-"); err != nil {
		return h, err
	}
	if h.store, err = store.Open(ctx, set.Options(filepath.Join(h.dir, "data"))); err != nil {
		return h, err
	}
	data := filepath.Join(h.dir, "data")
	if h.gw, err = gateway.New(gateway.Config{Store: h.store, Listen: "127.0.0.1:0", Clock: clock.RTC,
		Version:     set.Version,
		AdminSocket: filepath.Join(data, set.Socket), Log: slog.New(slog.DiscardHandler), Timeline: h.decided,
		Console: &gateway.ConsoleConfig{Listen: "127.0.0.1:0", Local: thisMachine,
			Certificate: certificate.Config{Dir: data}}}); err != nil {
		return h, err
	}
	h.addr = h.gw.Addr().String()
	if h.code, err = newSetupCode(ctx, h.gw); err != nil {
		return h, err
	}
	gwCtx, end := context.WithCancel(context.WithoutCancel(ctx))
	h.end = end
	go func() { h.ran <- h.gw.Run(gwCtx) }()
	if err = h.furnish(ctx, bobs); err != nil {
		return h, err
	}
	names := []string{Reader, Lock, Bulb, Switch}
	for _, name := range names {
		if h.relays[name], err = device.NewRelay(h.addr, 1); err != nil {
			return h, err
		}
		if err = h.start(name); err != nil {
			return h, err
		}
	}
	for _, name := range names {
		if err = h.ready(ctx, name); err != nil {
			return h, err
		}
	}
	return h, h.await(ctx, func() bool { return h.known(Lock) && h.known(Bulb) })
}

// newSetupCode asks for a code with which the website makes its first account.
func newSetupCode(ctx context.Context, g *gateway.Gateway) (string, error) {
	send := client.InProcess(g.AdminHandler()).RoundTrip
	code, err := client.Call(ctx, send, api.MintSetupCode, api.Nothing{})
	if err != nil {
		return "", fmt.Errorf("demo: no set-up code: %w", err)
	}
	return code.Code, nil
}

// furnish writes the policy.
func (h *House) furnish(ctx context.Context, bobs string) error {
	now := time.Now()
	door := access.Target{ID: access.NewID(), Name: Door, Kind: access.Door, Pulse: doorPulse, Created: now}
	lamp := access.Target{ID: access.NewID(), Name: Lamp, Kind: access.Lamp, Created: now}
	hours := access.Schedule{ID: access.NewID(), Name: "bobs-hours", Text: bobs, Created: now}
	records := []access.Record{access.Site{Zone: localZone()}, door, lamp, hours}
	for _, d := range []struct {
		name   string
		kind   keys.Kind
		target access.Target
	}{{Reader, keys.KindReader, door}, {Lock, keys.KindLock, door}, {Bulb, keys.KindLamp, lamp},
		{Switch, keys.KindSwitch, lamp},
		{Tester, keys.KindReader, door}} {
		dev := access.Device{ID: access.NewID(), Name: d.name, Kind: d.kind,
			Targets: []access.ID{d.target.ID}, Created: now}
		key := provision.New(dev.ID)
		h.bundles[d.name] = provision.Bundle{Device: d.name, Kind: d.kind, Targets: []string{d.target.Name},
			Gateway: h.addr, Identity: key.ID, Secret: key.Secret}
		records = append(records, dev, key)
		if d.kind == keys.KindSwitch {
			records = append(records, access.Grant{ID: access.NewID(), SubjectKind: access.SubjectDevice,
				Subject: dev.ID, Target: lamp.ID, Effect: access.Allow, Created: now})
		}
	}
	for _, r := range h.people {
		p := access.Person{ID: access.NewID(), Name: r.name, Created: now}
		g := access.Grant{ID: access.NewID(), SubjectKind: access.SubjectPerson, Subject: p.ID,
			Target: door.ID, Effect: access.Allow, Created: now}
		if r.name == "bob" {
			g.Schedule = hours.ID
		}
		card := access.Credential{ID: h.store.CredentialID(r.uid), Person: p.ID,
			Tail: fmt.Sprintf("%x", r.uid[len(r.uid)-2:]), Status: access.CardActive, Created: now}
		records = append(records, p, card, g)
	}
	changes := make([]access.Change, len(records))
	for i, r := range records {
		changes[i] = access.Change{Put: r}
	}
	_, err := h.gw.Apply(ctx, "demo", changes...)
	return err
}

// PowerUp switches a node on and waits until it is registered.
func (h *House) PowerUp(ctx context.Context, name string) error {
	if err := h.start(name); err != nil {
		return err
	}
	return h.ready(ctx, name)
}

// start switches a node on.
func (h *House) start(name string) error {
	b := h.bundles[name]
	changed := func(st wire.State) { h.out.aside(simulate.DescribeState(b.Kind, st)) }
	if h.cast.programs != "" {
		return h.startProgram(b, changed)
	}
	d := device.New(device.Config{Name: name, Kind: b.Kind, Gateway: h.relays[name].Addr(),
		Identity: b.Identity, Secret: b.Secret,
		Retry: 200 * time.Millisecond, Changed: changed})
	run, off := context.WithCancel(context.Background())
	done := make(chan struct{})
	go func() { defer close(done); _ = d.Run(run) }() // returns nil when run ends
	h.nodes[name] = &powered{d, sync.OnceFunc(func() { off(); <-done })}
	return nil
}

// ready waits until a node is registered.
func (h *House) ready(ctx context.Context, name string) error {
	ctx, cancel := context.WithTimeout(ctx, h.cast.patience())
	defer cancel()
	return h.nodes[name].Ready(ctx)
}

// known tells whether the gateway has read the state of a device's target.
func (h *House) known(name string) bool {
	for _, v := range h.gw.Views() {
		if v.Name == name {
			return v.Online && v.Known
		}
	}
	return false
}

// online tells whether the gateway counts a device as online.
func (h *House) online(name string) bool {
	for _, v := range h.gw.Views() {
		if v.Name == name {
			return v.Online
		}
	}
	return false
}

// await polls f for a while.
func (h *House) await(ctx context.Context, f func() bool) error {
	deadline := time.After(h.cast.patience())
	for !f() {
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-deadline:
			return errors.New("demo: the nodes did not connect")
		case <-time.After(10 * time.Millisecond):
		}
	}
	return nil
}

func (h *House) decided(tl gateway.Timeline) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.last = tl
	h.seen++
}

// decisions is the last attempt decided and how many there were.
func (h *House) decisions() (gateway.Timeline, int) {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.last, h.seen
}

// Bundle returns the bundle that was made when a device was enrolled.
func (h *House) Bundle(name string) provision.Bundle { return h.bundles[name] }

// State returns the present state of a node.
func (h *House) State(name string) wire.State { return h.nodes[name].State() }

// CutPower takes the power of a device away, if it has any.
func (h *House) CutPower(name string) {
	if n := h.nodes[name]; n != nil {
		n.off()
	}
}

// Build makes a house of simulated nodes whose bob may enter on weekdays from 8 to 18. The caller
// closes it.
func Build(ctx context.Context, set Setting, out io.Writer) (*House, error) {
	return buildHouse(ctx, &console{w: out}, set, cast{}, "mon-fri 08:00-18:00")
}

// revoke revokes a device's keys.
func (h *House) revoke(ctx context.Context, name string) error {
	k, ok := h.store.Snapshot().Keys[h.bundles[name].Identity]
	if !ok {
		return fmt.Errorf("demo: %s has no key", name)
	}
	_, err := h.gw.Apply(ctx, "demo", access.Change{Put: provision.Revoke(k)})
	return err
}

// Close takes the house down and removes its folder.
func (h *House) Close() {
	if h.home != nil {
		defer h.home.close() // after the gateway
	}
	for _, n := range h.nodes {
		n.off()
	}
	for _, r := range h.relays {
		if r != nil {
			_ = r.Close()
		}
	}
	if h.end != nil {
		h.end()
		if err := <-h.ran; err != nil {
			h.out.printf("gateway: %v\n", err)
		}
	}
	if h.store != nil {
		if err := h.store.Close(); err != nil {
			h.out.printf("store: %v\n", err)
		}
	}
	if h.dir != "" {
		_ = os.RemoveAll(h.dir)
	}
}

// localZone is this machine's time zone if it has a name, UTC otherwise.
func localZone() string {
	if name := time.Local.String(); name != "Local" {
		return name
	}
	if to, err := os.Readlink("/etc/localtime"); err == nil {
		if i := len("/usr/share/zoneinfo/"); len(to) > i {
			if _, err := time.LoadLocation(to[i:]); err == nil {
				return to[i:]
			}
		}
	}
	return "UTC"
}

// console is where the demo writes: one writer at a time, whole lines.
type console struct {
	mu    sync.Mutex
	w     io.Writer // guarded by mu
	quiet bool      // guarded by mu; no asides while a story is told
}

func (c *console) printf(format string, a ...any) {
	c.mu.Lock()
	defer c.mu.Unlock()
	_, _ = fmt.Fprintf(c.w, format, a...)
}

// talk begins to print asides.
func (c *console) talk() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.quiet = false
}

// aside prints what a node does by itself.
func (c *console) aside(text string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if !c.quiet {
		_, _ = fmt.Fprintf(c.w, "    %s  %s\n", time.Now().Format("15:04:05.000"), text)
	}
}
