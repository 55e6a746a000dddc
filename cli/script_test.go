package cli_test

import (
	"errors"
	"math/rand/v2"
	"net"
	"os"
	"os/exec"
	"os/signal"
	"regexp"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/rogpeppe/go-internal/testscript"

	"latchkey/cli"
	"latchkey/gateway/website/child"
)

func TestMain(m *testing.M) {
	if len(os.Args) == 2 && os.Args[1] == child.Command { // the website's child of a demo in this process
		os.Exit(child.Main())
	}
	testscript.Main(m, map[string]func(){
		"latchkey": func() { os.Exit(cli.Main(os.Args[1:], os.Stdin, os.Stdout, os.Stderr)) },
	})
}

func TestScript(t *testing.T) {
	if signal.Ignored(syscall.SIGHUP) { // as under nohup; the commands would inherit that
		hangup := make(chan os.Signal, 1)
		signal.Notify(hangup, syscall.SIGHUP)
		t.Cleanup(func() { signal.Stop(hangup) }) // after the scripts, which run side by side
	}
	testscript.Run(t, testscript.Params{
		Dir:                 "testdata/script",
		RequireExplicitExec: true,
		Setup: func(e *testscript.Env) error {
			e.Setenv("LATCHKEY_DATA", e.WorkDir+"/data")
			e.Setenv("LATCHKEY_CLOCK", "rtc")
			// Scripts run in parallel, and only one of them could use the default port.
			e.Setenv("LATCHKEY_CONSOLE", "off")
			// Without this, each of hundreds of commands would sleep a second before it exits.
			e.Setenv("GORACE", "atexit_sleep_ms=0")
			e.Setenv("BAD", "x\x1b[31m") // a control sequence for terminals
			return nil
		},
		Condition: func(cond string) (bool, error) {
			if cond == "root" {
				return os.Geteuid() == 0, nil
			}
			return false, errors.New("unknown condition " + cond)
		},
		Cmds: map[string]func(*testscript.TestScript, bool, []string){
			"status":   status,
			"capture":  capture,
			"mode":     mode,
			"chown":    chown,
			"listens":  listens,
			"appears":  appears,
			"freeport": freeport,
			"signal":   sendSignal,
		},
	})
}

// status runs a command that must end with the given exit status: status 2 latchkey target add. A
// failure must write one line to stderr.
func status(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) < 2 {
		ts.Fatalf("usage: status N COMMAND…")
	}
	want, err := strconv.Atoi(args[0])
	ts.Check(err)
	err = ts.Exec(args[1], args[2:]...)
	got := 0
	var failed *exec.ExitError
	if errors.As(err, &failed) {
		got = failed.ExitCode()
	} else {
		ts.Check(err)
	}
	if got != want {
		ts.Fatalf("got exit status %d, want %d", got, want)
	}
	if got == 0 {
		return
	}
	if text := ts.ReadFile("stderr"); strings.Count(text, "\n") != 1 || !strings.HasSuffix(text, "\n") ||
		!strings.HasPrefix(text, "latchkey") {
		ts.Fatalf("got stderr %q, want one line that starts with latchkey", text)
	}
	if text := ts.ReadFile("stdout"); got == 2 && text != "" {
		ts.Fatalf("got stdout %q, want nothing", text)
	}
}

// capture sets a variable to the first group of a pattern in the last stdout.
func capture(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 2 {
		ts.Fatalf("usage: capture NAME PATTERN")
	}
	re, err := regexp.Compile("(?m)" + args[1])
	ts.Check(err)
	m := re.FindStringSubmatch(ts.ReadFile("stdout"))
	if len(m) != 2 {
		ts.Fatalf("nothing in stdout matches %s", args[1])
	}
	ts.Setenv(args[0], m[1])
}

func mode(ts *testscript.TestScript, neg bool, args []string) {
	want, err := strconv.ParseUint(args[0], 8, 32)
	ts.Check(err)
	info, err := os.Stat(ts.MkAbs(args[1]))
	ts.Check(err)
	if got := uint64(info.Mode().Perm()); neg || got != want {
		ts.Fatalf("%s: got mode %04o, want %04o", args[1], got, want)
	}
}

func chown(ts *testscript.TestScript, _ bool, args []string) {
	uid, err := strconv.Atoi(args[0])
	ts.Check(err)
	ts.Check(os.Chown(ts.MkAbs(args[1]), uid, -1))
}

const patience = 30 * time.Second

// listens waits until a process serves a unix socket, or with ! until none does.
func listens(ts *testscript.TestScript, neg bool, args []string) {
	pollUntil(ts, args[0], func() bool {
		c, err := net.Dial("unix", ts.MkAbs(args[0]))
		if err == nil {
			_ = c.Close()
		}
		return (err == nil) != neg
	})
}

// appears waits until the output of a command matches a pattern: appears PATTERN COMMAND….
func appears(ts *testscript.TestScript, neg bool, args []string) {
	re, err := regexp.Compile("(?m)" + args[0])
	ts.Check(err)
	pollUntil(ts, args[0], func() bool {
		err := ts.Exec(args[1], args[2:]...)
		return err == nil && re.MatchString(ts.ReadFile("stdout")) != neg
	})
}

func pollUntil(ts *testscript.TestScript, what string, is func() bool) {
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	for deadline := time.Now().Add(patience); !is(); <-tick.C {
		if time.Now().After(deadline) {
			ts.Fatalf("waited %v for %s", patience, what)
		}
	}
}

// sendSignal sends a signal to every command in the background: HUP, as when a terminal closes,
// STOP or CONT.
func sendSignal(ts *testscript.TestScript, _ bool, args []string) {
	number := map[string]syscall.Signal{"HUP": syscall.SIGHUP, "STOP": syscall.SIGSTOP,
		"CONT": syscall.SIGCONT}[args[0]]
	for _, c := range ts.BackgroundCmds() {
		ts.Check(c.Process.Signal(number))
	}
}

// freeport sets a variable to a port that is free for UDP and TCP. It is below the range from which
// the kernel assigns ports, so that no client of another test gets it meanwhile.
func freeport(ts *testscript.TestScript, _ bool, args []string) {
	for range 100 {
		port := strconv.Itoa(20_000 + rand.IntN(12_000))
		c, err := net.ListenPacket("udp", net.JoinHostPort("127.0.0.1", port))
		if err != nil {
			continue
		}
		l, err := net.Listen("tcp", net.JoinHostPort("127.0.0.1", port))
		ts.Check(c.Close())
		if err != nil {
			continue
		}
		ts.Check(l.Close())
		ts.Setenv(args[0], port)
		return
	}
	ts.Fatalf("no free port")
}
