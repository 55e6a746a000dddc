//go:build firmware

package wire

import (
	"bufio"
	"bytes"
	"encoding/binary"
	"io"
	"math/rand/v2"
	"os"
	"os/exec"
	"testing"
)

// besideKinds are the kinds of messages, in the order of their numbers in firmware/test/messages.h.
var besideKinds = []string{"scan", "act", "verdict", "command", "state", "receipt"}

// body is a body that both parsers get.
type body struct {
	kind int
	b    []byte
}

// bodies makes bodies from the vectors, by truncation, changes and additions.
type bodies struct {
	*rand.Rand
	seeds [][][]byte // by kind
}

func newBodies(t *testing.T, seed uint64) *bodies {
	g := &bodies{Rand: rand.New(rand.NewPCG(seed, 16)), seeds: make([][][]byte, len(besideKinds))}
	for _, v := range readVectors(t) {
		for kind, name := range besideKinds {
			if v.words[0] == name {
				g.seeds[kind] = append(g.seeds[kind], v.parseBody(t))
			}
		}
	}
	return g
}

func (g *bodies) next() body {
	kind := g.IntN(len(besideKinds))
	from := kind
	if g.IntN(8) == 0 { // a body of another message
		from = g.IntN(len(besideKinds))
	}
	b := bytes.Clone(g.seeds[from][g.IntN(len(g.seeds[from]))])
	for range g.IntN(4) {
		b = g.change(b)
	}
	return body{kind, b}
}

// change makes one change to b: in half of the cases it adds a member to the outer map.
func (g *bodies) change(b []byte) []byte {
	if len(b) == 0 {
		return []byte{byte(g.Uint32())}
	}
	at := g.IntN(len(b))
	switch g.IntN(10) {
	case 0:
		b[at] = byte(g.Uint32())
	case 1:
		b[at] ^= 1 << g.IntN(8)
	case 2:
		b = append(b[:at:at], append([]byte{byte(g.Uint32())}, b[at:]...)...)
	case 3:
		b = append(b[:at:at], b[at+1:]...)
	case 4:
		b = b[:at]
	default:
		return g.grow(b)
	}
	return b
}

// grow appends a member to b, if b is a map.
func (g *bodies) grow(b []byte) []byte {
	major, pairs, rest, ok := head(b)
	if !ok || major != majorMap || pairs > 1000 {
		return b
	}
	member := appendHead(nil, majorUint, uint64(g.IntN(64)))
	if g.IntN(4) == 0 {
		member = appendHead(nil, majorUint, g.Uint64()>>g.IntN(64))
	}
	member = g.value(member, 0)
	return append(append(appendHead(nil, majorMap, pairs+1), rest...), member...)
}

// utf8Bytes are bytes that sometimes form valid UTF-8.
const utf8Bytes = "a\xc3\xa9\xe2\x82\xac\xf0\x90\xed\x80\xbf"

func (g *bodies) value(b []byte, depth int) []byte {
	switch g.IntN(9) {
	case 0, 1:
		return appendHead(b, byte(g.IntN(2))<<5, g.Uint64()>>g.IntN(64))
	case 2, 3:
		n := g.IntN(6)
		b = appendHead(b, majorBytes+byte(g.IntN(2))<<5, uint64(n))
		for range n {
			c := byte(g.Uint32())
			if g.IntN(2) == 0 {
				c = utf8Bytes[g.IntN(len(utf8Bytes))]
			}
			b = append(b, c)
		}
		return b
	case 4:
		return append(b, cborFalse+byte(g.IntN(2)))
	case 5:
		return append(b, byte(g.Uint32()))
	case 6:
		return appendHead(b, byte(g.IntN(8))<<5, g.Uint64()>>g.IntN(64))
	}
	n := g.IntN(4)
	b = appendHead(b, majorArray, uint64(n))
	for range n {
		if depth < 3 {
			b = g.value(b, depth+1)
		} else {
			b = append(b, 0)
		}
	}
	return b
}

// The firmware's parsers accept and refuse the same bodies as the parsers in Go, and get the same
// values from them.
func TestFirmwareParsesTheSame(t *testing.T) {
	const path, n = "../../firmware/build/san/beside_wire", 400_000
	if _, err := os.Stat(path); err != nil {
		t.Fatalf("%v: make -C firmware beside builds it", err)
	}
	cmd := exec.Command(path)
	in, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	cmd.Stderr = os.Stderr
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	seed := rand.Uint64()
	t.Logf("seed %d", seed)
	send, check := newBodies(t, seed), newBodies(t, seed)
	go func() {
		w := bufio.NewWriter(in)
		for range n {
			x := send.next()
			_, _ = w.Write(binary.BigEndian.AppendUint16([]byte{byte(x.kind)}, uint16(len(x.b))))
			_, _ = w.Write(x.b)
		}
		_ = w.Flush() // if the program has ended, reading its output fails
		_ = in.Close()
	}()
	var good, grown [6]int
	r := bufio.NewReader(out)
	for range n {
		x := check.next()
		var theirs []byte
		size, err := r.ReadByte()
		if err == nil {
			theirs = make([]byte, size)
			_, err = io.ReadFull(r, theirs)
		}
		if err != nil {
			t.Fatalf("%s %x: the firmware's program ended: %v, %v", besideKinds[x.kind], x.b, err, cmd.Wait())
		}
		ours := []byte{}
		if m, err := parsers[besideKinds[x.kind]](CBOR, x.b); err == nil {
			if ours, err = m.Encode(CBOR); err != nil {
				t.Fatal(err)
			}
			good[x.kind]++
			if len(ours) < len(x.b) {
				grown[x.kind]++
			}
		}
		if !bytes.Equal(ours, theirs) {
			t.Fatalf("%s %x: got %x, the firmware %x", besideKinds[x.kind], x.b, ours, theirs)
		}
	}
	if err := cmd.Wait(); err != nil {
		t.Error(err)
	}
	t.Logf("%d bodies: accepted %v, with elective members %v, in the order of %v", n, good, grown,
		besideKinds)
	for kind, name := range besideKinds {
		if grows := name == "verdict" || name == "state" || name == "receipt"; good[kind] < n/200 ||
			grows != (grown[kind] > n/1000) {
			t.Errorf("%s: %d accepted, %d with elective members: the comparison shows little", name,
				good[kind], grown[kind])
		}
	}
}
