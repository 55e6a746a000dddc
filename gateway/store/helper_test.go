package store

import (
	"context"
	"crypto/sha256"
	"fmt"
	"os"
	"sync"
	"testing"
	"time"
	_ "time/tzdata"

	"go.uber.org/goleak"

	"latchkey/coapres/wire"
	"latchkey/gateway/access"
	"latchkey/gateway/access/accounts"
	"latchkey/gateway/access/sinks"
	"latchkey/gateway/audit"
	"latchkey/gateway/endpoint"
	"latchkey/keys"
)

func TestMain(m *testing.M) {
	usual := defaultBallast
	defaultBallast = 1
	if what := os.Getenv(childEnv); what != "" {
		os.Exit(childMain(what))
	}
	if dir := os.Getenv(childDir); dir != "" {
		defaultBallast = usual
		runChildStore(dir)
		return
	}
	goleak.VerifyTestMain(m)
}

// clock is a wall clock that moves only when a test calls move.
type clock struct {
	mu  sync.Mutex
	now time.Time // guarded by mu
}

func newClock() *clock { return &clock{now: time.Date(2026, 3, 2, 9, 0, 0, 0, time.UTC)} }

func (c *clock) Now() time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.now
}

func (c *clock) move(d time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.now = c.now.Add(d)
}

// id returns the id of the record with that name in tests.
func id(name string) access.ID {
	sum := sha256.Sum256([]byte(name))
	out := make([]byte, 10)
	for i := range out {
		out[i] = "0123456789abcdefghjkmnpqrstvwxyz"[sum[i]%32]
	}
	return access.ID(out)
}

func putAll(records ...access.Record) (out []access.Change) {
	for _, r := range records {
		out = append(out, access.Change{Put: r})
	}
	return out
}

// annUID is the UID of ann's card. She may open the front door, and nobody else may.
var annUID = []byte{0x04, 0xa1, 0xb2, 0xc3, 0xd4, 0xe5, 0x80}

const (
	keeperPassword = "$argon2id$v=19$m=65536,t=3,p=1$c2FsdHNhbHRzYWx0c2FsdA$aGFzaGhhc2hoYXNoaGFzaA"
	keeperTOTP     = "JBSWY3DPEHPK3PXPJBSWY3DPEHPK3PXP"
)

func house(s *Store) []access.Change {
	created := time.Date(2026, 1, 1, 0, 0, 0, 123456789, time.UTC)
	secret, err := keys.ParseSecret("0123456789abcdefghjkmnpqrs")
	if err != nil {
		panic(err)
	}
	return putAll(
		access.Site{Zone: "Europe/Berlin"},
		access.Person{ID: id("ann"), Name: "ann", Created: created},
		access.Person{ID: id("bob"), Name: "bob", Suspended: true},
		access.Credential{ID: s.CredentialID(annUID), Person: id("ann"), Tail: "e580",
			Status: access.CardActive, Created: created},
		access.Credential{ID: s.CredentialID([]byte{1, 2, 3, 4}), Person: id("bob"), Tail: "0304",
			Status: access.CardLost, From: created,
			Until: created.AddDate(400, 0, 0)},
		access.Target{ID: id("front"), Name: "front", Kind: access.Door, Pulse: 3 * time.Second},
		access.Target{ID: id("hall"), Name: "hall", Kind: access.Lamp},
		access.Device{ID: id("front-reader"), Name: "front-reader", Kind: keys.KindReader,
			Targets: []access.ID{id("front")}},
		access.Device{ID: id("front-lock"), Name: "front-lock", Kind: keys.KindLock,
			Targets: []access.ID{id("front")}},
		access.Device{ID: id("hall-switch"), Name: "hall-switch", Kind: keys.KindSwitch,
			Targets: []access.ID{id("hall")}},
		keys.Key{ID: "lk-0123456789", Device: id("front-reader"), Secret: secret, State: keys.Active,
			Created: created},
		access.Group{ID: id("doors"), Name: "doors", Of: access.OfTargets, Members: []access.ID{id("front")}},
		access.Schedule{ID: id("office"), Name: "office", Text: "mon-fri 08:00-18:00"},
		access.Grant{ID: id("g1"), SubjectKind: access.SubjectPerson, Subject: id("ann"), Target: id("front"),
			Effect: access.Allow},
		access.Grant{ID: id("g2"), SubjectKind: access.SubjectPerson, Subject: id("bob"),
			TargetGroup: id("doors"),
			Actions:     []wire.Action{wire.Unlock}, Schedule: id("office"), Until: created.AddDate(9, 0, 0),
			Effect: access.Allow},
		access.Grant{ID: id("g3"), SubjectKind: access.SubjectDevice, Subject: id("hall-switch"),
			Target: id("hall"), Effect: access.Allow},
		accounts.Account{ID: id("keeper"), Name: "keeper", Role: accounts.RoleOwner,
			Password: keys.Hide(keeperPassword), TOTP: keys.Hide(keeperTOTP),
			Passkeys: []accounts.Passkey{{ID: []byte{1, 0xff, 0}, Label: "phone",
				Credential: []byte(`{"publicKey":"pQECAyYg"}`), Created: created},
				{ID: []byte{2}, Label: "stick", Credential: []byte{0}}},
			Tokens: []accounts.Token{{ID: id("token"), Label: "backup", Hash: keys.Hash{1, 0xfe},
				Scopes: []accounts.Scope{accounts.ScopeRead, accounts.ScopeLamps},
				Until:  created.AddDate(1, 0, 0), Created: created}, {ID: id("other token"), Label: "report",
				Hash:   keys.Hash{2},
				Scopes: []accounts.Scope{accounts.ScopeRead}}},
			Epoch: 7, Created: created},
		accounts.Account{ID: id("guest"), Name: "guest", Role: accounts.RoleViewer, Disabled: true},
		access.Integration{ID: id("home"), Name: "home", Base: "latchkey", Prefix: "homeassistant",
			Endpoint: endpoint.Endpoint{URL: "mqtts://broker.example:8884", User: "latchkey",
				Password: keys.Hide("broker password"), Private: true},
			Paused: "20 wrong codes", Created: created},
		access.PIN{Person: id("ann"), Hash: keys.Hide(keeperPassword), Created: created},
		access.Grant{ID: id("g4"), SubjectKind: access.SubjectIntegration, Subject: id("home"),
			Target: id("front"), Actions: []wire.Action{wire.Unlock}, Effect: access.Allow,
			CodeOf: id("ann")},
		access.Grant{ID: id("g5"), SubjectKind: access.SubjectIntegration, Subject: id("home"),
			Target: id("front"), Actions: []wire.Action{wire.Lock}, Effect: access.Allow,
			Code: keys.Hide(keeperPassword)},
		sinks.Sink{ID: id("hook"), Name: "hook", Protocol: sinks.Webhook,
			Endpoint: endpoint.Endpoint{URL: "https://hooks.example/latchkey"},
			Secrets:  []keys.Hidden{keys.Hide("whsec_new"), keys.Hide("whsec_old")}, IDsOnly: true, From: 1,
			Only: []audit.EventKind{audit.EventDecision, audit.EventReport}, Created: created},
		sinks.Sink{ID: id("queue"), Name: "queue", Protocol: sinks.AMQP091, Place: "events", Declare: true,
			Endpoint: endpoint.Endpoint{URL: "amqp://127.0.0.1", User: "guest", Password: keys.Hide("guest")},
			From:     7, Paused: "401 from the server"},
	)
}

// mustOpen opens a store. At its end the test checks that it is consistent, and closes it.
func mustOpen(t testing.TB, o Options) *Store {
	t.Helper()
	if o.Dir == "" {
		o.InMemory = true
	}
	s, err := Open(context.Background(), o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { checkAndClose(t, s) })
	return s
}

// checkAndClose checks that a store is consistent, and closes it. A failed or closed store cannot
// be checked.
func checkAndClose(t testing.TB, s *Store) {
	t.Helper()
	select {
	case <-s.gone:
	default:
		if s.Failed() == nil {
			if err := s.Check(context.Background()); err != nil {
				t.Errorf("check: %v", err)
			}
		}
	}
	if err := s.Close(); err != nil {
		t.Errorf("close: %v", err)
	}
}

// reopen checks and closes s, and opens it again.
func reopen(t testing.TB, s *Store) *Store {
	t.Helper()
	checkAndClose(t, s)
	return mustOpen(t, s.opts)
}

// buildHouse opens a store and puts the house into it.
func buildHouse(t testing.TB, o Options) *Store {
	t.Helper()
	s := mustOpen(t, o)
	mustApply(t, s, house(s)...)
	return s
}

func mustApply(t testing.TB, s *Store, changes ...access.Change) uint64 {
	t.Helper()
	seq, err := s.Apply(context.Background(), "test", changes...)
	if err != nil {
		t.Fatal(err)
	}
	return seq
}

func mustAdmit(t testing.TB, s *Store, a access.Attempt) Admission {
	t.Helper()
	adm, err := s.Admit(context.Background(), a)
	if err != nil {
		t.Fatal(err)
	}
	return adm
}

func mustRecord(t testing.TB, s *Store, ev audit.Event) audit.Event {
	t.Helper()
	ev, err := s.Record(context.Background(), ev)
	if err != nil {
		t.Fatal(err)
	}
	return ev
}

// cookie returns the id of the sign-in with that name in tests.
func cookie(name string) [32]byte { return sha256.Sum256([]byte(name)) }

func mustPutSignIn(t testing.TB, s *Store, name, data string, expiry time.Time) {
	t.Helper()
	if err := s.PutSignIn(context.Background(), cookie(name), []byte(data), expiry); err != nil {
		t.Fatal(err)
	}
}

func mustDeleteSignIn(t testing.TB, s *Store, name string) {
	t.Helper()
	if err := s.DeleteSignIn(context.Background(), cookie(name)); err != nil {
		t.Fatal(err)
	}
}

// readSignIn returns the data of a sign-in; "none" if there is none.
func signIn(t testing.TB, s *Store, name string) string {
	t.Helper()
	data, ok, err := s.SignIn(context.Background(), cookie(name))
	if err != nil {
		t.Fatal(err)
	}
	if !ok {
		return "none"
	}
	return string(data)
}

func mustEvents(t testing.TB, s *Store, from uint64) []audit.Event {
	t.Helper()
	evs, err := s.Events(context.Background(), from, 1<<20)
	if err != nil {
		t.Fatal(err)
	}
	return evs
}

// scan is an attempt with ann's card at the front reader.
func scan(s *Store, n uint64) access.Attempt {
	return access.Attempt{Source: access.ByCard, Device: id("front-reader"),
		Credential: s.CredentialID(annUID), Tail: "e580",
		Target: id("front"), Action: wire.Unlock, Counter: n, At: s.opts.Now(), ClockTrusted: true}
}

// describeTree lists every file below dir with its mode, its time and a hash of its content.
func describeTree(t testing.TB, dir string) string {
	t.Helper()
	out := ""
	fsys := os.DirFS(dir)
	walk(t, fsys, func(path string, info os.FileInfo, data []byte) {
		out += fmt.Sprintf("%s %v %v %x\n", path, info.Mode(), info.ModTime().UnixNano(), sha256.Sum256(data))
	})
	return out
}
