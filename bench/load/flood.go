package load

import (
	"context"
	"crypto/rand"
	"fmt"
	"io"
	"math"
	"net"
	"net/netip"
	"sync"
	"time"

	"golang.org/x/sync/errgroup"
)

// Bounds of a flood.
const (
	maxSources   = 100_000
	maxFloodTime = 60 * time.Second
	maxOpen      = 1000 // sockets at once
)

// Flood sends one ClientHello to a server on this machine from each of many loopback addresses, and
// counts what they get back. It completes no handshake.
type Flood struct {
	To      netip.AddrPort
	Sources int           // how many addresses send, one ClientHello each
	Rate    int           // ClientHellos a second
	Delay   time.Duration // how long each address waits for answers

	took time.Duration

	mu             sync.Mutex
	sent, answered int // guarded by mu
	out, in        int // guarded by mu; bytes of UDP payload
	// Guarded by mu; the largest difference between the bytes that an address received and sent.
	excess int
	failed int   // guarded by mu; addresses that could not send
	why    error // guarded by mu; the first of these
}

// check refuses what is not bounded and not of this machine.
func (f *Flood) check() error {
	switch {
	case !f.To.Addr().Is4() || !f.To.Addr().IsLoopback() || f.To.Port() == 0:
		return fmt.Errorf("to %s: want a server of this machine, as 127.0.0.1:5684", f.To)
	case f.Sources < 1 || f.Sources > maxSources:
		return fmt.Errorf("%d sources: want 1…%d", f.Sources, maxSources)
	case f.Rate < 1 || f.Sources/f.Rate >= int(maxFloodTime/time.Second):
		return fmt.Errorf("rate %d: want enough a second that all are sent within %v", f.Rate, maxFloodTime)
	case f.Delay < time.Millisecond || float64(f.Rate)*f.Delay.Seconds() > maxOpen:
		return fmt.Errorf("delay %v: want 1ms or more, and at the rate %d no more than %v", f.Delay, f.Rate,
			(maxOpen * time.Second / time.Duration(f.Rate)).Round(time.Millisecond))
	}
	return nil
}

// Run sends the ClientHellos, and returns when all addresses have waited for answers. It may be called
// once.
func (f *Flood) Run(ctx context.Context) error {
	if err := f.check(); err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(ctx, maxFloodTime)
	defer cancel()
	f.excess = math.MinInt
	began := time.Now()
	var senders errgroup.Group
	senders.SetLimit(maxOpen) // each takes a bounded time
	for i := 0; i < f.Sources && ctx.Err() == nil; i++ {
		due := began.Add(time.Duration(i) * time.Second / time.Duration(f.Rate))
		if wait := time.Until(due); wait > 0 {
			time.Sleep(wait)
		}
		senders.Go(func() error {
			f.sendHello(netip.AddrFrom4([4]byte{127, byte(1 + i>>16), byte(i >> 8), byte(i)}))
			return nil
		})
	}
	f.took = time.Since(began)
	_ = senders.Wait() // each counts its own failure
	if f.failed > 0 {
		return fmt.Errorf("%d addresses could not send: %w", f.failed, f.why)
	}
	return ctx.Err()
}

// sendHello sends a ClientHello from one address, on a port that the kernel chooses, and counts the
// bytes that come back.
func (f *Flood) sendHello(from netip.Addr) {
	c, err := net.DialUDP("udp4", net.UDPAddrFromAddrPort(netip.AddrPortFrom(from, 0)),
		net.UDPAddrFromAddrPort(f.To))
	if err != nil {
		f.fail(err)
		return
	}
	defer func() { _ = c.Close() }()
	hello := clientHello()
	if _, err := c.Write(hello); err != nil {
		f.fail(err)
		return
	}
	_ = c.SetReadDeadline(time.Now().Add(f.Delay))
	in := 0
	for buf := make([]byte, 2048); ; {
		n, err := c.Read(buf)
		if err != nil {
			break
		}
		in += n
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	f.sent++
	f.out += len(hello)
	f.in += in
	if in > 0 {
		f.answered++
	}
	f.excess = max(f.excess, in-len(hello))
}

func (f *Flood) fail(err error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.failed++; f.why == nil {
		f.why = err
	}
}

// Answered returns how many addresses sent, and how many of them got an answer.
func (f *Flood) Answered() (sent, answered int) {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.sent, f.answered
}

// Report writes the counts for people and for tests: a name and a number in each line.
func (f *Flood) Report(w io.Writer) {
	if f.sent == 0 {
		return
	}
	fmt.Fprintf(w, "sent %d\nanswered %d\nbytes-out %d\nbytes-in %d\nexcess %d\nmilliseconds %d\n",
		f.sent, f.answered, f.out, f.in, f.excess, f.took.Milliseconds())
}

// clientHello is the first datagram of a node (RFC 6347 §4.2.1): one record with one handshake
// message, with its own random and no cookie.
func clientHello() []byte {
	h := []byte{
		// Record: handshake, DTLS 1.2, epoch 0, number 0; length below.
		22, 0xfe, 0xfd, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0,
		1, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, // message: ClientHello, number 0, in one fragment; lengths below
		0xfe, 0xfd,
	}
	random := make([]byte, 32)
	_, _ = rand.Read(random) // never fails
	h = append(h, random...)
	h = append(h,
		0, 0, // no session, no cookie
		0, 2, 0xc0, 0xa8, // TLS_PSK_WITH_AES_128_CCM_8
		1, 0, // no compression
		0, 9, // extensions
		0, 23, 0, 0, // extended_master_secret
		0, 54, 0, 1, 0, // connection_id: none asked for, one accepted
	)
	body := byte(len(h) - 25)
	h[12], h[16], h[24] = body+12, body, body
	return h
}
