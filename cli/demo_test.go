package cli

import (
	"context"
	"io"
	"os"
	"regexp"
	"strings"
	"testing"
	"time"
)

func TestDemoAtAPrompt(t *testing.T) {
	in, feed := io.Pipe()
	out := &lockedBuffer{}
	done := make(chan int, 1)
	go func() { done <- Main([]string{"demo"}, in, out, out) }()
	for _, step := range []struct{ say, want string }{
		{"tap ann", "granted, and done"},
		{"tap stranger", "unknown-card"},
		{"tap nobody", "nobody here is called"},
		{"press", "lamp on"},
		{"lockdown of", "lockdown on, or lockdown off"},
		{"lockdown", "lockdown on, or lockdown off"},
		{"tap ann", "granted, and done"},
		{"lockdown on", "lockdown is on"},
		{"lockdown on", "the lockdown is already on"},
		{"tap ann", "lockdown"},
		{"lockdown off", "lockdown is off"},
		{"lock off", ""},
		{"tap bob", "verdict"},
		{"lock on", ""},
		{"replay", "sent again"},
		{"events", "decision"},
		{"what", "there is no \"what\" here:"},
		{"what", "hold a card to the reader"},
	} {
		before := out.len()
		if _, err := io.WriteString(feed, step.say+"\n"); err != nil {
			t.Fatal(err)
		}
		deadline := time.After(20 * time.Second)
		for !strings.Contains(out.from(before), step.want) || !strings.Contains(out.from(before), "> ") {
			select {
			case <-deadline:
				t.Fatalf("%q: got\n%s\nwant %q", step.say, out.from(before), step.want)
			case <-time.After(5 * time.Millisecond):
			}
		}
	}
	if _, err := io.WriteString(feed, "quit\n"); err != nil {
		t.Fatal(err)
	}
	select {
	case got := <-done:
		if got != 0 {
			t.Errorf("got exit %d, want 0", got)
		}
	case <-time.After(20 * time.Second):
		t.Fatal("the demo did not end")
	}
	if !strings.Contains(out.from(0), "coap-client-openssl -B 3") {
		t.Error("the demo does not show a coap-client line")
	}
	said := regexp.MustCompile(`\n  https://localhost:\d+/setup {3}make .* with the code ` +
		`[0-9a-z]{4}(-[0-9a-z]{4}){3}\n`)
	if !said.MatchString(out.from(0)) {
		t.Errorf("got\n%s\nwant the website's link and the code", out.from(0))
	}
	if path, err := os.Executable(); err != nil || !strings.Contains(out.from(0), "\n  "+path+" --data ") {
		t.Errorf("the demo does not show the program's path %q (%v), which works in any folder", path, err)
	}
}

func TestInterruptedStoryIsNotWrong(t *testing.T) {
	ctx, interrupt := context.WithCancel(t.Context())
	defer interrupt()
	out, errs := &lockedBuffer{}, &lockedBuffer{}
	done, status := make(chan struct{}), 0
	go func() {
		defer close(done)
		status = exit(errs, run(ctx, []string{"demo", "--script"}, nil, out, errs))
	}()
	awaitText(t, out, "granted, and done") // now the story waits for the door to lock
	interrupt()
	awaitEnd(t, "the story to end", done)
	if got := errs.from(0); status != 1 || got != "latchkey: interrupted\n" || strings.Contains(out.from(0),
		"NOT AS EXPECTED") {
		t.Errorf("got %d %q, and\n%s\nwant 1, that it was interrupted, and no unexpected result", status, got,
			out.from(0))
	}
}

// The broker runs on after the story, until somebody has seen enough.
func TestHomeDemoAtAPrompt(t *testing.T) {
	tmp := t.TempDir()
	t.Setenv("TMPDIR", tmp)
	in, feed := io.Pipe()
	out := &lockedBuffer{}
	done, status := make(chan struct{}), 0
	go func() { defer close(done); status = Main([]string{"demo", "--home"}, in, out, out) }()
	awaitText(t, out, "All went as expected")
	awaitText(t, out, "\n  mosquitto_sub -h 127.0.0.1 -p ")
	for _, say := range []string{"tap ann\n", "quit\n"} {
		if _, err := io.WriteString(feed, say); err != nil {
			t.Fatal(err)
		}
		if say != "quit\n" {
			awaitText(t, out, "/state UNLOCKED")
		}
	}
	awaitEnd(t, "the demo to end", done)
	if status != 0 {
		t.Errorf("got exit %d, want 0", status)
	}
	if left, err := os.ReadDir(tmp); err != nil || len(left) > 0 {
		t.Errorf("got %v left, %v, want nothing", left, err)
	}
}
