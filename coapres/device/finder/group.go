package finder

import (
	"context"
	"errors"
	"math/rand/v2"
	"net"
	"net/netip"
	"time"

	"golang.org/x/net/dns/dnsmessage"
	"golang.org/x/net/ipv4"
)

const (
	// How long answers are awaited: the first one, and others after it. The first may lie.
	awaitFirst  = time.Second
	awaitOthers = 500 * time.Millisecond

	mostAnswer     = 1500 // bytes of one that is read
	mostInterfaces = 8    // that are asked
)

// group is where multicast DNS is asked. The question comes from another port than 5353, so the
// answer comes to that port alone and repeats the question (RFC 6762 §6.7, "legacy unicast").
var group = &net.UDPAddr{IP: net.IPv4(224, 0, 0, 251), Port: 5353}

// askGroup asks the machines of the local network and collects what they answer, for half a second:
// the first answer may be forged.
func (f *Finder) askGroup(ctx context.Context) error {
	name, err := dnsmessage.NewName(trimDot(f.host) + ".")
	if err != nil {
		return err
	}
	q := dnsmessage.Question{Name: name, Type: dnsmessage.TypeA, Class: dnsmessage.ClassINET}
	id := uint16(rand.Uint32())
	m := dnsmessage.Message{Header: dnsmessage.Header{ID: id}, Questions: []dnsmessage.Question{q}}
	b, err := m.Pack()
	if err != nil {
		return err
	}
	from := &net.UDPAddr{}
	if f.source.Is4() {
		from.IP = f.source.AsSlice()
	}
	conn, err := net.ListenUDP("udp4", from)
	if err != nil {
		return err
	}
	defer func() { _ = conn.Close() }()
	stop := context.AfterFunc(ctx, func() { _ = conn.SetReadDeadline(time.Now()) })
	defer stop()
	if err := sendToAll(conn, b); err != nil {
		return err
	}
	return f.listen(ctx, conn, id, q)
}

func trimDot(host string) string {
	if n := len(host); n > 0 && host[n-1] == '.' {
		return host[:n-1]
	}
	return host
}

// sendToAll sends b by each interface of this machine that has a network beside it.
func sendToAll(conn *net.UDPConn, b []byte) error {
	all, err := net.Interfaces()
	if err != nil {
		return err
	}
	p, sent := ipv4.NewPacketConn(conn), 0
	for i := range all {
		const want = net.FlagUp | net.FlagMulticast
		if all[i].Flags&(want|net.FlagLoopback) != want || sent == mostInterfaces {
			continue
		}
		if err = p.SetMulticastInterface(&all[i]); err == nil {
			_, err = conn.WriteToUDP(b, group)
		}
		if err == nil {
			sent++
		}
	}
	if sent > 0 {
		return nil
	}
	if err == nil {
		err = errors.New("no network to ask")
	}
	return err
}

// listen collects answers. An answer that is not to our question costs nothing but its reading.
func (f *Finder) listen(ctx context.Context, conn *net.UDPConn, id uint16, q dnsmessage.Question) error {
	began := time.Now()
	if err := conn.SetReadDeadline(began.Add(awaitFirst)); err != nil {
		return err
	}
	b := make([]byte, mostAnswer)
	for ctx.Err() == nil {
		n, _, err := conn.ReadFromUDPAddrPort(b)
		if err != nil {
			break // the time is over
		}
		for _, a := range parseAnswer(b[:n], id, q) {
			f.add(a)
		}
		if len(f.found) == 0 {
			continue
		}
		if time.Since(began) >= awaitOthers {
			break
		}
		if err := conn.SetReadDeadline(began.Add(awaitOthers)); err != nil {
			return err
		}
	}
	return ctx.Err()
}

// parseAnswer returns the IPv4 addresses in a message that answers the question, nothing if it does
// not. A malformed rest is left away.
func parseAnswer(b []byte, id uint16, q dnsmessage.Question) (found []netip.Addr) {
	var p dnsmessage.Parser
	h, err := p.Start(b)
	if err != nil || !h.Response || h.ID != id {
		return nil
	}
	got, err := p.AllQuestions()
	if err != nil || len(got) != 1 || got[0] != q {
		return nil
	}
	for {
		r, err := p.AnswerHeader()
		switch {
		case err != nil:
			return found
		case r.Type != dnsmessage.TypeA || r.Class&0x7fff != dnsmessage.ClassINET:
			if p.SkipAnswer() != nil {
				return found
			}
		default:
			a, err := p.AResource()
			if err != nil {
				return found
			}
			found = append(found, netip.AddrFrom4(a.A))
		}
	}
}
