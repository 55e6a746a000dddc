package website

import (
	"bytes"
	"crypto"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"sync"
	"time"

	"golang.org/x/sys/unix"
)

// The control socket is a SOCK_SEQPACKET pair. One message is one packet of JSON, and a
// connection's descriptor is sent with its message.

// message is a message from one process to the other.
type message struct {
	Kind kind   `json:"kind"`
	ID   uint64 `json:"id,omitempty"` // of a connection, or the number of a ping

	Why      string          `json:"why,omitempty"`      // in unfit: what is missing
	Account  string          `json:"account,omitempty"`  // in known: who is signed in on the connection
	Settings json.RawMessage `json:"settings,omitempty"` // in settings
	Leaf     *leaf           `json:"leaf,omitempty"`     // in certificate
}

type kind string

// Messages of the parent.
const (
	kindSettings    kind = "settings"
	kindCertificate kind = "certificate" // for later connections
	kindConnection  kind = "connection"  // with its descriptor
	kindPing        kind = "ping"
	kindStop        kind = "stop"
)

// Messages of the child.
const (
	kindReady kind = "ready" // it is confined and waits for the settings
	kindUnfit kind = "unfit" // it cannot be confined and ends
	kindDone  kind = "done"  // a connection has ended
	kindKnown kind = "known" // somebody is signed in on a connection
	kindPong  kind = "pong"
)

// leaf is a certificate with its key.
type leaf struct {
	Name  string   `json:"name,omitempty"` // the only name that it is for; empty: all others
	Chain [][]byte `json:"chain"`
	Key   []byte   `json:"key"` // PKCS #8
}

func packLeaf(name string, c *tls.Certificate) (*leaf, error) {
	key, err := x509.MarshalPKCS8PrivateKey(c.PrivateKey)
	if err != nil {
		return nil, fmt.Errorf("website: certificate: %w", err)
	}
	return &leaf{Name: name, Chain: c.Certificate, Key: key}, nil
}

func (l *leaf) unpack() (*tls.Certificate, error) {
	key, err := x509.ParsePKCS8PrivateKey(l.Key)
	if err != nil || len(l.Chain) == 0 {
		return nil, errors.Join(errors.New("website: a certificate that cannot be read"), err)
	}
	first, err := x509.ParseCertificate(l.Chain[0])
	if err != nil {
		return nil, fmt.Errorf("website: certificate: %w", err)
	}
	return &tls.Certificate{Certificate: l.Chain, PrivateKey: key.(crypto.PrivateKey), Leaf: first}, nil
}

const (
	maxToChild  = 64 << 10 // bytes of a message; the longest is a chain of certificates
	maxToParent = 2 << 10
	// sendWait is how long a message may wait until the other side has read earlier ones.
	sendWait = 5 * time.Second
)

// control is one end of the control socket.
type control struct {
	conn *net.UnixConn

	mu sync.Mutex // held while sending: senders would share one deadline
}

// connOf makes a connection of a unix socket and closes the file.
func connOf(f *os.File) (*net.UnixConn, error) {
	c, err := net.FileConn(f)
	_ = f.Close()
	if err != nil {
		return nil, fmt.Errorf("website: %w", err)
	}
	u, ok := c.(*net.UnixConn)
	if !ok {
		return nil, errors.Join(errors.New("website: not a unix socket"), c.Close())
	}
	return u, nil
}

// send sends a message, with the descriptor of a connection if there is one.
func (c *control) send(m message, with *held) error {
	b, err := json.Marshal(m)
	if err != nil {
		return fmt.Errorf("website: %w", err)
	}
	if with == nil {
		return c.write(b, nil)
	}
	return with.use(func(fd int) error { return c.write(b, unix.UnixRights(fd)) })
}

func (c *control) write(b, rights []byte) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	if err := c.conn.SetWriteDeadline(time.Now().Add(sendWait)); err != nil {
		return fmt.Errorf("website: %w", err)
	}
	if _, _, err := c.conn.WriteMsgUnix(b, rights, nil); err != nil {
		return fmt.Errorf("website: %w", err)
	}
	return nil
}

// receive reads one message into buf. The caller closes the descriptor that came with it.
func (c *control) receive(buf []byte) (m message, file *os.File, err error) {
	rights := make([]byte, unix.CmsgSpace(4))
	n, r, flags, _, err := c.conn.ReadMsgUnix(buf, rights)
	if err != nil {
		return m, nil, err
	}
	if file, err = descriptor(rights[:r]); err != nil {
		return m, nil, err
	}
	defer func() {
		if err != nil && file != nil {
			_ = file.Close()
			file = nil
		}
	}()
	switch {
	case n == 0:
		return m, file, io.EOF
	case flags&(unix.MSG_TRUNC|unix.MSG_CTRUNC) != 0: // without a free descriptor, the one that came is lost
		return m, file, errors.New("website: a message was cut short")
	}
	d := json.NewDecoder(bytes.NewReader(buf[:n]))
	d.DisallowUnknownFields()
	if err := d.Decode(&m); err != nil {
		return m, file, fmt.Errorf("website: message: %w", err)
	}
	return m, file, nil
}

// descriptor returns the descriptor that came with a message, or nil if none came.
func descriptor(rights []byte) (*os.File, error) {
	if len(rights) == 0 {
		return nil, nil
	}
	messages, err := unix.ParseSocketControlMessage(rights)
	if err != nil || len(messages) != 1 {
		return nil, errors.Join(errors.New("website: what came beside a message is no descriptor"), err)
	}
	fds, err := unix.ParseUnixRights(&messages[0])
	if err != nil || len(fds) != 1 {
		for _, fd := range fds {
			_ = unix.Close(fd)
		}
		return nil, errors.Join(errors.New("website: what came beside a message is not one descriptor"), err)
	}
	return os.NewFile(uintptr(fds[0]), "connection"), nil // net has asked for close-on-exec
}
