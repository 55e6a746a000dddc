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

// sdCard is how much longer, at least, a sync takes on a Raspberry Pi's card than on the disk of a
// machine that runs benchmarks.
const sdCard = 5 * time.Millisecond

// BenchmarkAdmit measures a decision and its event, which moves the counter, until both are
// durable. The policy is the small house. "disk" syncs every batch; "disk+5ms" also waits in each
// commit, like an SD card.
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
				s := buildHouse(b, o)
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

// admitOne scans at one of 64 readers. The policy knows only one of them; the others are denied,
// and still get an event and a counter.
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

// BenchmarkLoad reads a policy of 10,000 persons, each with a card, from Badger and checks it, like
// Open.
func BenchmarkLoad(b *testing.B) {
	const persons = 10_000
	s := buildHouse(b, Options{})
	for start := 0; start < persons; start += MaxChanges / 2 {
		var changes []access.Change
		for n := start; n < start+MaxChanges/2; n++ {
			name := fmt.Sprintf("person-%d", n)
			card := access.Credential{ID: s.CredentialID([]byte(name)), Person: id(name), Tail: "04a1",
				Status: access.CardActive}
			changes = append(changes, putAll(access.Person{ID: id(name), Name: name}, card)...)
		}
		mustApply(b, s, changes...)
	}
	b.ReportAllocs()
	for b.Loop() {
		var img *reader.Image
		err := s.db.ReadTxn(func(txn *badger.Txn) (err error) {
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
