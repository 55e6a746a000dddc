package amqp091

import (
	"bytes"
	"context"
	"encoding/binary"
	"io"
	"net"
	"sync/atomic"
	"testing"
	"time"

	"latchkey/gateway/access/sinks"
	"latchkey/gateway/endpoint"
	"latchkey/gateway/sink/brokertest"
	"latchkey/gateway/sink/sender"
	"latchkey/gateway/sink/sinktest"
	"latchkey/keys"
)

func TestMain(m *testing.M) { brokertest.Main(m) }

func TestKey(t *testing.T) {
	for m, want := range map[*sender.Message]string{
		{Site: "site", Kind: "report", Target: "door"}: "latchkey.site.report.door",
		{Site: "site", Kind: "start"}:                  "latchkey.site.start.-",
	} {
		if got := Key(*m); got != want {
			t.Errorf("got the key %s, want %s", got, want)
		}
	}
}

// frame is a frame of AMQP 0-9-1: type 1 is a method, 2 the header of a message, 3 a part of it.
func frame(kind byte, channel uint16, payload ...byte) []byte {
	b := binary.BigEndian.AppendUint16([]byte{kind}, channel)
	b = binary.BigEndian.AppendUint32(b, uint32(len(payload)))
	return append(append(b, payload...), 0xce)
}

// readFrame reads a frame that came.
func readFrame(r io.Reader) error {
	var head [7]byte
	if _, err := io.ReadFull(r, head[:]); err != nil {
		return err
	}
	_, err := io.CopyN(io.Discard, r, int64(binary.BigEndian.Uint32(head[3:]))+1)
	return err
}

// greetings are what a server says to each frame of a client that connects, until it publishes.
var greetings = [][]byte{
	frame(1, 0, append([]byte{0, 10, 0, 10, 0, 9, 0, 0, 0, 0, 0, 0, 0, 5},
		"PLAIN\x00\x00\x00\x05en_US"...)...), // start
	frame(1, 0, 0, 10, 0, 30, 0, 1, 0, 2, 0, 0, 0, 0), // tune
	nil,                                   // to tune-ok
	frame(1, 0, 0, 10, 0, 41, 0),          // open-ok
	frame(1, 1, 0, 20, 0, 11, 0, 0, 0, 0), // channel open-ok
	frame(1, 1, 0, 85, 0, 11),             // confirm select-ok
	frame(1, 1, 0, 40, 0, 11),             // exchange declare-ok
}

// A server that returns a message without an end is not listened to without end.
func TestReturnWithoutEnd(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	brokertest.Check(t, err)
	var sent atomic.Int64
	ended := make(chan struct{})
	t.Cleanup(func() { _ = l.Close(); <-ended })
	go func() {
		defer close(ended)
		c, err := l.Accept()
		if err != nil {
			return
		}
		defer func() { _ = c.Close() }()
		_, err = io.ReadFull(c, make([]byte, 8)) // AMQP 0 0 9 1
		for i := 0; i < len(greetings) && err == nil; i++ {
			if _, err = c.Write(greetings[i]); err == nil {
				err = readFrame(c)
			}
		}
		// The last frame was a message. It comes back, 2^40 bytes long.
		back := frame(1, 1, 0, 60, 0, 50, 1, 56, 0, 0, 0)
		back = append(back, frame(2, 1, 0, 60, 0, 0, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0)...)
		part := frame(3, 1, bytes.Repeat([]byte{'x'}, 64<<10)...)
		for _, err = c.Write(back); err == nil && sent.Load() < 1<<30; {
			_, err = c.Write(part)
			sent.Add(int64(len(part)))
		}
	}()
	s := New(sinks.Sink{Name: "test", Protocol: sinks.AMQP091, Place: "x", Endpoint: endpoint.Endpoint{
		URL: "amqp://" + l.Addr().String(), User: "ann", Password: keys.Hide("x"), Private: true}})
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	taken, err := s.Send(ctx, sinktest.Make(1, 1))
	brokertest.Check(t, s.Close())
	if taken != 0 || err == nil || sender.IsPermanent(err) {
		t.Errorf("got %d taken, %v", taken, err)
	}
	<-ended
	if n := sent.Load(); n < 1<<20 || n > 64<<20 {
		t.Errorf("%d bytes were taken in, and then: %v", n, err)
	}
}
