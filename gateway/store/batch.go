package store

import (
	"fmt"
	"time"

	"github.com/dgraph-io/badger/v4"

	"latchkey/gateway/access"
	"latchkey/gateway/store/engine"
	"latchkey/gateway/store/record"
	"latchkey/gateway/store/seal"
)

// batch is the future state: as it will be when its writes are committed. Each request in it sees
// the changes of the requests before it.
type batch struct {
	w        *writer
	policy   *access.Policy
	head     record.Head
	cut      record.Cut
	counters *record.Counters         // a layer over the writer's
	leaves   map[access.ID]record.Sum // of the counter records in this batch
	times    []eventTime              // of the events in this batch
	page     record.Key               // the page for the next event, if it has room
	event    record.Encoder           // of one event
	decision record.Event             // the event of one decision
	room     [512]byte                // memory of the first page, enough for a few events
	headRoom [208]byte                // memory of the head, which has some 170 bytes

	writes map[record.Key][]byte // plaintexts; nil deletes
	size   int                   // their cost against a transaction's limit
	raw    int                   // their length
	sealed engine.Writes         // the same as they are written

	changes []record.PolicyChange
	answers []answer // sent when the batch is durable
}

type eventTime struct {
	seq uint64
	at  time.Time
}

func (w *writer) newBatch() *batch {
	b := w.spare
	if w.spare = nil; b == nil {
		b = &batch{w: w, counters: record.NewCounters(w.counters), writes: make(map[record.Key][]byte)}
	}
	now := w.s.now.Load()
	b.policy, b.head, b.cut = now.kept, now.head, now.cut
	return b
}

// recycle empties a batch whose requests were answered and keeps its memory for the next batch, but
// not after a large change: maps do not shrink.
func (b *batch) recycle() {
	if len(b.writes) > maxBatch {
		return
	}
	clear(b.writes)
	clear(b.answers)
	clear(b.counters.ByDevice)
	clear(b.counters.BySeq)
	*b = batch{w: b.w, counters: b.counters, times: b.times[:0], event: b.event, writes: b.writes,
		sealed: b.sealed, answers: b.answers[:0]}
	b.w.spare = b
}

// Limits of one transaction. Badger refuses 15% of a memtable in bytes, or that divided by a skip
// list node in records; we stop at four fifths of that, so that no transaction fails because of its
// size.
const (
	maxRaw     = record.MaxPlain
	smallBytes = 3 * record.MaxEventText // more than any one attempt, event or sign-in costs
	smallCount = 4
)

func (b *batch) maxBytes() int { return int(b.w.s.db.MaxBatchSize()) / 5 * 4 }
func (b *batch) maxCount() int { return int(b.w.s.db.MaxBatchCount()) / 5 * 4 }

// hasRoom tells whether there is room for any one more attempt, event or sign-in.
func (b *batch) hasRoom() bool { return b.fits(smallCount, smallBytes, smallBytes) }

func (b *batch) fits(count, size, raw int) bool {
	return len(b.writes)+count <= b.maxCount() && b.size+size <= b.maxBytes() && b.raw+raw <= maxRaw
}

// measureCost returns what a record takes of a transaction's limit. A large value goes to the value
// log, if there is one, and counts as a pointer.
func (b *batch) measureCost(key record.Key, plain []byte) int {
	n := len(plain) + seal.Overhead
	if n >= engine.ValueThreshold && !b.w.s.opts.InMemory {
		n = 12
	}
	return len(key) + n + 12
}

func (b *batch) put(key record.Key, plain []byte) {
	if old, ok := b.writes[key]; ok {
		b.size -= b.measureCost(key, old)
		b.raw -= len(old)
	}
	b.size += b.measureCost(key, plain)
	b.raw += len(plain)
	b.writes[key] = plain
}

// putHead adds the summary of the state after the batch. probe writes it without any change.
func (b *batch) putHead() { b.put(record.HeadKey, b.head.AppendTo(b.headRoom[:0])) }

// findPlain returns the present plaintext of a policy record, or nil if there is none.
func (b *batch) findPlain(key record.Key) (plain []byte, err error) {
	if p, ok := b.writes[key]; ok {
		return p, nil
	}
	err = b.w.s.db.ReadTxn(func(txn *badger.Txn) (err error) {
		plain, err = b.w.s.reader.Find(txn, key)
		return err
	})
	return plain, err
}

// maxPage is the size at which a page of events is full. It is small enough to be read for one
// event, and such a page never goes to the value log.
const maxPage = 16 << 10

// appendEvent chains ev to the batch, fills Seq, Prev and Hash, and moves the counters.
func (b *batch) appendEvent(ev *record.Event) error {
	ev.Seq, ev.Prev = b.head.Seq+1, b.head.Hash
	ev.Clean()
	if err := record.CheckEvent(&ev.Event); err != nil {
		return err
	}
	body := b.event.Encode(ev)
	page, ok := b.writes[b.page]
	if !ok || len(page)+len(body) > maxPage {
		room := b.room[:0]
		if len(b.times) > 0 { // an earlier page of the batch uses it
			room = make([]byte, 0, maxPage)
		}
		b.page, page = record.EventKey(ev.Seq), record.BeginPage(room, ev.Prev)
	}
	b.put(b.page, append(page, body...))
	b.counters.Take(ev)
	b.times = append(b.times, eventTime{ev.Seq, ev.At})
	b.head.Seq, b.head.Hash = ev.Seq, ev.Hash
	if ev.Seq > b.policy.Site.TimeTrusted && ev.At.After(b.head.Latest) {
		b.head.Latest = ev.At
	}
	return nil
}

// checkpointEvents is the number of events after which the counters that they moved are written. A
// batch has at most maxBatch events more. So a checkpoint has at most 1,280 records of at most 350
// bytes, and fits an empty batch.
const checkpointEvents = 1024

// checkpoint puts the counters that moved since the last checkpoint into an empty batch, if many
// events have passed.
func (b *batch) checkpoint(events uint64) error {
	w := b.w
	if b.head.Seq-b.head.CountersAt < events || w.space.full {
		return nil
	}
	b.leaves = make(map[access.ID]record.Sum, len(w.moved))
	for device := range w.moved {
		key := record.CounterKey(device)
		plain, err := w.counters.Find(device).Encode()
		if err != nil {
			return fmt.Errorf("store: %v: %w", key, err)
		}
		if old, ok := w.leaves[device]; ok {
			b.head.Counters = b.head.Counters.Without(old)
		}
		b.leaves[device] = w.leaf.Leaf(key, plain)
		b.head.Counters = b.head.Counters.With(b.leaves[device])
		b.put(key, plain)
	}
	b.head.CountersAt = b.head.Seq
	// This never happens while the arithmetic above is right. Without a checkpoint opening only
	// takes longer.
	if !b.hasRoom() {
		*b = *w.newBatch()
	}
	return nil
}
