package ccm

import (
	"bufio"
	"bytes"
	"crypto/aes"
	"crypto/des" //nolint:gosec // a cipher with other blocks
	"encoding/hex"
	"errors"
	"os"
	"strconv"
	"strings"
	"sync"
	"testing"

	pion "github.com/pion/dtls/v3/pkg/crypto/ccm"
)

type testCase struct {
	tag                       int
	key, nonce, data, message []byte
	flip                      int // the bit that is flipped, modulo the number of bits
}

// check seals as p and pion do, and opens that and nothing that differs in one bit.
func (c testCase) check(t *testing.T, p *peers) {
	t.Helper()
	block := must(aes.NewCipher(c.key))
	m, s := must(New(block, c.tag, len(c.nonce))), new(Scratch)
	sealed := m.Seal([]byte("before"), c.nonce, c.message, c.data, s)
	if !bytes.HasPrefix(sealed, []byte("before")) {
		t.Fatalf("the bytes before were changed: %q", sealed[:6])
	}
	sealed = sealed[6:]

	openssl, mbedtls, err := p.seal(c.tag, c.key, c.nonce, c.data, c.message)
	if err != nil {
		t.Fatal(err)
	}
	for name, want := range map[string][]byte{"OpenSSL": openssl, "Mbed TLS": mbedtls,
		"pion": must(pion.NewCCM(block, c.tag, len(c.nonce))).Seal(nil, c.nonce, c.message, c.data)} {
		if !bytes.Equal(sealed, want) {
			t.Fatalf("%+v: got %x, %s has %x", c, sealed, name, want)
		}
	}

	out := bytes.Repeat([]byte{0xaa}, len(c.message)+3)
	if got, err := m.Open(out[:0], c.nonce, sealed, c.data, s); err != nil || !bytes.Equal(got, c.message) {
		t.Fatalf("%+v: opened as %x, %v", c, got, err)
	}
	bit := c.flip % (8 * len(sealed))
	sealed[bit/8] ^= 1 << (bit % 8)
	c.refuse(t, &m, sealed, s)
}

// refuse checks that sealed is not opened and that no byte of it is left in the buffer.
func (c testCase) refuse(t *testing.T, m *Mode, sealed []byte, s *Scratch) {
	t.Helper()
	before := bytes.Clone(sealed)
	out := bytes.Repeat([]byte{0xaa}, len(sealed))
	if got, err := m.Open(out[:0], c.nonce, sealed, c.data, s); !errors.Is(err, ErrOpen) || got != nil {
		t.Fatalf("%+v: opened %x as %x, %v", c, sealed, got, err)
	}
	if size := max(len(sealed)-m.TagSize(), 0); !bytes.Equal(out[:size], make([]byte, size)) {
		t.Fatalf("%+v: %x is left in the buffer", c, out[:size])
	}
	if !bytes.Equal(sealed, before) {
		t.Fatalf("%+v: the sealed bytes were changed", c)
	}
}

func TestVectorsOfRFC3610(t *testing.T) {
	text, err := os.ReadFile("testdata/rfc3610.txt")
	if err != nil {
		t.Fatal(err)
	}
	count := 0
	for line := range strings.Lines(string(text)) {
		if strings.HasPrefix(line, "#") {
			continue
		}
		f := strings.Fields(line)
		count++
		c := testCase{tag: must(strconv.Atoi(f[2])), key: unhex(f[0]), nonce: unhex(f[1]), data: unhex(f[3]),
			message: unhex(f[4])}
		c.compare(t, unhex(f[5]))
	}
	if count != 24 {
		t.Errorf("got %d vectors, want 24", count)
	}
}

// compare checks the result of sealing, and that each bit of it counts.
func (c testCase) compare(t *testing.T, want []byte) {
	t.Helper()
	m, s := must(New(must(aes.NewCipher(c.key)), c.tag, len(c.nonce))), new(Scratch)
	if got := m.Seal(nil, c.nonce, c.message, c.data, s); !bytes.Equal(got, want) {
		t.Fatalf("%+v: got %x, want %x", c, got, want)
	}
	// In place, as a record is sealed.
	room := append(make([]byte, 0, len(want)), c.message...)
	if got := m.Seal(room[:0], c.nonce, room, c.data, s); !bytes.Equal(got, want) || &got[0] != &room[:1][0] {
		t.Fatalf("%+v: in place: got %x, want %x", c, got, want)
	}
	if got, err := m.Open(nil, c.nonce, want, c.data, s); err != nil || !bytes.Equal(got, c.message) {
		t.Fatalf("%+v: opened as %x, %v", c, got, err)
	}
	for bit := range 8 * len(want) {
		want[bit/8] ^= 1 << (bit % 8)
		c.refuse(t, &m, want, s)
		want[bit/8] ^= 1 << (bit % 8)
	}
	for bit := range 8 * len(c.data) {
		c.data[bit/8] ^= 1 << (bit % 8)
		c.refuse(t, &m, want, s)
		c.data[bit/8] ^= 1 << (bit % 8)
	}
	for bit := range 8 * len(c.nonce) {
		c.nonce[bit/8] ^= 1 << (bit % 8)
		c.refuse(t, &m, want, s)
		c.nonce[bit/8] ^= 1 << (bit % 8)
	}
	for n := range want {
		c.refuse(t, &m, want[:n], s)
	}
}

// The files of NIST's validation program (CAVP, "CCM Test Vectors", CAVS 11.0), whole and unchanged:
// variable nonces, variable tags, and decryption with verification, some of which must fail.
func TestVectorsOfNIST(t *testing.T) {
	for name, want := range map[string][2]int{"VNT128": {70, 0}, "VTT128": {70, 0}, "DVPT128": {80, 160}} {
		passed, failed := runNIST(t, "testdata/"+name+".rsp")
		if got := [2]int{passed, failed}; got != want {
			t.Errorf("%s: got %d that fit and %d that do not, want %v", name, passed, failed, want)
		}
	}
}

func runNIST(t *testing.T, path string) (passed, failed int) {
	t.Helper()
	f, err := os.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	v := map[string]string{}
	get := func(name string) int { return must(strconv.Atoi(v[name])) }
	bytesOf := func(name string, size int) []byte { return unhex(v[name])[:size] } // "00" stands for nothing
	run := func(fits bool) {
		c := testCase{tag: get("Tlen"), key: unhex(v["Key"]), nonce: bytesOf("Nonce", get("Nlen")),
			data: bytesOf("Adata", get("Alen"))}
		sealed := bytesOf("CT", get("Plen")+get("Tlen"))
		if fits {
			c.message = bytesOf("Payload", get("Plen"))
			c.compare(t, sealed)
			passed++
			return
		}
		m := must(New(must(aes.NewCipher(c.key)), c.tag, len(c.nonce)))
		c.refuse(t, &m, sealed, new(Scratch))
		failed++
	}
	for lines := bufio.NewScanner(f); lines.Scan(); {
		line := strings.Trim(lines.Text(), "[]")
		if strings.HasPrefix(line, "#") || line == "" {
			continue
		}
		for part := range strings.SplitSeq(line, ", ") {
			name, value, ok := strings.Cut(part, " = ")
			if !ok {
				t.Fatalf("%s: %q", path, line)
			}
			v[name] = value
			_, decrypts := v["Result"]
			switch {
			case name == "CT" && !strings.Contains(path, "DVPT"):
				run(true)
			case name == "Result" && value == "Fail":
				run(false)
			case name == "Payload" && decrypts: // only where the result is Pass
				run(true)
			}
		}
	}
	return passed, failed
}

func TestNewRefuses(t *testing.T) {
	block := must(aes.NewCipher(make([]byte, 16)))
	for _, sizes := range [][2]int{{2, 12}, {3, 12}, {5, 12}, {18, 12}, {0, 12}, {8, 6}, {8, 14}, {-8, 12}} {
		if _, err := New(block, sizes[0], sizes[1]); err == nil {
			t.Errorf("tag and nonce of %v bytes: got no error", sizes)
		}
	}
	if _, err := New(must(des.NewCipher(make([]byte, 8))), 8, 12); err == nil {
		t.Error("blocks of 8 bytes: got no error")
	}
}

func TestBounds(t *testing.T) {
	m, s := must(New(must(aes.NewCipher(make([]byte, 16))), 8, 12)), new(Scratch)
	nonce := make([]byte, 12)
	if got := m.Seal(nil, nonce, make([]byte, MaxMessage), make([]byte, MaxData), s); len(got) != MaxMessage+8 {
		t.Errorf("the longest: got %d bytes", len(got))
	}
	if _, err := m.Open(nil, nonce, make([]byte, MaxMessage+1+8), nil, s); !errors.Is(err, ErrOpen) {
		t.Errorf("too long: got %v", err)
	}
	for name, f := range map[string]func(){
		"message too long": func() { m.Seal(nil, nonce, make([]byte, MaxMessage+1), nil, s) },
		"data too long":    func() { m.Seal(nil, nonce, nil, make([]byte, MaxData+1), s) },
		"nonce too short":  func() { m.Seal(nil, nonce[:11], nil, nil, s) },
		"nonce too long":   func() { _, _ = m.Open(nil, make([]byte, 13), make([]byte, 8), nil, s) },
	} {
		func() {
			defer func() {
				if recover() == nil {
					t.Errorf("%s: no panic", name)
				}
			}()
			f()
		}()
	}
}

func TestNothingAllocated(t *testing.T) {
	m, s := must(New(must(aes.NewCipher(make([]byte, 16))), 8, 12)), new(Scratch)
	nonce, message, data := make([]byte, 12), make([]byte, 150), make([]byte, 13)
	out, back := make([]byte, 0, 200), make([]byte, 0, 200)
	if n := testing.AllocsPerRun(100, func() {
		sealed := m.Seal(out, nonce, message, data, s)
		if _, err := m.Open(back, nonce, sealed, data, s); err != nil {
			t.Fatal(err)
		}
		sealed[0]++
		if _, err := m.Open(back, nonce, sealed, data, s); err == nil {
			t.Fatal("opened")
		}
	}); n != 0 {
		t.Errorf("got %v allocations, want 0", n)
	}
}

// One Mode serves several goroutines, each with its own Scratch.
func TestConcurrent(t *testing.T) {
	m := must(New(must(aes.NewCipher(make([]byte, 16))), 8, 12))
	var wg sync.WaitGroup
	for i := range 4 {
		wg.Go(func() {
			s, message := new(Scratch), bytes.Repeat([]byte{byte(i)}, 50)
			nonce := append(make([]byte, 11), byte(i))
			for range 200 {
				sealed := m.Seal(nil, nonce, message, nonce, s)
				if got, err := m.Open(nil, nonce, sealed, nonce, s); err != nil || !bytes.Equal(got, message) {
					t.Errorf("got %x, %v", got, err)
				}
			}
		})
	}
	wg.Wait()
}

func unhex(s string) []byte { return must(hex.DecodeString(s)) }
