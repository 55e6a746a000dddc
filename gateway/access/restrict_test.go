package access_test

import (
	"testing"
	"time"

	"latchkey/gateway/access"
	"latchkey/gateway/access/accounts"
	"latchkey/keys"
)

func TestRestricts(t *testing.T) {
	at := time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)
	person := access.Person{ID: "0000000001", Name: "ann", Created: at}
	card := access.Credential{ID: access.CredentialID{1}, Person: person.ID, Tail: "e580",
		Status: access.CardActive, Created: at}
	door := access.Target{ID: "0000000002", Name: "front", Kind: access.Door, Pulse: time.Second}
	lock := access.Device{ID: "0000000003", Name: "lock", Kind: keys.KindLock, Targets: []access.ID{door.ID}}
	key := keys.Key{ID: "lk-0123456789", Device: lock.ID, Secret: keys.NewSecret(), State: keys.Active,
		Created: at}
	grant := access.Grant{ID: "0000000004", SubjectKind: access.SubjectPerson, Subject: person.ID,
		Target: door.ID, Effect: access.Allow}
	account := accounts.Account{ID: "0000000005", Name: "keeper", Role: accounts.RoleOwner, Epoch: 3}
	guest := accounts.Account{ID: "0000000006", Name: "guest", Role: accounts.RoleViewer, Epoch: 3}
	var all []access.Change
	for _, r := range []access.Record{access.Site{Zone: "UTC"}, person, card, door, lock, key, grant, account,
		guest} {
		all = append(all, access.Change{Put: r})
	}
	p, err := access.Standard.With(accounts.Kind).New().With(all...)
	if err != nil {
		t.Fatal(err)
	}
	kept := func(r access.Record) access.Record {
		r, ok := p.Get(r)
		if !ok {
			t.Fatalf("%T is not there", r)
		}
		return r
	}
	revoked := kept(key).(keys.Key)
	revoked.State, revoked.Secret = keys.Revoked, keys.Secret{}
	revokedWithSecret := kept(key).(keys.Key)
	revokedWithSecret.State = keys.Revoked
	otherSecret := revokedWithSecret
	otherSecret.Secret = keys.NewSecret()
	suspended := kept(person).(access.Person)
	suspended.Suspended = true
	renamed := suspended
	renamed.Name = "eve"
	lost := kept(card).(access.Credential)
	lost.Status = access.CardLost
	longer := lost
	longer.Until = at.AddDate(9, 0, 0)
	disabled := kept(guest).(accounts.Account)
	disabled.Disabled, disabled.Epoch = true, 4
	promoted := disabled
	promoted.Role = accounts.RoleOwner
	older := disabled
	older.Epoch = 2
	put := func(r ...access.Record) (out []access.Change) {
		for _, r := range r {
			out = append(out, access.Change{Put: r})
		}
		return out
	}
	for _, c := range []struct {
		rule    string
		changes []access.Change
		want    bool
	}{
		{"a lockdown begins", put(access.Site{Zone: "UTC", Lockdown: true}), true},
		{"a lockdown begins and the zone changes", put(access.Site{Zone: "Europe/Berlin", Lockdown: true}),
			false},
		{"nothing", nil, false},
		{"a key is revoked", put(revoked), true},
		{"a key is revoked and its secret is kept", put(revokedWithSecret), true},
		{"a key is revoked with another secret", put(otherSecret), false},
		{"a key that does not exist", put(keys.Key{ID: "lk-9999999999", State: keys.Revoked}), false},
		{"a person is suspended", put(suspended), true},
		{"a person is suspended and renamed", put(renamed), false},
		{"a new person who is suspended", put(access.Person{ID: "0000000009", Suspended: true}), false},
		{"a card is lost", put(lost), true},
		{"a card is lost and is valid for longer", put(longer), false},
		{"an account is disabled", put(disabled), true},
		{"an account is disabled and promoted", put(promoted), false},
		{"an account whose old sessions would be valid again", put(older), false},
		{"several restrictions", put(lost, suspended, revoked), true},
		{"several changes, one of them no restriction", put(lost, renamed), false},
		{"a grant is deleted", []access.Change{{Delete: grant}}, false},
		{"a device is deleted", []access.Change{{Delete: lock}}, false},
		{"a deny grant is added", put(access.Grant{ID: "0000000008", SubjectKind: access.SubjectPerson,
			Subject: person.ID,
			Target:  door.ID, Effect: access.Deny}), false},
	} {
		if got := access.Restricts(p, c.changes...); got != c.want {
			t.Errorf("%s: got %v, want %v", c.rule, got, c.want)
		}
	}
	on, err := p.With(put(access.Site{Zone: "UTC", Lockdown: true})...)
	if err != nil {
		t.Fatal(err)
	}
	if access.Restricts(on, put(access.Site{Zone: "UTC"})...) {
		t.Error("a lockdown ends: got a restriction")
	}
}
