package rollback

import (
	"reflect"
	"strings"
	"testing"
	"time"

	"latchkey/coapres/wire"
	"latchkey/gateway/access"
	"latchkey/gateway/access/accounts"
	"latchkey/gateway/access/sinks"
	"latchkey/gateway/audit"
	"latchkey/gateway/endpoint"
	"latchkey/gateway/store/record"
	"latchkey/keys"
)

// judged lists each field of each kind of record: what somebody may change there takes away the
// kinds after it, or nothing (-). deleted stands for the deletion of the record.
var judged = map[string]string{
	"access.Site": `deleted - Zone - TimeTrusted - Epoch -
		Lockdown lockdown`,
	"access.Person": `deleted person-removed Name - Created - ID -
		Suspended person-suspended`,
	"access.Credential": `deleted card-removed ID - Tail - Created -
		Status card-lost From card-narrowed Until card-narrowed Person card-narrowed`,
	"access.Target": `deleted target-removed ID - Name - Created - Pulse -
		Kind target-removed`,
	"access.Device": `deleted device-removed ID - Name - Created -
		Kind device-moved Targets device-moved`,
	"keys.Key": `deleted - ID - Device - Secret - Created - LastUsed -
		State key-revoked`,
	"access.Group": `deleted group-removed ID - Name - Created -
		Of group-changed Members group-changed`,
	"access.Schedule": `deleted - ID - Name - Created -
		Text schedule-changed`,
	"access.Grant": `deleted grant-removed ID - Created -
		SubjectKind grant-narrowed Subject grant-narrowed Target grant-narrowed TargetGroup grant-narrowed
		Actions grant-narrowed Schedule grant-narrowed From grant-narrowed Until grant-narrowed
		Effect grant-denied Code grant-narrowed CodeOf grant-narrowed`,
	"access.Integration": `deleted integration-removed ID - Name - Prefix - Created -
		Endpoint integration-moved Base integration-moved Paused integration-paused`,
	"access.PIN": `deleted pin-removed Person - Created -
		Hash pin-changed`,
	"accounts.Account": `deleted account-removed ID - Name - Created -
		Role account-demoted Disabled account-disabled Password sign-in-removed TOTP sign-in-removed
		Passkeys sign-in-removed Tokens sign-in-removed Epoch sessions-ended`,
	"sinks.Sink": `deleted sink-removed ID - Name - Secrets - Declare - From - Created -
		Protocol sink-narrowed Endpoint sink-narrowed Place sink-narrowed Only sink-narrowed IDsOnly sink-narrowed
		Paused sink-paused`,
	"retention.Setting": `deleted - Days -`,
}

// A new kind of record, and a new field of one, must be judged before anything is released.
func TestEachFieldOfEachKindIsJudged(t *testing.T) {
	seen := map[string]bool{}
	for _, kind := range record.Codecs.Policy.Kinds() {
		name := kind.RecordType().String()
		list, ok := judged[name]
		if !ok {
			t.Errorf("%s: nobody has judged what takes something away", name)
			continue
		}
		words := strings.Fields(list)
		fields := map[string]string{}
		for i := 0; i+1 < len(words); i += 2 {
			fields[words[i]] = words[i+1]
			seen[words[i+1]] = true
		}
		if fields["deleted"] == "" {
			t.Errorf("%s: nothing says what its deletion takes away", name)
		}
		delete(fields, "deleted")
		for f := range kind.RecordType().Fields() {
			if fields[f.Name] == "" {
				t.Errorf("%s.%s: nobody has judged what its change takes away", name, f.Name)
			}
			delete(fields, f.Name)
		}
		for f := range fields {
			t.Errorf("%s.%s: there is no such field", name, f)
		}
		if judge, _ := judgeRecord(reflect.Zero(kind.RecordType()).Interface()); judge == nil {
			t.Errorf("%s: Judge does not know it", name)
		}
	}
	for k, n := range names {
		if n.code == "" || n.one == "" {
			t.Errorf("kind %d has no name", k)
		}
		if Kind(k) != Unjudged && !seen[n.code] {
			t.Errorf("%s: no field leads to it", n.code)
		}
	}
}

// change is a change of one record and what it takes away.
type judgeCase struct {
	rule   string
	before access.Record // nil: there is none
	after  access.Record // nil: it is deleted
	want   string        // codes, or empty
}

var at = time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)

func TestJudge(t *testing.T) {
	card := access.Credential{ID: access.CredentialID{1}, Person: annID, Tail: "e580", Status: access.CardActive}
	grant := access.Grant{ID: grantID, SubjectKind: access.SubjectPerson, Subject: annID, Target: doorID,
		Effect: access.Allow}
	deny := grant
	deny.Effect = access.Deny
	key := keys.Key{ID: keyID, Device: lockID, Secret: keys.NewSecret(), State: keys.Active}
	lock := access.Device{ID: lockID, Name: "lock", Kind: keys.KindLock, Targets: []access.ID{doorID}}
	group := access.Group{ID: "g", Name: "g", Of: access.OfPersons, Members: []access.ID{annID}}
	account := accounts.Account{ID: "a", Name: "a", Role: accounts.RoleAdmin, Password: keys.Hide("x"),
		Tokens: []accounts.Token{{ID: "t", Label: "t", Hash: keys.Hash{1},
			Scopes: []accounts.Scope{accounts.ScopeRead}}},
		Passkeys: []accounts.Passkey{{ID: []byte{1}, Label: "p"}}}
	integration := access.Integration{ID: "i", Name: "i", Base: "b",
		Endpoint: endpoint.Endpoint{URL: "mqtts://a"}}
	sink := sinks.Sink{ID: "s", Name: "s", Protocol: sinks.MQTT, Endpoint: endpoint.Endpoint{URL: "mqtts://a"}}
	person := access.Person{ID: annID, Name: "ann"}
	site := access.Site{Zone: "UTC"}
	schedule := access.Schedule{ID: "w", Name: "w", Text: "mon 08:00-10:00"}
	pin := access.PIN{Person: annID, Hash: keys.Hide("x")}
	door := access.Target{ID: doorID, Name: "front", Kind: access.Door, Pulse: time.Second}
	cases := []judgeCase{
		{"a lockdown begins", site, edited(site, func(r *access.Site) { r.Lockdown = true }), "lockdown"},
		{"a lockdown ends", edited(site, func(r *access.Site) { r.Lockdown = true }), site, ""},
		{"another zone", site, access.Site{Zone: "Europe/Berlin"}, ""},
		{"a person is suspended", person, edited(person, func(r *access.Person) { r.Suspended = true }),
			"person-suspended"},
		{"a suspended person is renamed", edited(person, func(r *access.Person) { r.Suspended = true }),
			access.Person{ID: annID, Name: "eve", Suspended: true}, ""},
		{"a person goes", person, nil, "person-removed"},
		{"a person comes", nil, person, ""},
		{"a card is lost", card, edited(card, func(r *access.Credential) { r.Status = access.CardLost }),
			"card-lost"},
		{"a lost card is found", edited(card, func(r *access.Credential) { r.Status = access.CardLost }), card, ""},
		{"a card ends", card, edited(card, func(r *access.Credential) { r.Until = at }), "card-narrowed"},
		{"a card begins later", card, edited(card, func(r *access.Credential) { r.From = at }), "card-narrowed"},
		{"a card ends later", edited(card, func(r *access.Credential) { r.Until = at }), card, ""},
		{"another's card", card, edited(card, func(r *access.Credential) { r.Person = "x" }), "card-narrowed"},
		{"a card goes", card, nil, "card-removed"},
		{"a key is revoked", key, edited(key, func(r *keys.Key) { r.State = keys.Revoked }), "key-revoked"},
		{"a key is used", key, edited(key, func(r *keys.Key) { r.LastUsed = at }), ""},
		{"a pending key becomes active", edited(key, func(r *keys.Key) { r.State = keys.Pending }), key, ""},
		{"a key goes with its device", key, nil, ""},
		{"a device goes", lock, nil, "device-removed"},
		{"a device leaves its door", lock, edited(lock, func(r *access.Device) { r.Targets = nil }),
			"device-moved"},
		{"a device gets a second target", lock,
			edited(lock, func(r *access.Device) { r.Targets = []access.ID{doorID, "x"} }), ""},
		{"a door goes", door, nil, "target-removed"},
		{"another pulse", door, edited(door, func(r *access.Target) { r.Pulse = time.Minute }), ""},
		{"a member goes", group, edited(group, func(r *access.Group) { r.Members = nil }), "group-changed"},
		{"a member comes", group, edited(group, func(r *access.Group) { r.Members = []access.ID{annID, "x"} }), ""},
		{"a group goes", group, nil, "group-removed"},
		{"another schedule", schedule, edited(schedule, func(r *access.Schedule) { r.Text = "tue 08:00-10:00" }),
			"schedule-changed"},
		{"a grant goes", grant, nil, "grant-removed"},
		{"a deny grant goes", deny, nil, ""},
		{"a grant comes", nil, grant, ""},
		{"a deny grant comes", nil, deny, "grant-denied"},
		{"a grant becomes a deny grant", grant, deny, "grant-denied"},
		{"a deny grant becomes a grant", deny, grant, ""},
		{"a deny grant is made anew", deny, edited(deny, func(r *access.Grant) { r.Created = at }), ""},
		{"a deny grant changes", deny, edited(deny, func(r *access.Grant) { r.Until = at }), "grant-denied"},
		{"a grant for fewer actions", grant,
			edited(grant, func(r *access.Grant) { r.Actions = []wire.Action{wire.Lock} }), "grant-narrowed"},
		{"a grant for all actions", edited(grant, func(r *access.Grant) { r.Actions = []wire.Action{wire.Lock} }),
			grant, ""},
		{"a grant gets a schedule", grant, edited(grant, func(r *access.Grant) { r.Schedule = "w" }),
			"grant-narrowed"},
		{"a grant loses its schedule", edited(grant, func(r *access.Grant) { r.Schedule = "w" }), grant, ""},
		{"a grant gets a code", grant, edited(grant, func(r *access.Grant) { r.Code = keys.Hide("1") }),
			"grant-narrowed"},
		{"another code", edited(grant, func(r *access.Grant) { r.Code = keys.Hide("1") }),
			edited(grant, func(r *access.Grant) { r.Code = keys.Hide("2") }), "grant-narrowed"},
		{"an integration is paused", integration,
			edited(integration, func(r *access.Integration) { r.Paused = "why" }), "integration-paused"},
		{"another broker", integration,
			edited(integration, func(r *access.Integration) { r.Endpoint.URL = "mqtts://b" }), "integration-moved"},
		{"an integration goes", integration, nil, "integration-removed"},
		{"another PIN", pin, edited(pin, func(r *access.PIN) { r.Hash = keys.Hide("y") }), "pin-changed"},
		{"a PIN goes", pin, nil, "pin-removed"},
		{"a PIN comes", nil, pin, ""},
		{"an account is disabled", account,
			edited(account, func(r *accounts.Account) { r.Disabled = true; r.Epoch++ }), "account-disabled"},
		{"an account is demoted", account,
			edited(account, func(r *accounts.Account) { r.Role = accounts.RoleViewer }), "account-demoted"},
		{"an account is promoted", account,
			edited(account, func(r *accounts.Account) { r.Role = accounts.RoleOwner }), ""},
		{"another password", account,
			edited(account, func(r *accounts.Account) { r.Password = keys.Hide("y") }), "sign-in-removed"},
		{"a first password",
			edited(account, func(r *accounts.Account) { r.Password = keys.Hidden{} }), account, ""},
		{"one-time codes", account, edited(account, func(r *accounts.Account) { r.TOTP = keys.Hide("z") }),
			"sign-in-removed"},
		{"a passkey goes", account, edited(account, func(r *accounts.Account) { r.Passkeys = nil }),
			"sign-in-removed"},
		{"a token goes", account, edited(account, func(r *accounts.Account) { r.Tokens = nil }), "sign-in-removed"},
		{"signed out everywhere", account, edited(account, func(r *accounts.Account) { r.Epoch++ }),
			"sessions-ended"},
		{"an account goes", account, nil, "account-removed"},
		{"a sink is paused", sink, edited(sink, func(r *sinks.Sink) { r.Paused = "why" }), "sink-paused"},
		{"a sink without names", sink, edited(sink, func(r *sinks.Sink) { r.IDsOnly = true }), "sink-narrowed"},
		{"a sink for fewer kinds", sink,
			edited(sink, func(r *sinks.Sink) { r.Only = []audit.EventKind{audit.EventStop} }), "sink-narrowed"},
		{"a sink goes", sink, nil, "sink-removed"},
	}
	covered := map[string]bool{}
	for _, c := range cases {
		got := judgeAlone(c.before, c.after)
		if codes := strings.TrimSpace(got.codes()); codes != c.want && codes != c.want+"=1" {
			t.Errorf("%s: got %q, want %q", c.rule, codes, c.want)
		}
		covered[c.want] = true
	}
	for k, n := range names {
		if Kind(k) != Unjudged && !covered[n.code] {
			t.Errorf("no case leads to %s", n.code)
		}
	}
}

// judgeAlone judges a change of one record in policies that need not be consistent.
func judgeAlone(before, after access.Record) (c Counts) {
	r := before
	if r == nil {
		r = after
	}
	if before == nil {
		p := record.Codecs.Policy.New()
		return Judge(p, p, []access.Change{{Put: r}})
	}
	judge, _ := judgeRecord(r)
	for _, k := range judge(before, after, record.Codecs.Policy.New()) {
		c[k]++
	}
	return c
}

func edited[R any](r R, f func(*R)) R {
	f(&r)
	return r
}

// Somebody who joins a group that is denied something loses that.
func TestANewMemberOfADeniedGroupIsJudged(t *testing.T) {
	p, err := record.Codecs.Policy.New().With(put(access.Person{ID: annID, Name: "ann"}),
		put(access.Target{ID: doorID, Name: "front", Kind: access.Door, Pulse: time.Second}),
		put(access.Group{ID: "0000000009", Name: "evicted", Of: access.OfPersons}),
		put(access.Grant{ID: grantID, SubjectKind: access.SubjectGroup, Subject: "0000000009", Target: doorID,
			Effect: access.Deny}))
	if err != nil {
		t.Fatal(err)
	}
	joins := put(access.Group{ID: "0000000009", Name: "evicted", Of: access.OfPersons,
		Members: []access.ID{annID}})
	after, err := p.With(joins)
	if err != nil {
		t.Fatal(err)
	}
	if got := Judge(p, after, []access.Change{joins, joins}).String(); got != "1 change of who is in a group" {
		t.Errorf("got %q", got)
	}
}

// What goes with a removed record counts: it comes back with an older copy.
func TestWhatGoesWithAPersonCounts(t *testing.T) {
	h := newHouse(t)
	h.open()
	h.furnish()
	before := h.store.Snapshot()
	changes, err := before.Removal(access.Person{ID: annID})
	if err != nil {
		t.Fatal(err)
	}
	after, err := before.With(changes...)
	if err != nil {
		t.Fatal(err)
	}
	got := Judge(before, after, changes).String()
	if want := "1 removed card, 1 removed person and 1 removed grant"; got != want {
		t.Errorf("got %q, want %q", got, want)
	}
}
