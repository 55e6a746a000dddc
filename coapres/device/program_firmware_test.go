//go:build firmware

package device_test

import (
	"context"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"latchkey/coapres/device"
	"latchkey/coapres/wire"
	"latchkey/keys"
)

// findFirmware returns the path of a program that make firmware-test builds.
func findFirmware(t *testing.T, name string) string {
	t.Helper()
	path, err := filepath.Abs("../../bin/firmware/" + name)
	if err == nil {
		_, err = os.Stat(path)
	}
	if err != nil {
		t.Fatalf("%v: make firmware-test builds it", err)
	}
	return path
}

// runReader starts a reader with its flash in dir, and waits until it is registered.
func (p *post) runReader(ctx context.Context, dir string, line func(string)) *device.Program {
	p.t.Helper()
	r, err := device.StartProgram(device.ProgramConfig{Name: "node", Kind: keys.KindReader, Gateway: p.addr,
		Identity: p.identity, Secret: p.secret,
		Dir: dir, Program: findFirmware(p.t, "reader-san"), Line: line})
	if err != nil {
		p.t.Fatal(err)
	}
	p.t.Cleanup(r.Close)
	if err := r.Ready(ctx); err != nil {
		p.t.Fatal(err)
	}
	return r
}

// After a power cut, a restart, a watchdog reset and a new start with the same flash, the node
// reconnects by itself and its counter continues.
func TestFirmwareReconnects(t *testing.T) {
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	p, dir := newPost(t), t.TempDir()
	r := p.runReader(ctx, dir, nil)
	scan := func() {
		t.Helper()
		if v, err := r.Scan(ctx, []byte{1, 2, 3, 4}); err != nil || v.Verdict != wire.Granted {
			t.Fatalf("got %+v, %v, want granted", v, err)
		}
	}
	scan()
	for _, tt := range []struct {
		what   string
		do     func() error
		starts string
	}{
		{"a power cut", func() error { return r.PowerCycle(ctx) }, "started for reason 0"},
		{"a restart", func() error { r.Tell("reboot"); return nil }, "started for reason 1"},
		{"the watchdog", func() error { r.Tell("!hang"); return nil }, "started for reason 2"},
	} {
		mark := r.Mark()
		if err := tt.do(); err != nil {
			t.Fatalf("%s: %v", tt.what, err)
		}
		for _, text := range []string{tt.starts, "log registered"} {
			if _, err := r.Await(ctx, mark, text); err != nil {
				t.Fatalf("%s: %v", tt.what, err)
			}
		}
		scan()
	}
	if got := r.Sessions(); got != 4 {
		t.Errorf("got %d sessions, want 4", got)
	}
	r.Close()
	typed := false
	r = p.runReader(ctx, dir, func(line string) { typed = typed || strings.Contains(line, "set; ") })
	scan()
	r.Close()
	if typed {
		t.Error("the node was provisioned again, although its flash has the settings")
	}
	got := p.listCounters()
	for i := 1; i < len(got); i++ {
		if got[i] <= got[i-1] {
			t.Errorf("got counters %d, want each larger than the one before", got)
		}
	}
	if len(got) != 5 {
		t.Errorf("got %d scans, want 5", len(got))
	}
}

func TestFirmwareKeepsItsSecret(t *testing.T) {
	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
	defer cancel()
	p, dir := newPost(t), t.TempDir()
	var mu sync.Mutex
	var lines []string
	r := p.runReader(ctx, dir, func(line string) {
		mu.Lock()
		defer mu.Unlock()
		lines = append(lines, line)
	})
	r.Tell("show")
	if _, err := r.Await(ctx, 0, "secret    set"); err != nil {
		t.Fatal(err)
	}
	r.Close()
	mu.Lock()
	defer mu.Unlock()
	if all := strings.Join(lines, "\n"); strings.Contains(all, p.secret.Reveal()) ||
		!strings.Contains(all, "secret ****") {
		t.Error("its lines contain the secret, or no stars in its place")
	}
	found := false
	err := filepath.WalkDir(dir+"/kv", func(path string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		info, err := d.Info()
		if err == nil && info.Mode().Perm()&0o077 != 0 {
			t.Errorf("%s: got mode %v, want no access for others", path, info.Mode())
		}
		found = found || d.Name() == "secret"
		return err
	})
	if err != nil || !found {
		t.Errorf("got %v, found the secret in its flash: %v", err, found)
	}
}

// An unknown command of the simulated world ends the program with an error.
func TestFirmwareRefusesAnUnknownCommand(t *testing.T) {
	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
	defer cancel()
	r := newPost(t).runReader(ctx, t.TempDir(), nil)
	r.Tell("!nonsense")
	_, err := r.Await(ctx, r.Mark(), "a text that it never prints")
	if err == nil || !strings.Contains(err.Error(), "device: node: exit status 2") {
		t.Errorf("got %v, want its exit status", err)
	}
}

// When the process that started a program is gone, the program reads the end of its standard input
// and ends.
func TestFirmwareEndsWithItsParent(t *testing.T) {
	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
	defer cancel()
	p, dir := newPost(t), t.TempDir()
	p.runReader(ctx, dir, nil).Close()
	for name, hang := range map[string]string{"one that works": "", "one that hangs": "!hang\n"} {
		cmd := exec.CommandContext(ctx, findFirmware(t, "reader-san"))
		cmd.Dir = dir
		cmd.Stdin = strings.NewReader(hang)
		if err := cmd.Run(); ctx.Err() != nil || (err != nil) != (hang != "") {
			t.Errorf("%s: got %v, %v, want it to end, without an error only if it does not hang", name, err,
				ctx.Err())
		}
	}
}
