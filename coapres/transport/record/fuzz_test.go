package record

import (
	"bytes"
	"encoding/binary"
	"encoding/hex"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// readSessions calls f with each datagram of the sessions that OpenSSL and Mbed TLS had alone.
func readSessions(t testing.TB, f func(b []byte)) {
	t.Helper()
	files, err := filepath.Glob("protect/testdata/sessions/*.txt")
	if err != nil || len(files) == 0 {
		t.Fatalf("got %v, %v, want sessions", files, err)
	}
	for _, file := range files {
		b, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		for line := range strings.Lines(string(b)) {
			text, ok := strings.CutPrefix(line, "> ")
			if !ok {
				if text, ok = strings.CutPrefix(line, "< "); !ok {
					continue
				}
			}
			b, err := hex.DecodeString(strings.TrimSpace(text))
			if err != nil {
				t.Fatalf("%s: %v", file, err)
			}
			f(b)
		}
	}
}

// Whatever a datagram contains, its records are the datagram again, a hello has no part outside its
// record, and a cookie is valid for one address only.
func FuzzSplit(f *testing.F) {
	readSessions(f, func(b []byte) {
		f.Add(b)
		f.Add(b[:len(b)-1])
		f.Add(append(bytes.Clone(b), 23))
		if h, err := ParseHello(b); err == nil {
			for at := range h.Record { // each length that does not fit, among others
				changed := bytes.Clone(b)
				changed[at] ^= 0x81
				f.Add(changed)
			}
			f.Add(h.First())
			longer := append(bytes.Clone(b), 0) // a byte behind the extensions
			longer[HeaderSize-1]++
			longer[HeaderSize+3]++
			longer[HeaderSize+11]++
			f.Add(longer)
		}
	})
	f.Add(HelloRequest)
	now := time.Now()
	one, other := netip.MustParseAddrPort("192.0.2.1:5684"), netip.MustParseAddrPort("[2001:db8::1]:5684")
	f.Fuzz(func(t *testing.T, b []byte) {
		rest, all := b, 0
		for len(rest) > 0 {
			r, more, ok := Split(rest)
			if !ok {
				break
			}
			if len(r) < HeaderSize || !bytes.Equal(rest, append(bytes.Clone(r), more...)) {
				t.Fatalf("%x: got the record %x and %x", rest, r, more)
			}
			all += len(r)
			rest = more
			if IsLost(r) && (len(r) < len(HelloRequest) || !IsEncrypted(r) || IsHelloRequest(r)) {
				t.Errorf("%x may be answered with a HelloRequest", r)
			}
			if r[0] != Handshake || len(r) == HeaderSize {
				continue
			}
			if typ, _, ok := ParseHandshake(r); ok && typ != r[HeaderSize] {
				t.Errorf("%x: got the handshake type %d", r, typ)
			}
			if r[HeaderSize] == ClientHello {
				checkHello(t, r, one, other, now)
			}
		}
		if all+len(rest) != len(b) {
			t.Errorf("got %d bytes of records and %d left, want %d", all, len(rest), len(b))
		}
	})
}

func checkHello(t *testing.T, r []byte, one, other netip.AddrPort, now time.Time) {
	t.Helper()
	before := bytes.Clone(r)
	h, err := ParseHello(r)
	if want := isWholeHello(r); (err == nil) != want {
		t.Fatalf("%x: got %v, want a hello: %v", r, err, want)
	}
	if err != nil {
		return
	}
	again := Hello{Record: bytes.Clone(r)}
	again.Record[HeaderSize-3] ^= 1 // another number
	if h.Digest() != again.Digest() {
		t.Errorf("%x: the same message in another record has another digest", r)
	}
	if !bytes.Equal(h.Record, r) || !bytes.Contains(r, h.Cookie) {
		t.Errorf("%x: got %+v", r, h)
	}
	if random := h.Random(); !bytes.Contains(r, random[:]) {
		t.Errorf("%x: got the random %x", r, random)
	}
	c := NewCookies(now)
	request := bytes.Clone(c.MakeRequest(one, h, now))
	if len(request) > len(r) {
		t.Errorf("%d bytes are answered with %d", len(r), len(request))
	}
	if c.IsValid(one, h, now) {
		t.Errorf("%x: its cookie is valid", r)
	}
	back := h
	back.Cookie = request[len(request)-CookieSize:]
	if !c.IsValid(one, back, now) || c.IsValid(other, back, now) {
		t.Error("the cookie that was sent is valid for another address, or not for its own")
	}
	if !c.IsValid(one, back, now.Add(cookieLife)) || c.IsValid(one, back, now.Add(10*cookieLife)) {
		t.Error("the cookie that was sent is valid for too short or too long")
	}
	if len(h.Cookie) == CookieSize {
		first, err := ParseHello(h.First())
		if err != nil || len(first.Cookie) != 0 || first.Random() != h.Random() {
			t.Errorf("%x: the hello before it: got %+v, %v", r, first, err)
		}
	}
	if !bytes.Equal(r, before) {
		t.Errorf("%x was changed to %x", before, r)
	}
}

// isWholeHello tells, by another parser, whether a record is one ClientHello and nothing else.
func isWholeHello(r []byte) bool {
	if _, _, ok := ParseHandshake(r); !ok {
		return false
	}
	in, fits := r[HeaderSize+HandshakeHeaderSize:], true
	take := func(n int) []byte {
		if fits = fits && n <= len(in); !fits {
			return make([]byte, 2)
		}
		b := in[:n]
		in = in[n:]
		return b
	}
	take(2 + 32)                                          // version, random
	take(int(take(1)[0]))                                 // session ID
	take(int(take(1)[0]))                                 // cookie
	suites := take(int(binary.BigEndian.Uint16(take(2)))) // two bytes each
	compression := take(int(take(1)[0]))
	if len(in) > 0 {
		take(int(binary.BigEndian.Uint16(take(2)))) // extensions
	}
	return fits && len(in) == 0 && len(suites) >= 2 && len(suites)%2 == 0 && len(compression) >= 1
}
