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

	"latchkey/coapres/transport/limits"
	"latchkey/coapres/transport/record"
)

// passerby is a socket with an address of its own, so that no limit of a source suppresses an
// answer to it.
type passerby struct {
	*net.UDPConn
	sent, datagrams int // bytes and datagrams that it sent to the gateway
}

// newPasserby makes the passerby with this number, which determines its address.
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

// takeAnswers returns the datagrams that have arrived, without waiting.
func (s *passerby) takeAnswers(t *testing.T) (all [][]byte) {
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

// awaitFirstAnswer sends b and returns the first answer.
func (s *passerby) awaitFirstAnswer(t *testing.T, b []byte) []byte {
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

// waitUntilRead waits until the gateway has read everything that was sent to it before. It sends
// ask, which gets a hint or a cookie.
func (s *site) waitUntilRead(t *testing.T, number int, ask []byte) {
	t.Helper()
	last := newPasserby(t, number, s.Addr())
	defer last.Close()
	last.awaitFirstAnswer(t, ask)
}

// makeSmallestHello makes a ClientHello with only the mandatory fields.
func makeSmallestHello(number byte, cookie int) []byte {
	body := append([]byte{0xfe, 0xfd}, make([]byte, 32)...)
	body = append(body, 0, byte(cookie))
	body = append(body, make([]byte, cookie)...)
	body = append(body, 0, 2, 0xc0, 0xa8, 1, 0)
	n := byte(len(body))
	r := []byte{record.Handshake, 0xfe, 0xfd, 0, 0, 0, 0, 0, 0, 0, 9, 0, record.HandshakeHeaderSize + n,
		record.ClientHello, 0, 0, n, 0, number, 0, 0, 0, 0, 0, n}
	return append(r, body...)
}

// trial is a datagram that a passerby sends.
type trial struct {
	rule string
	b    []byte
	hint bool // whether a hint must answer it
}

// eachKind calls f for records of every known type and of some unknown ones, in every epoch that
// some rule treats differently. one has 30 bytes, of makes one of another size, and data tells
// whether it is application data of a session.
func eachKind(f func(name string, one []byte, of func(size int) []byte, data bool)) {
	for _, typ := range []byte{0, 19, record.ChangeCipherSpec, record.Alert, record.Handshake,
		record.ApplicationData, 24, record.TLS12CID, 26, 27, 0x3f, 255} {
		for _, epoch := range []uint16{0, 1, 2, 256, 65535} {
			of := func(size int) []byte {
				r := newRecord(typ, 0, size)
				binary.BigEndian.PutUint16(r[3:], epoch)
				return r
			}
			f(fmt.Sprintf("type %d, epoch %d", typ, epoch), of(30), of,
				(typ == record.ApplicationData || typ == record.TLS12CID) && epoch > 0)
		}
	}
}

// listTrialsWithoutHello returns datagrams of such records: single ones of each critical length,
// several together, damaged ones, and each handshake message but a hello.
func listTrialsWithoutHello() (all []trial) {
	add := func(hint bool, rule string, b ...[]byte) {
		all = append(all, trial{rule, bytes.Join(b, nil), hint})
	}
	eachKind(func(name string, one []byte, of func(int) []byte, data bool) {
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

// listTrialsWithHello returns hellos, and datagrams of such records beside a hello.
func listTrialsWithHello() (all []trial) {
	add := func(rule string, b ...[]byte) { all = append(all, trial{rule, bytes.Join(b, nil), false}) }
	hello := makeSmallestHello(0, 0)
	eachKind(func(name string, one []byte, _ func(int) []byte, _ bool) {
		add(name+", after a hello", hello, one)
		add(name+", before a hello", one, hello)
	})
	add("the smallest hello", hello)
	add("a hello with an expired cookie", makeSmallestHello(1, record.CookieSize))
	add("a truncated hello", hello[:60])
	empty := bytes.Clone(record.HelloRequest)
	empty[record.HeaderSize] = record.ClientHello
	add("a hello without a body", empty)
	return all
}

// Nobody gets more bytes or more datagrams than he sent. Only application data is answered with a
// hint. No answer of one gateway makes a second gateway answer.
func TestNoAnswerIsLongerThanItsDatagram(t *testing.T) {
	second := startSite(t, Config{}, answerEcho)
	for _, part := range []struct {
		name   string
		trials []trial
		last   []byte // gets an answer, and is no trial of this part
	}{{"no hello", listTrialsWithoutHello(), newRecord(record.ApplicationData, 1, 25)},
		{"hellos", listTrialsWithHello(), makeSmallestHello(0, 0)}} {
		t.Run(part.name, func(t *testing.T) {
			s := startSite(t, Config{}, answerEcho)
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
				s.waitUntilRead(t, number, part.last)
				number++
				for i, c := range batch {
					bytesOut, isHint, answers := 0, false, from[i].takeAnswers(t)
					for _, a := range answers {
						bytesOut += len(a)
						isHint = isHint || record.IsHelloRequest(a)
						passOn(t, second, number, a)
					}
					if isHint != c.hint || len(answers) > 1 || bytesOut > from[i].sent {
						t.Errorf("%s: got %d answers of %d bytes to %d, a hint: %v, want at most one, and no longer than that, a hint: %v",
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
	second.waitUntilRead(t, 0, newRecord(record.ApplicationData, 1, 25))
	if got := second.Stats(); got.Hints != 1 || got.Cookies != 0 {
		t.Errorf("the second gateway has sent %d hints and %d cookies, want only the hint that waitUntilRead asked for",
			got.Hints, got.Cookies)
	}
}

// passOn sends an answer of one gateway to another gateway, as if the first one had sent it there.
func passOn(t *testing.T, at *site, number int, answer []byte) {
	t.Helper()
	c := newPasserby(t, number, at.Addr())
	defer c.Close()
	c.send(t, answer)
}

// After a hello of any kind no hint goes to its address, even if the gateway refuses the hello, and
// however many other hellos have come.
func TestEveryHelloKeepsHintsAway(t *testing.T) {
	s := startSite(t, Config{HandshakeRate: 1}, answerEcho)
	number := 0
	settle := func() { s.waitUntilRead(t, number, makeSmallestHello(0, 0)); number++ }
	wantNoHint := func(rule string, hello ...[]byte) {
		t.Helper()
		c := newPasserby(t, number, s.Addr())
		defer c.Close()
		number++
		for _, b := range append(hello, newRecord(record.ApplicationData, 1, 60),
			newRecord(record.TLS12CID, 1, 60)) {
			c.send(t, b)
		}
		settle()
		for _, a := range c.takeAnswers(t) {
			if record.IsHelloRequest(a) {
				t.Errorf("%s: got a hint", rule)
			}
		}
	}
	wantNoHint("a first hello", makeSmallestHello(0, 0))
	wantNoHint("one with an expired cookie", makeSmallestHello(1, record.CookieSize))
	fragment := makeSmallestHello(0, 0)
	fragment[record.HeaderSize+3]++
	wantNoHint("a fragment", fragment)
	malformed := makeSmallestHello(0, 0)
	malformed[len(malformed)-2] = 9
	wantNoHint("one that cannot be read", malformed)

	busy := newPasserby(t, number, s.Addr()) // it returns its cookie and is refused for lack of budget
	defer busy.Close()
	number++
	second := makeSmallestHello(1, record.CookieSize)
	verify := busy.awaitFirstAnswer(t, makeSmallestHello(0, 0))
	copy(second[record.HeaderSize+record.HandshakeHeaderSize+36:], verify[len(verify)-record.CookieSize:])
	s.Listener.mu.Lock()
	s.Listener.budget, s.Listener.hints = limits.NewBudget(0), limits.NewHints(time.Now())
	s.Listener.mu.Unlock()
	busy.send(t, second)
	busy.send(t, newRecord(record.ApplicationData, 1, 60))
	settle()
	if got := busy.takeAnswers(t); len(got) != 0 || len(s.listFailures()) == 0 {
		t.Errorf("one above the budget: got %x and %d failures, want no answer and a failure", got,
			len(s.listFailures()))
	}

	for i := range 9000 { // each from a port of its own
		c, err := net.DialUDP("udp", &net.UDPAddr{IP: net.IPv4(127, byte(loopback()), 255, byte(1+i%250))},
			s.Addr().(*net.UDPAddr))
		if err != nil {
			t.Fatal(err)
		}
		_, _ = c.Write(makeSmallestHello(0, 0))
		_ = c.Close()
		if i%100 == 99 {
			s.waitUntilRead(t, number, makeSmallestHello(0, 0))
			number++
		}
	}
	wantNoHint("one after 9,000 others", makeSmallestHello(0, 0))
}
