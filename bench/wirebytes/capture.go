package wirebytes

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"regexp"
	"sync"
	"time"
)

// quiet is how long no packet must come until a piece of work counts as finished. TCP delays an
// acknowledgement by 40 ms.
const quiet = 100 * time.Millisecond

// Capture counts what goes over loopback to and from one port while it runs. It needs dumpcap,
// which comes with tshark, and the right to capture. TCP segments on loopback may be larger than on
// a network, so there are a few fewer of them.
type Capture struct {
	cmd   *exec.Cmd
	port  uint16
	probe *net.UDPConn // sends to itself: when a probe is seen, all packets before it were seen
	said  bytes.Buffer // by dumpcap; read only after done
	news  chan struct{}
	done  chan struct{}
	err   error // why it ended, once done is closed
	sent  uint64

	mu     sync.Mutex
	seen   Traffic // guarded by mu
	probed uint64  // guarded by mu; the newest probe that was seen
}

// StartCapture returns when the capture works. The capture ends when ctx ends or Close is called.
// Only one goroutine may use it.
func StartCapture(ctx context.Context, port int) (*Capture, error) {
	probe, err := net.ListenUDP("udp4", &net.UDPAddr{IP: net.IPv4(127, 0, 0, 1)})
	if err != nil {
		return nil, fmt.Errorf("wirebytes: %w", err)
	}
	c := &Capture{port: uint16(port), probe: probe, news: make(chan struct{}, 1), done: make(chan struct{})}
	c.cmd = exec.CommandContext(ctx, "dumpcap", "-q", "-i", "lo", "-s", "128", "-P", "-w", "-",
		"-f", fmt.Sprintf("port %d or udp port %d", port, c.probePort()))
	c.cmd.Cancel = func() error { return c.cmd.Process.Signal(os.Interrupt) }
	c.cmd.WaitDelay = 5 * time.Second
	c.cmd.Stderr = &c.said
	out, err := c.cmd.StdoutPipe()
	if err == nil {
		err = c.cmd.Start()
	}
	if err != nil {
		_ = probe.Close()
		return nil, fmt.Errorf("wirebytes: dumpcap, which comes with tshark: %w", err)
	}
	go func() {
		defer close(c.done)
		c.err = c.read(out)
		_, _ = io.Copy(io.Discard, out) // dumpcap may still be writing
		if err := c.cmd.Wait(); c.err == nil {
			c.err = err
		}
	}()
	begin, cancel := context.WithTimeout(ctx, 15*time.Second)
	defer cancel()
	if err := c.catchUp(begin); err != nil {
		return nil, errors.Join(err, c.Close())
	}
	return c, nil
}

func (c *Capture) probePort() uint16 { return uint16(c.probe.LocalAddr().(*net.UDPAddr).Port) }

// WaitSettled waits until no more packets come, and returns what was counted since StartCapture.
func (c *Capture) WaitSettled(ctx context.Context) (Traffic, error) {
	for last := (Traffic{Up: Count{Datagrams: -1}}); ; {
		if err := c.catchUp(ctx); err != nil {
			return Traffic{}, err
		}
		t := c.now()
		if t == last {
			return t, nil
		}
		last = t
		select {
		case <-time.After(quiet):
		case <-ctx.Done():
			return Traffic{}, fmt.Errorf("wirebytes: it does not become quiet: %w", ctx.Err())
		}
	}
}

func (c *Capture) now() Traffic {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.seen
}

// catchUp returns when everything that was sent before the call has been counted.
func (c *Capture) catchUp(ctx context.Context) error {
	c.sent++
	for {
		if _, err := c.probe.WriteTo(binary.BigEndian.AppendUint64(nil, c.sent),
			c.probe.LocalAddr()); err != nil {
			return fmt.Errorf("wirebytes: probe: %w", err)
		}
		// A probe that was sent before the capture began is not seen.
		again := time.After(50 * time.Millisecond)
		for waiting := true; waiting; {
			select {
			case <-c.news:
				c.mu.Lock()
				seen := c.probed >= c.sent
				c.mu.Unlock()
				if seen {
					return nil
				}
			case <-again:
				waiting = false
			case <-c.done:
				return fmt.Errorf("wirebytes: dumpcap ended: %w: %s", errors.Join(errEnded, c.err),
					bytes.TrimSpace(c.said.Bytes()))
			case <-ctx.Done():
				return fmt.Errorf("wirebytes: the capture does not see what is sent: %w", ctx.Err())
			}
		}
	}
}

var errEnded = errors.New("no capture")

// dropped finds what dumpcap prints at its end: "Packets received/dropped on interface 'lo': 12/0
// (…)".
var dropped = regexp.MustCompile(`received/dropped on interface [^:]*: \d+/(\d+)`)

// Close ends the capture. If packets were dropped it returns an error, since the counts are too
// small then. A second call is harmless.
func (c *Capture) Close() error {
	_ = c.probe.Close()
	_ = c.cmd.Process.Signal(os.Interrupt) // it may have ended already
	late := time.AfterFunc(10*time.Second, func() { _ = c.cmd.Process.Kill() })
	defer late.Stop()
	<-c.done
	if m := dropped.FindSubmatch(c.said.Bytes()); m != nil && string(m[1]) != "0" {
		return fmt.Errorf("wirebytes: the capture lost %s packets", m[1])
	}
	return nil
}

// read counts the packets of a pcap stream until it ends.
func (c *Capture) read(r io.Reader) error {
	var head [24]byte
	if _, err := io.ReadFull(r, head[:]); err != nil {
		return err
	}
	var order binary.ByteOrder = binary.LittleEndian
	if binary.BigEndian.Uint32(head[:]) == 0xa1b2c3d4 {
		order = binary.BigEndian
	}
	if order.Uint32(head[:]) != 0xa1b2c3d4 || order.Uint32(head[20:]) != 1 { // LINKTYPE_ETHERNET
		return errors.New("not a pcap stream of Ethernet frames")
	}
	for {
		var rec [16]byte
		if _, err := io.ReadFull(r, rec[:]); err == io.EOF {
			return nil
		} else if err != nil {
			return err
		}
		n := order.Uint32(rec[8:])
		if n > 1<<16 {
			return errors.New("a frame longer than requested")
		}
		b := make([]byte, n)
		if _, err := io.ReadFull(r, b); err != nil {
			return err
		}
		if p, ok := parseFrame(b); ok {
			c.count(p)
		}
	}
}

func (c *Capture) count(p packet) {
	c.mu.Lock()
	defer c.mu.Unlock()
	one := Count{1, p.size, p.payload}
	switch {
	case p.proto == protoUDP && p.from == c.probePort() && p.to == c.probePort() && len(p.start) >= 8:
		c.probed = max(c.probed, binary.BigEndian.Uint64(p.start))
		select {
		case c.news <- struct{}{}:
		default:
		}
	case p.to == c.port:
		c.seen.Up = c.seen.Up.Plus(one)
	case p.from == c.port:
		c.seen.Down = c.seen.Down.Plus(one)
	}
}
