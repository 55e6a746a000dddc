package access

import (
	"fmt"
	"testing"
	"time"

	"latchkey/coapres/wire"
	"latchkey/keys"
)

// makeTown makes a policy with 100,000 grants: each of 10,000 persons has one for ten of 100 doors,
// and half of the grants have a schedule.
func makeTown(tb testing.TB) *Policy {
	changes := putAll(Site{Zone: "Europe/Berlin"},
		schedule("weekdays", "mon-fri 08:00-18:00, 2026-12-25 closed"))
	for d := range 100 {
		name := fmt.Sprintf("door-%d", d)
		changes = append(changes, putAll(door(name), device(keys.KindReader, "reader-"+name, name))...)
	}
	for n := range 10_000 {
		name := fmt.Sprintf("person-%d", n)
		c := card(name, "04a1")
		c.ID = cardID(name)
		changes = append(changes, putAll(person(name), c)...)
		for i := range 10 {
			g := grant(fmt.Sprintf("grant-%d-%d", n, i), name, fmt.Sprintf("door-%d", (n+i)%100))
			if i%2 == 0 {
				g.Schedule = id("weekdays")
			}
			changes = append(changes, Change{Put: g})
		}
	}
	return mustWith(tb, New(), changes...)
}

func scan(n int) Attempt {
	return Attempt{Source: ByCard, Device: id(fmt.Sprintf("reader-door-%d", n%100)),
		Credential: cardID(fmt.Sprintf("person-%d", n)),
		Target:     id(fmt.Sprintf("door-%d", n%100)), Action: wire.Unlock, Counter: 1,
		At: time.Date(2026, 11, 23, 9, 0, 0, 0, time.UTC), ClockTrusted: true}
}

// BenchmarkDecide measures only the decision, for 1,000 different cards and 100,000 grants.
func BenchmarkDecide(b *testing.B) {
	p := makeTown(b)
	scans := make([]Attempt, 1000)
	for i := range scans {
		scans[i] = scan(i * 7)
	}
	b.ReportAllocs()
	i := 0
	for b.Loop() {
		if d := Decide(p, scans[i%len(scans)]); !d.Granted {
			b.Fatalf("got %+v", d)
		}
		i++
	}
}

// BenchmarkWith puts one grant into a policy of 100,000.
func BenchmarkWith(b *testing.B) {
	p := makeTown(b)
	c := Change{Put: grant("one-more", "person-77", "door-5")}
	b.ReportAllocs()
	for b.Loop() {
		if _, err := p.With(c); err != nil {
			b.Fatal(err)
		}
	}
}

// BenchmarkRemoval removes one person of 10,000 with their card and ten grants. This reads every
// record that may refer to them.
func BenchmarkRemoval(b *testing.B) {
	p := makeTown(b)
	b.ReportAllocs()
	for b.Loop() {
		changes, err := p.Removal(Person{ID: id("person-77")})
		if err != nil {
			b.Fatal(err)
		}
		if _, err := p.With(changes...); err != nil {
			b.Fatal(err)
		}
	}
}

// BenchmarkLoad makes a policy of 100,000 grants from its records, as at a start.
func BenchmarkLoad(b *testing.B) {
	p := makeTown(b)
	var changes []Change
	for r := range p.Records() {
		changes = append(changes, Change{Put: r})
	}
	b.ReportAllocs()
	for b.Loop() {
		if _, err := New().With(changes...); err != nil {
			b.Fatal(err)
		}
	}
}

func TestDecideAllocatesOnce(t *testing.T) {
	p, a := makeHouse(t), Attempt{Source: ByCard, Device: id("front-reader"), Credential: cardID("04a1"),
		Target: id("front-door"), Action: wire.Unlock, Counter: 1,
		At: time.Date(2026, 11, 23, 9, 0, 0, 0, time.UTC), ClockTrusted: true}
	if got := testing.AllocsPerRun(100, func() { Decide(p, a) }); got != 1 {
		t.Errorf("got %v allocations, want one", got)
	}
}
