package store

import (
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"time"

	"github.com/dgraph-io/badger/v4"

	"latchkey/gateway/store/backup"
	"latchkey/gateway/store/folder"
	"latchkey/gateway/store/reader"
	"latchkey/gateway/store/record"
	"latchkey/keys"
)

// Verify reads every table and walks the whole chain. Its error names the first file or event that
// is missing, does not open, or does not follow the one before. No damage on disk ends this
// process.
func (s *Store) Verify(ctx context.Context) error {
	return s.verify(ctx, nil, nil)
}

// VerifyHead does the same as [Store.Verify], and checks that the chain contains the event seq with
// that hash, which somebody kept elsewhere. Only this finds a store that was rolled back or cut off
// as a whole.
func (s *Store) VerifyHead(ctx context.Context, seq uint64, hash keys.Hash) error {
	return s.verify(ctx, &reader.Kept{Seq: seq, Hash: hash}, nil)
}

// VerifyQuietly is [Store.Verify] at a limited rate: it works for a fifth of the time.
func (s *Store) VerifyQuietly(ctx context.Context) error {
	return s.verify(ctx, nil, s.newUpkeep())
}

// WriteBackup writes a backup of all that is durable now, while the store is in use, at a limited
// rate. An error of the disk or of w leaves a backup without its end, which no reader accepts. When
// the store is closed meanwhile the error is ErrClosed.
func (s *Store) WriteBackup(ctx context.Context, w io.Writer, o backup.Options) error {
	o.Made, o.Rest = s.opts.Now(), s.newUpkeep().Rest
	return s.readIfOpen(ctx, func(txn *badger.Txn) error {
		return backup.Write(ctx, w, s.reader.Snapshot(txn), s.keys, o)
	})
}

// Verified returns when this process last verified the whole store, up to which event, and what was
// wrong. The time is zero if it has not yet.
func (s *Store) Verified() (at time.Time, seq uint64, problem error) {
	if v := s.verified.Load(); v != nil {
		return v.at, v.seq, v.problem
	}
	return time.Time{}, 0, nil
}

// verification is the result of a complete verification.
type verification struct {
	at      time.Time
	seq     uint64
	problem error
}

func (s *Store) verify(ctx context.Context, k *reader.Kept, p *reader.Upkeep) error {
	var seq uint64
	err := s.readIfOpen(ctx, func(txn *badger.Txn) (err error) {
		if !s.opts.InMemory {
			if err := folder.CheckLiveTables(s.opts.files().DB, func() error { return p.Rest(ctx) }); err != nil {
				return err
			}
		}
		seq, err = s.reader.VerifyChain(ctx, txn, k, p)
		return err
	})
	if err == nil || errors.Is(err, ErrCorrupt) {
		s.verified.Store(&verification{s.opts.Now(), seq, err})
	}
	return err
}

// Check checks that everything agrees: the chain, counters and events, policy and digest, memory
// and disk, sign-ins too. It runs between two batches, so writers wait meanwhile.
func (s *Store) Check(ctx context.Context) error {
	return s.submit(ctx, &request{between: func(w *writer) error { return w.check(ctx) }})
}

func (w *writer) check(ctx context.Context) error {
	s := w.s
	return s.db.ReadTxn(func(txn *badger.Txn) error {
		img, err := s.reader.Read(ctx, txn)
		if err != nil {
			return err
		}
		now := s.now.Load()
		var latest time.Time
		if img.Cut.Seq > now.policy.Site.TimeTrusted {
			latest = img.Cut.Latest
		}
		err = s.reader.WalkAll(ctx, txn, img, func(ev *record.Event) error {
			if ev.Seq > now.policy.Site.TimeTrusted && ev.At.After(latest) {
				latest = ev.At
			}
			return nil
		})
		if err != nil {
			return err
		}
		if img.Head != now.head || img.Cut != now.cut {
			return fmt.Errorf("store: %v: memory and disk differ: %w", record.HeadKey, ErrCorrupt)
		}
		if !latest.Equal(now.head.Latest) {
			return fmt.Errorf("store: %v: latest event time is %v, want %v: %w", record.HeadKey,
				now.head.Latest, latest, ErrCorrupt)
		}
		if err := s.reader.CompareChanges(ctx, txn, img); err != nil {
			return err
		}
		if err := reader.CompareRecords(img.Records, now.kept); err != nil {
			return err
		}
		want, err := s.reader.ReplayCounters(ctx, txn, img)
		if err != nil {
			return err
		}
		if err := reader.CompareCounters(want, img.Counters.Under); err != nil {
			return err
		}
		for device, c := range w.counters.ByDevice {
			if read := img.Counters.Find(device); read == nil || *read != *c {
				return fmt.Errorf("store: %v: memory and disk differ: %w", record.CounterKey(device),
					ErrCorrupt)
			}
		}
		if err := reader.CompareSignIns(img.SignIns, w.signIns); err != nil {
			return err
		}
		if err := reader.CompareAddresses(img.Addrs, w.addrs, now.policy); err != nil {
			return err
		}
		if !maps.Equal(img.Cursors, w.cursors) || !maps.Equal(img.Dead, w.dead) {
			return fmt.Errorf("store: cursors or dead letters of sinks: memory and disk differ: %w",
				ErrCorrupt)
		}
		return reader.CheckKinds(txn)
	})
}
