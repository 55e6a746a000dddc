package store

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/dgraph-io/badger/v4"

	"latchkey/gateway/access"
	"latchkey/gateway/store/record"
)

func wantSignIn(t *testing.T, s *Store, name, want string) {
	t.Helper()
	if got := signIn(t, s, name); got != want {
		t.Errorf("%s: got %q, want %q", name, got, want)
	}
}

// countSignIns returns how many sign-ins an open store has on disk.
func countSignIns(t *testing.T, s *Store) (n int) {
	t.Helper()
	err := s.db.View(func(txn *badger.Txn) error {
		return s.reader.ForEach(context.Background(), txn, record.KindSignIn,
			func(record.Key, []byte) error { n++; return nil })
	})
	if err != nil {
		t.Fatal(err)
	}
	return n
}

func TestSignInLastsUntilItExpires(t *testing.T) {
	c := newClock()
	s := mustOpen(t, Options{Dir: t.TempDir(), Now: c.Now})
	mustPutSignIn(t, s, "phone", "ann", c.Now().Add(time.Hour))
	mustPutSignIn(t, s, "laptop", "", c.Now().Add(2*time.Hour))
	c.move(time.Hour - 1)
	s = reopen(t, s)
	wantSignIn(t, s, "phone", "ann")
	wantSignIn(t, s, "laptop", "")
	wantSignIn(t, s, "tablet", "none")
	c.move(1)
	wantSignIn(t, s, "phone", "none")
	if n := countSignIns(t, s); n != 2 {
		t.Errorf("got %d on disk before the store is opened again, want 2", n)
	}
	s = reopen(t, s)
	wantSignIn(t, s, "laptop", "")
	if n := countSignIns(t, s); n != 1 {
		t.Errorf("got %d on disk, want the expired one swept", n)
	}
}

func TestSignInIsReplacedAndDeleted(t *testing.T) {
	c := newClock()
	s := mustOpen(t, Options{Dir: t.TempDir(), Now: c.Now})
	for _, step := range []struct {
		name string
		do   func()
		want string
	}{
		{"deleting one that does not exist", func() { mustDeleteSignIn(t, s, "phone") }, "none"},
		{"the first", func() { mustPutSignIn(t, s, "phone", "ann", c.Now().Add(time.Hour)) }, "ann"},
		{"another replaces it", func() { mustPutSignIn(t, s, "phone", "bob", c.Now().Add(time.Minute)) },
			"bob"},
		{"one that has expired already", func() { mustPutSignIn(t, s, "phone", "eve", c.Now()) }, "none"},
		{"one without an expiry", func() { mustPutSignIn(t, s, "phone", "eve", time.Time{}) }, "none"},
		{"the largest", func() {
			mustPutSignIn(t, s, "phone", strings.Repeat("x", 4096), c.Now().Add(time.Hour))
		}, strings.Repeat("x", 4096)},
		{"one that is too large", func() {
			if err := s.PutSignIn(context.Background(), cookie("phone"), make([]byte, 4097),
				c.Now().Add(time.Hour)); !errors.Is(err, ErrTooBig) {
				t.Errorf("got %v, want ErrTooBig", err)
			}
		}, strings.Repeat("x", 4096)},
		{"deleted", func() { mustDeleteSignIn(t, s, "phone") }, "none"},
	} {
		step.do()
		for _, when := range []string{"", ", reopened"} {
			if got := signIn(t, s, "phone"); got != step.want {
				t.Errorf("%s%s: got %.10q, want %.10q", step.name, when, got, step.want)
			}
			s = reopen(t, s)
		}
	}
}

func TestSignInMakesNoEvent(t *testing.T) {
	s := buildHouse(t, Options{Dir: t.TempDir()})
	seq, hash := s.Head()
	digest, changed := s.Digest(), s.Changed()
	mustPutSignIn(t, s, "phone", "ann", time.Now().Add(time.Hour))
	mustPutSignIn(t, s, "laptop", "ann", time.Now().Add(time.Hour))
	mustDeleteSignIn(t, s, "phone")
	select {
	case <-changed:
		t.Error("followers of events were woken")
	default:
	}
	s = reopen(t, s)
	if n, h := s.Head(); n != seq || h != hash || s.Digest() != digest {
		t.Errorf("got head %d, digest %v, want them unchanged", n, s.Digest())
	}
	if err := s.Verify(context.Background()); err != nil {
		t.Error(err)
	}
}

func TestFullOfSignIns(t *testing.T) {
	c := newClock()
	s := mustOpen(t, Options{Dir: t.TempDir(), Now: c.Now})
	const longest = maxSignIns * time.Second
	for i := range maxSignIns { // number 500 expires first, then number 501
		n := (i + maxSignIns - 500) % maxSignIns
		mustPutSignIn(t, s, fmt.Sprint(i), "x", c.Now().Add(longest+time.Duration(n)*time.Second))
	}
	mustPutSignIn(t, s, "499", "y", c.Now().Add(2*longest)) // replaces itself, so no other is deleted
	wantSignIn(t, s, "500", "x")
	mustPutSignIn(t, s, "one more", "x", c.Now().Add(longest))
	wantSignIn(t, s, "500", "none")
	wantSignIn(t, s, "501", "x")
	mustPutSignIn(t, s, "and more", "x", c.Now().Add(3*longest))
	wantSignIn(t, s, "one more", "none")
	if n := countSignIns(t, s); n != maxSignIns {
		t.Errorf("got %d, want %d", n, maxSignIns)
	}
	c.move(longest + 10*time.Second) // 501 to 510 have expired
	mustPutSignIn(t, s, "later", "x", c.Now().Add(longest))
	if n := countSignIns(t, s); n != maxSignIns-9 {
		t.Errorf("got %d, want all expired ones deleted at once", n)
	}
	for _, name := range []string{"511", "499", "and more", "later"} {
		if signIn(t, s, name) == "none" {
			t.Errorf("%s was deleted before it expired", name)
		}
	}
	s = reopen(t, s)
	wantSignIn(t, s, "later", "x")
}

// A database can have more sign-ins than the limit if somebody put old files back into it.
func TestMoreSignInsThanAreKept(t *testing.T) {
	c := newClock()
	o := Options{Dir: t.TempDir(), Now: c.Now}
	s := mustOpen(t, o)
	checkAndClose(t, s)
	for _, live := range []bool{false, true} {
		for part := range 7 { // more than fit into one transaction
			editRaw(t, o.Dir, func(txn *badger.Txn) error {
				for i := range maxSignIns {
					key, expiry := record.SignInKey(cookie(fmt.Sprint(part, i))), c.Now()
					if live {
						expiry = expiry.Add(time.Duration(1+part) * time.Hour)
					}
					plain, err := record.MakeSignIn(nil, expiry).Encode()
					if err != nil {
						return err
					}
					if err := txn.Set([]byte(key), s.sealer.Seal(string(key), plain)); err != nil {
						return err
					}
				}
				return nil
			})
		}
		for range 2 {
			s = mustOpen(t, o)
			checkAndClose(t, s)
		}
		want := 0
		if live {
			want = maxSignIns
		}
		s = mustOpen(t, o)
		if n := countSignIns(t, s); n != want {
			t.Errorf("got %d, want %d", n, want)
		}
		if live {
			wantSignIn(t, s, fmt.Sprint(6, 999), "")
		}
		checkAndClose(t, s)
	}
}

func TestSignInsShareACommitWithDecisions(t *testing.T) {
	for _, checkpoint := range []uint64{0, 1, 2} {
		c, g := newClock(), newGate()
		s := buildHouse(t, Options{Dir: t.TempDir(), Now: c.Now, BeforeCommit: g.beforeCommit,
			checkpoint: checkpoint})
		ctx := context.Background()
		mustPutSignIn(t, s, "old", "ann", c.Now().Add(time.Hour))
		jobs := []func() error{
			func() error { return s.PutSignIn(ctx, cookie("phone"), []byte("ann"), c.Now().Add(time.Hour)) },
			func() error { _, err := s.Admit(ctx, scan(s, 1)); return err },
			func() error { return s.DeleteSignIn(ctx, cookie("old")) },
			func() error {
				_, err := s.Apply(ctx, "test", access.Change{Delete: access.Grant{ID: id("g3")}})
				return err
			},
			func() error { return s.PutSignIn(ctx, cookie("laptop"), []byte("ann"), c.Now().Add(time.Hour)) },
			func() error { return s.DeleteSignIn(ctx, cookie("laptop")) },
		}
		var wg sync.WaitGroup
		g.runBehind(t, s, len(jobs), func() {
			for i, job := range jobs {
				wg.Go(func() {
					if err := job(); err != nil {
						t.Error(err)
					}
				})
				waitFor(t, func() bool { return len(s.queue) == i+1 })
			}
		})
		wg.Wait()
		if g.commits != 1 {
			t.Errorf("got %d commits, want 1", g.commits)
		}
		mustPutSignIn(t, s, "alone", "ann", c.Now().Add(time.Hour)) // with a checkpoint, if there is one
		s = reopen(t, s)
		for name, want := range map[string]string{"phone": "ann", "old": "none", "laptop": "none",
			"alone": "ann"} {
			wantSignIn(t, s, name, want)
		}
		if got := mustAdmit(t, s, scan(s, 1)); !got.Duplicate || !got.Decision.Granted {
			t.Errorf("got %+v, want the recorded decision", got)
		}
		if n, _ := s.Head(); n != 4 { // the house, the event that held the queue, the decision, the policy
			t.Errorf("got %d events, want 4", n)
		}
	}
}

func TestSignInsFromManySides(t *testing.T) {
	s := buildHouse(t, Options{Dir: t.TempDir()})
	ctx := context.Background()
	expiry := time.Now().Add(time.Hour)
	var wg sync.WaitGroup
	for i := range 8 {
		wg.Go(func() {
			name := fmt.Sprint("browser", i)
			for n := range uint64(20) {
				want := fmt.Sprint(n)
				err := s.PutSignIn(ctx, cookie(name), []byte(want), expiry)
				if data, ok, rerr := s.SignIn(ctx, cookie(name)); err != nil || rerr != nil || !ok ||
					string(data) != want {
					t.Errorf("got %q, %v, %v, %v, want what was put", data, ok, err, rerr)
				}
				if _, err := s.Admit(ctx, access.Attempt{Source: access.ByOperator, Operator: name,
					Target: id("front")}); err != nil {
					t.Error(err)
				}
			}
			if i%2 == 0 {
				if err := s.DeleteSignIn(ctx, cookie(name)); err != nil {
					t.Error(err)
				}
			}
		})
	}
	wg.Wait()
	s = reopen(t, s)
	for i := range 8 {
		wantSignIn(t, s, fmt.Sprint("browser", i), []string{"none", "19"}[i%2])
	}
}

func TestSignInOfAFailedCommit(t *testing.T) {
	var fail bool
	o := Options{Dir: t.TempDir(), Fault: func() error {
		if fail {
			return errors.New("i/o error")
		}
		return nil
	}}
	ctx := context.Background()
	expiry := time.Now().Add(time.Hour)
	s := mustOpen(t, o)
	mustPutSignIn(t, s, "phone", "ann", expiry)
	for name, write := range map[string]func() error{
		"put":    func() error { return s.PutSignIn(ctx, cookie("phone"), []byte("bob"), expiry) },
		"delete": func() error { return s.DeleteSignIn(ctx, cookie("phone")) },
	} {
		fail = true
		if err := write(); !errors.Is(err, ErrFailed) {
			t.Errorf("%s: got %v, want ErrFailed", name, err)
		}
		if _, ok, err := s.SignIn(ctx, cookie("phone")); !errors.Is(err, ErrFailed) || ok {
			t.Errorf("%s: got %v, %v, want ErrFailed", name, ok, err)
		}
		fail = false
		s = reopen(t, s)
		wantSignIn(t, s, "phone", "ann")
	}
	checkAndClose(t, s)
	if err := s.PutSignIn(ctx, cookie("phone"), nil, expiry); !errors.Is(err, ErrClosed) {
		t.Errorf("got %v, want ErrClosed", err)
	}
}

func TestSignInsAndSpace(t *testing.T) {
	ctx := context.Background()
	c := newClock()
	free := uint64(1 << 30)
	s := buildHouse(t, Options{Dir: t.TempDir(), Now: c.Now,
		Free: func() (uint64, error) { return free, nil }})
	mustPutSignIn(t, s, "phone", "ann", c.Now().Add(time.Hour))
	free = defaultMinFree - 1
	// whoever wants to free space must be able to sign in
	mustPutSignIn(t, s, "laptop", "ann", c.Now().Add(time.Hour))
	free = defaultMinFree/4 - 1
	if err := s.PutSignIn(ctx, cookie("tablet"), nil, c.Now().Add(time.Hour)); !errors.Is(err, ErrNoSpace) {
		t.Errorf("got %v, want ErrNoSpace", err)
	}
	mustDeleteSignIn(t, s, "phone")
	for name, want := range map[string]string{"phone": "none", "laptop": "ann", "tablet": "none"} {
		wantSignIn(t, s, name, want)
	}
}

// A version of the program that does not know sign-ins and accounts can read heads up to version 2.
func TestOldStoreGoesOnInTheNewestVersion(t *testing.T) {
	for name, was := range map[string]byte{"testdata/v1": 1, "testdata/v2": 2, "testdata/v3": 3,
		"testdata/v4": 4, "testdata/v5": 5, newest: 6} {
		s := loadFixture(t, name)
		version := func() (v byte) {
			if err := s.db.View(func(txn *badger.Txn) error {
				plain, err := s.reader.Get(txn, record.HeadKey)
				if err == nil {
					v = plain[0]
				}
				return err
			}); err != nil {
				t.Fatal(err)
			}
			return v
		}
		if got := version(); got != was {
			t.Errorf("%s: got head version %d, want %d", name, got, was)
		}
		mustPutSignIn(t, s, "laptop", "ann", s.opts.Now().Add(time.Hour))
		if got := version(); got != 6 {
			t.Errorf("%s: got head version %d after a sign-in, want 6", name, got)
		}
	}
}

func TestTamperedSignInIsNamed(t *testing.T) {
	o, _ := makeLived(t)
	key, other := record.SignInKey(cookie("phone")), record.SignInKey(cookie("laptop"))
	s := mustOpen(t, o)
	checkAndClose(t, s)
	now := readRaw(t, o.Dir)[key]
	for name, test := range map[string]struct {
		at    record.Key
		value []byte
	}{
		"flipped bit": {key, append(append([]byte(nil), now[:30]...),
			append([]byte{now[30] ^ 4}, now[31:]...)...)},
		"empty":                    {key, []byte{}},
		"moved to another browser": {other, now},
		"no sign-in":               {key, s.sealer.Seal(string(key), []byte{1, 0xa1, 3, 0})},
		"no 32 bytes":              {key[:20], s.sealer.Seal(string(key[:20]), []byte{1, 0xa0})},
	} {
		t.Run(name, func(t *testing.T) {
			editRaw(t, o.Dir, func(txn *badger.Txn) error { return txn.Set([]byte(test.at), test.value) })
			wantNamed(t, openRefused(t, o), test.at.String())
			editRaw(t, o.Dir, func(txn *badger.Txn) error {
				return errors.Join(txn.Delete([]byte(test.at)), txn.Set([]byte(key), now))
			})
		})
	}
	s = mustOpen(t, o)
	wantSignIn(t, s, "phone", "signed in as keeper")
	if err := s.db.Update(
		func(txn *badger.Txn) error { return txn.Set([]byte(key), []byte{1}) }); err != nil {
		t.Fatal(err)
	}
	if _, ok, err := s.SignIn(context.Background(), cookie("phone")); ok || !errors.Is(err, ErrCorrupt) {
		t.Errorf("got %v, %v, want ErrCorrupt", ok, err)
	}
	mustDeleteSignIn(t, s, "phone") // even if it cannot be read
}

// A deleted sign-in that somebody puts back still expires at its time.
func TestSignInPutBackLastsUntilItsExpiry(t *testing.T) {
	c := newClock()
	o := Options{Dir: t.TempDir(), Now: c.Now}
	s := mustOpen(t, o)
	mustPutSignIn(t, s, "phone", "ann", c.Now().Add(time.Hour))
	checkAndClose(t, s)
	old := readRaw(t, o.Dir)
	s = mustOpen(t, o)
	mustDeleteSignIn(t, s, "phone")
	checkAndClose(t, s)
	key := record.SignInKey(cookie("phone"))
	editRaw(t, o.Dir, func(txn *badger.Txn) error { return txn.Set([]byte(key), old[key]) })
	s = mustOpen(t, o)
	wantSignIn(t, s, "phone", "ann")
	c.move(time.Hour)
	wantSignIn(t, s, "phone", "none")
	s = reopen(t, s)
	if n := countSignIns(t, s); n != 0 {
		t.Errorf("got %d, want none", n)
	}
}

func TestCheckSeesASignInThatItDoesNotKnow(t *testing.T) {
	ctx := context.Background()
	s := mustOpen(t, Options{})
	mustPutSignIn(t, s, "phone", "ann", time.Now().Add(time.Hour))
	key, other := record.SignInKey(cookie("phone")), record.SignInKey(cookie("laptop"))
	for name, test := range map[string]struct {
		key      record.Key
		do, undo func(txn *badger.Txn, was []byte) error
	}{
		"vanished": {key, func(txn *badger.Txn, _ []byte) error { return txn.Delete([]byte(key)) },
			func(txn *badger.Txn, was []byte) error { return txn.Set([]byte(key), was) }},
		"added": {other, func(txn *badger.Txn, _ []byte) error {
			return txn.Set([]byte(other), s.sealer.Seal(string(other), []byte{1, 0xa0}))
		}, func(txn *badger.Txn, _ []byte) error { return txn.Delete([]byte(other)) }},
	} {
		var was []byte
		if err := s.db.Update(func(txn *badger.Txn) error {
			was = getRaw(t, txn, key)
			return test.do(txn, was)
		}); err != nil {
			t.Fatal(err)
		}
		if err := s.Check(ctx); !errors.Is(err, ErrCorrupt) ||
			!strings.Contains(err.Error(), test.key.String()) {
			t.Errorf("%s: got %v, want %v named", name, err, test.key)
		}
		if err := s.db.Update(func(txn *badger.Txn) error { return test.undo(txn, was) }); err != nil {
			t.Fatal(err)
		}
	}
}
