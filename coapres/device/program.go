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
	// Dir is the node's flash: a folder of its own, in which the program runs. A folder that
	// already holds settings is not provisioned again.
	Dir string
	// Program is the firmware: a program for this machine, or an image for the chip if Emulator is
	// set. The emulator is started as EMULATOR IMAGE HOST PORT. Both are absolute paths.
	Program  string
	Emulator string
	// Changed, if set, is called with each new state of an actuator, one call at a time. It must
	// not call the program.
	Changed func(wire.State)
	// Line, if set, is called with every line that the program prints, under the same rules.
	Line func(string)
}

// Program is a node that runs as a program of its own: the firmware, built for this machine or run
// in an emulator of its chip. It reads what happens in its world, and prints what it did, in the
// lines that firmware/port/world describes.
type Program struct {
	cfg  ProgramConfig
	stop context.CancelFunc
	done chan struct{}
	wake chan struct{} // holds one token: the wake pin

	turn    chan struct{} // holds one token: one tap or press at a time
	removed time.Time     // guarded by turn; when the last card was taken away

	mu      sync.Mutex
	changed chan struct{} // guarded by mu; closed and replaced at each change
	stdin   io.Writer     // guarded by mu; nil while the program does not run
	lines   []string      // guarded by mu; what it printed, oldest first
	first   int           // guarded by mu; number of the oldest line that is kept
	online  bool          // guarded by mu
	asleep  bool          // guarded by mu
	state   wire.State    // guarded by mu
	moves   int           // guarded by mu
	count   int           // guarded by mu; handshakes done
	cut     func()        // guarded by mu; ends the program that runs
	cuts    int           // guarded by mu; power cuts since the program was started
	err     error         // guarded by mu; why it ended
}

// CardAway is how long a card must be away before it counts as a new one: the firmware must miss it
// in three polls. Scan and Ask wait for that.
const CardAway = 500 * time.Millisecond

const (
	keptLines = 4096
	// The firmware gives up after 3 s. It takes longer only if it restarted meanwhile or never saw
	// the card.
	askWithin = 15 * time.Second
	// Exit statuses of the program (firmware/port/world).
	exitRestart, exitWatchdog = 3, 4
)

// StartProgram starts a node, provisions it through its serial console, and keeps it running until
// Close, as a board does: when the firmware restarts itself, the program is started again. If it
// cannot be started or ends in another way, Err and all that wait for it return why.
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

// provision types what a person would type at the console.
func (p *Program) provision() {
	lines := []string{"device " + p.cfg.Name, "kind " + string(p.cfg.Kind), "gateway " + p.cfg.Gateway,
		"identity " + string(p.cfg.Identity),
		"secret " + p.cfg.Secret.Reveal()}
	if p.cfg.Target != "" {
		lines = append(lines, "targets "+p.cfg.Target)
	}
	p.Tell(strings.Join(append(lines, "save"), "\n"))
}

// Close cuts the node's power and waits until its program has ended. Twice is harmless.
func (p *Program) Close() {
	p.stop()
	<-p.done
}

// Err returns why the program ended by itself, which it should not. It is nil while the program
// runs and after Close.
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
	// It has a process group of its own: an interrupt from the terminal goes to us alone, and
	// processes that the program started end with it.
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

// lastWords returns the program's newest line, to be put behind an error.
func (p *Program) lastWords() string {
	p.mu.Lock()
	defer p.mu.Unlock()
	if len(p.lines) == 0 {
		return ""
	}
	return fmt.Sprintf("; its last line: %q", p.lines[len(p.lines)-1])
}

// change calls f under the lock and wakes all that wait.
func (p *Program) change(f func()) {
	p.mu.Lock()
	defer p.mu.Unlock()
	f()
	close(p.changed)
	p.changed = make(chan struct{})
}

// heard handles one line: "COUNT WORD …" of the board, or what the console prints.
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

// output records a change of the relay or the lamp.
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

// Tell sends lines to the program: what happens in its world, or what somebody types at its
// console. It waits up to 10 s while the program starts again. If the program has ended for good it
// sends nothing; see Err.
func (p *Program) Tell(lines string) {
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()
	_ = p.await(ctx, func() bool { return p.stdin != nil })
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.stdin != nil {
		_, _ = io.WriteString(p.stdin, lines+"\n") // a program that has just ended reads nothing
	}
}

// await waits until f, which it calls under the lock, is true, or the program has ended for good.
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
			over = true // check once more, with the last lines
		case <-changed:
		}
	}
}

// Mark returns the number of the next line, from which Await can begin.
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

// Wake waits until the node sleeps, presses its wake pin, and waits until it runs.
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

// PowerCycle cuts the node's power for a moment and waits until it runs again. The node cannot say
// goodbye. If the node sleeps, PowerCycle first waits until it wakes.
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
