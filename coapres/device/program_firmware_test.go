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

// firmware is the path of a program that make firmware-test builds.
func firmware(t *testing.T, name string) string {
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

// reader starts a reader with its flash in dir, and waits until it is registered.
func (p *post) reader(ctx context.Context, dir string, line func(string)) *device.Program {
	p.t.Helper()
	r, err := device.StartProgram(device.ProgramConfig{Name: "node", Kind: keys.KindReader, Gateway: p.addr,
		Identity: p.identity, Secret: p.secret,
		Dir: dir, Program: firmware(p.t, "reader-san"), Line: line})
	if err != nil {
		p.t.Fatal(err)
	}
	p.t.Cleanup(r.Close)
	if err := r.Ready(ctx); err != nil {
		p.t.Fatal(err)
	}
	return r
}

// A power cut, a restart, the watchdog and a new start on the same flash: the node comes back by
// itself, and its counter goes on.
func TestFirmwareComesBack(t *testing.T) {
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	p, dir := newPost(t), t.TempDir()
	r := p.reader(ctx, dir, nil)
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
	r = p.reader(ctx, dir, func(line string) { typed = typed || strings.Contains(line, "set; ") })
	scan()
	r.Close()
	if typed {
		t.Error("it was provisioned again, and its flash holds the settings")
	}
	got := p.counters()
	for i := 1; i < len(got); i++ {
		if got[i] <= got[i-1] {
			t.Errorf("got counters %d, want each above the one before", got)
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
	r := p.reader(ctx, dir, func(line string) {
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
		t.Error("its lines hold the secret, or no stars in its place")
	}
	found := false
	err := filepath.WalkDir(dir+"/kv", func(path string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		info, err := d.Info()
		if err == nil && info.Mode().Perm()&0o077 != 0 {
			t.Errorf("%s: got mode %v, want nothing for others", path, info.Mode())
		}
		found = found || d.Name() == "secret"
		return err
	})
	if err != nil || !found {
		t.Errorf("got %v, and a secret in its flash: %v", err, found)
	}
}

// What a program is told that makes no sense ends it loudly.
func TestFirmwareRefusesANonsenseWorld(t *testing.T) {
	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
	defer cancel()
	r := newPost(t).reader(ctx, t.TempDir(), nil)
	r.Tell("!nonsense")
	if _, err := r.Await(ctx, r.Mark(), "what it never says"); err == nil || !strings.Contains(err.Error(),
		"device: node: exit status 2") {
		t.Errorf("got %v, want its exit status", err)
	}
}

// A program whose starter is gone, whatever the reason, has read the last of its stdin, and ends.
func TestFirmwareEndsWithItsStarter(t *testing.T) {
	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
	defer cancel()
	p, dir := newPost(t), t.TempDir()
	p.reader(ctx, dir, nil).Close()
	for name, hang := range map[string]string{"one that works": "", "one that hangs": "!hang\n"} {
		cmd := exec.CommandContext(ctx, firmware(t, "reader-san"))
		cmd.Dir = dir
		cmd.Stdin = strings.NewReader(hang)
		if err := cmd.Run(); ctx.Err() != nil || (err != nil) != (hang != "") {
			t.Errorf("%s: got %v, %v, want it to end, in order only if it works", name, err, ctx.Err())
		}
	}
}
