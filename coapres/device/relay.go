package device

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"net"
	"net/netip"
	"sync"
	"syscall"
	"time"
)

// Direction is the direction in which a datagram goes through a [Relay].
type Direction uint8

const (
	Up   Direction = iota // from a node to the gateway
	Down                  // from the gateway to a node
)

// Impairment is what a relay does to the datagrams of each direction, as probabilities 0…1.
type Impairment struct {
	Loss      float64
	Duplicate float64
	Reorder   float64 // held back for up to 30 ms, so that later ones overtake
}

// Relay is a bad network between nodes and a gateway, on loopback. It loses, repeats and reorders
// datagrams at random, from a seed. It can also hold them back, show them and send old ones again.
// It cannot read what they say. It plays the attacker in tests, benchmarks and the demo.
type Relay struct {
	gateway netip.AddrPort
	front   *net.UDPConn
	wg      sync.WaitGroup

	mu     sync.Mutex
	closed bool                         // guarded by mu
	rng    *rand.Rand                   // guarded by mu
	bad    Impairment                   // guarded by mu
	flows  map[netip.AddrPort]*flow     // guarded by mu; by the node's address
	last   *flow                        // guarded by mu; the flow of the newest datagram from a node
	holds  [2]*hold                     // guarded by mu; by direction
	tap    func(Direction, []byte)      // guarded by mu
	loses  func(Direction, []byte) bool // guarded by mu; nil: none
	timers map[*time.Timer]struct{}     // guarded by mu
}

// flow is one node's way to the gateway.
type flow struct {
	node net.Addr
	back *net.UDPConn
}

// hold is a gate that the next datagram closes.
type hold struct {
	d       time.Duration
	queue   []func()
	started chan struct{}
	open    chan struct{}
	running bool
	one     bool // it stops one datagram; those behind it pass
}

// NewRelay returns a relay to the gateway at "host:port". The same seed and the same order of
// datagrams give the same losses.
func NewRelay(gateway string, seed uint64) (*Relay, error) {
	to, err := net.ResolveUDPAddr("udp", gateway)
	if err != nil {
		return nil, fmt.Errorf("device: relay to %s: %w", gateway, err)
	}
	front, err := net.ListenUDP("udp", &net.UDPAddr{IP: net.IPv4(127, 0, 0, 1)})
	if err != nil {
		return nil, fmt.Errorf("device: relay: %w", err)
	}
	r := &Relay{gateway: to.AddrPort(), front: front, rng: rand.New(rand.NewPCG(seed, 0)),
		flows: map[netip.AddrPort]*flow{}, timers: map[*time.Timer]struct{}{}}
	r.wg.Go(r.readFront)
	return r, nil
}

// Addr returns the address that nodes should use as their gateway's.
func (r *Relay) Addr() string { return r.front.LocalAddr().String() }

// Impair changes what is done to datagrams from now on.
func (r *Relay) Impair(i Impairment) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.bad = i
}

// Hold stops one direction from its next datagram on. After d that datagram and everything behind
// it goes through at once, in order. started is closed when the hold has caught its first datagram,
// over when it has passed them on.
func (r *Relay) Hold(dir Direction, d time.Duration) (started, over <-chan struct{}) {
	return r.hold(dir, d, false)
}

// HoldOne stops the next datagram of one direction for d; those behind it pass. The channels are
// those of Hold.
func (r *Relay) HoldOne(dir Direction, d time.Duration) (started, over <-chan struct{}) {
	return r.hold(dir, d, true)
}

func (r *Relay) hold(dir Direction, d time.Duration, one bool) (started, over <-chan struct{}) {
	r.mu.Lock()
	defer r.mu.Unlock()
	h := &hold{d: d, one: one, started: make(chan struct{}), open: make(chan struct{})}
	r.holds[dir] = h
	return h.started, h.open
}

// Flows returns from how many addresses nodes have sent.
func (r *Relay) Flows() int {
	r.mu.Lock()
	defer r.mu.Unlock()
	return len(r.flows)
}

// Tap calls f with every datagram before anything is done to it. f must not keep the bytes.
func (r *Relay) Tap(f func(dir Direction, b []byte)) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.tap = f
}

// Lose drops each datagram for which f returns true. f must not keep the bytes, nor call the relay.
func (r *Relay) Lose(f func(dir Direction, b []byte) bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.loses = f
}

// Inject sends a datagram on the flow that was used last, as if the other end had sent it.
func (r *Relay) Inject(dir Direction, b []byte) {
	r.mu.Lock()
	f := r.last
	r.mu.Unlock()
	if f != nil {
		r.send(f, dir, b)
	}
}

// Close ends the relay and drops what it holds. Twice is harmless.
func (r *Relay) Close() error {
	r.mu.Lock()
	if r.closed {
		r.mu.Unlock()
		return nil
	}
	r.closed = true
	for _, f := range r.flows {
		_ = f.back.Close()
	}
	for t := range r.timers {
		t.Stop()
	}
	r.mu.Unlock()
	err := r.front.Close()
	r.wg.Wait()
	return err
}

func (r *Relay) readFront() {
	buf := make([]byte, 2048)
	for {
		n, from, err := r.front.ReadFromUDPAddrPort(buf)
		if err != nil {
			return
		}
		f, err := r.flow(from)
		if err != nil {
			continue
		}
		r.pass(f, Up, append([]byte(nil), buf[:n]...))
	}
}

func (r *Relay) flow(from netip.AddrPort) (*flow, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if f := r.flows[from]; f != nil {
		r.last = f
		return f, nil
	}
	if r.closed {
		return nil, net.ErrClosed
	}
	back, err := net.DialUDP("udp", nil, net.UDPAddrFromAddrPort(r.gateway))
	if err != nil {
		return nil, err
	}
	f := &flow{node: net.UDPAddrFromAddrPort(from), back: back}
	r.flows[from], r.last = f, f
	r.wg.Go(func() {
		buf := make([]byte, 2048)
		for {
			n, err := back.Read(buf)
			if errors.Is(err, syscall.ECONNREFUSED) {
				continue // the gateway is down for now; the kernel reports each refusal once
			}
			if err != nil {
				return // closed
			}
			r.pass(f, Down, append([]byte(nil), buf[:n]...))
		}
	})
	return f, nil
}

// pass forwards one datagram, or drops, repeats or holds it as the relay is set.
func (r *Relay) pass(f *flow, dir Direction, b []byte) {
	r.mu.Lock()
	tap := r.tap
	if h := r.holds[dir]; h != nil && !(h.one && h.running) {
		h.queue = append(h.queue, func() { r.send(f, dir, b) })
		if !h.running {
			h.running = true
			close(h.started)
			r.after(h.d, func() { r.release(dir, h) })
		}
		r.mu.Unlock()
		if tap != nil {
			tap(dir, b)
		}
		return
	}
	lost := r.rng.Float64() < r.bad.Loss
	lost = lost || r.loses != nil && r.loses(dir, b)
	twice := r.rng.Float64() < r.bad.Duplicate
	late := r.rng.Float64() < r.bad.Reorder
	delay := time.Duration(r.rng.Int64N(int64(30 * time.Millisecond)))
	if late && !lost {
		r.after(delay, func() { r.send(f, dir, b) })
	}
	r.mu.Unlock()
	if tap != nil {
		tap(dir, b)
	}
	if lost {
		return
	}
	if !late {
		r.send(f, dir, b)
	}
	if twice {
		r.send(f, dir, b)
	}
}

// after runs f later unless the relay is closed before. The caller holds mu.
func (r *Relay) after(d time.Duration, f func()) {
	var t *time.Timer
	t = time.AfterFunc(d, func() {
		r.mu.Lock()
		delete(r.timers, t)
		closed := r.closed
		r.mu.Unlock()
		if !closed {
			f()
		}
	})
	r.timers[t] = struct{}{}
}

func (r *Relay) release(dir Direction, h *hold) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.holds[dir] == h {
		r.holds[dir] = nil
	}
	for _, send := range h.queue { // under mu: a datagram that comes now must not overtake them
		send()
	}
	close(h.open)
}

func (r *Relay) send(f *flow, dir Direction, b []byte) {
	if dir == Up {
		_, _ = f.back.Write(b) // a network may lose it
		return
	}
	_, _ = r.front.WriteTo(b, f.node)
}
