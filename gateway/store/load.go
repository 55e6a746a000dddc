package store

import (
	"bytes"
	"context"
	"errors"
	"fmt"

	"github.com/dgraph-io/badger/v4"

	"latchkey/gateway/access"
)

// image is what one reading of the whole database found: everything but the chain's past.
type image struct {
	head     head
	records  []access.Change // every policy record, as a Put
	policy   tally           // computed, not as recorded
	counters map[access.ID]*counter
	counted  tally // likewise
}

// load reads and checks the database, or makes it if it is empty, and returns the writer that goes on from there.
func (s *Store) load(ctx context.Context, sp space) (*writer, error) {
	empty, err := s.empty()
	if err != nil {
		return nil, err
	}
	if empty {
		if err := s.create(); err != nil {
			return nil, err
		}
		s.log.Info("store made", "dir", s.opts.Dir)
	}
	var img *image
	err = s.db.View(func(txn *badger.Txn) (err error) {
		img, err = s.read(ctx, txn)
		return err
	})
	if err != nil {
		return nil, err
	}
	p, err := access.New().With(img.records...)
	if err != nil {
		return nil, fmt.Errorf("store: policy: %w: %w", ErrCorrupt, err)
	}
	w := &writer{s: s, leaf: newLeafer(s.keys.digest), space: sp, counters: img.counters, bySeq: make(map[uint64]access.ID, len(img.counters))}
	for id, c := range img.counters {
		w.bySeq[c.seq] = id
	}
	s.now.Store(&published{policy: p, head: img.head})
	return w, nil
}

func (s *Store) empty() (bool, error) {
	empty := true
	err := s.db.View(func(txn *badger.Txn) error {
		it := txn.NewIterator(badger.IteratorOptions{})
		defer it.Close()
		it.Rewind()
		empty = !it.Valid()
		return nil
	})
	return empty, err
}

// create writes the records that every store has.
func (s *Store) create() error {
	format, err := encode(1, formatRecord{Format: formatVersion, Created: stampOf(s.opts.Now())})
	if err != nil {
		return fmt.Errorf("store: %v: %w", formatKey, err)
	}
	h, err := new(head).encode()
	if err != nil {
		return fmt.Errorf("store: %v: %w", headKey, err)
	}
	err = s.db.Update(func(txn *badger.Txn) error {
		return errors.Join(txn.Set([]byte(formatKey), s.sealer.seal(formatKey, format)), txn.Set([]byte(headKey), s.sealer.seal(headKey, h)))
	})
	if err != nil {
		return fmt.Errorf("store: create: %w", err)
	}
	return nil
}

// read reads everything but the chain's past and returns it only if it agrees with itself.
func (s *Store) read(ctx context.Context, txn *badger.Txn) (*image, error) {
	img := &image{counters: make(map[access.ID]*counter)}
	if err := s.readMeta(txn, img); err != nil {
		return nil, err
	}
	leaf := newLeafer(s.keys.digest)
	for _, kind := range policyKinds {
		err := s.each(ctx, txn, kind, func(key recordKey, plain []byte) error {
			r, err := decodeRecord(key, plain)
			if err != nil {
				return err
			}
			img.records = append(img.records, access.Change{Put: r})
			img.policy = img.policy.with(leaf.leaf(key, plain))
			return nil
		})
		if err != nil {
			return nil, err
		}
	}
	err := s.each(ctx, txn, kindCounter, func(key recordKey, plain []byte) error {
		c, err := decodeCounter(plain)
		if err != nil {
			return err
		}
		c.leaf = leaf.leaf(key, plain)
		img.counters[key.id()] = &c
		img.counted = img.counted.with(c.leaf)
		return nil
	})
	if err != nil {
		return nil, err
	}
	return img, s.agree(ctx, txn, img)
}

func (s *Store) readMeta(txn *badger.Txn, img *image) error {
	plain, err := s.get(txn, formatKey)
	if err != nil {
		return err
	}
	f, err := decode[formatRecord](plain)
	if err != nil {
		return fmt.Errorf("store: %v: %w", formatKey, err)
	}
	if f.Format > formatVersion {
		return fmt.Errorf("store: format %d, this program reads up to %d: %w", f.Format, formatVersion, ErrFormat)
	}
	if plain, err = s.get(txn, headKey); err != nil {
		return err
	}
	if img.head, err = decodeHead(plain); err != nil {
		return fmt.Errorf("store: %v: %w", headKey, err)
	}
	return nil
}

// agree holds head, chain, policy and counters against one another.
func (s *Store) agree(ctx context.Context, txn *badger.Txn, img *image) error {
	h := &img.head
	if last := lastEvent(txn); last > h.seq {
		return fmt.Errorf("store: %v: older than event %d: %w", headKey, last, ErrCorrupt)
	}
	if h.seq > 0 {
		ev, err := s.event(txn, h.seq)
		if err != nil {
			return err
		}
		if ev.Hash != h.hash {
			return fmt.Errorf("store: event %d: its hash is not the head's: %w", h.seq, ErrCorrupt)
		}
	}
	if img.policy != h.policy {
		return s.blamePolicy(ctx, txn)
	}
	if h.policyAt == 0 {
		if h.policy.count != 0 {
			return fmt.Errorf("store: %v: records without a policy event: %w", headKey, ErrCorrupt)
		}
	} else if ev, err := s.event(txn, h.policyAt); err != nil {
		return err
	} else if ev.Kind != access.EventPolicy || ev.Digest != h.policy.sum.bytes() {
		return fmt.Errorf("store: event %d: does not carry the policy's digest: %w", h.policyAt, ErrCorrupt)
	}
	for id, c := range img.counters {
		ev, err := s.event(txn, c.seq)
		if err != nil {
			return fmt.Errorf("store: %v: %w", counterKey(id), err)
		}
		if ev.Kind != access.EventDecision || ev.Device.ID != id || ev.Counter != c.last {
			return fmt.Errorf("store: %v: event %d is not its decision: %w", counterKey(id), c.seq, ErrCorrupt)
		}
	}
	if img.counted != h.counters {
		return s.blameCounters(ctx, txn, img)
	}
	return nil
}

// get returns a record's plaintext. A record that must be there and is not is ErrCorrupt.
func (s *Store) get(txn *badger.Txn, key recordKey) ([]byte, error) {
	item, err := txn.Get([]byte(key))
	if errors.Is(err, badger.ErrKeyNotFound) {
		return nil, fmt.Errorf("store: %v: missing: %w", key, ErrCorrupt)
	}
	if err != nil {
		return nil, fmt.Errorf("store: %v: %w", key, err)
	}
	return s.unseal(key, item)
}

func (s *Store) unseal(key recordKey, item *badger.Item) (plain []byte, err error) {
	verr := item.Value(func(v []byte) error {
		plain, err = s.sealer.open(key, v)
		return nil
	})
	if err = errors.Join(verr, err); err != nil {
		return nil, fmt.Errorf("store: %v: %w: %w", key, ErrCorrupt, err)
	}
	return plain, nil
}

// each calls f with every record of a kind, in key order. An error from f gets the record's name.
func (s *Store) each(ctx context.Context, txn *badger.Txn, kind byte, f func(recordKey, []byte) error) error {
	it := txn.NewIterator(badger.IteratorOptions{Prefix: []byte{kind}, PrefetchValues: true, PrefetchSize: 64})
	defer it.Close()
	for it.Rewind(); it.Valid(); it.Next() {
		if err := ctx.Err(); err != nil {
			return err
		}
		key := recordKey(it.Item().Key())
		plain, err := s.unseal(key, it.Item())
		if err != nil {
			return err
		}
		if err := f(key, plain); err != nil {
			return fmt.Errorf("store: %v: %w", key, err)
		}
	}
	return nil
}

func (s *Store) event(txn *badger.Txn, seq uint64) (access.Event, error) {
	plain, err := s.get(txn, eventKey(seq))
	if err != nil {
		return access.Event{}, err
	}
	ev, err := decodeEvent(seq, plain)
	if err != nil {
		return access.Event{}, fmt.Errorf("store: event %d: %w", seq, err)
	}
	return ev, nil
}

// lastEvent returns the highest sequence number in the database, whatever the head says.
func lastEvent(txn *badger.Txn) uint64 {
	it := txn.NewIterator(badger.IteratorOptions{Reverse: true})
	defer it.Close()
	it.Seek(append([]byte{kindEvent}, bytes.Repeat([]byte{0xff}, 9)...))
	if !it.ValidForPrefix([]byte{kindEvent}) {
		return 0
	}
	return recordKey(it.Item().Key()).seq()
}
