package transport

import (
	"net"
	"strings"
	"testing"
	"time"

	"latchkey/coapres/transport/record"
	"latchkey/keys"
)

// sendToNode sends a datagram to the node from the address that is the gateway's to the node.
func (n *nat) sendToNode(b []byte) {
	n.mu.Lock()
	node := n.node
	n.mu.Unlock()
	_, _ = n.front.WriteToUDP(b, node)
}

// Forged plaintext records from the gateway's address do not end the node's session.
func TestForgedPlaintextAtTheNode(t *testing.T) {
	s := startSite(t, Config{}, answerEcho)
	n, c := s.throughNAT(t, answerEcho)
	g := receiveFrom(t, s.opened)
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
		"a HelloVerifyRequest": makeRecord(record.Handshake, record.HelloVerifyRequest, 0, 0, 4,
			0, 1, 0, 0, 0, 0, 0, 4, 0xfe, 0xff, 1, 1),
		"a ServerHelloDone": makeRecord(record.Handshake, record.ServerHelloDone, 0, 0, 0, 0,
			3, 0, 0, 0, 0, 0, 0),
		"a record with a connection ID": append([]byte{record.TLS12CID, 0xfe, 0xfd, 0, 1, 0, 0, 0, 0, 0, 99},
			make([]byte, 40)...),
		"bytes that are no record": {1, 2, 3},
	} {
		for range 200 {
			n.sendToNode(b)
		}
		if got, err := postEcho(g, name, 5*time.Second); err != nil || got != name {
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
	if got, err := postEcho(c, "still", 5*time.Second); err != nil || got != "still" {
		t.Errorf("after a stranger's datagram: got %q, %v", got, err)
	}
}

// A plaintext alert does not end a handshake. If the handshake then fails by itself, the error
// names the alert.
func TestPlaintextAlertIsNamed(t *testing.T) {
	s := startSite(t, Config{Handshake: 600 * time.Millisecond}, answerEcho)
	n := newNAT(t, s.Addr())
	failed := make(chan error, 1)
	go func() {
		_, err := s.tryDial(t, n.addr(), known, keys.NewSecret(), nil)
		failed <- err
	}()
	eventually(t, "the node has sent its hello",
		func() bool { n.mu.Lock(); defer n.mu.Unlock(); return n.node != nil })
	began := time.Now()
	n.sendToNode([]byte{record.Alert, 0xfe, 0xfd, 0, 0, 0, 0, 0, 0, 0, 99, 0, 2, 2, 40})
	err := receiveFrom(t, failed)
	if err == nil || !strings.Contains(err.Error(), "HandshakeFailure") {
		t.Errorf("got %v, want it to name the alert", err)
	}
	if time.Since(began) < time.Second {
		t.Error("the forged alert ended the handshake")
	}
}
