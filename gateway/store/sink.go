package store

import (
	"context"
	"errors"
	"fmt"

	"github.com/dgraph-io/badger/v4"

	"latchkey/gateway/access"
	"latchkey/gateway/access/sinks"
	"latchkey/gateway/audit"
	"latchkey/gateway/store/record"
)

// The store keeps how far each sink has come, and which events its server has refused. Neither is
// part of the policy: it makes no event and no digest covers it. A cursor that was put back only
// makes events go out twice.

// maxDead is how many dead letters a sink may have. The next one is refused, so that a server that
// refuses everything does not fill the disk.
const maxDead = 1000

// SinkCursor returns how far the sink has come, and false if it has not begun.
func (s *Store) SinkCursor(ctx context.Context, sink access.ID) (c audit.SinkCursor, ok bool, err error) {
	key := record.CursorKey(sink)
	err = s.readIfOpen(ctx, func(txn *badger.Txn) error {
		plain, err := s.reader.Find(txn, key)
		if err != nil || plain == nil {
			return err
		}
		if c, err = record.DecodeCursor(plain); err != nil {
			return fmt.Errorf("store: %v: %w", key, err)
		}
		ok = true
		return nil
	})
	return c, ok, err
}

// MoveSinkCursor stores how far a sink has come, together with the events that its server has
// refused, durably and in one write. A sink that is not in the policy is skipped. Errors are
// ErrTooBig if it would have more than 1,000 dead letters, ErrNoSpace, ErrFailed, ErrClosed, and
// ctx.Err(): then the cursor may still be written.
func (s *Store) MoveSinkCursor(ctx context.Context, sink access.ID, c audit.SinkCursor,
	dead ...audit.DeadLetter) error {
	c.Failing = c.Failing.Round(0).UTC()
	plain, err := record.EncodeCursor(c)
	if err != nil {
		return fmt.Errorf("store: %v: %w", record.CursorKey(sink), err)
	}
	letters := make(map[record.Key][]byte, len(dead))
	for _, d := range dead {
		key := record.DeadKey(sink, d.Seq)
		if letters[key], err = record.EncodeDead(d); err != nil {
			return fmt.Errorf("store: %v: %w", key, err)
		}
	}
	return s.submit(ctx, &request{run: func(b *batch) error { return b.moveCursor(sink, c, plain, letters) }})
}

func (b *batch) moveCursor(sink access.ID, c audit.SinkCursor, plain []byte,
	letters map[record.Key][]byte) error {
	if b.w.space.low {
		return b.w.space.err()
	}
	if _, ok := sinks.Kind.In(b.policy)[sink]; !ok {
		return nil
	}
	most := len(letters) * (record.MaxDeadText + 128)
	if !b.fits(len(letters)+smallCount, most+smallBytes, most+smallBytes) {
		return errNoRoom
	}
	if n := len(b.listDead(sink)) + len(letters); len(letters) > 0 && n > maxDead {
		return fmt.Errorf("store: sink %q: %d dead letters: %w: want %d at most", string(sink), n, ErrTooBig,
			maxDead)
	}
	key := record.CursorKey(sink)
	b.put(key, plain)
	b.w.cursors[key] = c
	for key, plain := range letters {
		b.put(key, plain)
		b.w.dead[key] = true
	}
	return nil
}

// listDead returns the keys of the sink's dead letters.
func (b *batch) listDead(sink access.ID) (out []record.Key) {
	for key := range b.w.dead {
		if of, _ := key.Dead(); of == sink {
			out = append(out, key)
		}
	}
	return out
}

// DeadLetters returns up to limit dead letters of a sink, the oldest event first.
func (s *Store) DeadLetters(ctx context.Context, sink access.ID, limit int) (out []audit.DeadLetter,
	err error) {
	enough := errors.New("enough")
	err = s.readIfOpen(ctx, func(txn *badger.Txn) error {
		return s.reader.ForEachUnder(ctx, txn, record.MakeKey(record.KindDead, sink),
			func(key record.Key, plain []byte) error {
				if len(out) >= limit {
					return enough
				}
				_, seq := key.Dead()
				d, err := record.DecodeDead(seq, plain)
				out = append(out, d)
				return err
			})
	})
	if err != nil && !errors.Is(err, enough) {
		return nil, err
	}
	return out, nil
}

// RemoveDeadLetter removes a sink's dead letter about an event, durably. It fails with
// access.ErrNotFound if there is none.
func (s *Store) RemoveDeadLetter(ctx context.Context, sink access.ID, seq uint64) error {
	return s.submit(ctx, &request{run: func(b *batch) error {
		key := record.DeadKey(sink, seq)
		if !b.w.dead[key] {
			return fmt.Errorf("store: %v: %w", key, access.ErrNotFound)
		}
		b.put(key, nil)
		delete(b.w.dead, key)
		return nil
	}})
}

// listRemovedCursors returns the keys of the cursors and the dead letters whose sinks a change
// removes.
func (b *batch) listRemovedCursors(writes map[record.Key][]byte) (gone []record.Key) {
	for key, plain := range writes {
		if key.Kind() != record.KindSink || plain != nil {
			continue
		}
		if at := record.CursorKey(key.ID()); b.w.cursors[at].Epoch != 0 {
			gone = append(gone, at)
		}
		gone = append(gone, b.listDead(key.ID())...)
	}
	return gone
}
