package access

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"latchkey/coapres/wire"
	"latchkey/keys"
)

func TestRemoval(t *testing.T) {
	for _, tt := range []struct {
		name   string
		remove Record
		want   []string
	}{
		{"a person with cards, grants and memberships", Person{ID: id("ann")},
			[]string{"delete card …04a1 of ann", "delete grant ann → front-door, weekdays",
				"take ann from group staff", "delete person ann"}},
		{"a device with its keys", Device{ID: id("front-lock")},
			[]string{"delete key lk-00000000a3 of front-lock", "delete lock front-lock"}},
		{"a switch with its grants", Device{ID: id("hall-switch")},
			[]string{"delete grant hall-switch → hall-lamp", "delete switch hall-switch"}},
		{"a group with the grants to it", Group{ID: id("staff")}, []string{"delete grant staff → outer",
			"delete group staff"}},
		{"a group with the grants on it", Group{ID: id("outer")}, []string{"delete grant staff → outer",
			"delete group outer"}},
		{"a target with its grants and memberships", Target{ID: id("back-door")},
			[]string{"delete grant bob → back-door", "take back-door from group outer",
				"delete door back-door"}},
		{"a schedule that nothing uses", Schedule{ID: id("nights")}, []string{"delete schedule nights"}},
		{"a card", Credential{ID: cardID("04a1")}, []string{"delete card …04a1 of ann"}},
		{"a grant", Grant{ID: id("g-staff")}, []string{"delete grant staff → outer"}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			p := mustWith(t, makeHouse(t), putAll(schedule("nights", "daily 22:00-06:00"),
				grant("g-bob", "bob", "back-door"))...)
			changes, err := p.Removal(tt.remove)
			if err != nil {
				t.Fatal(err)
			}
			if got := p.DescribeAll(changes); !slices.Equal(got, tt.want) {
				t.Errorf("got  %q\nwant %q", got, tt.want)
			}
			next := mustWith(t, p, changes...)
			checkIndexes(t, next)
			if _, still := next.Get(tt.remove); still {
				t.Error("the record is still there")
			}
		})
	}
}

func TestRemovalRefuses(t *testing.T) {
	for _, tt := range []struct {
		name   string
		remove Record
		want   error
		says   string
	}{
		{"the site", Site{}, ErrInvalid, "site"},
		{"a key of an enrolled device", key(1, "", ""), ErrInUse, "revoke"},
		{"a target that devices point at", Target{ID: id("front-door")}, ErrInUse, "front-"},
		{"a schedule that a grant uses", Schedule{ID: id("weekdays")}, ErrInUse,
			"grant ann → front-door, weekdays"},
		{"a person who does not exist", Person{ID: id("eve")}, ErrNotFound, "person"},
		{"a value that is not a record", "ann", ErrNotFound, "unknown"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			got, err := makeHouse(t).Removal(tt.remove)
			if !errors.Is(err, tt.want) || got != nil || !strings.Contains(err.Error(), tt.says) {
				t.Errorf("got %v, %v, want %v with a hint at %q", got, err, tt.want, tt.says)
			}
		})
	}
}

func TestDescribe(t *testing.T) {
	until := time.Date(2026, 12, 1, 11, 0, 0, 0, time.UTC)
	p := makeHouse(t)
	ann := p.Grants[id("g-ann")]
	for _, tt := range []struct {
		change Change
		want   string
	}{
		{Change{Put: person("eve")}, "add person eve"},
		{Change{Put: card("ann", "04a9")}, "add card …04a9 of ann"},
		{Change{Put: changeCopy(card("ann", "04a9"), func(c *Credential) {
			c.Status, c.Until = CardLost,
				until
		})}, "add card …04a9 of ann, lost, until 2026-12-01 12:00"},
		{Change{Put: door("side-door")}, "add door side-door, pulse 3s"},
		{Change{Put: lamp("porch-lamp")}, "add lamp porch-lamp"},
		{Change{Put: device(keys.KindReader, "back-reader", "back-door")},
			"add reader back-reader at back-door"},
		{Change{Put: device(keys.KindSensor, "sensor")}, "add sensor sensor"},
		{Change{Put: key(9, "front-lock", keys.Pending)}, "add key lk-00000000b1 of front-lock"},
		{Change{Put: group(OfPersons, "guests", "bob", "ann")}, "add group guests with ann, bob"},
		{Change{Put: group(OfTargets, "inner")}, "add group inner of targets"},
		{Change{Put: schedule("nights", "fri 22:00-06:00")}, "add schedule nights: fri 22:00-06:00"},
		{Change{Put: changeCopy(grant("g", "bob", "front-door"),
			func(g *Grant) { g.Schedule = id("weekdays") })}, "add grant bob → front-door, weekdays"},
		{Change{Put: changeCopy(grant("g", "bob", "front-door"), func(g *Grant) {
			g.Effect, g.Actions, g.From, g.Until = Deny, []wire.Action{wire.Unlock, wire.Lock}, until,
				until.Add(time.Hour)
		})}, "add deny grant bob → front-door, unlock and lock, from 2026-12-01 12:00, until 2026-12-01 13:00"},

		{Change{Put: Site{Zone: "Europe/Berlin", Lockdown: true}}, "start lockdown"},
		{Change{Put: Site{Zone: "UTC", TimeTrusted: 7}}, "set time zone UTC, trust the time from now on"},
		{Change{Put: changeCopy(person("ann"), func(r *Person) { r.Name, r.Suspended = "anna", true })},
			"rename person ann to anna, suspend person ann"},
		{Change{Put: person("ann")}, "write person ann again, unchanged"},
		{Change{Put: changeCopy(card("ann", "04a1"), func(c *Credential) { c.Status = CardLost })},
			"mark card …04a1 of ann lost"},
		{Change{Put: changeCopy(card("bob", "04a1"), func(c *Credential) { c.Until = until })},
			"give card …04a1 of ann to bob, make card …04a1 of ann valid until 2026-12-01 12:00"},
		{Change{Put: changeCopy(door("front-door"), func(r *Target) {
			r.Name, r.Pulse = "main-door",
				time.Second
		})},
			"rename door front-door to main-door, set pulse of door front-door to 1s"},
		{Change{Put: lamp("front-door")}, "make door front-door a lamp, set pulse of door front-door to 0s"},
		{Change{Put: device(keys.KindReader, "front-reader", "back-door")},
			"move reader front-reader to back-door"},
		{Change{Put: device(keys.KindSensor, "front-reader")},
			"make reader front-reader a sensor, take reader front-reader from front-door"},
		{Change{Put: key(1, "front-reader", keys.Revoked)}, "revoke key lk-00000000a1 of front-reader"},
		{Change{Put: key(1, "front-reader", keys.Retiring)}, "retire key lk-00000000a1 of front-reader"},
		{Change{Put: key(2, "front-reader", keys.Active)}, "activate key lk-00000000a2 of front-reader"},
		{Change{Put: changeCopy(key(1, "front-reader", keys.Active),
			func(k *keys.Key) { k.LastUsed = until })},
			"note use of key lk-00000000a1 of front-reader"},
		{Change{Put: group(OfPersons, "staff", "ann")}, "take bob from group staff"},
		{Change{Put: changeCopy(schedule("weekdays", "sat 08:00-09:00"),
			func(r *Schedule) { r.Name = "sat" })},
			"rename schedule weekdays to sat, change schedule weekdays to sat 08:00-09:00"},
		{Change{Put: changeCopy(*ann, func(g *Grant) { g.Schedule = "" })},
			"change grant ann → front-door, weekdays to grant ann → front-door"},

		{Change{Delete: Person{ID: id("ann")}}, "delete person ann"},
		{Change{Delete: Credential{ID: cardID("04a1")}}, "delete card …04a1 of ann"},
		{Change{Delete: keys.Key{ID: "lk-00000000a1"}}, "delete key lk-00000000a1 of front-reader"},
		{Change{Delete: Grant{ID: id("g-ann")}}, "delete grant ann → front-door, weekdays"},
		{Change{Delete: Device{ID: id("front-lock")}}, "delete lock front-lock"},
		{Change{}, "change nothing"},
	} {
		if got := p.Describe(tt.change); got != tt.want {
			t.Errorf("got  %q\nwant %q", got, tt.want)
		}
	}
}

func TestDescribeAllUsesNamesOfTheSameStep(t *testing.T) {
	p := makeHouse(t)
	got := p.DescribeAll(putAll(grant("g", "eve", "side-door"), card("eve", "04e3"), person("eve"),
		door("side-door")))
	want := []string{"add grant eve → side-door", "add card …04e3 of eve", "add person eve",
		"add door side-door, pulse 3s"}
	if !slices.Equal(got, want) {
		t.Errorf("got  %q\nwant %q", got, want)
	}
}

func TestDescribeShowsNoSecretsAndIsShort(t *testing.T) {
	p := makeHouse(t)
	var people []string
	var changes []Change
	for i := range 40 {
		people = append(people, fmt.Sprintf("person-%02d", i))
		changes = append(changes, Change{Put: person(people[i])})
	}
	changes = append(changes, putAll(group(OfPersons, "many", people...),
		schedule("long", strings.Repeat("mon 08:00-09:00,", 20)+"mon 08:00-09:00"))...)
	for r := range p.Records() {
		changes = append(changes, Change{Put: r}, Change{Delete: r})
	}
	for _, s := range p.DescribeAll(changes) {
		if len(s) > 200 || s == "" {
			t.Errorf("got %d bytes: %s", len(s), s)
		}
		for _, k := range p.Keys {
			if strings.Contains(s, k.Secret.Reveal()) {
				t.Errorf("a secret in %q", s)
			}
		}
		for _, c := range p.Credentials {
			if strings.Contains(s, c.ID.String()[:8]) {
				t.Errorf("a card's id in %q", s)
			}
		}
	}
	if got := p.Describe(Change{Put: Person{ID: id("x"), Name: "e\x1b[2Jve"}}); strings.Contains(got,
		"\x1b") {
		t.Errorf("got a control character in %q", got)
	}
}
