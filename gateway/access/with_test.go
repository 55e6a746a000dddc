package access

import (
	"errors"
	"fmt"
	"maps"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"latchkey/coapres/wire"
	"latchkey/gateway/text"
	"latchkey/keys"
)

func changeCopy[T any](r T, f func(*T)) T { f(&r); return r }

func TestWithRefuses(t *testing.T) {
	at := time.Date(2026, 11, 23, 8, 0, 0, 0, time.UTC)
	g := func(f func(*Grant)) []Change { return putAll(changeCopy(grant("g-new", "ann", "front-door"), f)) }
	del := func(r Record) []Change { return []Change{{Delete: r}} }
	for _, tt := range []struct {
		name    string
		changes []Change
		want    error
		says    string
	}{
		{"a change that does nothing", []Change{{}}, ErrInvalid, "exactly one"},
		{"a change that does both", []Change{{Put: person("eve"), Delete: person("ann")}}, ErrInvalid,
			"exactly one"},
		{"a record by pointer", putAll(&Person{}), ErrInvalid, "by value"},
		{"a foreign type", putAll("ann"), ErrInvalid, "by value"},
		{"deleting a foreign type", del(7), ErrInvalid, "by value"},

		{"an unknown zone", putAll(Site{Zone: "Mars/Olympus"}), ErrInvalid, "Europe/Berlin"},
		{"an empty zone", putAll(Site{}), ErrInvalid, "time zone"},
		{"the machine's zone", putAll(Site{Zone: "Local"}), ErrInvalid, "time zone"},
		{"deleting the site", del(Site{}), ErrInvalid, "site"},

		{"a person without a name", putAll(Person{ID: id("eve")}), ErrInvalid, "1 to 64"},
		{"a name of 65 bytes", putAll(Person{ID: id("eve"), Name: strings.Repeat("x", 65)}), ErrInvalid,
			"1 to 64"},
		{"a name with a control character", putAll(Person{ID: id("eve"), Name: "e\x1bve"}), ErrInvalid,
			"printable"},
		{"a name with a direction override", putAll(Person{ID: id("eve"), Name: "e\u202eve"}), ErrInvalid,
			"printable"},
		{"a name that is not UTF-8", putAll(Person{ID: id("eve"), Name: "e\xffve"}), ErrInvalid, "printable"},
		{"a name with a leading space", putAll(Person{ID: id("eve"), Name: " eve"}), ErrInvalid, "printable"},
		{"a name with a trailing space", putAll(Person{ID: id("eve"), Name: "eve "}), ErrInvalid,
			"printable"},
		{"a person without an id", putAll(Person{Name: "eve"}), ErrInvalid, "NewID"},
		{"an id of another form", putAll(Person{ID: "0123456789a", Name: "eve"}), ErrInvalid, "NewID"},
		{"an id with a letter that Crockford leaves out", putAll(Person{ID: "012345678l", Name: "eve"}),
			ErrInvalid, "NewID"},
		{"a second ann", putAll(Person{ID: id("eve"), Name: "ann"}), ErrConflict, "ann"},

		{"a card of nobody", putAll(card("eve", "04e3")), ErrNotFound, "put that first"},
		{"a card without an id", putAll(changeCopy(card("ann", "04a3"),
			func(c *Credential) { c.ID = CredentialID{} })), ErrInvalid, "id"},
		{"a card without a status",
			putAll(changeCopy(card("ann", "04a3"), func(c *Credential) { c.Status = "" })),
			ErrInvalid, "active or lost"},
		{"a card without a tail",
			putAll(changeCopy(card("ann", "04a3"), func(c *Credential) { c.Tail = "" })),
			ErrInvalid, "tail"},
		{"a card with more than a tail",
			putAll(changeCopy(card("ann", "04a3"), func(c *Credential) { c.Tail = "04a1b2c3" })), ErrInvalid,
			"tail"},
		{"a card that ends when it starts",
			putAll(changeCopy(card("ann", "04a3"), func(c *Credential) { c.From, c.Until = at, at })),
			ErrInvalid,
			"until after from"},

		{"a door with capitals", putAll(door("Front")), ErrInvalid, "a-z"},
		{"a door with a slash", putAll(door("front/door")), ErrInvalid, "a-z"},
		{"a door that starts with a dot", putAll(door(".front")), ErrInvalid, "letter or a digit"},
		{"a door without a pulse", putAll(Target{ID: id("x"), Name: "x", Kind: Door}), ErrInvalid, "200ms"},
		{"a pulse of 61 s", putAll(Target{ID: id("x"), Name: "x", Kind: Door, Pulse: 61 * time.Second}),
			ErrInvalid, "1m0s"},
		{"a lamp with a pulse", putAll(Target{ID: id("x"), Name: "x", Kind: Lamp, Pulse: time.Second}),
			ErrInvalid, "pulse"},
		{"a target of no kind", putAll(Target{ID: id("x"), Name: "x"}), ErrInvalid, "door or lamp"},
		{"a second front-door", putAll(changeCopy(door("x"), func(r *Target) { r.Name = "front-door" })),
			ErrConflict, "front-door"},
		{"a door with a lock made a lamp", putAll(changeCopy(lamp("front-door"), func(*Target) {})),
			ErrInvalid,
			"a door"},

		{"a reader without a target", putAll(device(keys.KindReader, "x")), ErrInvalid, "exactly one"},
		{"a reader with two targets", putAll(device(keys.KindReader, "x", "front-door", "back-door")),
			ErrInvalid, "exactly one"},
		{"a lock at a lamp", putAll(device(keys.KindLock, "x", "hall-lamp")), ErrInvalid, "a door"},
		{"a lamp at a door", putAll(device(keys.KindLamp, "x", "back-door")), ErrInvalid, "a lamp"},
		{"a switch without a target", putAll(device(keys.KindSwitch, "x")), ErrInvalid, "at least one"},
		{"a sensor with two targets", putAll(device(keys.KindSensor, "x", "front-door", "back-door")),
			ErrInvalid, "one or none"},
		{"a device of no kind", putAll(device("", "x", "front-door")), ErrInvalid, "one of"},
		{"a device at nothing", putAll(device(keys.KindReader, "x", "nothing")), ErrNotFound,
			"put that first"},
		{"a target listed twice", putAll(device(keys.KindSwitch, "x", "hall-lamp", "hall-lamp")), ErrInvalid,
			"twice"},
		{"a second lock at a door", putAll(device(keys.KindLock, "x", "front-door")), ErrInvalid,
			"front-lock"},
		{"a second front-reader", putAll(changeCopy(device(keys.KindReader, "x", "front-door"),
			func(r *Device) { r.Name = "front-reader" })), ErrConflict, "front-reader"},
		{"a switch with grants made a sensor", putAll(device(keys.KindSensor, "hall-switch", "hall-lamp")),
			ErrInvalid, "switch"},

		{"a key of no device", putAll(key(9, "nothing", keys.Pending)), ErrNotFound, "put that first"},
		{"a key with another form of id",
			putAll(changeCopy(key(9, "front-lock", keys.Pending), func(k *keys.Key) { k.ID = "lk-x" })),
			ErrInvalid, "keys.NewID"},
		{"a key without a secret", putAll(changeCopy(key(9, "front-lock", keys.Pending),
			func(k *keys.Key) { k.Secret = keys.Secret{} })), ErrInvalid, "secret"},
		{"a key in no state", putAll(key(9, "front-lock", "")), ErrInvalid, "pending, active"},
		{"an active key made pending", putAll(key(1, "front-reader", keys.Pending)), ErrInvalid,
			"mint a new key"},
		{"a revoked key made active, in one step", putAll(key(1, "front-reader", keys.Revoked),
			key(1, "front-reader", keys.Active)), ErrInvalid, "mint a new key"},
		{"a key deleted and put back earlier in its life", append(del(key(1, "", "")),
			putAll(key(1, "front-reader", keys.Pending))...), ErrInvalid, "mint a new key"},
		{"a key moved to another device", putAll(key(1, "front-lock", keys.Active)), ErrInvalid,
			"mint a new key"},
		{"a key with another secret", putAll(changeCopy(key(1, "front-reader", keys.Active),
			func(k *keys.Key) { k.Secret = keys.NewSecret() })), ErrInvalid, "mint a new key"},
		{"deleting a key of an enrolled device", del(key(1, "", "")), ErrInUse, "revoke"},

		{"a group of neither kind", putAll(group("", "x")), ErrInvalid, "persons or targets"},
		{"a group with a member that is not there", putAll(group(OfPersons, "x", "eve")), ErrNotFound,
			"put that first"},
		{"a group of persons with a door in it", putAll(group(OfPersons, "x", "front-door")), ErrNotFound,
			"put that first"},
		{"a group of targets with a person in it", putAll(group(OfTargets, "x", "ann")), ErrNotFound,
			"put that first"},
		{"a group of persons with grants made one of targets",
			putAll(group(OfTargets, "staff", "front-door")),
			ErrInvalid, "group of persons"},
		{"a second staff, of targets", putAll(changeCopy(group(OfTargets, "x"),
			func(r *Group) { r.Name = "staff" })), ErrConflict, "staff"},
		{"a group with a space", putAll(group(OfPersons, "x y")), ErrInvalid, "a-z"},

		{"a schedule that does not parse", putAll(schedule("x", "always")), ErrInvalid, "mon-fri"},
		{"a second weekdays", putAll(changeCopy(schedule("x", "daily 00:00-24:00"),
			func(r *Schedule) { r.Name = "weekdays" })), ErrConflict, "weekdays"},
		{"a schedule without a name", putAll(Schedule{ID: id("x"), Text: "daily 00:00-24:00"}), ErrInvalid,
			"1 to 64"},

		{"a grant on nothing", g(func(g *Grant) { g.Target = "" }), ErrInvalid, "exactly one"},
		{"a grant on a target and a group", g(func(g *Grant) { g.TargetGroup = id("outer") }), ErrInvalid,
			"exactly one"},
		{"a grant on a target that is not there", g(func(g *Grant) { g.Target = id("x") }), ErrNotFound,
			"put that first"},
		{"a grant on a group of persons", g(func(g *Grant) { g.Target, g.TargetGroup = "", id("staff") }),
			ErrInvalid, "group of targets"},
		{"a grant to a group of targets", g(func(g *Grant) {
			g.SubjectKind, g.Subject = SubjectGroup,
				id("outer")
		}), ErrInvalid, "group of persons"},
		{"a grant to nobody", g(func(g *Grant) { g.Subject = id("eve") }), ErrNotFound, "put that first"},
		{"a grant to a subject of no kind", g(func(g *Grant) { g.SubjectKind = "" }), ErrInvalid,
			"person, group, device or integration"},
		{"a grant to a reader", g(func(g *Grant) {
			g.SubjectKind, g.Subject = SubjectDevice,
				id("front-reader")
		}), ErrInvalid, "switch"},
		{"a grant to a device that is not there", g(func(g *Grant) { g.SubjectKind = SubjectDevice }),
			ErrNotFound, "put that first"},
		{"a grant of an action that does not fit",
			g(func(g *Grant) { g.Actions = []wire.Action{wire.Unlock, wire.Toggle} }), ErrInvalid, "toggle"},
		{"a grant of an unknown action", g(func(g *Grant) { g.Actions = []wire.Action{0} }), ErrInvalid,
			"action(0)"},
		{"a grant without an effect", g(func(g *Grant) { g.Effect = "" }), ErrInvalid, "allow or deny"},
		{"a grant that ends before it starts",
			g(func(g *Grant) { g.From, g.Until = at, at.Add(-time.Second) }), ErrInvalid, "until after from"},
		{"a grant on a schedule that is not there", g(func(g *Grant) { g.Schedule = id("x") }), ErrNotFound,
			"put that first"},
		{"a grant without an id", g(func(g *Grant) { g.ID = "" }), ErrInvalid, "NewID"},

		{"deleting a person who is not there", del(person("eve")), ErrNotFound, "person eve"},
		{"deleting the same person twice", []Change{{Put: person("eve")}, {Delete: person("eve")},
			{Delete: person("eve")}}, ErrNotFound, "eve"},
		{"deleting a person with a card", del(Person{ID: id("ann")}), ErrInUse, "person ann"},
		{"deleting a target with devices", del(Target{ID: id("hall-lamp")}), ErrInUse, "hall-l"},
		{"deleting a target in a group", del(Target{ID: id("back-door")}), ErrInUse, "group outer"},
		{"deleting a device with keys", del(Device{ID: id("front-lock")}), ErrInUse, "key lk-"},
		{"deleting a switch with grants", del(Device{ID: id("hall-switch")}), ErrInUse,
			"grant hall-switch → hall-lamp"},
		{"deleting a group with grants", del(Group{ID: id("staff")}), ErrInUse, "grant staff → outer"},
		{"deleting a schedule in use", del(Schedule{ID: id("weekdays")}), ErrInUse,
			"grant ann → front-door, weekdays"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			p := makeHouse(t)
			next, err := p.With(tt.changes...)
			if !errors.Is(err, tt.want) || next != nil {
				t.Fatalf("got %v, %v, want nil, %v", next, err, tt.want)
			}
			if !strings.Contains(err.Error(), tt.says) {
				t.Errorf("got %q, want a hint at %q", err, tt.says)
			}
			if !strings.HasPrefix(err.Error(), "access: ") || !text.IsPrintable(err.Error()) {
				t.Errorf("got %q, want one printable line that starts with access:", err)
			}
		})
	}
}

func TestWithAccepts(t *testing.T) {
	back := device(keys.KindLock, "front-lock", "back-door")
	for _, tt := range []struct {
		name    string
		changes []Change
	}{
		{"nothing at all", nil},
		{"a grant before its person", putAll(grant("g", "eve", "front-door"), person("eve"))},
		{"two doors that swap names", putAll(changeCopy(door("front-door"),
			func(r *Target) { r.Name = "back-door" }),
			changeCopy(door("back-door"), func(r *Target) { r.Name = "front-door" }))},
		{"a name freed in the same step",
			append(putAll(changeCopy(person("eve"), func(r *Person) { r.Name = "ann" })),
				Change{Put: Person{ID: id("ann"), Name: "anna"}})},
		{"a lock moved and another put in its place", putAll(device(keys.KindLock, "new-lock", "front-door"),
			back)},
		{"one name for a person, a door, a device, a group and a schedule", putAll(person("x"), door("x"),
			device(keys.KindSensor, "x"),
			group(OfPersons, "x"), schedule("x", "daily 00:00-24:00"))},
		{"a person's name in any script", putAll(Person{ID: id("x"), Name: "Zoë van der Berg-Łukasz 山田"})},
		{"a pulse at each bound", putAll(changeCopy(door("x"), func(r *Target) { r.Pulse = MinPulse }),
			changeCopy(door("y"), func(r *Target) { r.Pulse = MaxPulse }))},
		{"a key in later states of its life", putAll(key(2, "front-reader", keys.Active),
			key(1, "front-reader", keys.Retiring), key(1, "front-reader", keys.Revoked))},
		{"a grant of any action on a group", putAll(changeCopy(grant("g", "ann", ""), func(g *Grant) {
			g.Target, g.TargetGroup, g.Actions = "", id("outer"), []wire.Action{wire.On}
		}))},
		{"a name of 64 bytes", putAll(door(strings.Repeat("x", 64)))},
	} {
		t.Run(tt.name, func(t *testing.T) {
			p := mustWith(t, makeHouse(t), tt.changes...)
			checkIndexes(t, p)
		})
	}
}

// checkIndexes checks that a policy made by changes equals, with its indexes, the policy made at
// once from its records.
func checkIndexes(t testing.TB, p *Policy) {
	t.Helper()
	fresh := mustWith(t, New(), putAll(slices.Collect(p.Records())...)...)
	if !reflect.DeepEqual(p, fresh) {
		t.Fatalf("the policy differs from one made of its records:\ngot  %+v\nwant %+v", p, fresh)
	}
}

func TestWithNormalises(t *testing.T) {
	berlin, _ := time.LoadLocation("Europe/Berlin")
	g := grant("g", "ann", "hall-lamp")
	g.Actions = []wire.Action{wire.Off, wire.On, wire.Off}
	g.Until = time.Now().In(berlin)
	members := []ID{id("bob"), id("ann"), id("bob")}
	p := mustWith(t, makeHouse(t), putAll(g, Group{ID: id("x"), Name: "x", Of: OfPersons, Members: members},
		schedule("y", "sat 08:00-09:00,fri 08:00-09:00"))...)
	if got := p.Grants[id("g")].Actions; !slices.Equal(got, []wire.Action{wire.On, wire.Off}) {
		t.Errorf("actions: got %v, want on, off", got)
	}
	if got := p.Grants[id("g")].Until; got != g.Until.Round(0).UTC() {
		t.Errorf("until: got %v, want it in UTC", got)
	}
	want := []ID{id("ann"), id("bob")}
	slices.Sort(want)
	if got := p.Groups[id("x")].Members; !slices.Equal(got, want) || members[2] != id("bob") {
		t.Errorf("members: got %v, want %v and the caller's slice unchanged", got, want)
	}
	if got := p.Schedules[id("y")].Text; got != "fri-sat 08:00-09:00" {
		t.Errorf("text: got %q", got)
	}
}

// A change makes a new policy and never modifies the old one, whatever it changes.
func TestWithLeavesTheOldPolicy(t *testing.T) {
	p := makeHouse(t)
	before := mustWith(t, New(), putAll(slices.Collect(p.Records())...)...)
	removal, err := p.Removal(person("ann"))
	if err != nil {
		t.Fatal(err)
	}
	for _, changes := range [][]Change{
		removal,
		putAll(Site{Zone: "UTC", Lockdown: true}, person("eve"), card("eve", "04e3"), door("new-door"),
			device(keys.KindLock, "new-lock", "new-door"),
			key(9, "new-lock", keys.Pending), group(OfPersons, "staff", "eve"),
			schedule("weekdays", "sun 10:00-11:00"), grant("g-ann", "eve", "new-door")),
		{{Delete: Grant{ID: id("g-ann")}}, {Delete: Schedule{ID: id("weekdays")}},
			{Delete: Device{ID: id("hall-light")}}},
		putAll(key(1, "front-reader", keys.Revoked),
			changeCopy(person("ann"), func(r *Person) { r.Name = "anna" })),
	} {
		checkIndexes(t, mustWith(t, p, changes...))
		if _, err := p.With(append(slices.Clone(changes), Change{})...); err == nil {
			t.Error("got no error for an empty change")
		}
		if !reflect.DeepEqual(p, before) {
			t.Fatalf("after %v the old policy has changed", p.DescribeAll(changes))
		}
	}
}

func TestLookups(t *testing.T) {
	p := makeHouse(t)
	if r, ok := p.PersonByName("ann"); !ok || r.ID != id("ann") {
		t.Errorf("person ann: got %v, %v", r, ok)
	}
	if r, ok := p.TargetByName("front-door"); !ok || r.ID != id("front-door") {
		t.Errorf("front-door: got %v, %v", r, ok)
	}
	if r, ok := p.DeviceByName("front-reader"); !ok || r.ID != id("front-reader") {
		t.Errorf("front-reader: got %v, %v", r, ok)
	}
	if r, ok := p.GroupByName("staff"); !ok || r.ID != id("staff") {
		t.Errorf("staff: got %v, %v", r, ok)
	}
	if r, ok := p.ScheduleByName("weekdays"); !ok || r.ID != id("weekdays") {
		t.Errorf("weekdays: got %v, %v", r, ok)
	}
	if r, ok := p.TargetByName("ann"); ok {
		t.Errorf("a target named ann: got %v", r)
	}
	if r, ok := p.Actuator(id("front-door")); !ok || r.Name != "front-lock" {
		t.Errorf("actuator of front-door: got %v, %v", r, ok)
	}
	if r, ok := p.Actuator(id("back-door")); ok {
		t.Errorf("actuator of back-door: got %v, want none", r)
	}
	got := p.KeysOf(id("front-reader"))
	if len(got) != 2 || !got[0].Created.Before(got[1].Created) {
		t.Errorf("keys of front-reader: got %v, want two, oldest first", got)
	}
	if p.Zone().String() != "Europe/Berlin" || (&Policy{}).Zone() != time.UTC {
		t.Error("zone: want the site's, and UTC for none")
	}
	n := 0
	for r := range p.Records() {
		n++
		if found, ok := p.Get(r); !ok || !reflect.DeepEqual(found, r) {
			t.Errorf("get %v: got %v, %v", r, found, ok)
		}
	}
	if want := 1 + len(p.Persons) + len(p.Credentials) + len(p.Targets) + len(p.Devices) + len(p.Keys) +
		len(p.Groups) + len(p.Schedules) + len(p.Grants); n != want {
		t.Errorf("records: got %d, want %d", n, want)
	}
	for stop := 1; stop <= n; stop++ {
		seen := 0
		for range p.Records() {
			if seen++; seen == stop {
				break
			}
		}
	}
	if _, ok := p.Get("ann"); ok {
		t.Error("get of a value that is not a record: got one")
	}
	if len(slices.Collect(maps.Keys(New().Persons))) != 0 || New().Site.Zone != "UTC" {
		t.Error("the new policy: want it empty, in UTC")
	}
}

func TestBulkChangesKeepTheIndexes(t *testing.T) {
	p := makeHouse(t)
	var put, remove, people []Change
	for n := range 60 {
		name := fmt.Sprint("person-", n)
		people = append(people, Change{Put: person(name)})
		g := grant(fmt.Sprint("bulk-", n), name, "front-door")
		if n%3 == 0 {
			g.Subject = id("ann")
		}
		put = append(put, Change{Put: g})
		if n >= 20 {
			remove = append(remove, Change{Delete: g})
		}
	}
	p = mustWith(t, p, append(people, put...)...)
	checkIndexes(t, p)
	checkIndexes(t, mustWith(t, p, remove...))
	var gone []Change
	for _, c := range people[:17] {
		gone = append(gone, Change{Delete: c.Put})
	}
	if _, err := p.With(gone...); !errors.Is(err, ErrInUse) {
		t.Errorf("deleting many persons with grants: got %v, want ErrInUse", err)
	}
}

func TestTextForms(t *testing.T) {
	if got, err := ParseID(string(NewID())); err != nil || !got.Valid() {
		t.Errorf("a new id: got %q, %v", got, err)
	}
	if _, err := ParseID("ann"); !errors.Is(err, ErrInvalid) {
		t.Errorf("ann as an id: got %v, want ErrInvalid", err)
	}
}
