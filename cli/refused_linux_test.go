package cli_test

import (
	"bytes"
	"context"
	"crypto/sha256"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// madeStore is a data folder with a person in it, and the program as the scripts run it.
func madeStore(t *testing.T) (program, data string) {
	t.Helper()
	program, err := exec.LookPath("latchkey")
	if err != nil {
		t.Fatal(err)
	}
	data = filepath.Join(t.TempDir(), "data")
	if out, err := exec.Command(program, "--data", data, "person", "add", "ann").CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	return program, data
}

// refusedServe runs a gateway that is to end by itself, with status 1 and one line, and to change nothing in its data folder.
func refusedServe(t *testing.T, data string, make func(context.Context) *exec.Cmd) string {
	t.Helper()
	before := listing(t, data)
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
	if strings.Count(text, "\n") != 1 || !strings.HasPrefix(text, "latchkey: store: ") {
		t.Errorf("got %q, want one line", text)
	}
	if after := listing(t, data); after != before {
		t.Errorf("got the folder\n%s\nwant it as before:\n%s", after, before)
	}
	return text
}

// listing is every file in a folder with its mode, owner, time and content.
func listing(t *testing.T, dir string) (out string) {
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

// The process that tries the store out dies of a damaged page: the gateway says so in a sentence and ends.
func TestServeOutlivesItsTrial(t *testing.T) {
	program, data := madeStore(t)
	for sig, says := range map[string]string{"SIGBUS": "(SIGBUS: bus error)", "SIGSEGV": "(SIGSEGV: segmentation violation)"} {
		text := refusedServe(t, data, func(ctx context.Context) *exec.Cmd {
			// The first process that maps the value log is the trial.
			return exec.CommandContext(ctx, "strace", "-f", "-qq", "-o", os.DevNull, "-P", filepath.Join(data, "db/000001.vlog"), "-e", "inject=mmap:signal="+sig,
				program, "--data", data, "serve", "--listen", "127.0.0.1:0", "--console", "off", "--clock", "rtc")
		})
		for _, want := range []string{"store: db/: the database engine breaks down at it " + says, "nothing was changed: put the whole data folder back from a copy"} {
			if !strings.Contains(text, want) {
				t.Errorf("%s: got %q, want %q in it", sig, text, want)
			}
		}
	}
	if out, err := exec.Command(program, "--data", data, "person", "list").CombinedOutput(); err != nil || !bytes.Contains(out, []byte("ann")) {
		t.Errorf("got %v, %s, want it to open afterwards", err, out)
	}
}
