package store

import (
	"errors"
	"fmt"
	"time"

	"github.com/dgraph-io/badger/v4"

	"latchkey/gateway/access"
)

// batch is the state as it will be once its writes are committed. Each request in it sees those before it.
type batch struct {
	w        *writer
	policy   *access.Policy
	head     head
	counters map[access.ID]*counter // moved in this batch
	bySeq    map[uint64]access.ID   // likewise
	times    []eventTime            // of the events in this batch

	writes map[recordKey][]byte // plaintexts; nil deletes
	size   int                  // what they cost of a transaction's limit
	raw    int                  // what they hold

	answers []answer // to be given when it is durable
}

type eventTime struct {
	seq uint64
	at  time.Time
}

func (w *writer) newBatch() *batch {
	now := w.s.now.Load()
	return &batch{w: w, policy: now.policy, head: now.head, counters: make(map[access.ID]*counter), bySeq: make(map[uint64]access.ID),
		writes: make(map[recordKey][]byte, 64)}
}

// Limits of one transaction. Badger refuses 15% of a memtable in bytes, or that divided by a skip list node in records; we stop at
// four fifths of it, so that a transaction never fails for its size.
const (
	maxRaw     = 8 << 20
	smallBytes = 3 * maxEventText // more than any one attempt or event costs
	smallCount = 4
)

func (b *batch) maxBytes() int { return int(b.w.s.db.MaxBatchSize()) / 5 * 4 }
func (b *batch) maxCount() int { return int(b.w.s.db.MaxBatchCount()) / 5 * 4 }

// roomy tells whether there is room for one more attempt or event, whatever it is.
func (b *batch) roomy() bool { return b.fits(smallCount, smallBytes, smallBytes) }

func (b *batch) fits(count, size, raw int) bool {
	return len(b.writes)+count <= b.maxCount() && b.size+size <= b.maxBytes() && b.raw+raw <= maxRaw
}

// cost is what a record takes of a transaction's limit: large values go to the value log, where there is one, and count as a pointer.
func (b *batch) cost(key recordKey, plain []byte) int {
	n := len(plain) + sealOverhead
	if n >= valueThreshold && !b.w.s.opts.InMemory {
		n = 12
	}
	return len(key) + n + 12
}

func (b *batch) put(key recordKey, plain []byte) {
	b.size += b.cost(key, plain)
	b.raw += len(plain)
	b.writes[key] = plain
}

// plain returns the plaintext of a policy record as of now, nil if there is none.
func (b *batch) plain(key recordKey) (plain []byte, err error) {
	if p, ok := b.writes[key]; ok {
		return p, nil
	}
	err = b.w.s.db.View(func(txn *badger.Txn) error {
		item, err := txn.Get([]byte(key))
		if errors.Is(err, badger.ErrKeyNotFound) {
			return nil
		}
		if err != nil {
			return fmt.Errorf("store: %v: %w", key, err)
		}
		plain, err = b.w.s.unseal(key, item)
		return err
	})
	return plain, err
}

// appendEvent chains ev to the batch and fills Seq, Prev and Hash.
func (b *batch) appendEvent(ev *access.Event) error {
	ev.Seq, ev.Prev = b.head.seq+1, b.head.hash
	ev.At = ev.At.Round(0).UTC()
	if err := checkEvent(ev); err != nil {
		return err
	}
	plain, hash, err := encodeEvent(ev)
	if err != nil {
		return err
	}
	ev.Hash = hash
	b.put(eventKey(ev.Seq), plain)
	b.times = append(b.times, eventTime{ev.Seq, ev.At})
	b.head.seq, b.head.hash = ev.Seq, ev.Hash
	if ev.Seq > b.policy.Site.TimeTrusted && ev.At.After(b.head.latest) {
		b.head.latest = ev.At
	}
	return nil
}

// moveCounter puts c in the place of the device's counter, in the batch and in the counters digest.
func (b *batch) moveCounter(device access.ID, c *counter) error {
	key := counterKey(device)
	plain, err := c.encode()
	if err != nil {
		return fmt.Errorf("store: %v: %w", key, err)
	}
	c.leaf = b.w.leaf.leaf(key, plain)
	if old := b.counter(device); old != nil {
		b.head.counters = b.head.counters.without(old.leaf)
	}
	b.head.counters = b.head.counters.with(c.leaf)
	b.counters[device] = c
	b.bySeq[c.seq] = device
	b.put(key, plain)
	return nil
}

// counter returns the device's counter as of now, nil if none was taken. It is not to be changed.
func (b *batch) counter(device access.ID) *counter {
	if c := b.counters[device]; c != nil {
		return c
	}
	return b.w.counters[device]
}

// decided returns the device whose counter stands at the decision of that event, and the counter; "" if there is none any more.
func (b *batch) decided(seq uint64) (access.ID, *counter) {
	device, ok := b.bySeq[seq]
	if !ok {
		device = b.w.bySeq[seq]
	}
	if c := b.counter(device); c != nil && c.seq == seq {
		return device, c
	}
	return "", nil
}
