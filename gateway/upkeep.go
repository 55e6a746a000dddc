package gateway

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"time"

	"latchkey/gateway/store"
)

const (
	upkeepEvery = 2 * time.Second

	// The whole store is verified soon after the start, and then once a day. The start itself has
	// verified the newest part.
	verifyFirst = time.Minute
	verifyEvery = 24 * time.Hour
)

// keepUp does the periodic work until ctx ends. It ends the gateway when the store has failed: then
// nothing can be decided until a restart has opened and checked the store again.
func (g *Gateway) keepUp(ctx context.Context) error {
	t := time.NewTicker(upkeepEvery)
	defer t.Stop()
	for {
		select {
		case <-ctx.Done():
			return nil
		case now := <-t.C:
			if err := g.store.Failed(); err != nil {
				return fmt.Errorf("gateway: every door stays shut until a restart: %w", err)
			}
			g.nodes.KeepAddresses(ctx, now)
			head, _ := g.store.Head()
			g.doors.Restate(head)
			g.nodes.NoteSilent(now)
		}
	}
}

// verify checks the whole store from time to time, at a limited rate, and logs what it finds.
// Decisions go on in any case, because they do not read the disk.
func (g *Gateway) verify(ctx context.Context) error {
	every := cmp.Or(g.cfg.VerifyEvery, verifyEvery)
	wait := time.NewTimer(min(verifyFirst, every))
	defer wait.Stop()
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-wait.C:
		}
		began := time.Now()
		switch err := g.store.VerifyQuietly(ctx); {
		case err == nil:
			_, seq, _ := g.store.Verified()
			g.log.Info("store verified", "events", seq, "took", time.Since(began).Round(time.Millisecond).String())
		case errors.Is(err, store.ErrCorrupt):
			g.log.Error("store damaged", "err", err)
		}
		wait.Reset(every)
	}
}
