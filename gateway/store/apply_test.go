package store

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"reflect"
	"slices"
	"strings"
	"testing"

	"github.com/dgraph-io/badger/v4"

	"latchkey/coapres/wire"
	"latchkey/gateway/access"
	"latchkey/gateway/access/accounts"
	"latchkey/gateway/audit"
	"latchkey/gateway/store/record"
	"latchkey/keys"
)

// describePolicy returns a policy as text, with secrets, so that tests can compare it.
func describePolicy(t testing.TB, p *access.Policy) []string {
	t.Helper()
	var out []string
	for r := range p.Records() {
		key, plain, err := record.EncodeRecord(r)
		if err != nil {
			t.Fatal(err)
		}
		back, err := record.DecodeRecord(key, plain)
		if err != nil {
			t.Fatal(err)
		}
		if !reflect.DeepEqual(back, r) {
			t.Errorf("%v: got %+v back, want %+v", key, back, r)
		}
		out = append(out, fmt.Sprintf("%v %x", key, plain))
	}
	slices.Sort(out)
	return out
}

func TestPolicyHoldsOverReopen(t *testing.T) {
	s := buildHouse(t, Options{Dir: t.TempDir()})
	mustApply(t, s, changeHouse(s)...)
	want, digest := describePolicy(t, s.Snapshot()), s.Digest()
	s = reopen(t, s)
	if got := describePolicy(t, s.Snapshot()); !slices.Equal(got, want) {
		t.Errorf("got  %v\nwant %v", got, want)
	}
	if s.Digest() != digest {
		t.Errorf("got digest %v, want %v", s.Digest(), digest)
	}
}

func TestPolicyEvent(t *testing.T) {
	s := buildHouse(t, Options{})
	seq, err := s.Apply(context.Background(), "root", putAll(access.Person{ID: id("eve"), Name: "eve"})...)
	if err != nil {
		t.Fatal(err)
	}
	ev := mustEvents(t, s, seq)[0]
	if ev.Kind != audit.EventPolicy || ev.Actor != "root" || ev.Digest != s.Digest() ||
		!strings.Contains(ev.Detail, "eve") {
		t.Errorf("got %+v, want the actor, the change and the digest in it", ev)
	}
	if ev := mustEvents(t, s, 1)[0]; !strings.Contains(ev.Detail, "and 16 more") ||
		strings.Contains(ev.Detail, "0123456789abc") {
		t.Errorf("got %q, want a short text without secrets", ev.Detail)
	}
}

func TestAccountEventHoldsNoSecret(t *testing.T) {
	s := buildHouse(t, Options{})
	keeper := accounts.Kind.In(s.Snapshot())[id("keeper")]
	other := keeper
	other.ID, other.Name = id("other"), "other"
	changed := keeper
	changed.Password, changed.TOTP = keys.Hide(keeperPassword+"x"), keys.Hide(keeperTOTP+"x")
	for _, c := range []access.Change{{Put: other}, {Put: changed}, {Delete: other}} {
		ev := mustEvents(t, s, mustApply(t, s, c))[0]
		if !strings.Contains(ev.Detail, "account") {
			t.Errorf("got %q, want the account named", ev.Detail)
		}
		for _, secret := range []string{"argon2id", keeperTOTP, keeper.Tokens[0].Hash.String()} {
			if strings.Contains(ev.Detail, secret) {
				t.Errorf("got %q, want it without secrets", ev.Detail)
			}
		}
	}
}

func TestLargestAccountIsKept(t *testing.T) {
	for _, dir := range []string{"", t.TempDir()} {
		s := buildHouse(t, Options{Dir: dir})
		r := accounts.Account{ID: id("large"), Name: "large", Role: accounts.RoleViewer,
			Password: keys.Hide(strings.Repeat("p", 512))}
		for i := range 16 {
			r.Passkeys = append(r.Passkeys, accounts.Passkey{ID: append(make([]byte, 1022), byte(i)),
				Label: fmt.Sprint("key ", i), Credential: make([]byte, 8<<10)})
		}
		for i := range 32 {
			r.Tokens = append(r.Tokens, accounts.Token{ID: id(fmt.Sprint("t", i)),
				Label: fmt.Sprint("token ", i), Hash: keys.Hash{byte(i + 1)},
				Scopes: []accounts.Scope{accounts.ScopeRead}})
		}
		for range 3 { // each time it replaces the one before
			r.Epoch++
			mustApply(t, s, access.Change{Put: r})
		}
		if dir != "" {
			s = reopen(t, s)
		}
		if got := accounts.Kind.In(s.Snapshot())[r.ID]; !reflect.DeepEqual(got, r) {
			t.Errorf("got %+v, want the account that was put", got)
		}
	}
}

func TestRefusedChangeChangesNothing(t *testing.T) {
	ctx := context.Background()
	s := buildHouse(t, Options{})
	before, digest := describePolicy(t, s.Snapshot()), s.Digest()
	many := make([]access.Change, MaxChanges+1)
	for name, test := range map[string]struct {
		changes []access.Change
		want    error
	}{
		"nothing":                {nil, access.ErrInvalid},
		"neither put nor delete": {[]access.Change{{}}, access.ErrInvalid},
		"both put and delete": {[]access.Change{{Put: access.Site{Zone: "UTC"}, Delete: access.Site{}}},
			access.ErrInvalid},
		"no record":              {putAll("ann"), access.ErrInvalid},
		"text that is not UTF-8": {putAll(access.Person{ID: id("eve"), Name: "e\xffve"}), access.ErrInvalid},
		"name taken, after a valid change": {putAll(access.Person{ID: id("eve"), Name: "eve"},
			access.Person{ID: id("adam"), Name: "ann"}), access.ErrConflict},
		"unknown target": {putAll(access.Grant{ID: id("g9"), SubjectKind: access.SubjectPerson,
			Subject: id("ann"), Target: id("attic"), Effect: access.Allow}), access.ErrNotFound},
		"no owner left": {[]access.Change{{Delete: accounts.Account{ID: id("keeper")}}},
			access.ErrInvalid},
		"still in use": {[]access.Change{{Delete: access.Target{ID: id("front")}}},
			access.ErrInUse},
		"too many": {many, ErrTooBig},
	} {
		if seq, err := s.Apply(ctx, "test", test.changes...); !errors.Is(err, test.want) || seq != 0 {
			t.Errorf("%s: got %d, %v, want %v", name, seq, err, test.want)
		}
	}
	if seq, _ := s.Head(); seq != 1 || s.Digest() != digest ||
		!slices.Equal(describePolicy(t, s.Snapshot()), before) {
		t.Error("a refused change changed something")
	}
}

func TestBigChanges(t *testing.T) {
	for _, dir := range []string{"", t.TempDir()} {
		s := buildHouse(t, Options{Dir: dir})
		grants := make([]access.Change, 0, MaxChanges)
		for i := range MaxChanges {
			grants = append(grants,
				access.Change{Put: access.Grant{ID: id(fmt.Sprint("big", i)),
					SubjectKind: access.SubjectPerson, Subject: id("ann"),
					Target: id("front"), Schedule: id("office"), Actions: []wire.Action{wire.Unlock},
					Effect: access.Allow}})
		}
		mustApply(t, s, grants...)
		members := make([]access.Change, 0, MaxChanges)
		group := access.Group{ID: id("everybody"), Name: "everybody", Of: access.OfPersons}
		for i := range 900 {
			name := fmt.Sprintf("%s %d", strings.Repeat("x", 50), i)
			members = append(members, access.Change{Put: access.Person{ID: id(name), Name: name}})
			group.Members = append(group.Members, id(name))
		}
		mustApply(t, s, append(members, access.Change{Put: group})...)
		if dir != "" {
			s = reopen(t, s)
		}
		if n := len(s.Snapshot().Grants); n != MaxChanges+5 {
			t.Errorf("got %d grants, want %d", n, MaxChanges+5)
		}
		for i := range grants {
			grants[i] = access.Change{Delete: grants[i].Put}
		}
		mustApply(t, s, grants...)
	}
}

func TestChangeOfTooManyBytesIsRefusedWhole(t *testing.T) {
	s := buildHouse(t, Options{Dir: t.TempDir()})
	longText := ""
	for day := range 20 {
		longText += fmt.Sprintf(", 2026-01-%02d 10:00-11:00", day+1)
	}
	var changes []access.Change
	for i := range MaxChanges {
		changes = append(changes,
			access.Change{Put: access.Schedule{ID: id(fmt.Sprint(i)), Name: fmt.Sprint("s", i),
				Text: "mon-fri 08:00-18:00" + longText}})
	}
	seq, err := s.Apply(context.Background(), "test", changes...)
	if errors.Is(err, access.ErrInvalid) {
		t.Fatal(err)
	}
	if !errors.Is(err, ErrTooBig) || !strings.Contains(err.Error(), "split") || seq != 0 {
		t.Errorf("got %d, %v, want ErrTooBig", seq, err)
	}
	if len(s.Snapshot().Schedules) != 1 {
		t.Errorf("got %d schedules, want only the one of before", len(s.Snapshot().Schedules))
	}
	mustApply(t, s, changes[:200]...)
}

func TestPutAndDeleteInOneChange(t *testing.T) {
	s := buildHouse(t, Options{Dir: t.TempDir()})
	eve := access.Person{ID: id("eve"), Name: "eve"}
	mustApply(t, s, access.Change{Put: eve}, access.Change{Delete: eve})
	mustApply(t, s, access.Change{Put: eve}, access.Change{Put: access.Person{ID: id("eve"), Name: "eva"}})
	mustApply(t, s, access.Change{Delete: eve}, access.Change{Put: eve})
	s = reopen(t, s)
	if p, ok := s.Snapshot().PersonByName("eve"); !ok || p.ID != eve.ID {
		t.Errorf("got %+v, want eve", p)
	}
}

func TestDeletedDeviceKeepsItsCounter(t *testing.T) {
	s := buildHouse(t, Options{Dir: t.TempDir()})
	mustAdmit(t, s, scan(s, 5))
	reader := s.Snapshot().Devices[id("front-reader")]
	key := s.Snapshot().Keys["lk-0123456789"]
	key.State = keys.Revoked
	mustApply(t, s, access.Change{Put: key})
	mustApply(t, s, access.Change{Delete: key}, access.Change{Delete: reader})
	s = reopen(t, s)
	mustApply(t, s, putAll(reader)...)
	if got := mustAdmit(t, s, scan(s, 4)); got.Decision.Reason != access.ReasonReplayed {
		t.Errorf("got %+v, want replayed", got)
	}
}

func TestRevisionsAreListed(t *testing.T) {
	s := buildHouse(t, Options{})
	seq := mustApply(t, s, access.Change{Delete: access.Grant{ID: id("g1")}},
		access.Change{Put: access.Person{ID: id("eve"), Name: "eve"}})
	err := s.db.View(func(txn *badger.Txn) error {
		plain, err := s.reader.Get(txn, record.ChangeKey(seq))
		if err != nil {
			return err
		}
		rec, err := record.Decode[record.ChangeRecord](plain)
		got := map[record.Key]int{}
		for _, c := range rec.Changed {
			got[record.Key(c.Key)] = len(c.Leaf)
		}
		want := map[record.Key]int{record.MakeKey(record.KindGrant, id("g1")): 0,
			record.MakeKey(record.KindPerson, id("eve")): 16}
		if !maps.Equal(got, want) {
			t.Errorf("got %v, want %v", got, want)
		}
		return err
	})
	if err != nil {
		t.Error(err)
	}
}
