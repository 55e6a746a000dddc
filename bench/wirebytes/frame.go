package wirebytes

import "encoding/binary"

// IP protocol numbers.
const (
	protoTCP = 6
	protoUDP = 17
)

// packet has the sizes and ports of one UDP datagram or TCP segment.
type packet struct {
	proto    byte
	from, to uint16 // ports
	size     int    // from the IP header on
	payload  int    // of UDP or TCP
	start    []byte // as much of the payload as was captured
}

// parseFrame reads an Ethernet frame whose end may be cut off. ok is false for anything but UDP and
// TCP, and for fragments after the first.
func parseFrame(b []byte) (p packet, ok bool) {
	if len(b) < 14 {
		return p, false
	}
	kind, b := binary.BigEndian.Uint16(b[12:]), b[14:]
	head := 0 // bytes of IP header
	switch {
	case kind == 0x0800 && len(b) >= 20:
		head, p.size, p.proto = int(b[0]&15)*4, int(binary.BigEndian.Uint16(b[2:])), b[9]
		if head < 20 || binary.BigEndian.Uint16(b[6:])&0x1fff != 0 {
			return p, false
		}
	case kind == 0x86dd && len(b) >= 40:
		head, p.size, p.proto = 40, 40+int(binary.BigEndian.Uint16(b[4:])), b[6]
	default:
		return p, false
	}
	if len(b) < head+8 {
		return p, false
	}
	b = b[head:]
	p.from, p.to = binary.BigEndian.Uint16(b), binary.BigEndian.Uint16(b[2:])
	own := 8
	switch {
	case p.proto == protoTCP && len(b) >= 13:
		own = int(b[12]>>4) * 4
	case p.proto != protoUDP:
		return p, false
	}
	if p.payload = p.size - head - own; p.payload < 0 || own < 8 {
		return p, false
	}
	p.start = b[min(own, len(b)):]
	return p, true
}
