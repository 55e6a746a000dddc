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
	"sync/atomic"
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

// downfall is how a process that uses a store ends.
type downfall struct {
	mnt   string // the disk
	fill  bool   // the disk is full before
	power bool   // the disk loses its power before
}

// newDownfall returns one on a small disk of that kind, or in a folder of the test.
func newDownfall(t *testing.T, kind string) *downfall {
	t.Helper()
	if kind == "" {
		return &downfall{mnt: t.TempDir()}
	}
	return &downfall{mnt: faultdisk.Mount(t, kind, 256)}
}

// endChild runs a child and ends it late after limit lines for which counts is true. It calls counts
// with each line that says that something is durable. What is said once the power is being cut does
// not count: nobody would hear it, and ext4 may say then that it has synced what it has not.
func (e *downfall) endChild(t *testing.T, what string, limit int, late time.Duration,
	counts func(what string, n uint64) (counted, known bool)) {
	t.Helper()
	cmd := makeChild(t.Context(), what)
	out, err := cmd.StdoutPipe()
	if err == nil {
		err = cmd.Start()
	}
	if err != nil {
		t.Fatal(err)
	}
	lines, said := 0, ""
	empty, ended := func() {}, make(chan error, 1)
	var dark atomic.Bool
	for scan := bufio.NewScanner(out); scan.Scan(); {
		name, rest, _ := strings.Cut(scan.Text(), " ")
		n := uint64(0)
		parseNumber(rest, &n)
		if dark.Load() {
			continue
		}
		counted, known := counts(name, n)
		if !known {
			said = scan.Text()
		}
		if !counted {
			continue
		}
		if lines++; lines == limit {
			if e.fill {
				empty = faultdisk.Fill(t, e.mnt)
			}
			time.AfterFunc(late, func() {
				var err error
				if e.power {
					dark.Store(true)
					err = faultdisk.CutPower(e.mnt)
				}
				_ = cmd.Process.Kill()
				ended <- err
			})
		}
	}
	_ = cmd.Wait()
	if lines >= limit {
		if err := <-ended; err != nil {
			t.Fatal(err)
		}
	}
	empty()
	if e.power {
		faultdisk.Remount(t, e.mnt)
		return // it may have ended by itself meanwhile
	}
	if status, ok := cmd.ProcessState.Sys().(syscall.WaitStatus); !ok || !status.Signaled() || said != "" {
		t.Fatalf("got %v, %s, want it killed", cmd.ProcessState, said)
	}
}

// killWriterOften runs a process that writes and ends it at a random moment, so many times. Each
// time the store must open without help and have everything that was durable.
func killWriterOften(t *testing.T, e *downfall, times int) {
	mnt := e.mnt
	torn, events := 0, uint64(0)
	for i := range times {
		dir := filepath.Join(mnt, fmt.Sprint("data", i/5)) // five times in a row on one store
		if i%5 == 0 && i > 0 {
			remove(t, filepath.Join(mnt, fmt.Sprint("data", i/5-1)))
		}
		var event, account, signIn uint64
		limit, late := 1+rand.IntN(150), time.Duration(rand.IntN(3000))*time.Microsecond
		e.endChild(t, "rush "+dir, limit, late, func(what string, n uint64) (bool, bool) {
			switch what {
			case "event":
				event = max(event, n)
			case "account":
				account = max(account, n)
			case "sign-in":
				signIn = max(signIn, n)
			default:
				return true, false
			}
			return true, true
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
func TestKilledWriter(t *testing.T) { killWriterOften(t, newDownfall(t, ""), 12) }

// TestPowerCut is a short form of TestLongPowerCut.
func TestPowerCut(t *testing.T) { cutPowerOften(t, 5) }

// cutPowerOften cuts the power of the disk so many times while a process writes, and as often while
// another removes old events.
func cutPowerOften(t *testing.T, times int) {
	for name, often := range map[string]func(*testing.T, *downfall, int){"writer": killWriterOften,
		"cutter": killCutterOften} {
		t.Run(name, func(t *testing.T) {
			e := newDownfall(t, "ext4")
			e.power = true
			often(t, e, times)
		})
	}
}
