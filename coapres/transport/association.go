package transport

import (
	"container/list"
	"context"
	"encoding/binary"
	"errors"
	"net"
	"net/netip"
	"slices"
	"sync/atomic"
	"time"

	"github.com/pion/dtls/v3"

	"latchkey/coapres/transport/pipe"
	"latchkey/coapres/transport/record"
	"latchkey/coapres/transport/record/protect"
)

const (
	maxPerPeer = 8               // half-open associations of one address and port
	queueHalf  = 8               // records that wait for pion
	settleTime = time.Second / 2 // a younger half-open association makes no room for another
	finishTime = 5 * time.Second // from the first encrypted record to the end of the handshake
	maxHeld    = 8               // datagrams that are held until a new address is proven
	// The longest record with an empty CoAP message, in bytes; a GET /act is longer.
	pingRecord = 41
)

// peerAddr is the address that pion is given. pion compares addresses with ==.
type peerAddr struct{ netip.AddrPort }

func (peerAddr) Network() string { return "udp" }

// phase is how far an association has come.
type phase uint8

const (
	half phase = iota // in its handshake
	live              // pion has verified the other side's Finished
	gone              // removed from all tables
)

// association is the gateway's end of one DTLS association, first of the handshake and then of its
// records. The listener gives it records, and it sends through the listener's socket.
type association struct {
	l      *Listener
	conn   *Conn
	number uint64
	cid    [record.CIDSize]byte // ours: records with it are for this association

	// Guarded by l.mu.
	phase    phase
	at       netip.AddrPort // its address in peers
	slot     *list.Element  // its place in the list of half-open associations; nil when it is not half-open
	early    int            // encrypted records before the handshake was complete
	exchange bool           // a ClientKeyExchange came
	cancel   context.CancelFunc
	finish   *time.Timer // calls cancel when the handshake takes too long; nil before its end begins
	evicted  bool

	known  bool     // counted in the reserved share
	digest [32]byte // of the hello that began the association
	begun  time.Time

	pion     atomic.Pointer[negotiation] // nil after the handshake
	usesCID  atomic.Bool                 // the node sends our CID, as the handshake agreed
	mute     atomic.Bool                 // send nothing more
	finished atomic.Bool                 // our Finished is sent, and nothing more of what pion writes
	alert    atomic.Uint32
	identity atomic.Pointer[string] // as claimed; proven when the handshake is complete

	secure  // and its mu
	current netip.AddrPort
	home    netip.AddrPort // guarded by mu, as current; the last address that was proven
	path    uint32         // guarded by mu, as current; how often the address has moved
	proven  bool           // guarded by mu; current has answered something that we sent there
	credit  int            // guarded by mu; bytes that may still be sent to current while it is not proven
	held    [][]byte       // guarded by mu; sent to current once it is proven
	// Guarded by mu; our last flight as it was sent, until an encrypted record follows it.
	last     []byte
	repeated time.Time // guarded by mu; when it was last retransmitted
	refused  time.Time // guarded by mu; when a renegotiation was last refused
}

// negotiation is what an association needs only until its handshake is complete.
type negotiation struct {
	dc     *dtls.Conn
	pipe   *pipe.Pipe
	random [32]byte // the client's
	// The stateless cookie. Used by pion's handshake goroutine until pion's HelloVerifyRequest is
	// dropped.
	cookie, second []byte
	shift          uint64 // added to the sequence numbers of the plaintext records that we send
}

// writeHandshake sends what pion wrote, until its last flight is sent.
func (a *association) writeHandshake(b []byte) {
	hs := a.pion.Load()
	switch {
	case hs == nil || a.finished.Load() || a.mute.Load() || len(b) < record.HeaderSize:
		return
	case hs.second != nil && b[0] == record.Handshake && len(b) > record.HeaderSize &&
		b[record.HeaderSize] == record.HelloVerifyRequest:
		// Dropped: the node has already answered ours. pion is given that cookie.
		setCookie(hs.dc, hs.cookie)
		hs.pipe.Give(hs.second, queueHalf)
		hs.second = nil
		return
	case b[0] == record.Alert && len(b) == record.HeaderSize+2 && b[record.HeaderSize] == 2:
		a.alert.Store(uint32(b[record.HeaderSize+1]))
	}
	if hs.shift != 0 {
		b = renumber(b, hs.shift)
	}
	if b[0] != record.ChangeCipherSpec {
		a.l.socket.QueueUnproven(b, a.current, a.known)
		a.l.socket.Flush()
		return
	}
	a.mu.Lock()
	a.last = slices.Clone(b) // with the Finished, in one datagram
	a.mu.Unlock()
	a.finished.Store(true)
	a.l.socket.Queue(b, a.current)
	a.l.socket.Flush()
}

// receive opens a record of a live association and does what it asks. The caller flushes.
func (a *association) receive(r []byte, from netip.AddrPort, at time.Time, w *workspace) {
	a.mu.Lock()
	c, repeated, err := a.open(r, w)
	moved := err == nil && c.Newest && from != a.current && a.usesCID.Load()
	if moved { // RFC 9146 §6
		a.current, a.proven, a.credit, a.held = from, false, 0, nil
		a.path++
	}
	if err == nil && from == a.current && !a.proven {
		a.credit += len(r)
	}
	if err == nil && c.Type == record.ApplicationData {
		a.last = nil
	}
	a.mu.Unlock()
	if moved {
		a.l.recordMove(a)
	}
	switch {
	case errors.Is(err, protect.ErrReplayed):
		a.l.counts.replayed.Add(1)
	case err != nil:
		a.l.counts.undecryptable.Add(1)
	}
	switch {
	case repeated:
		a.retransmitFlight()
	case err != nil:
	case c.Type == record.ApplicationData:
		a.conn.receive(c.Content, at)
	case isHandshake(c, record.ClientHello):
		a.refuseRenegotiation()
	case c.Type == record.Alert:
		if alert, ok := protect.ParseAlert(c.Content); ok && alert.Ends() {
			a.mute.CompareAndSwap(false, alert != protect.CloseNotify) // a fatal one is not answered
			_ = a.conn.Close()
		}
	}
}

// begin handles the records that came during the handshake, and from then on each as it comes.
func (a *association) begin() {
	w := workspaces.Get().(*workspace)
	defer workspaces.Put(w)
	a.goLive(func(k early) {
		a.receive(k.record, k.from, k.at, w)
		a.Flush()
	})
}

// Path returns the number of the present address. It grows when the node moves.
func (a *association) Path() uint32 {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.path
}

// Home returns the last address that was proven.
func (a *association) Home() netip.AddrPort {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.home
}

// Prove records that something sent on path n was answered: whoever is there has the keys and
// receives what we send.
func (a *association) Prove(n uint32) {
	a.mu.Lock()
	if n != a.path || a.proven {
		a.mu.Unlock()
		return
	}
	held, to := a.held, a.current
	a.proven, a.home, a.held = true, to, nil
	a.mu.Unlock()
	for _, b := range held {
		a.l.socket.Queue(b, to)
	}
	if len(held) > 0 {
		a.Flush()
	}
}

// Queue queues one message for Flush.
func (a *association) Queue(m []byte) error { return a.queueRecord(record.ApplicationData, m) }

// Flush sends what is queued, of all associations.
func (a *association) Flush() { a.l.socket.Flush() }

func (a *association) queueRecord(typ uint8, content []byte) error {
	if a.mute.Load() {
		return nil
	}
	err := a.seal(typ, content, a.transmit)
	if errors.Is(err, protect.ErrNumbers) { // the node begins a new session
		go func() { _ = a.conn.Close() }()
	}
	return err
}

// transmit queues a sealed record for the present address.
func (a *association) transmit(r []byte) {
	switch to, ok, proven := a.maySend(r); {
	case !ok:
	case proven:
		a.l.socket.Queue(r, to)
	default:
		a.l.socket.QueueUnproven(r, to, a.known)
	}
}

// maySend tells where a record may go now, and whether that address is proven. Somebody who copies
// a record and sends it from elsewhere moves the address there. So a new address gets only pings
// until it is proven, and no more bytes than came from it (RFC 9146 §6). All else waits.
func (a *association) maySend(r []byte) (to netip.AddrPort, ok, proven bool) {
	a.mu.Lock()
	defer a.mu.Unlock()
	switch {
	case a.proven:
		return a.current, true, true
	case len(r) <= pingRecord && len(r) <= a.credit:
		a.credit -= len(r)
		return a.current, true, false
	case len(r) > pingRecord && len(a.held) < maxHeld:
		a.held = append(a.held, slices.Clone(r))
	}
	return a.current, false, false
}

// retransmitFlight sends our last flight again when the node repeats its Finished (RFC 6347
// §4.2.4): ours was lost. Nothing proves that the node sent the repetition. So the flight is sent
// rarely, only to a proven address, and not after the node has sent application data.
func (a *association) retransmitFlight() {
	now := time.Now()
	a.mu.Lock()
	b, to := a.last, a.current
	if b == nil || !a.proven || now.Sub(a.repeated) < flightInterval/2 {
		a.mu.Unlock()
		return
	}
	a.repeated = now
	a.mu.Unlock()
	a.l.socket.Queue(b, to)
}

// refuseRenegotiation answers a ClientHello within the session, at most once a second. Without an
// answer OpenSSL and GnuTLS wait for one and send nothing else.
func (a *association) refuseRenegotiation() {
	now := time.Now()
	a.mu.Lock()
	soon := now.Sub(a.refused) < time.Second
	if !soon {
		a.refused = now
	}
	a.mu.Unlock()
	if !soon {
		_ = a.queueRecord(record.Alert, protect.NoRenegotiation.AppendTo(nil))
	}
}

// renumber adds shift to the sequence numbers of the plaintext records in b. The first ServerHello
// must have the number of the ClientHello with the cookie (RFC 6347 §4.2.1), but pion begins at 1.
func renumber(b []byte, shift uint64) []byte {
	out := append([]byte(nil), b...)
	for r := out; len(r) >= record.HeaderSize && r[0] != record.TLS12CID; {
		n := record.HeaderSize + int(binary.BigEndian.Uint16(r[11:]))
		if n > len(r) {
			break
		}
		if r[3] == 0 && r[4] == 0 {
			s := binary.BigEndian.Uint64(r[3:]) + shift
			binary.BigEndian.PutUint64(r[3:], s&(1<<48-1))
		}
		r = r[n:]
	}
	return out
}

// Close ends the association, with a close_notify unless it is mute. [Conn.Close] calls it once.
func (a *association) Close() error {
	err := a.queueRecord(record.Alert, protect.CloseNotify.AppendTo(nil))
	a.Flush()
	a.mute.Store(true)
	a.sealer.End()
	a.l.dropAssociation(a)
	return err
}

func (a *association) RemoteAddr() net.Addr { return peerAddr{a.current} }
