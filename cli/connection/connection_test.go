package connection

import (
	"errors"
	"path/filepath"
	"testing"

	"golang.org/x/sys/unix"
)

// A gateway may run but accept no connections, with a full queue of waiting ones. It counts as
// silent, not as ended.
func TestNobodyAccepts(t *testing.T) {
	dir := t.TempDir()
	socket := func() int {
		fd, err := unix.Socket(unix.AF_UNIX, unix.SOCK_STREAM|unix.SOCK_NONBLOCK|unix.SOCK_CLOEXEC, 0)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = unix.Close(fd) })
		return fd
	}
	at := &unix.SockaddrUnix{Name: filepath.Join(dir, SocketName)}
	deaf := socket()
	if err := errors.Join(unix.Bind(deaf, at), unix.Listen(deaf, 0)); err != nil {
		t.Fatal(err)
	}
	var err error
	for range 100 {
		if err = unix.Connect(socket(), at); err != nil {
			break
		}
	}
	if !errors.Is(err, unix.EAGAIN) {
		t.Fatalf("got %v, want a full queue", err)
	}
	c, err := Place{Dir: dir}.Open(t.Context())
	if !errors.As(err, new(silent)) {
		t.Errorf("got %v, %v, want an error that says what to do", c, err)
	}
}
