package socket

import (
	"fmt"
	"net"
	"net/netip"
	"os"
	"os/exec"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// inNamespace is set in the environment of a test program that has a network of its own.
const inNamespace = "LATCHKEY_TEST_NAMESPACE"

// runInNamespace runs this test in another process, as root of a user and a network namespace. There
// it returns true.
func runInNamespace(t *testing.T) bool {
	t.Helper()
	if os.Getenv(inNamespace) != "" {
		return true
	}
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command(self, "-test.run=^"+t.Name()+"$", "-test.v", "-test.timeout=5m")
	cmd.Env = append(os.Environ(), inNamespace+"=1")
	cmd.SysProcAttr = &syscall.SysProcAttr{Cloneflags: syscall.CLONE_NEWUSER | syscall.CLONE_NEWNET,
		Pdeathsig:   syscall.SIGKILL,
		UidMappings: []syscall.SysProcIDMap{{HostID: os.Getuid(), Size: 1}},
		GidMappings: []syscall.SysProcIDMap{{HostID: os.Getgid(), Size: 1}}}
	out, err := cmd.CombinedOutput()
	if err != nil {
		t.Errorf("in a network namespace, which this test needs: %v\n%s", err, out)
	}
	return false
}

// addDeadNetwork brings the loopback up, and adds the network 10.9.0.0/16, in which nobody answers: a
// TAP device whose frames nobody reads.
func addDeadNetwork(t *testing.T) {
	t.Helper()
	tap, err := unix.Open("/dev/net/tun", unix.O_RDWR|unix.O_CLOEXEC, 0)
	if err != nil {
		t.Fatal("this test needs TAP devices: /dev/net/tun: ", err)
	}
	t.Cleanup(func() { _ = unix.Close(tap) })
	s, err := unix.Socket(unix.AF_INET, unix.SOCK_DGRAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = unix.Close(s) }()
	call := func(fd int, number uint, device string, set func(*unix.Ifreq)) {
		t.Helper()
		r, err := unix.NewIfreq(device)
		if err != nil {
			t.Fatal(err)
		}
		set(r)
		if err := unix.IoctlIfreq(fd, number, r); err != nil {
			t.Fatalf("%s: %v", device, err)
		}
	}
	call(tap, unix.TUNSETIFF, "dead", func(r *unix.Ifreq) { r.SetUint16(unix.IFF_TAP | unix.IFF_NO_PI) })
	address := func(a string) func(*unix.Ifreq) {
		return func(r *unix.Ifreq) {
			if err := r.SetInet4Addr(net.ParseIP(a).To4()); err != nil {
				t.Fatal(err)
			}
		}
	}
	call(s, unix.SIOCSIFADDR, "dead", address("10.9.0.1"))
	call(s, unix.SIOCSIFNETMASK, "dead", address("255.255.0.0"))
	for _, device := range []string{"lo", "dead"} {
		call(s, unix.SIOCSIFFLAGS, device,
			func(r *unix.Ifreq) { r.SetUint16(unix.IFF_UP | unix.IFF_RUNNING) })
	}
}

// The kernel keeps what is sent to an address of this network for seconds, while it looks for the
// owner. If that fills the send buffer, answers are lost, but nobody waits: each datagram that comes
// in is read and handled meanwhile. When there is room, answers are sent again.
func TestFullSendBufferBlocksNobody(t *testing.T) {
	if !runInNamespace(t) {
		return
	}
	addDeadNetwork(t)
	s, err := Open("0.0.0.0:0", nil)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = s.Close() })
	c, err := net.DialUDP("udp", nil, &net.UDPAddr{IP: net.IPv4(127, 0, 0, 1),
		Port: s.Addr().(*net.UDPAddr).Port})
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = c.Close() }()
	handled := make(chan string, 1024)
	go func() { // as the listener does: what it reads it answers, in the same goroutine
		_ = s.Read(func(b []byte, from netip.AddrPort) {
			text := string(b)
			s.Queue(b, from)
			s.Flush()
			handled <- text
		}, func() {})
	}()
	ask := func(text string) {
		t.Helper()
		if _, err := c.Write([]byte(text)); err != nil {
			t.Fatal(err)
		}
		if got := receiveFrom(t, handled); got != text {
			t.Fatalf("got %q, want %q", got, text)
		}
	}

	dead := 0
	fill := func() {
		t.Helper()
		end := time.Now().Add(30 * time.Second)
		for before := s.Lost(); s.Lost() == before; dead++ {
			if time.Now().After(end) {
				t.Fatal("no datagram is lost although nobody takes them: a writer waits")
			}
			// Few for each address: the kernel keeps only so many for one.
			to := netip.AddrFrom4([4]byte{10, 9, byte(1 + dead/16/250%250), byte(2 + dead/16%250)})
			s.Queue(make([]byte, 1000), netip.AddrPortFrom(to, 9))
			s.Flush()
		}
	}
	const requests = 100
	shown := false
	for try := 0; try < 20 && !shown; try++ {
		fill()
		if got := s.unsent(); got < s.SendBuffer {
			t.Fatalf("got %d bytes unsent when one was lost, want the send buffer's %d", got, s.SendBuffer)
		}
		before := s.Lost()
		for i := range requests {
			ask(fmt.Sprint(try, " ", i))
		}
		// If nothing was sent, the buffer was full all the time. On a slow machine it may have got room.
		shown = s.Lost()-before == requests && s.unsent() >= s.SendBuffer
		if lost := s.Lost() - before; lost > requests {
			t.Fatalf("got %d answers lost, want %d at most", lost, requests)
		}
	}
	if !shown {
		t.Error("while the send buffer is full, no datagram is handled")
	}
	answer := make([]byte, 64)
	for end := time.Now().Add(time.Minute); ; {
		ask("there is room")
		_ = c.SetReadDeadline(time.Now().Add(100 * time.Millisecond))
		if n, err := c.Read(answer); err == nil && string(answer[:n]) == "there is room" {
			break
		}
		if time.Now().After(end) {
			t.Fatal("no answer is sent within a minute")
		}
	}
}
