package cli

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"syscall"
	"time"

	"latchkey/cli/settings"
	"latchkey/cli/terminal"
	"latchkey/gateway/account"
	"latchkey/gateway/admin"
	"latchkey/gateway/admin/api"
	"latchkey/gateway/admin/client"
	"latchkey/gateway/clock"
	"latchkey/gateway/store"
	"latchkey/keys/provision"
)

// socketName is the admin API's unix socket in the data folder, while a gateway runs.
const socketName = "admin.sock"

// maxAnswer bounds what is read of an answer: a list of every card of a big site fits.
const maxAnswer = 256 << 20

// connection speaks to the admin API, in a running gateway or in this process.
type connection struct {
	http.Client
	closeStore func() error // nil with a running gateway
	notice     string       // what the person at the terminal must know besides the answer
}

func (c *connection) close() error {
	c.CloseIdleConnections()
	if c.closeStore == nil {
		return nil
	}
	return c.closeStore()
}

// place is where a command wants to work.
type place struct {
	dir   string
	live  bool         // only with a running gateway
	makes bool         // make the folder if there is none
	clock clock.Source // what a gateway on the store would trust
	// again writes the same command line for somebody else.
	again func(dir string) string
}

// Somebody else may hold the store for a moment: another command, or a gateway that starts.
const (
	lockWait = 10 * time.Second
	lockPoll = 100 * time.Millisecond
)

// connect returns a client of the gateway that runs on the data folder, or of the store in it.
func connect(ctx context.Context, p place) (*connection, error) {
	if p.dir == "" {
		return nil, terminal.UsageError{Text: "latchkey: there is no home folder to keep data in: name one with --data DIR or LATCHKEY_DATA"}
	}
	dir, err := filepath.Abs(p.dir)
	if err != nil {
		return nil, fmt.Errorf("data folder: %w", err)
	}
	p.dir = dir
	for deadline := time.Now().Add(lockWait); ; {
		c, err := p.try(ctx)
		if !errors.Is(err, store.ErrLocked) && !errors.As(err, new(silent)) || time.Now().After(deadline) {
			return c, err
		}
		select {
		case <-time.After(lockPoll):
		case <-ctx.Done():
			return nil, ctx.Err()
		}
	}
}

func (p place) try(ctx context.Context) (*connection, error) {
	c, err := p.dial(ctx)
	if c != nil || err != nil {
		return c, err
	}
	if err := p.owned(); err != nil {
		return nil, err
	}
	switch {
	case p.live:
		return nil, fmt.Errorf("%w on %s: start one with latchkey serve --data %s", errNoGateway, p.dir, provision.QuoteShell(p.dir))
	case !p.makes && p.empty():
		return nil, fmt.Errorf("there is no latchkey data in %s: latchkey target add makes the first, or name the folder with --data", p.dir)
	}
	s, err := store.Open(ctx, storeOptions(p.dir))
	if err != nil {
		return nil, err
	}
	h := admin.New(admin.Config{Store: s, Clock: clock.Clock{Source: p.clock, LastEvent: s.LastEventAt}.Trusted, Version: version(), GatewayAddrs: settings.AnnouncedAddrs(settings.DefaultListen)})
	return &connection{Client: http.Client{Transport: client.InProcess(account.As(account.NewUnixPeer(whoami()), h))}, closeStore: s.Close}, nil
}

// dial returns nil and no error where no gateway listens.
func (p place) dial(ctx context.Context) (*connection, error) {
	path := filepath.Join(p.dir, socketName)
	dialer := net.Dialer{Timeout: 5 * time.Second}
	conn, err := dialer.DialContext(ctx, "unix", path)
	if err != nil {
		if ctx.Err() != nil {
			return nil, ctx.Err()
		}
		if errors.Is(err, syscall.EAGAIN) || errors.Is(err, os.ErrDeadlineExceeded) { // nobody accepts what waits there already
			return nil, silent{lockWait}
		}
		return nil, nil // whatever is wrong with the socket, the store's lock says whether somebody is at work
	}
	first := make(chan net.Conn, 1)
	first <- conn
	return &connection{Client: http.Client{Transport: &http.Transport{
		DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
			select {
			case c := <-first:
				return c, nil
			default:
				return dialer.DialContext(ctx, "unix", path)
			}
		},
		MaxIdleConns: 1,
	}}}, nil
}

// empty tells whether there is no store yet.
func (p place) empty() bool {
	for _, name := range []string{"db", "site.key"} {
		if _, err := os.Lstat(filepath.Join(p.dir, name)); err == nil {
			return false
		}
	}
	return true
}

// How long a running gateway may take: to begin its answer, and until all of it is there. A check
// of a long chain of events takes minutes.
const (
	headWait   = 10 * time.Second
	answerWait = 10 * time.Minute
)

// silent is a gateway that is there and does not answer.
type silent struct{ after time.Duration }

func (e silent) Error() string {
	return fmt.Sprintf("the gateway runs and does not answer, for %v now: look at its log, and restart it if that says nothing. Whether this was done is not known", e.after)
}

// headWaitOf is how long the answer to a request may take to begin: a few wait for something
// themselves.
func headWaitOf(in any) time.Duration {
	switch in := in.(type) {
	case api.LearnRequest:
		return time.Duration(in.Seconds)*time.Second + headWait
	case api.VerifyRequest:
		return answerWait
	}
	return headWait
}

// do sends one request. A refusal is an apiError.
func (c *connection) do(ctx context.Context, method, path string, in, out any) ([]byte, error) {
	ctx, cancel := context.WithTimeout(ctx, answerWait)
	defer cancel()
	resp, err := c.send(ctx, method, path, in)
	if err != nil {
		return nil, err
	}
	defer func() { _ = resp.Body.Close() }()
	b, err := io.ReadAll(io.LimitReader(resp.Body, maxAnswer))
	if err != nil {
		return nil, fmt.Errorf("admin API: %w", err)
	}
	b = bytes.TrimSpace(b)
	if out == nil {
		return b, nil
	}
	return b, unmarshal(b, out)
}

// begin returns an answer whose head has come within the time given. Its body may take longer.
func (c *connection) begin(req *http.Request, within time.Duration) (*http.Response, error) {
	if c.closeStore != nil { // this process answers itself, and is at work as long as it does not
		return c.Do(req)
	}
	ctx, cancel := context.WithCancelCause(req.Context())
	late := time.AfterFunc(within, func() { cancel(silent{within}) })
	resp, err := c.Do(req.WithContext(ctx))
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
	context.AfterFunc(req.Context(), func() { cancel(nil) }) // the body is read with ctx
	return resp, nil
}

// send returns a successful answer, whose body is the caller's to close.
func (c *connection) send(ctx context.Context, method, path string, in any) (*http.Response, error) {
	var body io.Reader
	if in != nil {
		b, err := json.Marshal(in)
		if err != nil {
			return nil, fmt.Errorf("admin API: %w", err)
		}
		body = bytes.NewReader(b)
	}
	req, err := http.NewRequestWithContext(ctx, method, "http://latchkey"+path, body)
	if err != nil {
		return nil, fmt.Errorf("admin API: %w", err)
	}
	if in != nil {
		req.Header.Set("Content-Type", "application/json")
	}
	resp, err := c.begin(req, headWaitOf(in))
	if err != nil {
		if errors.As(err, new(silent)) {
			return nil, err
		}
		if ctx.Err() != nil {
			return nil, ctx.Err()
		}
		return nil, fmt.Errorf("admin API: %w", errors.Unwrap(err)) // without the URL, which says nothing here
	}
	if resp.StatusCode/100 == 2 {
		if n := resp.Header.Get(api.NoticeHeader); n != "" {
			c.notice = n
		}
		return resp, nil
	}
	defer func() { _ = resp.Body.Close() }()
	var problem struct{ Type, Title, Detail string }
	if err := json.NewDecoder(io.LimitReader(resp.Body, 1<<16)).Decode(&problem); err != nil {
		problem.Detail = "the admin API answered " + resp.Status
	}
	if problem.Detail == "" {
		problem.Detail = problem.Title
	}
	return nil, apiError{status: resp.StatusCode, kind: problem.Type, detail: problem.Detail}
}
