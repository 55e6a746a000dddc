package transport

import (
	"context"
	"fmt"
	"sync"
)

// Serve answers every association until ctx ends. Then it closes them, waits for their handlers and
// returns nil. open is called before the first message of an association is read, and may refuse
// it. closed is called once after its end, while handlers may still run.
func (l *Listener) Serve(ctx context.Context, h Handler, open func(*Conn) error, closed func(*Conn)) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	var wg sync.WaitGroup
	defer wg.Wait()
	defer cancel()
	for {
		nc, err := l.AcceptWithContext(ctx)
		if err != nil {
			if ctx.Err() != nil {
				return nil
			}
			return fmt.Errorf("transport: serve: %w", err)
		}
		c := nc.(*Conn)
		wg.Go(func() {
			c.start(ctx, h, l.log)
			if err := open(c); err != nil {
				l.log.Info("session refused", "addr", c.RemoteAddr(), "err", err)
				_ = c.exchange.Close()
				_ = c.serve() // go-coap's own goroutines end
				c.finish()
				return
			}
			stop := context.AfterFunc(ctx, func() { _ = c.End() })
			err := c.serve()
			stop()
			if err != nil && isIdleTimeout(err) {
				l.log.Info("session idle", "addr", c.RemoteAddr())
			}
			closed(c)
			c.finish()
		})
	}
}
