package e2e

import (
	"bytes"
	"context"
	"fmt"
	"log/slog"
	"net"
	"os"
	"os/exec"
	"os/signal"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"latchkey/gateway"
	"latchkey/gateway/clock"
	"latchkey/gateway/store"
)

// servesApart is the environment variable that tells a process of this test binary to serve a
// store: it holds the folder, the address and the runtime folder.
const servesApart = "LATCHKEY_TEST_SERVES"

// TestServesApart is no test: it is the gateway that other tests run as a process, so that they can
// kill it.
func TestServesApart(t *testing.T) {
	dir, addr, ok := strings.Cut(os.Getenv(servesApart), "|")
	addr, runtimeDir, _ := strings.Cut(addr, "|")
	if !ok {
		return
	}
	st, err := store.Open(t.Context(), store.Options{Dir: dir})
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = st.Close() }()
	runtime, err := openRuntime(runtimeDir, dir)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = runtime.Close() }()
	gw, err := gateway.New(gateway.Config{Store: st, Listen: addr, Clock: clock.RTC, Runtime: runtime,
		Log: slog.New(slog.NewTextHandler(os.Stderr, nil))})
	if err != nil {
		t.Fatal(err)
	}
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM)
	defer stop()
	if err := gw.Run(ctx); err != nil {
		t.Fatal(err)
	}
}

// process is a gateway in a process of its own.
type process struct {
	t     *testing.T
	cmd   *exec.Cmd
	log   processLog
	ended chan error
	bound time.Time // when its socket was bound
}

// handOverStore ends the gateway of a site and closes its store, so that another process can open
// it. At the end of the test the store is opened again for its check.
func (s *site) handOverStore() {
	s.t.Helper()
	s.stop()
	if err := s.store.Close(); err != nil {
		s.t.Fatal(err)
	}
	s.t.Cleanup(s.openStore)
}

// startProcess serves the site's store on the site's port from a process.
func (s *site) startProcess() *process {
	s.t.Helper()
	p := &process{t: s.t, ended: make(chan error, 1), cmd: exec.Command(os.Args[0],
		"-test.run=^TestServesApart$")}
	p.cmd.Env = append(os.Environ(), servesApart+"="+s.dir+"|"+s.addr+"|"+s.runtime)
	p.cmd.Stderr = &p.log
	if err := p.cmd.Start(); err != nil {
		s.t.Fatal(err)
	}
	go func() { p.ended <- p.cmd.Wait() }()
	return p
}

// runProcess is startProcess, and returns when the socket is bound.
func (s *site) runProcess() *process {
	s.t.Helper()
	p := s.startProcess()
	_, port, _ := net.SplitHostPort(s.addr)
	var number int
	if _, err := fmt.Sscan(port, &number); err != nil {
		s.t.Fatal(err)
	}
	local := fmt.Sprintf(":%04X ", number)
	deadline := time.After(20 * time.Second)
	for tick := time.NewTicker(time.Millisecond); ; {
		b, _ := os.ReadFile("/proc/net/udp")
		if strings.Contains(string(b), local) {
			p.bound = time.Now()
			tick.Stop()
			return p
		}
		select {
		case <-deadline:
			_ = p.cmd.Process.Kill()
			s.t.Fatal("gateway: its socket is not bound after 20 s")
		case err := <-p.ended:
			s.t.Fatalf("gateway: %v\n%s", err, p.log.String())
		case <-tick.C:
		}
	}
}

// kill ends the process at once, like a crash.
func (p *process) kill() {
	_ = p.cmd.Process.Kill()
	<-p.ended
}

// stop ends the process regularly.
func (p *process) stop() {
	_ = p.cmd.Process.Signal(syscall.SIGTERM)
	late := time.AfterFunc(20*time.Second, func() { _ = p.cmd.Process.Kill() })
	defer late.Stop()
	if err := <-p.ended; err != nil {
		p.t.Errorf("gateway: %v\n%s", err, p.log.String())
	}
}

// processLog stores what a process prints.
type processLog struct {
	mu  sync.Mutex
	buf bytes.Buffer // guarded by mu
}

func (b *processLog) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.buf.Write(p)
}

func (b *processLog) String() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.buf.String()
}
