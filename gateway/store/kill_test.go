package store

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"latchkey/gateway/access"
	"latchkey/gateway/access/accounts"
	"latchkey/gateway/audit"
	"latchkey/gateway/faultdisk"
	"latchkey/gateway/store/folder"
)

// rushMain writes to the store in a folder as fast as it can, in batches of all kinds, and prints
// what is durable: "event SEQ", "account N", "sign-in N".
func rushMain(dir string) int {
	o := Options{Dir: dir, MinFree: 1, memTable: smallTable, ballast: 24 << 20,
		witness: 20 * time.Millisecond, Fatal: func(err error) {
			fmt.Println("failed:", err)
			os.Exit(4)
		}}
	s, err := Open(context.Background(), o)
	if err != nil {
		fmt.Println("refused:", err)
		return 1
	}
	ctx := context.Background()
	if len(s.Snapshot().Persons) == 0 {
		if _, err := s.Apply(ctx, "test", house(s)...); err != nil {
			fmt.Println("failed:", err)
			return 4
		}
	}
	first := uint64(10) // the house has an account with epoch 7
	for _, a := range accounts.Kind.In(s.Snapshot()) {
		first = max(first, a.Epoch+1)
	}
	var wg sync.WaitGroup
	again := func(f func(i uint64) (string, error)) {
		wg.Go(func() {
			for i := first; ; i++ {
				switch said, err := f(i); {
				case errors.Is(err, ErrNoSpace):
					time.Sleep(time.Millisecond) // until somebody makes room
				case err != nil:
					fmt.Println("failed:", err)
					os.Exit(4)
				default:
					fmt.Println(said)
				}
			}
		})
	}
	for k := range 6 {
		again(func(i uint64) (string, error) {
			detail := strings.Repeat(fmt.Sprint("report ", i, " "), 1+int(i)*(k+1)%90)
			ev, err := s.Record(ctx, audit.Event{Kind: audit.EventReport, Detail: detail})
			return fmt.Sprint("event ", ev.Seq), err
		})
	}
	again(func(i uint64) (string, error) {
		a := bigAccount(int(i % 5))
		a.Epoch = i
		_, err := s.Apply(ctx, "test", access.Change{Put: a})
		return fmt.Sprint("account ", i), err
	})
	again(func(i uint64) (string, error) {
		err := s.PutSignIn(ctx, cookie(fmt.Sprint(i%50)), []byte(fmt.Sprint(i)), time.Now().Add(time.Hour))
		return fmt.Sprint("sign-in ", i), err
	})
	wg.Wait()
	return 3
}

// killWriterOften runs a process that writes and kills it at a random moment, so many times. The
// store is on a small disk of that kind, which may be full then, or in a folder of the test. Each
// time the store must open without help and have everything that was durable.
func killWriterOften(t *testing.T, kind string, full bool, times int) {
	mnt := t.TempDir()
	if kind != "" {
		mnt = faultdisk.Mount(t, kind, 256)
	}
	torn, events := 0, uint64(0)
	for i := range times {
		dir := filepath.Join(mnt, fmt.Sprint("data", i/5)) // five times in a row on one store
		if i%5 == 0 && i > 0 {
			remove(t, filepath.Join(mnt, fmt.Sprint("data", i/5-1)))
		}
		event, account, signIn := killRush(t, dir, func() func() {
			if !full {
				return func() {}
			}
			return faultdisk.Fill(t, mnt)
		})
		if hasTornLog(t, dir) {
			torn++
		}
		s, err := Open(t.Context(), Options{Dir: dir, MinFree: 1, memTable: smallTable})
		if err != nil {
			t.Fatalf("kill %d, after event %d: %v", i, event, err)
		}
		epoch := uint64(0)
		for _, a := range accounts.Kind.In(s.Snapshot()) {
			epoch = max(epoch, a.Epoch)
		}
		if seq, _ := s.Head(); seq < event || epoch < account {
			t.Errorf("kill %d: got event %d and account %d, want %d and %d, which were durable", i, seq,
				epoch, event, account)
		}
		if signIn > 0 {
			data, ok, err := s.SignIn(t.Context(), cookie(fmt.Sprint(signIn%50)))
			if n := uint64(0); err != nil || !ok || !parseNumber(string(data), &n) || n < signIn {
				t.Errorf("kill %d: got sign-in %q, %v, want %d, which was durable", i, data, err, signIn)
			}
		}
		if err := s.Verify(t.Context()); err != nil {
			t.Errorf("kill %d: %v", i, err)
		}
		checkAndClose(t, s)
		events = max(events, event)
	}
	t.Logf("%d kills, %d of them in the middle of a write; at most %d events in a store", times,
		torn, events)
}

func parseNumber(s string, n *uint64) bool { _, err := fmt.Sscan(s, n); return err == nil }

// killRush runs a writer and kills it, and returns the newest of each kind that it printed as
// durable.
func killRush(t *testing.T, dir string, fill func() (empty func())) (event, account, signIn uint64) {
	t.Helper()
	cmd := makeChild(t.Context(), "rush "+dir)
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	acks, said := 0, ""
	limit, late := 1+rand.IntN(150), time.Duration(rand.IntN(3000))*time.Microsecond
	empty := func() {}
	for lines := bufio.NewScanner(out); lines.Scan(); acks++ {
		what, rest, _ := strings.Cut(lines.Text(), " ")
		n := uint64(0)
		parseNumber(rest, &n)
		switch what {
		case "event":
			event = max(event, n)
		case "account":
			account = max(account, n)
		case "sign-in":
			signIn = max(signIn, n)
		default:
			said = lines.Text()
		}
		if acks == limit {
			empty = fill()
			time.AfterFunc(late, func() { _ = cmd.Process.Kill() })
		}
	}
	_ = cmd.Wait()
	empty()
	if status, ok := cmd.ProcessState.Sys().(syscall.WaitStatus); !ok || !status.Signaled() || said != "" {
		t.Fatalf("got %v, %s, want it killed", cmd.ProcessState, said)
	}
	return event, account, signIn
}

// hasTornLog tells whether a log ends in the middle of an entry.
func hasTornLog(t *testing.T, dir string) (torn bool) {
	t.Helper()
	walk(t, os.DirFS(filepath.Join(dir, "db")), func(path string, _ os.FileInfo, b []byte) {
		if ext := filepath.Ext(path); ext != folder.MemExt && ext != folder.VlogExt {
			return
		}
		if l, err := folder.ParseLog(b); err != nil || folder.UsedSize(b) > l.End {
			torn = true
		}
	})
	return torn
}

// TestKilledWriter is a short form of TestLongKilledWriter.
func TestKilledWriter(t *testing.T) { killWriterOften(t, "", false, 12) }
