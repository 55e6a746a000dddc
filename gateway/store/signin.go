package store

import (
	"bytes"
	"context"
	"fmt"
	"maps"
	"slices"
	"time"

	"github.com/dgraph-io/badger/v4"

	"latchkey/gateway/store/record"
)

// A sign-in is what a browser's session at the console is kept as. It is no policy: it makes no
// event and is under no digest. A browser sends a token, and the SHA-256 of that is the sign-in's
// id: what is in the database lets nobody in.

const (
	maxSignIns    = 1000
	maxSignInData = 4 << 10
)

// SignIn returns the data of a sign-in, and false when there is none or it has expired. The data is
// the caller's.
func (s *Store) SignIn(ctx context.Context, id [32]byte) (data []byte, ok bool, err error) {
	key := record.SignInKey(id)
	if r, held := s.unkept.Load(key); held {
		r := r.(record.SignIn)
		return r.Data, r.Expiry.Time().After(s.opts.Now()), s.usable(ctx)
	}
	err = s.view(ctx, func(txn *badger.Txn) error {
		plain, err := s.reader.Find(txn, key)
		if err != nil || plain == nil {
			return err
		}
		r, err := record.DecodeSignIn(key, plain)
		if err != nil {
			return fmt.Errorf("store: %v: %w", key, err)
		}
		if r.Expiry.Time().After(s.opts.Now()) {
			data, ok = r.Data, true
		}
		return nil
	})
	return data, ok, err
}

// PutSignIn writes a sign-in, or writes it anew, durably. Data is at most 4 KB. At most 1,000 are
// kept: beyond that the one that expires first goes. One that has expired already is deleted.
// Errors are ErrTooBig, ErrNoSpace (when nearly nothing is left), ErrFailed, ErrClosed, and
// ctx.Err(): in that last case it may still be written.
func (s *Store) PutSignIn(ctx context.Context, id [32]byte, data []byte, expiry time.Time) error {
	if len(data) > maxSignInData {
		return fmt.Errorf("store: sign-in of %d bytes: %w: want %d at most", len(data), ErrTooBig,
			maxSignInData)
	}
	key, in := record.SignInKey(id), record.MakeSignIn(data, expiry)
	plain, err := in.Encode()
	if err != nil {
		return fmt.Errorf("store: %v: %w", key, err)
	}
	return s.submit(ctx, &request{run: func(b *batch) error {
		if b.w.space.none && s.opts.Hold && in.Expiry.Time().After(s.opts.Now()) {
			return b.holdSignIn(key, record.MakeSignIn(bytes.Clone(data), expiry))
		}
		return b.putSignIn(key, plain, in.Expiry.Time())
	}})
}

// DeleteSignIn takes a sign-in away, durably, however little space there is. Of one that is not
// there it is nil. Errors are ErrFailed, ErrClosed, and ctx.Err(): in that last case it may still
// be deleted.
func (s *Store) DeleteSignIn(ctx context.Context, id [32]byte) error {
	return s.submit(ctx, &request{run: func(b *batch) error {
		b.deleteSignIn(record.SignInKey(id))
		return nil
	}})
}

// holdSignIn keeps a sign-in in memory, where it is gone after a restart, so that somebody can
// still get in and shut the doors.
func (b *batch) holdSignIn(key record.Key, r record.SignIn) error {
	n := 0
	b.w.s.unkept.Range(func(k, _ any) bool { n++; return true })
	if _, held := b.w.s.unkept.Load(key); !held && n >= maxSignIns {
		return b.w.space.err()
	}
	b.w.s.unkept.Store(key, r)
	return nil
}

// putSignIn goes on where policy changes end, with the space of restrictions: whoever looks after
// the site must get in to see why, and to shut the doors. What it can take is bounded.
func (b *batch) putSignIn(key record.Key, plain []byte, expiry time.Time) error {
	if b.w.space.none {
		return b.w.space.err()
	}
	b.w.s.unkept.Delete(key)
	now := b.w.s.opts.Now()
	if !expiry.After(now) {
		b.deleteSignIn(key)
		return nil
	}
	if _, known := b.w.signIns[key]; !known && len(b.w.signIns) >= maxSignIns {
		b.sweepSignIns(now, maxSignIns-1)
	}
	b.put(key, plain)
	b.w.signIns[key] = expiry
	return nil
}

func (b *batch) deleteSignIn(key record.Key) {
	b.w.s.unkept.Delete(key)
	if _, known := b.w.signIns[key]; known {
		b.put(key, nil)
		delete(b.w.signIns, key)
	}
}

// sweepSignIns deletes what has expired and, while there are more than keep, what expires first. It
// leaves room for one request more.
func (b *batch) sweepSignIns(now time.Time, keep int) {
	expiry := b.w.signIns
	first := func(a, z record.Key) int { return expiry[a].Compare(expiry[z]) }
	for _, key := range slices.SortedFunc(maps.Keys(expiry), first) {
		if expiry[key].After(now) && len(expiry) <= keep || !b.roomy() {
			return
		}
		b.deleteSignIn(key)
	}
}

// sameSignIns compares the sign-ins on disk with those in memory.
func sameSignIns(disk, memory map[record.Key]time.Time) error {
	for key, expiry := range disk {
		if at, known := memory[key]; !known || !at.Equal(expiry) {
			return fmt.Errorf("store: %v: memory and disk differ: %w", key, ErrCorrupt)
		}
	}
	for key := range memory {
		if _, known := disk[key]; !known {
			return fmt.Errorf("store: %v: in memory and not on disk: %w", key, ErrCorrupt)
		}
	}
	return nil
}
