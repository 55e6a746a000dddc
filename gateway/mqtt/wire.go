package mqtt

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"
	"net"
	"sync"
	"syscall"
	"time"

	"github.com/eclipse/paho.golang/packets"

	"latchkey/gateway/endpoint/dial"
)

// errOld says that the server knows only an older MQTT. There, a server acknowledges what it has
// refused, so that nobody learns that a message was lost.
var errOld = errors.New("the server does not speak MQTT 5, which latchkey needs: 3.1.1 does not say " +
	"whether a message was refused")

// wire is the connection as the library sees it. It reads whole packets and passes on only those
// that a server may send to us: paho.golang allocates what a packet says that its length is, and
// panics on a CONNACK with an authentication method and on a PUBREC as a connection ends.
type wire struct {
	net.Conn
	sync.Mutex // the library holds it while it writes a packet
	in         *bufio.Reader
	packet     []byte // what is left of the packet that is being passed on
	greeted    bool   // CONNACK has come
}

func newWire(c net.Conn) *wire { return &wire{Conn: c, in: bufio.NewReader(c)} }

// Write bounds the time for what is written, so that a server that reads nothing holds nobody up.
func (w *wire) Write(p []byte) (int, error) {
	if err := w.SetWriteDeadline(time.Now().Add(dial.Within)); err != nil {
		return 0, err
	}
	return w.Conn.Write(p)
}

func (w *wire) Read(p []byte) (int, error) {
	if len(w.packet) == 0 {
		packet, err := w.readPacket()
		if err != nil {
			return 0, err
		}
		w.packet = packet
	}
	n := copy(p, w.packet)
	w.packet = w.packet[n:]
	return n, nil
}

// readPacket returns the next packet with its header (MQTT 5, section 2.1).
func (w *wire) readPacket() ([]byte, error) {
	first, err := w.in.ReadByte()
	switch {
	case !w.greeted && (errors.Is(err, io.EOF) || errors.Is(err, syscall.ECONNRESET)):
		// Some brokers do so that know an older MQTT only. Others do when they are about to stop.
		return nil, fmt.Errorf("the server ended the connection without an answer, perhaps because it does "+
			"not speak MQTT 5: %w", err)
	case err != nil:
		return nil, err
	}
	if !w.greeted && first != packets.CONNACK<<4 {
		return nil, errors.New("what answers there does not speak MQTT")
	}
	packet, length := []byte{first}, 0
	for shift := 0; ; shift += 7 {
		b, err := w.in.ReadByte()
		if err != nil {
			return nil, unexpected(err)
		}
		if shift > 21 {
			return nil, errors.New("the server's packet has a length that is none")
		}
		packet, length = append(packet, b), length|int(b&0x7f)<<shift
		if b < 0x80 {
			break
		}
	}
	head := len(packet)
	if length > MaxPacket-head {
		return nil, fmt.Errorf("the server's packet has %d bytes: at most %d are taken", length, MaxPacket)
	}
	packet = append(packet, make([]byte, length)...)
	if _, err := io.ReadFull(w.in, packet[head:]); err != nil {
		return nil, unexpected(err)
	}
	return packet, w.checkPacket(packet, length)
}

// unexpected is the error of a connection that ends within a packet.
func unexpected(err error) error {
	if errors.Is(err, io.EOF) {
		return io.ErrUnexpectedEOF
	}
	return err
}

func (w *wire) checkPacket(packet []byte, length int) error {
	kind := packet[0] >> 4
	if !w.greeted && kind == packets.CONNACK && length == 2 {
		return errOld // before MQTT 5 a CONNACK had no properties
	}
	parsed, err := parsePacket(packet)
	if err != nil {
		return err
	}
	switch p := parsed.Content.(type) {
	case *packets.Connack:
		if w.greeted || p.Properties.AuthMethod != "" {
			return errors.New("the server greets in a way that we did not ask for")
		}
		w.greeted = true
	case *packets.Publish:
		if p.QoS > 1 || p.QoS > 0 && p.PacketID == 0 || p.Topic == "" {
			return errors.New("the server sent a message in a way that we did not ask for")
		}
	case *packets.Puback, *packets.Suback, *packets.Unsuback, *packets.Pingresp, *packets.Disconnect:
	default:
		return fmt.Errorf("the server sent a packet of type %d, which it must not do", kind)
	}
	return nil
}

// parsePacket makes an error of a panic of the parser. The library parses the same bytes again, in
// a goroutine where a panic would end the program.
func parsePacket(packet []byte) (parsed *packets.ControlPacket, err error) {
	defer func() {
		if r := recover(); r != nil {
			err = errors.New("the server sent a packet that cannot be read")
		}
	}()
	parsed, err = packets.ReadPacket(bytes.NewReader(packet))
	if err != nil {
		return nil, fmt.Errorf("the server sent a packet that cannot be read: %w", err)
	}
	return parsed, nil
}
