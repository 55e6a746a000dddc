package backup_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"filippo.io/age"

	"latchkey/coapres/wire"
	"latchkey/gateway/access"
	"latchkey/gateway/audit"
	"latchkey/gateway/faultdisk"
	"latchkey/gateway/store"
	"latchkey/gateway/store/backup"
	"latchkey/gateway/store/record"
	"latchkey/gateway/store/seal"
	"latchkey/keys"
)

// site is a store with some people and events.
func site(t testing.TB, persons, events int) *store.Store {
	t.Helper()
	s, err := store.Open(context.Background(), store.Options{InMemory: true})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	})
	for i := range persons {
		p := access.Person{ID: access.ID(fmt.Sprintf("p%09d", i)), Name: fmt.Sprint("person ", i)}
		if _, err := s.Apply(t.Context(), "test", access.Change{Put: p}); err != nil {
			t.Fatal(err)
		}
	}
	var wait sync.WaitGroup
	for range events {
		wait.Go(func() {
			if _, err := s.Record(t.Context(), audit.Event{Kind: audit.EventStop}); err != nil {
				t.Error(err)
			}
		})
	}
	wait.Wait()
	return s
}

func newIdentity(t testing.TB) (id backup.Identity, recipient string, to []backup.Recipient) {
	t.Helper()
	id, recipient, err := backup.NewPassing()
	if err != nil {
		t.Fatal(err)
	}
	if to, err = backup.ParseRecipients([]string{recipient}); err != nil {
		t.Fatal(err)
	}
	return id, recipient, to
}

func backUp(t testing.TB, s *store.Store, o backup.Options) []byte {
	t.Helper()
	var b bytes.Buffer
	if err := s.WriteBackup(context.Background(), &b, o); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

func verify(file []byte, want backup.Expected, ids ...backup.Identity) error {
	r, err := backup.Open(bytes.NewReader(file), ids...)
	if err != nil {
		return err
	}
	_, err = r.Verify(context.Background(), want)
	return err
}

// A file that was cut anywhere, or of which a byte was changed anywhere, is refused in a sentence.
func TestDamagedBackupIsRefused(t *testing.T) {
	id, _, to := newIdentity(t)
	file := backUp(t, site(t, 300, 2000), backup.Options{To: to, Kind: backup.Full})
	if err := verify(file, backup.Expected{}, id); err != nil {
		t.Fatal(err)
	}
	refused := func(what string, file []byte) {
		t.Helper()
		err := verify(file, backup.Expected{}, id)
		// A flip in a stanza looks as if the file were for somebody else.
		if !errors.Is(err, backup.ErrDamaged) && !errors.Is(err, backup.ErrIdentity) {
			t.Errorf("%s: got %v", what, err)
		} else if strings.Contains(err.Error(), "\n") {
			t.Errorf("%s: got more than a line: %q", what, err)
		}
	}
	for end := 0; end < len(file); end += 4096 {
		refused(fmt.Sprint("cut at ", end), file[:end])
	}
	for _, end := range []int{1, 20, 100, 200, len(file) - 1, len(file) - 16, len(file) - 17} {
		refused(fmt.Sprint("cut at ", end), file[:end])
	}
	for i := range 1000 {
		at := i * len(file) / 1000
		bad := slices.Clone(file)
		bad[at] ^= 1 << (i % 8)
		refused(fmt.Sprint("flip at ", at), bad)
	}
	refused("something after the end", append(slices.Clone(file), 0))
	refused("twice", slices.Concat(file, file))
	t.Logf("%d bytes", len(file))
}

// age says that bytes are those that were encrypted, but anybody may encrypt. So the layers below
// refuse on their own.
func TestDamageBelowTheEncryption(t *testing.T) {
	id, _, to := newIdentity(t)
	plain := plainOf(t, backUp(t, site(t, 3, 12), backup.Options{To: to, Kind: backup.Full}), id)
	check := func(b []byte) error {
		r, err := backup.OpenPlain(b)
		if err == nil {
			_, err = r.Verify(context.Background(), backup.Expected{})
		}
		return err
	}
	if err := check(plain); err != nil {
		t.Fatal(err)
	}
	for end := range plain {
		if err := check(plain[:end]); err == nil {
			t.Errorf("cut at %d: got no error", end)
		}
	}
	for at := range plain {
		bad := slices.Clone(plain)
		bad[at] ^= 1 << (at % 8)
		if err := check(bad); err == nil {
			t.Errorf("flip at %d: got no error", at)
		}
	}
	if err := check(append(slices.Clone(plain), 0)); !errors.Is(err, backup.ErrDamaged) {
		t.Errorf("something after the end: got %v", err)
	}
	newer := slices.Clone(plain)
	newer[len(backup.Magic)-2]++
	if err := check(newer); !errors.Is(err, backup.ErrNewer) {
		t.Errorf("a newer format: got %v", err)
	}
	newer = slices.Clone(plain)
	newer[len(backup.Magic)+2]++ // the version of the header
	if err := check(newer); !errors.Is(err, backup.ErrNewer) {
		t.Errorf("a newer header: got %v", err)
	}
}

// plainOf opens age and gzip.
func plainOf(t testing.TB, file []byte, id backup.Identity) []byte {
	t.Helper()
	opened, err := backup.OpenLayers(bytes.NewReader(file), id)
	if err != nil {
		t.Fatal(err)
	}
	plain, err := io.ReadAll(opened)
	if err != nil {
		t.Fatal(err)
	}
	return plain
}

// copyRecords puts the records of a backup, with its site key.
func copyRecords(t testing.TB, file []byte, id backup.Identity, put func(record.Key, []byte) error) error {
	t.Helper()
	r, err := backup.Open(bytes.NewReader(file), id)
	if err != nil {
		return err
	}
	first := true
	for {
		key, plain, err := r.Next()
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return err
		}
		if k, ok := r.SiteKey(); ok && first {
			if err := put(backup.SiteKeyRecord, []byte(k.Text())); err != nil {
				return err
			}
		}
		first = false
		if err := put(key, plain); err != nil {
			return err
		}
	}
}

func siteKeys(t testing.TB, file []byte, id backup.Identity) seal.Keys {
	t.Helper()
	r, err := backup.Open(bytes.NewReader(file), id)
	if err != nil {
		t.Fatal(err)
	}
	if _, _, err := r.Next(); err != nil {
		t.Fatal(err)
	}
	k, ok := r.SiteKey()
	if !ok {
		t.Fatal("no site key")
	}
	return k.DeriveKeys()
}

func TestWrongKeyIsRefused(t *testing.T) {
	_, _, to := newIdentity(t)
	other, _, _ := newIdentity(t)
	file := backUp(t, site(t, 1, 0), backup.Options{To: to, Kind: backup.Full})
	if err := verify(file, backup.Expected{}, other); !errors.Is(err, backup.ErrIdentity) {
		t.Errorf("another identity: got %v", err)
	}
	words, err := backup.OpenWithPassphrase("some words of no use")
	if err != nil {
		t.Fatal(err)
	}
	if err := verify(file, backup.Expected{}, words...); !errors.Is(err, backup.ErrIdentity) {
		t.Errorf("a passphrase: got %v", err)
	}
	for _, junk := range []string{"", "latchkey-backup-1\n", "age-encryption.org/v1\n",
		strings.Repeat("x", 1<<16)} {
		if err := verify([]byte(junk), backup.Expected{}, other); !errors.Is(err, backup.ErrDamaged) {
			t.Errorf("%.20q: got %v", junk, err)
		}
	}
	var b bytes.Buffer
	w, err := age.Encrypt(&b, to...)
	if err != nil {
		t.Fatal(err)
	}
	_, _ = io.WriteString(w, "my diary")
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	if err := verify(b.Bytes(), backup.Expected{}, other); !errors.Is(err, backup.ErrIdentity) {
		t.Errorf("another file of age: got %v", err)
	}
}

// Whoever knows the recipient can write a file that opens. Only the fingerprint shows that it is
// not of this site, and no mixture of two sites passes at all.
func TestForgedBackup(t *testing.T) {
	id, _, to := newIdentity(t)
	ours, theirs := site(t, 3, 5), site(t, 3, 5)
	own := backUp(t, ours, backup.Options{To: to, Kind: backup.Full})
	forged := backUp(t, theirs, backup.Options{To: to, Kind: backup.Full})
	fingerprint := func(file []byte) string {
		r, err := backup.Open(bytes.NewReader(file), id)
		if err != nil {
			t.Fatal(err)
		}
		return r.Header.Fingerprint()
	}
	want := backup.Expected{Fingerprint: fingerprint(own)}
	if err := verify(own, want, id); err != nil {
		t.Errorf("our own: got %v", err)
	}
	if err := verify(forged, want, id); !errors.Is(err, backup.ErrSigner) {
		t.Errorf("of another site: got %v", err)
	}
	if err := verify(forged, backup.Expected{}, id); err != nil {
		t.Errorf("of another site, which nobody excludes: got %v", err)
	}

	read := func(file []byte) (h backup.Header, k seal.Keys) {
		r, err := backup.Open(bytes.NewReader(file), id)
		if err != nil {
			t.Fatal(err)
		}
		return r.Header, siteKeys(t, file, id)
	}
	ourHeader, _ := read(own)
	theirHeader, theirKeys := read(forged)
	for _, tt := range []struct {
		name string
		h    backup.Header
		from []byte // records
	}{
		{"our records with another signature", ourHeader, own},
		{"their header and our records", theirHeader, own},
		{"our header and their records", ourHeader, forged},
	} {
		var b bytes.Buffer
		if err := backup.WritePlain(&b, tt.h, theirKeys, func(put func(record.Key, []byte) error) error {
			return copyRecords(t, tt.from, id, put)
		}); err != nil {
			t.Fatal(err)
		}
		r, err := backup.OpenPlain(b.Bytes())
		if err != nil {
			t.Fatal(err)
		}
		if _, err := r.Verify(t.Context(), backup.Expected{}); err == nil {
			t.Errorf("%s: got no error", tt.name)
		}
		if r, err = backup.OpenPlain(b.Bytes()); err != nil {
			t.Fatal(err)
		}
		if _, err := r.Verify(t.Context(), want); !errors.Is(err, backup.ErrSigner) {
			t.Errorf("%s, our fingerprint expected: got %v", tt.name, err)
		}
	}
}

// A record that vanished, came from elsewhere or was put back is found although everything is
// signed: a site that was taken over can sign what it likes, but a fault must not pass.
func TestRecordsThatDoNotAgree(t *testing.T) {
	id, _, to := newIdentity(t)
	s := site(t, 4, 40)
	device := access.ID("r000000001")
	for n := range uint64(1100) { // enough for counter records
		if _, err := s.Admit(t.Context(), access.Attempt{Source: access.ByCard, Device: device, Counter: n + 1,
			Target: "t000000001", Action: wire.Unlock}); err != nil {
			t.Fatal(err)
		}
	}
	file := backUp(t, s, backup.Options{To: to, Kind: backup.Full})
	r, err := backup.Open(bytes.NewReader(file), id)
	if err != nil {
		t.Fatal(err)
	}
	k := siteKeys(t, file, id)
	for _, tt := range []struct {
		name   string
		change func(*change)
		want   error
	}{
		{"nothing is changed", func(*change) {}, nil},
		{"a person is missing", leaveOut("pp000000002"), backup.ErrDamaged},
		{"a counter is missing", leaveOut(record.CounterKey(device)), backup.ErrDamaged},
		{"the head is missing", leaveOut(record.HeadKey), backup.ErrDamaged},
		{"the format is missing", leaveOut(record.FormatKey), backup.ErrDamaged},
		{"the site key is missing", leaveOut(backup.SiteKeyRecord), backup.ErrDamaged},
		{"a page is missing", leaveOut(record.EventKey(2)), backup.ErrDamaged},
		{"the first page is missing", leaveOut(record.EventKey(1)), backup.ErrDamaged},
		{"a person has another name", replace("pp000000001", "person 1", "person 3"), backup.ErrDamaged},
		{"an event is changed", replace(record.EventKey(1), "test", "tess"), backup.ErrDamaged},
		{"a record of a later version", replace("pp000000000", "\x01\xa1", "\x63\xa1"), backup.ErrNewer},
		{"the header has another head", func(c *change) { c.header.HeadHash[0] ^= 1 }, backup.ErrDamaged},
		{"the header has another digest", func(c *change) { c.header.Policy[0] ^= 1 }, backup.ErrDamaged},
		{"a sign-in is in it", rename(record.CounterKey(device), record.SignInKey([32]byte{})), backup.ErrNewer},
		{"an unknown kind", rename("pp000000003", "z000"), backup.ErrNewer},
	} {
		first := change{header: r.Header}
		tt.change(&first)
		var b bytes.Buffer
		var moved []byte // the record under "z", which comes behind all others but events
		err := backup.WritePlain(&b, first.header, k, func(put func(record.Key, []byte) error) error {
			return copyRecords(t, file, id, func(key record.Key, plain []byte) error {
				c := change{key: key, plain: plain}
				tt.change(&c)
				if c.key.Kind() == 'z' {
					moved = bytes.Clone(plain)
					return nil
				}
				if key.Kind() == record.KindEvent && moved != nil {
					if err := put("z000", moved); err != nil {
						return err
					}
					moved = nil
				}
				if c.key == "" {
					return nil
				}
				return put(c.key, c.plain)
			})
		})
		if err != nil {
			t.Fatalf("%s: %v", tt.name, err)
		}
		again, err := backup.OpenPlain(b.Bytes())
		if err == nil {
			_, err = again.Verify(t.Context(), backup.Expected{})
		}
		if !errors.Is(err, tt.want) || tt.want == nil && err != nil {
			t.Errorf("%s: got %v, want %v", tt.name, err, tt.want)
		}
	}
}

// The same for events alone, which have no head record.
func TestEventsThatDoNotAgree(t *testing.T) {
	id, _, to := newIdentity(t)
	s := site(t, 1, 40)
	full := backUp(t, s, backup.Options{To: to, Kind: backup.Full})
	file := backUp(t, s, backup.Options{To: to, Kind: backup.Events, From: 1})
	r, err := backup.Open(bytes.NewReader(file), id)
	if err != nil {
		t.Fatal(err)
	}
	for _, tt := range []struct {
		name   string
		change func(*backup.Header)
		ok     bool
	}{
		{"nothing is changed", func(*backup.Header) {}, true},
		{"another hash", func(h *backup.Header) { h.HeadHash[3] ^= 1 }, false},
		{"more events", func(h *backup.Header) { h.Head, h.To = h.Head+1, h.To+1 }, false},
		{"fewer events", func(h *backup.Header) { h.Head, h.To = h.Head-1, h.To-1 }, false},
		{"another beginning", func(h *backup.Header) { h.From = 2 }, false},
	} {
		h := r.Header
		tt.change(&h)
		var b bytes.Buffer
		if err := backup.WritePlain(&b, h, siteKeys(t, full, id), func(put func(record.Key, []byte) error) error {
			return copyRecords(t, file, id, put)
		}); err != nil {
			t.Fatal(err)
		}
		again, err := backup.OpenPlain(b.Bytes())
		if err == nil {
			_, err = again.Verify(t.Context(), backup.Expected{})
		}
		if tt.ok && err != nil || !tt.ok && !errors.Is(err, backup.ErrDamaged) {
			t.Errorf("%s: got %v", tt.name, err)
		}
	}
}

// change is what a test changes of a backup: the header, which has no key, or a record.
type change struct {
	header backup.Header
	key    record.Key // "": left out
	plain  []byte
}

func leaveOut(which record.Key) func(*change) { return rename(which, "") }

func rename(which, as record.Key) func(*change) {
	return func(c *change) {
		if c.key == which {
			c.key = as
		}
	}
}

func replace(which record.Key, old, by string) func(*change) {
	return func(c *change) {
		if c.key == which {
			c.plain = bytes.ReplaceAll(c.plain, []byte(old), []byte(by))
		}
	}
}

// A reader that is told of a huge record does not make room for it.
func TestHostileSizes(t *testing.T) {
	id, _, to := newIdentity(t)
	file := backUp(t, site(t, 1, 1), backup.Options{To: to, Kind: backup.Full})
	plain := plainOf(t, file, id)
	header := len(backup.Magic) + 2 + int(plain[len(backup.Magic)])<<8 + int(plain[len(backup.Magic)+1])
	first := plain[header : header+2+2+4+73] // the site key
	says := map[bool]string{true: "claims", false: "too early"}
	claim := func(at int, b ...byte) []byte { return append(slices.Clone(plain[:at]), b...) }
	for name, b := range map[string][]byte{
		"a header of 64 KB": claim(len(backup.Magic), 0xff, 0xff),
		"a key of 64 KB":    claim(header, 0xff, 0xff),
		"a record of 4 GB":  claim(header, 0, 2, 'm', 'a', 0xff, 0xff, 0xff, 0xff),
		"a record of 8 MB":  claim(header, 0, 2, 'm', 'a', 0, 0x80, 0, 1),
		"a page of 1 MB":    claim(header, 0, 9, 'e', 0, 0, 0, 0, 0, 0, 0, 1, 0, 0x10, 0, 0),
		"an empty record":   claim(header, 0, 2, 'm', 'a', 0, 0, 0, 0),
		// As many bytes as a record may have, but they do not come.
		"a record that does not come": claim(header, 0, 2, 'm', 'a', 0, 0x80, 0, 0),
		"a record that comes again":   slices.Concat(plain[:header], first, first, plain[header:]),
	} {
		var before, after runtime.MemStats
		runtime.ReadMemStats(&before)
		r, err := backup.OpenPlain(b)
		if err == nil {
			_, err = r.Verify(t.Context(), backup.Expected{})
		}
		runtime.ReadMemStats(&after)
		bytes := after.TotalAlloc - before.TotalAlloc
		why := says[!strings.HasSuffix(name, "come")]
		if strings.HasSuffix(name, "again") {
			why = "after"
		}
		if !errors.Is(err, backup.ErrDamaged) || bytes > 1<<20 || !strings.Contains(err.Error(), why) {
			t.Errorf("%s: got %v, and %d bytes were allocated", name, err, bytes)
		}
	}
}

// A new file appears as a whole, readable by its owner alone, and no file is replaced.
func TestCreate(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "site.lkb")
	write := func(w io.Writer) error { _, err := io.WriteString(w, "all of it"); return err }
	if err := backup.Create(path, write); err != nil {
		t.Fatal(err)
	}
	info, err := os.Stat(path)
	if err != nil || info.Mode() != 0o600 || info.Size() != 9 {
		t.Errorf("got %v, %v", info, err)
	}
	if err := backup.Create(path, write); err == nil {
		t.Error("a file was replaced")
	}
	failed := errors.New("half of it only")
	err = backup.Create(filepath.Join(dir, "other.lkb"), func(w io.Writer) error {
		_, _ = io.WriteString(w, "half")
		return failed
	})
	if !errors.Is(err, failed) {
		t.Errorf("got %v, want the writer's error", err)
	}
	if left := names(t, dir); !slices.Equal(left, []string{"site.lkb"}) {
		t.Errorf("got %v, want the whole file only", left)
	}
}

// A full disk leaves nothing behind, and no file that looks like a backup.
func TestFullDisk(t *testing.T) {
	mnt := faultdisk.Mount(t, "tmpfs", 1)
	_, _, to := newIdentity(t)
	s := site(t, 200, 2000)
	write := func(w io.Writer) error { // more than fits on an empty disk, too
		for range 100 {
			if err := s.WriteBackup(t.Context(), w, backup.Options{To: to, Kind: backup.Full}); err != nil {
				return err
			}
		}
		return nil
	}
	empty := faultdisk.Fill(t, mnt)
	filled := names(t, mnt)
	err := backup.Create(filepath.Join(mnt, "site.lkb"), write)
	if err == nil || !strings.Contains(err.Error(), "no space") {
		t.Errorf("got %v", err)
	}
	if left := names(t, mnt); !slices.Equal(left, filled) {
		t.Errorf("got %v, want nothing new", left)
	}
	empty()
	err = backup.Create(filepath.Join(mnt, "site.lkb"), write)
	if err == nil || !strings.Contains(err.Error(), "no space") {
		t.Errorf("got %v", err)
	}
	if left := names(t, mnt); len(left) > 0 {
		t.Errorf("got %v, want nothing", left)
	}
}

func names(t *testing.T, dir string) (out []string) {
	t.Helper()
	entries, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range entries {
		out = append(out, e.Name())
	}
	return out
}

// Debian's age opens what we write, and a backup that it encrypted again is still one.
func TestDebianAge(t *testing.T) {
	if _, err := exec.LookPath("age"); err != nil {
		t.Fatal("age is missing: make deps installs it")
	}
	dir := t.TempDir()
	keyFile := filepath.Join(dir, "key.txt")
	run := func(stdin io.Reader, name string, args ...string) []byte {
		t.Helper()
		cmd := exec.Command(name, args...)
		cmd.Stdin = stdin
		var out, problem bytes.Buffer
		cmd.Stdout, cmd.Stderr = &out, &problem
		if err := cmd.Run(); err != nil {
			t.Fatalf("%s %v: %v: %s", name, args, err, problem.String())
		}
		return out.Bytes()
	}
	run(nil, "age-keygen", "-o", keyFile)
	public := strings.TrimSpace(string(run(nil, "age-keygen", "-y", keyFile)))
	to, err := backup.ParseRecipients([]string{public})
	if err != nil {
		t.Fatal(err)
	}
	text, err := os.ReadFile(keyFile)
	if err != nil {
		t.Fatal(err)
	}
	ids, err := backup.ReadIdentities(bytes.NewReader(text))
	if err != nil {
		t.Fatal(err)
	}
	file := backUp(t, site(t, 3, 5), backup.Options{To: to, Kind: backup.Full})
	if err := verify(file, backup.Expected{}, ids...); err != nil {
		t.Errorf("with the key of age-keygen: %v", err)
	}
	packed := run(bytes.NewReader(file), "age", "-d", "-i", keyFile)
	if plain := run(bytes.NewReader(packed), "gzip", "-dc"); !bytes.HasPrefix(plain, []byte(backup.Magic)) {
		t.Errorf("got %.40q, want it to begin with %q", plain, backup.Magic)
	}
	again := run(bytes.NewReader(packed), "age", "-r", public)
	if err := verify(again, backup.Expected{}, ids...); err != nil {
		t.Errorf("encrypted again by age: %v", err)
	}

	// With a passphrase: age reads it from a terminal only, which script(1) is.
	const words = "correct horse battery staple"
	passing, _, passTo := newIdentity(t)
	var b bytes.Buffer
	err = backup.Reencrypt(&b, bytes.NewReader(backUp(t, site(t, 3, 5), backup.Options{To: passTo,
		Kind: backup.Full})), passing, words)
	if err != nil {
		t.Fatal(err)
	}
	if !backup.AsksPassphrase(b.Bytes()) || backup.AsksPassphrase(file) {
		t.Error("a file does not show whether it takes a passphrase")
	}
	know, err := backup.OpenWithPassphrase(words)
	if err != nil {
		t.Fatal(err)
	}
	if err := verify(b.Bytes(), backup.Expected{}, know...); err != nil {
		t.Errorf("with the passphrase: %v", err)
	}
	wrong, err := backup.OpenWithPassphrase(words + "s")
	if err != nil {
		t.Fatal(err)
	}
	if err := verify(b.Bytes(), backup.Expected{}, wrong...); !errors.Is(err, backup.ErrIdentity) {
		t.Errorf("with another passphrase: got %v", err)
	}
	sealed, opened := filepath.Join(dir, "sealed.lkb"), filepath.Join(dir, "opened.gz")
	if err := os.WriteFile(sealed, b.Bytes(), 0o600); err != nil {
		t.Fatal(err)
	}
	run(strings.NewReader(words+"\n"), "script", "-qec", "age -d -o "+opened+" "+sealed, "/dev/null")
	if plain := run(nil, "gzip", "-dc", opened); !bytes.HasPrefix(plain, []byte(backup.Magic)) {
		t.Errorf("got %.40q, want it to begin with %q", plain, backup.Magic)
	}
}

// A cut stream or another passphrase is an error, whatever was written by then.
func TestReencrypt(t *testing.T) {
	id, _, to := newIdentity(t)
	file := backUp(t, site(t, 30, 3000), backup.Options{To: to, Kind: backup.Full})
	for _, end := range []int{0, 100, len(file) / 2, len(file) - 1} {
		err := backup.Reencrypt(io.Discard, bytes.NewReader(file[:end]), id, "sixteen letters at least")
		if err == nil {
			t.Errorf("cut at %d: got no error", end)
		}
	}
	if err := backup.Reencrypt(io.Discard, bytes.NewReader(file), id, "too short"); err == nil {
		t.Error("a short passphrase: got no error")
	}
}

func TestParseRecipients(t *testing.T) {
	_, classic, _ := newIdentity(t)
	h, err := age.GenerateHybridIdentity()
	if err != nil {
		t.Fatal(err)
	}
	hybrid := h.Recipient().String()
	for _, tt := range []struct {
		name string
		in   []string
		ok   bool
	}{
		{"one", []string{classic}, true},
		{"two", []string{classic, classic}, true},
		{"post-quantum", []string{hybrid}, true},
		{"both kinds", []string{classic, hybrid}, false},
		{"none", nil, false},
		{"too many", slices.Repeat([]string{classic}, backup.MaxRecipients+1), false},
		{"nonsense", []string{"age1qqq"}, false},
		{"a secret key", []string{h.String()}, false},
	} {
		got, err := backup.ParseRecipients(tt.in)
		if (err == nil) != tt.ok || tt.ok && len(got) != len(tt.in) {
			t.Errorf("%s: got %d, %v", tt.name, len(got), err)
		}
		if err != nil && strings.Contains(err.Error(), "AGE-SECRET") {
			t.Errorf("%s: the error repeats the key", tt.name)
		}
	}
	s := site(t, 1, 1)
	to, err := backup.ParseRecipients([]string{hybrid})
	if err != nil {
		t.Fatal(err)
	}
	ids, err := backup.ReadIdentities(strings.NewReader("# created today\n" + h.String() + "\n"))
	if err != nil {
		t.Fatal(err)
	}
	file := backUp(t, s, backup.Options{To: to, Kind: backup.Full})
	if err := verify(file, backup.Expected{}, ids...); err != nil {
		t.Errorf("post-quantum: %v", err)
	}
	if _, err := backup.ReadIdentities(strings.NewReader("AGE-SECRET-KEY-1WRONG")); err == nil ||
		strings.Contains(err.Error(), "WRONG") {
		t.Errorf("got %v, want an error that does not repeat the key", err)
	}
	texts, err := backup.ReadRecipientFile(strings.NewReader("# ours\n\n" + classic + "\n  " + hybrid + "\r\n"))
	if err != nil || !slices.Equal(texts, []string{classic, hybrid}) {
		t.Errorf("got %v, %v", texts, err)
	}
}

// What somebody has typed is the same fingerprint, whatever the case and the hyphens.
func TestParseFingerprint(t *testing.T) {
	f := backup.Fingerprint(make([]byte, 32))
	if len(f) != 29 || strings.Count(f, "-") != 5 {
		t.Errorf("got %s, want six groups of four", f)
	}
	for _, typed := range []string{f, strings.ToUpper(f), strings.ReplaceAll(f, "-", ""),
		strings.ReplaceAll(f, "-", " ") + "\n"} {
		if got, err := backup.ParseFingerprint(typed); err != nil || got != f {
			t.Errorf("%q: got %s, %v", typed, got, err)
		}
	}
	for _, wrong := range []string{"", f[:28], f + "0", strings.Repeat("u", 24), keys.Hash{}.String()} {
		if got, err := backup.ParseFingerprint(wrong); err == nil {
			t.Errorf("%q: got %s", wrong, got)
		}
	}
}

// The newest backup wins over the clock: a header has the time to the second, and who made it.
func TestHeader(t *testing.T) {
	id, _, to := newIdentity(t)
	var begun backup.Header
	before := time.Now().Truncate(time.Second)
	file := backUp(t, site(t, 2, 3), backup.Options{To: to, Kind: backup.Policy,
		Program: strings.Repeat("v", 200), Begin: func(h backup.Header) { begun = h }})
	r, err := backup.Open(bytes.NewReader(file), id)
	if err != nil {
		t.Fatal(err)
	}
	h := r.Header
	if h.Made.Before(before) || h.Made.Nanosecond() != 0 || len(h.Program) > 64 || h.Kind != backup.Policy ||
		h.Head != 5 || h.PolicyCount != 2 || h.Fingerprint() != begun.Fingerprint() || h.Site != begun.Site {
		t.Errorf("got %+v, want as begun: %+v", h, begun)
	}
	got, err := r.Verify(t.Context(), backup.Expected{})
	if err != nil || got != (backup.Contents{Records: 2}) {
		t.Errorf("got %+v, %v", got, err)
	}
}
