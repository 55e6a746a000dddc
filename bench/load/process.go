package load

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"syscall"
	"time"
)

// Process is a server under test, in a process of its own. Only the code that started it may use
// it.
type Process struct {
	cmd   *exec.Cmd
	ended chan struct{}
	err   error // how it ended, once ended is closed
}

// Usage is the CPU time and memory of a process, as the kernel counts them.
type Usage struct {
	CPU  time.Duration // user and system, since its start, of all its threads
	RSS  int64         // bytes resident now
	Peak int64         // the most that were ever resident
}

// Start starts cmd on the given CPUs, or on any CPU if none are given. The process is killed when
// ctx ends.
func Start(ctx context.Context, cmd *exec.Cmd, cpus []int) (*Process, error) {
	if err := startOnCPUs(cpus, cmd.Start); err != nil {
		return nil, fmt.Errorf("%s: %w", cmd.Path, err)
	}
	p := &Process{cmd: cmd, ended: make(chan struct{})}
	stop := context.AfterFunc(ctx, func() { _ = cmd.Process.Kill() })
	go func() {
		p.err = cmd.Wait()
		stop()
		close(p.ended)
	}()
	return p, nil
}

// PID is the process's id.
func (p *Process) PID() int { return p.cmd.Process.Pid }

// Ended is closed when the process has ended, by itself or by Stop.
func (p *Process) Ended() <-chan struct{} { return p.ended }

// Stop asks the process to end, waits for it for up to 10 s, and then kills it. A second call is
// harmless. If the process has ended by itself with an error, Stop returns it.
func (p *Process) Stop() error {
	select {
	case <-p.ended:
		if p.err != nil {
			return fmt.Errorf("%s ended by itself: %w", p.cmd.Path, p.err)
		}
		return nil
	default:
	}
	_ = p.cmd.Process.Signal(syscall.SIGTERM) // it may have ended meanwhile
	select {
	case <-p.ended:
		return nil
	case <-time.After(10 * time.Second):
	}
	_ = p.cmd.Process.Kill()
	<-p.ended
	return fmt.Errorf("%s did not end when asked", p.cmd.Path)
}

// Kill ends the process at once, as a power cut would, and waits until it is gone.
func (p *Process) Kill() {
	_ = p.cmd.Process.Kill() // it may have ended meanwhile
	<-p.ended
}

// Usage reads the CPU time and memory that the process has used so far.
func (p *Process) Usage() (Usage, error) { return UsageOf(p.PID()) }

// clockTick is the unit in which /proc counts CPU time, USER_HZ: 100 a second on every architecture
// that Go supports.
const clockTick = time.Second / 100

// UsageOf reads the CPU time and memory that a process has used so far.
func UsageOf(pid int) (u Usage, err error) {
	dir := "/proc/" + strconv.Itoa(pid)
	stat, err := os.ReadFile(dir + "/stat")
	if err != nil {
		return u, err
	}
	if u.CPU, err = cpuTime(stat); err != nil {
		return u, err
	}
	status, err := os.ReadFile(dir + "/status")
	if err != nil {
		return u, err
	}
	if u.RSS, err = kilobytes(status, "VmRSS:"); err == nil {
		u.Peak, err = kilobytes(status, "VmHWM:")
	}
	return u, err
}

// cpuTime reads utime and stime from /proc/PID/stat: the 12th and 13th field after the program's
// name, which may contain any characters.
func cpuTime(stat []byte) (time.Duration, error) {
	i := bytes.LastIndexByte(stat, ')')
	f := strings.Fields(string(stat[i+1:]))
	if i < 0 || len(f) < 13 {
		return 0, errors.New("/proc/PID/stat has an unexpected format")
	}
	user, err1 := strconv.ParseInt(f[11], 10, 64)
	system, err2 := strconv.ParseInt(f[12], 10, 64)
	return time.Duration(user+system) * clockTick, errors.Join(err1, err2)
}

// kilobytes finds a line of /proc/PID/status, as "VmRSS:	   12345 kB", and returns bytes.
func kilobytes(status []byte, name string) (int64, error) {
	_, rest, _ := bytes.Cut(status, []byte("\n"+name))
	fields := bytes.Fields(rest)
	if len(fields) < 2 || string(fields[1]) != "kB" {
		return 0, fmt.Errorf("/proc/PID/status has no %s", name)
	}
	n, err := strconv.ParseInt(string(fields[0]), 10, 64)
	return n << 10, err
}
