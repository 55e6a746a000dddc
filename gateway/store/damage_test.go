package store

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/dgraph-io/badger/v4"

	"latchkey/gateway/access"
	"latchkey/gateway/audit"
	"latchkey/gateway/store/folder"
	"latchkey/gateway/store/record"
)

// shape is a store whose files are damaged.
type shape struct {
	name string
	opts Options
	want string // its contents, by describeStore
}

// makeFresh makes a store and closes it.
func makeFresh(t testing.TB) Options {
	o := Options{Dir: filepath.Join(t.TempDir(), "data"), Now: newClock().Now, Child: makeTrialChild}
	checkAndClose(t, mustOpen(t, o))
	return o
}

// makeTables makes a store with several tables and a value log, and closes it properly.
func makeTables(t testing.TB, rounds, events int) Options {
	o := Options{Dir: filepath.Join(t.TempDir(), "data"), Now: newClock().Now, Child: makeTrialChild}
	for round := range rounds {
		s := mustOpen(t, o)
		if round == 0 {
			mustApply(t, s, house(s)...)
		}
		mustApply(t, s, access.Change{Put: bigAccount(round)})
		mustAdmit(t, s, scan(s, uint64(round+1)))
		done := make(chan error, events)
		for i := range events {
			go func() {
				_, err := s.Record(context.Background(), audit.Event{Kind: audit.EventReport,
					Detail: fmt.Sprintf("report %d %s", i, strings.Repeat("x", i%200))})
				done <- err
			}()
		}
		for range events {
			if err := <-done; err != nil {
				t.Fatal(err)
			}
		}
		checkAndClose(t, s)
	}
	return o
}

// makeShapes makes stores of three kinds, and reads their contents.
func makeShapes(t *testing.T, rounds, events int) []shape {
	dead := Options{Dir: filepath.Join(t.TempDir(), "data"), Now: newClock().Now, Child: makeTrialChild}
	killWriter(t, dead.Dir, 40)
	out := []shape{{name: "fresh", opts: makeFresh(t)}, {name: "tables", opts: makeTables(t, rounds, events)},
		{name: "killed", opts: dead}}
	for i := range out {
		o := out[i].opts
		o.Dir = filepath.Join(t.TempDir(), "data")
		copyFolder(t, o.Dir, out[i].opts.Dir)
		s := mustOpen(t, o)
		out[i].want = describeStore(t, s)
		checkAndClose(t, s)
	}
	return out
}

// copyFolder copies files. Zeros at the end of a file become a hole.
func copyFolder(t testing.TB, to, from string) {
	t.Helper()
	if err := os.MkdirAll(filepath.Join(to, "db"), 0o700); err != nil {
		t.Fatal(err)
	}
	walk(t, os.DirFS(from), func(path string, info os.FileInfo, data []byte) {
		path = filepath.Join(to, path)
		if err := errors.Join(os.WriteFile(path, data[:folder.UsedSize(data)], info.Mode().Perm()),
			os.Truncate(path, info.Size())); err != nil {
			t.Fatal(err)
		}
	})
}

// damaged is one way to damage a folder.
type damaged struct {
	name string
	file string // the file that the error must name; with "|", one of several
	do   func(dir string) error
}

// listDamages returns many ways to damage a store, some for every file. A seeded generator makes
// them, so that a run can be repeated.
func listDamages(t testing.TB, dir string, r *rand.Rand) (out []damaged) {
	var files []string
	walk(t, os.DirFS(dir), func(path string, _ os.FileInfo, _ []byte) { files = append(files, path) })
	add := func(name, file string, do func(dir string) error) { out = append(out, damaged{name, file, do}) }
	for i, file := range files {
		b, err := os.ReadFile(filepath.Join(dir, file))
		if err != nil {
			t.Fatal(err)
		}
		used := folder.UsedSize(b)
		for _, at := range []int{0, used / 3, used - 1, r.IntN(max(used, 1)), r.IntN(max(used, 1))} {
			bit := byte(1) << r.IntN(8)
			if used == 0 {
				continue
			}
			add(fmt.Sprintf("bit of byte %d of %d flipped in %s", at, used, file), file,
				func(dir string) error {
					return rewrite(filepath.Join(dir, file), func(b []byte) []byte { b[at] ^= bit; return b })
				})
		}
		for _, size := range []int{0, used / 2, used - 1} {
			add(fmt.Sprintf("%s cut at %d of %d", file, size, used), file,
				func(dir string) error { return os.Truncate(filepath.Join(dir, file), int64(max(size, 0))) })
		}
		add(file+" removed", file, func(dir string) error { return os.Remove(filepath.Join(dir, file)) })
		add("a byte added to "+file, file, func(dir string) error {
			return rewrite(filepath.Join(dir, file), func(b []byte) []byte { return append(b, 7) })
		})
		other := files[(i+1)%len(files)]
		add(file+" and "+other+" swapped", file+"|"+other, func(dir string) error {
			a, b := filepath.Join(dir, file), filepath.Join(dir, other)
			return errors.Join(os.Rename(a, a+"x"), os.Rename(b, a), os.Rename(a+"x", b))
		})
		add(file+" a folder", file, func(dir string) error {
			return errors.Join(os.Remove(filepath.Join(dir, file)), os.Mkdir(filepath.Join(dir, file), 0o700))
		})
		if filepath.Ext(file) == folder.TableExt {
			add(file+" there twice", "db/000999.sst", func(dir string) error {
				b, err := os.ReadFile(filepath.Join(dir, file))
				return errors.Join(err, os.WriteFile(filepath.Join(dir, "db/000999.sst"), b, 0o600))
			})
		}
	}
	add("a second MANIFEST", "db/MANIFEST.old", func(dir string) error {
		b, err := os.ReadFile(filepath.Join(dir, "db/MANIFEST"))
		return errors.Join(err, os.WriteFile(filepath.Join(dir, "db/MANIFEST.old"), b, 0o600))
	})
	add("MANIFEST-REWRITE left", "db/MANIFEST-REWRITE", func(dir string) error {
		return os.WriteFile(filepath.Join(dir, "db/MANIFEST-REWRITE"), []byte("Bdgr"), 0o600)
	})
	add("a folder in db", "db/old",
		func(dir string) error { return os.Mkdir(filepath.Join(dir, "db/old"), 0o700) })
	add("db a file", "db/", func(dir string) error {
		return errors.Join(os.RemoveAll(filepath.Join(dir, "db")), os.WriteFile(filepath.Join(dir, "db"),
			[]byte("x"), 0o600))
	})
	add("db empty", "db/", func(dir string) error {
		return errors.Join(os.RemoveAll(filepath.Join(dir, "db")), os.Mkdir(filepath.Join(dir, "db"), 0o700))
	})
	add("db removed", "db/", func(dir string) error { return os.RemoveAll(filepath.Join(dir, "db")) })
	return out
}

func rewrite(path string, f func([]byte) []byte) error {
	info, err := os.Stat(path)
	if err != nil {
		return err
	}
	b, err := os.ReadFile(path)
	if err != nil {
		return err
	}
	return os.WriteFile(path, f(b), info.Mode())
}

// checkHolds damages a copy of the store and opens it. Either the store is refused, in one sentence
// that names the file or a record, and nothing has changed; or it opens with its contents. It
// returns the refusal, or "".
func (d damaged) checkHolds(t *testing.T, sh shape) (refusal string) {
	t.Helper()
	o := sh.opts
	o.Dir = filepath.Join(t.TempDir(), "data")
	copyFolder(t, o.Dir, sh.opts.Dir)
	if err := d.do(o.Dir); err != nil {
		t.Fatal(err)
	}
	before := describeTree(t, o.Dir)
	s, err := Open(context.Background(), o)
	if err == nil {
		if got := describeStore(t, s); got != sh.want {
			t.Errorf("%s: %s: opened with other contents:\n%s\nwant\n%s", sh.name, d.name, firstLines(got),
				firstLines(sh.want))
		}
		checkAndClose(t, s)
		return ""
	}
	if after := describeTree(t, o.Dir); after != before {
		t.Errorf("%s: %s: the folder changed:\n%s\nwas\n%s", sh.name, d.name, after, before)
	}
	text := err.Error()
	if !errors.Is(err, ErrCorrupt) && !errors.Is(err, ErrSiteKey) && !errors.Is(err, ErrFormat) {
		t.Errorf("%s: %s: got %q, want an error that says what is damaged", sh.name, d.name, text)
	}
	if strings.ContainsAny(text, "\n\t\x00") || strings.Contains(text, "goroutine") ||
		folder.Printable(text) != text {
		t.Errorf("%s: %s: got %q, want one sentence", sh.name, d.name, text)
	}
	if !slices.ContainsFunc(strings.Split(d.file, "|"),
		func(name string) bool { return strings.Contains(text, name) }) && !namesRecord(text) &&
		!strings.Contains(text, "store: db/: ") {
		t.Errorf("%s: %s: got %q, want it to name %s or a record", sh.name, d.name, text, d.file)
	}
	if !strings.Contains(text, "nothing was changed") && !errors.Is(err, ErrSiteKey) &&
		!errors.Is(err, ErrFormat) {
		t.Errorf("%s: %s: got %q, want what to do", sh.name, d.name, text)
	}
	return text
}

func firstLines(s string) string {
	lines := strings.SplitN(s, "\n", 4)
	return strings.Join(lines[:min(3, len(lines))], "\n")
}

func namesRecord(text string) bool {
	for letter := range byte(128) {
		if name, ok := record.NameKind(letter); ok && strings.HasPrefix(text, "store: "+name+" ") {
			return true
		}
	}
	return strings.HasPrefix(text, "store: format record") || strings.HasPrefix(text, "store: head record")
}

// TestDamage makes a sample of the damages of TestLongDamage.
func TestDamage(t *testing.T) {
	r := rand.New(rand.NewPCG(16, 2))
	all := makeShapes(t, 2, 100)
	for range 25 {
		sh := all[r.IntN(len(all))]
		ds := listDamages(t, sh.opts.Dir, r)
		d := ds[r.IntN(len(ds))]
		t.Logf("%s: %s: %s", sh.name, d.name, d.checkHolds(t, sh))
	}
}

// TestLinkedDatabase: db/ may be a link to another disk. A link without a target counts as damage.
func TestLinkedDatabase(t *testing.T) {
	o := makeFresh(t)
	away := filepath.Join(t.TempDir(), "away")
	if err := errors.Join(os.Rename(o.files().DB, away), os.Symlink(away, o.files().DB)); err != nil {
		t.Fatal(err)
	}
	checkAndClose(t, mustOpen(t, o))
	remove(t, away)
	wantNamed(t, openRefused(t, o), "store: db/: is missing")
	if err := os.Mkdir(away, 0o700); err != nil {
		t.Fatal(err)
	}
	wantNamed(t, openRefused(t, o), "store: db/: is empty")
	if inside, err := os.ReadDir(away); err != nil || len(inside) != 0 {
		t.Errorf("got %v, %v, want that nothing was made in the folder", inside, err)
	}
}

// TestAnotherStoresDatabase: another store's db/ does not open with this store's key.
func TestAnotherStoresDatabase(t *testing.T) {
	o, other := makeFresh(t), makeFresh(t)
	remove(t, o.files().DB)
	remove(t, o.files().Head)
	if err := os.Rename(other.files().DB, o.files().DB); err != nil {
		t.Fatal(err)
	}
	wantNamed(t, openRefused(t, o), "format record")
}

// TestEmptyLogsAreRemoved: a crash can leave empty logs, which Badger cannot open.
func TestEmptyLogsAreRemoved(t *testing.T) {
	o := makeFresh(t)
	for _, name := range []string{"00009.mem", "000009.vlog", "000050.sst"} {
		if err := os.WriteFile(filepath.Join(o.files().DB, name), nil, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	checkAndClose(t, mustOpen(t, o))
}

// TestDamageWhileRunning: if a file is damaged while the store is open, only the verification
// fails, and the process does not end.
func TestDamageWhileRunning(t *testing.T) {
	for name, do := range map[string]func(path string) error{
		"cut": func(path string) error { return os.Truncate(path, 10) },
		"flipped": func(path string) error {
			return rewrite(path, func(b []byte) []byte { b[len(b)/2] ^= 1; return b })
		},
		"emptied": func(path string) error { return os.Truncate(path, 0) },
	} {
		t.Run(name, func(t *testing.T) {
			o := makeTables(t, 2, 300)
			s, err := Open(t.Context(), o)
			if err != nil {
				t.Fatal(err)
			}
			if err := s.Verify(t.Context()); err != nil {
				t.Fatal(err)
			}
			if at, seq, problem := s.Verified(); at.IsZero() || seq == 0 || problem != nil {
				t.Errorf("got %v, %d, %v", at, seq, problem)
			}
			if err := do(filepath.Join(o.files().DB, "000002.sst")); err != nil {
				t.Fatal(err)
			}
			err = s.Verify(t.Context())
			if !errors.Is(err, ErrCorrupt) {
				t.Fatalf("got %v, want ErrCorrupt", err)
			}
			wantNamed(t, err.Error(), "db/000002.sst")
			// The walk alone, which reads the mapped files, does not end the process either.
			err = s.readIfOpen(t.Context(), func(txn *badger.Txn) error {
				_, err := s.reader.VerifyChain(t.Context(), txn, nil, nil)
				return err
			})
			t.Log(err)
			if !errors.Is(err, ErrCorrupt) {
				t.Errorf("got %v, want ErrCorrupt", err)
			}
			if _, _, problem := s.Verified(); problem == nil {
				t.Error("Verified does not return the problem")
			}
			_ = s.Close()
		})
	}
}

// TestScratchIsRemoved: the scratch folder is removed even if the child is killed.
func TestScratchIsRemoved(t *testing.T) {
	o := makeFresh(t)
	told := filepath.Join(t.TempDir(), "told")
	o.Child = func(ctx context.Context) *exec.Cmd { return makeChild(ctx, "die "+told) }
	if _, err := o.runTrial(t.Context(), trial{Dir: o.Dir}); err == nil {
		t.Error("got no error although the child was killed")
	}
	dir, err := os.ReadFile(told)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := os.Lstat(string(dir)); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("%s: got %v, want it removed", dir, err)
	}
}
