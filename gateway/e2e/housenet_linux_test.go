package e2e

import (
	"net"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"golang.org/x/net/dns/dnsmessage"
	"golang.org/x/net/ipv4"
	"golang.org/x/sys/unix"
)

// The network of a house, for tests of how nodes find their gateway by name.
const (
	houseDevice = "house"
	oldMachine  = "10.77.0.1"
	newMachine  = "10.77.0.2"
	stranger    = "10.77.0.66" // has no key, and answers nothing
	localName   = "gate.local"
	serverName  = "gate.example"
)

// inHouse is set in the environment of a test program that runs in a network of its own.
const inHouse = "LATCHKEY_TEST_HOUSE"

// runInHouse runs this test in another process, in a network and a mount namespace of its own. There
// it makes the network and returns true. It needs root, because avahi-daemon needs its own user.
func runInHouse(t *testing.T) bool {
	t.Helper()
	if os.Getuid() != 0 {
		t.Skip("needs root, for a network with a real mDNS responder")
	}
	if os.Getenv(inHouse) != "" {
		makeHouse(t)
		return true
	}
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command(self, "-test.run=^"+t.Name()+"$", "-test.v", "-test.timeout=8m")
	cmd.Env = append(os.Environ(), inHouse+"=1")
	cmd.SysProcAttr = &syscall.SysProcAttr{Cloneflags: syscall.CLONE_NEWNET | syscall.CLONE_NEWNS,
		Pdeathsig: syscall.SIGKILL}
	out, err := cmd.CombinedOutput()
	if err != nil {
		t.Errorf("in a network of its own: %v\n%s", err, out)
	} else if testing.Verbose() {
		t.Logf("%s", out)
	}
	return false
}

// runTool runs a program of the system to its end.
func runTool(t *testing.T, name string, args ...string) {
	t.Helper()
	if out, err := exec.Command(name, args...).CombinedOutput(); err != nil {
		t.Fatalf("%s %q, which this test needs: %v\n%s", name, args, err, out)
	}
}

// makeHouse brings a network up: a TAP device, beside which nobody is. What is sent to an address of
// this machine arrives, and a question to a group reaches those on this machine that joined it.
func makeHouse(t *testing.T) {
	t.Helper()
	tap, err := unix.Open("/dev/net/tun", unix.O_RDWR|unix.O_CLOEXEC, 0)
	if err != nil {
		t.Fatal("this test needs TAP devices: /dev/net/tun: ", err)
	}
	t.Cleanup(func() { _ = unix.Close(tap) })
	r, err := unix.NewIfreq(houseDevice)
	if err != nil {
		t.Fatal(err)
	}
	r.SetUint16(unix.IFF_TAP | unix.IFF_NO_PI)
	if err := unix.IoctlIfreq(tap, unix.TUNSETIFF, r); err != nil {
		t.Fatal(err)
	}
	runTool(t, "ip", "link", "set", "lo", "up")
	runTool(t, "ip", "link", "set", houseDevice, "up")
	for _, a := range []string{stranger, oldMachine} { // when the first one goes, the others go too
		runTool(t, "ip", "addr", "add", a+"/16", "dev", houseDevice)
	}
	runTool(t, "ip", "route", "add", "default", "dev", houseDevice)
	for _, dir := range []string{"/run", "/etc/avahi"} { // changes here are for this process and its children
		runTool(t, "mount", "--make-rprivate", "/")
		runTool(t, "mount", "-t", "tmpfs", "none", dir)
	}
	resolv := filepath.Join(t.TempDir(), "resolv.conf")
	if err := os.WriteFile(resolv, []byte("nameserver 127.0.0.1\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	runTool(t, "mount", "--bind", resolv, "/etc/resolv.conf")
}

// answers are the servers that know where the gateway is: Debian's mDNS responder, as it runs on a
// Raspberry Pi, and a DNS server.
type answers struct {
	t      *testing.T
	mdns   *exec.Cmd
	server *exec.Cmd
}

const avahiConfig = `[server]
host-name=pi
use-ipv6=no
allow-interfaces=` + houseDevice + `
enable-dbus=no
[publish]
publish-addresses=no
`

// answerWith starts both with this address for the gateway's names.
func answerWith(t *testing.T, addr string) *answers {
	t.Helper()
	a := &answers{t: t}
	t.Cleanup(a.stop)
	write := func(name, text string) {
		t.Helper()
		if err := os.WriteFile(name, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	write("/etc/avahi/avahi-daemon.conf", avahiConfig)
	write("/etc/avahi/hosts", addr+" "+localName+"\n")
	a.mdns = a.start("avahi-daemon", "--no-drop-root", "--no-chroot", "--no-rlimits")
	a.server = a.start("dnsmasq", "--keep-in-foreground", "--conf-file=/dev/null", "--no-resolv", "--no-hosts",
		"--user=root", "--listen-address=127.0.0.1", "--bind-interfaces", "--address=/"+serverName+"/"+addr)
	return a
}

func (a *answers) start(name string, args ...string) *exec.Cmd {
	a.t.Helper()
	if path, err := exec.LookPath("/usr/sbin/" + name); err == nil {
		name = path
	}
	cmd := exec.Command(name, args...)
	if testing.Verbose() {
		cmd.Stdout, cmd.Stderr = os.Stderr, os.Stderr
	}
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	if err := cmd.Start(); err != nil {
		a.t.Fatalf("%s: %v: make deps installs it", name, err)
	}
	return cmd
}

func (a *answers) stop() {
	for _, cmd := range []*exec.Cmd{a.mdns, a.server} {
		if cmd != nil {
			_ = cmd.Process.Kill()
			_ = cmd.Wait()
		}
	}
	a.mdns, a.server = nil, nil
}

// moveTo takes the address of the old machine off the network and gives the house a new one.
func (a *answers) moveTo(addr string) *answers {
	a.t.Helper()
	a.stop()
	runTool(a.t, "ip", "addr", "del", oldMachine+"/16", "dev", houseDevice)
	runTool(a.t, "ip", "addr", "add", addr+"/16", "dev", houseDevice)
	return answerWith(a.t, addr)
}

// awaitAnswer waits until the responder has made sure that nobody else has the name, and answers.
func (a *answers) awaitAnswer() {
	a.t.Helper()
	i, err := net.InterfaceByName(houseDevice)
	if err != nil {
		a.t.Fatal(err)
	}
	conn, err := net.ListenUDP("udp4", nil)
	if err != nil {
		a.t.Fatal(err)
	}
	defer func() { _ = conn.Close() }()
	if err := ipv4.NewPacketConn(conn).SetMulticastInterface(i); err != nil {
		a.t.Fatal(err)
	}
	m := dnsmessage.Message{Questions: []dnsmessage.Question{{Name: dnsmessage.MustNewName(localName + "."),
		Type: dnsmessage.TypeA, Class: dnsmessage.ClassINET}}}
	question, err := m.Pack()
	if err != nil {
		a.t.Fatal(err)
	}
	eventually(a.t, "the responder answers", 5*time.Second, func() bool {
		_, err := conn.WriteTo(question, group)
		_ = conn.SetReadDeadline(time.Now().Add(200 * time.Millisecond))
		n, _, rerr := conn.ReadFrom(make([]byte, 1500))
		return err == nil && rerr == nil && n > len(question)
	})
}

func (a *answers) signal(s syscall.Signal) { _ = a.mdns.Process.Signal(s) }

var group = &net.UDPAddr{IP: net.IPv4(224, 0, 0, 251), Port: 5353}

// forger answers every question for the gateway's name at once, at full rate and for half a second,
// with the stranger's address, also to the group. The lie is always the first answer: the responder
// stands still until 100 lies are under way.
type forger struct {
	asked, sent atomic.Int64
	stop        func()
}

func startForger(t *testing.T, truth *answers) *forger {
	t.Helper()
	truth.awaitAnswer()
	truth.signal(syscall.SIGSTOP)
	i, err := net.InterfaceByName(houseDevice)
	if err != nil {
		t.Fatal(err)
	}
	hears, err := net.ListenMulticastUDP("udp4", i, group)
	if err != nil {
		t.Fatal(err)
	}
	says, err := net.ListenUDP("udp4", nil)
	if err != nil {
		t.Fatal(err)
	}
	if err := ipv4.NewPacketConn(says).SetMulticastInterface(i); err != nil {
		t.Fatal(err)
	}
	// Somebody is at the stranger's address. He hears the handshake and says nothing, which costs most.
	deaf, err := net.ListenPacket("udp4", net.JoinHostPort(stranger, "5684"))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = deaf.Close() })
	f := &forger{}
	var wait sync.WaitGroup
	done := make(chan struct{})
	f.stop = sync.OnceFunc(func() { close(done); _ = hears.Close(); _ = says.Close(); wait.Wait() })
	t.Cleanup(f.stop)
	wait.Go(func() {
		b := make([]byte, 1500)
		for {
			n, from, err := hears.ReadFromUDPAddrPort(b)
			if err != nil {
				return
			}
			lie, ok := forge(b[:n])
			if !ok {
				continue
			}
			f.asked.Add(1)
			for end := time.Now().Add(500 * time.Millisecond); time.Now().Before(end) && !isClosed(done); {
				for range 100 {
					_, _ = says.WriteToUDPAddrPort(lie, from) // a full buffer is the point
					_, _ = says.WriteTo(lie, group)
					f.sent.Add(2)
				}
				truth.signal(syscall.SIGCONT)
			}
			truth.signal(syscall.SIGSTOP)
		}
	})
	return f
}

// check checks that two nodes came in time, which took so long, and that the forger did his part. On a
// quiet machine it takes 5 to 8 s: each node tries the stranger's address first.
func (f *forger) check(t *testing.T, took time.Duration) {
	t.Helper()
	t.Logf("both nodes came after %v; %d questions, %d forged answers", took.Round(10*time.Millisecond),
		f.asked.Load(), f.sent.Load())
	if took > 2*time.Minute || f.asked.Load() < 2 || f.sent.Load() < 1000 {
		t.Errorf("got %v, %d questions and %d forged answers: want less than 2 min, two questions and 1000 answers",
			took, f.asked.Load(), f.sent.Load())
	}
}

func isClosed(c chan struct{}) bool {
	select {
	case <-c:
		return true
	default:
		return false
	}
}

// forge returns a lie that answers b, if b is a question.
func forge(b []byte) (lie []byte, ok bool) {
	var m dnsmessage.Message
	if m.Unpack(b) != nil || m.Response || len(m.Questions) != 1 {
		return nil, false
	}
	m.Response, m.Authoritative = true, true
	m.Answers = []dnsmessage.Resource{{
		Header: dnsmessage.ResourceHeader{Name: m.Questions[0].Name, Class: 0x8001, TTL: 604800},
		Body:   &dnsmessage.AResource{A: netip.MustParseAddr(stranger).As4()}}}
	lie, err := m.Pack()
	return lie, err == nil
}
