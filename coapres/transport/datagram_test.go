package transport

import (
	"bytes"
	"encoding/binary"
	"encoding/hex"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"latchkey/coapres/transport/record"
)

// sender is the role of the address from which the fuzzer sends.
type sender uint8

const (
	stranger sender = iota // has sent nothing before
	beginner               // has returned its cookie and is in its handshake
	withCID                // has a session with a connection ID
	without                // has a session without a connection ID
	senders
)

// A fuzzer cannot guess these values, so they are copied into its datagrams.
const (
	spliceCID    = 1 << iota // the connection ID of the live session
	spliceCookie             // the cookie of its address
)

// Whatever a datagram contains and wherever it comes from, two other sessions continue, and the
// gateway sends a stranger no more bytes than it received from him.
func FuzzDatagram(f *testing.F) {
	s := startSite(f, Config{Handshake: time.Second}, answerEcho)
	withID, _ := s.openRawSession(f, "127.0.0.1", true)
	withoutID, _ := s.openRawSession(f, "127.0.0.1", false)
	clients := [senders]*rawClient{withCID: withID, without: withoutID,
		stranger: newRawClient(f, "127.0.0.2", s.Addr(), s.secret.PSK()),
		beginner: newRawClient(f, "127.0.0.3", s.Addr(), s.secret.PSK())}
	for from := range uint8(senders) {
		for _, c := range clients[:] {
			for _, b := range c.sent {
				f.Add(from, uint8(0), b)
				f.Add(from, uint8(spliceCID|spliceCookie), b)
			}
		}
		for _, b := range makeForged(make([]byte, record.CIDSize)) {
			f.Add(from, uint8(spliceCID), b)
		}
		f.Add(from, uint8(0), makeHello(0, nil))
		f.Add(from, uint8(spliceCookie), makeHello(1, make([]byte, record.CookieSize)))
		f.Add(from, uint8(0), clients[withCID].sent[0][:20])
		for _, b := range readForeign(f) {
			f.Add(from, uint8(spliceCID|spliceCookie), b)
		}
	}
	var begun time.Time // the beginner's last handshake
	sent, heard := 0, 0 // bytes from and to the stranger
	f.Fuzz(func(t *testing.T, from, splice uint8, b []byte) {
		if len(b) > maxDatagram {
			return // the listener would not get all of it
		}
		who := sender(from % uint8(senders))
		c := clients[who]
		if who == beginner && time.Since(begun) > s.cfg.Handshake/2 {
			begun = time.Now()
			if err := c.sayHello(); err != nil {
				t.Fatal(err)
			}
		}
		b = bytes.Clone(b)
		if at := record.HeaderSize - 2; splice&spliceCID != 0 && len(b) >= at+record.CIDSize &&
			b[0] == record.TLS12CID {
			copy(b[at:], clients[withCID].cid)
		}
		if r, _, ok := record.Split(b); ok && splice&spliceCookie != 0 && len(r) > record.HeaderSize &&
			r[0] == record.Handshake {
			if h, err := record.ParseHello(r); err == nil && len(h.Cookie) == record.CookieSize &&
				who != stranger {
				copy(h.Cookie, c.cookie)
			}
		}
		if _, err := c.conn.Write(b); err != nil {
			t.Fatal(err)
		}
		// When these requests are answered, the listener has read the datagram.
		for _, who := range []sender{withCID, without} {
			if err := clients[who].requestOnce(); err != nil {
				t.Fatalf("a session has ended: %v", err)
			}
		}
		if who == stranger {
			sent += len(b)
		}
		if heard += clients[stranger].countWaiting(); heard > sent {
			t.Errorf("a stranger sent %d bytes and received %d, want no more than he sent", sent, heard)
		}
		clients[beginner].countWaiting()
		if got := s.Stats(); got.Sessions != 2 || got.Moved != 0 {
			t.Errorf("got %+v, want both sessions at their old addresses", got)
		}
	})
}

// readForeign returns the datagrams that the clients of OpenSSL and Mbed TLS sent in sessions with
// their own servers.
func readForeign(t testing.TB) (out [][]byte) {
	t.Helper()
	files, err := filepath.Glob("record/protect/testdata/sessions/*.txt")
	if err != nil || len(files) == 0 {
		t.Fatalf("got %v, %v, want sessions", files, err)
	}
	for _, file := range files {
		b, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		for line := range strings.Lines(string(b)) {
			if text, ok := strings.CutPrefix(line, "> "); ok {
				b, err := hex.DecodeString(strings.TrimSpace(text))
				if err != nil {
					t.Fatalf("%s: %v", file, err)
				}
				out = append(out, b)
			}
		}
	}
	return out
}

// countWaiting reads what has arrived, and returns the number of bytes. Its deadline is in the
// future, because a socket is not read after its deadline.
func (c *rawClient) countWaiting() int { return c.countBytes(50 * time.Microsecond) }

// Whatever a hello contains and however often it comes, the gateway sends no more bytes to an
// address that has returned no cookie than it received from there.
func TestStrangerGetsNoMoreBytesThanHeSent(t *testing.T) {
	for _, stateful := range []bool{false, true} {
		s := startSite(t, Config{stateful: stateful}, answerEcho)
		c := newRawClient(t, "127.0.0.1", s.Addr(), s.secret.PSK())
		hellos := map[string][]byte{"the smallest": makeHello(0, nil), "truncated": makeHello(0, nil)[:60]}
		c.asksCID = true
		if err := c.sayHello(); err != nil {
			t.Fatal(err)
		}
		hellos["a node's"] = c.sent[0]
		for _, n := range []int{1, 19, 20, 21, 32, 255} {
			hellos[fmt.Sprintf("a cookie of %d bytes", n)] = addCookie(c.sent[0],
				append(make([]byte, record.HeaderSize+record.HandshakeHeaderSize+3), make([]byte, n)...))
		}
		for _, n := range []int{0, 1, 3, 100, 1000} {
			b := bytes.Clone(c.sent[0])
			b = binary.BigEndian.AppendUint16(b, 0xfafa) // an unknown extension
			b = binary.BigEndian.AppendUint16(b, uint16(n))
			hellos[fmt.Sprintf("an extension of %d bytes", n)] = growHello(append(b, make([]byte, n)...), 4+n)
		}
		two := append(bytes.Clone(c.sent[0]), makeHello(0, nil)...)
		hellos["two in a datagram"] = two
		for name, b := range hellos {
			stranger := newRawClient(t, "127.0.0.1", s.Addr(), nil)
			sent, heard := 0, 0
			for range 50 {
				stranger.send(b)
				sent += len(b)
				time.Sleep(time.Millisecond) // time for the answer
				if heard += stranger.countWaiting(); heard > sent {
					t.Fatalf("stateful %v, %s: sent %d bytes, received %d", stateful, name, sent, heard)
				}
			}
			if answered := name == "the smallest" || name == "a node's"; answered && heard == 0 {
				t.Errorf("stateful %v, %s: received nothing, want an answer", stateful, name)
			}
		}
		s.end()
	}
}

// growHello adds n to all lengths of a hello to which n bytes were appended.
func growHello(r []byte, n int) []byte {
	add := func(at int) { binary.BigEndian.PutUint16(r[at:], binary.BigEndian.Uint16(r[at:])+uint16(n)) }
	add(record.HeaderSize - 2)
	add(record.HeaderSize + 2)
	add(record.HeaderSize + 10)
	at := record.HeaderSize + record.HandshakeHeaderSize + 2 + 32 + 1 + 1 // no session ID, no cookie
	at += 2 + int(binary.BigEndian.Uint16(r[at:]))
	add(at + 1 + int(r[at]))
	return r
}
