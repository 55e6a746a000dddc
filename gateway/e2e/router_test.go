package e2e

import (
	"bytes"
	"crypto/rand"
	"errors"
	"net"
	"net/netip"
	"sync"
	"testing"
	"time"
)

// router stands between one node and the gateway, which sees the router's address. It drops every
// record that it recognises as an alert, because a node that loses its power sends no close_notify.
type router struct {
	gateway *net.UDPAddr
	delay   time.Duration // added to each datagram, in each direction
	front   *net.UDPConn
	ways    [2]chan parcel // to the gateway, to the node
	wg      sync.WaitGroup
	backs   sync.WaitGroup // goroutines that read what the gateway sends

	mu   sync.Mutex
	back *net.UDPConn   // guarded by mu
	node netip.AddrPort // guarded by mu; the newest sender
	// Guarded by mu; addresses of nodes without power, whose datagrams are dropped.
	dead  map[netip.AddrPort]bool
	hello []byte // guarded by mu; the first datagram from a node
	count [2]int // guarded by mu; datagrams in each direction
	lose  [2]int // guarded by mu; the number of the one to lose, from 1; 0: none
}

// parcel is a delayed datagram.
type parcel struct {
	due time.Time
	b   []byte
}

func newRouter(t *testing.T, gateway string, far time.Duration) *router {
	t.Helper()
	to, err := net.ResolveUDPAddr("udp", gateway)
	if err != nil {
		t.Fatal(err)
	}
	front, err := net.ListenUDP("udp", &net.UDPAddr{IP: net.IPv4(127, 0, 0, 1)})
	if err != nil {
		t.Fatal(err)
	}
	r := &router{gateway: to, delay: far, front: front, ways: [2]chan parcel{make(chan parcel, 1000),
		make(chan parcel, 1000)},
		dead: map[netip.AddrPort]bool{}}
	r.rebind(t)
	for i, send := range []func([]byte){r.inject, r.deliver} {
		r.wg.Go(func() {
			for p := range r.ways[i] {
				time.Sleep(time.Until(p.due))
				send(p.b)
			}
		})
	}
	r.wg.Go(func() {
		for buf := make([]byte, 2048); ; {
			n, from, err := front.ReadFromUDPAddrPort(buf)
			if err != nil {
				close(r.ways[0])
				return
			}
			r.handleUp(buf[:n], from)
		}
	})
	t.Cleanup(func() {
		_ = front.Close()
		r.mu.Lock()
		_ = r.back.Close()
		r.mu.Unlock()
		r.backs.Wait()
		close(r.ways[1])
		r.wg.Wait()
	})
	return r
}

// addr returns the address at which the node reaches the gateway.
func (r *router) addr() string { return r.front.LocalAddr().String() }

func (r *router) handleUp(b []byte, from netip.AddrPort) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.dead[from] || len(b) == 0 || b[0] == contentAlert {
		return
	}
	if r.node = from; r.hello == nil {
		r.hello = bytes.Clone(b)
	}
	r.pass(0, b)
}

// pass queues a datagram, or drops it when the queue is full. The caller holds r.mu.
func (r *router) pass(way int, b []byte) {
	if r.count[way]++; r.count[way] == r.lose[way] {
		return
	}
	select {
	case r.ways[way] <- parcel{time.Now().Add(r.delay), bytes.Clone(b)}:
	default:
	}
}

// inject sends a datagram to the gateway from the node's address.
func (r *router) inject(b []byte) {
	r.mu.Lock()
	defer r.mu.Unlock()
	_, _ = r.back.Write(b)
}

// deliver sends a datagram to the node.
func (r *router) deliver(b []byte) {
	r.mu.Lock()
	defer r.mu.Unlock()
	_, _ = r.front.WriteToUDPAddrPort(b, r.node)
}

// rebind changes the port at which the gateway sees the node.
func (r *router) rebind(t *testing.T) {
	t.Helper()
	back, err := net.DialUDP("udp", nil, r.gateway)
	if err != nil {
		t.Fatal(err)
	}
	r.mu.Lock()
	old := r.back
	r.back = back
	r.mu.Unlock()
	if old != nil {
		_ = old.Close()
	}
	r.backs.Go(func() {
		for buf := make([]byte, 2048); ; {
			n, err := back.Read(buf)
			if errors.Is(err, net.ErrClosed) {
				return
			}
			if err == nil { // other errors come from a gateway that is down for now
				r.mu.Lock()
				r.pass(1, buf[:n])
				r.mu.Unlock()
			}
		}
	})
}

// cutPower drops all later datagrams of the present node, as if it had lost its power.
func (r *router) cutPower() {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.dead[r.node] = true
}

// forgeHellos sends forged ClientHellos from the node's address, a thousand a second. stop ends
// that and returns how many were sent.
func (r *router) forgeHellos() (stop func() int) {
	ended, sent := make(chan struct{}), make(chan int)
	go func() {
		n, began := 0, time.Now()
		for tick := time.NewTicker(time.Millisecond); ; {
			select {
			case <-ended:
				tick.Stop()
				sent <- n
				return
			case <-tick.C:
			}
			// Catch up, because the ticker drops ticks on a busy machine.
			for ; n < int(time.Since(began)/time.Millisecond); n++ {
				r.mu.Lock()
				h := bytes.Clone(r.hello)
				r.mu.Unlock()
				_, _ = rand.Read(h[27:59]) // the client's random
				_, _ = rand.Read(h[5:11])  // the record's number, which the gateway's answer repeats
				r.inject(h)
			}
		}
	}()
	return func() int { close(ended); return <-sent }
}
