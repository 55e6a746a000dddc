package brokertest

import (
	"bufio"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"
)

// Main runs the tests of a package, then stops what they started, and fails if a goroutine is left.
// stops may name brokers that no test has started.
func Main(m *testing.M, stops ...func()) {
	code := m.Run()
	for _, stop := range stops {
		stop()
	}
	starter.stop()
	if err := goleak.Find(); err != nil && code == 0 {
		fmt.Fprintln(os.Stderr, err)
		code = 1
	}
	os.Exit(code)
}

// process is a program that runs beside the test.
type process struct {
	cmd  *exec.Cmd
	done chan struct{} // closed when it has ended
}

// starter starts processes from one thread, because the kernel ends a process when the thread that
// started it ends, and Go ends threads.
var starter threadStarter

type threadStarter struct {
	once sync.Once
	work chan func()
}

func (s *threadStarter) run(cmd *exec.Cmd) error {
	s.once.Do(func() {
		s.work = make(chan func())
		go func() {
			runtime.LockOSThread()
			for f := range s.work {
				f()
			}
		}()
	})
	err := make(chan error)
	s.work <- func() { err <- cmd.Start() }
	return <-err
}

func (s *threadStarter) stop() {
	if s.work != nil {
		close(s.work)
	}
}

// startProcess starts a program and returns once it has printed ready.
func startProcess(ready string, within time.Duration, cmd *exec.Cmd) (*process, error) {
	name := filepath.Base(cmd.Path)
	out, in := io.Pipe()
	cmd.Stdout, cmd.Stderr, cmd.SysProcAttr = in, in, dieWithUs()
	cmd.WaitDelay = 2 * time.Second // a child of it may hold the pipe for longer
	if err := starter.run(cmd); err != nil {
		return nil, fmt.Errorf("brokertest: %w", err)
	}
	p := &process{cmd: cmd, done: make(chan struct{})}
	go func() {
		defer close(p.done)
		_ = cmd.Wait() // how it ended is nothing to us
		_ = in.Close()
	}()
	found, said := make(chan struct{}), make(chan string, 1)
	go func() {
		var all strings.Builder
		seen := ready == ""
		if seen {
			close(found)
		}
		lines := bufio.NewScanner(out)
		for lines.Scan() {
			if all.Len() < 10_000 {
				all.WriteString(lines.Text() + "\n")
			}
			if !seen && strings.Contains(lines.Text(), ready) {
				seen = true
				close(found)
			}
		}
		_, _ = io.Copy(io.Discard, out)
		said <- all.String()
	}()
	select {
	case <-found:
		return p, nil
	case <-p.done:
		return nil, fmt.Errorf("brokertest: %s ended: %s", name, <-said)
	case <-time.After(within):
		p.end(os.Kill)
		return nil, fmt.Errorf("brokertest: %s was not ready after %v: %s", name, within, <-said)
	}
}

// end sends a signal and waits until the process has ended; after ten seconds it is killed.
func (p *process) end(signal os.Signal) {
	_ = p.cmd.Process.Signal(signal) // it may have ended already
	select {
	case <-p.done:
	case <-time.After(10 * time.Second):
		_ = p.cmd.Process.Kill()
		<-p.done
	}
}

// findPort returns a port of 127.0.0.1 that is free, below those that the kernel gives to others.
func findPort() (string, error) {
	for range 100 {
		port := strconv.Itoa(20_000 + rand.IntN(12_000))
		if l, err := net.Listen("tcp", "127.0.0.1:"+port); err == nil {
			return port, l.Close()
		}
	}
	return "", fmt.Errorf("brokertest: no free port")
}
