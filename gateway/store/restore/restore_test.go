package restore_test

import (
	"bytes"
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"math/rand/v2"
	"net/netip"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"testing"
	"time"

	"latchkey/coapres/wire"
	"latchkey/gateway/access"
	"latchkey/gateway/audit"
	"latchkey/gateway/faultdisk"
	"latchkey/gateway/store"
	"latchkey/gateway/store/backup"
	"latchkey/gateway/store/restore"
	"latchkey/keys"
)

var uid = []byte{4, 1, 2, 3}

const (
	ann    access.ID = "p000000001"
	door   access.ID = "t000000001"
	reader access.ID = "d000000001"
)

// house is a store with a door, a card and some of everything else.
func house(t *testing.T, r *rand.Rand, steps int) *store.Store {
	t.Helper()
	s, err := store.Open(t.Context(), store.Options{Dir: filepath.Join(t.TempDir(), "old")})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = s.Close() })
	apply := func(put ...access.Record) {
		var changes []access.Change
		for _, p := range put {
			changes = append(changes, access.Change{Put: p})
		}
		if _, err := s.Apply(t.Context(), "test", changes...); err != nil {
			t.Fatal(err)
		}
	}
	apply(access.Site{Zone: "Europe/Berlin"}, access.Person{ID: ann, Name: "ann"},
		access.Credential{ID: s.CredentialID(uid), Person: ann, Tail: "0203", Status: access.CardActive},
		access.Target{ID: door, Name: "front", Kind: access.Door, Pulse: 3 * time.Second},
		access.Device{ID: reader, Name: "front-reader", Kind: keys.KindReader, Targets: []access.ID{door}},
		access.Grant{ID: "g000000001", SubjectKind: access.SubjectPerson, Subject: ann, Target: door,
			Effect: access.Allow})
	n := uint64(0)
	for range steps {
		switch r.IntN(5) {
		case 0:
			p := access.Person{ID: access.ID(fmt.Sprintf("q%09d", r.IntN(20))), Suspended: r.IntN(2) == 0}
			p.Name = string(p.ID)
			apply(p)
		case 1:
			if _, err := s.Record(t.Context(), audit.Event{Kind: audit.EventStop}); err != nil {
				t.Fatal(err)
			}
		default:
			n += 1 + r.Uint64N(3)
			admit(t, s, n)
		}
	}
	err = s.PutSignIn(t.Context(), sha256.Sum256([]byte("browser")), []byte("data"), time.Now().Add(time.Hour))
	if err != nil {
		t.Fatal(err)
	}
	at := map[access.ID]netip.AddrPort{reader: netip.MustParseAddrPort("192.0.2.7:5684")}
	if _, err := s.PutAddresses(t.Context(), at); err != nil {
		t.Fatal(err)
	}
	return s
}

func admit(t *testing.T, s *store.Store, counter uint64) store.Admission {
	t.Helper()
	a, err := s.Admit(t.Context(), access.Attempt{Source: access.ByCard, Device: reader,
		Credential: s.CredentialID(uid), Tail: "0203", Target: door, Action: wire.Unlock, Counter: counter,
		At: time.Now(), ClockTrusted: true})
	if err != nil {
		t.Fatal(err)
	}
	return a
}

type file struct {
	bytes       []byte
	id          backup.Identity
	fingerprint string
}

func backUp(t *testing.T, s *store.Store, kind backup.Kind) file {
	t.Helper()
	id, text, err := backup.NewPassing()
	if err != nil {
		t.Fatal(err)
	}
	to, err := backup.ParseRecipients([]string{text})
	if err != nil {
		t.Fatal(err)
	}
	var b bytes.Buffer
	f := file{id: id}
	if err := s.WriteBackup(t.Context(), &b, backup.Options{To: to, Kind: kind, From: s.First(),
		Begin: func(h backup.Header) { f.fingerprint = h.Fingerprint() }}); err != nil {
		t.Fatal(err)
	}
	f.bytes = b.Bytes()
	return f
}

func (f file) restore(ctx context.Context, dir string, open bool) (restore.Restored, error) {
	r, err := backup.Open(bytes.NewReader(f.bytes), f.id)
	if err != nil {
		return restore.Restored{}, err
	}
	return restore.Restore(ctx, r, restore.Options{Dir: dir, Fingerprint: f.fingerprint, Open: open,
		Actor: "keeper",
		Store: func(dir string) store.Options { return store.Options{Dir: dir} }})
}

func events(t *testing.T, s *store.Store) []audit.Event {
	t.Helper()
	evs, err := s.Events(t.Context(), 1, 1<<20)
	if err != nil {
		t.Fatal(err)
	}
	return evs
}

// A restored store has the policy and the events of the backup, and then the events that say what
// the restore has done.
func TestRestore(t *testing.T) {
	for run := range 5 {
		seed := rand.Uint64()
		t.Run(fmt.Sprint(run), func(t *testing.T) {
			t.Logf("seed %d", seed)
			r := rand.New(rand.NewPCG(seed, 0))
			old := house(t, r, []int{0, 30, 300, 1500, 2500}[run]) // the last ones have counter records
			if run > 1 {                                           // a part of its oldest events is gone, up to the counter records
				last, _ := old.Head()
				if _, err := old.RemoveOldest(t.Context(), 1+r.Uint64N(last), 1); err != nil {
					t.Fatal(err)
				}
				t.Logf("events are kept from %d on", old.First())
			}
			f := backUp(t, old, backup.Full)
			dir := filepath.Join(t.TempDir(), "data")
			if r.IntN(2) == 0 {
				if err := os.Mkdir(dir, 0o700); err != nil {
					t.Fatal(err)
				}
			}
			open := run%2 == 0
			done, err := f.restore(t.Context(), dir, open)
			if err != nil {
				t.Fatal(err)
			}
			s, err := store.Open(t.Context(), store.Options{Dir: dir})
			if err != nil {
				t.Fatal(err)
			}
			defer func() {
				if err := errors.Join(s.Check(context.Background()), s.Close()); err != nil {
					t.Error(err)
				}
			}()
			compareStores(t, s, old, done, open)
			continueStore(t, s, open)
		})
	}
}

func compareStores(t *testing.T, s, old *store.Store, done restore.Restored, open bool) {
	t.Helper()
	was, is := events(t, old), events(t, s)
	n := len(was)
	if len(is) != n+2 || !slices.Equal(is[:n], was) {
		t.Fatalf("got %d events, want the %d and two more", len(is), n)
	}
	if ev := is[n]; ev.Kind != audit.EventRestore || ev.Actor != "keeper" {
		t.Errorf("got %+v", ev)
	}
	if ev := is[n+1]; ev.Kind != audit.EventPolicy || ev.Digest != s.Digest() || ev.Seq != done.Seq {
		t.Errorf("got %+v", ev)
	}
	site := s.Snapshot().Site
	if site.Epoch != 2 || done.Epoch != 2 || site.Lockdown == open || done.Lockdown == open {
		t.Errorf("got %+v and %+v", site, done)
	}
	want := old.Snapshot().Site
	want.Epoch, want.Lockdown = 2, !open
	records := func(s *store.Store) (out []access.Record) {
		for r := range s.Snapshot().Records() {
			if _, ok := r.(access.Site); !ok {
				out = append(out, r)
			}
		}
		slices.SortFunc(out, func(a, b access.Record) int {
			return bytes.Compare(fmt.Appendf(nil, "%T%v", a, a), fmt.Appendf(nil, "%T%v", b, b))
		})
		return out
	}
	if site != want || !reflect.DeepEqual(records(s), records(old)) {
		t.Errorf("the policy differs: site %+v, want %+v", site, want)
	}
	if s.SiteID() != old.SiteID() || s.CredentialID(uid) != old.CredentialID(uid) {
		t.Error("the site key differs")
	}
	if _, ok, err := s.SignIn(t.Context(), sha256.Sum256([]byte("browser"))); ok || err != nil {
		t.Errorf("somebody is still signed in: %v", err)
	}
	if at, err := s.Addresses(t.Context()); len(at) > 0 || err != nil {
		t.Errorf("got the addresses %v, %v", at, err)
	}
}

// continueStore uses the restored store: the first counter of a reader is taken, whatever it was
// before, and the second one must be greater again.
func continueStore(t *testing.T, s *store.Store, open bool) {
	t.Helper()
	a := admit(t, s, 1)
	if a.Duplicate || a.Decision.Granted != open || a.Last != 1 {
		t.Errorf("the first scan: got %+v", a)
	}
	if a := admit(t, s, 1); !a.Duplicate {
		t.Errorf("the same scan again: got %+v", a)
	}
	admit(t, s, 5)
	if a := admit(t, s, 3); a.Decision.Granted || a.Decision.Reason != access.ReasonReplayed {
		t.Errorf("an older scan: got %+v", a)
	}
	for n := range uint64(1300) { // until counter records are written
		admit(t, s, 6+n)
	}
	if err := s.Verify(t.Context()); err != nil {
		t.Error(err)
	}
}

// What is refused leaves nothing behind.
func TestRestoreRefused(t *testing.T) {
	old := house(t, rand.New(rand.NewPCG(1, 1)), 50)
	f := backUp(t, old, backup.Full)
	other := backUp(t, house(t, rand.New(rand.NewPCG(2, 2)), 5), backup.Full)
	other.fingerprint = f.fingerprint
	none := f
	none.fingerprint = ""
	base := t.TempDir()
	dir := filepath.Join(base, "data")
	refused := func(name string, f file, want error) {
		t.Helper()
		_, err := f.restore(t.Context(), dir, true)
		if err == nil || want != nil && !errors.Is(err, want) {
			t.Errorf("%s: got %v, want %v", name, err, want)
		}
		if left, err := os.ReadDir(base); err != nil || len(left) > 0 {
			t.Errorf("%s: left %v, %v", name, left, err)
		}
	}
	refused("another site", other, backup.ErrSigner)
	refused("no fingerprint", none, backup.ErrSigner)
	refused("the policy only", backUp(t, old, backup.Policy), restore.ErrKind)
	refused("events only", backUp(t, old, backup.Events), restore.ErrKind)
	for _, at := range []int{1, 2, 3} {
		cut, flipped := f, f
		cut.bytes = f.bytes[:len(f.bytes)*at/4]
		refused(fmt.Sprint("cut ", at), cut, backup.ErrDamaged)
		flipped.bytes = slices.Clone(f.bytes)
		flipped.bytes[len(f.bytes)*at/4] ^= 1
		refused(fmt.Sprint("flipped ", at), flipped, backup.ErrDamaged)
	}
	cut := f
	cut.bytes = f.bytes[:len(f.bytes)-1]
	refused("cut at its last byte", cut, backup.ErrDamaged)

	ended, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := f.restore(ended, dir, true); !errors.Is(err, context.Canceled) {
		t.Errorf("interrupted: got %v", err)
	}
	if left, err := os.ReadDir(base); err != nil || len(left) > 0 {
		t.Errorf("interrupted: left %v, %v", left, err)
	}

	if err := os.WriteFile(filepath.Join(base, "note"), nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := f.restore(t.Context(), base, true); err == nil {
		t.Error("a folder with something in it was taken")
	}
	if left, err := os.ReadDir(base); err != nil || len(left) != 1 {
		t.Errorf("left %v, %v", left, err)
	}
}

// A disk without room is refused before the database meets its end.
func TestRestoreOnAFullDisk(t *testing.T) {
	mnt := faultdisk.Mount(t, "tmpfs", 24)
	f := backUp(t, house(t, rand.New(rand.NewPCG(3, 3)), 50), backup.Full)
	if _, err := f.restore(t.Context(), filepath.Join(mnt, "data"), true); !errors.Is(err, store.ErrNoSpace) {
		t.Errorf("got %v, want no space", err)
	}
	if left, err := os.ReadDir(mnt); err != nil || len(left) > 0 {
		t.Errorf("left %v, %v", left, err)
	}
}
