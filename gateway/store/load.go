package store

import (
	"context"
	"fmt"

	"github.com/dgraph-io/badger/v4"

	"latchkey/gateway/access"
	"latchkey/gateway/store/engine"
	"latchkey/gateway/store/folder"
	"latchkey/gateway/store/reader"
	"latchkey/gateway/store/record"
)

// load reads and checks the database, or makes it, and returns a writer with its state.
func (s *Store) load(ctx context.Context, sp space, state folder.State) (*writer, error) {
	if state == folder.New {
		if err := s.create(); err != nil {
			return nil, err
		}
		s.log.Info("store made", "dir", s.opts.Dir)
	}
	var img *reader.Image
	err := s.db.ReadTxn(func(txn *badger.Txn) (err error) {
		img, err = s.reader.Read(ctx, txn)
		return err
	})
	if err != nil {
		return nil, err
	}
	p, err := record.Codecs.Policy.New().With(img.Records...)
	if err != nil {
		return nil, fmt.Errorf("store: policy: %w: %w", ErrCorrupt, err)
	}
	w := &writer{s: s, leaf: record.NewLeafer(s.keys.Digest), space: sp, counters: img.Counters.Under,
		moved:  make(map[access.ID]struct{}),
		leaves: img.Leaves, signIns: img.SignIns, addrs: img.Addrs, cursors: img.Cursors, dead: img.Dead}
	w.mergeCounters(img.Counters)
	s.now.Store(&published{policy: p, kept: p, head: img.Head, cut: img.Cut})
	s.removed.Store(img.Cut.Seq)
	b := w.newBatch()
	b.sweepSignIns(s.opts.Now(), maxSignIns)
	w.finishBatch(b)
	return w, s.Failed()
}

// create writes the records that every store has.
func (s *Store) create() error {
	format, err := record.Encode(1, record.FormatRecord{Format: folder.FormatVersion,
		Created: record.MakeStamp(s.opts.Now())})
	if err != nil {
		return fmt.Errorf("store: %v: %w", record.FormatKey, err)
	}
	var w engine.Writes
	w.Put(s.sealer, string(record.FormatKey), format)
	w.Put(s.sealer, string(record.HeadKey), new(record.Head).AppendTo(nil))
	err = s.db.Write(&w)
	if err != nil {
		return fmt.Errorf("store: create: %w", err)
	}
	return nil
}
