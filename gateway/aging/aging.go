// Package aging removes the events that are older than the site keeps them, while the gateway runs.
// The store says what else it needs of them, and removes them.
package aging

import (
	"context"
	"errors"
	"log/slog"
	"sync"
	"time"

	"latchkey/gateway/access/retention"
	"latchkey/gateway/store"
)

// Config says what a Keeper works with. Only Store is required, and Run needs the other functions.
type Config struct {
	Store *store.Store
	// OldestAlarm returns the number of the first event of an alarm that nobody has acknowledged; 0:
	// there is none.
	OldestAlarm  func() uint64
	ClockTrusted func(now time.Time) (trusted bool, why string)
	Now          func() time.Time // time.Now if nil
	Log          *slog.Logger
}

// Keeper removes old events. Its methods are safe for concurrent use.
type Keeper struct {
	cfg Config

	mu   sync.Mutex
	days int       // guarded by mu; for which age was found
	age  store.Age // guarded by mu

	spare bool // disk space may be given back; only Run uses it
}

// New returns a Keeper. It removes nothing before Run.
func New(cfg Config) *Keeper {
	if cfg.Now == nil {
		cfg.Now = time.Now
	}
	return &Keeper{cfg: cfg, spare: true} // a start may have ended before it was
}

const (
	every = time.Hour
	soon  = 200 * time.Millisecond // after a change of the policy
	rest  = 20 * time.Millisecond  // between two batches, for attempts
)

// Run removes old events soon after the policy has changed, and every hour, until ctx ends. It
// returns nil.
func (k *Keeper) Run(ctx context.Context) error {
	for {
		changed := k.cfg.Store.PolicyChanged()
		if err := k.removeOld(ctx); err != nil && ctx.Err() == nil && !errors.Is(err, store.ErrClosed) {
			k.cfg.Log.Error("old events not removed", "err", err)
		}
		k.reclaim(ctx)
		wait := time.NewTimer(every)
		select {
		case <-wait.C:
		case <-changed:
			wait.Reset(soon) // others may follow
			select {
			case <-wait.C:
			case <-ctx.Done():
			}
		case <-ctx.Done():
		}
		wait.Stop()
		if ctx.Err() != nil {
			return nil
		}
	}
}

// removeOld removes all that may be removed now.
func (k *Keeper) removeOld(ctx context.Context) error {
	days := retention.In(k.cfg.Store.Snapshot()).Days
	now := k.cfg.Now()
	if trusted, _ := k.cfg.ClockTrusted(now); days == 0 || !trusted {
		return nil
	}
	old, err := k.findOld(ctx, now, days)
	if err != nil {
		return err
	}
	before, began := k.cfg.Store.First(), time.Now()
	for seq := before - 1; ; {
		if retention.In(k.cfg.Store.Snapshot()).Days != days {
			break // the next round knows
		}
		to := old
		if alarm := k.cfg.OldestAlarm(); alarm != 0 {
			to = min(to, alarm-1)
		}
		next, err := k.cfg.Store.RemoveOldest(ctx, to, days)
		if err != nil {
			return err
		}
		if next == seq {
			break
		}
		seq = next
		select {
		case <-time.After(rest):
		case <-ctx.Done():
			return ctx.Err()
		}
	}
	if first := k.cfg.Store.First(); first != before {
		k.spare = true
		k.cfg.Log.Info("old events removed", "before", first, "events", first-before,
			"took", time.Since(began).Round(time.Millisecond).String())
	}
	return nil
}

// reclaim gives back the disk space of removed events if that is much.
func (k *Keeper) reclaim(ctx context.Context) {
	if !k.spare || k.cfg.Store.Removed().IsZero() {
		return
	}
	gained, again, err := k.cfg.Store.Reclaim(ctx)
	if k.spare = again; err != nil && ctx.Err() == nil && !errors.Is(err, store.ErrClosed) {
		k.cfg.Log.Error("space of old events not given back", "err", err)
	}
	if gained > 0 {
		k.cfg.Log.Info("space of old events given back", "bytes", gained)
	}
}

// findOld returns the newest event that is old, as are all before it.
func (k *Keeper) findOld(ctx context.Context, now time.Time, days int) (uint64, error) {
	k.mu.Lock()
	age := k.age
	if k.days != days {
		age = store.Age{}
	}
	k.mu.Unlock()
	err := k.cfg.Store.FindOld(ctx, &age, now, now.AddDate(0, 0, -days))
	k.mu.Lock()
	defer k.mu.Unlock()
	k.age, k.days = age, days
	return age.Old, err
}
