package reader

import (
	"context"
	"errors"
	"fmt"
	"math"
	"strings"

	"github.com/dgraph-io/badger/v4"

	"latchkey/gateway/access"
	"latchkey/gateway/store/folder"
	"latchkey/gateway/store/record"
	"latchkey/gateway/store/seal"
	"latchkey/keys"
)

// Kept is the number and the hash of an event as somebody kept them elsewhere.
type Kept struct {
	Seq  uint64
	Hash keys.Hash
}

// VerifyChain reads the whole chain, and returns the newest event. k, if not nil, is an event that
// somebody kept elsewhere.
func (r *Reader) VerifyChain(ctx context.Context, txn *badger.Txn, k *Kept, p *Upkeep) (uint64, error) {
	img := &Image{}
	if err := r.ReadMeta(txn, img); err != nil {
		return 0, err
	}
	if k != nil && k.Seq <= img.Cut.Seq && img.Cut.Seq > 0 {
		if k.Seq < img.Cut.Seq {
			return 0, fmt.Errorf("store: head %d: %w: that event was removed, because events are kept for a time: "+
				"want one from %d on", k.Seq, access.ErrInvalid, img.Cut.Seq)
		}
		if k.Hash != img.Cut.Hash {
			return 0, fmt.Errorf("store: event %d: its hash is not the one kept elsewhere: %w", k.Seq, seal.ErrCorrupt)
		}
	}
	err := r.WalkAll(ctx, txn, img, func(ev *record.Event) error {
		if k != nil && k.Seq == ev.Seq && ev.Hash != k.Hash {
			return fmt.Errorf("its hash is not the one kept elsewhere: %w", seal.ErrCorrupt)
		}
		return p.Rest(ctx)
	})
	switch last := img.Head.Seq; {
	case err != nil:
		return 0, err
	case k != nil && k.Seq > last:
		return 0, fmt.Errorf("store: event %d: missing: the chain ends at %d, so the store was rolled "+
			"back or cut: %w", k.Seq, last, seal.ErrCorrupt)
	case k != nil && k.Seq == 0 && k.Hash != (keys.Hash{}):
		return 0, fmt.Errorf("store: head 0 has no hash: %w", seal.ErrCorrupt)
	}
	return img.Head.Seq, nil
}

// CheckWitness returns an error if the database lacks what site.head has seen.
func (r *Reader) CheckWitness(txn *badger.Txn, w *folder.Witness, img *Image, mems int) error {
	const do = "put the whole data folder back from a copy; if db/ alone was put back, or an older " +
		"latchkey has run on it since, remove site.head"
	if w.Seq > img.Head.Seq {
		return &folder.Damage{Name: "db/",
			What: fmt.Sprintf("ends at event %d, and site.head has seen event %d: a file with the newest "+
				"records is missing, or db/ is an older copy",
				img.Head.Seq, w.Seq), Do: do}
	}
	if w.Open && mems == 0 {
		return &folder.Damage{Name: "db/", What: "the newest " + folder.MemExt +
			" file is missing: the store was open when the program ended, and then there is one", Do: do}
	}
	if w.Seq < img.Cut.Seq {
		return nil // it was removed since
	}
	hash, err := img.Cut.Hash, error(nil)
	if w.Seq > img.Cut.Seq {
		hash, err = r.OpenChain(txn).ReadHash(w.Seq)
	}
	if err == nil && hash != keys.Hash(w.Hash) {
		return &folder.Damage{Name: "db/",
			What: fmt.Sprintf("its event %d is not the one that site.head has seen: db/ is another "+
				"store's, or an older copy that went on", w.Seq), Do: do}
	}
	return err
}

// ExplainDamage adds to the error of a record what is whole and what to do.
func (r *Reader) ExplainDamage(ctx context.Context, txn *badger.Txn, err error) error {
	var d *folder.Damage
	if err == nil || errors.As(err, &d) || !errors.Is(err, seal.ErrCorrupt) {
		return err
	}
	name, what, _ := strings.Cut(strings.TrimPrefix(err.Error(), "store: "), ": ")
	first, last := r.findIntact(ctx, txn)
	whole := "no event verifies"
	if last >= first {
		whole = fmt.Sprintf("events %d to %d verify", first, last)
	}
	return &folder.Damage{Name: name, What: what,
		Whole: "every file of db/ matches its checksums and " + whole, Do: folder.DoCopy}
}

// findIntact returns the events from the first that is kept, up to which the chain is intact.
func (r *Reader) findIntact(ctx context.Context, txn *badger.Txn) (first, last uint64) {
	img := &Image{}
	_ = r.ReadMeta(txn, img) // if that fails, nothing was removed as far as can be told
	first, last, img.Head.Seq = img.Cut.Seq+1, img.Cut.Seq, math.MaxUint64
	_ = r.WalkAll(ctx, txn, img, func(ev *record.Event) error { last = ev.Seq; return nil })
	return first, last
}
