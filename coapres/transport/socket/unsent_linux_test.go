package socket

import (
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

func TestUnsent(t *testing.T) {
	s, err := Open("127.0.0.1:0", nil)
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	if got := s.unsent(); got != 0 {
		t.Errorf("before anything was sent: got %d bytes, want none", got)
	}
	raw, err := s.conn.SyscallConn()
	if err != nil {
		t.Fatal(err)
	}
	hold := func(on int) {
		if err := raw.Control(func(fd uintptr) {
			err = unix.SetsockoptInt(int(fd), unix.IPPROTO_UDP, unix.UDP_CORK, on)
		}); err != nil {
			t.Fatal(err)
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	hold(1) // the kernel keeps datagrams back
	if _, err := s.conn.WriteTo(make([]byte, 1000), s.Addr()); err != nil {
		t.Fatal(err)
	}
	if got := s.unsent(); got < 1000 || got > 8000 {
		t.Errorf("with 1000 bytes unsent: got %d, want those and the kernel's overhead", got)
	}
	hold(0)
	for end := time.Now().Add(time.Minute); s.unsent() != 0; time.Sleep(time.Millisecond) {
		if time.Now().After(end) {
			t.Fatal("not all is sent within a minute")
		}
	}
}
