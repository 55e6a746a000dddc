package takeover

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"net"
	"sync"
	"testing"
	"time"

	"github.com/pion/dtls/v3"
	"go.uber.org/goleak"

	"latchkey/coapres/transport/record"
	"latchkey/coapres/transport/record/protect"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// tap is one end's socket. It keeps what is sent, and once muted sends no more.
type tap struct {
	net.PacketConn
	mu    sync.Mutex
	sent  [][]byte // guarded by mu
	muted bool     // guarded by mu
}

func (p *tap) WriteTo(b []byte, to net.Addr) (int, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.sent = append(p.sent, bytes.Clone(b))
	if p.muted {
		return len(b), nil
	}
	return p.PacketConn.WriteTo(b, to)
}

func (p *tap) mute() {
	p.mu.Lock()
	p.muted = true
	p.mu.Unlock()
}

// encrypted returns the records of epoch 1 that were written.
func (p *tap) encrypted(t *testing.T) (all [][]byte) {
	t.Helper()
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, b := range p.sent {
		for len(b) > 0 {
			r, rest, ok := record.Split(b)
			if !ok {
				t.Fatalf("not a record: %x", b)
			}
			if r[4] == 1 {
				all = append(all, r)
			}
			b = rest
		}
	}
	return all
}

// end is one end of an association of pion.
type end struct {
	conn *dtls.Conn
	tap  *tap
}

var suites = map[dtls.CipherSuiteID]protect.Suite{
	dtls.TLS_PSK_WITH_AES_128_CCM_8:                  protect.PSKWithAES128CCM8,
	dtls.TLS_PSK_WITH_AES_128_CCM:                    protect.PSKWithAES128CCM,
	dtls.TLS_ECDHE_PSK_WITH_CHACHA20_POLY1305_SHA256: protect.ECDHEPSKWithChaCha20Poly1305,
}

// connect makes an association over UDP on loopback. clientCID and serverCID are the connection IDs
// that the two ends want to receive.
func connect(t testing.TB, suite dtls.CipherSuiteID, clientCID, serverCID []byte) (client, server end) {
	t.Helper()
	open := func() *tap {
		c, err := net.ListenPacket("udp", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		return &tap{PacketConn: c}
	}
	client.tap, server.tap = open(), open()
	secret := func([]byte) ([]byte, error) { return []byte("a secret"), nil }
	cid := func(b []byte) func() []byte { return func() []byte { return b } }
	noRepeats := dtls.WithFlightInterval(time.Minute) // on a busy machine they would take numbers
	var err error
	if client.conn, err = dtls.ClientWithOptions(client.tap, server.tap.LocalAddr(), dtls.WithPSK(secret),
		dtls.WithPSKIdentityHint([]byte("reader")), dtls.WithCipherSuites(suite), noRepeats,
		dtls.WithConnectionIDGenerator(cid(clientCID))); err != nil {
		t.Fatal(err)
	}
	if server.conn, err = dtls.ServerWithOptions(server.tap, client.tap.LocalAddr(), dtls.WithPSK(secret),
		dtls.WithCipherSuites(suite), noRepeats, dtls.WithConnectionIDGenerator(cid(serverCID))); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	done := make(chan error)
	go func() { done <- server.conn.HandshakeContext(ctx) }()
	err = client.conn.HandshakeContext(ctx)
	if serverErr := <-done; err != nil || serverErr != nil {
		t.Fatal(err, serverErr)
	}
	t.Cleanup(func() {
		for _, e := range []end{client, server} {
			e.tap.mute()
			_ = e.conn.Close()
			_ = e.tap.Close()
		}
	})
	return client, server
}

// takeOver mutes and closes an end, as the transport does, and reads its state.
func (e end) takeOver(t testing.TB) Session {
	t.Helper()
	e.tap.mute()
	_ = e.conn.Close()
	s, err := Export(e.conn)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// One end is taken over, in each role. What pion had sealed is opened, its Finished too. pion opens
// what we seal, and no number is used twice.
func TestTakeOver(t *testing.T) {
	for id, suite := range suites {
		for _, cids := range [][2]string{{"", ""}, {"", "12345678"}, {"87654321", "12345678"}, {"87654321", ""}} {
			for _, asClient := range []bool{false, true} {
				t.Run(fmt.Sprintf("%v, CIDs %q, client %v", id, cids, asClient), func(t *testing.T) {
					ours, theirs := connect(t, id, []byte(cids[0]), []byte(cids[1]))
					ourCID, peerCID := cids[0], cids[1]
					if !asClient {
						ours, theirs = theirs, ours
						ourCID, peerCID = peerCID, ourCID
					}
					for _, e := range []end{ours, theirs, theirs, theirs} {
						if _, err := e.conn.Write([]byte("from pion")); err != nil {
							t.Fatal(err)
						}
					}
					s := ours.takeOver(t)
					identity := "reader"
					if asClient {
						identity = ""
					}
					if s.Client != asClient || s.Identity != identity || s.Sealing.Suite() != suite ||
						string(s.OurCID) != ourCID || string(s.PeerCID) != peerCID {
						t.Errorf("got %+v", s)
					}
					openTheirs(t, &s, theirs.tap.encrypted(t))
					sealToPion(t, &s, ours.tap.encrypted(t), theirs)
				})
			}
		}
	}
}

// openTheirs opens the Finished and three records in every order in which they can come. Each is
// opened once, and the highest number is the newest.
func openTheirs(t *testing.T, s *Session, records [][]byte) {
	t.Helper()
	if len(records) != 4 {
		t.Fatalf("got %d records, want a Finished and three more", len(records))
	}
	for _, order := range permute(records) {
		o, err := s.Opener()
		if err != nil {
			t.Fatal(err)
		}
		types, sc, highest := map[uint8]int{}, new(protect.Scratch), uint64(0)
		for i, r := range order {
			got, err := o.Open(nil, r, sc)
			if err != nil {
				t.Fatalf("%x: %v", r, err)
			}
			types[got.Type]++
			if got.Type == record.ApplicationData && string(got.Content) != "from pion" {
				t.Errorf("got %q", got.Content)
			}
			if newest := i == 0 || got.Number > highest; got.Newest != newest {
				t.Errorf("number %d after %d: newest is %v", got.Number, highest, got.Newest)
			}
			highest = max(highest, got.Number)
			for _, again := range order[:i+1] {
				if _, err := o.Open(nil, again, sc); !errors.Is(err, protect.ErrReplayed) {
					t.Errorf("again: got %v", err)
				}
			}
		}
		if types[record.Handshake] != 1 || types[record.ApplicationData] != 3 {
			t.Errorf("got records of the types %v, want a Finished and application data", types)
		}
	}
}

// permute returns all orders of a list.
func permute(list [][]byte) (all [][][]byte) {
	if len(list) == 0 {
		return [][][]byte{nil}
	}
	for i := range list {
		rest := append(append([][]byte(nil), list[:i]...), list[i+1:]...)
		for _, p := range permute(rest) {
			all = append(all, append([][]byte{list[i]}, p...))
		}
	}
	return all
}

func sealToPion(t *testing.T, s *Session, used [][]byte, to end) {
	t.Helper()
	sealer, err := s.Sealer()
	if err != nil {
		t.Fatal(err)
	}
	closed := used[len(used)-1]
	for _, r := range used {
		if n := binary.BigEndian.Uint64(r[3:]) & (1<<48 - 1); n >= s.Next {
			t.Errorf("ours begin with %d, but pion has used %d", s.Next, n)
		}
	}
	if n := binary.BigEndian.Uint64(closed[3:]) & (1<<48 - 1); n != 2 || s.Next != 3 {
		t.Errorf("the close_notify has number %d, ours begin with %d", n, s.Next)
	}
	from, err := net.Dial("udp", to.tap.LocalAddr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer from.Close()
	for i := range 3 {
		content := fmt.Sprintf("message %d of ours", i)
		r, err := sealer.Seal(nil, record.ApplicationData, []byte(content), 0, new(protect.Scratch))
		if err != nil {
			t.Fatal(err)
		}
		if _, err := from.Write(r); err != nil {
			t.Fatal(err)
		}
		buf := make([]byte, 100)
		_ = to.conn.SetReadDeadline(time.Now().Add(10 * time.Second))
		n, err := to.conn.Read(buf)
		if i == 0 && string(buf[:n]) == "from pion" { // our pion sent it before
			n, err = to.conn.Read(buf)
		}
		if err != nil || string(buf[:n]) != content {
			t.Fatalf("pion got %q, %v", buf[:n], err)
		}
	}
}

func TestExportTooEarly(t *testing.T) {
	c, err := net.ListenPacket("udp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	conn, err := dtls.ServerWithOptions(c, c.LocalAddr(), dtls.WithCipherSuites(dtls.TLS_PSK_WITH_AES_128_CCM_8),
		dtls.WithPSK(func([]byte) ([]byte, error) { return []byte("a secret"), nil }))
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	if s, err := Export(conn); err == nil {
		t.Errorf("before the handshake: got %+v", s)
	}
}
