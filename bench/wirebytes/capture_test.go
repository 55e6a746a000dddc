package wirebytes

import (
	"context"
	"io"
	"net"
	"strings"
	"testing"
	"time"

	"latchkey/coapres/device"
)

// The same traffic is counted in two ways: the capture of a reader's session must show what passed
// through the relay, plus 28 bytes of headers for each datagram.
func TestCaptureCountsWhatWasSaid(t *testing.T) {
	s := newSite(t)
	relay, err := device.NewRelay(s.reader.Gateway, 1)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = relay.Close() }()
	at, err := net.ResolveUDPAddr("udp", relay.Addr())
	if err != nil {
		t.Fatal(err)
	}
	var c counter
	relay.Tap(c.tap)
	s.reader.Gateway = relay.Addr()
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	var before, all Traffic
	connect, scan, err := Measure(ctx, at.Port, func() error {
		err := s.reader.Connect(ctx)
		before = c.since(Traffic{})
		return err
	}, func() error {
		err := s.reader.Scan(ctx)
		all = c.since(Traffic{})
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	same(t, "connect", connect, before)
	same(t, "one more scan", scan, all.Minus(before))
}

// same compares what was captured with what a relay saw.
func same(t *testing.T, what string, got, want Traffic) {
	t.Helper()
	for _, c := range []*Count{&want.Up, &want.Down} {
		c.IPBytes = c.PayloadBytes + 28*c.Datagrams
	}
	if got != want {
		t.Errorf("%s: got %+v, want %+v", what, got, want)
	}
}

// The smallest count of a few is compared, because a busy machine may cause a retransmission.
func TestMeasureReaderCountsTheReaderAlone(t *testing.T) {
	s := newSite(t)
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	var connect, scan Traffic
	for i := range 3 {
		c, n, err := MeasureReader(ctx, &s.reader)
		if err != nil {
			t.Fatal(err)
		}
		if i == 0 || c.Total().Datagrams < connect.Total().Datagrams {
			connect = c
		}
		if i == 0 || n.Total().Datagrams < scan.Total().Datagrams {
			scan = n
		}
	}
	same(t, "connect", connect, Traffic{wantConnect[0], wantConnect[1]})
	same(t, "one more scan", scan, Traffic{wantScan[0], wantScan[1]})
	t.Logf("connect %+v, one more scan %+v", connect, scan)
}

// TCP has a handshake of three segments and acknowledges what it receives.
func TestMeasureCountsTCP(t *testing.T) {
	l, err := net.Listen("tcp4", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = l.Close() }()
	go func() {
		conn, err := l.Accept()
		if err != nil {
			return
		}
		defer func() { _ = conn.Close() }()
		_, _ = io.Copy(conn, conn)
	}()
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	var conn net.Conn
	connect, more, err := Measure(ctx, l.Addr().(*net.TCPAddr).Port, func() (err error) {
		conn, err = net.Dial("tcp4", l.Addr().String())
		return err
	}, func() error {
		if _, err := conn.Write([]byte("twenty bytes of text")); err != nil {
			return err
		}
		_, err := io.ReadFull(conn, make([]byte, 20))
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	_ = conn.Close()
	if connect.Up.Datagrams != 2 || connect.Down.Datagrams != 1 || connect.Total().PayloadBytes != 0 ||
		connect.Total().IPBytes < 3*40 {
		t.Errorf("connect: got %+v, want two up and one down, without payload", connect)
	}
	if more.Up.PayloadBytes != 20 || more.Down.PayloadBytes != 20 || more.Up.Datagrams < 2 ||
		more.Total().IPBytes < 40+3*40 {
		t.Errorf("one more: got %+v, want 20 bytes each way, acknowledged", more)
	}
}

func TestCaptureThatCannotStartSaysWhy(t *testing.T) {
	t.Setenv("PATH", t.TempDir())
	if _, err := StartCapture(t.Context(), 5684); err == nil || !strings.Contains(err.Error(), "dumpcap") {
		t.Errorf("got %v, want an error that names dumpcap", err)
	}
}

func FuzzParseFrame(f *testing.F) {
	udp := make([]byte, 14+20+8+3)
	copy(udp[12:], []byte{8, 0, 0x45, 0, 0, 31, 0, 0, 0, 0, 64, 17})
	copy(udp[34:], []byte{0x9c, 0x40, 0x16, 0x34, 0, 11, 0, 0, 'a', 'b', 'c'})
	f.Add(udp)
	f.Fuzz(func(t *testing.T, b []byte) {
		p, ok := parseFrame(b)
		if ok && (p.payload < 0 || p.size < p.payload+28) {
			t.Errorf("got %+v of %x", p, b)
		}
	})
}
