package protect

import (
	"bytes"
	"encoding/binary"
	"encoding/hex"
	"flag"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"sync"
	"testing"
	"time"

	"latchkey/coapres/transport/record"
)

var (
	update = flag.Bool("update", false, "capture the sessions in testdata/sessions anew")
	// Debian 12 has Mbed TLS 2.28, which has no connection IDs. So these come from the source of
	// Debian 13: firmware/mbedtls.sh fetches it, and make -C programs ssl/ssl_client2
	// ssl/ssl_server2 builds them.
	mbedtls = flag.String("mbedtls", "", "with -update: the folder with ssl_client2 and ssl_server2")
)

const (
	capturePSK      = "6c61746368206b6579206f6620612074657374" // hexadecimal, as the programs take it
	captureIdentity = "reader"
	captureLines    = 6 // that each end says
)

// A capture is made by two programs of the same stack, with a relay of ours between them. {PORT},
// {PSK}, {IDENTITY} and {LOG} are put in. If lines is set, the ends are told what to say line by line.
type capture struct {
	name           string
	suite          Suite
	server, client string
	lines          bool
	clientCID      string // what the client wants to receive
	serverCID      string
}

func captures() []capture {
	openssl := func(name string, suite Suite, cipher string) capture {
		const common = " -dtls1_2 -quiet -psk {PSK} -psk_identity {IDENTITY} -keylogfile {LOG} -cipher "
		return capture{name: name, suite: suite, lines: true,
			server: "openssl s_server -accept {PORT} -nocert" + common + cipher,
			client: "openssl s_client -no_ign_eof -connect 127.0.0.1:{PORT}" + common + cipher}
	}
	mbed := func(name string, suite Suite, cipher, clientCID, serverCID string) capture {
		common := " dtls=1 server_port={PORT} psk={PSK} psk_identity={IDENTITY} force_ciphersuite=" + cipher +
			" nss_keylog=1 nss_keylog_file={LOG} debug_level=0"
		c := capture{name: name, suite: suite, clientCID: clientCID, serverCID: serverCID,
			server: "ssl_server2 server_addr=127.0.0.1 exchanges=" + fmt.Sprint(captureLines) + common,
			client: "ssl_client2 server_addr=127.0.0.1 request_size=60 exchanges=" + fmt.Sprint(captureLines) + common}
		if serverCID != "" || clientCID != "" {
			c.server += " cid=1 cid_val=" + serverCID
			c.client += " cid=1 cid_val=" + clientCID
		}
		return c
	}
	const psk, ecdhe = "TLS-PSK-WITH-", "TLS-ECDHE-PSK-WITH-"
	return []capture{
		openssl("openssl-ccm8", PSKWithAES128CCM8, "PSK-AES128-CCM8"),
		openssl("openssl-ccm", PSKWithAES128CCM, "PSK-AES128-CCM"),
		openssl("openssl-chacha20", ECDHEPSKWithChaCha20Poly1305, "ECDHE-PSK-CHACHA20-POLY1305"),
		mbed("mbedtls-ccm8-cid", PSKWithAES128CCM8, psk+"AES-128-CCM-8", "", "0102030405060708"),
		mbed("mbedtls-ccm-cids", PSKWithAES128CCM, psk+"AES-128-CCM", "aabbccddee", "0102030405060708"),
		mbed("mbedtls-chacha20-cids", ECDHEPSKWithChaCha20Poly1305, ecdhe+"CHACHA20-POLY1305-SHA256",
			"aabbccddee", "0102030405060708"),
	}
}

// datagram is one datagram of a session.
type datagram struct {
	fromClient bool
	b          []byte
}

// session is a captured session with its keys.
type session struct {
	random, master []byte // the client's random, the master secret
	datagrams      []datagram
}

func (c capture) path() string { return filepath.Join("testdata", "sessions", c.name+".txt") }

// load reads a session: a comment, the line of a keylog file (the client's random and the master
// secret), and one line for each datagram.
func (c capture) load(t testing.TB) (s session) {
	t.Helper()
	text, err := os.ReadFile(c.path())
	if err != nil {
		t.Fatal(err)
	}
	for line := range strings.Lines(string(text)) {
		f := strings.Fields(line)
		switch f[0] {
		case "CLIENT_RANDOM":
			s.random, s.master = must(hex.DecodeString(f[1])), must(hex.DecodeString(f[2]))
		case ">", "<":
			s.datagrams = append(s.datagrams, datagram{f[0] == ">", must(hex.DecodeString(f[1]))})
		}
	}
	if len(s.random) != 32 || len(s.master) != 48 {
		t.Fatalf("%s has no keys", c.path())
	}
	return s
}

// keylog returns the keys in the form that tshark reads.
func (s session) keylog() string {
	return fmt.Sprintf("CLIENT_RANDOM %x %x\n", s.random, s.master)
}

var clientRandom = regexp.MustCompile(`(?m)^CLIENT_RANDOM [0-9a-fA-F]{64} [0-9a-fA-F]{96}$`)

// record runs the two programs and writes what went between them.
func (c capture) record(t *testing.T) {
	if *mbedtls == "" && !c.lines {
		t.Skip("needs -mbedtls")
	}
	gateway, relay := newRelay(t)
	log := filepath.Join(t.TempDir(), "keys")
	start := func(command string, port int) (*exec.Cmd, io.WriteCloser) {
		f := strings.Fields(strings.NewReplacer("{PORT}", fmt.Sprint(port), "{PSK}", capturePSK, "{IDENTITY}",
			captureIdentity, "{LOG}", log).Replace(command))
		if strings.HasPrefix(f[0], "ssl_") {
			f[0] = filepath.Join(*mbedtls, f[0])
		}
		cmd := exec.Command(f[0], f[1:]...)
		in := must(cmd.StdinPipe())
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = cmd.Process.Kill(); _ = cmd.Wait() })
		return cmd, in
	}
	_, serverIn := start(c.server, gateway)
	client, clientIn := start(c.client, relay.port())
	if c.lines {
		for i := range captureLines {
			fmt.Fprintln(clientIn, sayLine(true, i))
			relay.await(t, true, i+1)
			fmt.Fprintln(serverIn, sayLine(false, i))
			relay.await(t, false, i+1)
		}
		_ = clientIn.Close() // ends with a close_notify
	}
	// s_client sends a close_notify and sometimes does not end.
	relay.await(t, true, captureLines)
	hang := time.AfterFunc(3*time.Second, func() { _ = client.Process.Kill() })
	defer hang.Stop()
	if err := client.Wait(); err != nil {
		t.Logf("%s: %v", c.client, err)
	}

	keys := clientRandom.Find(must(os.ReadFile(log)))
	if keys == nil {
		t.Fatal("no keys were logged")
	}
	var out bytes.Buffer
	fmt.Fprintf(&out, "# %s\n# %s\n%s\n", c.server, c.client, keys)
	for _, d := range relay.all() {
		fmt.Fprintf(&out, "%s %x\n", map[bool]string{true: ">", false: "<"}[d.fromClient], d.b)
	}
	if err := os.MkdirAll(filepath.Dir(c.path()), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(c.path(), out.Bytes(), 0o644); err != nil {
		t.Fatal(err)
	}
}

// sayLine returns what an end is told to say. Later lines are longer.
func sayLine(client bool, i int) string {
	word := map[bool]string{true: "scan ", false: "verdict "}[client]
	return word + strings.Repeat(fmt.Sprint(i), 1<<(2*i)/4+1)
}

// relay passes datagrams between a client and a server, and keeps them.
type relay struct {
	client net.PacketConn
	server net.Conn
	mu     sync.Mutex
	kept   []datagram // guarded by mu
}

// newRelay returns a relay to a free port.
func newRelay(t *testing.T) (port int, r *relay) {
	t.Helper()
	free := must(net.ListenPacket("udp", "127.0.0.1:0"))
	port = free.LocalAddr().(*net.UDPAddr).Port
	_ = free.Close()
	r = &relay{client: must(net.ListenPacket("udp", "127.0.0.1:0"))}
	r.server = must(net.Dial("udp", fmt.Sprintf("127.0.0.1:%d", port)))
	var from net.Addr
	var wg sync.WaitGroup
	wg.Go(func() {
		for b := make([]byte, 65536); ; {
			n, a, err := r.client.ReadFrom(b)
			if err != nil {
				return
			}
			r.mu.Lock()
			from = a
			r.kept = append(r.kept, datagram{true, bytes.Clone(b[:n])})
			r.mu.Unlock()
			_, _ = r.server.Write(b[:n])
		}
	})
	wg.Go(func() {
		for b := make([]byte, 65536); ; {
			n, err := r.server.Read(b)
			if err != nil {
				if opErr, ok := err.(net.Error); ok && !opErr.Timeout() && strings.Contains(err.Error(), "refused") {
					continue // the server is not there yet
				}
				return
			}
			r.mu.Lock()
			r.kept = append(r.kept, datagram{false, bytes.Clone(b[:n])})
			to := from
			r.mu.Unlock()
			_, _ = r.client.WriteTo(b[:n], to)
		}
	})
	t.Cleanup(func() { _, _ = r.client.Close(), r.server.Close(); wg.Wait() })
	return port, r
}

func (r *relay) port() int { return r.client.LocalAddr().(*net.UDPAddr).Port }

func (r *relay) all() []datagram {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.kept
}

// await waits until n datagrams with application data came from one side.
func (r *relay) await(t *testing.T, fromClient bool, n int) {
	t.Helper()
	for end := time.Now().Add(30 * time.Second); time.Now().Before(end); time.Sleep(10 * time.Millisecond) {
		seen := 0
		for _, d := range r.all() {
			if d.fromClient == fromClient && (d.b[0] == record.ApplicationData || d.b[0] == record.TLS12CID) {
				seen++
			}
		}
		if seen >= n {
			return
		}
	}
	t.Fatalf("only %d datagrams in 30 s", len(r.all()))
}

// writePcap writes a session for tshark, with IPv4 and UDP headers and no link layer.
func (s session) writePcap(t *testing.T) string {
	t.Helper()
	le, be := binary.LittleEndian, binary.BigEndian
	f := le.AppendUint32(nil, 0xa1b2c3d4)
	f = le.AppendUint16(le.AppendUint16(f, 2), 4)
	f = le.AppendUint64(f, 0)
	f = le.AppendUint32(le.AppendUint32(f, 65535), 101) // LINKTYPE_RAW
	for i, d := range s.datagrams {
		from, to := uint16(40000), uint16(capturePort)
		if !d.fromClient {
			from, to = to, from
		}
		size := 20 + 8 + len(d.b)
		f = le.AppendUint32(le.AppendUint32(f, uint32(1_700_000_000+i)), 0)
		f = le.AppendUint32(le.AppendUint32(f, uint32(size)), uint32(size))
		f = be.AppendUint16(append(f, 0x45, 0), uint16(size))
		f = append(f, 0, 0, 0, 0, 64, 17, 0, 0, 127, 0, 0, 1, 127, 0, 0, 1)
		f = be.AppendUint16(be.AppendUint16(f, from), to)
		f = append(be.AppendUint16(f, uint16(8+len(d.b))), 0, 0)
		f = append(f, d.b...)
	}
	path := filepath.Join(t.TempDir(), "session.pcap")
	if err := os.WriteFile(path, f, 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

const capturePort = 5684
