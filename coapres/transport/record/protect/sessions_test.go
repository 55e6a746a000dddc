package protect

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/pion/dtls/v3/pkg/crypto/prf"

	"latchkey/coapres/transport/record"
)

// opened is what we find in a session, in order.
type opened struct {
	types  []uint8  // of all records that were encrypted
	client []string // what it said, one for each record
	server []string
	said   []string // both, in order
}

// The sessions in testdata were made by OpenSSL and Mbed TLS alone. We open each of their records,
// seal it again to the same bytes, and find in them what tshark does, except with ChaCha20.
func TestSessions(t *testing.T) {
	for _, c := range captures() {
		t.Run(c.name, func(t *testing.T) {
			if *update {
				c.record(t)
			} else {
				t.Parallel()
			}
			s := c.load(t)
			got := c.open(t, s)
			if len(got.client) < captureLines || len(got.server) < captureLines {
				t.Fatalf("the client said %q, the server %q", got.client, got.server)
			}
			if c.lines {
				for i := range captureLines {
					if got.client[i] != sayLine(true, i)+"\n" || got.server[i] != sayLine(false, i)+"\n" {
						t.Errorf("line %d: got %q and %q", i, got.client[i], got.server[i])
					}
				}
			} else if !strings.Contains(got.server[0], "HTTP/1.0 200 OK") {
				t.Errorf("the server said %q", got.server[0])
			}
			if got.types[0] != record.Handshake || got.types[1] != record.Handshake || // both Finished
				!c.lines && !slices.Contains(got.types, record.Alert) { // s_client ends without a close_notify
				t.Errorf("got records of the types %v, want two Finished, application data, and alerts", got.types)
			}
			if c.suite == ECDHEPSKWithChaCha20Poly1305 {
				return // tshark 4.0 does not decrypt ChaCha20 in DTLS
			}
			if shown := showAsTshark(t, c, s); shown != strings.Join(got.said, "") {
				t.Errorf("tshark shows %q, want %q", shown, strings.Join(got.said, ""))
			}
		})
	}
}

// open opens all encrypted records of a session.
func (c capture) open(t *testing.T, s session) opened {
	t.Helper()
	keySize, ivSize, _ := c.suite.Sizes()
	k := must(prf.GenerateEncryptionKeys(s.master, s.random, c.findServerRandom(t, s), 0, keySize, ivSize,
		sha256.New))
	clientKey := must(NewKey(c.suite, k.ClientWriteKey, k.ClientWriteIV))
	serverKey := must(NewKey(c.suite, k.ServerWriteKey, k.ServerWriteIV))
	clientCID, serverCID := must(hex.DecodeString(c.clientCID)), must(hex.DecodeString(c.serverCID))
	up, down := must(NewOpener(clientKey, serverCID)), must(NewOpener(serverKey, clientCID))
	var got opened
	sc := new(Scratch)
	for _, d := range s.datagrams {
		o, key, cid := down, serverKey, clientCID
		if d.fromClient {
			o, key, cid = up, clientKey, serverCID
		}
		for _, r := range splitRecords(t, d.b, len(cid)) {
			if r[4] == 0 {
				continue
			}
			out, err := o.Open(nil, r, sc)
			if err != nil {
				t.Fatalf("%x: %v", r, err)
			}
			got.types = append(got.types, out.Type)
			if out.Type == record.ApplicationData {
				got.said = append(got.said, string(out.Content))
				if d.fromClient {
					got.client = append(got.client, string(out.Content))
				} else {
					got.server = append(got.server, string(out.Content))
				}
			}
			sealer := must(NewSealer(key, cid, out.Number))
			padding := len(r) - sealer.Overhead() - len(out.Content) // Mbed TLS fills up to 16 bytes
			again := must(sealer.Seal(nil, out.Type, out.Content, padding, sc))
			if !bytes.Equal(again, r) {
				t.Errorf("sealed as %x, the session has %x", again, r)
			}
			fresh := must(NewOpener(key, cid))
			for bit := range 8 * len(r) {
				r[bit/8] ^= 1 << (bit % 8)
				if out, err := fresh.Open(nil, r, sc); err == nil {
					t.Errorf("bit %d of %x flipped: opened as %+v", bit, r, out)
				}
				r[bit/8] ^= 1 << (bit % 8)
			}
		}
	}
	return got
}

func (c capture) findServerRandom(t *testing.T, s session) []byte {
	t.Helper()
	const serverHello, at = 2, record.HeaderSize + record.HandshakeHeaderSize + 2
	for _, d := range s.datagrams {
		if !d.fromClient && d.b[0] == record.Handshake && d.b[record.HeaderSize] == serverHello {
			return d.b[at : at+32]
		}
	}
	t.Fatal("no ServerHello")
	return nil
}

// splitRecords splits a datagram, with connection IDs of any length.
func splitRecords(t *testing.T, b []byte, cid int) (all [][]byte) {
	t.Helper()
	for len(b) > 0 {
		head := record.HeaderSize
		if b[0] == record.TLS12CID {
			head += cid
		}
		n := head + int(binary.BigEndian.Uint16(b[head-2:]))
		all, b = append(all, b[:n]), b[n:]
	}
	return all
}

// showAsTshark returns the application data that tshark finds with the keys.
func showAsTshark(t *testing.T, c capture, s session) string {
	t.Helper()
	dir := t.TempDir()
	keys := filepath.Join(dir, "keys")
	if err := os.WriteFile(keys, []byte(s.keylog()), 0o600); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	cmd := exec.CommandContext(ctx, "tshark", "-n", "-r", s.writePcap(t), "-o", "tls.keylog_file:"+keys,
		"-o", fmt.Sprintf("dtls.client_cid_length:%d", len(c.clientCID)/2),
		"-o", fmt.Sprintf("dtls.server_cid_length:%d", len(c.serverCID)/2),
		"-d", fmt.Sprintf("udp.port==%d,dtls", capturePort), "-d", fmt.Sprintf("dtls.port==%d,data", capturePort),
		"-Y", "data", "-T", "fields", "-e", "data.data")
	cmd.Env = append(os.Environ(), "HOME="+dir) // without the settings of the user who runs the test
	var complaint bytes.Buffer
	cmd.Stderr = &complaint
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("install tshark: %v\n%s", err, complaint.String())
	}
	text, err := hex.DecodeString(strings.NewReplacer("\n", "", ",", "", ":", "").Replace(string(out)))
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}
