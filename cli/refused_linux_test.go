package cli_test

import (
	"bytes"
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"
)

// makeStore makes a data folder with a person in it, and returns it with the program that the
// scripts run.
func makeStore(t *testing.T) (program, data string) {
	t.Helper()
	program, err := exec.LookPath("latchkey")
	if err != nil {
		t.Fatal(err)
	}
	data = filepath.Join(t.TempDir(), "data")
	if out, err := exec.Command(program, "--data", data, "person", "add",
		"ann").CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	return program, data
}

// runRefusedServe runs a gateway that must end by itself, with status 1 and one line, and change
// nothing in its data folder. It returns the line.
func runRefusedServe(t *testing.T, data string, make func(context.Context) *exec.Cmd) string {
	t.Helper()
	before := listFolder(t, data)
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	cmd := make(ctx)
	var said bytes.Buffer
	cmd.Stderr = &said
	_ = cmd.Run()
	t.Log(said.String())
	if code := cmd.ProcessState.ExitCode(); code != 1 {
		t.Errorf("got exit status %d, want 1", code)
	}
	text := said.String()
	if strings.Count(text, "\n") != 1 || !strings.HasPrefix(text, "latchkey: ") {
		t.Errorf("got %q, want one line", text)
	}
	if after := listFolder(t, data); after != before {
		t.Errorf("got the folder\n%s\nwant it unchanged:\n%s", after, before)
	}
	return text
}

// listFolder lists every file in a folder with its mode, its time and a hash of its content.
func listFolder(t *testing.T, dir string) (out string) {
	t.Helper()
	err := filepath.WalkDir(dir, func(path string, e fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		info, err := e.Info()
		if err != nil {
			return err
		}
		var sum [sha256.Size]byte
		if info.Mode().IsRegular() {
			b, err := os.ReadFile(path)
			if err != nil {
				return err
			}
			sum = sha256.Sum256(b)
		}
		out += fmt.Sprintf("%s %v %v %x\n", path, info.Mode(), info.ModTime().UnixNano(), sum[:4])
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return out
}

// If the process that tries the store out dies because of a damaged page, the gateway says so in a
// sentence and ends.
func TestServeOutlivesItsTrial(t *testing.T) {
	t.Parallel()
	program, data := makeStore(t)
	for sig, says := range map[string]string{"SIGBUS": "(SIGBUS: bus error)",
		"SIGSEGV": "(SIGSEGV: segmentation violation)"} {
		text := runRefusedServe(t, data, func(ctx context.Context) *exec.Cmd {
			// The first process that maps the value log is the trial.
			return exec.CommandContext(ctx, "strace", "-f", "-qq", "-o", os.DevNull, "-P",
				filepath.Join(data, "db/000001.vlog"), "-e", "inject=mmap:signal="+sig,
				program, "--data", data, "serve", "--listen", "127.0.0.1:0", "--console", "off", "--clock",
				"rtc")
		})
		for _, want := range []string{"store: db/: the database engine breaks down at it " + says,
			"nothing was changed: put the whole data folder back from a copy"} {
			if !strings.Contains(text, want) {
				t.Errorf("%s: got %q, want %q in it", sig, text, want)
			}
		}
	}
	if out, err := exec.Command(program, "--data", data, "person", "list").CombinedOutput(); err != nil ||
		!bytes.Contains(out, []byte("ann")) {
		t.Errorf("got %v, %s, want that it opens afterwards", err, out)
	}
}

// nobody is a user without any rights.
const nobody = 65534

// TestUnreadableFile: if a file belongs to root, as after a restored backup, or has lost its
// permissions, the error names the file and the reason.
func TestUnreadableFile(t *testing.T) {
	t.Parallel()
	if os.Geteuid() != 0 {
		t.Skip("only root may become another user")
	}
	found, err := exec.LookPath("latchkey")
	if err != nil {
		t.Fatal(err)
	}
	home, err := os.MkdirTemp("", "latchkey") // other users may not enter t.TempDir
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(home) })
	program, data := filepath.Join(home, "latchkey"), filepath.Join(home, "data")
	b, err := os.ReadFile(found)
	if err := errors.Join(err, os.WriteFile(program, b, 0o755), os.Chmod(home, 0o755), os.Mkdir(data, 0o700),
		os.Chown(data, nobody, nobody)); err != nil {
		t.Fatal(err)
	}
	latchkey := func(ctx context.Context, args ...string) *exec.Cmd {
		cmd := exec.CommandContext(ctx, program, append([]string{"--data", data}, args...)...)
		cmd.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: nobody, Gid: nobody}}
		cmd.Dir = "/"
		return cmd
	}
	// The second command leaves a table, like every start.
	for _, args := range [][]string{{"person", "add", "ann"}, {"person", "list"}} {
		if out, err := latchkey(t.Context(), args...).CombinedOutput(); err != nil {
			t.Fatalf("%v: %s", err, out)
		}
	}
	var names []string
	err = filepath.WalkDir(data, func(path string, _ fs.DirEntry, err error) error {
		names = append(names,
			path)
		return err
	})
	if err != nil || len(names) < 8 {
		t.Fatalf("got %v, %v, want the files of a store", names, err)
	}
	for i, path := range names {
		info, err := os.Stat(path)
		if err != nil {
			t.Fatal(err)
		}
		name, err := filepath.Rel(data, path)
		if err != nil {
			t.Fatal(err)
		}
		if name == "." {
			name = data
		}
		how, says := "root's", "belongs to root"
		if i%2 == 1 {
			how, says = "without permission", "has mode 0000"
		}
		t.Run(name+" "+how, func(t *testing.T) {
			var err error
			if i%2 == 1 {
				err = os.Chmod(path, 0)
			} else {
				err = errors.Join(os.Chown(path, 0, 0), os.Chmod(path, info.Mode().Perm()))
			}
			if err != nil {
				t.Fatal(err)
			}
			text := runRefusedServe(t, data, func(ctx context.Context) *exec.Cmd {
				return latchkey(ctx, "serve", "--listen", "127.0.0.1:0", "--console", "off", "--clock", "rtc")
			})
			for _, want := range []string{name, says} {
				if !strings.Contains(text, want) {
					t.Errorf("got %q, want %q in it", text, want)
				}
			}
			if err := errors.Join(os.Chown(path, nobody, nobody),
				os.Chmod(path, info.Mode().Perm())); err != nil {
				t.Fatal(err)
			}
		})
	}
	if out, err := latchkey(t.Context(), "person", "list").CombinedOutput(); err != nil ||
		!bytes.Contains(out, []byte("ann")) {
		t.Errorf("got %v, %s, want that it opens afterwards", err, out)
	}
}
