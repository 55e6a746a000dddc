package server

import (
	"cmp"
	"context"
	"errors"
	"net"
	"time"

	"github.com/plgd-dev/go-coap/v3/message/codes"
	"github.com/plgd-dev/go-coap/v3/message/pool"

	"latchkey/bench/load"
	"latchkey/coapres/transport"
	"latchkey/gateway"
	"latchkey/gateway/audit"
	"latchkey/gateway/clock"
	"latchkey/gateway/limit"
	"latchkey/gateway/restart"
	"latchkey/gateway/store"
)

const anyPort = "127.0.0.1:0"

// startFloor starts a server that does as little as possible: it sends each datagram back.
func startFloor() (holder, error) {
	c, err := net.ListenUDP("udp4", &net.UDPAddr{IP: net.IPv4(127, 0, 0, 1)})
	if err != nil {
		return holder{}, err
	}
	_ = c.SetReadBuffer(4 << 20) // whatever size the kernel grants is enough
	go func() {
		b := make([]byte, 2048)
		for {
			n, from, err := c.ReadFromUDPAddrPort(b)
			if err == nil {
				_, err = c.WriteToUDPAddrPort(b[:n], from)
			}
			if errors.Is(err, net.ErrClosed) {
				return
			}
		}
	}()
	return holder{c.LocalAddr().String(), func() int { return 0 }, nil, c.Close}, nil
}

// unbound is a rate that no generator reaches.
const unbound = 1_000_000

// startTransport starts the listener of package transport as the gateway does, without the gateway.
func startTransport(o Order) (holder, error) {
	cfg := transport.Config{Addr: anyPort, MaxSessions: o.Sessions,
		PSK: func([]byte) []byte { return o.Secret.PSK() }}
	if o.Unbound {
		cfg.HandshakeRate = unbound
	}
	l, err := transport.Listen(cfg)
	if err != nil {
		return holder{}, err
	}
	h := func(_ *transport.Conn, _, resp *pool.Message, _ time.Time) { resp.SetCode(codes.Changed) }
	ran := make(chan error, 1)
	ctx, cancel := context.WithCancel(context.Background())
	go func() {
		err := l.Serve(ctx, h, func(*transport.Conn) error { return nil }, func(*transport.Conn) {})
		if ran <- err; err != nil {
			fail(err)
		}
	}()
	return holder{l.Addr().String(), l.Sessions, nil, func() error {
		cancel()
		return errors.Join(<-ran, l.Close())
	}}, nil
}

// startGateway starts a gateway with the policy of a house.
func startGateway(o Order) (holder, error) {
	limit.Garbage() // as latchkey serve does
	ctx := context.Background()
	st, err := store.Open(ctx, store.Options{Dir: o.Dir, InMemory: o.Dir == ""})
	if err != nil {
		return holder{}, err
	}
	if seq, _ := st.Head(); seq == 0 { // a new store, not a restart
		if err := o.House.Build(ctx, st, o.Secret, time.Now()); err != nil {
			return holder{}, errors.Join(err, st.Close())
		}
	}
	var saved *restart.Folder
	if o.Runtime != "" {
		if saved, err = restart.OpenFolder(o.Runtime, o.Dir); err != nil {
			return holder{}, errors.Join(err, st.Close())
		}
	}
	cfg := gateway.Config{Store: st, Runtime: saved, Listen: cmp.Or(o.Addr, anyPort), Clock: clock.RTC,
		MaxSessions: max(o.Sessions, 1)}
	steps := newSteps()
	if o.Steps {
		cfg.Timeline = steps.add
	}
	if o.Unbound {
		cfg.RequestRate, cfg.HandshakeRate = unbound, unbound
	}
	g, err := gateway.New(cfg)
	if err != nil {
		return holder{}, errors.Join(err, saved.Close(), st.Close())
	}
	ctx, cancel := context.WithCancel(ctx)
	ran := make(chan error, 1)
	go func() {
		err := g.Run(ctx)
		if ran <- err; err != nil {
			fail(err)
		}
	}()
	online := func() (n int) {
		for _, v := range g.Views() {
			if v.Online {
				n++
			}
		}
		return n
	}
	return holder{g.Addr().String(), online, steps.drain, func() error {
		cancel()
		return errors.Join(<-ran, saved.Close(), st.Close())
	}}, nil
}

// Times summarize how long something took, in µs.
type Times struct {
	Count int     `json:"count"`
	P50   float64 `json:"p50"`
	P99   float64 `json:"p99"`
	Max   float64 `json:"max"`
}

// Steps of an attempt inside the gateway, in their order.
const (
	StepFresh   = "decrypt, parse, freshness"
	StepDecide  = "queue and decide"
	StepWrite   = "first write, synced"
	StepCommand = "command and receipt"
)

// StepNames are the steps in their order.
var StepNames = []string{StepFresh, StepDecide, StepWrite, StepCommand}

// steps measures them.
type steps struct{ of map[string]*load.Latencies }

func newSteps() *steps {
	s := &steps{map[string]*load.Latencies{}}
	for _, n := range StepNames {
		s.of[n] = load.NewLatencies()
	}
	return s
}

func (s *steps) add(tl gateway.Timeline) {
	if tl.Repeated {
		return
	}
	s.of[StepFresh].Add(tl.Fresh.Sub(tl.Received), nil)
	s.of[StepDecide].Add(tl.Decided.Sub(tl.Fresh), nil)
	s.of[StepWrite].Add(tl.Durable.Sub(tl.Decided), nil)
	if tl.Outcome == audit.OutcomeDone {
		s.of[StepCommand].Add(tl.Acknowledged.Sub(tl.Durable), nil)
	}
}

// drain returns the times since the last call, and resets them.
func (s *steps) drain() map[string]Times {
	all := map[string]Times{}
	for name, l := range s.of {
		all[name] = Times{l.Count(), l.At(50), l.At(99), l.Max()}
		l.Reset()
	}
	return all
}
