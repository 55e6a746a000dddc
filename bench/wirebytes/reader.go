package wirebytes

import (
	"context"
	"errors"
	"fmt"

	"latchkey/coapres"
	"latchkey/coapres/transport"
	"latchkey/coapres/wire"
	"latchkey/keys"
)

// The values of a scan decide its length. In CBOR counters of 256 to 65,535 have one length, and so
// have ages of a quarter of a second to a minute with either sign. With this age a scan is fresh if
// it is sent within two seconds after its Echo was issued.
const (
	FirstCounter = 1000
	Age          = -500 // ms
)

// UID is the card: seven bytes, as most have.
var UID = []byte{4, 0xa1, 0xb2, 0xc3, 0xd4, 0xe5, 0x80}

// CoAP codes (RFC 7252 §12.1).
const (
	codePOST    = 2
	codeCreated = 2<<5 | 1
	codeChanged = 2<<5 | 4
)

// Reader is a card reader whose messages have fixed lengths. Only one goroutine may use it.
type Reader struct {
	Name     string // sent in the registration, so its length counts
	Gateway  string // "host:port"
	Identity keys.ID
	Secret   keys.Secret
	Last     uint64 // counter of the last scan; below FirstCounter before the first scan

	conn *transport.Conn
	held coapres.Held
}

// Connect sends everything that a reader sends until the verdict of its first card: handshake,
// registration, scan. The session ends when ctx ends or Close is called, so ctx must not have the
// deadline of this call.
func (r *Reader) Connect(ctx context.Context) error {
	conn, err := transport.Dial(ctx, r.Gateway, r.Identity, r.Secret, nil)
	if err != nil {
		return err
	}
	r.conn, r.held = conn, coapres.Held{}
	call, cancel := context.WithTimeout(ctx, coapres.ScanWindow)
	defer cancel()
	a, err := coapres.Call(call, conn, &r.held,
		coapres.Request{Method: codePOST, Path: "/rd", Query: []string{"lt=90", "ep=" + r.Name}})
	if err != nil {
		return err
	}
	if a.Code != codeCreated {
		return fmt.Errorf("register: answered %v", a.Code)
	}
	return r.Scan(ctx)
}

// Scan presents the card and waits for the verdict. It must be granted, because only then are all
// messages sent.
func (r *Reader) Scan(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, coapres.ScanWindow)
	defer cancel()
	n := max(r.Last+1, FirstCounter)
	body, err := wire.Scan{N: n, UID: UID, Age: Age}.Encode(wire.CBOR)
	if err != nil {
		return err
	}
	echo, _ := r.held.Age(r.conn.LastHeard(), r.conn.LastHeard())
	if echo == nil {
		return errors.New("scan: the gateway has given no Echo")
	}
	a, err := coapres.Call(ctx, r.conn, &r.held,
		coapres.Request{Method: codePOST, Path: "/scan", Echo: echo, Format: wire.CBOR, Body: body})
	if err != nil {
		return err
	}
	if a.Code != codeChanged {
		return fmt.Errorf("scan: answered %v", a.Code)
	}
	r.Last = n
	v, err := wire.ParseVerdict(wire.CBOR, a.Body)
	if err == nil && (v.Verdict != wire.Granted || v.Last != n) {
		err = fmt.Errorf("scan %d: the verdict is %v, of scan %d", n, v.Verdict, v.Last)
	}
	return err
}

// Close ends the session and waits until it has ended.
func (r *Reader) Close() {
	if r.conn != nil {
		_ = r.conn.End()
		<-r.conn.Done()
	}
}
