package store

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// TestRepair: a repair succeeds if the damaged file held nothing or if the result can be proven.
// Otherwise it is refused and changes nothing.
func TestRepair(t *testing.T) {
	all := makeShapes(t, 3, 60)
	for _, tc := range []struct {
		shape, name string
		do          func(t *testing.T, dir string)
		proven      bool
	}{
		{"tables", "MANIFEST missing", func(t *testing.T, dir string) { remove(t, dir+"/db/MANIFEST") },
			true},
		{"tables", "MANIFEST cut", func(t *testing.T, dir string) { truncate(t, dir+"/db/MANIFEST", 20) },
			true},
		{"tables", "bit of MANIFEST flipped",
			func(t *testing.T, dir string) { flip(t, dir+"/db/MANIFEST", 20) }, true},
		{"killed", "MANIFEST missing", func(t *testing.T, dir string) { remove(t, dir+"/db/MANIFEST") },
			true},
		{"fresh", "KEYREGISTRY missing", func(t *testing.T, dir string) { remove(t, dir+"/db/KEYREGISTRY") },
			true},
		{"killed", "DISCARD cut", func(t *testing.T, dir string) { truncate(t, dir+"/db/DISCARD", 10) },
			true},
		{"killed", "site.check missing", func(t *testing.T, dir string) { remove(t, dir+"/site.check") },
			true},
		{"tables", "newest table missing", func(t *testing.T, dir string) { remove(t, dir+"/db/000003.sst") },
			false},
		{"tables", "oldest table missing", func(t *testing.T, dir string) { remove(t, dir+"/db/000001.sst") },
			false},
		{"tables", "MANIFEST and newest table missing",
			func(t *testing.T, dir string) { remove(t, dir+"/db/000003.sst"); remove(t, dir+"/db/MANIFEST") },
			false},
		{"tables", "MANIFEST cut and newest table missing",
			func(t *testing.T, dir string) {
				remove(t, dir+"/db/000003.sst")
				truncate(t, dir+"/db/MANIFEST", 40)
			}, false},
		{"tables", "block flipped", func(t *testing.T, dir string) { flip(t, dir+"/db/000002.sst", 100) },
			false},
		{"killed", "log flipped", func(t *testing.T, dir string) { flip(t, dir+"/db/00001.mem", 400) },
			false},
		{"killed", "log missing", func(t *testing.T, dir string) { remove(t, dir+"/db/00001.mem") }, false},
	} {
		t.Run(tc.shape+", "+tc.name, func(t *testing.T) {
			for _, sh := range all {
				if sh.name != tc.shape {
					continue
				}
				o := sh.opts
				o.Dir = filepath.Join(t.TempDir(), "data")
				copyFolder(t, o.Dir, sh.opts.Dir)
				tc.do(t, o.Dir)
				before := describeTree(t, o.Dir)
				if _, err := Open(t.Context(), o); err == nil {
					t.Fatal("opened, want it refused")
				}
				done, err := Repair(t.Context(), o)
				if (err == nil) != tc.proven {
					t.Fatalf("got %+v, %v", done, err)
				}
				if !tc.proven {
					if after := describeTree(t, o.Dir); after != before || !errors.Is(err, ErrCorrupt) {
						t.Errorf("got %v, and the folder is\n%s\nwas\n%s", err, after, before)
					}
					return
				}
				t.Logf("%+v", done)
				s := mustOpen(t, o)
				if got := describeStore(t, s); got != sh.want {
					t.Errorf("got %s, want %s", firstLines(got), firstLines(sh.want))
				}
				checkAndClose(t, s)
				if _, err := Repair(t.Context(), o); !errors.Is(err, ErrWhole) {
					t.Errorf("second repair: got %v, want ErrWhole", err)
				}
			}
		})
	}
}

func truncate(t *testing.T, path string, size int64) {
	t.Helper()
	if err := os.Truncate(path, size); err != nil {
		t.Fatal(err)
	}
}

func flip(t *testing.T, path string, at int) {
	t.Helper()
	if err := rewrite(path, func(b []byte) []byte { b[at] ^= 1; return b }); err != nil {
		t.Fatal(err)
	}
}

// eio is a way for syncs to fail, and what the process does about it.
type eio struct {
	calls string
	// stubborn: the process continues after an error that the database engine logs, unlike
	// latchkey, and is killed.
	stubborn bool
}

var eios = []eio{{"msync,fsync,fdatasync", false}, {"fsync", false}, {"fsync", true}}

// TestEIO is a short form of TestLongEIO.
func TestEIO(t *testing.T) {
	failSyncs(t, eios[0], []int{5, 13}, 1)
	failSyncs(t, eios[1], []int{3, 9}, 1)
	failSyncs(t, eios[2], []int{4, 10}, 1)
}

// failSyncs makes every sync of a thread fail from the n-th on, while a process writes. Afterwards
// the store must open, at least after a repair, and have everything that was durable.
func failSyncs(t *testing.T, how eio, numbers []int, times int) {
	opened, repaired, byItself := 0, 0, 0
	for _, n := range numbers {
		for i := range times {
			var said bytes.Buffer
			o := Options{Dir: filepath.Join(t.TempDir(), "data"), Now: newClock().Now, MinFree: 1,
				Child: makeTrialChild, Log: slog.New(slog.NewTextHandler(&said, nil))}
			killWriter(t, o.Dir, 30+10*i) // so that there is something to flush and to lose
			ctx, cancel := context.WithTimeout(t.Context(), 15*time.Second)
			cmd := traceChild(ctx, t, fmt.Sprintf("%s:error=EIO:when=%d+", how.calls, n),
				"write "+o.Dir+" 3000")
			cmd.Env = append(cmd.Env, smallEnv+"=1")
			if how.stubborn {
				cmd.Env = append(cmd.Env, stubbornEnv+"=1")
			}
			w := followWriter(t, cmd)
			cancel()
			s, err := Open(context.Background(), o)
			if err == nil {
				opened++
			} else {
				if !strings.Contains(err.Error(), "latchkey store repair") {
					t.Errorf("n=%d: got %v, want an error that names latchkey store repair", n, err)
				}
				if _, rerr := Repair(t.Context(), o); rerr != nil {
					t.Errorf("%+v n=%d, ended with %+v: %v; %v", how, n, w, err, rerr)
					continue
				}
				if s, err = Open(context.Background(), o); err != nil {
					t.Errorf("n=%d: it does not open after the repair: %v", n, err)
					continue
				}
				repaired++
			}
			if strings.Contains(said.String(), "store repaired") {
				byItself++
			}
			seq, hash := s.Head()
			if seq < w.seq || seq == w.seq && w.hash != "" && hash.String() != w.hash {
				t.Errorf("%+v n=%d: got event %d, want %d, which was durable", how, n, seq, w.seq)
			}
			t.Logf("%v n=%d: ended %d after event %d %s; event %d is there", how, n, w.code, w.seq,
				w.text, seq)
			checkAndClose(t, s)
		}
	}
	t.Logf("%v: %d opened, %d of them after Open had repaired them, %d after a repair", how, opened,
		byItself, repaired)
}
