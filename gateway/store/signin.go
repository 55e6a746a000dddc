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

// A sign-in is the stored form of a browser's session at the website. It is not part of the policy:
// it makes no event and no digest covers it. The browser sends a token, and the sign-in's id is the
// SHA-256 of that token. So nobody can sign in with what is in the database.

const (
	maxSignIns    = 1000
	maxSignInData = 4 << 10
)

// SignIn returns the data of a sign-in, and false if there is none or it has expired. The data
// belongs to the caller.
func (s *Store) SignIn(ctx context.Context, id [32]byte) (data []byte, ok bool, err error) {
	key := record.SignInKey(id)
	if r, held := s.unkept.Load(key); held {
		r := r.(record.SignIn)
		return r.Data, r.Expiry.Time().After(s.opts.Now()), s.checkUsable(ctx)
	}
	err = s.readIfOpen(ctx, func(txn *badger.Txn) error {
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

// PutSignIn writes or overwrites a sign-in, durably. Data has at most 4 KB. At most 1,000 sign-ins
// are kept: then the one that expires first is deleted. A sign-in that has already expired is
// deleted. Errors are ErrTooBig, ErrNoSpace (when nearly nothing is left), ErrFailed, ErrClosed,
// and ctx.Err(): then the sign-in may still be written.
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

// DeleteSignIn deletes a sign-in, durably, even on a full disk. It returns nil if there is none.
// Errors are ErrFailed, ErrClosed, and ctx.Err(): then the sign-in may still be deleted.
func (s *Store) DeleteSignIn(ctx context.Context, id [32]byte) error {
	return s.submit(ctx, &request{run: func(b *batch) error {
		b.deleteSignIn(record.SignInKey(id))
		return nil
	}})
}

// holdSignIn keeps a sign-in in memory until a restart, so that somebody can still sign in and shut
// the doors.
func (b *batch) holdSignIn(key record.Key, r record.SignIn) error {
	n := 0
	b.w.s.unkept.Range(func(k, _ any) bool { n++; return true })
	if _, held := b.w.s.unkept.Load(key); !held && n >= maxSignIns {
		return b.w.space.err()
	}
	b.w.s.unkept.Store(key, r)
	return nil
}

// putSignIn still works when policy changes are refused, with the space of restrictions: somebody
// must be able to sign in, see what is wrong, and shut the doors. The space that it can use is
// bounded.
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

// sweepSignIns deletes sign-ins that have expired and, while there are more than keep, the one that
// expires first. It leaves room for one more request.
func (b *batch) sweepSignIns(now time.Time, keep int) {
	expiry := b.w.signIns
	first := func(a, z record.Key) int { return expiry[a].Compare(expiry[z]) }
	for _, key := range slices.SortedFunc(maps.Keys(expiry), first) {
		if expiry[key].After(now) && len(expiry) <= keep || !b.hasRoom() {
			return
		}
		b.deleteSignIn(key)
	}
}
