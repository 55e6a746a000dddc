package store

import (
	"io/fs"
	"testing"

	"latchkey/gateway/audit"
)

func walk(t testing.TB, fsys fs.FS, f func(path string, info fs.FileInfo, data []byte)) {
	t.Helper()
	err := fs.WalkDir(fsys, ".", func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		info, err := d.Info()
		if err != nil {
			return err
		}
		data, err := fs.ReadFile(fsys, path)
		f(path, info, data)
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
}

func TestSmoke(t *testing.T) {
	for _, dir := range []string{"", t.TempDir()} {
		s := buildHouse(t, Options{Dir: dir})
		adm := mustAdmit(t, s, scan(s, 1))
		if !adm.Decision.Granted || adm.Seq != 2 || adm.Last != 1 {
			t.Errorf("got %+v", adm)
		}
		mustRecord(t, s, audit.Event{Kind: audit.EventReceipt, Cause: adm.Seq, Outcome: audit.OutcomeDone})
		if dir != "" {
			s = reopen(t, s)
		}
		adm = mustAdmit(t, s, scan(s, 1))
		if !adm.Duplicate || adm.Outcome != audit.OutcomeDone {
			t.Errorf("got %+v", adm)
		}
	}
}
