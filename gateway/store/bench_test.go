package store

import (
	"context"
	"fmt"
	"sync/atomic"
	"testing"
	"time"

	"github.com/dgraph-io/badger/v4"

	"latchkey/gateway/access"
	"latchkey/gateway/store/reader"
	"latchkey/gateway/store/record"
)

// sdCard is how much longer a sync takes on a Pi's card than on the disk of a machine that runs
// benchmarks, at the least.
const sdCard = 5 * time.Millisecond

// BenchmarkAdmit is a decision, and the event that keeps it and moves the counter, durable; the
// policy is the small house. "disk" syncs every batch, "disk+5ms" waits in each commit too, as for
// an SD card.
func BenchmarkAdmit(b *testing.B) {
	for _, where := range []string{"memory", "disk", "disk+5ms"} {
		for _, callers := range []int{1, 64, 256} {
			b.Run(fmt.Sprintf("%s/%d", where, callers), func(b *testing.B) {
				var commits atomic.Uint64
				o := Options{InMemory: where == "memory", BeforeCommit: func() {
					commits.Add(1)
					if where == "disk+5ms" {
						time.Sleep(sdCard)
					}
				}}
				if !o.InMemory {
					o.Dir = b.TempDir()
				}
				s := built(b, o)
				var n atomic.Uint64
				a := scan(s, 1)
				b.ReportAllocs()
				b.SetParallelism((callers + 1) / 2) // for two CPUs
				if callers == 1 {
					for b.Loop() {
						admitOne(b, s, a, n.Add(1))
					}
				} else {
					b.RunParallel(func(pb *testing.PB) {
						for pb.Next() {
							admitOne(b, s, a, n.Add(1))
						}
					})
				}
				b.StopTimer()
				b.ReportMetric(float64(n.Load())/b.Elapsed().Seconds(), "admits/s")
				b.ReportMetric(float64(n.Load())/float64(commits.Load()-1), "admits/commit")
			})
		}
	}
}

// admitOne scans at one of 64 readers, most of which the policy does not know: they are denied,
// with an event and a counter.
func admitOne(b *testing.B, s *Store, a access.Attempt, n uint64) {
	a.Counter = n
	if n%64 != 0 {
		a.Device = readers[n%64]
	}
	if _, err := s.Admit(context.Background(), a); err != nil {
		b.Fatal(err)
	}
}

var readers = func() (ids [64]access.ID) {
	for i := range ids {
		ids[i] = access.ID(fmt.Sprintf("reader%04d", i))
	}
	return ids
}()

// BenchmarkLoad reads a policy of 10,000 persons, each with a card, from Badger and checks it, as
// Open does.
func BenchmarkLoad(b *testing.B) {
	const persons = 10_000
	s := built(b, Options{})
	for start := 0; start < persons; start += MaxChanges / 2 {
		var changes []access.Change
		for n := start; n < start+MaxChanges/2; n++ {
			name := fmt.Sprintf("person-%d", n)
			card := access.Credential{ID: s.CredentialID([]byte(name)), Person: id(name), Tail: "04a1", Status: access.CardActive}
			changes = append(changes, puts(access.Person{ID: id(name), Name: name}, card)...)
		}
		mustApply(b, s, changes...)
	}
	b.ReportAllocs()
	for b.Loop() {
		var img *reader.Image
		err := s.readDB(func(txn *badger.Txn) (err error) {
			img, err = s.reader.Read(context.Background(), txn)
			return err
		})
		if err != nil {
			b.Fatal(err)
		}
		if _, err := record.Codecs.Policy.New().With(img.Records...); err != nil {
			b.Fatal(err)
		}
	}
}
