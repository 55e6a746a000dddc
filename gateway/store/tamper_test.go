package store

import (
	"context"
	"errors"
	"maps"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/dgraph-io/badger/v4"

	"latchkey/coapres/wire"
	"latchkey/gateway/access"
	"latchkey/gateway/access/accounts"
	"latchkey/gateway/audit"
	"latchkey/gateway/store/engine"
	"latchkey/gateway/store/record"
	"latchkey/keys"
)

// editRaw opens the database of a closed store directly with Badger.
func editRaw(t *testing.T, dir string, f func(txn *badger.Txn) error) {
	t.Helper()
	db, err := badger.Open(engine.MakeOptions(engine.Config{Dir: Options{Dir: dir}.files().DB,
		MemTable: engine.DefaultMemTable}))
	if err != nil {
		t.Fatal(err)
	}
	if err := db.Update(f); err != nil {
		t.Fatal(err)
	}
	if err := db.Close(); err != nil {
		t.Fatal(err)
	}
}

func getRaw(t *testing.T, txn *badger.Txn, key record.Key) []byte {
	t.Helper()
	item, err := txn.Get([]byte(key))
	if err != nil {
		t.Fatalf("%v: %v", key, err)
	}
	v, err := item.ValueCopy(nil)
	if err != nil {
		t.Fatal(err)
	}
	return v
}

// readRaw returns every key and value of a closed store.
func readRaw(t *testing.T, dir string) map[record.Key][]byte {
	t.Helper()
	all := make(map[record.Key][]byte)
	editRaw(t, dir, func(txn *badger.Txn) error {
		it := txn.NewIterator(badger.DefaultIteratorOptions)
		defer it.Close()
		for it.Rewind(); it.Valid(); it.Next() {
			v, err := it.Item().ValueCopy(nil)
			if err != nil {
				return err
			}
			all[record.Key(it.Item().Key())] = v
		}
		return nil
	})
	return all
}

// makeLived makes a store with a record of every kind, and closes it. before are the keys and
// values from before the last changes.
func makeLived(t *testing.T) (o Options, before map[record.Key][]byte) {
	t.Helper()
	o = Options{Dir: t.TempDir(), Now: newClock().Now, checkpoint: 1} // so that there is a counter record
	s := buildHouse(t, o)
	mustAdmit(t, s, scan(s, 1))
	mustPutSignIn(t, s, "phone", "signed in as keeper", o.Now().Add(time.Hour))
	checkAndClose(t, s)
	before = readRaw(t, o.Dir)
	s = mustOpen(t, o)
	mustApply(t, s, changeHouse(s)...)
	mustAdmit(t, s, scan(s, 2))
	mustRecord(t, s, audit.Event{Kind: audit.EventStart})
	checkAndClose(t, s)
	return o, before
}

// forgePage returns a page of version 2 with one event, as somebody with the site key could write
// it.
func forgePage(t *testing.T, s *Store, ev audit.Event) []byte {
	t.Helper()
	var event record.Encoder
	body := event.Encode(&record.Event{Event: ev})
	return s.sealer.Seal(string(record.EventKey(ev.Seq)), append(record.BeginPage(nil, ev.Prev), body...))
}

// changeHouse changes one record of every kind.
func changeHouse(s *Store) []access.Change {
	p := s.Snapshot()
	card := p.Credentials[s.CredentialID(annUID)]
	card.Tail = "e581"
	key := p.Keys["lk-0123456789"]
	key.State = keys.Retiring
	sched := p.Schedules[id("office")]
	sched.Text = "mon-thu 08:00-18:00"
	group := p.Groups[id("doors")]
	group.Name = "gates"
	grant := *p.Grants[id("g2")]
	grant.Actions = []wire.Action{wire.Lock}
	keeper := accounts.Kind.In(p)[id("keeper")]
	keeper.Epoch++
	return putAll(access.Site{Zone: "Europe/Paris"}, access.Person{ID: id("ann"), Name: "anna"}, card, key,
		sched, group, grant, keeper,
		access.Target{ID: id("hall"), Name: "hallway", Kind: access.Lamp},
		access.Device{ID: id("hall-switch"), Name: "hallway-switch", Kind: keys.KindSwitch,
			Targets: []access.ID{id("hall")}})
}

// listKinds returns one record of each kind, and how an error names it.
func listKinds(s *Store) map[record.Key]string {
	uid := s.CredentialID(annUID)
	card := record.Key("c" + string(uid[:]))
	return map[record.Key]string{
		record.FormatKey: "format record", record.HeadKey: "head record", record.SiteKey: "site record",
		record.MakeKey(record.KindPerson, id("ann")): "person \"" + string(id("ann")),
		card:                         "credential " + s.CredentialID(annUID).String(),
		record.Key("klk-0123456789"): "key \"lk-0123456789\"",
		record.MakeKey(record.KindSchedule, id("office")):    "schedule \"" + string(id("office")),
		record.MakeKey(record.KindGroup, id("doors")):        "group \"" + string(id("doors")),
		record.MakeKey(record.KindGrant, id("g2")):           "grant \"" + string(id("g2")),
		record.MakeKey(record.KindAccount, id("keeper")):     "account \"" + string(id("keeper")),
		record.MakeKey(record.KindTarget, id("hall")):        "target \"" + string(id("hall")),
		record.MakeKey(record.KindDevice, id("hall-switch")): "device \"" + string(id("hall-switch")),
		record.CounterKey(id("front-reader")):                "counter \"" + string(id("front-reader")),
		record.EventKey(5):                                   "event 5", // the newest
		record.EventKey(3):                                   "event 3", // the policy's
		// the one that the counter records refer to
		record.EventKey(4): "event 4",
	}
}

// openRefused opens a store that must not open, and returns the error's text.
func openRefused(t *testing.T, o Options) string {
	t.Helper()
	s, err := Open(context.Background(), o)
	if err == nil {
		_ = s.Close()
		t.Fatal("opened, want an error")
	}
	if !errors.Is(err, ErrCorrupt) {
		t.Errorf("got %v, want ErrCorrupt", err)
	}
	return err.Error()
}

func wantNamed(t *testing.T, got, name string) {
	t.Helper()
	if !strings.Contains(got, name) {
		t.Errorf("got %q, want it to name %s", got, name)
	}
}

func TestTamperedRecordIsNamed(t *testing.T) {
	o, before := makeLived(t)
	now := readRaw(t, o.Dir)
	s, err := Open(context.Background(), o)
	if err != nil {
		t.Fatal(err)
	}
	checkAndClose(t, s)
	for key, name := range listKinds(s) {
		t.Run(name, func(t *testing.T) {
			defer editRaw(t, o.Dir, func(txn *badger.Txn) error { return txn.Set([]byte(key), now[key]) })
			tampered := map[string][]byte{"vanished": nil, "empty": {}}
			for what, at := range map[string]int{"version": 0, "text": 30} {
				b := append([]byte(nil), now[key]...)
				b[at] ^= 4
				tampered["flipped bit in "+what] = b
			}
			if old, ok := before[key]; ok && key != record.FormatKey {
				tampered["put back"] = old
			}
			for what, value := range tampered {
				editRaw(t, o.Dir, func(txn *badger.Txn) error {
					if value == nil {
						return txn.Delete([]byte(key))
					}
					return txn.Set([]byte(key), value)
				})
				t.Log(what)
				wantNamed(t, openRefused(t, o), name)
			}
		})
	}
}

func TestSwappedRecordsDoNotOpen(t *testing.T) {
	o, _ := makeLived(t)
	a, b := record.MakeKey(record.KindGrant, id("g1")), record.MakeKey(record.KindGrant, id("g3"))
	editRaw(t, o.Dir, func(txn *badger.Txn) error {
		va, vb := getRaw(t, txn, a), getRaw(t, txn, b)
		return errors.Join(txn.Set([]byte(a), vb), txn.Set([]byte(b), va))
	})
	wantNamed(t, openRefused(t, o), "grant")
}

func TestDeletedRecordPutBackIsNamed(t *testing.T) {
	o, _ := makeLived(t)
	old := readRaw(t, o.Dir)
	s := mustOpen(t, o)
	mustApply(t, s, access.Change{Delete: access.Grant{ID: id("g1")}})
	checkAndClose(t, s)
	key := record.MakeKey(record.KindGrant, id("g1"))
	editRaw(t, o.Dir, func(txn *badger.Txn) error { return txn.Set([]byte(key), old[key]) })
	got := openRefused(t, o)
	wantNamed(t, got, key.String())
	wantNamed(t, got, "deleted and is back")
}

func TestPolicyPutBackWithItsHeadIsRefused(t *testing.T) {
	o, before := makeLived(t)
	editRaw(t, o.Dir, func(txn *badger.Txn) error {
		for key, v := range before { // everything except the events since then
			if err := txn.Set([]byte(key), v); err != nil {
				return err
			}
		}
		return nil
	})
	wantNamed(t, openRefused(t, o), "head record: older than event 5")
}

func TestWholeRollbackIsFoundByAHeadKeptElsewhere(t *testing.T) {
	o, before := makeLived(t)
	s := mustOpen(t, o)
	seq, hash := s.Head()
	if err := s.VerifyHead(context.Background(), seq, hash); err != nil {
		t.Error(err)
	}
	checkAndClose(t, s)
	editRaw(t, o.Dir, func(txn *badger.Txn) error {
		for key := range listRaw(txn) {
			if _, ok := before[key]; !ok {
				if err := txn.Delete([]byte(key)); err != nil {
					return err
				}
			}
		}
		for key, v := range before {
			if err := txn.Set([]byte(key), v); err != nil {
				return err
			}
		}
		return nil
	})
	wantNamed(t, openRefused(t, o), "site.head has seen event")
	remove(t, o.files().Head) // as it is when the whole folder is rolled back
	s = mustOpen(t, o)
	if err := s.Verify(context.Background()); err != nil {
		t.Errorf("got %v, want that a rolled back store verifies without a kept head", err)
	}
	err := s.VerifyHead(context.Background(), seq, hash)
	if !errors.Is(err, ErrCorrupt) || !strings.Contains(err.Error(), "rolled back") {
		t.Errorf("got %v, want an error that says it was rolled back", err)
	}
	hash[3] ^= 1
	if err := s.VerifyHead(context.Background(), 1, hash); !errors.Is(err, ErrCorrupt) {
		t.Errorf("got %v, want another hash refused", err)
	}
}

func listRaw(txn *badger.Txn) map[record.Key]bool {
	out := make(map[record.Key]bool)
	it := txn.NewIterator(badger.IteratorOptions{})
	defer it.Close()
	for it.Rewind(); it.Valid(); it.Next() {
		out[record.Key(it.Item().Key())] = true
	}
	return out
}

func TestVerifyNamesTheFirstBadEvent(t *testing.T) {
	ctx := context.Background()
	tests := []struct {
		name   string
		tamper func(s *Store, txn *badger.Txn) error
		want   string
	}{
		{"removed", func(s *Store, txn *badger.Txn) error { return txn.Delete([]byte(record.EventKey(7))) },
			"event 7 is missing"},
		{"changed by somebody with the site key", func(s *Store, txn *badger.Txn) error {
			ev := mustEvents(t, s, 7)[0]
			ev.Detail = "nothing"
			return txn.Set([]byte(record.EventKey(7)), forgePage(t, s, ev))
		}, "event 8: does not follow event 7"},
		{"swapped", func(s *Store, txn *badger.Txn) error {
			a, b := getRaw(t, txn, record.EventKey(6)), getRaw(t, txn, record.EventKey(7))
			return errors.Join(txn.Set([]byte(record.EventKey(6)), b), txn.Set([]byte(record.EventKey(7)), a))
		}, "event 6"},
		{"flipped", func(s *Store, txn *badger.Txn) error {
			v := getRaw(t, txn, record.EventKey(7))
			v[len(v)/2] ^= 1
			return txn.Set([]byte(record.EventKey(7)), v)
		}, "event 7"},
		{"the first removed", func(s *Store, txn *badger.Txn) error {
			return txn.Delete([]byte(record.EventKey(1)))
		}, "event 1 is missing"},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			s := mustOpen(t, Options{})
			for range 10 {
				mustRecord(t, s, audit.Event{Kind: audit.EventReport, Detail: "door forced"})
			}
			var undo map[record.Key][]byte
			if err := s.db.View(func(txn *badger.Txn) error {
				undo = map[record.Key][]byte{}
				for n := uint64(1); n <= 10; n++ {
					undo[record.EventKey(n)] = getRaw(t, txn, record.EventKey(n))
				}
				return nil
			}); err != nil {
				t.Fatal(err)
			}
			if err := s.Verify(ctx); err != nil {
				t.Fatal(err)
			}
			if err := s.db.Update(func(txn *badger.Txn) error { return test.tamper(s, txn) }); err != nil {
				t.Fatal(err)
			}
			err := s.Verify(ctx)
			if !errors.Is(err, ErrCorrupt) {
				t.Fatalf("got %v, want ErrCorrupt", err)
			}
			wantNamed(t, err.Error(), test.want)
			if err := s.Check(ctx); !errors.Is(err, ErrCorrupt) {
				t.Errorf("got %v, want that the check finds it too", err)
			}
			if err := s.db.Update(func(txn *badger.Txn) error {
				for key, v := range maps.All(undo) {
					if err := txn.Set([]byte(key), v); err != nil {
						return err
					}
				}
				return nil
			}); err != nil {
				t.Fatal(err)
			}
		})
	}
}

func TestNothingReadableIsOnDisk(t *testing.T) {
	o, _ := makeLived(t)
	for _, secret := range []string{"anna", "front-reader", "0123456789abcdefghjkmnpqrs", string(annUID),
		"weekdays", "granted", "keeper", "argon2id", keeperTOTP, "publicKey"} {
		for key, v := range readRaw(t, o.Dir) {
			if strings.Contains(string(key), secret) || strings.Contains(string(v), secret) {
				t.Errorf("%v holds %q in the clear", key, secret)
			}
		}
		walk(t, os.DirFS(o.Dir), func(path string, _ os.FileInfo, data []byte) {
			if strings.Contains(string(data), secret) {
				t.Errorf("%s holds %q in the clear", path, secret)
			}
		})
	}
}
