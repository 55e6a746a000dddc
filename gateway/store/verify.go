package store

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"time"

	"github.com/dgraph-io/badger/v4"

	"latchkey/gateway/access"
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
	return s.verify(ctx, &kept{seq, hash}, nil)
}

// VerifyQuietly is [Store.Verify] at a limited rate: it works for a fifth of the time.
func (s *Store) VerifyQuietly(ctx context.Context) error {
	return s.verify(ctx, nil, &upkeep{quit: s.quit, since: time.Now()})
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

type kept struct {
	seq  uint64
	hash keys.Hash
}

// upkeep limits the rate of a check that nobody waits for. A nil upkeep does not limit.
type upkeep struct {
	quit  <-chan struct{}
	since time.Time
}

const (
	upkeepWork = 5 * time.Millisecond
	upkeepRest = 20 * time.Millisecond
)

func (p *upkeep) rest(ctx context.Context) error {
	if p == nil || time.Since(p.since) < upkeepWork {
		return ctx.Err()
	}
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-p.quit:
		return fmt.Errorf("store: %w", ErrClosed)
	case <-time.After(upkeepRest):
	}
	p.since = time.Now()
	return nil
}

func (s *Store) verify(ctx context.Context, k *kept, p *upkeep) error {
	var seq uint64
	err := s.readIfOpen(ctx, func(txn *badger.Txn) error {
		err := s.verifyTables(ctx, p)
		if err == nil {
			seq, err = s.verifyChain(ctx, txn, k, p)
		}
		return err
	})
	if err == nil || errors.Is(err, ErrCorrupt) {
		s.verified.Store(&verification{s.opts.Now(), seq, err})
	}
	return err
}

// verifyTables reads the table files itself, because Badger would read its memory maps. It reads
// only tables that MANIFEST names, because others may be incomplete.
func (s *Store) verifyTables(ctx context.Context, p *upkeep) error {
	if s.opts.InMemory {
		return nil
	}
	db := s.opts.files().DB
	live, err := folder.ReadLiveTables(db)
	if err != nil {
		return err
	}
	for id := range live {
		if err := folder.CheckTable(db, id); err != nil {
			// A compaction may have deleted it meanwhile.
			if now, merr := folder.ReadLiveTables(db); merr != nil {
				return merr
			} else if _, still := now[id]; still {
				return err
			}
		}
		if err := p.rest(ctx); err != nil {
			return err
		}
	}
	return nil
}

// verifyChain returns the newest event.
func (s *Store) verifyChain(ctx context.Context, txn *badger.Txn, k *kept, p *upkeep) (uint64, error) {
	img := &reader.Image{}
	if err := s.reader.ReadMeta(txn, img); err != nil {
		return 0, err
	}
	err := s.reader.Walk(ctx, txn, &img.Head, 0, keys.Hash{}, func(ev *record.Event) error {
		if k != nil && k.seq == ev.Seq && ev.Hash != k.hash {
			return fmt.Errorf("its hash is not the one kept elsewhere: %w", ErrCorrupt)
		}
		return p.rest(ctx)
	})
	switch last := img.Head.Seq; {
	case err != nil:
		return 0, err
	case k != nil && k.seq > last:
		return 0, fmt.Errorf("store: event %d: missing: the chain ends at %d, so the store was rolled "+
			"back or cut: %w", k.seq, last, ErrCorrupt)
	case k != nil && k.seq == 0 && k.hash != (keys.Hash{}):
		return 0, fmt.Errorf("store: head 0 has no hash: %w", ErrCorrupt)
	}
	return img.Head.Seq, nil
}

// Check checks that everything agrees: the chain, counters and events, policy and digest, memory
// and disk, sign-ins too. It runs between two batches, so writers wait meanwhile.
func (s *Store) Check(ctx context.Context) error {
	return s.submit(ctx, &request{between: func(w *writer) error { return w.check(ctx) }})
}

func (w *writer) check(ctx context.Context) error {
	s := w.s
	return s.readDB(func(txn *badger.Txn) error {
		img, err := s.reader.Read(ctx, txn)
		if err != nil {
			return err
		}
		now := s.now.Load()
		var latest time.Time
		err = s.reader.Walk(ctx, txn, &img.Head, 0, keys.Hash{}, func(ev *record.Event) error {
			if ev.Seq > now.policy.Site.TimeTrusted && ev.At.After(latest) {
				latest = ev.At
			}
			return nil
		})
		if err != nil {
			return err
		}
		if img.Head != now.head {
			return fmt.Errorf("store: %v: memory and disk differ: %w", record.HeadKey, ErrCorrupt)
		}
		if !latest.Equal(now.head.Latest) {
			return fmt.Errorf("store: %v: latest event time is %v, want %v: %w", record.HeadKey,
				now.head.Latest, latest, ErrCorrupt)
		}
		if err := s.reader.CompareChanges(ctx, txn); err != nil {
			return err
		}
		if err := compareRecords(img.Records, now.kept); err != nil {
			return err
		}
		want, err := s.reader.ReplayCounters(ctx, txn, &img.Head)
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
		if err := compareSignIns(img.SignIns, w.signIns); err != nil {
			return err
		}
		if err := compareAddresses(img.Addrs, w.addrs, now.policy); err != nil {
			return err
		}
		if !maps.Equal(img.Cursors, w.cursors) || !maps.Equal(img.Dead, w.dead) {
			return fmt.Errorf("store: cursors or dead letters of sinks: memory and disk differ: %w",
				ErrCorrupt)
		}
		return s.checkKinds(txn)
	})
}

// compareRecords compares the records on disk with a policy, in their stored form.
func compareRecords(disk []access.Change, p *access.Policy) error {
	have := make(map[record.Key]string, len(disk))
	for _, c := range disk {
		key, plain, err := record.EncodeRecord(c.Put)
		if err != nil {
			return err
		}
		have[key] = string(plain)
	}
	for r := range p.Records() {
		key, plain, err := record.EncodeRecord(r)
		if err != nil {
			return err
		}
		got, ok := have[key]
		if !ok && key == record.SiteKey && r == access.Record(record.Codecs.Policy.New().Site) {
			continue // a site that nobody has changed is not stored
		}
		if !ok || got != string(plain) {
			return fmt.Errorf("store: %v: memory and disk differ: %w", key, ErrCorrupt)
		}
		delete(have, key)
	}
	for key := range have {
		return fmt.Errorf("store: %v: on disk and not in memory: %w", key, ErrCorrupt)
	}
	return nil
}

// checkKinds returns an error if there is a key of an unknown kind.
func (s *Store) checkKinds(txn *badger.Txn) error {
	it := txn.NewIterator(badger.IteratorOptions{})
	defer it.Close()
	for it.Rewind(); it.Valid(); it.Next() {
		key := record.Key(it.Item().Key())
		if _, ok := record.NameKind(key.Kind()); !ok || key.Kind() == record.KindMeta &&
			key != record.FormatKey && key != record.HeadKey {
			return fmt.Errorf("store: %v: %w", key, ErrCorrupt)
		}
	}
	return nil
}
