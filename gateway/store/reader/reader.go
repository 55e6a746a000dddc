// Package reader reads the records of a store in one transaction of Badger: one by its name, all of
// a kind, the chain of events, or everything at once. Everything is checked against head, chain and
// digests, and an error names the first record that does not agree. The package writes nothing.
package reader

import (
	"context"
	"crypto/ed25519"
	"errors"
	"fmt"
	"net/netip"
	"time"

	"github.com/dgraph-io/badger/v4"

	"latchkey/gateway/access"
	"latchkey/gateway/audit"
	"latchkey/gateway/store/folder"
	"latchkey/gateway/store/record"
	"latchkey/gateway/store/seal"
)

// Reader reads the records of one store. It may be used from any goroutine.
type Reader struct {
	sealer seal.Sealer
	digest []byte            // key of the digests over records
	signer ed25519.PublicKey // checks the statement of removed events
}

// New makes a reader with the keys of a site.
func New(k seal.Keys) *Reader {
	return &Reader{seal.New(k.Seal), k.Digest, k.SigningPublic()}
}

// Image is everything in the database except older events.
type Image struct {
	Head     record.Head
	Cut      record.Cut       // what was removed of the chain
	Records  []access.Change  // every policy record, as a Put
	policy   record.Tally     // computed, not as recorded
	Counters *record.Counters // the counter records, and over them the events since head.countersAt
	Leaves   map[access.ID]record.Sum
	counted  record.Tally                  // computed, over the counter records
	odd      error                         // a counter record that names an event which did not move it
	SignIns  map[record.Key]time.Time      // when each expires
	Addrs    map[record.Key]netip.AddrPort // the last address of each device
	Cursors  map[record.Key]audit.SinkCursor
	Dead     map[record.Key]bool // the keys of the dead letters
}

// Read reads everything except older events, and returns an error if any of it does not agree.
func (r *Reader) Read(ctx context.Context, txn *badger.Txn) (*Image, error) {
	records := record.NewCounters(nil)
	img := &Image{Counters: record.NewCounters(records), Leaves: make(map[access.ID]record.Sum),
		SignIns: make(map[record.Key]time.Time),
		Addrs:   make(map[record.Key]netip.AddrPort),
		Cursors: make(map[record.Key]audit.SinkCursor), Dead: make(map[record.Key]bool)}
	if err := r.ReadMeta(txn, img); err != nil {
		return nil, err
	}
	leaf := record.NewLeafer(r.digest)
	for _, c := range record.Codecs.Rows {
		err := r.ForEach(ctx, txn, c.Prefix(), func(key record.Key, plain []byte) error {
			r, err := c.Decode(key, plain)
			if err != nil {
				return err
			}
			img.Records = append(img.Records, access.Change{Put: r})
			img.policy = img.policy.With(leaf.Leaf(key, plain))
			return nil
		})
		if err != nil {
			return nil, err
		}
	}
	err := r.ForEach(ctx, txn, record.KindCounter, func(key record.Key, plain []byte) error {
		c, err := record.DecodeCounter(plain)
		if err != nil {
			return err
		}
		if _, taken := records.BySeq[c.Seq]; taken || c.Seq == 0 || c.Seq > img.Head.CountersAt {
			img.odd = fmt.Errorf("store: %v: event %d did not move it: %w", key, c.Seq, seal.ErrCorrupt)
		}
		records.Put(key.ID(), &c)
		img.Leaves[key.ID()] = leaf.Leaf(key, plain)
		img.counted = img.counted.With(img.Leaves[key.ID()])
		return nil
	})
	if err != nil {
		return nil, err
	}
	if err := r.readAsides(ctx, txn, img); err != nil {
		return nil, err
	}
	return img, r.agree(ctx, txn, img)
}

// readAsides reads the records that no digest covers.
func (r *Reader) readAsides(ctx context.Context, txn *badger.Txn, img *Image) error {
	for kind, read := range map[byte]func(record.Key, []byte) error{
		record.KindSignIn: func(key record.Key, plain []byte) error {
			r, err := record.DecodeSignIn(key, plain)
			img.SignIns[key] = r.Expiry.Time()
			return err
		},
		record.KindAddress: func(key record.Key, plain []byte) (err error) {
			img.Addrs[key], err = record.DecodeAddress(plain)
			return err
		},
		record.KindCursor: func(key record.Key, plain []byte) (err error) {
			img.Cursors[key], err = record.DecodeCursor(plain)
			return err
		},
		record.KindDead: func(key record.Key, plain []byte) error {
			_, seq := key.Dead()
			img.Dead[key] = true
			_, err := record.DecodeDead(seq, plain)
			return err
		},
	} {
		if err := r.ForEach(ctx, txn, kind, read); err != nil {
			return err
		}
	}
	return nil
}

func (r *Reader) ReadMeta(txn *badger.Txn, img *Image) error {
	plain, err := r.Get(txn, record.FormatKey)
	if err != nil {
		return err
	}
	f, err := record.Decode[record.FormatRecord](plain)
	if err != nil {
		return fmt.Errorf("store: %v: %w", record.FormatKey, err)
	}
	if f.Format > folder.FormatVersion {
		return fmt.Errorf("store: format %d, this program reads up to %d: %w", f.Format, folder.FormatVersion,
			seal.ErrFormat)
	}
	if plain, err = r.Get(txn, record.HeadKey); err != nil {
		return err
	}
	if img.Head, err = record.DecodeHead(plain); err != nil {
		return fmt.Errorf("store: %v: %w", record.HeadKey, err)
	}
	img.Cut, err = r.readCut(txn, &img.Head)
	return err
}

// agree checks that head, chain, policy and counters agree.
func (r *Reader) agree(ctx context.Context, txn *badger.Txn, img *Image) error {
	h := &img.Head
	if last := lastPage(txn); last > h.Seq {
		return fmt.Errorf("store: %v: older than event %d: %w", record.HeadKey, last, seal.ErrCorrupt)
	}
	chain := r.OpenChain(txn)
	if err := r.checkBorder(chain, &img.Cut); err != nil {
		return err
	}
	from, err := chain.ReadHash(h.CountersAt)
	if err != nil {
		return err
	}
	if err := r.Walk(ctx, txn, h, h.CountersAt, from,
		func(ev *record.Event) error { img.Counters.Take(ev); return nil }); err != nil {
		return err
	}
	if img.odd != nil {
		return img.odd
	}
	if img.policy != h.Policy {
		return r.blamePolicy(ctx, txn, img)
	}
	if err := agreePolicyEvent(chain, img); err != nil {
		return err
	}
	if img.counted != h.Counters {
		return r.blameCounters(ctx, txn, img)
	}
	return nil
}

// agreePolicyEvent checks that the policy event that the head names carries the policy's digest. If
// it was removed, the statement does.
func agreePolicyEvent(chain *Chain, img *Image) error {
	h := &img.Head
	if h.PolicyAt == 0 {
		if h.Policy.Count != 0 {
			return fmt.Errorf("store: %v: records without a policy event: %w", record.HeadKey,
				seal.ErrCorrupt)
		}
		return nil
	}
	if h.PolicyAt <= img.Cut.Seq {
		if img.Cut.PolicyAt != h.PolicyAt || img.Cut.Policy != h.Policy.Sum.Bytes() {
			return fmt.Errorf("store: %v: does not carry the policy's digest: %w", record.CutKey, seal.ErrCorrupt)
		}
		return nil
	}
	ev, err := chain.ReadEvent(h.PolicyAt)
	if err == nil && (ev.Kind != audit.EventPolicy || ev.Digest != h.Policy.Sum.Bytes()) {
		err = fmt.Errorf("store: event %d: does not carry the policy's digest: %w", h.PolicyAt, seal.ErrCorrupt)
	}
	return err
}

// Get returns a record's plaintext. If there is no such record the error is seal.ErrCorrupt.
func (r *Reader) Get(txn *badger.Txn, key record.Key) ([]byte, error) {
	plain, err := r.Find(txn, key)
	if err == nil && plain == nil {
		err = fmt.Errorf("store: %v: missing: %w", key, seal.ErrCorrupt)
	}
	return plain, err
}

// Find returns a record's plaintext, or nil if there is none.
func (r *Reader) Find(txn *badger.Txn, key record.Key) ([]byte, error) {
	item, err := txn.Get([]byte(key))
	if errors.Is(err, badger.ErrKeyNotFound) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("store: %v: %w", key, err)
	}
	return r.unseal(key, item)
}

func (r *Reader) unseal(key record.Key, item *badger.Item) (plain []byte, err error) {
	verr := item.Value(func(v []byte) error {
		plain, err = r.sealer.Open(string(key), v)
		return nil
	})
	if err = errors.Join(verr, err); err != nil {
		return nil, fmt.Errorf("store: %v: %w: %w", key, seal.ErrCorrupt, err)
	}
	return plain, nil
}

// ForEach calls f with every record of a kind, in key order. An error from f gets the record's
// name.
func (r *Reader) ForEach(ctx context.Context, txn *badger.Txn, kind byte,
	f func(record.Key, []byte) error) error {
	return r.ForEachUnder(ctx, txn, record.Key(kind), f)
}

// ForEachUnder calls f with every record whose Badger key begins with the prefix, in key order. An
// error from f gets the record's name.
func (r *Reader) ForEachUnder(ctx context.Context, txn *badger.Txn, prefix record.Key,
	f func(record.Key, []byte) error) error {
	return r.forEachFrom(ctx, txn, prefix, prefix, func(key record.Key, plain []byte) error {
		if err := f(key, plain); err != nil {
			return fmt.Errorf("store: %v: %w", key, err)
		}
		return nil
	})
}

// forEachFrom calls f with every record under the prefix from a Badger key on.
func (r *Reader) forEachFrom(ctx context.Context, txn *badger.Txn, prefix, start record.Key,
	f func(record.Key, []byte) error) error {
	// No prefetch: Badger does that in goroutines of its own, where a panic at a damaged file would
	// end the process.
	it := txn.NewIterator(badger.IteratorOptions{Prefix: []byte(prefix)})
	defer it.Close()
	for it.Seek([]byte(start)); it.Valid(); it.Next() {
		if err := ctx.Err(); err != nil {
			return err
		}
		key := record.Key(it.Item().Key())
		plain, err := r.unseal(key, it.Item())
		if err != nil {
			return err
		}
		if err := f(key, plain); err != nil {
			return err
		}
	}
	return nil
}
