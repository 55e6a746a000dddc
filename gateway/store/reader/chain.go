package reader

import (
	"bytes"
	"context"
	"fmt"

	"github.com/dgraph-io/badger/v4"

	"latchkey/gateway/store/record"
	"latchkey/gateway/store/seal"
	"latchkey/keys"
)

// Chain reads events by their number in one transaction. It keeps the last page, so that reading
// neighbouring events is cheap.
type Chain struct {
	r    *Reader
	txn  *badger.Txn
	page []record.Event
}

// OpenChain reads events in txn.
func (r *Reader) OpenChain(txn *badger.Txn) *Chain { return &Chain{r: r, txn: txn} }

// ReadEvent returns the event with that number. If it is missing the error is seal.ErrCorrupt.
func (c *Chain) ReadEvent(seq uint64) (*record.Event, error) {
	if ev := c.onPage(seq); ev != nil {
		return ev, nil
	}
	first := pageOf(c.txn, seq)
	if first == 0 {
		return nil, fmt.Errorf("store: event %d: missing: %w", seq, seal.ErrCorrupt)
	}
	plain, err := c.r.Get(c.txn, record.EventKey(first))
	if err != nil {
		return nil, err
	}
	if c.page, err = record.DecodePage(first, plain); err != nil {
		return nil, fmt.Errorf("store: event %d: %w", first, err)
	}
	if ev := c.onPage(seq); ev != nil {
		return ev, nil
	}
	return nil, fmt.Errorf("store: event %d: missing: %w", seq, seal.ErrCorrupt)
}

func (c *Chain) onPage(seq uint64) *record.Event {
	if len(c.page) == 0 || seq < c.page[0].Seq || seq-c.page[0].Seq >= uint64(len(c.page)) {
		return nil
	}
	return &c.page[seq-c.page[0].Seq]
}

// ReadHash returns the hash of an event; that of event 0, before the first, is zero.
func (c *Chain) ReadHash(seq uint64) (keys.Hash, error) {
	if seq == 0 {
		return keys.Hash{}, nil
	}
	ev, err := c.ReadEvent(seq)
	if err != nil {
		return keys.Hash{}, err
	}
	return ev.Hash, nil
}

// pageOf returns the number of the first event on the page that must hold seq, or 0 if there is no
// such page.
func pageOf(txn *badger.Txn, seq uint64) uint64 {
	if _, err := txn.Get([]byte(record.EventKey(seq))); err == nil {
		return seq
	}
	it := txn.NewIterator(badger.IteratorOptions{Reverse: true})
	defer it.Close()
	it.Seek([]byte(record.EventKey(seq)))
	if !it.ValidForPrefix([]byte{record.KindEvent}) {
		return 0
	}
	return record.Key(it.Item().Key()).Seq()
}

// Walk checks the chain from the event after seq, whose hash is prev, up to the head, and calls
// seen with each event. Its error names the first event that is missing, does not open, or does not
// follow the one before. An error from seen is returned with the event's name.
func (r *Reader) Walk(ctx context.Context, txn *badger.Txn, h *record.Head, seq uint64, prev keys.Hash,
	seen func(*record.Event) error) error {
	start := record.EventKey(seq + 1)
	err := r.forEachFrom(ctx, txn, start[:1], start, func(key record.Key, plain []byte) error {
		page, err := record.DecodePage(key.Seq(), plain)
		if err != nil {
			return fmt.Errorf("store: %v: %w", key, err)
		}
		for i := range page {
			ev := &page[i]
			switch seq++; {
			case ev.Seq != seq:
				err = fmt.Errorf("event %d is missing before it: %w", seq, seal.ErrCorrupt)
			case ev.Prev != prev:
				err = fmt.Errorf("does not follow event %d: %w", seq-1, seal.ErrCorrupt)
			case seq > h.Seq:
				return fmt.Errorf("store: %v: older than event %d: %w", record.HeadKey, seq, seal.ErrCorrupt)
			default:
				err = seen(ev)
			}
			if err != nil {
				return fmt.Errorf("store: event %d: %w", ev.Seq, err)
			}
			prev = ev.Hash
		}
		return nil
	})
	switch {
	case err != nil:
		return err
	case seq < h.Seq:
		return fmt.Errorf("store: event %d: missing: the head says there are %d: %w", seq+1, h.Seq,
			seal.ErrCorrupt)
	case prev != h.Hash:
		return fmt.Errorf("store: event %d: its hash is not the head's: %w", seq, seal.ErrCorrupt)
	}
	return nil
}

// lastPage returns the number of the first event on the last page in the database. It does not use
// the head.
func lastPage(txn *badger.Txn) uint64 {
	it := txn.NewIterator(badger.IteratorOptions{Reverse: true})
	defer it.Close()
	it.Seek(append([]byte{record.KindEvent}, bytes.Repeat([]byte{0xff}, 9)...))
	if !it.ValidForPrefix([]byte{record.KindEvent}) {
		return 0
	}
	return record.Key(it.Item().Key()).Seq()
}
