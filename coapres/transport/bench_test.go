package transport

import (
	"fmt"
	"net"
	"runtime"
	"syscall"
	"testing"
	"time"

	"github.com/pion/dtls/v3/pkg/protocol"
	coap "github.com/plgd-dev/go-coap/v3/message"
	"github.com/plgd-dev/go-coap/v3/message/codes"
	"github.com/plgd-dev/go-coap/v3/message/pool"
)

// answerChanged answers as the resources answer a scan, without reading the request's body.
func answerChanged(_ *Conn, _, resp *pool.Message, _ time.Time) { resp.SetCode(codes.Changed) }

// volley is nodes that each send one request at a time. Records are sealed before they are needed, so
// that sending and receiving allocate nothing.
type volley struct {
	nodes []*rawClient
	ready [][][]byte // records of each node
	buf   [maxDatagram]byte
}

// volleySize is how many requests of each node are sealed at once.
const volleySize = 256

func (s *site) newVolley(t testing.TB, nodes int) *volley {
	go func() { // their ends
		for range nodes {
			<-s.closed
		}
	}()
	v := &volley{ready: make([][][]byte, nodes)}
	for range nodes {
		c, _ := s.openRawSession(t, "127.0.0.1", true)
		v.nodes = append(v.nodes, c)
	}
	return v
}

// load seals volleySize requests of each node.
func (v *volley) load(t testing.TB) {
	for i, c := range v.nodes {
		v.ready[i] = v.ready[i][:0]
		for range volleySize {
			c.mid++
			m := encodeMessage(t, coap.Confirmable, codes.POST, c.mid, []byte{1, 2, 3, 4}, "scan",
				"a scan has about forty bytes, like this ")
			v.ready[i] = append(v.ready[i], c.encryptRecord(protocol.ContentTypeApplicationData, m))
		}
	}
}

// fire sends one request of each node, and then reads all the answers.
func (v *volley) fire(n int) error {
	for i, c := range v.nodes {
		if _, err := c.conn.Write(v.ready[i][n]); err != nil {
			return err
		}
	}
	for _, c := range v.nodes {
		if _, err := c.conn.Read(v.buf[:]); err != nil {
			return err
		}
	}
	return nil
}

// BenchmarkAnswer measures a POST and its answer, from datagram to datagram, on loopback. One node
// waits for each answer; sixteen send one after the other and then read. ns/op and CPU-ns/op include
// the nodes' system calls, but not their encryption. Nothing of the nodes allocates.
func BenchmarkAnswer(b *testing.B) {
	for _, nodes := range []int{1, 16, 256} {
		b.Run(fmt.Sprint(nodes), func(b *testing.B) {
			s := startSite(b, Config{HandshakeRate: 1 << 20}, answerChanged)
			v := s.newVolley(b, nodes)
			deadline := time.Now().Add(5 * time.Minute)
			for _, c := range v.nodes {
				_ = c.conn.SetReadDeadline(deadline)
			}
			var used, began time.Duration
			b.ReportAllocs()
			b.ResetTimer()
			b.StopTimer()
			for i := 0; i < b.N; i += nodes {
				if n := i / nodes % volleySize; n == 0 {
					used += cpuTime() - began
					b.StopTimer()
					if v.load(b); i == 0 {
						used = 0
					}
					began = cpuTime()
					b.StartTimer()
				}
				if err := v.fire(i / nodes % volleySize); err != nil {
					b.Fatal(err)
				}
			}
			used += cpuTime() - began
			b.StopTimer()
			b.ReportMetric(float64(used.Nanoseconds())/float64(b.N), "CPU-ns/op")
		})
	}
}

// cpuTime returns the CPU time that this process has used.
func cpuTime() time.Duration {
	var u syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
		panic(err) // the arguments are right
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}

// BenchmarkIdle measures the heap and the stacks of a session that has answered a request and then
// idles. The nodes are let go first.
func BenchmarkIdle(b *testing.B) {
	s := startSite(b, Config{HandshakeRate: 1 << 20, MaxSessions: 20_000}, answerChanged)
	const each = 2000
	var conns []net.Conn
	defer func() {
		for _, c := range conns {
			_ = c.Close()
		}
	}()
	measure := func() (heap, stacks int64) {
		runtime.GC()
		runtime.GC()
		var m runtime.MemStats
		runtime.ReadMemStats(&m)
		return int64(m.HeapAlloc), int64(m.StackInuse)
	}
	go func() { // the ends of sessions
		for range b.N * each {
			<-s.closed
		}
	}()
	heap, stacks := measure()
	goroutines := runtime.NumGoroutine()
	b.ResetTimer()
	for n := 0; n < b.N; n++ {
		for range each {
			// One socket for each: a port that is used again would replace the session.
			u, err := net.DialUDP("udp", nil, s.Addr().(*net.UDPAddr))
			if err != nil {
				b.Fatal(err)
			}
			conns = append(conns, u)
			c := newRawClientOn(u, s.secret.PSK())
			c.asksCID = true
			if err := c.completeHandshake(); err != nil {
				b.Fatal(err)
			}
			receiveFrom(b, s.opened)
			c.mid++
			c.sendEncrypted(protocol.ContentTypeApplicationData,
				encodeMessage(b, coap.Confirmable, codes.POST, c.mid, []byte{1, 2, 3, 4}, "scan", "x"))
			if _, err := u.Read(make([]byte, maxDatagram)); err != nil {
				b.Fatal(err)
			}
		}
	}
	b.StopTimer()
	now, nowStacks := measure()
	sessions := float64(b.N * each)
	b.ReportMetric(float64(now-heap)/sessions, "heap-B/session")
	b.ReportMetric(float64(nowStacks-stacks)/sessions, "stack-B/session")
	b.ReportMetric(float64(runtime.NumGoroutine()-goroutines)/sessions, "goroutines/session")
}
