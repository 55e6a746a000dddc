package ccm

import (
	"bufio"
	"bytes"
	"encoding/hex"
	"fmt"
	"io"
	"math/rand/v2"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// peers is a process that seals with OpenSSL and with Mbed TLS.
type peers struct {
	in  io.Writer
	out *bufio.Reader
}

// startPeers compiles and starts it. It fails the test if that is not possible, because a skipped
// test proves nothing.
func startPeers(t testing.TB) *peers {
	t.Helper()
	path := filepath.Join(t.TempDir(), "peers")
	if out, err := exec.Command("gcc", "-Wall", "-Wextra", "-o", path, "testdata/peers.c",
		"-l:libcrypto.so.3", "-lmbedcrypto").CombinedOutput(); err != nil {
		t.Fatalf("install gcc, openssl and libmbedtls-dev: %v\n%s", err, out)
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
	var complaint bytes.Buffer
	cmd.Stderr = &complaint
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = in.Close()
		if err := cmd.Wait(); err != nil {
			t.Errorf("peers: %v %s", err, complaint.String())
		}
	})
	return &peers{in: in, out: bufio.NewReader(out)}
}

// seal returns what OpenSSL and Mbed TLS make of a message.
func (p *peers) seal(tag int, key, nonce, data, message []byte) (openssl, mbedtls []byte, err error) {
	dash := func(b []byte) string {
		if len(b) == 0 {
			return "-"
		}
		return hex.EncodeToString(b)
	}
	if _, err := fmt.Fprintln(p.in, tag, dash(key), dash(nonce), dash(data), dash(message)); err != nil {
		return nil, nil, err
	}
	line, err := p.out.ReadString('\n')
	if err != nil {
		return nil, nil, err
	}
	first, second, _ := strings.Cut(strings.TrimSpace(line), " ")
	if openssl, err = hex.DecodeString(first); err != nil {
		return nil, nil, err
	}
	mbedtls, err = hex.DecodeString(second)
	return openssl, mbedtls, err
}

// Every length of message and data up to some blocks, with each size of tag and nonce, is sealed as
// OpenSSL, Mbed TLS and pion do.
func TestSealAsOthers(t *testing.T) {
	p, r := startPeers(t), rand.New(rand.NewChaCha8([32]byte{3}))
	random := func(n int) []byte {
		b := make([]byte, n)
		for i := range b {
			b[i] = byte(r.Uint32())
		}
		return b
	}
	for i := range 1500 {
		size, data := i%200, r.IntN(80)
		if i%50 == 0 {
			size, data = r.IntN(2000), r.IntN(1000)
		}
		c := testCase{tag: 4 + 2*r.IntN(7), key: random(16), nonce: random(7 + r.IntN(7)), data: random(data),
			message: random(size)}
		c.check(t, p)
	}
}

// FuzzMode seals as OpenSSL, Mbed TLS and pion do, opens what it has sealed, and opens it no more
// when one bit is flipped. Its seeds reach every statement except those that refuse sizes.
func FuzzMode(f *testing.F) {
	key := []byte("0123456789abcdef")
	f.Add(uint8(2), key, []byte("0123456789ab"), []byte("record header"), []byte("a scan"), uint16(3))
	f.Add(uint8(6), key, []byte("0123456789ab"), []byte{}, []byte{}, uint16(0))
	f.Add(uint8(0), key, []byte("0123456"), bytes.Repeat([]byte{1}, 30), bytes.Repeat([]byte{2}, 128), uint16(9))
	f.Add(uint8(3), key, []byte("0123456789abc"), []byte{5}, bytes.Repeat([]byte{3}, 300), uint16(40))
	p := startPeers(f)
	f.Fuzz(func(t *testing.T, tag uint8, key, nonce, data, message []byte, flip uint16) {
		if len(key) != 16 || len(nonce) < 7 || len(nonce) > 13 || len(data) > 1000 || len(message) > 2000 {
			return
		}
		c := testCase{tag: 4 + 2*int(tag%7), key: key, nonce: nonce, data: data, message: message, flip: int(flip)}
		c.check(t, p)
	})
}
