package store

import (
	"bytes"
	"context"
	"fmt"

	"github.com/dgraph-io/badger/v4"

	"latchkey/gateway/access"
)

// chain reads events by their number in one transaction. It keeps the last page, so that neighbours cost nothing.
type chain struct {
	s    *Store
	txn  *badger.Txn
	page []stored
}

// event returns the event with that number. One that is not there is ErrCorrupt.
func (c *chain) event(seq uint64) (*stored, error) {
	if ev := c.onPage(seq); ev != nil {
		return ev, nil
	}
	first := pageOf(c.txn, seq)
	if first == 0 {
		return nil, fmt.Errorf("store: event %d: missing: %w", seq, ErrCorrupt)
	}
	plain, err := c.s.get(c.txn, eventKey(first))
	if err != nil {
		return nil, err
	}
	if c.page, err = decodePage(first, plain); err != nil {
		return nil, fmt.Errorf("store: event %d: %w", first, err)
	}
	if ev := c.onPage(seq); ev != nil {
		return ev, nil
	}
	return nil, fmt.Errorf("store: event %d: missing: %w", seq, ErrCorrupt)
}

func (c *chain) onPage(seq uint64) *stored {
	if len(c.page) == 0 || seq < c.page[0].Seq || seq-c.page[0].Seq >= uint64(len(c.page)) {
		return nil
	}
	return &c.page[seq-c.page[0].Seq]
}

// hash returns the hash of an event; that of event 0, before the first, is zero.
func (c *chain) hash(seq uint64) (access.Hash, error) {
	if seq == 0 {
		return access.Hash{}, nil
	}
	ev, err := c.event(seq)
	if err != nil {
		return access.Hash{}, err
	}
	return ev.Hash, nil
}

// pageOf returns the number of the first event on the page that seq must be on, 0 if there is none.
func pageOf(txn *badger.Txn, seq uint64) uint64 {
	if _, err := txn.Get([]byte(eventKey(seq))); err == nil {
		return seq
	}
	it := txn.NewIterator(badger.IteratorOptions{Reverse: true})
	defer it.Close()
	it.Seek([]byte(eventKey(seq)))
	if !it.ValidForPrefix([]byte{kindEvent}) {
		return 0
	}
	return recordKey(it.Item().Key()).seq()
}

// walk checks that the events after seq, whose hash is prev, follow one another to the head, and shows each to seen. It names the first event
// that is missing, does not open, or does not follow the one before. An error from seen gets the event's name.
func (s *Store) walk(ctx context.Context, txn *badger.Txn, h *head, seq uint64, prev access.Hash, seen func(*stored) error) error {
	err := s.from(ctx, txn, eventKey(seq+1), func(key recordKey, plain []byte) error {
		page, err := decodePage(key.seq(), plain)
		if err != nil {
			return fmt.Errorf("store: %v: %w", key, err)
		}
		for i := range page {
			ev := &page[i]
			switch seq++; {
			case ev.Seq != seq:
				err = fmt.Errorf("event %d is missing before it: %w", seq, ErrCorrupt)
			case ev.Prev != prev:
				err = fmt.Errorf("does not follow event %d: %w", seq-1, ErrCorrupt)
			case seq > h.seq:
				return fmt.Errorf("store: %v: older than event %d: %w", headKey, seq, ErrCorrupt)
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
	case seq < h.seq:
		return fmt.Errorf("store: event %d: missing: the head says there are %d: %w", seq+1, h.seq, ErrCorrupt)
	case prev != h.hash:
		return fmt.Errorf("store: event %d: its hash is not the head's: %w", seq, ErrCorrupt)
	}
	return nil
}

// lastPage returns the number of the first event on the last page in the database, whatever the head says.
func lastPage(txn *badger.Txn) uint64 {
	it := txn.NewIterator(badger.IteratorOptions{Reverse: true})
	defer it.Close()
	it.Seek(append([]byte{kindEvent}, bytes.Repeat([]byte{0xff}, 9)...))
	if !it.ValidForPrefix([]byte{kindEvent}) {
		return 0
	}
	return recordKey(it.Item().Key()).seq()
}
