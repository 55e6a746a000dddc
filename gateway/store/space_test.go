package store

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"sync/atomic"
	"testing"

	"github.com/dgraph-io/badger/v4"

	"latchkey/coapres/wire"
	"latchkey/gateway/access"
	"latchkey/gateway/access/edit"
	"latchkey/gateway/audit"
	"latchkey/gateway/store/engine"
	"latchkey/gateway/store/folder"
	"latchkey/gateway/store/record"
)

func TestLowSpaceRefusesGrantsAndRecovers(t *testing.T) {
	ctx := context.Background()
	free := uint64(1 << 30)
	var failing error
	s := buildHouse(t, Options{Dir: t.TempDir(), Free: func() (uint64, error) { return free, failing }})
	denied := func(n uint64) access.Attempt {
		a := scan(s, n)
		a.Credential[0] ^= 1
		return a
	}
	free = defaultMinFree - 1
	adm, err := s.Admit(ctx, scan(s, 1))
	if !errors.Is(err, ErrNoSpace) || adm != (Admission{}) {
		t.Errorf("grant: got %+v, %v, want ErrNoSpace", adm, err)
	}
	if _, err := s.Apply(ctx, "test", putAll(access.Person{ID: id("eve"), Name: "eve"})...); !errors.Is(err,
		ErrNoSpace) {
		t.Errorf("apply: got %v, want ErrNoSpace", err)
	}
	if got := mustAdmit(t, s, denied(2)); got.Decision.Reason != access.ReasonUnknownCard {
		t.Errorf("got %+v, want it denied and recorded", got)
	}
	mustRecord(t, s, audit.Event{Kind: audit.EventReport})
	for _, nearly := range []func(){func() { free = defaultMinFree/4 - 1 },
		func() { failing = errors.New("i/o error") }} {
		nearly()
		_, errAdmit := s.Admit(ctx, denied(3))
		_, errRecord := s.Record(ctx, audit.Event{Kind: audit.EventReport})
		if !errors.Is(errAdmit, ErrNoSpace) || !errors.Is(errRecord, ErrNoSpace) {
			t.Errorf("got %v and %v, want ErrNoSpace", errAdmit, errRecord)
		}
	}
	free, failing = defaultMinFree, nil
	if got := mustAdmit(t, s, scan(s, 3)); !got.Decision.Granted {
		t.Errorf("got %+v, want granted again", got)
	}
}

func TestLowSpaceOpensNothing(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "data")
	_, err := Open(context.Background(), Options{Dir: dir, MinFree: 1 << 62})
	if !errors.Is(err, ErrNoSpace) {
		t.Errorf("got %v, want ErrNoSpace", err)
	}
	if entries, _ := os.ReadDir(dir); len(entries) != 0 {
		t.Errorf("got %v, want an empty folder", entries)
	}
}

func restriction(n int) access.Change {
	return access.Change{Put: access.Person{ID: id(fmt.Sprint("person ", n)), Name: fmt.Sprint("person ", n),
		Suspended: true}}
}

// makeCrowd makes a store with n persons who can be suspended.
func makeCrowd(t *testing.T, o Options, n int) *Store {
	t.Helper()
	s := buildHouse(t, o)
	for from := 0; from < n; from += MaxChanges {
		var changes []access.Change
		for i := from; i < min(n, from+MaxChanges); i++ {
			c := restriction(i)
			p := c.Put.(access.Person)
			p.Suspended = false
			changes = append(changes, access.Change{Put: p})
		}
		mustApply(t, s, changes...)
	}
	return s
}

func TestRestrictionsAreKeptOnAFullDisk(t *testing.T) {
	const many = 1200
	ctx := context.Background()
	var full atomic.Bool
	o := Options{Dir: t.TempDir(), ballast: 48 << 20, Free: func() (uint64, error) {
		if full.Load() {
			return 0, nil
		}
		return 1 << 30, nil
	}}
	s := makeCrowd(t, o, many)
	full.Store(true)
	for i := range many {
		if _, err := s.Apply(ctx, "test", restriction(i)); err != nil {
			t.Fatalf("restriction %d: %v", i, err)
		}
	}
	mustApply(t, s, access.Change{Put: access.Site{Zone: "Europe/Berlin", Lockdown: true}})
	if _, err := s.Apply(ctx, "test", access.Change{Put: access.Site{Zone: "Europe/Berlin"}}); !errors.Is(err,
		ErrNoSpace) {
		t.Errorf("end of the lockdown: got %v, want ErrNoSpace", err)
	}
	if _, err := s.Apply(ctx, "test", putAll(access.Person{ID: id("eve"), Name: "eve"})...); !errors.Is(err,
		ErrNoSpace) {
		t.Errorf("a new person: got %v, want ErrNoSpace", err)
	}
	lock := scan(s, 0)
	lock.Source, lock.Operator, lock.Device, lock.Credential, lock.Tail, lock.Action = access.ByOperator,
		"lockdown", "", access.CredentialID{}, "", wire.Lock
	if got := mustAdmit(t, s, lock); !got.Decision.Granted {
		t.Errorf("lock: got %+v, want it granted", got.Decision)
	}
	s = reopen(t, s) // while the disk is full
	if p := s.Snapshot(); !p.Site.Lockdown || !p.Persons[id("person 1199")].Suspended {
		t.Error("a restriction is lost after a restart")
	}
}

func TestRestrictionsActInMemoryWhenNothingIsLeft(t *testing.T) {
	ctx := context.Background()
	var full atomic.Bool
	o := Options{Dir: t.TempDir(), Hold: true, Free: func() (uint64, error) {
		if full.Load() {
			return 0, nil
		}
		return 1 << 30, nil
	}}
	s := makeCrowd(t, o, 2)
	before, _ := s.Head()
	full.Store(true)
	for i := range 2 {
		if _, err := s.Apply(ctx, "test", restriction(i)); !errors.Is(err, edit.ErrNotDurable) {
			t.Errorf("got %v, want ErrNotDurable", err)
		}
	}
	if _, err := s.Apply(ctx, "test",
		access.Change{Put: access.Person{ID: id("person 0"), Name: "person 0"}}); !errors.Is(err,
		ErrNoSpace) {
		t.Errorf("no longer suspended: got %v, want ErrNoSpace", err)
	}
	if p := s.Snapshot(); !p.Persons[id("person 0")].Suspended || !p.Persons[id("person 1")].Suspended {
		t.Error("the restrictions are not in effect")
	}
	if seq, _ := s.Head(); seq != before {
		t.Errorf("got event %d, want none", seq)
	}
	if _, err := s.Admit(ctx, scan(s, 1)); !errors.Is(err, ErrNoSpace) {
		t.Errorf("got %v, want ErrNoSpace", err)
	}
	full.Store(false) // the writer must notice it without a request
	waitFor(t, func() bool { seq, _ := s.Head(); return seq == before+2 })
	s = reopen(t, s)
	if p := s.Snapshot(); !p.Persons[id("person 0")].Suspended || !p.Persons[id("person 1")].Suspended {
		t.Error("the restrictions are lost after a restart")
	}
	if got := mustAdmit(t, s, scan(s, 1)); !got.Decision.Granted {
		t.Errorf("got %+v, want granted again", got)
	}
}

// A process that soon ends must not say that a restriction is in effect, because the restriction
// would end with the process.
func TestCommandHoldsNothingInMemory(t *testing.T) {
	full := false
	s := makeCrowd(t, Options{Dir: t.TempDir(), Free: func() (uint64, error) {
		if full {
			return 0, nil
		}
		return 1 << 30, nil
	}}, 1)
	full = true
	if _, err := s.Apply(context.Background(), "test", restriction(0)); !errors.Is(err, ErrNoSpace) ||
		errors.Is(err, edit.ErrNotDurable) {
		t.Errorf("got %v, want ErrNoSpace", err)
	}
}

func TestLocked(t *testing.T) {
	o := Options{Dir: t.TempDir()}
	s := mustOpen(t, o)
	if _, err := Open(context.Background(), o); !errors.Is(err, ErrLocked) {
		t.Errorf("got %v, want ErrLocked", err)
	}
	checkAndClose(t, s)
	db, err := badger.Open(engine.MakeOptions(engine.Config{Dir: o.files().DB,
		MemTable: engine.DefaultMemTable}))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := Open(context.Background(), o); !errors.Is(err, ErrLocked) {
		t.Errorf("locked by a tool of Badger's: got %v, want ErrLocked", err)
	}
	if err := db.Close(); err != nil {
		t.Fatal(err)
	}
	mustOpen(t, o)
}

func TestNewerFormatIsRefused(t *testing.T) {
	o := Options{Dir: t.TempDir()}
	s := mustOpen(t, o)
	checkAndClose(t, s)
	editRaw(t, o.Dir, func(txn *badger.Txn) error {
		plain, err := record.Encode(1, record.FormatRecord{Format: folder.FormatVersion + 1})
		if err != nil {
			return err
		}
		return txn.Set([]byte(record.FormatKey), s.sealer.Seal(string(record.FormatKey), plain))
	})
	if _, err := Open(context.Background(), o); !errors.Is(err, ErrFormat) {
		t.Errorf("got %v, want ErrFormat", err)
	}
}

func TestRecordOfNewerVersionIsRefused(t *testing.T) {
	o := Options{Dir: t.TempDir()}
	s := buildHouse(t, o)
	checkAndClose(t, s)
	key := record.MakeKey(record.KindPerson, id("ann"))
	editRaw(t, o.Dir, func(txn *badger.Txn) error {
		return txn.Set([]byte(key), s.sealer.Seal(string(key), []byte{2, 0xa0}))
	})
	_, err := Open(context.Background(), o)
	if !errors.Is(err, ErrFormat) {
		t.Fatalf("got %v, want ErrFormat", err)
	}
	wantNamed(t, err.Error(), key.String())
}

func TestOpenNeedsAFolder(t *testing.T) {
	if _, err := Open(context.Background(), Options{}); err == nil {
		t.Error("got no error for no folder")
	}
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	if _, err := Open(ctx, Options{InMemory: true}); !errors.Is(err, context.Canceled) {
		t.Errorf("got %v, want context.Canceled", err)
	}
}
func TestSpace(t *testing.T) {
	free, failing := uint64(7<<30), error(nil)
	s := buildHouse(t, Options{Dir: t.TempDir(), Free: func() (uint64, error) { return free, failing }})
	before, got, least, err := s.Space()
	if err != nil || got != free || least != defaultMinFree || before < 4096 || before > 64<<20 {
		t.Errorf("got %d used, %d free, %d at least, %v", before, got, least, err)
	}
	if err := os.WriteFile(filepath.Join(s.opts.Dir, "more"), make([]byte, 1<<20), 0o600); err != nil {
		t.Fatal(err)
	}
	if after, _, _, err := s.Space(); err != nil || after < before+1<<20 {
		t.Errorf("got %d used, %v, want a megabyte more than %d", after, err, before)
	}
	sparse, err := os.Create(filepath.Join(s.opts.Dir, "hole"))
	if err != nil {
		t.Fatal(err)
	}
	if err := errors.Join(sparse.Truncate(1<<30), sparse.Close()); err != nil {
		t.Fatal(err)
	}
	if after, _, _, err := s.Space(); err != nil || after > before+2<<20 {
		t.Errorf("got %d used, %v, want that a hole in a file takes no space", after, err)
	}
	failing = errors.New("i/o error")
	if _, _, _, err := s.Space(); !errors.Is(err, failing) {
		t.Errorf("got %v, want %v", err, failing)
	}
	failing = nil
	if _, _, _, err := mustOpen(t, Options{InMemory: true}).Space(); !errors.Is(err, errors.ErrUnsupported) {
		t.Errorf("in memory: got %v, want that it has none", err)
	}
}

// Only a request that came before the space was measured is refused for lack of space, not those
// that came later into the same batch.
func TestSpaceIsThereForWhoeverAsksAfterwards(t *testing.T) {
	ctx := context.Background()
	var s *Store
	var full atomic.Bool
	second := make(chan error, 1)
	s = buildHouse(t, Options{Dir: t.TempDir(), Free: func() (uint64, error) {
		if !full.CompareAndSwap(true, false) {
			return 1 << 30, nil
		}
		go func() { // the writer gets its answer soon, and has not used it yet
			_, err := s.Apply(ctx, "test", putAll(access.Person{ID: id("eve"), Name: "eve"})...)
			second <- err
		}()
		waitFor(t, func() bool { return len(s.queue) == 1 })
		return 0, nil
	}})
	full.Store(true)
	if _, err := s.Apply(ctx, "test", putAll(access.Person{ID: id("bob"), Name: "bob"})...); !errors.Is(err,
		ErrNoSpace) {
		t.Errorf("before: got %v, want ErrNoSpace", err)
	}
	if err := <-second; err != nil {
		t.Errorf("afterwards: got %v, want the change made", err)
	}
}
