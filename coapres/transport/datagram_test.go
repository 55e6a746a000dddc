package transport

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"testing"
	"time"

	"latchkey/coapres/transport/record"
)

// sender is an address of the fuzzer's.
type sender uint8

const (
	stranger sender = iota
	beginner        // has returned its cookie, and is in its handshake
	withCID         // has a session with a connection ID
	without         // has one without
	senders
)

// splices are what a fuzzer cannot guess: they replace what stands at their place in a datagram.
const (
	spliceCID    = 1 << iota // the connection ID of the live session
	spliceCookie             // the cookie of its address
)

// Whatever a datagram is and wherever it comes from: the two sessions beside it go on, and a
// stranger hears no more bytes than he sent.
func FuzzDatagram(f *testing.F) {
	s := listen(f, Config{Handshake: time.Second}, echo)
	withID, _ := s.rawSession(f, "127.0.0.1", true)
	withoutID, _ := s.rawSession(f, "127.0.0.1", false)
	clients := [senders]*rawClient{withCID: withID, without: withoutID,
		stranger: newRaw(f, "127.0.0.2", s.Addr(), s.secret.PSK()), beginner: newRaw(f, "127.0.0.3", s.Addr(), s.secret.PSK())}
	for from := range uint8(senders) {
		for _, c := range clients[:] {
			for _, b := range c.sent {
				f.Add(from, uint8(0), b)
				f.Add(from, uint8(spliceCID|spliceCookie), b)
			}
		}
		for _, b := range forged(make([]byte, record.CIDSize)) {
			f.Add(from, uint8(spliceCID), b)
		}
		f.Add(from, uint8(0), helloBytes(0, nil))
		f.Add(from, uint8(spliceCookie), helloBytes(1, make([]byte, record.CookieSize)))
		f.Add(from, uint8(0), clients[withCID].sent[0][:20])
	}
	var begun time.Time
	sent, heard := 0, 0 // of the stranger's bytes
	f.Fuzz(func(t *testing.T, from, splice uint8, b []byte) {
		if len(b) > maxDatagram {
			return // the kernel cuts it
		}
		who := sender(from % uint8(senders))
		c := clients[who]
		if who == beginner && time.Since(begun) > s.cfg.Handshake/2 {
			begun = time.Now()
			if err := c.hello(); err != nil {
				t.Fatal(err)
			}
		}
		b = bytes.Clone(b)
		if at := record.HeaderSize - 2; splice&spliceCID != 0 && len(b) >= at+record.CIDSize && b[0] == record.TLS12CID {
			copy(b[at:], clients[withCID].cid)
		}
		if r, _, ok := record.Split(b); ok && splice&spliceCookie != 0 && len(r) > record.HeaderSize && r[0] == record.Handshake {
			if h, err := record.ParseHello(r); err == nil && len(h.Cookie) == record.CookieSize && who != stranger {
				copy(h.Cookie, c.cookie)
			}
		}
		if _, err := c.conn.Write(b); err != nil {
			t.Fatal(err)
		}
		for _, who := range []sender{withCID, without} { // the listener has read all of the above when these are answered
			if err := clients[who].request(); err != nil {
				t.Fatalf("a session has ended: %v", err)
			}
		}
		if who == stranger {
			sent += len(b)
		}
		if heard += clients[stranger].waiting(); heard > sent {
			t.Errorf("a stranger sent %d bytes and heard %d", sent, heard)
		}
		clients[beginner].waiting()
		if got := s.Stats(); got.Sessions != 2 || got.Moved != 0 {
			t.Errorf("got %+v, want both sessions where they were", got)
		}
	})
}

// waiting reads what has come already, and returns how many bytes.
func (c *rawClient) waiting() int { return c.within(50 * time.Microsecond) } // in time for one look

// Whatever is in a hello, and however often it comes: who has not returned a cookie hears no more
// bytes than he sent.
func TestStrangerHearsNoMoreThanHeSent(t *testing.T) {
	for _, stateful := range []bool{false, true} {
		s := listen(t, Config{stateful: stateful}, echo)
		c := newRaw(t, "127.0.0.1", s.Addr(), s.secret.PSK())
		hellos := map[string][]byte{"the smallest": helloBytes(0, nil), "cut off": helloBytes(0, nil)[:60]}
		c.asksCID = true
		if err := c.hello(); err != nil {
			t.Fatal(err)
		}
		hellos["a node's"] = c.sent[0]
		for _, n := range []int{1, 19, 20, 21, 32, 255} {
			hellos[fmt.Sprintf("a cookie of %d bytes", n)] = withCookie(c.sent[0], append(make([]byte, record.HeaderSize+record.HandshakeHeaderSize+3), make([]byte, n)...))
		}
		for _, n := range []int{0, 1, 3, 100, 1000} {
			b := bytes.Clone(c.sent[0])
			b = binary.BigEndian.AppendUint16(b, 0xfafa) // an extension of nobody
			b = binary.BigEndian.AppendUint16(b, uint16(n))
			hellos[fmt.Sprintf("an extension of %d bytes", n)] = grown(append(b, make([]byte, n)...), 4+n)
		}
		two := append(bytes.Clone(c.sent[0]), helloBytes(0, nil)...)
		hellos["two in a datagram"] = two
		for name, b := range hellos {
			stranger := newRaw(t, "127.0.0.1", s.Addr(), nil)
			sent, heard := 0, 0
			for range 50 {
				stranger.send(b)
				sent += len(b)
				time.Sleep(time.Millisecond) // for the answer
				if heard += stranger.waiting(); heard > sent {
					t.Fatalf("stateful %v, %s: sent %d bytes, heard %d", stateful, name, sent, heard)
				}
			}
			if answered := name == "the smallest" || name == "a node's"; answered && heard == 0 {
				t.Errorf("stateful %v, %s: heard nothing", stateful, name)
			}
		}
		s.end()
	}
}

// grown is a hello that had n bytes appended, in all its lengths.
func grown(r []byte, n int) []byte {
	add := func(at int) { binary.BigEndian.PutUint16(r[at:], binary.BigEndian.Uint16(r[at:])+uint16(n)) }
	add(record.HeaderSize - 2)
	add(record.HeaderSize + 2)
	add(record.HeaderSize + 10)
	at := record.HeaderSize + record.HandshakeHeaderSize + 2 + 32 + 1 + 1 // no session ID, no cookie
	at += 2 + int(binary.BigEndian.Uint16(r[at:]))
	add(at + 1 + int(r[at]))
	return r
}
