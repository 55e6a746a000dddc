package gateway

import (
	"context"
	"fmt"
	"time"
)

const upkeepEvery = 2 * time.Second

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
