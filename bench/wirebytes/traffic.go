// Package wirebytes counts what goes over the network for a piece of work: datagrams and bytes,
// each way, from a capture on loopback. It reads nothing above UDP and TCP, and does not judge the
// figures.
package wirebytes

// Count is what went one way.
type Count struct {
	Datagrams    int // IP packets
	IPBytes      int // all of each packet from the IP header on: no link layer
	PayloadBytes int // what UDP or TCP carried
}

// Traffic is what went both ways.
type Traffic struct {
	Up   Count // to the port
	Down Count // from it
}

// Plus adds.
func (c Count) Plus(d Count) Count {
	return Count{c.Datagrams + d.Datagrams, c.IPBytes + d.IPBytes, c.PayloadBytes + d.PayloadBytes}
}

// Minus subtracts.
func (c Count) Minus(d Count) Count {
	return Count{c.Datagrams - d.Datagrams, c.IPBytes - d.IPBytes, c.PayloadBytes - d.PayloadBytes}
}

// Minus is what came after u.
func (t Traffic) Minus(u Traffic) Traffic { return Traffic{t.Up.Minus(u.Up), t.Down.Minus(u.Down)} }

// Total is both ways together.
func (t Traffic) Total() Count { return t.Up.Plus(t.Down) }
