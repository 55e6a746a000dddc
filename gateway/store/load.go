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
	"latchkey/gateway/store/record"
)

// image is what one reading of the database found: everything but the chain's past.
type image struct {
	head     record.Head
	records  []access.Change  // every policy record, as a Put
	policy   record.Tally     // computed, not as recorded
	counters *record.Counters // moved by the events since head.countersAt, over the counter records
	leaves   map[access.ID]record.Sum
	counted  record.Tally                  // computed, over the counter records
	odd      error                         // a counter record that names an event it cannot be of
	signIns  map[record.Key]time.Time      // when each expires
	addrs    map[record.Key]netip.AddrPort // where each device was last
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
	p, err := record.Codecs.Policy.New().With(img.records...)
	if err != nil {
		return nil, fmt.Errorf("store: policy: %w: %w", ErrCorrupt, err)
	}
	w := &writer{s: s, leaf: record.NewLeafer(s.keys.Digest), space: sp, counters: img.counters.Under, moved: make(map[access.ID]struct{}),
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
	format, err := record.Encode(1, record.FormatRecord{Format: folder.FormatVersion, Created: record.MakeStamp(s.opts.Now())})
	if err != nil {
		return fmt.Errorf("store: %v: %w", record.FormatKey, err)
	}
	h, err := new(record.Head).Encode()
	if err != nil {
		return fmt.Errorf("store: %v: %w", record.HeadKey, err)
	}
	err = s.db.Update(func(txn *badger.Txn) error {
		return errors.Join(txn.Set([]byte(record.FormatKey), s.sealer.Seal(string(record.FormatKey), format)), txn.Set([]byte(record.HeadKey), s.sealer.Seal(string(record.HeadKey), h)))
	})
	if err != nil {
		return fmt.Errorf("store: create: %w", err)
	}
	return nil
}

// read reads everything but the chain's past and returns it only if it agrees with itself.
func (s *Store) read(ctx context.Context, txn *badger.Txn) (*image, error) {
	records := record.NewCounters(nil)
	img := &image{counters: record.NewCounters(records), leaves: make(map[access.ID]record.Sum), signIns: make(map[record.Key]time.Time),
		addrs: make(map[record.Key]netip.AddrPort)}
	if err := s.readMeta(txn, img); err != nil {
		return nil, err
	}
	leaf := record.NewLeafer(s.keys.Digest)
	for _, c := range record.Codecs.Rows {
		err := s.each(ctx, txn, c.Prefix(), func(key record.Key, plain []byte) error {
			r, err := c.Decode(key, plain)
			if err != nil {
				return err
			}
			img.records = append(img.records, access.Change{Put: r})
			img.policy = img.policy.With(leaf.Leaf(key, plain))
			return nil
		})
		if err != nil {
			return nil, err
		}
	}
	err := s.each(ctx, txn, record.KindCounter, func(key record.Key, plain []byte) error {
		c, err := record.DecodeCounter(plain)
		if err != nil {
			return err
		}
		if _, taken := records.BySeq[c.Seq]; taken || c.Seq == 0 || c.Seq > img.head.CountersAt {
			img.odd = fmt.Errorf("store: %v: event %d did not move it: %w", key, c.Seq, ErrCorrupt)
		}
		records.Put(key.ID(), &c)
		img.leaves[key.ID()] = leaf.Leaf(key, plain)
		img.counted = img.counted.With(img.leaves[key.ID()])
		return nil
	})
	if err != nil {
		return nil, err
	}
	err = s.each(ctx, txn, record.KindSignIn, func(key record.Key, plain []byte) error {
		r, err := decodeSignIn(key, plain)
		img.signIns[key] = r.Expiry.Time()
		return err
	})
	if err != nil {
		return nil, err
	}
	err = s.each(ctx, txn, record.KindAddress, func(key record.Key, plain []byte) (err error) {
		img.addrs[key], err = decodeAddress(plain)
		return err
	})
	if err != nil {
		return nil, err
	}
	return img, s.agree(ctx, txn, img)
}

func (s *Store) readMeta(txn *badger.Txn, img *image) error {
	plain, err := s.get(txn, record.FormatKey)
	if err != nil {
		return err
	}
	f, err := record.Decode[record.FormatRecord](plain)
	if err != nil {
		return fmt.Errorf("store: %v: %w", record.FormatKey, err)
	}
	if f.Format > folder.FormatVersion {
		return fmt.Errorf("store: format %d, this program reads up to %d: %w", f.Format, folder.FormatVersion, ErrFormat)
	}
	if plain, err = s.get(txn, record.HeadKey); err != nil {
		return err
	}
	if img.head, err = record.DecodeHead(plain); err != nil {
		return fmt.Errorf("store: %v: %w", record.HeadKey, err)
	}
	return nil
}

// agree holds head, chain, policy and counters against one another.
func (s *Store) agree(ctx context.Context, txn *badger.Txn, img *image) error {
	h := &img.head
	if last := lastPage(txn); last > h.Seq {
		return fmt.Errorf("store: %v: older than event %d: %w", record.HeadKey, last, ErrCorrupt)
	}
	chain := chain{s: s, txn: txn}
	from, err := chain.hash(h.CountersAt)
	if err != nil {
		return err
	}
	if err := s.walk(ctx, txn, h, h.CountersAt, from, func(ev *record.Event) error { img.counters.Take(ev); return nil }); err != nil {
		return err
	}
	if img.odd != nil {
		return img.odd
	}
	if img.policy != h.Policy {
		return s.blamePolicy(ctx, txn)
	}
	if h.PolicyAt == 0 {
		if h.Policy.Count != 0 {
			return fmt.Errorf("store: %v: records without a policy event: %w", record.HeadKey, ErrCorrupt)
		}
	} else if ev, err := chain.event(h.PolicyAt); err != nil {
		return err
	} else if ev.Kind != access.EventPolicy || ev.Digest != h.Policy.Sum.Bytes() {
		return fmt.Errorf("store: event %d: does not carry the policy's digest: %w", h.PolicyAt, ErrCorrupt)
	}
	if img.counted != h.Counters {
		return s.blameCounters(ctx, txn, img)
	}
	return nil
}

// get returns a record's plaintext. A record that must be there and is not is ErrCorrupt.
func (s *Store) get(txn *badger.Txn, key record.Key) ([]byte, error) {
	plain, err := s.find(txn, key)
	if err == nil && plain == nil {
		err = fmt.Errorf("store: %v: missing: %w", key, ErrCorrupt)
	}
	return plain, err
}

// find returns a record's plaintext, nil if there is none.
func (s *Store) find(txn *badger.Txn, key record.Key) ([]byte, error) {
	item, err := txn.Get([]byte(key))
	if errors.Is(err, badger.ErrKeyNotFound) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("store: %v: %w", key, err)
	}
	return s.unseal(key, item)
}

func (s *Store) unseal(key record.Key, item *badger.Item) (plain []byte, err error) {
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
func (s *Store) each(ctx context.Context, txn *badger.Txn, kind byte, f func(record.Key, []byte) error) error {
	return s.from(ctx, txn, record.Key(kind), func(key record.Key, plain []byte) error {
		if err := f(key, plain); err != nil {
			return fmt.Errorf("store: %v: %w", key, err)
		}
		return nil
	})
}

// from calls f with every record of one kind from a Badger key on.
func (s *Store) from(ctx context.Context, txn *badger.Txn, start record.Key, f func(record.Key, []byte) error) error {
	// Nothing is fetched ahead: Badger does that in goroutines of its own, where a panic at a damaged file ends the process.
	it := txn.NewIterator(badger.IteratorOptions{Prefix: []byte{start.Kind()}})
	defer it.Close()
	for it.Seek([]byte(start)); it.Valid(); it.Next() {
		if err := ctx.Err(); err != nil {
			return err
		}
		key := record.Key(it.Item().Key())
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
