package device_test

import (
	"bytes"
	"fmt"
	"net"
	"testing"
	"time"

	"latchkey/coapres/device"
)

// newRelayBetween returns a node's socket, a relay, and the gateway's socket.
func newRelayBetween(t *testing.T, seed uint64) (node *net.UDPConn, r *device.Relay, gateway *net.UDPConn) {
	t.Helper()
	gateway, err := net.ListenUDP("udp", &net.UDPAddr{IP: net.IPv4(127, 0, 0, 1)})
	if err != nil {
		t.Fatal(err)
	}
	if r, err = device.NewRelay(gateway.LocalAddr().String(), seed); err != nil {
		t.Fatal(err)
	}
	to, err := net.ResolveUDPAddr("udp", r.Addr())
	if err != nil {
		t.Fatal(err)
	}
	if node, err = net.DialUDP("udp", nil, to); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _, _, _ = node.Close(), r.Close(), gateway.Close() })
	return node, r, gateway
}

// receiveAll reads datagrams until none has come for the time silence.
func receiveAll(t *testing.T, c *net.UDPConn, silence time.Duration) (all []string) {
	t.Helper()
	buf := make([]byte, 100)
	for {
		if err := c.SetReadDeadline(time.Now().Add(silence)); err != nil {
			t.Fatal(err)
		}
		n, _, err := c.ReadFromUDP(buf)
		if err != nil {
			return all
		}
		all = append(all, string(buf[:n]))
	}
}

func TestRelayIsReproducibleWithItsSeed(t *testing.T) {
	var runs [3]string
	for i, seed := range []uint64{7, 7, 8} {
		node, r, gateway := newRelayBetween(t, seed)
		r.Impair(device.Impairment{Loss: 0.3, Duplicate: 0.2})
		for n := range 60 {
			if _, err := fmt.Fprintf(node, "%d", n); err != nil {
				t.Fatal(err)
			}
		}
		runs[i] = fmt.Sprint(receiveAll(t, gateway, 200*time.Millisecond))
	}
	if runs[0] != runs[1] || runs[0] == runs[2] {
		t.Errorf("got\n%s\n%s\n%s\nwant the first two equal and the third different", runs[0], runs[1],
			runs[2])
	}
}

func TestRelayHoldsAndReleasesInOrder(t *testing.T) {
	node, r, gateway := newRelayBetween(t, 1)
	var seen bytes.Buffer
	tapped := make(chan struct{}, 8)
	r.Tap(func(dir device.Direction, b []byte) {
		if dir == device.Up {
			seen.Write(b)
			tapped <- struct{}{}
		}
	})
	started, over := r.Hold(device.Up, 300*time.Millisecond)
	began := time.Now()
	for _, s := range []string{"a", "b", "c"} {
		if _, err := node.Write([]byte(s)); err != nil {
			t.Fatal(err)
		}
		<-tapped
	}
	<-started
	if got := receiveAll(t, gateway, 100*time.Millisecond); len(got) > 0 {
		t.Errorf("got %v during the hold, want nothing", got)
	}
	<-over
	if took := time.Since(began); took < 300*time.Millisecond {
		t.Errorf("released after %v, want at least 300 ms", took)
	}
	r.Inject(device.Up, []byte("again"))
	if got := fmt.Sprint(receiveAll(t, gateway, 100*time.Millisecond)); got != "[a b c again]" ||
		seen.String() != "abc" {
		t.Errorf("got %s and saw %s, want a b c, then the injected datagram", got, seen.String())
	}
}

func TestRelayAnswersEachNode(t *testing.T) {
	node, _, gateway := newRelayBetween(t, 1)
	if _, err := node.Write([]byte("question")); err != nil {
		t.Fatal(err)
	}
	buf := make([]byte, 100)
	if err := gateway.SetReadDeadline(time.Now().Add(5 * time.Second)); err != nil {
		t.Fatal(err)
	}
	_, from, err := gateway.ReadFromUDP(buf)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := gateway.WriteToUDP([]byte("answer"), from); err != nil {
		t.Fatal(err)
	}
	if got := fmt.Sprint(receiveAll(t, node, 300*time.Millisecond)); got != "[answer]" {
		t.Errorf("got %s, want the answer", got)
	}
}

func TestRelayHoldsOneAndPassesTheRest(t *testing.T) {
	node, r, gateway := newRelayBetween(t, 1)
	_, over := r.HoldOne(device.Up, 200*time.Millisecond)
	for _, s := range []string{"a", "b", "c"} {
		if _, err := node.Write([]byte(s)); err != nil {
			t.Fatal(err)
		}
	}
	if got := fmt.Sprint(receiveAll(t, gateway, 50*time.Millisecond)); got != "[b c]" {
		t.Errorf("during the hold: got %s, want [b c]", got)
	}
	<-over
	if got := fmt.Sprint(receiveAll(t, gateway, 100*time.Millisecond)); got != "[a]" {
		t.Errorf("after it: got %s, want [a]", got)
	}
}
