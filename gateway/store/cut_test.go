package store

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/dgraph-io/badger/v4"

	"latchkey/gateway/access"
	"latchkey/gateway/access/sinks"
	"latchkey/gateway/audit"
	"latchkey/gateway/store/record"
	"latchkey/gateway/store/seal"
	"latchkey/keys"
)

// cutUpTo removes events until there is nothing more to remove up to that number.
func cutUpTo(t testing.TB, s *Store, to uint64) uint64 {
	t.Helper()
	for before := s.First() - 1; ; {
		seq, err := s.RemoveOldest(context.Background(), to, 400)
		if err != nil {
			t.Fatal(err)
		}
		if seq == before {
			return seq
		}
		before = seq
	}
}

// dropSinks removes the sinks of the house, which keep all events.
func dropSinks(t testing.TB, s *Store) {
	t.Helper()
	mustApply(t, s, access.Change{Delete: sinks.Sink{ID: id("hook")}},
		access.Change{Delete: sinks.Sink{ID: id("queue")}})
}

// TestCutStoreAnswersAsBefore makes the same random steps in two stores with one site key and one
// clock. Events are removed from one of them again and again. All else must stay the same: heads,
// decisions, duplicates, policies, and the events that are kept.
func TestCutStoreAnswersAsBefore(t *testing.T) {
	for run := range 8 {
		seed := rand.Uint64()
		t.Run(fmt.Sprint(run), func(t *testing.T) {
			t.Logf("seed %d", seed)
			compareCutWithWhole(t, rand.New(rand.NewPCG(seed, 0)), 150)
		})
	}
}

func compareCutWithWhole(t *testing.T, r *rand.Rand, steps int) {
	c := newClock()
	whole := Options{Dir: t.TempDir(), Now: c.Now, checkpoint: 1 + r.Uint64N(40)}
	cut := whole
	cut.Dir = t.TempDir()
	key := seal.NewSiteKey().Text()
	for _, dir := range []string{whole.Dir, cut.Dir} {
		if err := os.WriteFile(filepath.Join(dir, "site.key"), []byte(key), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	a, b := mustOpen(t, whole), mustOpen(t, cut)
	m := &model{policy: record.Codecs.Policy.New(), counter: map[access.ID]modelCounter{}}
	apply := func(changes ...access.Change) {
		_, err := a.Apply(t.Context(), "test", changes...)
		_, same := b.Apply(t.Context(), "test", changes...)
		if (err == nil) != (same == nil) {
			t.Fatalf("apply: got %v, want %v", same, err)
		}
	}
	apply(house(a)...)
	for _, s := range []*Store{a, b} {
		dropSinks(t, s)
	}
	removed := 0
	for range steps {
		c.move(time.Duration(r.IntN(40)-2) * time.Second)
		head, _ := a.Head()
		switch r.IntN(24) {
		default:
			try := randomAttempt(r, a, m)
			want, got := mustAdmit(t, a, try), mustAdmit(t, b, try)
			want.Decided, want.Durable, got.Decided, got.Durable = time.Time{}, time.Time{}, time.Time{}, time.Time{}
			if got != want {
				t.Fatalf("attempt %+v:\ngot  %+v\nwant %+v", try, got, want)
			}
			if try.Device != "" {
				m.counter[try.Device] = modelCounter{adm: want}
			}
		case 0, 1, 2:
			ev := audit.Event{Kind: audit.EventReceipt, Cause: 1 + r.Uint64N(head), Outcome: audit.OutcomeDone}
			if ev.Cause%2 == 0 {
				ev.Outcome = audit.OutcomeOffline
			}
			mustRecord(t, a, ev)
			mustRecord(t, b, ev)
		case 3, 4:
			apply(randomChange(r))
		case 5:
			site := a.Snapshot().Site
			site.TimeTrusted = head
			apply(access.Change{Put: site})
		case 6, 7, 8:
			before := b.First()
			cutUpTo(t, b, r.Uint64N(head+2))
			if removed += int(b.First() - before); r.IntN(2) == 0 {
				b = reopen(t, b)
			}
		}
	}
	cutUpTo(t, b, r.Uint64N(1+uint64(steps)/2))
	for range 2 {
		compareStores(t, b, a)
		if err := b.Verify(t.Context()); err != nil {
			t.Error(err)
		}
		b = reopen(t, b)
	}
	if removed == 0 {
		t.Error("nothing was removed")
	}
	t.Logf("%d events were removed of %d", b.First()-1, len(mustEvents(t, a, 1)))
}

// compareStores compares what the readers of a store see of it with another, but for the events that
// were removed.
func compareStores(t *testing.T, got, want *Store) {
	t.Helper()
	seq, hash := got.Head()
	if s, h := want.Head(); s != seq || h != hash {
		t.Errorf("got the head %d %v, want %d %v", seq, hash, s, h)
	}
	at, ok := got.LastEventAt()
	if w, is := want.LastEventAt(); !w.Equal(at) || ok != is {
		t.Errorf("got the last event at %v, want %v", at, w)
	}
	if got.Digest() != want.Digest() {
		t.Error("the policies differ")
	}
	old, kept := mustEvents(t, want, got.First()), mustEvents(t, got, 0)
	for i := range min(len(old), len(kept)) {
		if old[i] != kept[i] {
			t.Fatalf("got the event\n%+v\nwant\n%+v", kept[i], old[i])
		}
	}
	if len(old) != len(kept) {
		t.Errorf("got %d events, want %d", len(kept), len(old))
	}
}

// fillHouse makes a store with a house without sinks and so many reports, of which each is a page.
func fillHouse(t testing.TB, o Options, reports int) *Store {
	t.Helper()
	s := buildHouse(t, o)
	dropSinks(t, s)
	for i := range reports {
		mustRecord(t, s, audit.Event{Kind: audit.EventReport, Detail: fmt.Sprint("report ", i)})
	}
	return s
}

func TestTamperedCutIsNamed(t *testing.T) {
	o := Options{Dir: t.TempDir(), Now: newClock().Now, checkpoint: 4}
	s := fillHouse(t, o, 30)
	whole := map[record.Key][]byte{}
	keep := func(s *Store) {
		checkAndClose(t, s)
		for key, value := range readRaw(t, o.Dir) {
			whole[key] = value
		}
	}
	keep(s)
	s = mustOpen(t, o)
	cutUpTo(t, s, 10)
	keep(s)
	earlier := whole[record.CutKey]
	s = mustOpen(t, o)
	cutUpTo(t, s, 20)
	last, _ := s.Head()
	checkAndClose(t, s)
	now := readRaw(t, o.Dir)

	decode := func() (record.Cut, seal.Sealer) {
		plain, err := s.sealer.Open(string(record.CutKey), now[record.CutKey])
		if err != nil {
			t.Fatal(err)
		}
		c, err := record.DecodeCut(plain, s.keys.SigningPublic())
		if err != nil {
			t.Fatal(err)
		}
		return c, s.sealer
	}
	forge := func(edit func(c *record.Cut), key seal.SiteKey) []byte {
		c, sealer := decode()
		edit(&c)
		plain, err := c.Encode(key.SigningKey())
		if err != nil {
			t.Fatal(err)
		}
		return sealer.Seal(string(record.CutKey), plain)
	}
	own, err := seal.ParseSiteKey(readText(t, filepath.Join(o.Dir, "site.key")))
	if err != nil {
		t.Fatal(err)
	}
	put := func(key record.Key, value []byte) func(*badger.Txn) error {
		return func(txn *badger.Txn) error { return txn.Set([]byte(key), value) }
	}
	flipped := append([]byte(nil), now[record.CutKey]...)
	flipped[len(flipped)/2] ^= 1
	const statement = "statement of removed events"
	for name, test := range map[string]struct {
		tamper func(*badger.Txn) error
		want   string
		opens  bool // only the verification of the whole chain finds it
	}{
		"flipped byte": {put(record.CutKey, flipped), statement, false},
		"of another site": {put(record.CutKey, forge(func(*record.Cut) {}, seal.NewSiteKey())),
			"not signed by this site", false},
		"removed": {func(txn *badger.Txn) error { return txn.Delete([]byte(record.CutKey)) },
			statement + ": missing", false},
		"an earlier put back": {put(record.CutKey, earlier), "about the events up to 10", false},
		"another hash": {put(record.CutKey, forge(func(c *record.Cut) { c.Hash[0] ^= 1 }, own)),
			"event 21: does not follow event 20", false},
		"more than removed": {put(record.CutKey, forge(func(c *record.Cut) { c.Seq++ }, own)), statement, false},
		"another policy":    {put(record.CutKey, forge(func(c *record.Cut) { c.Policy[0] ^= 1 }, own)), statement, false},
		"page removed at the border": {func(txn *badger.Txn) error { return txn.Delete([]byte(record.EventKey(21))) },
			"event 21: missing", false},
		"page put back at the border": {put(record.EventKey(20), whole[record.EventKey(20)]),
			"event 20: it was removed and is back", true},
		"first page put back": {put(record.EventKey(1), whole[record.EventKey(1)]),
			"event 1: it was removed and is back", true},
		"earlier head and statement": {func(txn *badger.Txn) error {
			return errors.Join(put(record.CutKey, earlier)(txn), put(record.HeadKey, whole[record.HeadKey])(txn))
		}, "event 11: missing", false},
	} {
		t.Run(name, func(t *testing.T) {
			defer editRaw(t, o.Dir, func(txn *badger.Txn) error {
				for key := range listRaw(txn) {
					if _, ok := now[key]; !ok {
						if err := txn.Delete([]byte(key)); err != nil {
							return err
						}
					}
				}
				for key, value := range now {
					if err := txn.Set([]byte(key), value); err != nil {
						return err
					}
				}
				return nil
			})
			editRaw(t, o.Dir, test.tamper)
			if !test.opens {
				wantNamed(t, openRefused(t, o), test.want)
				return
			}
			s, err := Open(t.Context(), o)
			if err != nil {
				t.Fatal(err)
			}
			defer func() { _ = s.Close() }()
			err = s.Verify(t.Context())
			if !errors.Is(err, ErrCorrupt) {
				t.Fatalf("got %v, want ErrCorrupt", err)
			}
			wantNamed(t, err.Error(), test.want)
		})
	}
	s = mustOpen(t, o)
	if got, _ := s.Head(); got != last {
		t.Errorf("got the head %d, want %d", got, last)
	}
	if err := s.Verify(t.Context()); err != nil {
		t.Error(err)
	}
}

func readText(t *testing.T, path string) string {
	t.Helper()
	b, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

// The statement is noticed while the store is open, too.
func TestVerifyFindsATamperedCut(t *testing.T) {
	s := fillHouse(t, Options{}, 20)
	cutUpTo(t, s, 12)
	var was []byte
	if err := s.db.Update(func(txn *badger.Txn) error {
		was = getRaw(t, txn, record.CutKey)
		return txn.Delete([]byte(record.CutKey))
	}); err != nil {
		t.Fatal(err)
	}
	err := s.Verify(t.Context())
	if !errors.Is(err, ErrCorrupt) {
		t.Fatalf("got %v, want ErrCorrupt", err)
	}
	wantNamed(t, err.Error(), "statement of removed events: missing")
	if err := s.db.Update(func(txn *badger.Txn) error { return txn.Set([]byte(record.CutKey), was) }); err != nil {
		t.Fatal(err)
	}
}

func TestCutKeepsWhatIsNeeded(t *testing.T) {
	c := newClock()
	s := fillHouse(t, Options{Now: c.Now, checkpoint: 1000}, 30)
	head, _ := s.Head()
	// The newest event stays, because the counter records are about it.
	policyAt := s.now.Load().head.PolicyAt
	if got := cutUpTo(t, s, head+5); got != head-1 {
		t.Errorf("got %d removed, want all but the newest of %d", got, head)
	}
	if c := s.now.Load().cut; c.PolicyAt != policyAt || c.Policy != s.Digest() {
		t.Errorf("got the policy event %d, %v, want %d, %v", c.PolicyAt, c.Policy, policyAt, s.Digest())
	}
	if err := s.Verify(t.Context()); err != nil {
		t.Error(err)
	}

	sink := sinks.Sink{ID: id("hook"), Name: "hook", Protocol: sinks.NATS, From: head + 3}
	sink.Endpoint.URL = "nats://127.0.0.1"
	mustApply(t, s, putAll(sink)...)
	for range 10 {
		mustRecord(t, s, audit.Event{Kind: audit.EventReport})
	}
	if got := cutUpTo(t, s, 1000); got != head+1 {
		t.Errorf("got %d removed, want up to %d: a sink begins at %d", got, head+1, sink.From)
	}
	mustMoveCursor(t, s, sink.ID, audit.SinkCursor{Epoch: 1, Seq: head + 8, Hash: keys.Hash{1}},
		audit.DeadLetter{Seq: head + 6, Why: "no", Tries: 1, At: c.Now()})
	if got := cutUpTo(t, s, 1000); got != head+5 {
		t.Errorf("got %d removed, want up to %d: a dead letter is about %d", got, head+5, head+6)
	}
	holds, err := s.Holds(t.Context())
	want := Hold{Sink: sink.ID, First: head + 6, Owed: head + 6}
	if err != nil || len(holds) != 2 || holds[1] != want {
		t.Errorf("got %+v, %v, want %+v", holds, err, want)
	}
	sink.From = head + 8 // the sink does without
	mustApply(t, s, putAll(sink)...)
	if got := cutUpTo(t, s, 1000); got != head+7 {
		t.Errorf("got %d removed, want up to %d, before the cursor's event", got, head+7)
	}
	if left := mustDeadLetters(t, s, sink.ID); len(left) > 0 {
		t.Errorf("got %+v, want that a dead letter goes with its event", left)
	}
	if got := s.Removed(); got.Before != head+8 || !got.At.Equal(c.Now()) || got.Days != 400 {
		t.Errorf("got %+v", got)
	}
}

// A site.head that could not be written for long may name an event that was removed since.
func TestWitnessOfARemovedEvent(t *testing.T) {
	o := Options{Dir: t.TempDir()}
	s := fillHouse(t, o, 10)
	checkAndClose(t, s)
	head := o.files().Head
	old := readText(t, head)
	for _, to := range []uint64{12, 30} { // up to that very event, and further
		s = mustOpen(t, o)
		for range 15 {
			mustRecord(t, s, audit.Event{Kind: audit.EventReport})
		}
		if got := cutUpTo(t, s, to); got != to {
			t.Fatalf("got %d removed, want %d", got, to)
		}
		checkAndClose(t, s)
		if err := os.WriteFile(head, []byte(old), 0o600); err != nil {
			t.Fatal(err)
		}
		s = mustOpen(t, o)
		checkAndClose(t, s)
	}
}

func TestHeadOfARemovedEvent(t *testing.T) {
	s := fillHouse(t, Options{}, 20)
	evs := mustEvents(t, s, 1)
	cutUpTo(t, s, 12)
	verify := func(seq uint64, flip byte) error {
		hash := evs[seq-1].Hash
		hash[0] ^= flip
		return s.VerifyHead(t.Context(), seq, hash)
	}
	if err := errors.Join(verify(12, 0), verify(13, 0), verify(20, 0)); err != nil {
		t.Error(err)
	}
	if err := verify(12, 1); !errors.Is(err, ErrCorrupt) {
		t.Errorf("got %v, want ErrCorrupt", err)
	}
	if err := verify(5, 0); !errors.Is(err, access.ErrInvalid) || !strings.Contains(err.Error(), "from 12 on") {
		t.Errorf("got %v, want a sentence that says which heads can be checked", err)
	}
}

func TestEventsBeginAtTheFirstKept(t *testing.T) {
	c := newClock()
	s := fillHouse(t, Options{Now: c.Now}, 20)
	last, _ := s.Head()
	cutUpTo(t, s, 12)
	for name, get := range map[string]func() ([]audit.Event, error){
		"from 0":     func() ([]audit.Event, error) { return s.Events(t.Context(), 0, 100) },
		"from 5":     func() ([]audit.Event, error) { return s.Events(t.Context(), 5, 100) },
		"the newest": func() ([]audit.Event, error) { return s.Newest(t.Context(), 100) },
		"since":      func() ([]audit.Event, error) { return s.EventsSince(t.Context(), time.Time{}, 100) },
	} {
		evs, err := get()
		if err != nil || len(evs) != int(last-12) || evs[0].Seq != 13 {
			t.Errorf("%s: got %d events, %v, want %d from 13 on", name, len(evs), err, last-12)
		}
	}
}

// An event is old if its time says so. A time that cannot be right says nothing.
func TestFindOld(t *testing.T) {
	day := 24 * time.Hour
	for name, test := range map[string]struct {
		days []int // before now
		want uint64
	}{
		"all are old":                      {[]int{9, 8, 7}, 3},
		"the first is old":                 {[]int{9, 2, 1}, 1},
		"none is old":                      {[]int{2, 1}, 0},
		"a clock without a battery":        {[]int{9, 8, 20_000, 20_000, 1}, 2},
		"such a clock, and then old ones":  {[]int{9, 8, 20_000, 7, 1}, 4},
		"only such a clock":                {[]int{20_000, 20_000}, 0},
		"a clock in the future":            {[]int{9, -800, 7, 1}, 3},
		"a clock in the future at the end": {[]int{9, 8, -800}, 2},
		"a clock that went back":           {[]int{9, 7, 9, 9, 1}, 2},
	} {
		t.Run(name, func(t *testing.T) {
			c := newClock()
			c.move(300 * day)
			s := mustOpen(t, Options{Now: c.Now})
			for _, days := range test.days {
				mustRecord(t, s, audit.Event{Kind: audit.EventReport, At: c.Now().Add(-time.Duration(days) * day)})
			}
			var a Age
			for range 2 {
				if err := s.FindOld(t.Context(), &a, c.Now(), c.Now().Add(-5*day)); err != nil || a.Old != test.want {
					t.Errorf("got %d, %v, want %d", a.Old, err, test.want)
				}
			}
		})
	}
}

// Whoever reads while events are removed begins at the first that is kept, and gets no error.
func TestReadersWhileEventsAreRemoved(t *testing.T) {
	s := fillHouse(t, Options{Dir: t.TempDir()}, 400)
	last, _ := s.Head()
	ctx, cancel := context.WithCancel(t.Context())
	var readers sync.WaitGroup
	for _, read := range []func() ([]audit.Event, error){
		func() ([]audit.Event, error) { return s.Events(t.Context(), 0, 3) },
		func() ([]audit.Event, error) { return s.Events(t.Context(), s.First(), 3) },
		func() ([]audit.Event, error) { return s.EventsSince(t.Context(), time.Time{}, 1000) },
	} {
		readers.Go(func() {
			for was := uint64(0); ctx.Err() == nil; {
				evs, err := read()
				if err != nil || len(evs) == 0 || evs[0].Seq < was {
					t.Errorf("got %d events, %v, want some after %d", len(evs), err, was)
					return
				}
				was = evs[0].Seq
			}
		})
	}
	for to := uint64(1); to < last; to += 3 {
		cutUpTo(t, s, to)
		mustRecord(t, s, audit.Event{Kind: audit.EventReport})
	}
	cancel()
	readers.Wait()
}

// A removed event still says that the clock was once ahead, until somebody trusts the time again.
func TestLatestTimeOfRemovedEvents(t *testing.T) {
	c := newClock()
	s := fillHouse(t, Options{Dir: t.TempDir(), Now: c.Now}, 5)
	ahead := c.Now().Add(240 * time.Hour)
	wrong := mustRecord(t, s, audit.Event{Kind: audit.EventReport, At: ahead})
	for range 10 {
		mustRecord(t, s, audit.Event{Kind: audit.EventReport})
	}
	for to := wrong.Seq - 2; to < wrong.Seq+5; to += 2 {
		cutUpTo(t, s, to)
		s = reopen(t, s) // which checks it too
		if at, _ := s.LastEventAt(); !at.Equal(ahead) {
			t.Fatalf("removed up to %d: got %v, want %v", to, at, ahead)
		}
	}
	site := access.Site{Zone: "UTC", TimeTrusted: 3}
	mustApply(t, s, putAll(site)...)
	if at, _ := s.LastEventAt(); !at.Equal(ahead) {
		t.Errorf("got %v, want %v: nobody has trusted the time since", at, ahead)
	}
	site.TimeTrusted, _ = s.Head()
	mustApply(t, s, putAll(site)...)
	cutUpTo(t, s, site.TimeTrusted-1)
	if at, _ := s.LastEventAt(); !at.Equal(c.Now()) {
		t.Errorf("got %v, want %v, when it was trusted", at, c.Now())
	}
}
