// Package wirebytes counts the datagrams and bytes that a piece of work sends each way, from a
// capture on loopback. It reads nothing above UDP and TCP, and does not judge the figures.
package wirebytes

// Count is what was sent one way.
type Count struct {
	Datagrams    int // IP packets
	IPBytes      int // whole packets from the IP header on, without the link layer
	PayloadBytes int // what UDP or TCP carried
}

// Traffic is what was sent both ways.
type Traffic struct {
	Up   Count // to the port
	Down Count // from it
}

// Plus returns the sum.
func (c Count) Plus(d Count) Count {
	return Count{c.Datagrams + d.Datagrams, c.IPBytes + d.IPBytes, c.PayloadBytes + d.PayloadBytes}
}

// Minus returns the difference.
func (c Count) Minus(d Count) Count {
	return Count{c.Datagrams - d.Datagrams, c.IPBytes - d.IPBytes, c.PayloadBytes - d.PayloadBytes}
}

// Minus returns the traffic after u, if t includes u.
func (t Traffic) Minus(u Traffic) Traffic { return Traffic{t.Up.Minus(u.Up), t.Down.Minus(u.Down)} }

// Total returns both ways together.
func (t Traffic) Total() Count { return t.Up.Plus(t.Down) }
