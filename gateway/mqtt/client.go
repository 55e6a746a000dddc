package mqtt

import (
	"context"
	"log/slog"
	"math/rand/v2"
	"sync"
	"time"
)

const (
	firstPause = time.Second
	maxPause   = time.Minute
	// stableAfter is how long a connection must have held before the pause begins small again. Two
	// programs with one client id would otherwise end each other's connections once a second.
	stableAfter = maxPause
)

// Client keeps a connection to a server: when one ends, it opens the next.
type Client struct {
	settings Settings
	log      *slog.Logger

	mu     sync.Mutex
	conn   *Conn  // guarded by mu; nil while there is none
	status Status // guarded by mu
}

// Status is what people are shown about a client.
type Status struct {
	Server    string // host:port
	Connected bool
	Since     time.Time // of Connected; zero before the first try has ended
	// Error is why the last try failed or the last connection ended, for people; empty: none yet.
	Error   string
	ErrorAt time.Time
	// Permanent says that a later try fails too, unless somebody changes something. Tries go on, as
	// somebody may.
	Permanent bool
	Dropped   uint64 // messages that came too fast
}

// NewClient checks the settings. Run connects.
func NewClient(s Settings, log *slog.Logger) (*Client, error) {
	if err := s.check(); err != nil {
		return nil, err
	}
	return &Client{settings: s, log: log.With("server", s.Endpoint.HostPort()),
		status: Status{Server: s.Endpoint.HostPort()}}, nil
}

// Run keeps the connection until ctx ends. It returns nil.
func (c *Client) Run(ctx context.Context) error {
	for fails := 0; ; fails++ {
		conn, err := Open(ctx, c.settings)
		if err == nil {
			up := time.Now()
			c.setConn(conn)
			select {
			case <-conn.Done():
				err = conn.Err()
			case <-ctx.Done():
			}
			if time.Since(up) >= stableAfter {
				fails = 0
			}
			conn.Close()
		}
		if ctx.Err() != nil {
			c.setDown(conn, nil)
			return nil
		}
		c.setDown(conn, err)
		select {
		case <-time.After(pauseAfter(fails)):
		case <-ctx.Done():
			return nil
		}
	}
}

// pauseAfter returns how long to wait after so many failures in a row: a random time around twice
// the one before, so that many clients do not come at once.
func pauseAfter(fails int) time.Duration {
	pause := maxPause
	if fails < 6 {
		pause = firstPause << fails
	}
	return pause/2 + rand.N(pause/2+1)
}

func (c *Client) setConn(conn *Conn) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.conn = conn
	c.status.Connected, c.status.Since = true, time.Now()
	c.log.Info("mqtt connected")
}

// setDown records that there is no connection. conn is the one that was, or nil.
func (c *Client) setDown(conn *Conn, why error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.status.Connected || c.status.Since.IsZero() {
		c.status.Since = time.Now()
	}
	if conn != nil {
		c.status.Dropped += conn.Dropped()
	}
	c.conn, c.status.Connected = nil, false
	if why == nil {
		return
	}
	// The log has the first of equal failures.
	if why.Error() != c.status.Error {
		c.log.Warn("mqtt not connected", "err", why)
	}
	c.status.Error, c.status.ErrorAt, c.status.Permanent = why.Error(), time.Now(), IsPermanent(why)
}

// Conn returns the connection, nil while there is none.
func (c *Client) Conn() *Conn {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.conn
}

// Publish is [Conn.Publish] by the connection that is there now, or [ErrOffline].
func (c *Client) Publish(ctx context.Context, topic string, payload []byte, retained bool,
	expiry time.Duration) error {
	conn := c.Conn()
	if conn == nil {
		return ErrOffline
	}
	return conn.Publish(ctx, topic, payload, retained, expiry)
}

// Status returns how things are now.
func (c *Client) Status() Status {
	c.mu.Lock()
	defer c.mu.Unlock()
	s := c.status
	if c.conn != nil {
		s.Dropped += c.conn.Dropped()
	}
	return s
}
