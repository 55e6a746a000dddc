package reader

import (
	"context"
	"slices"

	"github.com/dgraph-io/badger/v4"

	"latchkey/gateway/access"
	"latchkey/gateway/store/record"
)

// Snapshot reads one transaction, in which nothing changes any more.
type Snapshot struct {
	r   *Reader
	txn *badger.Txn
}

// Snapshot returns what a transaction sees. It is valid until the transaction ends.
func (r *Reader) Snapshot(txn *badger.Txn) Snapshot { return Snapshot{r, txn} }

// Export calls f with each record of the kinds for which has is true: format and head first, the
// pages of events last, the others by their keys. Change records and pages are left out up to the
// page that holds the event from.
func (s Snapshot) Export(ctx context.Context, has func(letter byte) bool, from uint64,
	f func(record.Key, []byte) error) error {
	letters := []byte{record.KindMeta, record.KindCounter, record.KindSignIn, record.KindAddress,
		record.KindCursor, record.KindDead, record.KindChange}
	for _, codec := range record.Codecs.Rows {
		letters = append(letters, codec.Prefix())
	}
	slices.Sort(letters[1:])
	for _, letter := range append(letters, record.KindEvent) {
		if !has(letter) {
			continue
		}
		start := record.Key(letter)
		switch letter {
		case record.KindChange:
			start = record.ChangeKey(from)
		case record.KindEvent:
			start = record.EventKey(from)
		}
		if err := s.r.forEachFrom(ctx, s.txn, record.Key(letter), start, f); err != nil {
			return err
		}
	}
	return nil
}

// Head returns the head of the store.
func (s Snapshot) Head() (record.Head, error) {
	var img Image
	err := s.r.ReadMeta(s.txn, &img)
	return img.Head, err
}

// Epoch returns the epoch of the site, from 1.
func (s Snapshot) Epoch() (uint64, error) {
	plain, err := s.r.Find(s.txn, record.SiteKey)
	if err != nil || plain == nil {
		return 1, err
	}
	rec, err := record.DecodeRecord(record.SiteKey, plain)
	site, _ := rec.(access.Site)
	return max(1, site.Epoch), err
}

// PageOf returns the number of the first event on the page that must hold seq, or 0 if there is no
// such page.
func (s Snapshot) PageOf(seq uint64) uint64 { return pageOf(s.txn, seq) }
