package backup_test

import (
	"bytes"
	"context"
	"errors"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"latchkey/gateway/store/backup"
	"latchkey/gateway/store/record"
)

// seeds are backups of each kind.
func seeds(f *testing.F) (id backup.Identity, files [][]byte) {
	id, _, to := newIdentity(f)
	s := site(f, 2, 9)
	for _, o := range []backup.Options{{Kind: backup.Full}, {Kind: backup.Policy},
		{Kind: backup.Events, From: 3}} {
		o.To = to
		files = append(files, backUp(f, s, o))
	}
	return id, files
}

// No content of a backup that was opened makes the reader panic, and one that is accepted is
// written again as it was.
func FuzzPlain(f *testing.F) {
	id, files := seeds(f)
	keys := siteKeys(f, files[0], id)
	for _, file := range files {
		opened, err := backup.OpenLayers(bytes.NewReader(file), id)
		if err != nil {
			f.Fatal(err)
		}
		plain, err := io.ReadAll(opened)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(plain)
		for _, end := range []int{0, 1, 17, 100, 230, len(plain) / 2, len(plain) - 1} {
			f.Add(plain[:end])
		}
		for at := range plain {
			if at%7 == 0 {
				bad := bytes.Clone(plain)
				bad[at] ^= 0x11
				f.Add(bad)
			}
		}
	}
	f.Fuzz(func(t *testing.T, plain []byte) {
		r, err := backup.OpenPlain(plain)
		if err != nil {
			return
		}
		var again bytes.Buffer
		err = backup.WritePlain(&again, r.Header, keys, func(put func(record.Key, []byte) error) error {
			for first := true; ; first = false {
				key, p, err := r.Next()
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
				if err := put(key, p); err != nil {
					return err
				}
			}
		})
		if err == nil && r.Header.Signer.Equal(backup.SignerOf(keys)) && !bytes.Equal(again.Bytes(), plain) {
			t.Errorf("got %d bytes, want the same %d", again.Len(), len(plain))
		}
		if r, err = backup.OpenPlain(plain); err != nil {
			t.Fatal(err)
		}
		_, _ = r.Verify(context.Background(), backup.Expected{Head: &backup.Head{Seq: 4}})
	})
}

// No file makes the reader panic.
func FuzzOpen(f *testing.F) {
	id, files := seeds(f)
	for _, file := range files {
		f.Add(file)
		for _, end := range []int{0, 10, 100, 200, len(file) / 2, len(file) - 1} {
			f.Add(file[:end])
		}
	}
	f.Fuzz(func(t *testing.T, file []byte) {
		if err := verify(file, backup.Expected{}, id); err == nil && len(file) < 200 {
			t.Error("a backup of so few bytes was accepted")
		}
	})
}

// The seeds alone reach most statements of the reader.
func TestSeedsReachTheReader(t *testing.T) {
	profile := filepath.Join(t.TempDir(), "profile")
	out, err := exec.Command("go", "test", "-count=1", "-run", "^Fuzz", "-coverprofile", profile,
		".").CombinedOutput()
	if err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	b, err := os.ReadFile(profile)
	if err != nil {
		t.Fatal(err)
	}
	all, reached := 0, 0
	for line := range strings.Lines(string(b)) { // file.go:from,to statements times
		file, rest, _ := strings.Cut(line, ":")
		fields := strings.Fields(rest)
		if name := filepath.Base(file); len(fields) != 3 || name != "read.go" && name != "verify.go" {
			continue
		}
		n, err := strconv.Atoi(fields[1])
		if err != nil {
			t.Fatalf("%s: %v", line, err)
		}
		if all += n; fields[2] != "0" {
			reached += n
		}
	}
	t.Logf("%d of %d statements", reached, all)
	if all == 0 || 100*reached < 78*all {
		t.Errorf("the seeds reach %d of %d statements, want 78 %%", reached, all)
	}
}
