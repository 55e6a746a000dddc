package transport

import (
	"bytes"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"fmt"
	"net"
	"testing"
	"time"

	"github.com/pion/dtls/v3/pkg/crypto/ciphersuite"
	"github.com/pion/dtls/v3/pkg/crypto/prf"
	"github.com/pion/dtls/v3/pkg/protocol"
	"github.com/pion/dtls/v3/pkg/protocol/alert"
	"github.com/pion/dtls/v3/pkg/protocol/extension"
	"github.com/pion/dtls/v3/pkg/protocol/handshake"
	"github.com/pion/dtls/v3/pkg/protocol/recordlayer"
	coap "github.com/plgd-dev/go-coap/v3/message"
	"github.com/plgd-dev/go-coap/v3/message/codes"

	"latchkey/coapres/transport/message"
	"latchkey/coapres/transport/record"
)

// rawClient is a node that can be told to do any step of a handshake at any time, each in a
// datagram of its own. Formats and keys are pion's; what is sent when, is the test's.
type rawClient struct {
	conn     *net.UDPConn
	identity string
	psk      []byte
	asksCID  bool           // for one of the gateway's; it has none of its own
	hand     func(b []byte) // takes what is sent instead of the network, if there is one

	random     handshake.Random
	cookie     []byte
	seen       map[handshake.Random]bool // of ServerHellos that were answers to earlier hellos
	transcript []byte                    // from the ClientHello with the cookie on; nil: no answer to a hello yet
	server     handshake.Random
	sequence   [2]uint64 // the next record's number in each epoch
	master     []byte    // nil: no keys
	cipher     *ciphersuite.CCM
	cid        []byte // the gateway's: it stands in what is encrypted
	changed    bool   // a ChangeCipherSpec was sent: alerts are encrypted
	mid        uint16
	sent       [][]byte
}

// newRaw makes a client that sends from an address ("127.0.0.1") to the gateway at to.
func newRaw(t testing.TB, from string, to net.Addr, psk []byte) *rawClient {
	t.Helper()
	u, err := net.DialUDP("udp", &net.UDPAddr{IP: net.ParseIP(from)}, to.(*net.UDPAddr))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = u.Close() })
	return rawAt(u, psk)
}

// rawSession opens a session from an address, with a connection ID of the gateway's or without, and
// returns both its ends.
func (s *site) rawSession(t testing.TB, from string, cid bool) (*rawClient, *Conn) {
	t.Helper()
	c := newRaw(t, from, s.Addr(), s.secret.PSK())
	c.asksCID = cid
	if err := c.handshake(); err != nil {
		t.Fatal(err)
	}
	return c, within(t, s.opened)
}

func rawAt(u *net.UDPConn, psk []byte) *rawClient {
	zero := make([]byte, 16)
	return &rawClient{conn: u, identity: string(known), psk: psk, seen: map[handshake.Random]bool{}, cipher: ccm8(zero, zero, zero, zero)}
}

func ccm8(localKey, localIV, remoteKey, remoteIV []byte) *ciphersuite.CCM {
	c, err := ciphersuite.NewCCM(ciphersuite.CCMTagLength8, localKey, localIV, remoteKey, remoteIV)
	if err != nil {
		panic(err) // the lengths are ours
	}
	return c
}

// step is something a client can send.
type step byte

const (
	stepHello step = iota // all until the gateway's ServerHelloDone: two hellos, the second with the cookie
	stepKeyExchange
	stepChangeCipher
	stepFinished
	stepData   // a CoAP GET: encrypted when there are keys
	stepClose  // close_notify
	stepFatal  // a fatal alert
	stepsCount // how many there are
)

func (s step) String() string {
	return [...]string{"hello", "key", "ccs", "finished", "data", "close", "fatal"}[s]
}

func (c *rawClient) do(s step) (err error) {
	switch s {
	case stepHello:
		err = c.hello()
	case stepKeyExchange:
		c.keyExchange()
	case stepChangeCipher:
		c.plain(protocol.ContentTypeChangeCipherSpec, []byte{1})
		c.changed = true
	case stepFinished:
		c.encrypted(protocol.ContentTypeHandshake, c.finished())
	case stepData:
		c.mid++
		if b := get(c.mid); c.master != nil {
			c.encrypted(protocol.ContentTypeApplicationData, b)
		} else {
			c.plain(protocol.ContentTypeApplicationData, b)
		}
	case stepClose:
		c.alert(alert.Warning, alert.CloseNotify)
	case stepFatal:
		c.alert(alert.Fatal, alert.HandshakeFailure)
	}
	return err
}

// hello begins anew.
func (c *rawClient) hello() error {
	if err := c.random.Populate(); err != nil {
		return err
	}
	c.transcript, c.master, c.changed, c.sequence[1] = nil, nil, false, 0
	m := &handshake.MessageClientHello{Version: protocol.Version1_2, Random: c.random, CipherSuiteIDs: []uint16{uint16(suites[0])},
		CompressionMethods: []*protocol.CompressionMethod{{}},
		Extensions:         []extension.Extension{&extension.UseExtendedMasterSecret{Supported: true}}}
	if c.asksCID {
		m.Extensions = append(m.Extensions, &extension.ConnectionID{})
	}
	first := c.sequence[0]
	err := c.ask(func() { c.plain(protocol.ContentTypeHandshake, marshal(0, m)) }, func(r []byte) bool {
		typ, _, ok := record.ParseHandshake(r)
		if !ok || r[0] != record.Handshake || typ != record.HelloVerifyRequest || number(r) < first {
			return false
		}
		c.cookie = bytes.Clone(r[record.HeaderSize+record.HandshakeHeaderSize+3:])
		m.Cookie = c.cookie
		return true
	})
	if err != nil {
		return fmt.Errorf("no HelloVerifyRequest: %w", err)
	}
	second := marshal(1, m)
	var answer []byte
	err = c.ask(func() { c.plain(protocol.ContentTypeHandshake, second) }, func(r []byte) bool {
		typ, _, ok := record.ParseHandshake(r)
		if !ok || r[0] != record.Handshake || r[4] != 0 {
			return false
		}
		switch body := r[record.HeaderSize+record.HandshakeHeaderSize:]; typ {
		case record.ServerHello:
			var sh handshake.MessageServerHello
			if err := sh.Unmarshal(body); err != nil || c.seen[sh.Random] {
				return false
			}
			c.server, answer = sh.Random, bytes.Clone(r[record.HeaderSize:])
			for _, e := range sh.Extensions {
				if e, ok := e.(*extension.ConnectionID); ok {
					c.cid = e.CID
				}
			}
		case record.ServerHelloDone:
			if answer != nil {
				answer = append(answer, r[record.HeaderSize:]...)
				return true
			}
		}
		return false
	})
	if err != nil {
		return fmt.Errorf("no ServerHelloDone: %w", err)
	}
	c.seen[c.server] = true
	c.transcript = append(second, answer...)
	return nil
}

func (c *rawClient) keyExchange() {
	m := marshal(2, &handshake.MessageClientKeyExchange{IdentityHint: []byte(c.identity)})
	if c.transcript != nil && c.master == nil {
		c.transcript = append(c.transcript, m...)
		sum := sha256.Sum256(c.transcript)
		master, err := prf.ExtendedMasterSecret(prf.PSKPreMasterSecret(c.psk), sum[:], sha256.New)
		if err != nil {
			panic(err) // only of a hash that fails, as those below
		}
		client, server := c.random.MarshalFixed(), c.server.MarshalFixed()
		k, err := prf.GenerateEncryptionKeys(master, client[:], server[:], 0, 16, 4, sha256.New)
		if err != nil {
			panic(err)
		}
		c.master, c.cipher = master, ccm8(k.ClientWriteKey, k.ClientWriteIV, k.ServerWriteKey, k.ServerWriteIV)
	}
	c.plain(protocol.ContentTypeHandshake, m)
}

// finished is the Finished message, of zeros where there are no keys.
func (c *rawClient) finished() []byte {
	verify := make([]byte, 12)
	if c.master != nil {
		var err error
		if verify, err = prf.VerifyDataClient(c.master, c.transcript, sha256.New); err != nil {
			panic(err)
		}
	}
	return marshal(3, &handshake.MessageFinished{VerifyData: verify})
}

// handshake opens a session. What is not answered is sent again.
func (c *rawClient) handshake() error {
	if err := c.hello(); err != nil {
		return err
	}
	last := func() {
		for _, s := range []step{stepKeyExchange, stepChangeCipher, stepFinished} {
			_ = c.do(s)
		}
	}
	err := c.ask(last, func(r []byte) bool {
		b, ok := c.open(r, record.Handshake)
		if !ok {
			return false
		}
		want, err := prf.VerifyDataServer(c.master, append(bytes.Clone(c.transcript), c.finished()...), sha256.New)
		return err == nil && len(b) > record.HandshakeHeaderSize && bytes.Equal(b[record.HandshakeHeaderSize:], want)
	})
	if err != nil {
		return fmt.Errorf("no Finished: %w", err)
	}
	return nil
}

// request sends a request, once, and waits for its answer.
func (c *rawClient) request() error {
	_ = c.do(stepData)
	return c.answered(c.mid)
}

// answered waits for the answer to a request that was sent.
func (c *rawClient) answered(mid uint16) error {
	return c.hear(10*time.Second, func(r []byte) bool { return c.answers(r, mid) })
}

func (c *rawClient) answers(r []byte, mid uint16) bool {
	b, ok := c.open(r, 23)
	return ok && len(b) >= 4 && b[0]>>4&3 == message.ACK && b[1] == byte(codes.Content) && binary.BigEndian.Uint16(b[2:]) == mid
}

// get is a GET with a message ID.
func get(mid uint16) []byte {
	return []byte{0x40 | message.CON<<4 | 2, byte(codes.GET), byte(mid >> 8), byte(mid), byte(mid >> 8), byte(mid), byte(coap.URIPath)<<4 | 1, 'x'}
}

func marshal(number uint16, m handshake.Message) []byte {
	b, err := (&handshake.Handshake{Header: handshake.Header{MessageSequence: number}, Message: m}).Marshal()
	if err != nil {
		panic(err) // of a message that the test made wrong
	}
	return b
}

// number is a record's own.
func number(r []byte) uint64 { return binary.BigEndian.Uint64(r[3:]) & (1<<48 - 1) }

func (c *rawClient) header(typ protocol.ContentType, epoch uint16, n int) recordlayer.Header {
	h := recordlayer.Header{ContentType: typ, ContentLen: uint16(n), Version: protocol.Version1_2, Epoch: epoch, SequenceNumber: c.sequence[epoch]}
	c.sequence[epoch]++
	return h
}

func (c *rawClient) plain(typ protocol.ContentType, body []byte) {
	h := c.header(typ, 0, len(body))
	b, err := h.Marshal()
	if err != nil {
		panic(err) // of a number that is too high
	}
	c.send(append(b, body...))
}

func (c *rawClient) encrypted(typ protocol.ContentType, body []byte) { c.send(c.seal(typ, body)) }

// seal makes a record of epoch 1, with the gateway's connection ID where it gave one.
func (c *rawClient) seal(typ protocol.ContentType, body []byte) []byte {
	var err error
	if len(c.cid) > 0 {
		if body, err = (&recordlayer.InnerPlaintext{Content: body, RealType: typ}).Marshal(); err != nil {
			panic(err)
		}
		typ = protocol.ContentTypeConnectionID
	}
	h := c.header(typ, 1, len(body))
	if typ == protocol.ContentTypeConnectionID {
		h.ConnectionID = c.cid
	}
	b, err := h.Marshal()
	if err != nil {
		panic(err)
	}
	if b, err = c.cipher.Encrypt(&recordlayer.RecordLayer{Header: h}, append(b, body...)); err != nil {
		panic(err)
	}
	return b
}

// open decrypts a record of one type.
func (c *rawClient) open(r []byte, typ byte) (body []byte, ok bool) {
	if r[0] != typ || r[4] != 1 || c.master == nil {
		return nil, false
	}
	b, err := c.cipher.Decrypt(recordlayer.Header{}, bytes.Clone(r))
	if err != nil {
		return nil, false
	}
	return b[record.HeaderSize:], true
}

func (c *rawClient) alert(level alert.Level, what alert.Description) {
	if body := []byte{byte(level), byte(what)}; c.changed {
		c.encrypted(protocol.ContentTypeAlert, body)
	} else {
		c.plain(protocol.ContentTypeAlert, body)
	}
}

func (c *rawClient) send(b []byte) {
	c.sent = append(c.sent, b)
	if c.hand != nil {
		c.hand(b)
		return
	}
	_, _ = c.conn.Write(b) // what is lost is missed by whoever waits for its answer
}

var errSilent = errors.New("nothing came of what was waited for")

// ask sends until a record comes that take takes.
func (c *rawClient) ask(send func(), take func(r []byte) bool) (err error) {
	for range 20 {
		send()
		if err = c.hear(500*time.Millisecond, take); err == nil {
			return nil
		}
	}
	return err
}

// hear reads until a record comes that take takes.
func (c *rawClient) hear(limit time.Duration, take func(r []byte) bool) error {
	_ = c.conn.SetReadDeadline(time.Now().Add(limit))
	for buf := make([]byte, maxDatagram); ; {
		n, err := c.conn.Read(buf)
		if err != nil {
			return errors.Join(errSilent, err)
		}
		for b := buf[:n]; len(b) > 0; {
			r, rest, ok := record.Split(b)
			if !ok {
				break
			}
			if take(r) {
				return nil
			}
			b = rest
		}
	}
}

// within is how many bytes come in that time.
func (c *rawClient) within(limit time.Duration) (sum int) {
	_ = c.conn.SetReadDeadline(time.Now().Add(limit))
	for buf := make([]byte, maxDatagram); ; {
		n, err := c.conn.Read(buf)
		if err != nil {
			return sum
		}
		sum += n
	}
}

func TestRawClient(t *testing.T) {
	s := listen(t, Config{}, echo)
	for _, cid := range []bool{false, true} {
		c := newRaw(t, "127.0.0.1", s.Addr(), s.secret.PSK())
		c.asksCID = cid
		if err := c.handshake(); err != nil {
			t.Fatalf("cid %v: %v", cid, err)
		}
		g := within(t, s.opened)
		if got := len(c.cid); g.Identity() != string(known) || (got == record.CIDSize) != cid {
			t.Errorf("cid %v: got %q, a connection ID of %d bytes", cid, g.Identity(), got)
		}
		for range 3 {
			if err := c.request(); err != nil {
				t.Errorf("cid %v: no answer: %v", cid, err)
			}
		}
		_ = c.do(stepClose)
		within(t, s.closed)
	}
}

// A node may speak at any length as soon as it has our Finished, which may be before the listener
// is through with the handshake.
func TestFirstMessageMayBeLong(t *testing.T) {
	s := listen(t, Config{}, echo)
	long := append(append(get(1), message.PayloadMarker), bytes.Repeat([]byte("a"), 1000)...)
	for i := range 100 {
		c := newRaw(t, "127.0.0.1", s.Addr(), s.secret.PSK())
		if err := c.handshake(); err != nil {
			t.Fatal(err)
		}
		c.encrypted(protocol.ContentTypeApplicationData, long)
		if err := c.hear(time.Second, func(r []byte) bool { return c.answers(r, 1) }); err != nil {
			t.Fatalf("session %d: no answer to its first message of %d bytes: %v", i, len(long), err)
		}
		_ = c.do(stepClose)
		within(t, s.opened)
		within(t, s.closed)
	}
}

// Of two handshakes that end in another order than they began, the number still tells which is
// newer.
func TestNumbersFollowTheHellos(t *testing.T) {
	s := listen(t, Config{}, echo)
	var nodes [2]*rawClient
	for i := range nodes {
		nodes[i] = newRaw(t, "127.0.0.1", s.Addr(), s.secret.PSK())
		if err := nodes[i].hello(); err != nil {
			t.Fatal(err)
		}
	}
	var numbers [2]uint64
	for _, i := range []int{1, 0} {
		for _, st := range []step{stepKeyExchange, stepChangeCipher, stepFinished} {
			_ = nodes[i].do(st)
		}
		numbers[i] = within(t, s.opened).Number()
	}
	if numbers[0] == 0 || numbers[1] <= numbers[0] {
		t.Errorf("got %d, and %d for the newer", numbers[0], numbers[1])
	}
}
