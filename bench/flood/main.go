// Command flood sends a ClientHello to a gateway on this machine from many addresses and counts
// what they get back. It completes no handshake and sends to loopback only.
package main

import (
	"context"
	"crypto/rand"
	"errors"
	"flag"
	"fmt"
	"io"
	"math"
	"net"
	"net/netip"
	"os"
	"os/signal"
	"sync"
	"time"

	"golang.org/x/sync/errgroup"
)

// Bounds of a flood.
const (
	maxSources = 100_000
	maxTime    = 60 * time.Second
	maxOpen    = 1000 // sockets at once
)

func main() {
	f := flood{}
	to := flag.String("to", "", "`address` of the gateway: 127.x.y.z:port")
	flag.IntVar(&f.sources, "sources", 20_000, "how many addresses send one ClientHello each")
	flag.IntVar(&f.rate, "rate", 5000, "ClientHellos a second")
	flag.DurationVar(&f.delay, "delay", 60*time.Millisecond,
		"how long each address waits for answers")
	flag.Parse()
	err := f.check(*to, flag.NArg())
	if err == nil {
		ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
		defer stop()
		err = f.run(ctx)
		f.report(os.Stdout)
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "flood:", err)
		os.Exit(1)
	}
}

type flood struct {
	to            netip.AddrPort
	sources, rate int
	delay         time.Duration

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
func (f *flood) check(to string, rest int) (err error) {
	if f.to, err = netip.ParseAddrPort(to); err != nil || !f.to.Addr().Is4() || !f.to.Addr().IsLoopback() ||
		f.to.Port() == 0 {
		return fmt.Errorf("-to %q: want a gateway of this machine, as 127.0.0.1:5684", to)
	}
	switch {
	case rest > 0:
		return errors.New("there are flags only, no arguments")
	case f.sources < 1 || f.sources > maxSources:
		return fmt.Errorf("-sources %d: want 1…%d", f.sources, maxSources)
	case f.rate < 1 || f.sources/f.rate >= int(maxTime/time.Second):
		return fmt.Errorf("-rate %d: want enough a second that all are sent within %v", f.rate, maxTime)
	case f.delay < time.Millisecond || float64(f.rate)*f.delay.Seconds() > maxOpen:
		return fmt.Errorf("-delay %v: want 1ms or more, and at -rate %d no more than %v", f.delay, f.rate,
			(maxOpen * time.Second / time.Duration(f.rate)).Round(time.Millisecond))
	}
	return nil
}

// run sends one ClientHello from each address, and returns when all have waited for answers.
func (f *flood) run(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, maxTime)
	defer cancel()
	f.excess = math.MinInt
	began := time.Now()
	var senders errgroup.Group
	senders.SetLimit(maxOpen) // each takes a bounded time
	for i := 0; i < f.sources && ctx.Err() == nil; i++ {
		due := began.Add(time.Duration(i) * time.Second / time.Duration(f.rate))
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
func (f *flood) sendHello(from netip.Addr) {
	c, err := net.DialUDP("udp4", net.UDPAddrFromAddrPort(netip.AddrPortFrom(from, 0)),
		net.UDPAddrFromAddrPort(f.to))
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
	_ = c.SetReadDeadline(time.Now().Add(f.delay))
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

func (f *flood) fail(err error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.failed++; f.why == nil {
		f.why = err
	}
}

// report is for people and for tests: a name and a number in each line.
func (f *flood) report(w io.Writer) {
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
