package e2e

import (
	"bytes"
	"encoding/hex"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"latchkey/coapres/wire"
	"latchkey/gateway/access"
	"latchkey/gateway/store"
	"latchkey/keys"
	"latchkey/keys/provision"
)

// Debian packages of the programs that others wrote and that we must get on with.
const (
	coapPackage    = "libcoap3-bin"
	opensslPackage = "openssl"
	tsharkPackage  = "tshark"
)

// stockClients are libcoap's test client on both of its TLS libraries.
var stockClients = []string{"coap-client-openssl", "coap-client-gnutls"}

// program fails the test when a program is missing: a test that does not run proves nothing.
func program(t *testing.T, name, pkg string) string {
	t.Helper()
	path, err := exec.LookPath(name)
	if err != nil {
		t.Fatalf("%s is missing: install the Debian package %s", name, pkg)
	}
	return path
}

// output runs a program to its end, for a minute at most, and returns all it printed. The exit
// status says nothing: the test clients exit 0 even when their key is wrong.
func output(t *testing.T, cmd *exec.Cmd) string {
	t.Helper()
	var out bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &out
	finish(t, cmd)
	return out.String()
}

// finish runs cmd and ends it after a minute.
func finish(t *testing.T, cmd *exec.Cmd) {
	t.Helper()
	if err := cmd.Start(); err != nil {
		t.Errorf("%s: %v", cmd.Path, err)
		return
	}
	limit := time.AfterFunc(time.Minute, func() {
		t.Errorf("%s did not end by itself", cmd.Path)
		_ = cmd.Process.Kill()
	})
	defer limit.Stop()
	_ = cmd.Wait()
}

// stock is coap-client with a key.
type stock struct {
	t    *testing.T
	path string
	env  []string
	key  keys.Key
	addr string
	wait string // -B: seconds until it gives up
}

func (d *door) stock(name string, k keys.Key) stock {
	d.t.Helper()
	return stock{t: d.t, path: program(d.t, name, coapPackage), key: k, addr: d.addr, wait: "10"}
}

// call makes one request and returns what the client printed: the payload of an answer, or its code
// alone.
func (s stock) call(path string, args ...string) string {
	s.t.Helper()
	args = append([]string{"-B", s.wait, "-u", string(s.key.ID), "-k", s.key.Secret.Reveal()}, args...)
	cmd := exec.Command(s.path, append(args, "coaps://"+s.addr+path)...)
	cmd.Env = append(os.Environ(), s.env...)
	return strings.TrimSpace(output(s.t, cmd))
}

func (s stock) post(path, body string, args ...string) string {
	s.t.Helper()
	return s.call(path, append([]string{"-m", "post", "-t", strconv.Itoa(int(wire.JSON)), "-e", body},
		args...)...)
}

func scanJSON(n int, uid string) string { return fmt.Sprintf(`{"n":%d,"uid":"%s"}`, n, uid) }

// moved runs f, and fails unless exactly this number of attempts was decided and the lock was
// switched on exactly this often meanwhile.
func (d *door) moved(rule string, decisions, moves int, f func()) {
	d.t.Helper()
	past, before := len(d.timelines()), d.lock.Moves()
	f()
	if got := len(d.timelines()) - past; got != decisions {
		d.t.Errorf("%s: %d attempts were decided, want %d", rule, got, decisions)
	}
	if got := d.lock.Moves() - before; got != moves {
		d.t.Errorf("%s: the lock moved %d times, want %d", rule, got, moves)
	}
}

func (d *door) says(rule string, decisions, moves int, want string, f func() string) {
	d.t.Helper()
	d.moved(rule, decisions, moves, func() {
		if got := f(); got != want {
			d.t.Errorf("%s: got %q, want %q", rule, got, want)
		}
	})
}

// houseOf is a door with its lock, and a lamp and a switch for both.
type houseOf struct {
	*door
	lampKey, switchKey keys.Key
}

func newHouse(t *testing.T) *houseOf {
	t.Helper()
	h := &houseOf{door: newDoor(t, store.Options{})}
	h.lock = h.node("front-lock", keys.KindLock, h.lockKey, h.addr)
	desk := h.target("desk", access.Lamp, 0)
	_, h.lampKey = h.enrol("desk-lamp", keys.KindLamp, desk)
	var hall access.ID
	hall, h.switchKey = h.enrol("hall-switch", keys.KindSwitch, h.id, desk)
	for _, target := range []access.ID{h.id, desk} {
		h.apply(access.Grant{ID: access.NewID(), SubjectKind: access.SubjectDevice, Subject: hall,
			Target: target, Effect: access.Allow,
			Created: time.Now()})
	}
	h.settled()
	return h
}

// A stock client plays a reader and a switch. It has no Echo at first; it answers the 4.01 that
// brings one by itself.
func TestStockClientOpensDoor(t *testing.T) {
	t.Parallel()
	for _, name := range stockClients {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			h := newHouse(t)
			reader, hall := h.stock(name, h.readerKey), h.stock(name, h.switchKey)

			h.says("a scan as JSON", 1, 1, `{"verdict":"granted","last":1}`, func() string {
				return reader.post("/scan", scanJSON(1, "04a1b2c3d4e580"))
			})
			h.says("a non-confirmable scan", 1, 1, `{"verdict":"granted","last":2}`, func() string {
				return reader.post("/scan", scanJSON(2, "04a1b2c3d4e580"), "-N")
			})
			h.says("an unknown card", 1, 0, `{"verdict":"denied","last":3}`, func() string {
				return reader.post("/scan", scanJSON(3, "04a1b2c3d4e581"))
			})
			h.says("an old counter", 1, 0, `{"verdict":"denied","last":3}`, func() string {
				return reader.post("/scan", scanJSON(2, "04a1b2c3d4e581"))
			})
			h.says("what a switch asks", 1, 1, `{"verdict":"granted","last":1}`, func() string {
				return hall.post("/act/front-door", `{"n":1,"action":"unlock"}`)
			})
			h.moved("a scan as CBOR", 1, 1, func() {
				if v := cborScan(t, reader, 4, annsCard); v != (wire.Verdict{Verdict: wire.Granted,
					Last: 4}) {
					t.Errorf("got %+v, want granted", v)
				}
			})
			h.moved("an unknown card as CBOR", 1, 0, func() {
				if v := cborScan(t, reader, 5, []byte{1, 2, 3, 4}); v != (wire.Verdict{Last: 5}) {
					t.Errorf("got %+v, want denied", v)
				}
			})
			h.moved("reading", 0, 0, func() {
				st, err := wire.ParseState(wire.JSON, []byte(hall.call("/act/front-door", "-A", "50")))
				if err != nil || st.ID == 0 {
					t.Errorf("the door's state: got %+v, %v, want that of its last command", st, err)
				}
				links(t, reader, []string{"</rd>", "</report>", "</scan>"})
				links(t, hall, []string{"</rd>", "</report>", "</act/desk>", "</act/front-door>"})
			})
		})
	}
}

// cborScan posts a scan from a file and reads the verdict from another, as it came.
func cborScan(t *testing.T, s stock, n uint64, uid []byte) wire.Verdict {
	t.Helper()
	in, out := filepath.Join(t.TempDir(), "scan"), filepath.Join(t.TempDir(), "verdict")
	body, err := wire.Scan{N: n, UID: uid}.Encode(wire.CBOR)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(in, body, 0o600); err != nil {
		t.Fatal(err)
	}
	printed := s.call("/scan", "-m", "post", "-t", strconv.Itoa(int(wire.CBOR)), "-f", in, "-o", out)
	b, err := os.ReadFile(out)
	if err != nil {
		t.Fatalf("no answer: %v; printed %q", err, printed)
	}
	v, err := wire.ParseVerdict(wire.CBOR, b)
	if err != nil {
		t.Errorf("answer %x: %v", b, err)
	}
	return v
}

// links wants /.well-known/core to name these and no others.
func links(t *testing.T, s stock, want []string) {
	t.Helper()
	var got []string
	core := s.call("/.well-known/core")
	for _, l := range strings.Split(core, ",") {
		href, _, _ := strings.Cut(l, ";")
		got = append(got, href)
	}
	if strings.Join(got, " ") != strings.Join(want, " ") {
		t.Errorf("/.well-known/core: got %s, want links to %v", core, want)
	}
}

// A forbidden request of a stock client gets the right code. Nothing is decided and nothing moves.
func TestStockClientIsRefused(t *testing.T) {
	t.Parallel()
	for _, name := range stockClients {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			h := newHouse(t)
			reader, hall, lamp := h.stock(name, h.readerKey), h.stock(name, h.switchKey),
				h.stock(name, h.lampKey)
			good := scanJSON(1, "04a1b2c3d4e580")
			file := func(size int) string {
				path := filepath.Join(t.TempDir(), "body")
				if err := os.WriteFile(path, bytes.Repeat([]byte("a"), size), 0o600); err != nil {
					t.Fatal(err)
				}
				return path
			}
			for _, tc := range []struct {
				rule, want string
				call       func() string
			}{
				{"a lamp scans no cards", "4.03 this device may not call this",
					func() string { return lamp.post("/scan", good) }},
				{"a reader asks for no target", "4.03 this device may not call this", func() string { return reader.post("/act/front-door", `{"n":1,"action":"unlock"}`) }},
				{"another device's name", "4.03 ep in Uri-Query is not this device's name",
					func() string { return reader.call("/rd?ep=front-lock", "-m", "post") }},
				{"an unknown path", "4.04 no resource at this Uri-Path",
					func() string { return reader.call("/nothing") }},
				{"a target that is not the switch's", "4.04 no such thing for this device", func() string { return hall.post("/act/safe", `{"n":1,"action":"unlock"}`) }},
				{"a wrong method", "4.05 method not allowed here",
					func() string { return reader.call("/scan") }},
				{"another wrong method", "4.05 method not allowed here", func() string { return hall.post("/act/front-door", `{"n":1,"action":"unlock"}`, "-m", "put") }},
				{"an answer in no format of ours", "4.06 no representation for this Accept",
					func() string { return reader.call("/.well-known/core", "-A", "50") }},
				{"a body in no format of ours", "4.15 unknown Content-Format",
					func() string { return reader.call("/scan", "-m", "post", "-t", "0", "-e", good) }},
				{"malformed JSON", "4.00 scan: not one JSON value in UTF-8", func() string { return reader.post("/scan", `{"n":1,"uid":`) }},
				{"a body above 128 bytes", "4.13 payload too long",
					func() string { return reader.call("/scan", "-m", "post", "-t", "50", "-f", file(200)) }},
				{"a body that goes in blocks, twice in one session", "4.02 option 27\n4.02 option 27",
					func() string {
						return reader.call("/scan", "-m", "post", "-t", "50", "-f", file(3000), "-G", "2")
					}},
				{"a scan that goes in blocks", "4.02 option 27",
					func() string { return reader.post("/scan", good, "-b", "16") }},
				{"an unknown critical option", "4.02 option 2053",
					func() string { return reader.post("/scan", good, "-O", "2053,abc") }},
				{"an Echo that nobody issued", "4.01 not fresh: Echo and age",
					func() string { return reader.post("/scan", good, "-O", "252,0x0102030405060708") }},
			} {
				h.says(tc.rule, 0, 0, tc.want, tc.call)
			}
			h.says("an unknown option that may be ignored", 1, 1, `{"verdict":"granted","last":1}`, func() string {
				return reader.post("/scan", good, "-O", "2052,0x01")
			})
		})
	}
}

// The lines that provision prints for people do what they say, through a shell.
func TestPrintedLinesWork(t *testing.T) {
	t.Parallel()
	program(t, "coap-client-openssl", coapPackage)
	h := newHouse(t)
	h.node("desk-lamp", keys.KindLamp, h.lampKey, h.addr)
	_, sensorKey := h.enrol("meter", keys.KindSensor, h.id)
	for _, tc := range []struct {
		bundle           provision.Bundle
		want             []string
		decisions, moves int
		answered         int // with 2.04
	}{
		{provision.Bundle{Device: "front-reader", Kind: keys.KindReader, Targets: []string{"front-door"},
			Identity: h.readerKey.ID, Secret: h.readerKey.Secret},
			[]string{`{"verdict":"granted","last":1}`}, 1, 1, 1},
		{provision.Bundle{Device: "hall-switch", Kind: keys.KindSwitch, Targets: []string{"front-door",
			"desk"}, Identity: h.switchKey.ID, Secret: h.switchKey.Secret},
			[]string{`{"verdict":"granted","last":1}`, `{"verdict":"denied","last":2}`, `{"verdict":"denied","last":3}`, `{"verdict":"granted","last":4}`}, 4, 1, 4},
		{provision.Bundle{Device: "meter", Kind: keys.KindSensor, Targets: []string{"front-door"},
			Identity: sensorKey.ID, Secret: sensorKey.Secret}, nil, 0, 0, 1},
	} {
		tc.bundle.Gateway = h.addr
		var lines bytes.Buffer
		if err := tc.bundle.Write(&lines, provision.CoAPClient); err != nil {
			t.Fatal(err)
		}
		before := h.answered("Changed")
		h.moved(tc.bundle.Device, tc.decisions, tc.moves, func() {
			cmd := exec.Command("sh")
			cmd.Stdin = &lines
			if got := strings.Fields(output(t, cmd)); strings.Join(got, " ") != strings.Join(tc.want, " ") {
				t.Errorf("%s: got %q, want %q", tc.bundle.Device, got, tc.want)
			}
		})
		if got := h.answered("Changed") - before; got != tc.answered {
			t.Errorf("%s: %d requests were answered 2.04, want %d", tc.bundle.Device, got, tc.answered)
		}
	}
}

// answered is how many requests have got this code so far.
func (s *site) answered(code string) int {
	s.t.Helper()
	return s.metric(`latchkey_requests_total{code="` + code + `"}`)
}

// metric is what GET /metrics says of a series, 0 if it is not there.
func (s *site) metric(series string) int {
	s.t.Helper()
	w := httptest.NewRecorder()
	s.gw.AdminHandler().ServeHTTP(w, httptest.NewRequest(http.MethodGet, "/metrics", nil))
	for line := range strings.Lines(w.Body.String()) {
		if value, ok := strings.CutPrefix(line, series+" "); ok {
			n, err := strconv.Atoi(strings.TrimSpace(value))
			if err != nil {
				s.t.Fatal(err)
			}
			return n
		}
	}
	return 0
}

// hexOf is a secret as openssl and tshark want it: its text in hex.
func hexOf(k keys.Key) string { return hex.EncodeToString(k.Secret.PSK()) }
