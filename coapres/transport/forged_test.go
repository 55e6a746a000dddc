package transport

import (
	"bytes"
	"net"
	"net/netip"
	"sync"
	"testing"
	"time"

	"latchkey/coapres/transport/record"
)

// makeForged makes records of an encrypted epoch, or with the connection ID cid, without knowing a
// key.
func makeForged(cid []byte) map[string][]byte {
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

// An attacker who sees a session's records but not its keys cannot end it: the gateway neither ends
// the session nor sends the node an alert.
func TestForgedEncryptedRecords(t *testing.T) {
	s := startSite(t, Config{}, answerEcho)
	for _, cid := range []bool{false, true} {
		c, g := s.openRawSession(t, "127.0.0.1", cid)
		elsewhere, err := net.DialUDP("udp", nil, s.Addr().(*net.UDPAddr))
		if err != nil {
			t.Fatal(err)
		}
		defer elsewhere.Close()
		for name, b := range makeForged(c.cid) {
			for _, u := range []*net.UDPConn{c.conn, elsewhere} {
				if _, err := u.Write(b); err != nil {
					t.Fatal(err)
				}
				_ = c.doStep(stepData)
				alerted := false
				err := c.receiveUntil(10*time.Second, func(r []byte) bool {
					if _, ok := c.decryptRecord(r, record.Alert); ok {
						alerted = true
					}
					return c.isAnswer(r, c.mid)
				})
				if err != nil || alerted || g.Context().Err() != nil {
					t.Fatalf("cid %v, after %s: answered: %v, the node got an alert: %v", cid, name, err,
						alerted)
				}
			}
		}
	}
	if got := s.Stats(); got.Sessions != 2 || got.Moved != 0 {
		t.Errorf("got %+v, want both sessions at their old addresses", got)
	}
}

// Nor can he end it at the node.
func TestForgedEncryptedRecordsAtANode(t *testing.T) {
	s := startSite(t, Config{}, answerEcho)
	n, c := s.throughNAT(t, nil)
	g := receiveFrom(t, s.opened)
	for name, b := range makeForged(nil) {
		n.mu.Lock()
		_, _ = n.front.WriteToUDP(b, n.node)
		n.mu.Unlock()
		if got, err := postEcho(c, name, 5*time.Second); err != nil || got != name {
			t.Fatalf("after %s: got %q, %v", name, got, err)
		}
	}
	if g.Context().Err() != nil || c.Context().Err() != nil {
		t.Error("the session has ended")
	}
}

// Nor can he stop a node's handshake with a burst of records before the gateway's Finished.
func TestForgedRecordsInANodesHandshake(t *testing.T) {
	s := startSite(t, Config{}, answerEcho)
	n := newNAT(t, s.Addr())
	var once sync.Once
	n.tapDatagrams(func(up bool, _ []byte) {
		if up {
			return
		}
		once.Do(func() {
			for i := range 3 * earlyCount {
				typ := byte(record.Handshake + i%2)
				head := []byte{typ, 0xfe, 0xfd, 0, 1, 0, 0, 0, 0, 0, byte(i), 0, 40}
				n.sendToNode(append(head, make([]byte, 40)...))
			}
		})
	})
	c, err := s.tryDial(t, n.addr(), known, s.secret, nil)
	if err != nil {
		t.Fatal(err)
	}
	if got, err := postEcho(c, "hello", patienceOfTests); err != nil || got != "hello" {
		t.Errorf("got %q, %v", got, err)
	}
}

// Records that come as fast as they are opened do not delay for ever that a session is open.
func TestEarlyRecordsComeToAnEnd(t *testing.T) {
	var s secure
	now, n := time.Now(), 0
	add := func() { s.keep([]byte("record"), netip.AddrPort{}, now, false) }
	add()
	s.goLive(func(early) {
		if n++; n < 1000 {
			add()
		}
	})
	if n < earlyCount || n == 1000 || !s.ready || s.kept != nil {
		t.Errorf("got %d records, ready %v, %d left", n, s.ready, len(s.kept))
	}
}

// After a forged repetition of the node's hello with a high record number, the gateway still
// accepts the node's next records.
func TestForgedNumberInAHandshake(t *testing.T) {
	s := startSite(t, Config{}, answerEcho)
	c := newRawClient(t, "127.0.0.1", s.Addr(), s.secret.PSK())
	if err := c.sayHello(); err != nil {
		t.Fatal(err)
	}
	b := bytes.Clone(c.sent[len(c.sent)-1])
	b[5] = 0x7f
	c.send(b)
	for _, step := range []step{stepKeyExchange, stepChangeCipher, stepFinished} {
		_ = c.doStep(step)
	}
	if receiveFrom(t, s.opened) == nil {
		t.Fatal("no session")
	}
	if err := c.requestOnce(); err != nil {
		t.Error(err)
	}
}
