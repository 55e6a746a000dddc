package transport

import (
	"net"
	"strings"
	"testing"
	"time"

	"latchkey/coapres/transport/record"
	"latchkey/keys"
)

// toNode sends a datagram to the node from the gateway's address as the node knows it.
func (n *nat) toNode(b []byte) {
	n.mu.Lock()
	node := n.node
	n.mu.Unlock()
	_, _ = n.front.WriteToUDP(b, node)
}

// The same at the node: what is forged in the gateway's name does not end its session.
func TestForgedPlaintextAtTheNode(t *testing.T) {
	s := listen(t, Config{}, echo)
	n, c := s.throughNAT(t, echo)
	g := within(t, s.opened)
	makeRecord := func(typ byte, body ...byte) []byte {
		return append([]byte{typ, 0xfe, 0xfd, 0, 0, 0, 0, 0, 0, 0, 99, 0, byte(len(body))}, body...)
	}
	for name, b := range map[string][]byte{
		"application data":                   makeRecord(23, 0x40, 1, 0, 1),
		"an unknown type":                    makeRecord(99, 1),
		"a ChangeCipherSpec":                 makeRecord(record.ChangeCipherSpec, 1),
		"a ChangeCipherSpec of another body": makeRecord(record.ChangeCipherSpec, 2),
		"a fatal alert":                      makeRecord(record.Alert, 2, 40),
		"a close_notify":                     makeRecord(record.Alert, 1, 0),
		"a HelloVerifyRequest":               makeRecord(record.Handshake, record.HelloVerifyRequest, 0, 0, 4, 0, 1, 0, 0, 0, 0, 0, 4, 0xfe, 0xff, 1, 1),
		"a ServerHelloDone":                  makeRecord(record.Handshake, record.ServerHelloDone, 0, 0, 0, 0, 3, 0, 0, 0, 0, 0, 0),
		"a record with a connection ID":      append([]byte{record.TLS12CID, 0xfe, 0xfd, 0, 1, 0, 0, 0, 0, 0, 99}, make([]byte, 40)...),
		"nothing that can be read":           {1, 2, 3},
	} {
		for range 200 {
			n.toNode(b)
		}
		if got, err := post(g, name, 5*time.Second); err != nil || got != name {
			t.Fatalf("after %s: got %q, %v", name, got, err)
		}
	}
	stranger, err := net.ListenUDP("udp", &net.UDPAddr{IP: net.IPv4(127, 0, 0, 1)})
	if err != nil {
		t.Fatal(err)
	}
	defer stranger.Close()
	n.mu.Lock()
	node := n.node
	n.mu.Unlock()
	_, _ = stranger.WriteToUDP(makeRecord(23, 1), node)
	if got, err := post(c, "still", 5*time.Second); err != nil || got != "still" {
		t.Errorf("after a stranger's datagram: got %q, %v", got, err)
	}
}

// An alert in the clear does not end a handshake, and is told when the handshake has failed by
// itself.
func TestAlertInTheClearIsTold(t *testing.T) {
	s := listen(t, Config{Handshake: 600 * time.Millisecond}, echo)
	n := newNAT(t, s.Addr())
	failed := make(chan error, 1)
	go func() {
		_, err := s.try(t, n.addr(), known, keys.NewSecret(), nil)
		failed <- err
	}()
	eventually(t, "the node has said hello", func() bool { n.mu.Lock(); defer n.mu.Unlock(); return n.node != nil })
	began := time.Now()
	n.toNode([]byte{record.Alert, 0xfe, 0xfd, 0, 0, 0, 0, 0, 0, 0, 99, 0, 2, 2, 40})
	err := within(t, failed)
	if err == nil || !strings.Contains(err.Error(), "HandshakeFailure") {
		t.Errorf("got %v, want it to name the alert", err)
	}
	if time.Since(began) < time.Second {
		t.Error("the forged alert ended the handshake")
	}
}
