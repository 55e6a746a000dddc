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

	"github.com/pion/dtls/v3"
	"github.com/pion/dtls/v3/pkg/crypto/ciphersuite"
	"github.com/pion/dtls/v3/pkg/crypto/elliptic"
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

// rawClient is a node that can do any step of a handshake at any time, each in a datagram of its
// own. pion's packages encode the messages and derive the keys; the test decides what is sent when.
type rawClient struct {
	conn      *net.UDPConn
	identity  string
	psk       []byte
	suite     dtls.CipherSuiteID
	asksCID   bool           // whether it asks for a connection ID of the gateway's; it offers none itself
	deliverTo func(b []byte) // if set, gets each datagram instead of the socket

	random handshake.Random
	cookie []byte
	seen   map[handshake.Random]bool // randoms of ServerHellos that answered earlier hellos
	// Handshake messages from the ClientHello with the cookie on; nil until a hello is answered.
	transcript []byte
	server     handshake.Random
	sequence   [2]uint64 // number of the next record, for each epoch
	master     []byte    // nil until there are keys
	cipher     cipherSuite
	exchange   []byte // the ServerKeyExchange; nil without one
	cid        []byte // the gateway's connection ID, which encrypted records must have
	changed    bool   // a ChangeCipherSpec was sent, so alerts are encrypted
	mid        uint16
	sent       [][]byte
}

// newRawClient makes a client that sends from an address ("127.0.0.1") to the gateway at to.
func newRawClient(t testing.TB, from string, to net.Addr, psk []byte) *rawClient {
	t.Helper()
	u, err := net.DialUDP("udp", &net.UDPAddr{IP: net.ParseIP(from)}, to.(*net.UDPAddr))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = u.Close() })
	return newRawClientOn(u, psk)
}

// openRawSession opens a session from an address, with or without a connection ID of the gateway's,
// and returns both ends.
func (s *site) openRawSession(t testing.TB, from string, cid bool) (*rawClient, *Conn) {
	t.Helper()
	c := newRawClient(t, from, s.Addr(), s.secret.PSK())
	c.asksCID = cid
	if err := c.completeHandshake(); err != nil {
		t.Fatal(err)
	}
	return c, receiveFrom(t, s.opened)
}

func newRawClientOn(u *net.UDPConn, psk []byte) *rawClient {
	zero := make([]byte, 16)
	return &rawClient{conn: u, identity: string(known), psk: psk, suite: suites[0],
		seen: map[handshake.Random]bool{}, cipher: newCipher(suites[0], &prf.EncryptionKeys{
			ClientWriteKey: zero, ClientWriteIV: zero, ServerWriteKey: zero, ServerWriteIV: zero})}
}

// cipherSuite is what seals and opens the records of a suite in pion.
type cipherSuite interface {
	Encrypt(*recordlayer.RecordLayer, []byte) ([]byte, error)
	Decrypt(recordlayer.Header, []byte) ([]byte, error)
}

// newCipher makes the client's end of a suite.
func newCipher(suite dtls.CipherSuiteID, k *prf.EncryptionKeys) (c cipherSuite) {
	var err error
	switch suite {
	case dtls.TLS_ECDHE_PSK_WITH_CHACHA20_POLY1305_SHA256:
		c, err = ciphersuite.NewChaCha20Poly1305(k.ClientWriteKey, k.ClientWriteIV, k.ServerWriteKey,
			k.ServerWriteIV)
	case dtls.TLS_PSK_WITH_AES_128_CCM:
		c, err = ciphersuite.NewCCM(ciphersuite.CCMTagLength, k.ClientWriteKey, k.ClientWriteIV,
			k.ServerWriteKey, k.ServerWriteIV)
	default:
		c, err = ciphersuite.NewCCM(ciphersuite.CCMTagLength8, k.ClientWriteKey, k.ClientWriteIV,
			k.ServerWriteKey, k.ServerWriteIV)
	}
	if err != nil {
		panic(err) // the lengths are ours
	}
	return c
}

// step is one thing that a client can send.
type step byte

const (
	// Two hellos, the second with the cookie, and then the wait for the gateway's ServerHelloDone.
	stepHello step = iota
	stepKeyExchange
	stepChangeCipher
	stepFinished
	stepData   // a CoAP GET, encrypted if there are keys
	stepClose  // close_notify
	stepFatal  // a fatal alert
	stepsCount // the number of steps
)

func (s step) String() string {
	return [...]string{"hello", "key", "ccs", "finished", "data", "close", "fatal"}[s]
}

func (c *rawClient) doStep(s step) (err error) {
	switch s {
	case stepHello:
		err = c.sayHello()
	case stepKeyExchange:
		c.sendKeyExchange()
	case stepChangeCipher:
		c.sendPlaintext(protocol.ContentTypeChangeCipherSpec, []byte{1})
		c.changed = true
	case stepFinished:
		c.sendEncrypted(protocol.ContentTypeHandshake, c.makeFinished())
	case stepData:
		c.mid++
		if b := makeGET(c.mid); c.master != nil {
			c.sendEncrypted(protocol.ContentTypeApplicationData, b)
		} else {
			c.sendPlaintext(protocol.ContentTypeApplicationData, b)
		}
	case stepClose:
		c.sendAlert(alert.Warning, alert.CloseNotify)
	case stepFatal:
		c.sendAlert(alert.Fatal, alert.HandshakeFailure)
	}
	return err
}

// sayHello begins a new handshake, up to the ServerHelloDone.
func (c *rawClient) sayHello() error {
	if err := c.random.Populate(); err != nil {
		return err
	}
	c.transcript, c.master, c.exchange, c.changed, c.sequence[1] = nil, nil, nil, false, 0
	m := &handshake.MessageClientHello{Version: protocol.Version1_2, Random: c.random,
		CipherSuiteIDs:     []uint16{uint16(c.suite)},
		CompressionMethods: []*protocol.CompressionMethod{{}},
		Extensions:         []extension.Extension{&extension.UseExtendedMasterSecret{Supported: true}}}
	if c.asksCID {
		m.Extensions = append(m.Extensions, &extension.ConnectionID{})
	}
	if c.suite == dtls.TLS_ECDHE_PSK_WITH_CHACHA20_POLY1305_SHA256 {
		m.Extensions = append(m.Extensions,
			&extension.SupportedEllipticCurves{EllipticCurves: []elliptic.Curve{elliptic.X25519}})
	}
	first := c.sequence[0]
	err := c.sendUntil(func() { c.sendPlaintext(protocol.ContentTypeHandshake, marshal(0, m)) },
		func(r []byte) bool {
			typ, _, ok := record.ParseHandshake(r)
			if !ok || r[0] != record.Handshake || typ != record.HelloVerifyRequest ||
				recordNumber(r) < first {
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
	err = c.sendUntil(func() { c.sendPlaintext(protocol.ContentTypeHandshake, second) }, func(r []byte) bool {
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
		case record.ServerKeyExchange:
			if answer != nil && c.exchange == nil {
				c.exchange, answer = bytes.Clone(body), append(answer, r[record.HeaderSize:]...)
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

func (c *rawClient) sendKeyExchange() {
	key := &handshake.MessageClientKeyExchange{IdentityHint: []byte(c.identity)}
	secret := prf.PSKPreMasterSecret(c.psk)
	lengths := [2]int{16, 4}
	if c.suite == dtls.TLS_ECDHE_PSK_WITH_CHACHA20_POLY1305_SHA256 {
		lengths = [2]int{32, 12}
		pair, err := elliptic.GenerateKeypair(elliptic.X25519)
		if err != nil {
			panic(err) // the curve is known
		}
		key.PublicKey = pair.PublicKey
		if c.exchange != nil { // a hint of no length, the curve, and 32 bytes
			secret, err = prf.EcdhePSKPreMasterSecret(c.psk, c.exchange[len(c.exchange)-32:], pair.PrivateKey,
				elliptic.X25519)
			if err != nil {
				panic(err) // only if it is no point of the curve
			}
		}
	}
	m := marshal(2, key)
	if c.transcript != nil && c.master == nil {
		c.transcript = append(c.transcript, m...)
		sum := sha256.Sum256(c.transcript)
		master, err := prf.ExtendedMasterSecret(secret, sum[:], sha256.New)
		if err != nil {
			panic(err) // only if the hash fails; the same holds for the panics below
		}
		client, server := c.random.MarshalFixed(), c.server.MarshalFixed()
		k, err := prf.GenerateEncryptionKeys(master, client[:], server[:], 0, lengths[0], lengths[1],
			sha256.New)
		if err != nil {
			panic(err)
		}
		c.master, c.cipher = master, newCipher(c.suite, k)
	}
	c.sendPlaintext(protocol.ContentTypeHandshake, m)
}

// makeFinished makes the Finished message. Without keys its verify data is zero.
func (c *rawClient) makeFinished() []byte {
	verify := make([]byte, 12)
	if c.master != nil {
		var err error
		if verify, err = prf.VerifyDataClient(c.master, c.transcript, sha256.New); err != nil {
			panic(err)
		}
	}
	return marshal(3, &handshake.MessageFinished{VerifyData: verify})
}

// completeHandshake opens a session. It repeats what is not answered.
func (c *rawClient) completeHandshake() error {
	if err := c.sayHello(); err != nil {
		return err
	}
	last := func() {
		for _, s := range []step{stepKeyExchange, stepChangeCipher, stepFinished} {
			_ = c.doStep(s)
		}
	}
	err := c.sendUntil(last, func(r []byte) bool {
		b, ok := c.decryptRecord(r, record.Handshake)
		if !ok {
			return false
		}
		want, err := prf.VerifyDataServer(c.master, append(bytes.Clone(c.transcript), c.makeFinished()...),
			sha256.New)
		return err == nil && len(b) > record.HandshakeHeaderSize &&
			bytes.Equal(b[record.HandshakeHeaderSize:], want)
	})
	if err != nil {
		return fmt.Errorf("no Finished: %w", err)
	}
	return nil
}

// requestOnce sends a request once and waits for its answer.
func (c *rawClient) requestOnce() error {
	_ = c.doStep(stepData)
	return c.awaitAnswer(c.mid)
}

// awaitAnswer waits for the answer to the request with a message ID.
func (c *rawClient) awaitAnswer(mid uint16) error {
	return c.receiveUntil(10*time.Second, func(r []byte) bool { return c.isAnswer(r, mid) })
}

func (c *rawClient) isAnswer(r []byte, mid uint16) bool {
	b, ok := c.decryptRecord(r, 23)
	return ok && len(b) >= 4 && b[0]>>4&3 == message.ACK && b[1] == byte(codes.Content) &&
		binary.BigEndian.Uint16(b[2:]) == mid
}

// makeGET makes a GET with a message ID.
func makeGET(mid uint16) []byte {
	return []byte{0x40 | message.CON<<4 | 2, byte(codes.GET), byte(mid >> 8), byte(mid), byte(mid >> 8),
		byte(mid), byte(coap.URIPath)<<4 | 1, 'x'}
}

func marshal(number uint16, m handshake.Message) []byte {
	b, err := (&handshake.Handshake{Header: handshake.Header{MessageSequence: number}, Message: m}).Marshal()
	if err != nil {
		panic(err) // the test made a wrong message
	}
	return b
}

// recordNumber returns a record's sequence number.
func recordNumber(r []byte) uint64 { return binary.BigEndian.Uint64(r[3:]) & (1<<48 - 1) }

func (c *rawClient) nextHeader(typ protocol.ContentType, epoch uint16, n int) recordlayer.Header {
	h := recordlayer.Header{ContentType: typ, ContentLen: uint16(n), Version: protocol.Version1_2,
		Epoch: epoch, SequenceNumber: c.sequence[epoch]}
	c.sequence[epoch]++
	return h
}

func (c *rawClient) sendPlaintext(typ protocol.ContentType, body []byte) {
	h := c.nextHeader(typ, 0, len(body))
	b, err := h.Marshal()
	if err != nil {
		panic(err) // only if the sequence number is too high
	}
	c.send(append(b, body...))
}

func (c *rawClient) sendEncrypted(typ protocol.ContentType, body []byte) {
	c.send(c.encryptRecord(typ, body))
}

// encryptRecord makes a record of epoch 1, with the gateway's connection ID if it gave one.
func (c *rawClient) encryptRecord(typ protocol.ContentType, body []byte) []byte {
	var err error
	if len(c.cid) > 0 {
		if body, err = (&recordlayer.InnerPlaintext{Content: body, RealType: typ}).Marshal(); err != nil {
			panic(err)
		}
		typ = protocol.ContentTypeConnectionID
	}
	h := c.nextHeader(typ, 1, len(body))
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

// decryptRecord decrypts a record, if it has this type.
func (c *rawClient) decryptRecord(r []byte, typ byte) (body []byte, ok bool) {
	if r[0] != typ || r[4] != 1 || c.master == nil {
		return nil, false
	}
	b, err := c.cipher.Decrypt(recordlayer.Header{}, bytes.Clone(r))
	if err != nil {
		return nil, false
	}
	return b[record.HeaderSize:], true
}

func (c *rawClient) sendAlert(level alert.Level, what alert.Description) {
	if body := []byte{byte(level), byte(what)}; c.changed {
		c.sendEncrypted(protocol.ContentTypeAlert, body)
	} else {
		c.sendPlaintext(protocol.ContentTypeAlert, body)
	}
}

func (c *rawClient) send(b []byte) {
	c.sent = append(c.sent, b)
	if c.deliverTo != nil {
		c.deliverTo(b)
		return
	}
	_, _ = c.conn.Write(b) // a test that waits for the answer notices a loss
}

var errSilent = errors.New("the expected record did not come")

// sendUntil calls send every 500 ms until take accepts a record.
func (c *rawClient) sendUntil(send func(), take func(r []byte) bool) (err error) {
	for range 20 {
		send()
		if err = c.receiveUntil(500*time.Millisecond, take); err == nil {
			return nil
		}
	}
	return err
}

// receiveUntil reads records until take accepts one.
func (c *rawClient) receiveUntil(limit time.Duration, take func(r []byte) bool) error {
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

// countBytes returns how many bytes arrive within limit.
func (c *rawClient) countBytes(limit time.Duration) (sum int) {
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
	s := startSite(t, Config{}, answerEcho)
	for _, cid := range []bool{false, true} {
		c := newRawClient(t, "127.0.0.1", s.Addr(), s.secret.PSK())
		c.asksCID = cid
		if err := c.completeHandshake(); err != nil {
			t.Fatalf("cid %v: %v", cid, err)
		}
		g := receiveFrom(t, s.opened)
		if got := len(c.cid); g.Identity() != string(known) || (got == record.CIDSize) != cid {
			t.Errorf("cid %v: got %q, a connection ID of %d bytes", cid, g.Identity(), got)
		}
		for range 3 {
			if err := c.requestOnce(); err != nil {
				t.Errorf("cid %v: no answer: %v", cid, err)
			}
		}
		_ = c.doStep(stepClose)
		receiveFrom(t, s.closed)
	}
}

// A node may send messages of any length as soon as it has our Finished, which may be before the
// listener has completed the handshake.
func TestFirstMessageMayBeLong(t *testing.T) {
	s := startSite(t, Config{}, answerEcho)
	long := append(append(makeGET(1), message.PayloadMarker), bytes.Repeat([]byte("a"), 1000)...)
	for i := range 100 {
		c := newRawClient(t, "127.0.0.1", s.Addr(), s.secret.PSK())
		if err := c.completeHandshake(); err != nil {
			t.Fatal(err)
		}
		c.sendEncrypted(protocol.ContentTypeApplicationData, long)
		if err := c.receiveUntil(time.Second, func(r []byte) bool { return c.isAnswer(r, 1) }); err != nil {
			t.Fatalf("session %d: no answer to its first message of %d bytes: %v", i, len(long), err)
		}
		_ = c.doStep(stepClose)
		receiveFrom(t, s.opened)
		receiveFrom(t, s.closed)
	}
}

// If two handshakes end in the opposite order to that in which they began, Number still tells which
// one began later.
func TestNumbersFollowTheHellos(t *testing.T) {
	s := startSite(t, Config{}, answerEcho)
	var nodes [2]*rawClient
	for i := range nodes {
		nodes[i] = newRawClient(t, "127.0.0.1", s.Addr(), s.secret.PSK())
		if err := nodes[i].sayHello(); err != nil {
			t.Fatal(err)
		}
	}
	var numbers [2]uint64
	for _, i := range []int{1, 0} {
		for _, st := range []step{stepKeyExchange, stepChangeCipher, stepFinished} {
			_ = nodes[i].doStep(st)
		}
		numbers[i] = receiveFrom(t, s.opened).Number()
	}
	if numbers[0] == 0 || numbers[1] <= numbers[0] {
		t.Errorf("got the numbers %d, and %d for the newer session, want the newer one's larger", numbers[0],
			numbers[1])
	}
}
