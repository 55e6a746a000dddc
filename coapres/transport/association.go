package transport

import (
	"container/list"
	"context"
	"encoding/binary"
	"io"
	"net"
	"net/netip"
	"os"
	"sync"
	"sync/atomic"
	"time"

	"github.com/pion/dtls/v3"

	"latchkey/coapres/transport/record"
)

const (
	queueLive = 32 // records that wait for pion
	queueHalf = 8  // the same, before the handshake is complete
	// The longest encrypted record before that, in bytes: it can only be a Finished.
	earlyRecord = 256
	earlyCount  = 32                     // how many of those pion gets; it keeps each that is too early
	finishTime  = 5 * time.Second        // from the first of them to the end of the handshake
	moveTime    = time.Millisecond       // see awaitMove
	drainTime   = 500 * time.Millisecond // see drainQueue
	maxHeld     = 8                      // datagrams that are held until a new address is proven
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

// association is the net.PacketConn below one pion connection. The listener gives it records, one
// at a time, and what pion sends leaves through the listener's socket.
type association struct {
	l      *Listener
	dc     *dtls.Conn
	number uint64
	cid    [record.CIDSize]byte // ours: records with it are for this association

	// Guarded by l.mu.
	phase    phase
	at       netip.AddrPort // its address in peers
	slot     *list.Element  // its place in the list of half-open associations; nil when it is not half-open
	early    int            // encrypted records before the handshake was complete
	exchange bool           // a ClientKeyExchange came
	cancel   context.CancelFunc
	evicted  bool

	known  bool     // counted in the reserved share
	digest [32]byte // of the hello that began the association
	random [32]byte // the client's

	// The stateless cookie. Used by pion's handshake goroutine until it drops pion's
	// HelloVerifyRequest.
	cookie, second []byte
	shift          uint64 // added to the sequence numbers of the plaintext records that we send

	usesCID  atomic.Bool // the node sends our CID, as the handshake agreed
	mute     atomic.Bool // send nothing more
	finished atomic.Bool // pion has sent its Finished: the other side's records may have any length
	alert    atomic.Uint32
	identity atomic.Pointer[string] // as claimed; proven when the handshake is complete

	mu       sync.Mutex
	queue    []datagram // guarded by mu
	closed   bool       // guarded by mu
	ending   bool       // guarded by mu; no more records are queued
	waiting  bool       // guarded by mu; pion has handled all records that came before
	expired  bool       // guarded by mu; ReadFrom returns at once
	sequence uint64     // guarded by mu; of the plaintext records given to pion
	turn     uint64     // guarded by mu; calls of ReadFrom
	taken    datagram   // guarded by mu; the record that pion is handling, without its bytes
	current  netip.AddrPort
	home     netip.AddrPort // guarded by mu, as current; the last address that was proven
	path     uint32         // guarded by mu, as current; how often the address has moved
	proven   bool           // guarded by mu; current has answered something that we sent there
	credit   int            // guarded by mu; bytes that may still be sent to current while it is not proven
	held     [][]byte       // guarded by mu; sent to current once it is proven
	// Guarded by mu; our last flight, until an encrypted record follows it.
	last     []byte
	repeated time.Time // guarded by mu; when it was last retransmitted
	wake     sync.Cond // of mu: ReadFrom has something to return
}

type datagram struct {
	buf  *[maxDatagram]byte
	n    int
	from netip.AddrPort
}

// queueRecord queues one record for pion, or drops it when the queue is full.
func (a *association) queueRecord(r []byte, from netip.AddrPort, room int) bool {
	a.mu.Lock()
	if a.closed || a.ending || len(a.queue) >= room {
		a.mu.Unlock()
		return false
	}
	d := datagram{buf: buffers.Get().(*[maxDatagram]byte), from: from}
	d.n = copy(d.buf[:], r)
	if r[3] == 0 && r[4] == 0 && r[0] != record.TLS12CID {
		// Nothing authenticates the sequence number of a plaintext record. After a forged high
		// number pion would drop the true records as old.
		binary.BigEndian.PutUint16(d.buf[5:], uint16(a.sequence>>32))
		binary.BigEndian.PutUint32(d.buf[7:], uint32(a.sequence))
		a.sequence++
	}
	if from == a.current && !a.proven {
		a.credit += len(r)
	}
	a.queue = append(a.queue, d)
	a.mu.Unlock()
	a.wake.Signal()
	return true
}

// ReadFrom gives pion the next record. When pion calls it, pion has finished the record before.
// Every idle session waits in this function. Go shrinks a stack of which less than a quarter is in
// use, so whatever needs stack is in takeRecord.
func (a *association) ReadFrom(b []byte) (int, net.Addr, error) {
	a.mu.Lock()
	a.turn++
	if a.taken.n > 0 && a.taken.from != a.current {
		a.mu.Unlock()
		a.noteMove()
		a.mu.Lock()
	}
	a.taken.n = 0
	for len(a.queue) == 0 && !a.closed && !a.expired {
		a.waiting = true
		a.wake.Wait()
	}
	a.waiting = false
	n, from, err := a.takeRecord(b)
	a.mu.Unlock()
	return n, from, err
}

// takeRecord returns what ReadFrom returns once it need not wait any more. The caller holds a.mu.
func (a *association) takeRecord(b []byte) (int, net.Addr, error) {
	switch {
	case a.closed:
		return 0, nil, net.ErrClosed
	case a.expired:
		return 0, nil, os.ErrDeadlineExceeded
	}
	d := a.queue[0]
	if a.queue = a.queue[1:]; len(a.queue) == 0 {
		a.queue = nil
	}
	a.taken = datagram{n: d.n, from: d.from}
	n := copy(b, d.buf[:d.n])
	buffers.Put(d.buf)
	return n, peerAddr{d.from}, nil
}

// noteMove records that pion has moved the address. pion does that by itself, after the newest
// authenticated record with our CID (RFC 9146 §6).
func (a *association) noteMove() {
	a.mu.Lock()
	to := a.dc.RemoteAddr().(peerAddr).AddrPort
	if to == a.current {
		a.mu.Unlock()
		return
	}
	a.current, a.proven, a.credit, a.held = to, false, 0, nil
	if a.taken.from == to {
		a.credit = a.taken.n
	}
	a.path++
	a.mu.Unlock()
	a.l.recordMove(a)
}

// awaitMove waits while pion handles a record from a new address. pion passes on the record's
// content before it moves the address, so an answer would go to the old address. The wait is
// bounded, because pion may be waiting for us.
func (a *association) awaitMove() {
	a.mu.Lock()
	foreign, turn := a.taken.n > 0 && a.taken.from != a.current, a.turn
	a.mu.Unlock()
	for end := time.Now().Add(moveTime); foreign && time.Now().Before(end); {
		time.Sleep(10 * time.Microsecond)
		a.mu.Lock()
		foreign = a.turn == turn && !a.closed
		a.mu.Unlock()
	}
}

// drainQueue stops queueing records and waits until those in the queue are handled. The wait is
// bounded, because pion may be waiting for the reader.
func (a *association) drainQueue() {
	a.mu.Lock()
	a.ending = true
	for end := time.Now().Add(drainTime); (len(a.queue) > 0 || !a.waiting) && !a.closed &&
		time.Now().Before(end); {
		a.mu.Unlock()
		time.Sleep(100 * time.Microsecond)
		a.mu.Lock()
	}
	a.mu.Unlock()
}

// Path returns the number of the present address. It grows when the node moves.
func (a *association) Path() uint32 {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.path
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
		a.l.socket.write(b, to)
	}
}

// WriteTo sends what pion wrote.
func (a *association) WriteTo(b []byte, to net.Addr) (int, error) {
	p, ok := to.(peerAddr)
	switch {
	case !ok:
		return 0, net.InvalidAddrError("not an address of ours")
	case a.mute.Load():
		return len(b), nil
	case len(b) < record.HeaderSize:
		return 0, net.InvalidAddrError("not a record")
	}
	switch {
	case a.second != nil && b[0] == record.Handshake && len(b) > record.HeaderSize &&
		b[record.HeaderSize] == record.HelloVerifyRequest:
		// Dropped: the node has already answered ours. pion is given that cookie.
		setCookie(a.dc, a.cookie)
		second := a.second
		a.second = nil
		a.queueRecord(second, a.current, queueHalf)
		return len(b), nil
	case b[0] == record.Alert && len(b) == record.HeaderSize+2 && b[record.HeaderSize] == 2:
		a.alert.Store(uint32(b[record.HeaderSize+1]))
	}
	if a.shift != 0 {
		b = renumber(b, a.shift)
	}
	if b[0] == record.ChangeCipherSpec { // with the Finished in one datagram
		a.finished.Store(true)
		a.mu.Lock()
		a.last = append([]byte(nil), b...)
		a.mu.Unlock()
	}
	a.mu.Lock()
	moved := p.AddrPort != a.current
	a.mu.Unlock()
	if moved { // before pion has asked for the next record
		a.noteMove()
	}
	switch ok, proven := a.maySend(b, p.AddrPort); {
	case !ok:
	case proven && a.finished.Load():
		a.l.socket.write(b, p.AddrPort)
	default:
		a.l.socket.writeUnproven(b, p.AddrPort, a.known)
	}
	return len(b), nil
}

// retransmitFlight retransmits our last flight when the node repeats its Finished (RFC 6347
// §4.2.4): ours was lost. pion does this too, but not when the other side is pion as well: that
// sends its Finished with a connection ID under the same number each time, and pion drops it as a
// replay. Nothing proves that the node sent the repetition. So the flight is sent rarely, only to a
// proven address, and not after the node has sent application data.
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
	a.l.socket.write(b, to)
}

// maySend tells whether a record may go to an address now, and whether the address is proven.
// Somebody who copies a record and sends it from elsewhere moves the address there. So a new
// address gets only pings until it is proven, and no more bytes than came from it (RFC 9146 §6).
// All else waits.
func (a *association) maySend(b []byte, to netip.AddrPort) (ok, proven bool) {
	a.mu.Lock()
	defer a.mu.Unlock()
	switch {
	case to != a.current: // pion made the record before it moved the address
		return to == a.home, true
	case a.proven:
		return true, true
	case len(b) <= pingRecord && len(b) <= a.credit:
		a.credit -= len(b)
		return true, false
	case len(b) > pingRecord && len(a.held) < maxHeld:
		a.held = append(a.held, append([]byte(nil), b...))
	}
	return false, false
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

// Close ends the association. It sends nothing and does not wait. Twice is harmless.
func (a *association) Close() error {
	a.l.dropAssociation(a)
	a.mu.Lock()
	a.closed = true
	for _, d := range a.queue {
		buffers.Put(d.buf)
	}
	a.queue = nil
	a.mu.Unlock()
	a.wake.Signal()
	return nil
}

func (a *association) LocalAddr() net.Addr              { return a.l.Addr() }
func (a *association) SetDeadline(t time.Time) error    { return a.SetReadDeadline(t) }
func (a *association) SetWriteDeadline(time.Time) error { return nil }
func (a *association) SetReadDeadline(t time.Time) error {
	a.mu.Lock()
	a.expired = !t.IsZero() && !t.After(time.Now())
	a.mu.Unlock()
	a.wake.Signal()
	return nil
}

// established is the connection of a live association, for the message layer.
type established struct {
	*dtls.Conn
	*association
}

// Read reads once more at the end: when the end and a last message are both there, pion returns one
// of them at random.
func (e established) Read(b []byte) (int, error) {
	n, err := e.Conn.Read(b)
	for range 40 {
		if err != io.EOF {
			break
		}
		n, err = e.Conn.Read(b)
	}
	e.association.mu.Lock()
	e.last = nil
	e.association.mu.Unlock()
	e.awaitMove()
	return n, err
}

// Close closes the socket at once. By itself pion closes it later, after the reader has heard of
// the end.
func (e established) Close() error {
	err := e.Conn.Close()
	_ = e.association.Close()
	return err
}

func (e established) LocalAddr() net.Addr                { return e.Conn.LocalAddr() }
func (e established) SetDeadline(t time.Time) error      { return e.Conn.SetDeadline(t) }
func (e established) SetReadDeadline(t time.Time) error  { return e.Conn.SetReadDeadline(t) }
func (e established) SetWriteDeadline(t time.Time) error { return e.Conn.SetWriteDeadline(t) }
