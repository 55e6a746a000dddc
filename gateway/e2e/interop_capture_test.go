package e2e

import (
	"bytes"
	"encoding/binary"
	"encoding/hex"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/plgd-dev/go-coap/v3/message/codes"

	"latchkey/coapres/device"
	"latchkey/gateway/store"
	"latchkey/keys"
	"latchkey/keys/provision"
)

// capture stores the datagrams that somebody on the network would see.
type capture struct {
	mu  sync.Mutex
	all []datagram // guarded by mu
}

type datagram struct {
	at  time.Time
	dir device.Direction
	b   []byte
}

// newTappedRelay returns a relay to the gateway, and a capture of all datagrams that pass through
// it.
func (s *site) newTappedRelay() (*device.Relay, *capture) {
	s.t.Helper()
	r, c := newRelay(s.t, s.addr), &capture{}
	r.Tap(c.take)
	return r, c
}

func (c *capture) take(dir device.Direction, b []byte) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.all = append(c.all, datagram{time.Now(), dir, bytes.Clone(b)})
}

func (c *capture) datagrams() []datagram {
	c.mu.Lock()
	defer c.mu.Unlock()
	return slices.Clone(c.all)
}

// DTLS content types (RFC 6347, RFC 9146).
const (
	contentAlert     = 21
	contentHandshake = 22
	contentCID       = 25
)

// record is what can be seen of a DTLS record without its key.
type record struct {
	content byte
	epoch   uint16
	size    int
	message byte   // its type, if it is a plaintext handshake message
	number  uint16 // its message_seq, which a retransmission keeps
}

// parseRecords returns the records of a datagram without connection IDs (RFC 6347 §4.1).
func (d datagram) parseRecords() (all []record) {
	for b := d.b; len(b) >= 13; {
		r := record{content: b[0], epoch: binary.BigEndian.Uint16(b[3:]),
			size: int(binary.BigEndian.Uint16(b[11:]))}
		if b = b[13:]; r.size > len(b) {
			return all
		}
		if r.content == contentHandshake && r.epoch == 0 && r.size >= 12 {
			r.message, r.number = b[0], binary.BigEndian.Uint16(b[4:])
		}
		all, b = append(all, r), b[r.size:]
	}
	return all
}

// attempt is what can be seen of one handshake without the key.
type attempt struct {
	messages []string // direction and size of each datagram with new records, in order
	repeats  int      // the gateway's datagrams without new records
	alerts   int      // sent by the gateway
	opened   bool     // the gateway sent encrypted records
	printed  string   // by the client, without times
}

// summarizeAttempt leaves out retransmissions, which depend on the time, and the client's
// close_notify, which comes when it has given up.
func (c *capture) summarizeAttempt() (a attempt) {
	type said struct {
		dir device.Direction
		record
	}
	before := map[said]bool{}
	for _, d := range c.datagrams() {
		fresh, goodbye := false, false
		for _, r := range d.parseRecords() {
			s := said{d.dir, r}
			fresh = fresh || !before[s]
			before[s] = true
			goodbye = goodbye || d.dir == device.Up && r.content == contentAlert
			if d.dir == device.Down {
				a.opened = a.opened || r.epoch > 0
				if r.content == contentAlert {
					a.alerts++
				}
			}
		}
		switch {
		case fresh && !goodbye:
			a.messages = append(a.messages, fmt.Sprintf("%s %d", [...]string{"up", "down"}[d.dir], len(d.b)))
		case !fresh && d.dir == device.Down:
			a.repeats++
		}
	}
	return a
}

var logTime = regexp.MustCompile(`[A-Z][a-z]{2} [ 0-9]\d \d\d:\d\d:\d\d\.\d{3} `)

// stockSuites returns, by key exchange and client, the environment that makes a stock client offer
// that key exchange. Sessions of the plain PSK exchange, without Diffie-Hellman, can be decrypted
// with the key.
func stockSuites(t *testing.T) map[string]map[string][]string {
	t.Helper()
	dir := t.TempDir()
	write := func(name, text string) string {
		path := filepath.Join(dir, name)
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		return path
	}
	// OpenSSL has no switch for it. With a curve that the gateway does not have, only the plain
	// exchange is possible.
	plainOpenSSL := "OPENSSL_CONF=" + write("openssl.cnf", opensslConf("Groups = P-521"))
	plainGnuTLS := "GNUTLS_SYSTEM_PRIORITY_FILE=" + write("gnutls",
		"[overrides]\ntls-disabled-kx = ECDHE-PSK\n")
	return map[string]map[string][]string{
		"as it comes": {"coap-client-openssl": nil, "coap-client-gnutls": nil},
		"plain PSK":   {"coap-client-openssl": {plainOpenSSL}, "coap-client-gnutls": {plainGnuTLS}},
	}
}

// opensslConf returns an openssl.cnf that applies settings to every program.
func opensslConf(settings string) string {
	return "openssl_conf = all\n[all]\nssl_conf = ssl\n[ssl]\nsystem_default = ours\n[ours]\n" + settings +
		"\n"
}

// An attacker without a key learns nothing about keys: with a wrong key, an unknown identity and a
// revoked key the gateway sends the same datagrams.
func TestFailedHandshakesLookAlike(t *testing.T) {
	t.Parallel()
	d := newDoor(t, store.Options{})
	d.lock = d.runNode("front-lock", keys.KindLock, d.lockKey, d.addr)
	_, revoked := d.enrolDevice("old-reader", keys.KindReader, d.id)
	d.revokeKey(revoked)
	unknown := provision.New("nobody")
	wrong := keys.Key{ID: d.readerKey.ID, Secret: unknown.Secret}
	cases := []struct {
		name string
		key  keys.Key
	}{{"wrong key", wrong}, {"unknown identity", unknown}, {"revoked key", revoked}}
	readers := 0
	for suite, programs := range stockSuites(t) {
		for _, name := range stockClients {
			// Each client is a device of its own, because a new session of a device ends its old
			// one.
			readers++
			_, own := d.enrolDevice(fmt.Sprintf("reader-%d", readers), keys.KindReader, d.id)
			t.Run(suite+"/"+name, func(t *testing.T) {
				t.Parallel()
				got := make([]attempt, len(cases))
				var wg sync.WaitGroup
				for i, tc := range cases {
					// The client waits 6 s, in which the gateway retransmits its flight.
					wg.Go(func() { got[i] = d.tryScan(name, programs[name], tc.key, "6") })
				}
				var right attempt
				wg.Go(func() { right = d.tryScan(name, programs[name], own, "10") })
				wg.Wait()
				if !right.opened || !strings.Contains(right.printed, `"verdict":"denied"`) {
					t.Errorf("the right key: got %+v, want a verdict", right)
				}
				for i, a := range got {
					t.Logf("%s: %v and %d repeats; %s", cases[i].name, a.messages, a.repeats, a.printed)
					if a.opened || a.alerts > 0 || len(a.messages) < 5 ||
						strings.Contains(a.printed, "verdict") {
						t.Errorf("%s: got %+v, want a handshake that gets no further answer", cases[i].name,
							a)
					}
					if !slices.Equal(a.messages, got[0].messages) || a.printed != got[0].printed {
						t.Errorf("%s: got %v and %q, want the same as with a %s: %v and %q", cases[i].name,
							a.messages, a.printed, cases[0].name, got[0].messages, got[0].printed)
					}
					if a.repeats < 1 || a.repeats > got[0].repeats+2 || a.repeats < got[0].repeats-2 {
						t.Errorf("%s: got %d repeats, want about %d", cases[i].name, a.repeats,
							got[0].repeats)
					}
				}
			})
		}
	}
	t.Cleanup(func() { // runs after all parallel subtests
		if got := d.lock.Moves(); got != 0 {
			t.Errorf("the lock moved %d times, want never", got)
		}
	})
}

// tryScan sends a scan of an unknown card with a key, until the client gives up.
func (d *door) tryScan(name string, env []string, k keys.Key, wait string) attempt {
	r, c := d.newTappedRelay()
	s := d.stockClient(name, k)
	s.addr, s.env, s.wait = r.Addr(), env, wait
	printed := logTime.ReplaceAllString(s.postRequest("/scan", scanJSON(1, "01020304")), "")
	a := c.summarizeAttempt()
	a.printed = printed
	return a
}

// A capture does not reveal the messages. With the key, tshark decodes a scan in it like any other
// CoAP message.
func TestCapture(t *testing.T) {
	t.Parallel()
	findProgram(t, "tshark", tsharkPackage)
	d := newDoor(t, store.Options{})
	d.lock = d.runNode("front-lock", keys.KindLock, d.lockKey, d.addr)
	d.awaitLockState()
	n := 0
	stockScan := func(name string, env []string) *capture {
		r, c := d.newTappedRelay()
		s := d.stockClient(name, d.readerKey)
		s.addr, s.env = r.Addr(), env
		n++
		if got := s.postRequest("/scan", scanJSON(n, hex.EncodeToString(annsCard))); !strings.Contains(got,
			"granted") {
			t.Fatalf("%s: got %q, want granted", name, got)
		}
		return c
	}
	suites := stockSuites(t)
	for _, tc := range []struct {
		name   string
		opens  bool // the key decrypts it
		format string
		scan   func() *capture
	}{
		{"coap-client-openssl, plain PSK", true, "application/json", func() *capture {
			return stockScan("coap-client-openssl", suites["plain PSK"]["coap-client-openssl"])
		}},
		{"coap-client-gnutls, plain PSK", true, "application/json", func() *capture {
			return stockScan("coap-client-gnutls", suites["plain PSK"]["coap-client-gnutls"])
		}},
		{"coap-client-openssl, forward secret", false, "",
			func() *capture { return stockScan("coap-client-openssl", nil) }},
		{"coap-client-gnutls, forward secret", false, "",
			func() *capture { return stockScan("coap-client-gnutls", nil) }},
		{"our own reader, with a connection ID", true, "application/cbor", func() *capture {
			r, c := d.newTappedRelay()
			d.reader = d.runDevice(device.Config{Name: "front-reader", Kind: keys.KindReader, Counter: 100},
				d.readerKey, r.Addr())
			d.tapUntilOpen(t)
			return c
		}},
	} {
		c := tc.scan()
		c.checkSecrets(t, tc.name, d.readerKey)
		file := c.writePcap(t)
		if got := decodeCapture(t, file); got != "" {
			t.Errorf("%s: without the key tshark shows %q, want nothing", tc.name, got)
		}
		shown := decodeCapture(t, file, "-o", "dtls.psk:"+secretInHex(d.readerKey))
		t.Logf("%s: %d datagrams; with the key:\n%s", tc.name, len(c.datagrams()), shown)
		if !tc.opens {
			if shown != "" {
				t.Errorf("%s: with the key tshark shows %q, want nothing: the session's keys are gone",
					tc.name, shown)
			}
			continue
		}
		for _, code := range []codes.Code{codes.POST, codes.Changed} {
			line := fmt.Sprintf(`(?m)^%d\|(:\d+)?/scan\|%s$`, code, tc.format)
			if !regexp.MustCompile(line).MatchString(shown) {
				t.Errorf("%s: with the key tshark shows %q, want a %s of /scan in %s", tc.name, shown, code,
					tc.format)
			}
		}
	}
}

// checkSecrets fails if any content of the messages, or the key, can be read in the capture. The
// identity may be read, because it names nobody.
func (c *capture) checkSecrets(t *testing.T, name string, k keys.Key) {
	t.Helper()
	var all []byte
	for _, d := range c.datagrams() {
		all = append(all, d.b...)
	}
	if !bytes.Contains(all, []byte(k.ID)) {
		t.Errorf("%s: the capture does not show the identity, so it is not a capture of this scan", name)
	}
	for what, secret := range map[string][]byte{
		"the UID":           annsCard,
		"the UID in hex":    []byte(hex.EncodeToString(annsCard)),
		"the UID in HEX":    []byte(strings.ToUpper(hex.EncodeToString(annsCard))),
		"the end of it":     []byte(hex.EncodeToString(annsCard))[6:],
		"the body":          []byte(`"uid"`),
		"the verdict":       []byte("verdict"),
		"the answer":        []byte("granted"),
		"the path":          []byte("scan"),
		"the secret":        k.Secret.PSK(),
		"the secret in hex": []byte(secretInHex(k)),
		"half the secret":   k.Secret.PSK()[:13],
	} {
		if bytes.Contains(all, secret) {
			t.Errorf("%s: the capture shows %s in plaintext", name, what)
		}
	}
}

const (
	nodePort    = 40000
	gatewayPort = 5684
)

// writePcap writes the capture to a file for tshark, with IPv4 and UDP headers and no link layer.
func (c *capture) writePcap(t *testing.T) string {
	t.Helper()
	le, be := binary.LittleEndian, binary.BigEndian
	f := le.AppendUint32(nil, 0xa1b2c3d4)
	f = le.AppendUint16(le.AppendUint16(f, 2), 4)
	f = le.AppendUint64(f, 0)
	f = le.AppendUint32(le.AppendUint32(f, 65535), 101) // LINKTYPE_RAW
	for _, d := range c.datagrams() {
		from, to := uint16(nodePort), uint16(gatewayPort)
		if d.dir == device.Down {
			from, to = to, from
		}
		size := 20 + 8 + len(d.b)
		f = le.AppendUint32(le.AppendUint32(f, uint32(d.at.Unix())), uint32(d.at.Nanosecond()/1000))
		f = le.AppendUint32(le.AppendUint32(f, uint32(size)), uint32(size))
		f = be.AppendUint16(append(f, 0x45, 0), uint16(size))
		f = append(f, 0, 0, 0, 0, 64, 17, 0, 0, 127, 0, 0, 1, 127, 0, 0, 1)
		f = be.AppendUint16(be.AppendUint16(f, from), to)
		f = append(be.AppendUint16(f, uint16(8+len(d.b))), 0, 0)
		f = append(f, d.b...)
	}
	path := filepath.Join(t.TempDir(), "capture.pcap")
	if err := os.WriteFile(path, f, 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

// decodeCapture returns one line code|path|format for each CoAP message that tshark finds. The path
// is that of the request, and begins with the port if the client sent it.
func decodeCapture(t *testing.T, file string, args ...string) string {
	t.Helper()
	cmd := exec.Command(findProgram(t, "tshark", tsharkPackage), append([]string{"-n", "-r", file,
		"-d", fmt.Sprintf("udp.port==%d,dtls", gatewayPort), "-d", fmt.Sprintf("dtls.port==%d,coap",
			gatewayPort),
		"-Y", "coap", "-T", "fields", "-E", "separator=|", "-e", "coap.code", "-e", "coap.opt.uri_path_recon",
		"-e", "coap.opt.ctype"}, args...)...)
	cmd.Env = append(os.Environ(), "HOME="+t.TempDir()) // without the settings of the user who runs the test
	var out, complaints bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &complaints
	runToEnd(t, cmd)
	if !cmd.ProcessState.Success() {
		t.Fatalf("tshark: %s", complaints.String())
	}
	return out.String()
}
