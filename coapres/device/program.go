package device

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"time"

	"latchkey/coapres/wire"
	"latchkey/keys"
)

// ProgramConfig says what a node is and how its program is started.
type ProgramConfig struct {
	Name     string
	Kind     keys.Kind
	Target   string // what a switch's button toggles
	Gateway  string // "host:port"
	Identity keys.ID
	Secret   keys.Secret
	// Dir is the node's flash: a folder of its own, where the program runs. One that holds settings
	// from before is not provisioned again.
	Dir string
	// Program is the firmware: a file for this machine, or an image for the chip if there is an
	// Emulator, a program that runs IMAGE HOST PORT. Both are absolute paths.
	Program  string
	Emulator string
	// Changed, if set, is called with each new state of an actuator, one call at a time. It must
	// not call the program.
	Changed func(wire.State)
	// Line, if set, is called with every line that the program prints, likewise.
	Line func(string)
}

// Program is a node that runs as a program of its own: the firmware, built for this machine or run
// in an emulator of its chip. It is told what its world does, and tells what it did, by the lines
// that firmware/port/world describes.
type Program struct {
	cfg  ProgramConfig
	stop context.CancelFunc
	done chan struct{}
	wake chan struct{} // holds one token: the wake pin

	turn    chan struct{} // holds one token: one tap or press at a time
	removed time.Time     // when the last card was taken away; belongs to who has the turn

	mu      sync.Mutex
	changed chan struct{} // guarded by mu; closed at each change, and made anew
	stdin   io.Writer     // guarded by mu; nil while the program does not run
	lines   []string      // guarded by mu; what it said, oldest first
	first   int           // guarded by mu; number of the oldest line that is kept
	online  bool          // guarded by mu
	asleep  bool          // guarded by mu
	state   wire.State    // guarded by mu
	moves   int           // guarded by mu
	count   int           // guarded by mu; handshakes done
	cut     func()        // guarded by mu; ends the program that runs
	cuts    int           // guarded by mu; power cuts that its end explains
	err     error         // guarded by mu; why it ended
}

// CardAway is how long a card must have been taken away before it counts as a new one: the firmware
// wants it gone for three polls. Scan and Ask wait for it.
const CardAway = 500 * time.Millisecond

const (
	keptLines = 4096
	// The firmware gives up after 3 s. Longer takes only one that has restarted meanwhile, or that
	// never saw the card.
	askWithin = 15 * time.Second
	// What the program ends with (firmware/port/world).
	exitRestart, exitWatchdog = 3, 4
)

// StartProgram starts a node, provisions it through its serial console, and keeps it running as a
// board does until Close: it is started again when it restarts itself. One that cannot be started,
// or ends otherwise, shows in Err and in whatever waits for it.
func StartProgram(cfg ProgramConfig) (*Program, error) {
	if err := os.MkdirAll(cfg.Dir+"/kv", 0o700); err != nil {
		return nil, fmt.Errorf("device: %s: %w", cfg.Name, err)
	}
	ctx, stop := context.WithCancel(context.Background())
	p := &Program{cfg: cfg, stop: stop, done: make(chan struct{}), wake: make(chan struct{}, 1),
		turn:    make(chan struct{}, 1),
		changed: make(chan struct{})}
	go p.run(ctx)
	if _, err := os.Stat(cfg.Dir + "/kv/secret"); errors.Is(err, os.ErrNotExist) {
		p.provision()
	}
	return p, nil
}

// provision types what a person would.
func (p *Program) provision() {
	lines := []string{"device " + p.cfg.Name, "kind " + string(p.cfg.Kind), "gateway " + p.cfg.Gateway,
		"identity " + string(p.cfg.Identity),
		"secret " + p.cfg.Secret.Reveal()}
	if p.cfg.Target != "" {
		lines = append(lines, "targets "+p.cfg.Target)
	}
	p.Tell(strings.Join(append(lines, "save"), "\n"))
}

// Close takes the node's power away and waits until it is gone. Twice is harmless.
func (p *Program) Close() {
	p.stop()
	<-p.done
}

// Err tells why the program ended by itself, which none should; nil while it runs and after Close.
func (p *Program) Err() error {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.err
}

// run starts the program until ctx ends, or until it ends in a way that no board does.
func (p *Program) run(ctx context.Context) {
	defer close(p.done)
	for {
		asleep, err := p.once(ctx)
		if ctx.Err() != nil {
			return
		}
		if err != nil {
			p.change(func() { p.err = err })
			return
		}
		if asleep {
			select {
			case <-ctx.Done():
				return
			case <-p.wake:
			}
		}
	}
}

// once runs the program to its end and tells whether it sleeps now.
func (p *Program) once(ctx context.Context) (asleep bool, err error) {
	ctx, cut := context.WithCancel(ctx)
	defer cut()
	cmd := exec.CommandContext(ctx, p.cfg.Program)
	if p.cfg.Emulator != "" {
		host, port, err := net.SplitHostPort(p.cfg.Gateway)
		if err != nil {
			return false, fmt.Errorf("device: %s: %w", p.cfg.Name, err)
		}
		cmd = exec.CommandContext(ctx, p.cfg.Emulator, p.cfg.Program, host, port)
	}
	cmd.Dir = p.cfg.Dir
	cmd.Stderr = os.Stderr
	// A group of its own: an interrupt from the terminal is ours to take, and what the program has
	// started ends with it.
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	cmd.Cancel = func() error { return syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL) }
	in, err := cmd.StdinPipe()
	if err != nil {
		return false, fmt.Errorf("device: %s: %w", p.cfg.Name, err)
	}
	out, err := cmd.StdoutPipe()
	if err != nil {
		return false, fmt.Errorf("device: %s: %w", p.cfg.Name, err)
	}
	if err := cmd.Start(); err != nil {
		return false, fmt.Errorf("device: %s: %w", p.cfg.Name, err)
	}
	p.change(func() { p.stdin, p.asleep, p.cut = in, false, cut })
	s := bufio.NewScanner(out)
	for s.Scan() {
		p.heard(s.Text())
	}
	if s.Err() != nil {
		cut() // nobody reads what it prints any more
	}
	if err = cmd.Wait(); s.Err() != nil {
		err = s.Err()
	}
	cutOff := false
	p.change(func() {
		p.stdin, p.online = nil, false
		asleep, cutOff, p.cuts = p.asleep, p.cuts > 0, 0
	})
	p.output(0)
	var exit *exec.ExitError
	if cutOff || err == nil && asleep || errors.As(err, &exit) && (exit.ExitCode() == exitRestart ||
		exit.ExitCode() == exitWatchdog) {
		return asleep && !cutOff, nil
	}
	if err == nil {
		err = errors.New("it ended")
	}
	return false, fmt.Errorf("device: %s: %w%s", p.cfg.Name, err, p.lastWords())
}

// lastWords is the newest line that it printed, to be put behind an error.
func (p *Program) lastWords() string {
	p.mu.Lock()
	defer p.mu.Unlock()
	if len(p.lines) == 0 {
		return ""
	}
	return fmt.Sprintf("; its last line: %q", p.lines[len(p.lines)-1])
}

// change does f under the lock and wakes who waits.
func (p *Program) change(f func()) {
	p.mu.Lock()
	defer p.mu.Unlock()
	f()
	close(p.changed)
	p.changed = make(chan struct{})
}

// heard takes a line: "COUNT WORD …" of the board, or what the console prints.
func (p *Program) heard(line string) {
	if p.cfg.Line != nil {
		p.cfg.Line(line)
	}
	_, what, _ := strings.Cut(line, " ")
	word, rest, _ := strings.Cut(what, " ")
	if word == "output" {
		level, _, _ := strings.Cut(rest, " ")
		if n, err := strconv.Atoi(level); err == nil {
			p.output(n)
		}
	}
	p.change(func() {
		switch {
		case word == "sleep":
			p.asleep = true
		case strings.HasPrefix(what, "log session up"):
			p.count++
		case strings.HasPrefix(what, "log registered"):
			p.online = true
		case strings.HasPrefix(what, "log session lost"):
			p.online = false
		}
		if p.lines = append(p.lines, line); len(p.lines) > keptLines {
			p.lines = p.lines[1:]
			p.first++
		}
	})
}

// output takes a change of the relay or the lamp.
func (p *Program) output(level int) {
	p.mu.Lock()
	was := p.state
	p.state.On, p.state.Level = level > 0, 0
	if p.cfg.Kind == keys.KindLamp {
		p.state.Level = uint8(level)
	}
	if p.state.On && !was.On || p.state.Level != was.Level && p.state.On {
		p.moves++
	}
	st := p.state
	p.mu.Unlock()
	if p.cfg.Changed != nil && st != was {
		p.cfg.Changed(st)
	}
}

// Tell sends lines to the program: what its world does, or what is typed at its console. It waits
// for a program that starts again, 10 s at the most; one that has ended for good is told nothing,
// which shows in Err.
func (p *Program) Tell(lines string) {
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()
	_ = p.await(ctx, func() bool { return p.stdin != nil })
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.stdin != nil {
		_, _ = io.WriteString(p.stdin, lines+"\n") // one that has just ended hears nothing
	}
}

// await waits until f, called under the lock, is true, or the program has ended for good.
func (p *Program) await(ctx context.Context, f func() bool) error {
	for over := false; ; {
		p.mu.Lock()
		ok, err, changed := f(), p.err, p.changed
		p.mu.Unlock()
		switch {
		case ok:
			return nil
		case err != nil:
			return err
		case over:
			return fmt.Errorf("device: %s has no power", p.cfg.Name)
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("device: %s: %w%s", p.cfg.Name, ctx.Err(), p.lastWords())
		case <-p.done:
			over = true // what came last counts
		case <-changed:
		}
	}
}

// Mark is the number of the next line: where Await begins to look.
func (p *Program) Mark() int {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.first + len(p.lines)
}

// Await returns the first line from mark on that contains one of the texts.
func (p *Program) Await(ctx context.Context, mark int, texts ...string) (line string, err error) {
	err = p.await(ctx, func() bool {
		for ; mark < p.first+len(p.lines); mark++ {
			if mark < p.first {
				continue
			}
			for _, text := range texts {
				if strings.Contains(p.lines[mark-p.first], text) {
					line = p.lines[mark-p.first]
					return true
				}
			}
		}
		return false
	})
	return line, err
}

// Ready waits until the node is registered.
func (p *Program) Ready(ctx context.Context) error {
	return p.await(ctx, func() bool { return p.online })
}

// Wake presses the wake pin of a node that sleeps, and waits until it does.
func (p *Program) Wake(ctx context.Context) error {
	if err := p.await(ctx, func() bool { return p.asleep && p.stdin == nil }); err != nil {
		return err
	}
	select {
	case p.wake <- struct{}{}:
	default:
	}
	return p.await(ctx, func() bool { return p.stdin != nil })
}

// PowerCycle takes the node's power away for a moment, without a goodbye, and waits until it runs
// again. It waits for a node that sleeps to wake first.
func (p *Program) PowerCycle(ctx context.Context) error {
	err := p.await(ctx, func() bool {
		if p.stdin == nil {
			return false
		}
		p.cuts++
		p.cut()
		p.stdin = nil
		return true
	})
	if err != nil {
		return err
	}
	return p.await(ctx, func() bool { return p.stdin != nil })
}
