package record

import (
	"bytes"
	"encoding/binary"
	"errors"
	"testing"
)

// makeHello makes the smallest ClientHello: one suite, no extensions.
func makeHello(number byte, cookie []byte) []byte {
	body := append([]byte{0xfe, 0xfd}, bytes.Repeat([]byte{7}, 32)...)
	body = append(body, 0, byte(len(cookie)))
	body = append(body, cookie...)
	body = append(body, 0, 2, 0xc0, 0xa8, 1, 0)
	n := byte(len(body))
	r := []byte{Handshake, 0xfe, 0xff, 0, 0, 0, 0, 0, 0, 0, number, 0, HandshakeHeaderSize + n,
		ClientHello, 0, 0, n, 0, number, 0, 0, 0, 0, 0, n}
	return append(r, body...)
}

func TestParseHello(t *testing.T) {
	whole := makeHello(1, []byte("cookie"))
	h, err := ParseHello(whole)
	if err != nil || string(h.Cookie) != "cookie" || h.Number != 1 || h.Sequence != 1 {
		t.Fatalf("got %+v, %v", h, err)
	}
	if got := h.First(); !bytes.Equal(got, makeHello(0, nil)) {
		t.Errorf("the first hello: got % x", got)
	}
	for name, tc := range map[string]struct {
		change func(r []byte) []byte
		want   error
	}{
		"truncated":        {func(r []byte) []byte { return r[:len(r)-1] }, errFragmented},
		"a fragment":       {func(r []byte) []byte { r[HeaderSize+3]++; return r }, errFragmented},
		"a later fragment": {func(r []byte) []byte { r[HeaderSize+8] = 1; return r }, errFragmented},
		"two messages": {func(r []byte) []byte { return append(r, r[HeaderSize:]...) },
			errFragmented},
		"only a header": {func(r []byte) []byte { return r[:HeaderSize+5] }, errFragmented},
		"a session id too long": {func(r []byte) []byte { r[HeaderSize+HandshakeHeaderSize+34] = 200; return r },
			errMalformed},
		"a cookie too long": {func(r []byte) []byte { r[HeaderSize+HandshakeHeaderSize+35] = 200; return r },
			errMalformed},
		"no suites":                   {func(r []byte) []byte { r[len(r)-5] = 0; return r }, errMalformed},
		"half a suite":                {func(r []byte) []byte { r[len(r)-5] = 3; return r }, errMalformed},
		"no compression methods":      {func(r []byte) []byte { r[len(r)-2] = 0; return r }, errMalformed},
		"half a length of extensions": {func(r []byte) []byte { return lengthen(r, 1) }, errMalformed},
		"truncated extensions": {func(r []byte) []byte {
			r = lengthen(r, 2)
			r[len(r)-1] = 9
			return r
		}, errMalformed},
		"bytes after its end":         {func(r []byte) []byte { return lengthen(r, 3) }, errMalformed},
		"an empty list of extensions": {func(r []byte) []byte { return lengthen(r, 2) }, nil},
	} {
		if _, err := ParseHello(tc.change(bytes.Clone(whole))); !errors.Is(err, tc.want) {
			t.Errorf("%s: got %v, want %v", name, err, tc.want)
		}
	}
}

// lengthen adds n zero bytes to a hello, in all its lengths.
func lengthen(r []byte, n int) []byte {
	r = append(r, make([]byte, n)...)
	binary.BigEndian.PutUint16(r[11:], uint16(len(r)-HeaderSize))
	r[HeaderSize+3], r[HeaderSize+11] = byte(len(r)-HeaderSize-HandshakeHeaderSize),
		byte(len(r)-HeaderSize-HandshakeHeaderSize)
	return r
}

func TestSplitRecord(t *testing.T) {
	plain := []byte{23, 0xfe, 0xfd, 0, 1, 0, 0, 0, 0, 0, 1, 0, 2, 'a', 'b'}
	withCID := append([]byte{TLS12CID, 0xfe, 0xfd, 0, 1, 0, 0, 0, 0, 0, 1, 1, 2, 3, 4, 5, 6, 7, 8, 0, 1}, 'c')
	both := append(bytes.Clone(plain), withCID...)
	r, rest, ok := Split(both)
	if !ok || !bytes.Equal(r, plain) || !bytes.Equal(rest, withCID) {
		t.Fatalf("got % x, % x, %v", r, rest, ok)
	}
	if r, rest, ok = Split(rest); !ok || !bytes.Equal(r, withCID) || len(rest) != 0 {
		t.Errorf("got % x, % x, %v", r, rest, ok)
	}
	for i := range plain {
		if _, _, ok := Split(plain[:i]); ok {
			t.Errorf("its first %d bytes: got a record", i)
		}
	}
	for i := range withCID {
		if _, _, ok := Split(withCID[:i]); ok {
			t.Errorf("the first %d bytes of one with a CID: got a record", i)
		}
	}
	for _, version := range [][2]byte{{3, 3}, {0xfe, 0xfc}, {0, 0}} {
		if _, _, ok := Split(append([]byte{23, version[0], version[1]}, plain[3:]...)); ok {
			t.Errorf("version %x: got a record", version)
		}
	}
}
