package transport

import (
	"bytes"
	"net"
	"testing"
	"time"

	"latchkey/coapres/transport/record"
)

// forged are records of an encrypted epoch, or with a connection ID, that nobody had keys for. cid
// is the one that stands on the wire.
func forged(cid []byte) map[string][]byte {
	makeRecord := func(typ, epoch byte, cid []byte, body ...byte) []byte {
		b := append([]byte{typ, 0xfe, 0xfd, 0, epoch, 0, 0, 0, 0, 0, 99}, cid...)
		return append(append(b, 0, byte(len(body))), body...)
	}
	f := map[string][]byte{
		"a ChangeCipherSpec of epoch 1":                 makeRecord(record.ChangeCipherSpec, 1, nil, 1),
		"a ChangeCipherSpec of epoch 1 of another body": makeRecord(record.ChangeCipherSpec, 1, nil, 2),
		"an empty ChangeCipherSpec of epoch 1":          makeRecord(record.ChangeCipherSpec, 1, nil),
		"an alert of epoch 1":                           makeRecord(record.Alert, 1, nil, 2, 40),
		"an unknown type of epoch 1":                    makeRecord(99, 1, nil, 1),
		"an empty record of epoch 1":                    makeRecord(23, 1, nil),
		"nine bytes of epoch 1":                         makeRecord(23, 1, nil, make([]byte, 9)...),
		"a ChangeCipherSpec of epoch 2":                 makeRecord(record.ChangeCipherSpec, 2, nil, 2),
	}
	if len(cid) > 0 {
		f["a connection ID in the clear"] = makeRecord(record.TLS12CID, 0, cid, 2, 40)
		f["a connection ID in the clear, and no more"] = makeRecord(record.TLS12CID, 0, cid)
		f["a connection ID and no more"] = makeRecord(record.TLS12CID, 1, cid)
		f["a connection ID and nine bytes"] = makeRecord(record.TLS12CID, 1, cid, make([]byte, 9)...)
		f["a connection ID of epoch 2"] = makeRecord(record.TLS12CID, 2, cid, make([]byte, 30)...)
	}
	return f
}

// Whoever has seen a session on the wire, but not its keys, cannot end it: neither does the
// gateway, nor is the node told to.
func TestForgedEncryptedRecords(t *testing.T) {
	s := listen(t, Config{}, echo)
	for _, cid := range []bool{false, true} {
		c, g := s.rawSession(t, "127.0.0.1", cid)
		elsewhere, err := net.DialUDP("udp", nil, s.Addr().(*net.UDPAddr))
		if err != nil {
			t.Fatal(err)
		}
		defer elsewhere.Close()
		for name, b := range forged(c.cid) {
			for _, u := range []*net.UDPConn{c.conn, elsewhere} {
				if _, err := u.Write(b); err != nil {
					t.Fatal(err)
				}
				_ = c.do(stepData)
				alerted := false
				err := c.hear(10*time.Second, func(r []byte) bool {
					if _, ok := c.open(r, record.Alert); ok {
						alerted = true
					}
					return c.answers(r, c.mid)
				})
				if err != nil || alerted || g.Context().Err() != nil {
					t.Fatalf("cid %v, after %s: answered: %v, the node was told to end its session: %v", cid, name, err, alerted)
				}
			}
		}
	}
	if got := s.Stats(); got.Sessions != 2 || got.Moved != 0 {
		t.Errorf("got %+v, want both sessions where they were", got)
	}
}

// The same at a node.
func TestForgedEncryptedRecordsAtANode(t *testing.T) {
	s := listen(t, Config{}, echo)
	n, c := s.throughNAT(t, nil)
	g := within(t, s.opened)
	for name, b := range forged(nil) {
		n.mu.Lock()
		_, _ = n.front.WriteToUDP(b, n.node)
		n.mu.Unlock()
		if got, err := post(c, name, 5*time.Second); err != nil || got != name {
			t.Fatalf("after %s: got %q, %v", name, got, err)
		}
	}
	if g.Context().Err() != nil || c.Context().Err() != nil {
		t.Error("the session has ended")
	}
}

// A repeat of the node's hello in a record with a high number does not make its next records old.
func TestForgedNumberInAHandshake(t *testing.T) {
	s := listen(t, Config{}, echo)
	c := newRaw(t, "127.0.0.1", s.Addr(), s.secret.PSK())
	if err := c.hello(); err != nil {
		t.Fatal(err)
	}
	b := bytes.Clone(c.sent[len(c.sent)-1])
	b[5] = 0x7f
	c.send(b)
	for _, step := range []step{stepKeyExchange, stepChangeCipher, stepFinished} {
		_ = c.do(step)
	}
	if within(t, s.opened) == nil {
		t.Fatal("no session")
	}
	if err := c.request(); err != nil {
		t.Error(err)
	}
}
