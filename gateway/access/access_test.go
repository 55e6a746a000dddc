package access

import (
	"crypto/sha256"
	"testing"
	"time"
	_ "time/tzdata"

	"latchkey/gateway/endpoint"
	"latchkey/keys"
)

// id returns the id of the record with that name in tests.
func id(name string) ID {
	sum := sha256.Sum256([]byte(name))
	out := make([]byte, 10)
	for i := range out {
		out[i] = "0123456789abcdefghjkmnpqrstvwxyz"[sum[i]%32]
	}
	return ID(out)
}

func cardID(uid string) CredentialID { return sha256.Sum256([]byte(uid)) }

func person(name string) Person { return Person{ID: id(name), Name: name} }
func integration(name string) Integration {
	return Integration{ID: id(name), Name: name, Base: "latchkey", Prefix: "homeassistant",
		Endpoint: endpoint.Endpoint{URL: "mqtts://broker.example"}}
}
func door(name string) Target {
	return Target{ID: id(name), Name: name, Kind: Door, Pulse: 3 * time.Second}
}
func lamp(name string) Target { return Target{ID: id(name), Name: name, Kind: Lamp} }
func card(holder, tail string) Credential {
	return Credential{ID: cardID(tail), Person: id(holder), Tail: tail, Status: CardActive}
}

func device(kind keys.Kind, name string, targets ...string) Device {
	return Device{ID: id(name), Name: name, Kind: kind, Targets: ids(targets)}
}

func ids(names []string) []ID {
	var out []ID
	for _, n := range names {
		out = append(out, id(n))
	}
	return out
}

func group(of GroupOf, name string, members ...string) Group {
	return Group{ID: id(name), Name: name, Of: of, Members: ids(members)}
}

func schedule(name, text string) Schedule { return Schedule{ID: id(name), Name: name, Text: text} }

func grant(name, subject, target string) Grant {
	return Grant{ID: id(name), SubjectKind: SubjectPerson, Subject: id(subject), Target: id(target),
		Effect: Allow}
}

func key(n byte, device string, state keys.State) keys.Key {
	secret, _ := keys.ParseSecret("0123456789abcdefghjkmnpqr" + string("stvwxyz"[n%7]))
	return keys.Key{ID: keys.ID("lk-00000000" + string([]byte{'a' + n/8, '0' + n%8})), Device: id(device),
		Secret: secret, State: state,
		Created: time.Date(2026, 1, 1, int(n), 0, 0, 0, time.UTC)}
}

func putAll(records ...Record) []Change {
	var out []Change
	for _, r := range records {
		out = append(out, Change{Put: r})
	}
	return out
}

func mustWith(t testing.TB, p *Policy, changes ...Change) *Policy {
	t.Helper()
	next, err := p.With(changes...)
	if err != nil {
		t.Fatal(err)
	}
	return next
}

// makeHouse makes the policy of a small site with records of every kind.
func makeHouse(t testing.TB) *Policy {
	t.Helper()
	g := grant("g-ann", "ann", "front-door")
	g.Schedule = id("weekdays")
	staff := Grant{ID: id("g-staff"), SubjectKind: SubjectGroup, Subject: id("staff"),
		TargetGroup: id("outer"), Effect: Allow}
	sw := Grant{ID: id("g-switch"), SubjectKind: SubjectDevice, Subject: id("hall-switch"),
		Target: id("hall-lamp"), Effect: Allow}
	return mustWith(t, New(), putAll(
		Site{Zone: "Europe/Berlin"}, person("ann"), person("bob"), card("ann", "04a1"), card("bob", "04b2"),
		door("front-door"), door("back-door"), lamp("hall-lamp"),
		device(keys.KindReader, "front-reader", "front-door"), device(keys.KindLock, "front-lock",
			"front-door"),
		device(keys.KindSwitch, "hall-switch", "hall-lamp"), device(keys.KindLamp, "hall-light", "hall-lamp"),
		device(keys.KindSensor, "hall-sensor"),
		key(1, "front-reader", keys.Active), key(2, "front-reader", keys.Pending),
		key(3, "front-lock", keys.Active),
		group(OfPersons, "staff", "ann", "bob"), group(OfTargets, "outer", "front-door", "back-door"),
		schedule("weekdays", "mon-fri 08:00-18:00"), g, staff, sw)...)
}
