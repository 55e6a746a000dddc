package restart

import (
	"bytes"
	"context"
	"io/fs"
	"log/slog"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"latchkey/coapres/transport/record/protect"
	"latchkey/coapres/transport/saved"
	"latchkey/gateway/audit"
	"latchkey/gateway/store"
)

// house is a store on disk and a runtime folder in memory.
type house struct {
	data, runtime string
	log           bytes.Buffer
}

func newHouse(t *testing.T) *house {
	t.Helper()
	runtime, err := os.MkdirTemp("/dev/shm", "latchkey-test-")
	if err != nil {
		t.Fatal("mount a tmpfs at /dev/shm for this test: ", err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(runtime) })
	return &house{data: t.TempDir(), runtime: runtime}
}

func (h *house) file() string { return filepath.Join(h.runtime, fileName) }

// run starts with the store in data, stops with n sessions if stop is set, and returns how many
// sessions were resumed.
func (h *house) run(t *testing.T, data string, stop bool, n int) (resumed int) {
	t.Helper()
	h.with(t, data, func(r *Restart) {
		if err := r.Start("test"); err != nil {
			t.Fatal(err)
		}
		resumed = len(r.Resume(t.Context()))
		for _, name := range []string{fileName, newName} {
			if _, err := os.Lstat(filepath.Join(h.runtime, name)); err == nil {
				t.Errorf("%s is still there after the start", name)
			}
		}
		if stop {
			if err := r.Stop(makeSessions(t, n)); err != nil {
				t.Fatal(err)
			}
		}
	})
	return resumed
}

// with calls f with a Restart for the store in data.
func (h *house) with(t *testing.T, data string, f func(*Restart)) {
	t.Helper()
	st, err := store.Open(t.Context(), store.Options{Dir: data})
	if err != nil {
		t.Fatal(err)
	}
	defer func() {
		if err := st.Close(); err != nil {
			t.Error(err)
		}
	}()
	folder, err := OpenFolder(h.runtime, data)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = folder.Close() }()
	f(New(Config{Folder: folder, Store: st,
		Accept: func(a *saved.Association) bool { return a.Identity != "revoked" },
		Log:    slog.New(slog.NewTextHandler(&h.log, nil))}))
}

func makeSessions(t *testing.T, n int) []saved.Association {
	t.Helper()
	key, err := protect.NewKey(protect.PSKWithAES128CCM8, make([]byte, 16), make([]byte, 4))
	if err != nil {
		t.Fatal(err)
	}
	out := make([]saved.Association, n)
	for i := range out {
		out[i] = saved.Association{Identity: "lk-0123456789", Sealing: key, Opening: key, Next: 5,
			Window: protect.Window{Top: 1, Seen: 1}, Home: netip.MustParseAddrPort("192.0.2.1:1")}
	}
	return out
}

func (h *house) keepFile(t *testing.T) []byte {
	t.Helper()
	b, err := os.ReadFile(h.file())
	if err != nil {
		t.Fatal(err)
	}
	if info, err := os.Stat(h.file()); err != nil || info.Mode() != 0o600 {
		t.Errorf("got mode %v, %v", info.Mode(), err)
	}
	return b
}

func (h *house) putFile(t *testing.T, b []byte) {
	t.Helper()
	if err := os.WriteFile(h.file(), b, 0o600); err != nil {
		t.Fatal(err)
	}
}

func copyFolder(t *testing.T, from string) (to string) {
	t.Helper()
	to = filepath.Join(t.TempDir(), "copy")
	if err := os.CopyFS(to, os.DirFS(from)); err != nil {
		t.Fatal(err)
	}
	if err := os.Chmod(to, 0o700); err != nil {
		t.Fatal(err)
	}
	err := filepath.WalkDir(to, func(path string, d fs.DirEntry, err error) error {
		if err == nil && !d.IsDir() {
			err = os.Chmod(path, 0o600)
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return to
}

// The sessions of a stop are resumed by the next start, once: not by a copy of the data folder from
// before the stop, not by another data folder, and not from the file when it is put back.
func TestResumedOnce(t *testing.T) {
	h := newHouse(t)
	if got := h.run(t, h.data, true, 0); got != 0 {
		t.Errorf("the first start: got %d sessions", got)
	}
	before := copyFolder(t, h.data)
	h.run(t, h.data, true, 3)
	file, after := h.keepFile(t), copyFolder(t, h.data)
	if bytes.Contains(file, []byte("lk-0123456789")) {
		t.Error("the file is not sealed")
	}

	if got := h.run(t, before, true, 0); got != 0 {
		t.Errorf("a copy of the data folder from before the stop: got %d sessions, want none", got)
	}
	h.putFile(t, file)
	if got := h.run(t, t.TempDir(), false, 0); got != 0 {
		t.Errorf("another data folder: got %d sessions, want none", got)
	}
	h.putFile(t, file)
	if got := h.run(t, h.data, false, 0); got != 3 {
		t.Errorf("the start after the stop: got %d sessions, want 3", got)
	}
	h.putFile(t, file)
	if got := h.run(t, h.data, false, 0); got != 0 {
		t.Errorf("the file put back: got %d sessions, want none", got)
	}
	h.putFile(t, file)
	if got := h.run(t, h.data, true, 2); got != 0 {
		t.Errorf("the file put back again: got %d sessions, want none", got)
	}
	if got := h.run(t, after, false, 0); got != 0 {
		t.Errorf("a copy from before a later stop, with the file of that: got %d sessions, want none", got)
	}
}

// A start that is cut has removed the file. Its sessions are lost, and without the event of that start
// nothing of them was used: only then the file may be put back.
func TestCutStart(t *testing.T) {
	for name, tc := range map[string]struct {
		cut     func(*Restart) // takes the file and stops before the sessions are used
		putBack int            // how many are resumed if the file is put back
	}{
		"before the event of the start": {func(r *Restart) { r.load() }, 2},
		"after it": {func(r *Restart) {
			if err := r.Start("test"); err != nil {
				t.Error(err)
			}
		}, 0},
	} {
		t.Run(name, func(t *testing.T) {
			h := newHouse(t)
			h.run(t, h.data, true, 2)
			file := h.keepFile(t)
			h.with(t, h.data, tc.cut)
			if got := h.run(t, copyFolder(t, h.data), false, 0); got != 0 {
				t.Errorf("the next start: got %d sessions, want none", got)
			}
			for i, want := range []int{tc.putBack, 0} {
				h.putFile(t, file)
				if got := h.run(t, h.data, false, 0); got != want {
					t.Errorf("the file put back, start %d: got %d sessions, want %d", i+1, got, want)
				}
			}
		})
	}
}

// Events between a stop and a start, as the command line makes them, change nothing.
func TestEventsBetween(t *testing.T) {
	h := newHouse(t)
	h.run(t, h.data, true, 1)
	st, err := store.Open(t.Context(), store.Options{Dir: h.data})
	if err != nil {
		t.Fatal(err)
	}
	for range 2 * page {
		if _, err := st.Record(t.Context(), audit.Event{Kind: audit.EventReport, Detail: "x"}); err != nil {
			t.Fatal(err)
		}
	}
	if err := st.Close(); err != nil {
		t.Fatal(err)
	}
	if got := h.run(t, h.data, false, 0); got != 1 {
		t.Errorf("got %d sessions, want 1\n%s", got, &h.log)
	}
}

// A file that is not as it was written, or that a stop has not finished, resumes nothing. It is
// removed, with one line in the log.
func TestBadFiles(t *testing.T) {
	for name, damage := range map[string]func(t *testing.T, h *house, b []byte){
		"a flipped bit": func(t *testing.T, h *house, b []byte) { b[len(b)/2] ^= 1; h.putFile(t, b) },
		"cut":           func(t *testing.T, h *house, b []byte) { h.putFile(t, b[:len(b)-1]) },
		"empty":         func(t *testing.T, h *house, _ []byte) { h.putFile(t, nil) },
		"too large": func(t *testing.T, h *house, b []byte) {
			h.putFile(t, append(b, make([]byte, saved.MaxSize)...))
		},
		"another version": func(t *testing.T, h *house, b []byte) { b[0]++; h.putFile(t, b) },
		"a folder": func(t *testing.T, h *house, _ []byte) {
			if err := os.MkdirAll(filepath.Join(h.file(), "x"), 0o700); err != nil {
				t.Fatal(err)
			}
		},
		"a link": func(t *testing.T, h *house, b []byte) {
			elsewhere := filepath.Join(h.runtime, "elsewhere")
			if err := os.WriteFile(elsewhere, b, 0o600); err != nil {
				t.Fatal(err)
			}
			if err := os.Symlink("elsewhere", h.file()); err != nil {
				t.Fatal(err)
			}
		},
		"killed while writing": func(t *testing.T, h *house, b []byte) {
			if err := os.WriteFile(filepath.Join(h.runtime, newName), b[:len(b)/2], 0o600); err != nil {
				t.Fatal(err)
			}
		},
		"killed before the name": func(t *testing.T, h *house, b []byte) {
			if err := os.WriteFile(filepath.Join(h.runtime, newName), b, 0o600); err != nil {
				t.Fatal(err)
			}
		},
	} {
		t.Run(name, func(t *testing.T) {
			h := newHouse(t)
			h.run(t, h.data, true, 2)
			b := h.keepFile(t)
			if err := os.Remove(h.file()); err != nil {
				t.Fatal(err)
			}
			h.log.Reset()
			damage(t, h, b)
			if got := h.run(t, h.data, false, 0); got != 0 {
				t.Errorf("got %d sessions, want none", got)
			}
			if lines := strings.Count(h.log.String(), "\n"); lines != 1 ||
				!strings.Contains(h.log.String(), "not resumed") {
				t.Errorf("got the log %q, want one line", &h.log)
			}
		})
	}
}

// A state is refused when it is too old or from the future.
func TestAge(t *testing.T) {
	for name, tc := range map[string]struct {
		ago  time.Duration
		want int
	}{"fresh": {0, 1}, "an hour old": {time.Hour, 1}, "too old": {oldest + time.Minute, 0},
		"from the future": {-2 * time.Minute, 0}} {
		h := newHouse(t)
		h.run(t, h.data, true, 1)
		h.reseal(t, func(s *saved.State) { s.At = s.At.Add(-tc.ago) })
		if got := h.run(t, h.data, false, 0); got != tc.want {
			t.Errorf("%s: got %d sessions, want %d\n%s", name, got, tc.want, &h.log)
		}
	}
}

// The seal alone is not enough: the state must name the store's last stop.
func TestAnotherEvent(t *testing.T) {
	for name, change := range map[string]func(*saved.State){
		"another hash":     func(s *saved.State) { s.Hash[0]++ },
		"no event":         func(s *saved.State) { s.Event = 0 },
		"the start":        func(s *saved.State) { s.Event-- },
		"an event to come": func(s *saved.State) { s.Event++ },
	} {
		h := newHouse(t)
		h.run(t, h.data, true, 1)
		h.reseal(t, change)
		if got := h.run(t, h.data, false, 0); got != 0 {
			t.Errorf("%s: got %d sessions, want none", name, got)
		}
	}
}

// reseal changes the state in the file, as nobody without the site key can.
func (h *house) reseal(t *testing.T, change func(*saved.State)) {
	t.Helper()
	st, err := store.Open(t.Context(), store.Options{Dir: h.data})
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = st.Close() }()
	s, name := st.SessionSealer()
	plain, err := s.Open(name, h.keepFile(t))
	if err != nil {
		t.Fatal(err)
	}
	state, err := saved.Parse(plain)
	if err != nil {
		t.Fatal(err)
	}
	change(&state)
	h.putFile(t, s.Seal(name, state.AppendTo(nil)))
}

// Sessions that the layer above does not accept are left out.
func TestNotAccepted(t *testing.T) {
	h := newHouse(t)
	h.run(t, h.data, true, 3)
	h.reseal(t, func(s *saved.State) { s.Associations[1].Identity = "revoked" })
	if got := h.run(t, h.data, false, 0); got != 2 {
		t.Errorf("got %d sessions, want 2", got)
	}
	if !strings.Contains(h.log.String(), "count=2 refused=1") {
		t.Errorf("the log does not say it: %s", &h.log)
	}
}

// Nothing is resumed when the event of the start is not written, or when the start is given up.
func TestNoStart(t *testing.T) {
	h := newHouse(t)
	h.run(t, h.data, true, 1)
	full := uint64(1 << 40)
	st, err := store.Open(t.Context(), store.Options{Dir: h.data,
		Free: func() (uint64, error) { return full, nil }})
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = st.Close() }()
	f, err := OpenFolder(h.runtime, h.data)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = f.Close() }()
	full = 0
	r := New(Config{Folder: f, Store: st, Accept: func(*saved.Association) bool { return true },
		Log: slog.New(slog.NewTextHandler(&h.log, nil))})
	ended, cancel := context.WithCancel(t.Context())
	cancel()
	if got := r.Resume(ended); got != nil {
		t.Errorf("before the start: got %d sessions", len(got))
	}
	if err := r.Start("test"); err == nil {
		t.Fatal("an event was written to a full disk")
	}
	if got := r.Resume(t.Context()); len(got) > 0 {
		t.Errorf("got %d sessions, want none", len(got))
	}
	if err := r.Stop(makeSessions(t, 1)); err == nil {
		t.Fatal("an event was written to a full disk")
	}
	if _, err := os.Lstat(h.file()); err == nil {
		t.Error("sessions were saved without the event of their stop")
	}
}

func TestFolders(t *testing.T) {
	h := newHouse(t)
	inside, open := filepath.Join(h.runtime, "data", "run"), filepath.Join(h.runtime, "open")
	for _, dir := range []string{inside, open} {
		if err := os.MkdirAll(dir, 0o700); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.Chmod(open, 0o750); err != nil {
		t.Fatal(err)
	}
	link := filepath.Join(t.TempDir(), "link")
	if err := os.Symlink(inside, link); err != nil {
		t.Fatal(err)
	}
	data := filepath.Join(h.runtime, "data")
	for name, tc := range map[string]struct{ path, data, want string }{
		"good":                      {h.runtime, h.data, ""},
		"no data folder yet":        {h.runtime, filepath.Join(h.data, "none"), ""},
		"on a disk":                 {h.data, h.data + "x", "not on a tmpfs"},
		"open to a group":           {open, h.data, "want 0700"},
		"the data folder":           {data, data, "in the data folder"},
		"in the data folder":        {inside, data, "in the data folder"},
		"in it by a link":           {link, data, "in the data folder"},
		"the data folder by a link": {inside, link, "in the data folder"},
		"missing":                   {filepath.Join(h.runtime, "none"), h.data, "no such file"},
	} {
		f, err := OpenFolder(tc.path, tc.data)
		_ = f.Close()
		if tc.want == "" && err != nil || tc.want != "" && (err == nil || !strings.Contains(err.Error(), tc.want)) {
			t.Errorf("%s: got %v, want %q", name, err, tc.want)
		}
	}
}

// A folder that was opened to others, or moved to a disk, since the start is not written to.
func TestFolderIsCheckedAgain(t *testing.T) {
	h := newHouse(t)
	f, err := OpenFolder(h.runtime, h.data)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = f.Close() }()
	if err := os.Chmod(h.runtime, 0o755); err != nil {
		t.Fatal(err)
	}
	if err := f.put([]byte("x")); err == nil {
		t.Error("saved in a folder that others can read")
	}
	if _, err := os.Lstat(h.file()); err == nil {
		t.Error("the file is there")
	}
}
