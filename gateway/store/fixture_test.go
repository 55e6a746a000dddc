package store

import (
	"bytes"
	"context"
	"encoding/hex"
	"encoding/json"
	"flag"
	"fmt"
	"maps"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/dgraph-io/badger/v4"

	"latchkey/gateway/access"
	"latchkey/gateway/access/accounts"
	"latchkey/gateway/access/retention"
	"latchkey/gateway/access/sinks"
	"latchkey/gateway/audit"
	"latchkey/gateway/store/record"
	"latchkey/keys"
)

var update = flag.Bool("update", false,
	"write the newest folder of testdata again; if a record changes, make a new folder instead")

// newest is the folder that writeFixture writes. In v1 every event is a record of its own, and the
// counters are always on disk; v2 has no accounts and no sign-ins; v3 has no addresses; v4 has
// no integrations, PINs and sinks, and older forms of the site and of grants; v5 has no retention,
// and no event was removed.
const newest = "testdata/v6"

// TestStoredOldDatabaseOpens loads the keys and sealed values that stores of each version wrote,
// and reads them. The site.key in a folder of testdata is used by that store alone.
func TestStoredOldDatabaseOpens(t *testing.T) {
	if *update {
		writeFixture(t)
	}
	for _, fixture := range []string{"testdata/v1", "testdata/v2", "testdata/v3", "testdata/v4", "testdata/v5", newest} {
		t.Run(filepath.Base(fixture), func(t *testing.T) { checkFixture(t, fixture) })
	}
}

// loadFixture opens a store of which fixture holds the keys and sealed values.
func loadFixture(t *testing.T, fixture string) *Store {
	t.Helper()
	c := newClock()
	o := Options{Dir: t.TempDir(), Now: c.Now}
	for _, name := range []string{"site.key", "site.check"} {
		b, err := os.ReadFile(filepath.Join(fixture, name))
		if err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(o.Dir, name), b, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	dump, err := os.ReadFile(filepath.Join(fixture, "records.txt"))
	if err != nil {
		t.Fatal(err)
	}
	editRaw(t, o.Dir, func(txn *badger.Txn) error {
		for line := range strings.Lines(string(dump)) {
			var key, value []byte
			if _, err := fmt.Sscanf(line, "%x %x", &key, &value); err != nil {
				return err
			}
			if err := txn.Set(key, value); err != nil {
				return err
			}
		}
		return nil
	})
	return mustOpen(t, o)
}

func checkFixture(t *testing.T, fixture string) {
	s := loadFixture(t, fixture)
	want, err := os.ReadFile(filepath.Join(fixture, "want.txt"))
	if err != nil {
		t.Fatal(err)
	}
	if got := describeStore(t, s); got != string(want) {
		t.Errorf("got:\n%s\nwant:\n%s", got, want)
	}
	// New attempts and changes still work.
	if got := mustAdmit(t, s, scan(s, 2)); !got.Duplicate || got.Outcome != audit.OutcomeDone {
		t.Errorf("got %+v, want the recorded attempt", got)
	}
	mustApply(t, s, putAll(access.Person{ID: id("eve"), Name: "eve"})...)
	reopen(t, s)
}

// describeStore returns, as text, everything in a store that its readers can see.
func describeStore(t *testing.T, s *Store) string {
	t.Helper()
	var out bytes.Buffer
	seq, hash := s.Head()
	at, _ := s.LastEventAt()
	fmt.Fprintf(&out, "head %d %v\nlast event %v\ndigest %v\n", seq, hash, at, s.Digest())
	var lines []string
	for r := range s.Snapshot().Records() {
		b, err := json.Marshal(r)
		if err != nil {
			t.Fatal(err)
		}
		// The files have the name that the type of accounts had when they were written.
		line := strings.Replace(fmt.Sprintf("%T %s", r, b), "accounts.Account", "access.Account", 1)
		if k, ok := r.(keys.Key); ok {
			line += " secret " + k.Secret.Reveal()
		}
		if a, ok := r.(accounts.Account); ok {
			line += " password " + a.Password.Reveal() + " totp " + a.TOTP.Reveal()
			for _, token := range a.Tokens {
				line += " token " + token.Hash.String()
			}
		}
		switch r := r.(type) {
		case access.Grant:
			if !r.Code.IsZero() {
				line += " code " + r.Code.Reveal()
			}
		case access.PIN:
			line += " hash " + r.Hash.Reveal()
		case access.Integration:
			line += " password " + r.Endpoint.Password.Reveal()
		case sinks.Sink:
			line += " password " + r.Endpoint.Password.Reveal()
			for _, secret := range r.Secrets {
				line += " secret " + secret.Reveal()
			}
		}
		lines = append(lines, line)
	}
	slices.Sort(lines)
	for _, line := range lines {
		fmt.Fprintln(&out, line)
	}
	if data := signIn(t, s, "phone"); data != "none" {
		fmt.Fprintln(&out, "sign-in", data)
	}
	addresses := mustAddresses(t, s)
	for _, device := range slices.Sorted(maps.Keys(addresses)) {
		fmt.Fprintln(&out, "address", device, addresses[device])
	}
	for _, r := range sinks.Kind.In(s.Snapshot()) {
		if c, ok := mustSinkCursor(t, s, r.ID); ok {
			fmt.Fprintf(&out, "cursor %s %+v\n", r.ID, c)
		}
		for _, d := range mustDeadLetters(t, s, r.ID) {
			fmt.Fprintf(&out, "dead letter %s %+v\n", r.ID, d)
		}
	}
	if r := s.Removed(); !r.IsZero() {
		fmt.Fprintf(&out, "removed %+v\n", r)
	}
	for _, ev := range mustEvents(t, s, 1) {
		b, err := json.Marshal(ev)
		if err != nil {
			t.Fatal(err)
		}
		fmt.Fprintf(&out, "event %s\n", b)
	}
	return out.String()
}

func writeFixture(t *testing.T) {
	t.Helper()
	c := newClock()
	g := newGate()
	o := Options{Dir: t.TempDir(), Now: c.Now, BeforeCommit: g.beforeCommit, checkpoint: 6}
	s := buildHouse(t, o)
	ctx := context.Background()
	mustRecord(t, s, audit.Event{Kind: audit.EventStart, Detail: "version 0.2.0"})
	mustAdmit(t, s, scan(s, 1))
	lost := scan(s, 1)
	lost.Credential, lost.Tail, lost.Device, lost.ClockTrusted = s.CredentialID([]byte{1, 2, 3, 4}), "0304",
		id("back-reader"), false
	mustAdmit(t, s, lost)
	mustApply(t, s, changeHouse(s)...)
	mustApply(t, s, access.Change{Delete: access.Grant{ID: id("g3")}})
	trusted := mustRecord(t, s, audit.Event{Kind: audit.EventTimeTrusted})
	mustApply(t, s, putAll(access.Site{Zone: "Europe/Paris", TimeTrusted: trusted.Seq, Epoch: 3})...)
	adm := mustAdmit(t, s, scan(s, 2))
	mustRecord(t, s, audit.Event{Kind: audit.EventReceipt, Cause: adm.Seq, Outcome: audit.OutcomeDone,
		Device: audit.Named{ID: id("front-lock"), Name: "front-lock"}})
	if _, err := s.Admit(ctx, access.Attempt{Source: access.ByOperator, Operator: "root", Target: id("hall"),
		Action: 6, Level: 40, At: c.Now()}); err != nil {
		t.Fatal(err)
	}
	recordTogether(t, g, s, 3, func(i int) audit.Event {
		return audit.Event{Kind: audit.EventReport, Detail: fmt.Sprint("report ", i)}
	})
	mustPutSignIn(t, s, "phone", "signed in as keeper", c.Now().Add(time.Hour))
	mustPutAddresses(t, s,
		map[access.ID]netip.AddrPort{id("front-lock"): netip.MustParseAddrPort("192.0.2.7:40001")})
	mustApply(t, s, putAll(retention.Setting{Days: 400})...)
	mustMoveCursor(t, s, id("hook"), audit.SinkCursor{Epoch: 3, Seq: 9, Hash: keys.Hash{2}, Failing: c.Now()},
		audit.DeadLetter{Seq: 8, Why: "HTTP 413", Tries: 1, At: c.Now()})
	if got := cutUpTo(t, s, 100); got != 5 {
		t.Fatalf("got %d events removed, want 5: a sink begins at 7", got)
	}
	want := describeStore(t, s)
	checkAndClose(t, s)
	all := readRaw(t, o.Dir)
	var dump bytes.Buffer
	var names []record.Key
	for key := range all {
		names = append(names, key)
	}
	slices.Sort(names)
	for _, key := range names {
		fmt.Fprintf(&dump, "%s %s\n", hex.EncodeToString([]byte(key)), hex.EncodeToString(all[key]))
	}
	site, err := os.ReadFile(filepath.Join(o.Dir, "site.key"))
	if err != nil {
		t.Fatal(err)
	}
	check, err := os.ReadFile(filepath.Join(o.Dir, "site.check"))
	if err != nil {
		t.Fatal(err)
	}
	if err := os.MkdirAll(newest, 0o755); err != nil {
		t.Fatal(err)
	}
	for name, b := range map[string][]byte{"site.key": site, "site.check": check,
		"records.txt": dump.Bytes(), "want.txt": []byte(want)} {
		if err := os.WriteFile(filepath.Join(newest, name), b, 0o644); err != nil {
			t.Fatal(err)
		}
	}
}

// FuzzDecode decodes records, sign-ins and events from plaintexts, which only a holder of the site
// key can make. What it can decode stays the same when it is encoded and decoded again.
func FuzzDecode(f *testing.F) {
	s := mustOpen(f, Options{})
	for _, c := range house(s) {
		key, plain, err := record.EncodeRecord(c.Put)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(string(key), plain)
	}
	signIn, err := record.MakeSignIn([]byte("signed in"), newClock().Now()).Encode()
	if err != nil {
		f.Fatal(err)
	}
	f.Add(string(record.SignInKey(cookie("phone"))), signIn)
	address, err := record.EncodeAddress(netip.MustParseAddrPort("[2001:db8::1]:5684"))
	if err != nil {
		f.Fatal(err)
	}
	f.Add(string(record.AddressKey(id("front-lock"))), address)
	var event record.Encoder
	page := record.BeginPage(nil, keys.Hash{})
	for seq := range uint64(3) {
		ev := record.Event{Event: audit.Event{Seq: seq + 1, At: newClock().Now(), Kind: audit.EventStart,
			Digest: keys.Hash{1}}, Attempt: [32]byte{byte(seq)}}
		page = append(page, event.Encode(&ev)...)
	}
	f.Add(string(record.EventKey(1)), page)
	f.Fuzz(func(t *testing.T, key string, plain []byte) {
		if record.Key(key).Kind() == record.KindEvent {
			page, err := record.DecodePage(record.Key(key).Seq(), plain)
			if err != nil {
				return
			}
			again := record.BeginPage(nil, page[0].Prev)
			for _, ev := range page {
				again = append(again, event.Encode(&ev)...)
			}
			back, err := record.DecodePage(page[0].Seq, again)
			if err != nil || len(back) != len(page) {
				t.Fatalf("got %+v, %v, want %+v", back, err, page)
			}
			for i := range page { // another version, or another form of the same value, changes only the hash
				back[i].Prev, back[i].Hash = page[i].Prev, page[i].Hash
				if back[i] != page[i] {
					t.Errorf("got %+v, want %+v", back[i], page[i])
				}
			}
			return
		}
		if record.Key(key).Kind() == record.KindSignIn {
			r, err := record.DecodeSignIn(record.Key(key), plain)
			if err != nil {
				return
			}
			again, err := record.MakeSignIn(r.Data, r.Expiry.Time()).Encode()
			if err != nil {
				t.Fatal(err)
			}
			back, err := record.DecodeSignIn(record.Key(key), again)
			if err != nil || !bytes.Equal(back.Data, r.Data) || !back.Expiry.Time().Equal(r.Expiry.Time()) {
				t.Errorf("got %+v, %v, want %+v", back, err, r)
			}
			return
		}
		if record.Key(key).Kind() == record.KindAddress {
			at, err := record.DecodeAddress(plain)
			if err != nil {
				return
			}
			again, err := record.EncodeAddress(at)
			if back, err2 := record.DecodeAddress(again); err != nil || err2 != nil || back != at {
				t.Errorf("got %v, %v, %v, want %v", back, err, err2, at)
			}
			return
		}
		r, err := record.DecodeRecord(record.Key(key), plain)
		if err != nil {
			return
		}
		k, once, err := record.EncodeRecord(r)
		if err != nil {
			t.Fatal(err)
		}
		r, err = record.DecodeRecord(k, once)
		if err != nil {
			t.Fatalf("decodes, but not after it is encoded again: %v", err)
		}
		if _, twice, err := record.EncodeRecord(r); err != nil || !bytes.Equal(once, twice) {
			t.Errorf("%v: got %x, then %x", k, once, twice)
		}
	})
}
