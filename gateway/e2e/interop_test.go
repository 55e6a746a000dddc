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

// Debian packages of the foreign programs that the gateway must work with.
const (
	coapPackage    = "libcoap3-bin"
	opensslPackage = "openssl"
	tsharkPackage  = "tshark"
)

// stockClients are libcoap's test client with each of its two TLS libraries.
var stockClients = []string{"coap-client-openssl", "coap-client-gnutls"}

// findProgram returns a program's path. It fails the test if the program is missing, because a
// skipped test proves nothing.
func findProgram(t *testing.T, name, pkg string) string {
	t.Helper()
	path, err := exec.LookPath(name)
	if err != nil {
		t.Fatalf("%s is missing: install the Debian package %s", name, pkg)
	}
	return path
}

// runProgram runs a program to its end, for a minute at most, and returns all it printed. The exit
// status is ignored: the test clients exit with 0 even if their key is wrong.
func runProgram(t *testing.T, cmd *exec.Cmd) string {
	t.Helper()
	var out bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &out
	runToEnd(t, cmd)
	return out.String()
}

// runToEnd runs cmd, and kills it after a minute.
func runToEnd(t *testing.T, cmd *exec.Cmd) {
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

// stock is a coap-client with a key.
type stock struct {
	t    *testing.T
	path string
	env  []string
	key  keys.Key
	addr string
	wait string // -B: seconds until it gives up
}

func (d *door) stockClient(name string, k keys.Key) stock {
	d.t.Helper()
	return stock{t: d.t, path: findProgram(d.t, name, coapPackage), key: k, addr: d.addr, wait: "10"}
}

// sendRequest makes one request and returns what the client printed: the payload of the answer, or
// its code if there is none.
func (s stock) sendRequest(path string, args ...string) string {
	s.t.Helper()
	args = append([]string{"-B", s.wait, "-u", string(s.key.ID), "-k", s.key.Secret.Reveal()}, args...)
	cmd := exec.Command(s.path, append(args, "coaps://"+s.addr+path)...)
	cmd.Env = append(os.Environ(), s.env...)
	return strings.TrimSpace(runProgram(s.t, cmd))
}

func (s stock) postRequest(path, body string, args ...string) string {
	s.t.Helper()
	return s.sendRequest(path, append([]string{"-m", "post", "-t", strconv.Itoa(int(wire.JSON)), "-e", body},
		args...)...)
}

func scanJSON(n int, uid string) string { return fmt.Sprintf(`{"n":%d,"uid":"%s"}`, n, uid) }

// wantMoves runs f, and checks how many attempts were decided and how often the lock was switched
// on meanwhile.
func (d *door) wantMoves(rule string, decisions, moves int, f func()) {
	d.t.Helper()
	past, before := len(d.listTimelines()), d.lock.Moves()
	f()
	if got := len(d.listTimelines()) - past; got != decisions {
		d.t.Errorf("%s: %d attempts were decided, want %d", rule, got, decisions)
	}
	if got := d.lock.Moves() - before; got != moves {
		d.t.Errorf("%s: the lock moved %d times, want %d", rule, got, moves)
	}
}

// wantPrinted is wantMoves that also checks what f returns, the output of a client.
func (d *door) wantPrinted(rule string, decisions, moves int, want string, f func() string) {
	d.t.Helper()
	d.wantMoves(rule, decisions, moves, func() {
		if got := f(); got != want {
			d.t.Errorf("%s: got %q, want %q", rule, got, want)
		}
	})
}

// fullHouse is a door with its lock, a lamp, and a switch that may operate both.
type fullHouse struct {
	*door
	lampKey, switchKey keys.Key
}

func newHouse(t *testing.T) *fullHouse {
	t.Helper()
	h := &fullHouse{door: newDoor(t, store.Options{})}
	h.lock = h.runNode("front-lock", keys.KindLock, h.lockKey, h.addr)
	desk := h.addTarget("desk", access.Lamp, 0)
	_, h.lampKey = h.enrolDevice("desk-lamp", keys.KindLamp, desk)
	var hall access.ID
	hall, h.switchKey = h.enrolDevice("hall-switch", keys.KindSwitch, h.id, desk)
	for _, target := range []access.ID{h.id, desk} {
		h.applyRecords(access.Grant{ID: access.NewID(), SubjectKind: access.SubjectDevice, Subject: hall,
			Target: target, Effect: access.Allow, Created: time.Now()})
	}
	h.awaitLockState()
	return h
}

// A stock client plays a reader and a switch. It has no Echo at first, gets a 4.01 with one, and
// then repeats the request with it.
func TestStockClientOpensDoor(t *testing.T) {
	t.Parallel()
	for _, name := range stockClients {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			h := newHouse(t)
			reader, hall := h.stockClient(name, h.readerKey), h.stockClient(name, h.switchKey)

			h.wantPrinted("a scan as JSON", 1, 1, `{"verdict":"granted","last":1}`, func() string {
				return reader.postRequest("/scan", scanJSON(1, "04a1b2c3d4e580"))
			})
			h.wantPrinted("a non-confirmable scan", 1, 1, `{"verdict":"granted","last":2}`, func() string {
				return reader.postRequest("/scan", scanJSON(2, "04a1b2c3d4e580"), "-N")
			})
			h.wantPrinted("an unknown card", 1, 0, `{"verdict":"denied","last":3}`, func() string {
				return reader.postRequest("/scan", scanJSON(3, "04a1b2c3d4e581"))
			})
			h.wantPrinted("an old counter", 1, 0, `{"verdict":"denied","last":3}`, func() string {
				return reader.postRequest("/scan", scanJSON(2, "04a1b2c3d4e581"))
			})
			h.wantPrinted("a request of a switch", 1, 1, `{"verdict":"granted","last":1}`, func() string {
				return hall.postRequest("/act/front-door", `{"n":1,"action":"unlock"}`)
			})
			h.wantMoves("a scan as CBOR", 1, 1, func() {
				if v := cborScan(t, reader, 4, annsCard); v != (wire.Verdict{Verdict: wire.Granted,
					Last: 4}) {
					t.Errorf("got %+v, want granted", v)
				}
			})
			h.wantMoves("an unknown card as CBOR", 1, 0, func() {
				if v := cborScan(t, reader, 5, []byte{1, 2, 3, 4}); v != (wire.Verdict{Last: 5}) {
					t.Errorf("got %+v, want denied", v)
				}
			})
			h.wantMoves("reading", 0, 0, func() {
				st, err := wire.ParseState(wire.JSON, []byte(hall.sendRequest("/act/front-door", "-A", "50")))
				if err != nil || st.ID == 0 {
					t.Errorf("the door's state: got %+v, %v, want a state with the ID of its last command",
						st, err)
				}
				checkLinks(t, reader, []string{"</rd>", "</report>", "</scan>"})
				checkLinks(t, hall, []string{"</rd>", "</report>", "</act/desk>", "</act/front-door>"})
			})
		})
	}
}

// cborScan posts a scan from a file, and parses the verdict that the client wrote to another file.
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
	printed := s.sendRequest("/scan", "-m", "post", "-t", strconv.Itoa(int(wire.CBOR)), "-f", in, "-o", out)
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

// checkLinks checks that /.well-known/core lists exactly these paths.
func checkLinks(t *testing.T, s stock, want []string) {
	t.Helper()
	var got []string
	core := s.sendRequest("/.well-known/core")
	for _, l := range strings.Split(core, ",") {
		href, _, _ := strings.Cut(l, ";")
		got = append(got, href)
	}
	if strings.Join(got, " ") != strings.Join(want, " ") {
		t.Errorf("/.well-known/core: got %s, want links to %v", core, want)
	}
}

// A request of a stock client that is not allowed gets the right code. No attempt is decided and no
// lock moves.
func TestStockClientIsRefused(t *testing.T) {
	t.Parallel()
	for _, name := range stockClients {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			h := newHouse(t)
			reader, hall, lamp := h.stockClient(name, h.readerKey), h.stockClient(name, h.switchKey),
				h.stockClient(name, h.lampKey)
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
				{"a lamp may not scan cards", "4.03 this device may not call this",
					func() string { return lamp.postRequest("/scan", good) }},
				{"a reader may not operate a target", "4.03 this device may not call this",
					func() string {
						return reader.postRequest("/act/front-door", `{"n":1,"action":"unlock"}`)
					}},
				{"the name of another device", "4.03 ep in Uri-Query is not this device's name",
					func() string { return reader.sendRequest("/rd?ep=front-lock", "-m", "post") }},
				{"an unknown path", "4.04 no resource at this Uri-Path",
					func() string { return reader.sendRequest("/nothing") }},
				{"a target that the switch may not operate", "4.04 no such thing for this device",
					func() string { return hall.postRequest("/act/safe", `{"n":1,"action":"unlock"}`) }},
				{"a wrong method", "4.05 method not allowed here",
					func() string { return reader.sendRequest("/scan") }},
				{"another wrong method", "4.05 method not allowed here",
					func() string {
						return hall.postRequest("/act/front-door", `{"n":1,"action":"unlock"}`,
							"-m", "put")
					}},
				{"an Accept that the resource cannot answer", "4.06 no representation for this Accept",
					func() string { return reader.sendRequest("/.well-known/core", "-A", "50") }},
				{"a body of an unknown format", "4.15 unknown Content-Format",
					func() string {
						return reader.sendRequest("/scan", "-m", "post", "-t", "0", "-e", good)
					}},
				{"malformed JSON", "4.00 scan: not one JSON value in UTF-8",
					func() string { return reader.postRequest("/scan", `{"n":1,"uid":`) }},
				{"a body above 128 bytes", "4.13 payload too long",
					func() string {
						return reader.sendRequest("/scan", "-m", "post", "-t", "50", "-f", file(200))
					}},
				{"a body in blocks, twice in one session", "4.02 option 27\n4.02 option 27",
					func() string {
						return reader.sendRequest("/scan", "-m", "post", "-t", "50", "-f", file(3000), "-G",
							"2")
					}},
				{"a scan in blocks", "4.02 option 27",
					func() string { return reader.postRequest("/scan", good, "-b", "16") }},
				{"an unknown critical option", "4.02 option 2053",
					func() string { return reader.postRequest("/scan", good, "-O", "2053,abc") }},
				{"an Echo that the gateway did not issue", "4.01 not fresh: Echo and age",
					func() string {
						return reader.postRequest("/scan", good, "-O", "252,0x0102030405060708")
					}},
			} {
				h.wantPrinted(tc.rule, 0, 0, tc.want, tc.call)
			}
			h.wantPrinted("an unknown elective option", 1, 1, `{"verdict":"granted","last":1}`,
				func() string {
					return reader.postRequest("/scan", good, "-O", "2052,0x01")
				})
		})
	}
}

// The command lines that provision prints for users work in a shell.
func TestPrintedLinesWork(t *testing.T) {
	t.Parallel()
	findProgram(t, "coap-client-openssl", coapPackage)
	h := newHouse(t)
	h.runNode("desk-lamp", keys.KindLamp, h.lampKey, h.addr)
	_, sensorKey := h.enrolDevice("meter", keys.KindSensor, h.id)
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
			[]string{`{"verdict":"granted","last":1}`, `{"verdict":"denied","last":2}`,
				`{"verdict":"denied","last":3}`, `{"verdict":"granted","last":4}`}, 4, 1, 4},
		{provision.Bundle{Device: "meter", Kind: keys.KindSensor, Targets: []string{"front-door"},
			Identity: sensorKey.ID, Secret: sensorKey.Secret}, nil, 0, 0, 1},
	} {
		tc.bundle.Gateway = h.addr
		var lines bytes.Buffer
		if err := tc.bundle.Write(&lines, provision.CoAPClient); err != nil {
			t.Fatal(err)
		}
		before := h.countAnswers("Changed")
		h.wantMoves(tc.bundle.Device, tc.decisions, tc.moves, func() {
			cmd := exec.Command("sh")
			cmd.Stdin = &lines
			got := strings.Fields(runProgram(t, cmd))
			if strings.Join(got, " ") != strings.Join(tc.want, " ") {
				t.Errorf("%s: got %q, want %q", tc.bundle.Device, got, tc.want)
			}
		})
		if got := h.countAnswers("Changed") - before; got != tc.answered {
			t.Errorf("%s: %d requests were answered 2.04, want %d", tc.bundle.Device, got, tc.answered)
		}
	}
}

// countAnswers returns how many requests have been answered with this code so far.
func (s *site) countAnswers(code string) int {
	s.t.Helper()
	return s.readMetric(`latchkey_requests_total{code="` + code + `"}`)
}

// readMetric returns the value of a series from GET /metrics, or 0 if it is missing.
func (s *site) readMetric(series string) int {
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

// secretInHex returns a secret for the command lines of openssl and tshark: its text in hex.
func secretInHex(k keys.Key) string { return hex.EncodeToString(k.Secret.PSK()) }
