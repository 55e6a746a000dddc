package broker

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
	"time"
)

// Process is a program that runs beside this one. On Linux it ends with this one.
type Process struct {
	cmd  *exec.Cmd
	in   io.Writer
	done chan struct{} // closed when it has ended

	mu    sync.Mutex
	said  strings.Builder        // guarded by mu; the beginning of its output
	waits map[string]chan string // guarded by mu; those who wait for a line with this text
}

// StartProcess starts a program and returns once it has printed a line that contains ready.
func StartProcess(ready string, cmd *exec.Cmd) (*Process, error) {
	p := &Process{cmd: cmd, done: make(chan struct{}), waits: map[string]chan string{}}
	name := filepath.Base(cmd.Path)
	in, err := cmd.StdinPipe()
	if err != nil {
		return nil, fmt.Errorf("broker: %s: %w", name, err)
	}
	out, into := io.Pipe()
	cmd.Stdout, cmd.Stderr, cmd.SysProcAttr = into, into, dieWithUs()
	cmd.WaitDelay = 2 * time.Second // a child of it may hold the pipe for longer
	p.in = in
	isReady := p.await(ready)
	go p.read(out)
	started := make(chan error, 1)
	go func() {
		// The kernel ends the process when the thread that started it ends.
		runtime.LockOSThread()
		err := cmd.Start()
		started <- err
		if err == nil {
			_ = cmd.Wait() // how it ended is nothing to us
		}
		_ = into.Close()
		close(p.done)
	}()
	if err := <-started; err != nil {
		return nil, fmt.Errorf("broker: %w", err)
	}
	if _, err := p.waitFor(isReady); err != nil {
		p.End(os.Kill)
		return nil, err
	}
	return p, nil
}

// await returns a channel that gets the next line that contains text.
func (p *Process) await(text string) <-chan string {
	p.mu.Lock()
	defer p.mu.Unlock()
	found := make(chan string, 1)
	p.waits[text] = found
	return found
}

// read gives the lines of the output to those who wait for them.
func (p *Process) read(out io.Reader) {
	lines := bufio.NewScanner(out)
	for lines.Scan() {
		line := lines.Text()
		p.mu.Lock()
		if p.said.Len() < 10_000 {
			p.said.WriteString(line + "\n")
		}
		for text, found := range p.waits {
			if strings.Contains(line, text) {
				found <- line
				delete(p.waits, text)
			}
		}
		p.mu.Unlock()
	}
	_, _ = io.Copy(io.Discard, out) // after a line that is too long
}

// waitFor waits for a line. If the program ends or takes too long, it returns what it has printed.
func (p *Process) waitFor(found <-chan string) (line string, err error) {
	why := "ended"
	select {
	case line := <-found:
		return line, nil
	case <-p.done:
	case <-time.After(within):
		why = fmt.Sprintf("did not answer in %v", within)
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	return "", fmt.Errorf("broker: %s %s: %s", filepath.Base(p.cmd.Path), why, p.said.String())
}

// ask writes a line to the program, and returns the first line of its output that contains mark.
func (p *Process) ask(line, mark string) (string, error) {
	found := p.await(mark)
	if _, err := io.WriteString(p.in, line+"\n"); err != nil {
		return "", fmt.Errorf("broker: %w", err)
	}
	return p.waitFor(found)
}

// End sends a signal and waits until the program has ended. After ten seconds it is killed.
func (p *Process) End(signal os.Signal) {
	_ = p.cmd.Process.Signal(signal) // it may have ended already
	select {
	case <-p.done:
	case <-time.After(10 * time.Second):
		_ = p.cmd.Process.Kill()
		<-p.done
	}
}

// FindPort returns a port of 127.0.0.1 that is free, below those that the kernel gives to others.
func FindPort() (string, error) {
	for range 100 {
		port := strconv.Itoa(20_000 + rand.IntN(12_000))
		if l, err := net.Listen("tcp", "127.0.0.1:"+port); err == nil {
			return port, l.Close()
		}
	}
	return "", fmt.Errorf("broker: no free port")
}
