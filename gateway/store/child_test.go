package store

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"latchkey/gateway/access"
	"latchkey/gateway/access/accounts"
	"latchkey/gateway/audit"
	"latchkey/gateway/store/folder"
)

// childEnv is the environment variable that makes this test binary another program: a trial, or a
// process that writes to a store until it is killed.
const childEnv = "LATCHKEY_STORE_TEST"

// smallEnv makes memtables so small that a process that writes a few thousand events flushes and
// compacts.
const smallEnv = "LATCHKEY_STORE_TEST_SMALL"

// stracedEnv says that strace is the parent process.
const stracedEnv = "LATCHKEY_STORE_TEST_STRACED"

// stubbornEnv makes a writer continue after an error that the database engine logs, until a commit
// fails or 4 s have passed.
const stubbornEnv = "LATCHKEY_STORE_TEST_STUBBORN"

func childMain(what string) int {
	if os.Getenv(stracedEnv) != "" { // when strace is killed, this process must end too
		if err := unix.Prctl(unix.PR_SET_PDEATHSIG, uintptr(unix.SIGKILL), 0, 0, 0); err != nil {
			return 2
		}
	}
	word, rest, _ := strings.Cut(what, " ")
	switch word {
	case "trial":
		return TrialMain(os.Stdin, os.Stdout)
	case "write":
		return writeMain(rest)
	case "die":
		return dieMain(rest)
	case "shorten":
		return shortenMain(rest)
	case "panic":
		return panicMain()
	case "cut":
		return cutMain(rest)
	case "rush":
		return rushMain(rest)
	}
	return 2
}

// makeChild returns a command that runs this test binary as another program.
func makeChild(ctx context.Context, what string) *exec.Cmd {
	cmd := exec.CommandContext(ctx, "/proc/self/exe")
	cmd.Env = append(os.Environ(), childEnv+"="+what, "GORACE=atexit_sleep_ms=0")
	cmd.WaitDelay = 10 * time.Second
	return cmd
}

func makeTrialChild(ctx context.Context) *exec.Cmd { return makeChild(ctx, "trial") }

// dieMain is a trial that kills itself after it has made its scratch folder. It writes the folder's
// path to a file.
func dieMain(file string) int {
	var t trial
	if err := json.NewDecoder(os.Stdin).Decode(&t); err != nil {
		return 2
	}
	v := folder.TakeSurvey(Options{Dir: t.Dir}.files().DB, 0)
	dir, err := v.MakeScratch(t.Scratch, v.Live)
	if err != nil || os.WriteFile(file, []byte(dir), 0o600) != nil {
		return 2
	}
	_ = unix.Kill(os.Getpid(), unix.SIGKILL)
	return 2
}

// shortenMain is a trial in which a file becomes shorter after it has been mapped.
func shortenMain(file string) int {
	go func() {
		for {
			maps, err := os.ReadFile("/proc/self/maps")
			if err != nil || strings.Contains(string(maps), file) && os.Truncate(file, 0) == nil {
				return
			}
		}
	}()
	return TrialMain(os.Stdin, os.Stdout)
}

// panicMain is a trial in which a goroutine of the database engine panics.
func panicMain() int {
	out, done := new(bytes.Buffer), make(chan int)
	code := TrialMain(os.Stdin, out)
	go func() {
		if code == 0 {
			panic("Block: index out of range\n== Recovered ==\n")
		}
		done <- code
	}()
	return <-done
}

// writeMain gets "FOLDER EVENTS". It writes events to the store in the folder and prints what is
// durable. It ends at the first commit that fails.
func writeMain(args string) int {
	dir, count, _ := strings.Cut(args, " ")
	n, err := strconv.Atoi(count)
	if err != nil {
		return 2
	}
	o := Options{Dir: dir, Now: newClock().Now, MinFree: 1, witness: 20 * time.Millisecond,
		small: os.Getenv(smallEnv) != ""}
	if os.Getenv(stubbornEnv) == "" {
		o.Fatal = func(error) { os.Exit(4) }
	} else {
		time.AfterFunc(4*time.Second, func() { os.Exit(5) })
	}
	s, err := Open(context.Background(), o)
	if err != nil {
		fmt.Println("refused:", err)
		return 1
	}
	ack := func() {
		seq, hash := s.Head()
		fmt.Println("durable", seq, hash)
	}
	ctx := context.Background()
	if len(s.Snapshot().Persons) == 0 {
		if _, err := s.Apply(ctx, "test", house(s)...); err != nil {
			return 3
		}
	}
	ack()
	for i := range n {
		switch {
		case i%50 == 10: // a value for the value log
			_, err = s.Apply(ctx, "test", access.Change{Put: bigAccount(i)})
		case i%10 == 3:
			_, err = s.Admit(ctx, scan(s, uint64(time.Now().UnixNano()>>10)))
		default:
			_, err = s.Record(ctx, audit.Event{Kind: audit.EventReport,
				Detail: strings.Repeat(fmt.Sprint("report ", i, " "), 20)})
		}
		if err != nil {
			return 3
		}
		ack()
	}
	for { // wait until site.head has the newest event, as it does after some seconds
		w, err := folder.ReadWitness(o.files().Head, s.keys)
		if seq, _ := s.Head(); err == nil && w != nil && w.Open && w.Seq == seq {
			break
		}
		time.Sleep(time.Millisecond)
	}
	fmt.Println("done")
	_, _ = io.Copy(io.Discard, os.Stdin)
	return 0
}

// bigAccount returns an account that is so large that Badger puts it into the value log.
func bigAccount(i int) accounts.Account {
	a := accounts.Account{ID: id(fmt.Sprint("account ", i)), Name: fmt.Sprint("account", i),
		Role: accounts.RoleViewer}
	for k := range byte(6) {
		a.Passkeys = append(a.Passkeys, accounts.Passkey{ID: []byte{k + 1, byte(i)},
			Label: fmt.Sprint("stick", k), Credential: bytes.Repeat([]byte{'x', k}, 3500)})
	}
	return a
}

// written is what a process that writes has printed.
type written struct {
	seq  uint64
	hash string
	code int
	text string // of a refusal
}

// followWriter reads what a writer prints and kills it when it is done.
func followWriter(t testing.TB, cmd *exec.Cmd) (w written) {
	t.Helper()
	in, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = in.Close() }()
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	lines := bufio.NewScanner(out)
	for lines.Scan() {
		line := lines.Text()
		if _, err := fmt.Sscanf(line, "durable %d %s", &w.seq, &w.hash); err != nil {
			w.text = line
		}
		if line == "done" {
			if filepath.Base(cmd.Path) == "strace" {
				// Killing strace would not end the process. This ends it, without closing the
				// store.
				_ = in.Close()
				continue
			}
			_ = cmd.Process.Kill()
		}
	}
	_ = cmd.Wait()
	w.code = cmd.ProcessState.ExitCode()
	return w
}

// killWriter runs a writer of that many events and kills it. It returns what the writer printed as
// durable.
func killWriter(t testing.TB, dir string, events int) written {
	t.Helper()
	w := followWriter(t, makeChild(t.Context(), fmt.Sprint("write ", dir, " ", events)))
	if w.text != "done" || w.seq == 0 {
		t.Fatalf("got %+v, want a writer that is done", w)
	}
	return w
}
