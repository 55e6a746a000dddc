package rollback

import (
	"bytes"
	"context"
	"errors"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"latchkey/gateway/access"
	"latchkey/gateway/access/accounts"
	"latchkey/gateway/audit"
	"latchkey/gateway/store"
	"latchkey/keys"
)

var made = time.Date(2026, 11, 1, 0, 0, 0, 0, time.UTC)

const (
	annID   access.ID = "0000000001"
	doorID  access.ID = "0000000002"
	lockID  access.ID = "0000000003"
	keyID   keys.ID   = "lk-0123456789"
	grantID access.ID = "0000000004"
)

// house is a real store with a few records, and a place for head.log.
type house struct {
	t     *testing.T
	place Place
	store *store.Store
	watch *Watch
}

func newHouse(t *testing.T) *house {
	dir := t.TempDir()
	place := Place{File: filepath.Join(dir, "head", FileName), Data: filepath.Join(dir, "data")}
	return &house{t: t, place: place}
}

func (h *house) open() {
	h.t.Helper()
	h.openStore()
	h.openWatch()
}

func (h *house) openStore() {
	h.t.Helper()
	s, err := store.Open(h.t.Context(), store.Options{Dir: h.place.Data, MinFree: 1})
	if err != nil {
		h.t.Fatal(err)
	}
	h.store = s
	h.t.Cleanup(func() { _ = s.Close() })
}

func (h *house) openWatch() {
	h.t.Helper()
	w := Open(h.t.Context(), Config{Store: h.store, Place: h.place, Log: slog.New(slog.DiscardHandler)})
	h.watch = w
	h.t.Cleanup(w.Close)
}

// close closes both.
func (h *house) close() {
	h.t.Helper()
	h.watch.Close()
	if err := h.store.Close(); err != nil {
		h.t.Fatal(err)
	}
}

func (h *house) apply(changes ...access.Change) uint64 {
	h.t.Helper()
	seq, err := h.store.Apply(h.t.Context(), "tester", changes...)
	if err != nil {
		h.t.Fatal(err)
	}
	return seq
}

func (h *house) record(n int) {
	h.t.Helper()
	for range n {
		ev := audit.Event{At: made, Kind: audit.EventReport, Detail: "nothing"}
		if _, err := h.store.Record(h.t.Context(), ev); err != nil {
			h.t.Fatal(err)
		}
	}
}

// furnish puts a person with a card, and a door with a lock.
func (h *house) furnish() {
	h.apply(put(access.Person{ID: annID, Name: "ann", Created: made}),
		put(access.Credential{ID: access.CredentialID{1}, Person: annID, Tail: "e580", Status: access.CardActive}),
		put(access.Target{ID: doorID, Name: "front-door", Kind: access.Door, Pulse: time.Second}),
		put(access.Device{ID: lockID, Name: "front-lock", Kind: keys.KindLock, Targets: []access.ID{doorID}}),
		put(keys.Key{ID: keyID, Device: lockID, Secret: keys.NewSecret(), State: keys.Active, Created: made}),
		put(access.Grant{ID: grantID, SubjectKind: access.SubjectPerson, Subject: annID, Target: doorID,
			Effect: access.Allow}))
}

func (h *house) revoke() uint64 {
	k := h.store.Snapshot().Keys[keyID]
	k.State, k.Secret = keys.Revoked, keys.Secret{}
	return h.apply(put(k))
}

func (h *house) lose() uint64 {
	c := h.store.Snapshot().Credentials[access.CredentialID{1}]
	c.Status = access.CardLost
	return h.apply(put(c))
}

func (h *house) findings() (out []string) {
	for _, f := range h.watch.Findings() {
		out = append(out, f.Text)
	}
	return out
}

// want checks the findings: one text for each that it must contain.
func (h *house) want(texts ...string) {
	h.t.Helper()
	got := h.findings()
	if len(got) != len(texts) {
		h.t.Fatalf("got %q, want %d findings: %q", got, len(texts), texts)
	}
	for i, want := range texts {
		if !strings.Contains(got[i], want) {
			h.t.Errorf("got %q, want %q", got[i], want)
		}
	}
}

func put(r access.Record) access.Change { return access.Change{Put: r} }

func copyFolder(t *testing.T, from, to string) {
	t.Helper()
	if err := os.RemoveAll(to); err != nil {
		t.Fatal(err)
	}
	if err := os.CopyFS(to, os.DirFS(from)); err != nil {
		t.Fatal(err)
	}
	err := filepath.WalkDir(to, func(path string, d fs.DirEntry, err error) error {
		if err == nil && !d.IsDir() {
			err = os.Chmod(path, 0o600)
		} else if err == nil {
			err = os.Chmod(path, 0o700)
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
}

func TestNothingIsFoundInAStoreThatGoesOn(t *testing.T) {
	h := newHouse(t)
	h.open()
	h.furnish()
	h.want()
	for range 3 {
		h.revokeAndRenew()
		h.close()
		h.open()
		h.want()
		h.record(5)
	}
	info, err := os.Stat(h.place.File)
	if err != nil || info.Mode().Perm() != 0o600 {
		t.Fatalf("head.log: %v, %v, want mode 0600", info, err)
	}
	info, err = os.Stat(filepath.Dir(h.place.File))
	if err != nil || info.Mode().Perm() != 0o700 {
		t.Fatalf("folder: %v, %v, want mode 0700", info, err)
	}
}

func (h *house) revokeAndRenew() {
	p := h.store.Snapshot().Persons[annID]
	p.Suspended = true
	h.apply(put(p))
	p.Suspended = false
	h.apply(put(p))
}

func TestAnOlderCopyIsNoticed(t *testing.T) {
	h := newHouse(t)
	h.open()
	h.furnish()
	h.record(3)
	h.close()
	backup := filepath.Join(t.TempDir(), "copy")
	copyFolder(t, h.place.Data, backup)
	h.open()
	end, _ := h.store.Head()
	h.revoke()
	h.record(4)
	h.lose()
	newest, _ := h.store.Head()
	h.watch.Settle(newest)
	if end != 4 || newest != 10 {
		t.Fatalf("events end at %d and %d: want 4 and 10", end, newest)
	}
	h.close()

	copyFolder(t, backup, h.place.Data)
	h.open()
	h.want("this store is an older copy: events 5–10 are missing; " +
		"1 revoked key and 1 lost card among them may be undone")
	if h.store.Snapshot().Keys[keyID].State == keys.Revoked {
		t.Fatal("the copy has the revocation")
	}
	h.watch.tell(t.Context())
	seq, _ := h.store.Head()
	events, err := h.store.Events(t.Context(), seq, 1)
	if err != nil || len(events) != 1 || events[0].Kind != audit.EventRollback ||
		!strings.Contains(events[0].Detail, "events 5–10 are missing") {
		t.Fatalf("got %v, %v, want an event about it", events, err)
	}

	// It stays until somebody acknowledges it, and then it is over for good.
	for range 2 {
		h.record(2)
		h.close()
		h.open()
		h.watch.tell(t.Context())
		h.want("events 5–10 are missing")
	}
	if again, _ := h.store.Head(); again != seq+4 {
		t.Fatalf("%d events since: want 4, as the finding has its event", again-seq)
	}
	if _, err := h.watch.Acknowledge(t.Context(), "tester", seq, "I put it back"); err != nil {
		t.Fatal(err)
	}
	h.want()
	h.close()
	h.open()
	h.want()

	// The copy that went on may be replaced by an older one again, or by what it was a copy of.
	h.close()
	copyFolder(t, backup, h.place.Data)
	h.open()
	h.want("events 5–")
}

func TestACopyThatWentOnIsNoticed(t *testing.T) {
	h := newHouse(t)
	h.open()
	h.furnish()
	h.close()
	backup := filepath.Join(t.TempDir(), "copy")
	copyFolder(t, h.place.Data, backup)
	h.open()
	h.revoke()
	h.close()
	copyFolder(t, backup, h.place.Data)
	h.openStore() // without head.log
	h.record(7)
	h.lose() // head.log cannot know of it
	if err := h.store.Close(); err != nil {
		t.Fatal(err)
	}
	h.open()
	h.want("this store has other events in place of event 2, so an older copy went on; " +
		"1 revoked key among them may be undone")
	if got := h.readFile().takenSince(1); got[Unjudged] != 1 || got.Sum() != 1 {
		t.Errorf("head.log knows of %q: want one change of which it knows no more", got)
	}
}

// When the newest copy is put back after an older one, what the older one did is missing, and what
// the newest one took away is known again.
func TestTheNewestCopyIsPutBack(t *testing.T) {
	h := newHouse(t)
	h.open()
	h.furnish()
	h.close()
	older, newest := filepath.Join(t.TempDir(), "older"), filepath.Join(t.TempDir(), "newest")
	copyFolder(t, h.place.Data, older)
	h.open()
	h.revoke()
	h.record(20)
	h.close()
	copyFolder(t, h.place.Data, newest)
	copyFolder(t, older, h.place.Data)
	h.open()
	h.record(2)
	h.lose()
	h.close()
	copyFolder(t, newest, h.place.Data)
	h.open()
	h.want("this store is an older copy: events 2–22 are missing; 1 revoked key among them may be undone",
		"this store has other events in place of events 2–4, so an older copy went on; "+
			"1 lost card among them may be undone")
	if got := h.readFile().takenSince(1); got[Unjudged] != 1 || got.Sum() != 1 {
		t.Errorf("head.log knows of %q: want one change of which it knows no more", got)
	}
}

func TestARestrictionIsInHeadLogWhenItIsAcknowledged(t *testing.T) {
	h := newHouse(t)
	h.open()
	h.furnish()
	ctx, stop := context.WithCancel(t.Context())
	ended := make(chan error)
	go func() { ended <- h.watch.Run(ctx) }()
	for range 5 {
		p := h.store.Snapshot().Persons[annID]
		p.Suspended = true
		seq := h.apply(put(p))
		h.watch.Settle(seq)
		st, _, err := (&file{path: h.place.File, site: h.store.SiteID(), key: h.store.HeadLogKey()}).read()
		if err != nil || len(st.entries) == 0 || st.entries[len(st.entries)-1].at.seq != seq {
			t.Fatalf("event %d is not in head.log: %v, %v", seq, st.entries, err)
		}
		p.Suspended = false
		h.apply(put(p))
	}
	stop()
	if err := <-ended; err != nil {
		t.Fatal(err)
	}
}

func TestAFileThatIsGoneIsNoticed(t *testing.T) {
	h := newHouse(t)
	h.open()
	h.furnish()
	h.close()
	if err := os.Remove(h.place.File); err != nil {
		t.Fatal(err)
	}
	h.open()
	h.want("head.log is gone")
	h.watch.tell(t.Context())
	seq, _ := h.store.Head()
	if _, err := h.watch.Acknowledge(t.Context(), "tester", seq, ""); err != nil {
		t.Fatal(err)
	}
	h.close()
	h.open()
	h.want()
}

func TestAFileMayMove(t *testing.T) {
	h := newHouse(t)
	h.open()
	h.furnish()
	h.close()
	backup := filepath.Join(t.TempDir(), "copy")
	copyFolder(t, h.place.Data, backup)
	h.open()
	h.revoke()
	h.close()
	copyFolder(t, backup, h.place.Data)
	h.place.File = filepath.Join(t.TempDir(), "elsewhere.log")
	h.open()
	h.want("1 revoked key among them may be undone")
}

func TestAnotherSitesFileIsLeftAlone(t *testing.T) {
	h, other := newHouse(t), newHouse(t)
	other.open()
	other.furnish()
	other.close()
	h.place.File = other.place.File
	before, err := os.ReadFile(h.place.File)
	if err != nil {
		t.Fatal(err)
	}
	h.open()
	h.furnish()
	h.revoke()
	h.want("it belongs to another site")
	h.close()
	if after, err := os.ReadFile(h.place.File); err != nil || string(after) != string(before) {
		t.Fatalf("the file was changed: %v", err)
	}
}

func TestAFolderThatCannotBeWrittenIsAFinding(t *testing.T) {
	h := newHouse(t)
	absent := filepath.Dir(h.place.File) // only its last folder is made; root may write anywhere
	h.place.File = filepath.Join(absent, "folder", FileName)
	h.open()
	h.furnish()
	h.want("head.log is not written")
	began := time.Now()
	h.watch.Settle(h.revoke())
	if took := time.Since(began); took > settleWithin/2 {
		t.Errorf("the answer waited %v for a file that cannot be written", took)
	}
	if err := os.Mkdir(absent, 0o700); err != nil {
		t.Fatal(err)
	}
	h.watch.flush()
	h.want()
	h.close()
	st, _, err := (&file{path: h.place.File, site: h.store.SiteID(), key: h.store.HeadLogKey()}).read()
	if err != nil || len(st.entries) != 1 || st.entries[0].counts[KeyRevoked] != 1 {
		t.Fatalf("got %v, %v, want the revocation that was made meanwhile", st.entries, err)
	}
}

func TestAPlaceInTheDataFolderIsRefused(t *testing.T) {
	data := t.TempDir()
	link := filepath.Join(t.TempDir(), "link")
	if err := os.Symlink(data, link); err != nil {
		t.Fatal(err)
	}
	for _, path := range []string{filepath.Join(data, "head.log"), filepath.Join(data, "a", "b", "head.log"),
		filepath.Join(link, "head.log")} {
		if (Place{File: path, Data: data}).Check() == nil {
			t.Errorf("%s was accepted", path)
		}
	}
	if err := (Place{File: data + "-head/head.log", Data: data}).Check(); err != nil {
		t.Error(err)
	}
}

func TestAccountsAreJudged(t *testing.T) {
	p, err := access.Standard.With(accounts.Kind).New().With(
		put(accounts.Account{ID: "0000000005", Name: "keeper", Role: accounts.RoleOwner}),
		put(accounts.Account{ID: "0000000006", Name: "guest", Role: accounts.RoleAdmin}))
	if err != nil {
		t.Fatal(err)
	}
	change := put(accounts.Account{ID: "0000000006", Name: "guest", Role: accounts.RoleViewer, Disabled: true,
		Epoch: 1})
	after, err := p.With(change)
	if err != nil {
		t.Fatal(err)
	}
	got := Judge(p, after, []access.Change{change}).String()
	if got != "1 disabled account and 1 demoted account" {
		t.Errorf("got %q", got)
	}
}

// If the store cannot be compared, nothing is forgotten and no door stays shut.
func TestAStoreThatCannotBeComparedIsAFinding(t *testing.T) {
	h := newHouse(t)
	h.open()
	h.furnish()
	h.revoke()
	h.record(2)
	h.close()
	before, err := os.ReadFile(h.place.File)
	if err != nil {
		t.Fatal(err)
	}
	h.openStore()
	h.record(2)
	ended, end := context.WithCancel(t.Context())
	end() // the store reads no event for it
	h.watch = Open(ended, Config{Store: h.store, Place: h.place, Log: slog.New(slog.DiscardHandler)})
	h.want("head.log is not written")
	h.lose()
	h.close()
	if after, err := os.ReadFile(h.place.File); err != nil || string(after) != string(before) {
		t.Fatalf("head.log was changed: %v", err)
	}
	h.open()
	h.want()
	if got := h.readFile().takenSince(0); got[KeyRevoked] != 1 || got[Unjudged] != 1 {
		t.Errorf("got %q", got)
	}
}

// Of a damaged file the lines before the damage count, and it is kept to look at.
func TestADamagedFileIsAFinding(t *testing.T) {
	h := newHouse(t)
	h.open()
	h.furnish()
	h.watch.flush()
	h.close()
	older := t.TempDir()
	copyFolder(t, h.place.Data, older)
	h.open()
	h.revoke()
	h.watch.flush()
	h.lose()
	h.watch.flush()
	h.record(1)
	h.close()
	text, err := os.ReadFile(h.place.File)
	if err != nil {
		t.Fatal(err)
	}
	at := bytes.Index(text, []byte("card-lost=1"))
	if at < 0 {
		t.Fatalf("no lost card in %s", text)
	}
	text[at+len("card-lost=")] = '0'
	if err := os.WriteFile(h.place.File, text, 0o600); err != nil {
		t.Fatal(err)
	}
	copyFolder(t, older, h.place.Data)
	h.open()
	h.want("is missing; at least 1 revoked key among them may be undone",
		"head.log was damaged, and a part of it is lost")
	if kept, err := os.ReadFile(h.place.File + ".damaged"); err != nil || string(kept) != string(text) {
		t.Errorf("the damaged file was not kept: %v", err)
	}
	h.readFile()
}

// A file that somebody removes, lengthens or replaces while it is written is written anew.
func TestAFileThatSomebodyElseChangesIsWrittenAnew(t *testing.T) {
	h := newHouse(t)
	h.open()
	h.furnish()
	text, err := os.ReadFile(h.place.File)
	if err != nil {
		t.Fatal(err)
	}
	for name, change := range map[string]func() error{
		"removed":    func() error { return os.Remove(h.place.File) },
		"lengthened": func() error { return os.WriteFile(h.place.File, append(text, "half a line"...), 0o600) },
		"replaced": func() error {
			return errors.Join(os.WriteFile(h.place.File+"2", text, 0o600), os.Rename(h.place.File+"2", h.place.File))
		},
	} {
		if err := change(); err != nil {
			t.Fatal(err)
		}
		p := h.store.Snapshot().Persons[annID]
		p.Suspended = true
		seq := h.apply(put(p))
		h.watch.flush()
		if got := h.readFile().takenSince(seq - 1); got[PersonSuspended] != 1 {
			t.Errorf("%s: got %q, want the suspension", name, got)
		}
		p.Suspended = false
		h.apply(put(p))
	}
}

// The file does not grow with the events, and becomes shorter without forgetting anything.
func TestTheFileStaysSmall(t *testing.T) {
	h := newHouse(t)
	h.open()
	h.furnish()
	before, _ := h.store.Head()
	h.revoke()
	h.watch.file.most = 4 << 10
	for range 100 {
		h.record(1)
		h.watch.flush()
		if info, err := os.Stat(h.place.File); err != nil || info.Size() > 5<<10 {
			t.Fatalf("%v, %v: want 5 KiB at most", info.Size(), err)
		}
	}
	if got := h.readFile().takenSince(before); got[KeyRevoked] != 1 || got.Sum() != 1 {
		t.Errorf("got %q, want the revocation", got)
	}
	h.close()
	h.open()
	h.want()
}
