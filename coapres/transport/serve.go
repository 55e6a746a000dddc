package transport

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"sync"
	"time"
)

// Serve answers every association until ctx ends. Then it closes them, waits for their handlers and
// returns nil. open is called before the first message of an association is handled, and may refuse
// it. closed is called once after its end, while handlers may still run.
func (l *Listener) Serve(ctx context.Context, h Handler, open func(*Conn) error, closed func(*Conn)) error {
	ctx, cancel := context.WithCancel(ctx)
	var wg sync.WaitGroup // of sessions until their handlers have returned, even if they ended before
	defer wg.Wait()
	defer l.endSessions()
	defer cancel()
	wg.Go(func() { l.endIdle(ctx) })
	for {
		c, err := l.accept(ctx)
		if err != nil {
			if ctx.Err() != nil {
				return nil
			}
			return fmt.Errorf("transport: serve: %w", err)
		}
		wg.Add(1)
		if !c.start(h, l.log, wg.Done) {
			wg.Done()
			continue
		}
		go func() {
			if err := open(c); err != nil {
				l.log.Info("session refused", "addr", c.RemoteAddr(), "err", err)
				c.open(nil)
				_ = c.Close()
				return
			}
			c.link.(*association).begin()
			c.open(closed)
		}()
	}
}

// listLive returns the live associations, and those that were replaced and have not ended yet.
func (l *Listener) listLive() (all []*association) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, a := range l.cids {
		if a.phase == live {
			all = append(all, a)
		}
	}
	return slices.AppendSeq(all, maps.Keys(l.leaving))
}

// endSessions ends or saves all live associations. One that waits to be accepted will never be opened,
// so its messages are not waited for.
func (l *Listener) endSessions() {
	l.saving.Store(l.cfg.Save != nil)
	var wg sync.WaitGroup
	for _, a := range l.listLive() {
		end := a.conn.Close
		if a.conn.hasStarted() {
			end = a.end
		}
		wg.Go(func() { _ = end() })
	}
	wg.Wait()
}

// endIdle ends associations that have been silent for the idle time, until ctx ends. It frees what the
// others do not need any more, and ends idle workers.
func (l *Listener) endIdle(ctx context.Context) {
	tick := time.NewTicker(max(min(l.cfg.Idle/16, time.Minute), time.Millisecond))
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case now := <-tick.C:
			l.shared.pool.Trim()
			for _, a := range l.listLive() {
				a.conn.sweep(now)
				if now.Sub(a.conn.LastHeard()) >= l.cfg.Idle {
					l.log.Info("session idle", "addr", a.conn.RemoteAddr())
					_ = a.conn.Close()
				}
			}
		}
	}
}
