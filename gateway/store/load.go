package store

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"time"

	"github.com/dgraph-io/badger/v4"

	"latchkey/gateway/access"
	"latchkey/gateway/store/folder"
)

// image is what one reading of the database found: everything but the chain's past.
type image struct {
	head     head
	records  []access.Change // every policy record, as a Put
	policy   tally           // computed, not as recorded
	counters *counters       // moved by the events since head.countersAt, over the counter records
	leaves   map[access.ID]sum
	counted  tally                        // computed, over the counter records
	odd      error                        // a counter record that names an event it cannot be of
	signIns  map[recordKey]time.Time      // when each expires
	addrs    map[recordKey]netip.AddrPort // where each device was last
}

// load reads and checks the database, or makes it, and returns the writer that goes on from there.
func (s *Store) load(ctx context.Context, sp space, state folder.State) (*writer, error) {
	if state == folder.New {
		if err := s.create(); err != nil {
			return nil, err
		}
		s.log.Info("store made", "dir", s.opts.Dir)
	}
	var img *image
	err := s.look(func(txn *badger.Txn) (err error) {
		img, err = s.read(ctx, txn)
		return err
	})
	if err != nil {
		return nil, err
	}
	p, err := codecs.policy.New().With(img.records...)
	if err != nil {
		return nil, fmt.Errorf("store: policy: %w: %w", ErrCorrupt, err)
	}
	w := &writer{s: s, leaf: newLeafer(s.keys.Digest), space: sp, counters: img.counters.under, moved: make(map[access.ID]struct{}),
		leaves: img.leaves, signIns: img.signIns, addrs: img.addrs}
	w.settle(img.counters)
	s.now.Store(&published{policy: p, kept: p, head: img.head})
	b := w.newBatch()
	b.sweepSignIns(s.opts.Now(), maxSignIns)
	w.finish(b)
	return w, s.Failed()
}

// create writes the records that every store has.
func (s *Store) create() error {
	format, err := encode(1, formatRecord{Format: folder.FormatVersion, Created: stampOf(s.opts.Now())})
	if err != nil {
		return fmt.Errorf("store: %v: %w", formatKey, err)
	}
	h, err := new(head).encode()
	if err != nil {
		return fmt.Errorf("store: %v: %w", headKey, err)
	}
	err = s.db.Update(func(txn *badger.Txn) error {
		return errors.Join(txn.Set([]byte(formatKey), s.sealer.Seal(string(formatKey), format)), txn.Set([]byte(headKey), s.sealer.Seal(string(headKey), h)))
	})
	if err != nil {
		return fmt.Errorf("store: create: %w", err)
	}
	return nil
}

// read reads everything but the chain's past and returns it only if it agrees with itself.
func (s *Store) read(ctx context.Context, txn *badger.Txn) (*image, error) {
	records := newCounters(nil)
	img := &image{counters: newCounters(records), leaves: make(map[access.ID]sum), signIns: make(map[recordKey]time.Time),
		addrs: make(map[recordKey]netip.AddrPort)}
	if err := s.readMeta(txn, img); err != nil {
		return nil, err
	}
	leaf := newLeafer(s.keys.Digest)
	for _, c := range codecs.rows {
		err := s.each(ctx, txn, c.prefix(), func(key recordKey, plain []byte) error {
			r, err := c.decode(key, plain)
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
		if _, taken := records.bySeq[c.seq]; taken || c.seq == 0 || c.seq > img.head.countersAt {
			img.odd = fmt.Errorf("store: %v: event %d did not move it: %w", key, c.seq, ErrCorrupt)
		}
		records.put(key.id(), &c)
		img.leaves[key.id()] = leaf.leaf(key, plain)
		img.counted = img.counted.with(img.leaves[key.id()])
		return nil
	})
	if err != nil {
		return nil, err
	}
	err = s.each(ctx, txn, kindSignIn, func(key recordKey, plain []byte) error {
		r, err := decodeSignIn(key, plain)
		img.signIns[key] = r.Expiry.time()
		return err
	})
	if err != nil {
		return nil, err
	}
	err = s.each(ctx, txn, kindAddress, func(key recordKey, plain []byte) (err error) {
		img.addrs[key], err = decodeAddress(plain)
		return err
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
	if f.Format > folder.FormatVersion {
		return fmt.Errorf("store: format %d, this program reads up to %d: %w", f.Format, folder.FormatVersion, ErrFormat)
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
	if last := lastPage(txn); last > h.seq {
		return fmt.Errorf("store: %v: older than event %d: %w", headKey, last, ErrCorrupt)
	}
	chain := chain{s: s, txn: txn}
	from, err := chain.hash(h.countersAt)
	if err != nil {
		return err
	}
	if err := s.walk(ctx, txn, h, h.countersAt, from, func(ev *stored) error { img.counters.take(ev); return nil }); err != nil {
		return err
	}
	if img.odd != nil {
		return img.odd
	}
	if img.policy != h.policy {
		return s.blamePolicy(ctx, txn)
	}
	if h.policyAt == 0 {
		if h.policy.count != 0 {
			return fmt.Errorf("store: %v: records without a policy event: %w", headKey, ErrCorrupt)
		}
	} else if ev, err := chain.event(h.policyAt); err != nil {
		return err
	} else if ev.Kind != access.EventPolicy || ev.Digest != h.policy.sum.bytes() {
		return fmt.Errorf("store: event %d: does not carry the policy's digest: %w", h.policyAt, ErrCorrupt)
	}
	if img.counted != h.counters {
		return s.blameCounters(ctx, txn, img)
	}
	return nil
}

// get returns a record's plaintext. A record that must be there and is not is ErrCorrupt.
func (s *Store) get(txn *badger.Txn, key recordKey) ([]byte, error) {
	plain, err := s.find(txn, key)
	if err == nil && plain == nil {
		err = fmt.Errorf("store: %v: missing: %w", key, ErrCorrupt)
	}
	return plain, err
}

// find returns a record's plaintext, nil if there is none.
func (s *Store) find(txn *badger.Txn, key recordKey) ([]byte, error) {
	item, err := txn.Get([]byte(key))
	if errors.Is(err, badger.ErrKeyNotFound) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("store: %v: %w", key, err)
	}
	return s.unseal(key, item)
}

func (s *Store) unseal(key recordKey, item *badger.Item) (plain []byte, err error) {
	verr := item.Value(func(v []byte) error {
		plain, err = s.sealer.Open(string(key), v)
		return nil
	})
	if err = errors.Join(verr, err); err != nil {
		return nil, fmt.Errorf("store: %v: %w: %w", key, ErrCorrupt, err)
	}
	return plain, nil
}

// each calls f with every record of a kind, in key order. An error from f gets the record's name.
func (s *Store) each(ctx context.Context, txn *badger.Txn, kind byte, f func(recordKey, []byte) error) error {
	return s.from(ctx, txn, recordKey(kind), func(key recordKey, plain []byte) error {
		if err := f(key, plain); err != nil {
			return fmt.Errorf("store: %v: %w", key, err)
		}
		return nil
	})
}

// from calls f with every record of one kind from a Badger key on.
func (s *Store) from(ctx context.Context, txn *badger.Txn, start recordKey, f func(recordKey, []byte) error) error {
	// Nothing is fetched ahead: Badger does that in goroutines of its own, where a panic at a damaged file ends the process.
	it := txn.NewIterator(badger.IteratorOptions{Prefix: []byte{start.kind()}})
	defer it.Close()
	for it.Seek([]byte(start)); it.Valid(); it.Next() {
		if err := ctx.Err(); err != nil {
			return err
		}
		key := recordKey(it.Item().Key())
		plain, err := s.unseal(key, it.Item())
		if err != nil {
			return err
		}
		if err := f(key, plain); err != nil {
			return err
		}
	}
	return nil
}
