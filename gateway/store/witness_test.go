package store

import (
	"context"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"
	"time"

	"latchkey/gateway/access"
	"latchkey/gateway/store/folder"
)

// awaitWitness makes an event, and waits until site.head has it while the store is open.
func awaitWitness(t *testing.T, s *Store) {
	t.Helper()
	mustAdmit(t, s, access.Attempt{Source: access.ByOperator, Operator: "root", Target: id("front")})
	path := s.opts.files().Head
	for deadline := time.Now().Add(time.Minute); ; time.Sleep(5 * time.Millisecond) {
		w, err := folder.ReadWitness(path, s.keys)
		if seq, _ := s.Head(); err == nil && w != nil && w.Open && w.Seq == seq {
			return
		}
		if time.Now().After(deadline) {
			t.Fatalf("%s: not written within a minute", path)
		}
	}
}

// A store that failed and was closed opens again, although Badger has deleted its .mem file.
func TestFailedStoreOpensAfterItsClose(t *testing.T) {
	var fail bool
	o := Options{Dir: t.TempDir(), witness: 50 * time.Millisecond, Fault: func() error {
		if fail {
			return errors.New("i/o error")
		}
		return nil
	}}
	s := buildHouse(t, o)
	awaitWitness(t, s)
	fail = true
	_, err := s.Apply(context.Background(), "test", access.Change{Put: access.Site{Zone: "UTC"}})
	if !errors.Is(err, ErrFailed) {
		t.Fatalf("got %v, want ErrFailed", err)
	}
	fail = false
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	mustOpen(t, o)
}

// When site.head cannot be written at the close, the process ends before Badger deletes the .mem
// file that site.head asks for, and the next start finds both.
func TestCloseWithoutSiteHead(t *testing.T) {
	failed := make(chan error, 1)
	o := Options{Dir: t.TempDir(), witness: 50 * time.Millisecond, Fatal: func(err error) {
		failed <- err
		runtime.Goexit() // in production the process would end here
	}}
	s := buildHouse(t, o)
	awaitWitness(t, s)
	seq := mustApply(t, s, access.Change{Put: access.Site{Zone: "UTC", Lockdown: true}})
	head := s.opts.files().Head
	text, err := os.ReadFile(head)
	for tried := false; err == nil && !tried; {
		if err = os.Remove(head); err == nil {
			err = os.Mkdir(head, 0o700) // nothing can be renamed to a folder
		}
		if tried = true; errors.Is(err, fs.ErrExist) { // it was written again in between
			err, tried = nil, false
		}
	}
	if err != nil {
		t.Fatal(err)
	}
	go func() { _ = s.Close() }()
	select {
	case err := <-failed:
		if !errors.Is(err, ErrFailed) || !strings.Contains(err.Error(), "site.head") {
			t.Errorf("got %v, want ErrFailed that names site.head", err)
		}
	case <-time.After(time.Minute):
		t.Fatal("the process would not have ended")
	}

	after := Options{Dir: filepath.Join(t.TempDir(), "after")}
	copyFolder(t, after.Dir, o.Dir)
	if err := errors.Join(os.WriteFile(after.files().Head, text, 0o600),
		s.db.Close(), s.lock.Close()); err != nil {
		t.Fatal(err)
	}
	again := mustOpen(t, after)
	if got, _ := again.Head(); got != seq || !again.Snapshot().Site.Lockdown {
		t.Errorf("got event %d, lockdown %v, want event %d and the lockdown", got,
			again.Snapshot().Site.Lockdown, seq)
	}
}
