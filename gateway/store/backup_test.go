package store

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"math/rand/v2"
	"net/netip"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/dgraph-io/badger/v4"

	"latchkey/gateway/access"
	"latchkey/gateway/audit"
	"latchkey/gateway/store/backup"
	"latchkey/gateway/store/record"
	"latchkey/keys"
)

// passing is a key pair for one test.
func passing(t testing.TB) (backup.Identity, []backup.Recipient) {
	t.Helper()
	id, text, err := backup.NewPassing()
	if err != nil {
		t.Fatal(err)
	}
	to, err := backup.ParseRecipients([]string{text})
	if err != nil {
		t.Fatal(err)
	}
	return id, to
}

func mustBackUp(t testing.TB, s *Store, o backup.Options) []byte {
	t.Helper()
	var b bytes.Buffer
	if err := s.WriteBackup(context.Background(), &b, o); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

// readBackup verifies a backup, and returns its header and its records.
func readBackup(t testing.TB, file []byte, id backup.Identity) (backup.Header, map[record.Key]string) {
	t.Helper()
	r, err := backup.Open(bytes.NewReader(file), id)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := r.Verify(context.Background(), backup.Expected{}); err != nil {
		t.Fatal(err)
	}
	if r, err = backup.Open(bytes.NewReader(file), id); err != nil {
		t.Fatal(err)
	}
	out := map[record.Key]string{}
	for {
		key, plain, err := r.Next()
		if errors.Is(err, io.EOF) {
			return r.Header, out
		}
		if err != nil {
			t.Fatal(err)
		}
		out[key] = string(plain)
	}
}

// dump returns all records of a store.
func dump(t testing.TB, s *Store) map[record.Key]string {
	t.Helper()
	out := map[record.Key]string{}
	err := s.db.ReadTxn(func(txn *badger.Txn) error {
		it := txn.NewIterator(badger.IteratorOptions{})
		defer it.Close()
		for it.Rewind(); it.Valid(); it.Next() {
			key := record.Key(it.Item().Key())
			plain, err := s.reader.Get(txn, key)
			if err != nil {
				return err
			}
			out[key] = string(plain)
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return out
}

// A backup of any store has each of its records as they are stored, so policy, events and head are
// those of the store; only sign-ins and addresses stay out.
func TestBackupHasWhatTheStoreHas(t *testing.T) {
	for run := range 6 {
		seed := rand.Uint64()
		t.Run(fmt.Sprint(run), func(t *testing.T) {
			t.Logf("seed %d", seed)
			r := rand.New(rand.NewPCG(seed, 0))
			c := newClock()
			s := mustOpen(t, Options{Dir: t.TempDir(), Now: c.Now, checkpoint: 1 + r.Uint64N(50)})
			if run > 0 { // the first store is empty
				fillAtRandom(t, s, c, r, 150)
			}
			if run%2 == 1 {
				head, _ := s.Head()
				if _, err := s.RemoveOldest(t.Context(), r.Uint64N(head), 1); err != nil {
					t.Fatal(err)
				}
				t.Logf("the events before %d of %d were removed", s.First(), head)
			}
			compareBackup(t, s)
		})
	}
}

// fillAtRandom makes a house and does random things in it.
func fillAtRandom(t *testing.T, s *Store, c *clock, r *rand.Rand, steps int) {
	t.Helper()
	mustApply(t, s, house(s)...)
	m := &model{counter: map[access.ID]modelCounter{}}
	for range steps {
		c.move(time.Duration(r.IntN(40)-2) * time.Second)
		switch head, hash := s.Head(); r.IntN(12) {
		default:
			a := randomAttempt(r, s, m)
			adm := mustAdmit(t, s, a)
			m.counter[a.Device] = modelCounter{adm: adm}
		case 0, 1, 2:
			_, _ = s.Apply(t.Context(), "test", randomChange(r)) // some are refused
		case 3:
			mustRecord(t, s, audit.Event{Kind: audit.EventReceipt, Cause: 1 + r.Uint64N(head),
				Outcome: audit.OutcomeDone})
		case 4:
			mustPutSignIn(t, s, "browser", "data", c.Now().Add(time.Hour))
			at := map[access.ID]netip.AddrPort{id("front-lock"): netip.MustParseAddrPort("192.0.2.7:5684")}
			if _, err := s.PutAddresses(t.Context(), at); err != nil {
				t.Fatal(err)
			}
		case 5:
			mustMoveCursor(t, s, id("hook"), audit.SinkCursor{Epoch: 1, Seq: head, Hash: hash}, letter(head))
		}
	}
}

func compareBackup(t *testing.T, s *Store) {
	t.Helper()
	id, to := passing(t)
	file := mustBackUp(t, s, backup.Options{To: to, Kind: backup.Full, Program: "test"})
	last, lastHash := s.Head()
	rd, err := backup.Open(bytes.NewReader(file), id)
	if err == nil {
		_, err = rd.Verify(t.Context(), backup.Expected{Head: &backup.Head{Seq: last, Hash: lastHash}})
	}
	if err != nil {
		t.Errorf("verify: %v", err)
	}
	h, got := readBackup(t, file, id)
	want := dump(t, s)
	maps.DeleteFunc(want, func(k record.Key, _ string) bool {
		return k.Kind() == record.KindSignIn || k.Kind() == record.KindAddress
	})
	if !maps.Equal(got, want) {
		t.Errorf("the records differ: got %d, want %d", len(got), len(want))
	}

	// The same as the domain sees it.
	var changes []access.Change
	var events []audit.Event
	for _, c := range record.Codecs.Rows {
		for _, key := range slices.Sorted(maps.Keys(got)) {
			if key.Kind() == c.Prefix() {
				rec, err := record.DecodeRecord(key, []byte(got[key]))
				if err != nil {
					t.Fatal(err)
				}
				changes = append(changes, access.Change{Put: rec})
			}
		}
	}
	for _, key := range slices.Sorted(maps.Keys(got)) {
		if key.Kind() == record.KindEvent {
			page, err := record.DecodePage(key.Seq(), []byte(got[key]))
			if err != nil {
				t.Fatal(err)
			}
			for _, ev := range page {
				events = append(events, ev.Event)
			}
		}
	}
	p, err := record.Codecs.Policy.New().With(changes...)
	if err != nil {
		t.Fatal(err)
	}
	if got, want := describePolicy(t, p), describePolicy(t, s.Snapshot()); !slices.Equal(got, want) {
		t.Errorf("policy: got %v, want %v", got, want)
	}
	if !slices.Equal(events, mustEvents(t, s, 1)) {
		t.Errorf("events: got %d, want %d", len(events), len(mustEvents(t, s, 1)))
	}
	seq, hash := s.Head()
	if h.Head != seq || h.HeadHash != hash || h.Policy != s.Digest() || h.Site != s.SiteID() ||
		h.PolicyCount != uint64(len(changes)) || h.Epoch != 1 || h.Program != "test" || h.Kind != backup.Full {
		t.Errorf("header: got %+v", h)
	}
}

// A backup is of one moment, whatever is written meanwhile, and writers do not wait for it.
func TestBackupWhileTheStoreIsWritten(t *testing.T) {
	s := buildHouse(t, Options{Dir: t.TempDir()})
	for n := range uint64(300) {
		mustAdmit(t, s, scan(s, n+1))
	}
	before, _ := s.Head()
	pid, to := passing(t)

	// Whoever takes the backup is slow: between its first byte and its end 200 scans are decided.
	begun, goOn := make(chan struct{}), make(chan struct{})
	var file bytes.Buffer
	once := sync.OnceFunc(func() { close(begun); <-goOn })
	done := make(chan error, 1)
	go func() {
		done <- s.WriteBackup(context.Background(), writerFunc(func(b []byte) (int, error) {
			once()
			return file.Write(b)
		}), backup.Options{To: to, Kind: backup.Full})
	}()
	<-begun
	for n := range uint64(200) {
		mustAdmit(t, s, scan(s, 1000+n))
	}
	mustApply(t, s, access.Change{Delete: access.Grant{ID: id("g1")}})
	close(goOn)
	if err := <-done; err != nil {
		t.Fatal(err)
	}
	h, got := readBackup(t, file.Bytes(), pid)
	if h.Head != before {
		t.Errorf("got the head %d, want %d", h.Head, before)
	}
	if _, ok := got[record.MakeKey('r', id("g1"))]; !ok {
		t.Error("the grant that was removed later is not in it")
	}
	if ev := mustEvents(t, s, before)[0]; h.HeadHash != ev.Hash {
		t.Errorf("got the hash %v, want that of event %d", h.HeadHash, before)
	}
}

type writerFunc func([]byte) (int, error)

func (f writerFunc) Write(b []byte) (int, error) { return f(b) }

// A daily backup of the policy, and increments with the events, have together what a full one has
// but for the counters.
func TestBackupInParts(t *testing.T) {
	c := newClock()
	s := mustOpen(t, Options{Dir: t.TempDir(), Now: c.Now, checkpoint: 20})
	fillAtRandom(t, s, c, rand.New(rand.NewPCG(1, 2)), 200)
	pid, to := passing(t)
	_, first := readBackup(t, mustBackUp(t, s, backup.Options{To: to, Kind: backup.Events, From: 1}), pid)
	mid, _ := s.Head()
	for range 3 { // pages of several events each, and the increment begins within one
		var wait sync.WaitGroup
		for range 64 {
			wait.Go(func() { mustRecord(t, s, audit.Event{Kind: audit.EventStop}) })
		}
		wait.Wait()
	}
	mustApply(t, s, access.Change{Put: access.Person{ID: id("zoe"), Name: "zoe"}})
	from := mid + 100
	h, later := readBackup(t, mustBackUp(t, s, backup.Options{To: to, Kind: backup.Events, From: from}), pid)
	if h.From > from || h.From+200 < from || h.To != h.Head {
		t.Errorf("got %d to %d of %d, want from the page of %d to the newest", h.From, h.To, h.Head, from)
	}
	_, between := readBackup(t, mustBackUp(t, s, backup.Options{To: to, Kind: backup.Events, From: mid + 1}),
		pid)
	_, policy := readBackup(t, mustBackUp(t, s, backup.Options{To: to, Kind: backup.Policy}), pid)
	_, full := readBackup(t, mustBackUp(t, s, backup.Options{To: to, Kind: backup.Full}), pid)
	all := map[record.Key]string{}
	for _, part := range []map[record.Key]string{first, later, between, policy} {
		maps.Copy(all, part)
	}
	maps.DeleteFunc(full, func(k record.Key, _ string) bool { return k.Kind() == record.KindCounter })
	if !maps.Equal(all, full) {
		t.Errorf("got %d records, want %d", len(all), len(full))
	}

	for _, from := range []uint64{0, h.Head + 1} {
		var b bytes.Buffer
		err := s.WriteBackup(t.Context(), &b, backup.Options{To: to, Kind: backup.Events, From: from})
		if !errors.Is(err, backup.ErrNoEvents) || b.Len() > 0 {
			t.Errorf("from %d: got %v and %d bytes", from, err, b.Len())
		}
	}
}

// A head that was kept elsewhere is compared with the chain in the file.
func TestVerifyBackupWithAHead(t *testing.T) {
	s := buildHouse(t, Options{Dir: t.TempDir()})
	for n := range uint64(5) {
		mustAdmit(t, s, scan(s, n+1))
	}
	pid, to := passing(t)
	evs := mustEvents(t, s, 1)
	newest := evs[len(evs)-1]
	other := keys.Hash{1}
	for _, tt := range []struct {
		name string
		kind backup.Kind
		from uint64
		head backup.Head
		ok   bool
	}{
		{"the newest", backup.Full, 0, backup.Head{Seq: newest.Seq, Hash: newest.Hash}, true},
		{"an older one", backup.Full, 0, backup.Head{Seq: 2, Hash: evs[1].Hash}, true},
		{"another hash of the newest", backup.Full, 0, backup.Head{Seq: newest.Seq, Hash: other}, false},
		{"another hash of an older one", backup.Full, 0, backup.Head{Seq: 2, Hash: other}, false},
		{"one that came later", backup.Full, 0, backup.Head{Seq: newest.Seq + 1, Hash: other}, false},
		{"policy only, the newest", backup.Policy, 0, backup.Head{Seq: newest.Seq, Hash: newest.Hash}, true},
		{"policy only, another hash", backup.Policy, 0, backup.Head{Seq: newest.Seq, Hash: other}, false},
		{"policy only, an older one", backup.Policy, 0, backup.Head{Seq: 2, Hash: evs[1].Hash}, false},
		{"events, one among them", backup.Events, 3, backup.Head{Seq: 4, Hash: evs[3].Hash}, true},
		{"events, one before them", backup.Events, 3, backup.Head{Seq: 1, Hash: evs[0].Hash}, false},
	} {
		file := mustBackUp(t, s, backup.Options{To: to, Kind: tt.kind, From: tt.from})
		r, err := backup.Open(bytes.NewReader(file), pid)
		if err != nil {
			t.Fatal(err)
		}
		_, err = r.Verify(t.Context(), backup.Expected{Head: &tt.head})
		if tt.ok && err != nil || !tt.ok && !errors.Is(err, backup.ErrHead) {
			t.Errorf("%s: got %v", tt.name, err)
		}
	}
}

// A closed store ends its backups, and whoever waits for one hears of it.
func TestBackupEndsWithTheStore(t *testing.T) {
	s := buildHouse(t, Options{Dir: t.TempDir()})
	_, to := passing(t)
	closing := make(chan error, 1)
	begin := sync.OnceFunc(func() {
		go func() { closing <- s.Close() }()
		<-s.quit
	})
	err := s.WriteBackup(t.Context(), writerFunc(func(b []byte) (int, error) {
		begin()
		return len(b), nil
	}), backup.Options{To: to, Kind: backup.Full})
	if !errors.Is(err, ErrClosed) {
		t.Errorf("got %v, want ErrClosed", err)
	}
	if err := <-closing; err != nil {
		t.Error(err)
	}
	if err := s.WriteBackup(t.Context(), io.Discard, backup.Options{To: to}); !errors.Is(err, ErrClosed) {
		t.Errorf("got %v, want ErrClosed", err)
	}
}
