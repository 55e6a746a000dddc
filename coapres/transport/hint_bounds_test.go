package transport

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"net"
	"syscall"
	"testing"
	"time"

	"latchkey/coapres/transport/record"
)

// passerby is a socket with an address of its own, so that no limit of a source hides what is
// answered to it.
type passerby struct {
	*net.UDPConn
	sent, datagrams int // to the gateway: bytes in all, and in how many datagrams
}

// newPasserby makes the one with a number.
func newPasserby(t *testing.T, number int, to net.Addr) *passerby {
	t.Helper()
	from := net.IPv4(127, byte(loopback()), byte(201+number/250%50), byte(1+number%250))
	c, err := net.DialUDP("udp", &net.UDPAddr{IP: from}, to.(*net.UDPAddr))
	if err != nil {
		t.Fatal(err)
	}
	return &passerby{UDPConn: c}
}

func (s *passerby) send(t *testing.T, b []byte) {
	t.Helper()
	if _, err := s.Write(b); err != nil {
		t.Fatal(err)
	}
	s.sent += len(b)
	s.datagrams++
}

// got returns what is there by now, without waiting.
func (s *passerby) got(t *testing.T) (all [][]byte) {
	t.Helper()
	raw, err := s.SyscallConn()
	if err != nil {
		t.Fatal(err)
	}
	for buf := make([]byte, maxDatagram); ; {
		n := 0
		if e := raw.Read(func(fd uintptr) bool {
			n, _, err = syscall.Recvfrom(int(fd), buf, syscall.MSG_DONTWAIT)
			return true
		}); e != nil {
			t.Fatal(e)
		}
		if errors.Is(err, syscall.EAGAIN) {
			return all
		}
		if err != nil {
			t.Fatal(err)
		}
		all = append(all, bytes.Clone(buf[:n]))
	}
}

// first sends b and returns the first answer to it.
func (s *passerby) first(t *testing.T, b []byte) []byte {
	t.Helper()
	s.send(t, b)
	_ = s.SetReadDeadline(time.Now().Add(patienceOfTests))
	buf := make([]byte, maxDatagram)
	n, err := s.Read(buf)
	if err != nil {
		t.Fatal(err)
	}
	return buf[:n]
}

// settled waits until the gateway has read all that was sent to it before, by asking for a hint or
// for a cookie.
func (s *site) settled(t *testing.T, number int, ask []byte) {
	t.Helper()
	last := newPasserby(t, number, s.Addr())
	defer last.Close()
	last.first(t, ask)
}

// smallestHello is a ClientHello with all that it must have.
func smallestHello(number byte, cookie int) []byte {
	body := append([]byte{0xfe, 0xfd}, make([]byte, 32)...)
	body = append(body, 0, byte(cookie))
	body = append(body, make([]byte, cookie)...)
	body = append(body, 0, 2, 0xc0, 0xa8, 1, 0)
	n := byte(len(body))
	r := []byte{record.Handshake, 0xfe, 0xfd, 0, 0, 0, 0, 0, 0, 0, 9, 0, record.HandshakeHeaderSize + n, record.ClientHello, 0, 0, n, 0, number, 0, 0, 0, 0, 0, n}
	return append(r, body...)
}

// trial is what a passer-by sends in one datagram.
type trial struct {
	rule string
	b    []byte
	hint bool // it may be answered with one
}

// kinds are records of every type that means something, and of some that do not, in epochs that a
// rule is about. f is given one of 30 bytes, a maker of others, and whether it is application data
// of a session.
func kinds(f func(name string, one []byte, of func(size int) []byte, data bool)) {
	for _, typ := range []byte{0, 19, record.ChangeCipherSpec, record.Alert, record.Handshake, record.ApplicationData, 24, record.TLS12CID, 26, 27, 0x3f, 255} {
		for _, epoch := range []uint16{0, 1, 2, 256, 65535} {
			of := func(size int) []byte {
				r := recordOf(typ, 0, size)
				binary.BigEndian.PutUint16(r[3:], epoch)
				return r
			}
			f(fmt.Sprintf("type %d, epoch %d", typ, epoch), of(30), of, (typ == record.ApplicationData || typ == record.TLS12CID) && epoch > 0)
		}
	}
}

// withoutHello are datagrams with those: alone in the lengths that matter, several together,
// damaged, and each handshake message but a hello.
func withoutHello() (all []trial) {
	add := func(hint bool, rule string, b ...[]byte) { all = append(all, trial{rule, bytes.Join(b, nil), hint}) }
	kinds(func(name string, one []byte, of func(int) []byte, data bool) {
		for _, size := range []int{21, 22, 24, 25, 26, 60, 1400} {
			add(data && size >= len(record.HelloRequest), fmt.Sprintf("%s, %d bytes", name, size), of(size))
		}
		add(data, name+", twenty in a datagram", bytes.Repeat(one, 20))
		add(data, name+", and garbage", one, []byte{1, 2, 3})
		add(data, name+", after a hint", record.HelloRequest, one)
		add(data, name+", after a short one", of(22), one)
		add(false, name+", cut", one[:len(one)-1])
		add(false, name+", half a header", one[:record.HeaderSize-1])
		for _, version := range []uint16{0x0303, 0xfefc, 0xfeff} {
			r := bytes.Clone(one)
			binary.BigEndian.PutUint16(r[1:], version)
			add(data && version == 0xfeff, fmt.Sprintf("%s, version %x", name, version), r)
		}
	})
	for typ := range byte(25) {
		if typ != record.ClientHello {
			r := bytes.Clone(record.HelloRequest)
			r[record.HeaderSize] = typ
			add(false, fmt.Sprintf("message %d", typ), r)
		}
	}
	return all
}

// withHello are those beside a hello, and hellos.
func withHello() (all []trial) {
	add := func(rule string, b ...[]byte) { all = append(all, trial{rule, bytes.Join(b, nil), false}) }
	hello := smallestHello(0, 0)
	kinds(func(name string, one []byte, _ func(int) []byte, _ bool) {
		add(name+", after a hello", hello, one)
		add(name+", before a hello", one, hello)
	})
	add("the smallest hello", hello)
	add("a hello with a cookie of another time", smallestHello(1, record.CookieSize))
	add("a hello that is cut", hello[:60])
	empty := bytes.Clone(record.HelloRequest)
	empty[record.HeaderSize] = record.ClientHello
	add("a hello without a body", empty)
	return all
}

// Nobody gets more bytes, nor more datagrams, than he sent; a hint is the answer to application
// data alone; and no answer of one gateway gets another from a second one.
func TestNothingIsAnsweredWithMoreThanItIs(t *testing.T) {
	second := listen(t, Config{}, echo)
	for _, part := range []struct {
		name   string
		trials []trial
		last   []byte // is answered, and is not among what this part is about
	}{{"no hello", withoutHello(), recordOf(record.ApplicationData, 1, 25)}, {"hellos", withHello(), smallestHello(0, 0)}} {
		t.Run(part.name, func(t *testing.T) {
			s := listen(t, Config{}, echo)
			var in, out, hints, number int
			for rest := part.trials; len(rest) > 0; {
				batch := rest[:min(250, len(rest))]
				rest = rest[len(batch):]
				from := make([]*passerby, len(batch))
				for i, c := range batch {
					from[i] = newPasserby(t, number, s.Addr())
					number++
					from[i].send(t, c.b)
				}
				s.settled(t, number, part.last)
				number++
				for i, c := range batch {
					bytesOut, isHint, answers := 0, false, from[i].got(t)
					for _, a := range answers {
						bytesOut += len(a)
						isHint = isHint || record.IsHelloRequest(a)
						echoes(t, second, number, a)
					}
					if isHint != c.hint || len(answers) > 1 || bytesOut > from[i].sent {
						t.Errorf("%s: got %d answers of %d bytes to %d, a hint: %v, want at most one that is not longer, a hint: %v",
							c.rule, len(answers), bytesOut, from[i].sent, isHint, c.hint)
					}
					if in, out = in+from[i].sent, out+bytesOut; isHint {
						hints++
					}
					_ = from[i].Close()
				}
			}
			t.Logf("%d datagrams, %d bytes in, %d bytes out, %d hints", len(part.trials), in, out, hints)
		})
	}
	second.settled(t, 0, recordOf(record.ApplicationData, 1, 25))
	if got := second.Stats(); got.Hints != 1 || got.Cookies != 0 {
		t.Errorf("the second gateway has sent %d hints and %d cookies, want the one hint that it was asked for", got.Hints, got.Cookies)
	}
}

// echoes has what one gateway has answered arrive at another one, as if from the first.
func echoes(t *testing.T, at *site, number int, answer []byte) {
	t.Helper()
	c := newPasserby(t, number, at.Addr())
	defer c.Close()
	c.send(t, answer)
}

// A hello of any kind keeps hints from its address, whatever else the gateway thinks of it and
// however many others have come.
func TestEveryHelloKeepsHintsAway(t *testing.T) {
	s := listen(t, Config{HandshakeRate: 1}, echo)
	number := 0
	settle := func() { s.settled(t, number, smallestHello(0, 0)); number++ }
	silent := func(rule string, hello ...[]byte) {
		t.Helper()
		c := newPasserby(t, number, s.Addr())
		defer c.Close()
		number++
		for _, b := range append(hello, recordOf(record.ApplicationData, 1, 60), recordOf(record.TLS12CID, 1, 60)) {
			c.send(t, b)
		}
		settle()
		for _, a := range c.got(t) {
			if record.IsHelloRequest(a) {
				t.Errorf("%s: got a hint", rule)
			}
		}
	}
	silent("a first hello", smallestHello(0, 0))
	silent("one with a cookie of another time", smallestHello(1, record.CookieSize))
	fragment := smallestHello(0, 0)
	fragment[record.HeaderSize+3]++
	silent("a fragment", fragment)
	malformed := smallestHello(0, 0)
	malformed[len(malformed)-2] = 9
	silent("one that cannot be read", malformed)

	busy := newPasserby(t, number, s.Addr()) // it has come back with its cookie, is refused, and asks again when it began long ago
	defer busy.Close()
	number++
	second := smallestHello(1, record.CookieSize)
	verify := busy.first(t, smallestHello(0, 0))
	copy(second[record.HeaderSize+record.HandshakeHeaderSize+36:], verify[len(verify)-record.CookieSize:])
	s.Listener.mu.Lock()
	s.Listener.budget, s.Listener.hints = newBudget(0), newHints(time.Now())
	s.Listener.mu.Unlock()
	busy.send(t, second)
	busy.send(t, recordOf(record.ApplicationData, 1, 60))
	settle()
	if got := busy.got(t); len(got) != 0 || len(s.failures()) == 0 {
		t.Errorf("one that there is no room for: got %x, refused %d times", got, len(s.failures()))
	}

	for i := range 9000 { // from as many ports
		c, err := net.DialUDP("udp", &net.UDPAddr{IP: net.IPv4(127, byte(loopback()), 255, byte(1+i%250))}, s.Addr().(*net.UDPAddr))
		if err != nil {
			t.Fatal(err)
		}
		_, _ = c.Write(smallestHello(0, 0))
		_ = c.Close()
		if i%100 == 99 {
			s.settled(t, number, smallestHello(0, 0))
			number++
		}
	}
	silent("one after 9,000 others", smallestHello(0, 0))
}
