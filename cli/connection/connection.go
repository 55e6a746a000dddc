// Package connection finds the admin API for a command: in the gateway that runs on a data folder,
// or else in this process, on the store of that folder. It does not know what the requests mean.
package connection

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"time"

	"latchkey/gateway/admin/api"
)

// How long a running gateway may take: to begin its answer, and until all of it is there. A check
// of a long chain of events takes minutes.
const (
	HeadWait   = 10 * time.Second
	AnswerWait = 10 * time.Minute
)

// Connection speaks to the admin API, in a running gateway or in this process.
type Connection struct {
	Patience time.Duration // how long a running gateway may take to begin its answer
	Notice   string        // a warning to the person at the terminal, besides the answers

	http       http.Client
	closeStore func() error // nil with a running gateway
}

// Close ends the connection, and closes the store where it was opened for it.
func (c *Connection) Close() error {
	c.http.CloseIdleConnections()
	if c.closeStore == nil {
		return nil
	}
	return c.closeStore()
}

// Send sends a request of the admin API, as a [client.Send] does.
func (c *Connection) Send(r *http.Request) (*http.Response, error) {
	resp, err := c.begin(r)
	switch {
	case errors.As(err, new(silent)):
		return nil, err
	case err != nil && r.Context().Err() != nil:
		return nil, r.Context().Err()
	case err != nil:
		err = errors.Unwrap(err) // without the URL, which says nothing here
		return nil, fmt.Errorf("admin API: %w", err)
	}
	if n := resp.Header.Get(api.NoticeHeader); n != "" && resp.StatusCode/100 == 2 {
		c.Notice = n
	}
	return resp, nil
}

// begin returns an answer whose head has come in time. Its body may take longer.
func (c *Connection) begin(r *http.Request) (*http.Response, error) {
	if c.closeStore != nil { // this process answers itself, so no answer means that it is still working
		return c.http.Do(r)
	}
	within := c.Patience
	ctx, cancel := context.WithCancelCause(r.Context())
	late := time.AfterFunc(within, func() { cancel(silent{within}) })
	resp, err := c.http.Do(r.WithContext(ctx))
	if !late.Stop() {
		if err == nil {
			_ = resp.Body.Close()
		}
		return nil, context.Cause(ctx)
	}
	if err != nil {
		cancel(nil)
		return nil, err
	}
	context.AfterFunc(r.Context(), func() { cancel(nil) }) // the body is read with ctx
	return resp, nil
}

// silent is the error of a gateway that runs but does not answer.
type silent struct{ after time.Duration }

func (e silent) Error() string {
	return fmt.Sprintf("the gateway runs but has not answered for %v: look at its log, "+
		"and restart it if that says nothing. It is not known whether this was done", e.after)
}
