package store

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"latchkey/gateway/store/folder"
	"latchkey/gateway/store/seal"
	"latchkey/keys"
)

func TestSiteKeyRefusalsTouchNothing(t *testing.T) {
	write := func(t *testing.T, path, text string, mode os.FileMode) {
		t.Helper()
		if err := os.WriteFile(path, []byte(text), mode); err != nil {
			t.Fatal(err)
		}
		if err := os.Chmod(path, mode); err != nil {
			t.Fatal(err)
		}
	}
	tests := []struct {
		name   string
		tamper func(t *testing.T, f folder.Files)
		want   error
		text   string
	}{
		{"key missing", func(t *testing.T, f folder.Files) { remove(t, f.Key) }, ErrSiteKey, "missing"},
		{"key and check missing", func(t *testing.T, f folder.Files) { remove(t, f.Key); remove(t, f.Check) },
			ErrSiteKey, "missing"},
		{"key missing before the database was made",
			func(t *testing.T, f folder.Files) { remove(t, f.Key); remove(t, f.DB) }, ErrSiteKey, "missing"},
		{"database missing", func(t *testing.T, f folder.Files) { remove(t, f.DB) }, ErrCorrupt,
			"latchkey store new"},
		{"another key", func(t *testing.T, f folder.Files) {
			write(t, f.Key, seal.NewSiteKey().Text(), 0o600)
		}, ErrSiteKey,
			"not the key of this store"},
		{"key readable by others", func(t *testing.T, f folder.Files) {
			if err := os.Chmod(f.Key, 0o640); err != nil {
				t.Fatal(err)
			}
		}, ErrSiteKey, "chmod 600"},
		{"key malformed", func(t *testing.T, f folder.Files) {
			write(t, f.Key, "latchkey-site-key-1 nonsense\n", 0o600)
		}, ErrSiteKey,
			"52 characters"},
		{"key in upper case", func(t *testing.T, f folder.Files) {
			b, _ := os.ReadFile(f.Key)
			write(t, f.Key, strings.ToUpper(string(b)), 0o600)
		}, ErrSiteKey, "52 characters"},
		{"key without line end", func(t *testing.T, f folder.Files) {
			b, _ := os.ReadFile(f.Key)
			write(t, f.Key, strings.TrimSpace(string(b)), 0o600)
		}, ErrSiteKey, "canonical"},
		{"key empty", func(t *testing.T, f folder.Files) { write(t, f.Key, "", 0o600) }, ErrSiteKey,
			"52 characters"},
		{"check missing", func(t *testing.T, f folder.Files) { remove(t, f.Check) }, ErrSiteKey,
			"site.check is missing"},
		{"check malformed", func(t *testing.T, f folder.Files) { write(t, f.Check, "?", 0o600) }, ErrCorrupt,
			"site.check"},
		{"newer format", func(t *testing.T, f folder.Files) {
			write(t, f.Check, fmt.Sprintf("latchkey-site-check-%d %s\n", folder.FormatVersion+1, "x"), 0o600)
		}, ErrFormat, "newer"},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			o := Options{Dir: t.TempDir()}
			checkAndClose(t, buildHouse(t, o))
			test.tamper(t, o.files())
			before := describeTree(t, o.Dir)
			_, err := Open(context.Background(), o)
			if !errors.Is(err, test.want) || !strings.Contains(err.Error(), test.text) {
				t.Errorf("got %v, want %v with %q", err, test.want, test.text)
			}
			if after := describeTree(t, o.Dir); after != before {
				t.Errorf("the folder changed:\n%s\nwas\n%s", after, before)
			}
		})
	}
}

func remove(t *testing.T, path string) {
	t.Helper()
	if err := os.RemoveAll(path); err != nil {
		t.Fatal(err)
	}
}

func TestNewStoreFiles(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "var", "latchkey")
	s := mustOpen(t, Options{Dir: dir})
	f := s.opts.files()
	for path, want := range map[string]os.FileMode{dir: 0o700, f.DB: 0o700, f.Key: 0o600, f.Check: 0o600} {
		info, err := os.Stat(path)
		if err != nil {
			t.Fatal(err)
		}
		if got := info.Mode().Perm(); got != want {
			t.Errorf("%s: got %04o, want %04o", path, got, want)
		}
	}
	entries, err := os.ReadDir(dir)
	if err != nil || len(entries) != 3 {
		t.Errorf("got %v, want site.key, site.check and db; site.head comes later", entries)
	}
}

func TestKeyFileElsewhere(t *testing.T) {
	o := Options{Dir: t.TempDir(), KeyFile: filepath.Join(t.TempDir(), "key")}
	s := reopen(t, buildHouse(t, o))
	if _, err := os.Stat(filepath.Join(o.Dir, "site.key")); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("got %v, want no key in the data folder", err)
	}
	if len(s.Snapshot().Persons) != 2 {
		t.Errorf("got %d persons, want 2", len(s.Snapshot().Persons))
	}
}

func TestCrashWhileBeingMade(t *testing.T) {
	for name, left := range map[string]func(f folder.Files) error{
		"only a temporary key": func(f folder.Files) error { return os.WriteFile(f.Key+".tmp", nil, 0o600) },
		"only the key": func(f folder.Files) error {
			return os.WriteFile(f.Key, []byte(seal.NewSiteKey().Text()), 0o600)
		},
		"key and folder": func(f folder.Files) error {
			return errors.Join(os.WriteFile(f.Key, []byte(seal.NewSiteKey().Text()), 0o600),
				os.Mkdir(f.DB, 0o700))
		},
	} {
		t.Run(name, func(t *testing.T) {
			o := Options{Dir: t.TempDir()}
			if err := left(o.files()); err != nil {
				t.Fatal(err)
			}
			reopen(t, buildHouse(t, o))
		})
	}
}

func TestDerivedKeysStayTheSame(t *testing.T) {
	o := Options{Dir: t.TempDir()}
	s := mustOpen(t, o)
	card, decoy := s.CredentialID(annUID), s.DecoySecret()
	if len(decoy) != 32 || s.CredentialID(annUID[:4]) == card {
		t.Error("want 32 bytes of decoy secret and an id of its own for each card")
	}
	decoy[0] ^= 1
	if bytes.Equal(decoy, s.DecoySecret()) {
		t.Error("the secret is not a copy: changing it changes the store's")
	}
	decoy[0] ^= 1
	s = reopen(t, s)
	if s.CredentialID(annUID) != card || !bytes.Equal(s.DecoySecret(), decoy) {
		t.Error("derived keys changed over a reopen")
	}
	other := mustOpen(t, Options{})
	if other.CredentialID(annUID) == card {
		t.Error("two sites give one card the same id")
	}
	if d := keys.Decoy(decoy, []byte("lk-0123456789")); len(d) != keys.SecretLen {
		t.Errorf("got %d bytes of decoy, want %d", len(d), keys.SecretLen)
	}
}
