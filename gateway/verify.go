package gateway

import (
	"cmp"
	"context"
	"errors"
	"time"

	"latchkey/gateway/store"
)

// All that is on disk is verified soon after the start, and then once a day. The start itself has verified the newest part.
const (
	verifyFirst = time.Minute
	verifyEvery = 24 * time.Hour
)

// verify checks the whole store now and then, at a bounded rate, and says what it found. Decisions do not read the disk, so they go on whatever that is.
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
