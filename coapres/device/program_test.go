package device_test

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/plgd-dev/go-coap/v3/message/codes"

	"latchkey/coapres/device"
	"latchkey/coapres/wire"
	"latchkey/keys"
)

// startScript starts a shell script that prints lines like the firmware.
func startScript(t *testing.T, lines ...string) *device.Program {
	t.Helper()
	path := filepath.Join(t.TempDir(), "reader")
	if err := os.WriteFile(path, []byte("#!/bin/sh\n"+strings.Join(lines, "\n")+"\n"), 0o700); err != nil {
		t.Fatal(err)
	}
	return startProgram(t, path)
}

func startProgram(t *testing.T, path string) *device.Program {
	t.Helper()
	p, err := device.StartProgram(device.ProgramConfig{Name: "front-reader", Kind: keys.KindReader,
		Gateway:  "127.0.0.1:9",
		Identity: keys.NewID(), Secret: keys.NewSecret(), Dir: t.TempDir(), Program: path})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(p.Close)
	return p
}

// wantSoon fails if f takes 5 s, which is well below every limit in Program: f must not wait for a
// program that has ended.
func wantSoon(t *testing.T, what string, f func()) {
	t.Helper()
	done := make(chan struct{})
	go func() { defer close(done); f() }()
	select {
	case <-done:
	case <-time.After(5 * time.Second):
		t.Fatal("still waiting: " + what)
	}
}

// wantRefusals checks that every call that needs the program soon returns an error with the reason
// why it has ended.
func wantRefusals(t *testing.T, p *device.Program, want string) {
	t.Helper()
	ctx := context.Background()
	for _, call := range []struct {
		name string
		do   func() error
	}{
		// Returns once the program has ended.
		{"Await", func() error { _, err := p.Await(ctx, 0, "a text that it never printed"); return err }},
		{"Ready", func() error { return p.Ready(ctx) }},
		{"Scan", func() error { _, err := p.Scan(ctx, []byte{1, 2, 3, 4}); return err }},
		{"Wake", func() error { return p.Wake(ctx) }},
		{"PowerCycle", func() error { return p.PowerCycle(ctx) }},
	} {
		wantSoon(t, call.name, func() {
			if err := call.do(); err == nil || !strings.Contains(err.Error(), want) {
				t.Errorf("%s: got %v, want %q", call.name, err, want)
			}
		})
	}
	wantSoon(t, "Tell", func() { p.Tell("!card") })
}

func TestProgramThatEndsSaysWhy(t *testing.T) {
	for _, tt := range []struct{ rule, path, text, want string }{
		{rule: "does not exist", path: "/nowhere/reader",
			want: "device: front-reader: fork/exec /nowhere/reader: no such file"},
		{rule: "is no program", path: "program_test.go", want: "permission denied"},
		{rule: "fails", text: "echo 0 log the chip burns 7; exit 7",
			want: `device: front-reader: exit status 7; its last line: "0 log the chip burns 7"`},
		{rule: "fails and prints nothing", text: "exit 1", want: "device: front-reader: exit status 1"},
		{rule: "ends without a sleep or a restart", text: "exit 0",
			want: "device: front-reader: it ended"},
		{rule: "is killed", text: "kill -9 $$", want: "device: front-reader: signal: killed"},
		{rule: "prints an endless line",
			text: "while :; do echo -n aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa; done",
			want: "token too long"},
	} {
		t.Run(tt.rule, func(t *testing.T) {
			t.Parallel()
			var p *device.Program
			if tt.path != "" {
				path, err := filepath.Abs(tt.path)
				if err != nil {
					t.Fatal(err)
				}
				wantSoon(t, "StartProgram", func() { p = startProgram(t, path) })
			} else {
				wantSoon(t, "StartProgram", func() { p = startScript(t, tt.text) })
			}
			wantRefusals(t, p, tt.want)
			if err := p.Err(); err == nil || !strings.Contains(err.Error(), tt.want) {
				t.Errorf("got %v, want %q", err, tt.want)
			}
			wantSoon(t, "Close", p.Close)
		})
	}
}

func TestProgramWithoutPower(t *testing.T) {
	p := startScript(t, "echo 0 log registered 90; sleep 1000") // sleep keeps the output open too
	if err := p.Ready(t.Context()); err != nil {
		t.Fatal(err)
	}
	wantSoon(t, "Close, and again", func() { p.Close(); p.Close() })
	wantRefusals(t, p, "device: front-reader has no power")
	if err := p.Err(); err != nil {
		t.Errorf("got %v, want nil, because it did not end by itself", err)
	}
	if line, err := p.Await(t.Context(), 0, "registered"); err != nil || line != "0 log registered 90" {
		t.Errorf("a line from before: got %q, %v", line, err)
	}
}

func TestProgramStartsAgain(t *testing.T) {
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
	defer cancel()
	// It restarts, is reset by its watchdog, sleeps, and then keeps running.
	p := startScript(t, `if [ -e starts ]; then read -r n <starts; else n=0; fi`, `echo $((n+1)) >starts`,
		`case $n in`,
		`0) exit 3;;`, `1) exit 4;;`, `2) echo 0 sleep 1000; exit 0;;`, `esac`, `echo 0 log start $n; cat`)
	if err := p.Wake(ctx); err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{"0 log start 3", "0 log start 4"} {
		if _, err := p.Await(ctx, 0, want); err != nil {
			t.Fatal(err)
		}
		if err := p.PowerCycle(ctx); err != nil {
			t.Fatal(err)
		}
	}
	mark := p.Mark()
	p.Tell("hello")
	if _, err := p.Await(ctx, mark, "hello"); err != nil {
		t.Error(err)
	}
	if err := p.Err(); err != nil {
		t.Error(err)
	}
}

func TestTimeoutHasTheLastLine(t *testing.T) {
	p := startScript(t, "echo 0 log not provisioned: type help 0; cat >/dev/null")
	if _, err := p.Await(t.Context(), 0, "type help"); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Millisecond)
	defer cancel()
	err := p.Ready(ctx)
	if want := `; its last line: "0 log not provisioned: type help 0"`; !errors.Is(err,
		context.DeadlineExceeded) || !strings.HasSuffix(err.Error(), want) {
		t.Errorf("got %v, want a deadline and %s", err, want)
	}
}

func TestProgramsVerdict(t *testing.T) {
	for _, tt := range []struct {
		said string
		want wire.Verdict
		err  error
		text string
	}{
		{said: "verdict granted 5", want: wire.Verdict{Verdict: wire.Granted, Last: 5}},
		{said: "verdict denied 6", want: wire.Verdict{Last: 6}},
		{said: "verdict retry 7", want: wire.Verdict{Verdict: wire.Retry, Last: 7}},
		{said: "no verdict in time 8", err: device.ErrNoVerdict},
		{said: "no verdict, never fresh 3", err: device.ErrNotFresh},
		{said: "no verdict, code 129", text: "answered Unauthorized"},
		{said: "the one before has no verdict yet 0", err: device.ErrNoVerdict},
		{said: "counter cannot be kept, error 4", text: "device: counter cannot be kept, error 4"},
		{said: "verdict granted maybe", text: `device: "verdict granted maybe"`},
	} {
		t.Run(tt.said, func(t *testing.T) {
			t.Parallel()
			p := startScript(t, fmt.Sprintf(`while read -r line; do case $line in "!card "*) echo "0 log %s";; esac; done`,
				tt.said))
			v, err := p.Scan(t.Context(), []byte{1, 2, 3, 4})
			var code *device.CodeError
			switch {
			case v != tt.want:
				t.Errorf("got %+v, want %+v", v, tt.want)
			case tt.text != "" && (err == nil || !strings.Contains(err.Error(), tt.text)), tt.text == "" &&
				!errors.Is(err, tt.err):
				t.Errorf("got %v, want %v%s", err, tt.err, tt.text)
			case errors.As(err, &code) && code.Code != codes.Unauthorized:
				t.Errorf("got %v, want 4.01", code)
			}
		})
	}
}
