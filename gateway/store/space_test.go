package store

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"testing"

	"github.com/dgraph-io/badger/v4"

	"latchkey/gateway/access"
)

func TestLowSpaceRefusesGrantsAndRecovers(t *testing.T) {
	ctx := context.Background()
	free := uint64(1 << 30)
	var failing error
	s := built(t, Options{Dir: t.TempDir(), Free: func() (uint64, error) { return free, failing }})
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
	if _, err := s.Apply(ctx, "test", puts(access.Person{ID: id("eve"), Name: "eve"})...); !errors.Is(err, ErrNoSpace) {
		t.Errorf("apply: got %v, want ErrNoSpace", err)
	}
	if got := mustAdmit(t, s, denied(2)); got.Decision.Reason != access.ReasonUnknownCard {
		t.Errorf("got %+v, want it denied and recorded", got)
	}
	mustRecord(t, s, access.Event{Kind: access.EventReport})
	for _, nearly := range []func(){func() { free = defaultMinFree/4 - 1 }, func() { failing = errors.New("i/o error") }} {
		nearly()
		_, errAdmit := s.Admit(ctx, denied(3))
		_, errRecord := s.Record(ctx, access.Event{Kind: access.EventReport})
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

func TestLocked(t *testing.T) {
	o := Options{Dir: t.TempDir()}
	s := mustOpen(t, o)
	if _, err := Open(context.Background(), o); !errors.Is(err, ErrLocked) {
		t.Errorf("got %v, want ErrLocked", err)
	}
	closeChecked(t, s)
	db, err := badger.Open(badgerOptions(o.withDefaults()))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := Open(context.Background(), o); !errors.Is(err, ErrLocked) {
		t.Errorf("held by a tool of Badger's: got %v, want ErrLocked", err)
	}
	if err := db.Close(); err != nil {
		t.Fatal(err)
	}
	mustOpen(t, o)
}

func TestNewerFormatIsRefused(t *testing.T) {
	o := Options{Dir: t.TempDir()}
	s := mustOpen(t, o)
	closeChecked(t, s)
	raw(t, o.Dir, func(txn *badger.Txn) error {
		plain, err := encode(1, formatRecord{Format: formatVersion + 1})
		if err != nil {
			return err
		}
		return txn.Set([]byte(formatKey), s.sealer.seal(formatKey, plain))
	})
	if _, err := Open(context.Background(), o); !errors.Is(err, ErrFormat) {
		t.Errorf("got %v, want ErrFormat", err)
	}
}

func TestRecordOfNewerVersionIsRefused(t *testing.T) {
	o := Options{Dir: t.TempDir()}
	s := built(t, o)
	closeChecked(t, s)
	key := idKey(kindPerson, id("ann"))
	raw(t, o.Dir, func(txn *badger.Txn) error { return txn.Set([]byte(key), s.sealer.seal(key, []byte{2, 0xa0})) })
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
	s := built(t, Options{Dir: t.TempDir(), Free: func() (uint64, error) { return free, failing }})
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
		t.Errorf("got %d used, %v: a hole in a file takes nothing", after, err)
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
