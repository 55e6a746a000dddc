package console

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"strconv"
	"strings"
	"sync"
	"time"

	"latchkey/gateway/access"
	"latchkey/gateway/admin"
)

const (
	maxWatchers = 64               // event streams at once, of all browsers together
	heartbeat   = 15 * time.Second // between signs of life, at each of which it is looked whether the sign-in still holds
)

// watchers counts the event streams.
type watchers struct {
	mu sync.Mutex
	n  int // guarded by mu
}

func (w *watchers) enter() bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.n >= maxWatchers {
		return false
	}
	w.n++
	return true
}

func (w *watchers) leave() {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.n--
}

// live sends events as they happen, each as a row of the table of events, until the browser goes or the sign-in is over.
func (v *visit) live() error {
	if !v.watchers.enter() {
		return problem{Status: http.StatusServiceUnavailable, Detail: "Too many browsers are watching. Reload the page to see what is new."}
	}
	defer v.watchers.leave()
	in, err := v.view("events", nil)
	if err != nil {
		return err
	}
	path := "/v1/events/stream"
	from := v.r.Header.Get("Last-Event-ID")
	if from == "" {
		from = v.r.URL.Query().Get("from")
	} else if n, err := strconv.ParseUint(from, 10, 64); err == nil {
		from = strconv.FormatUint(n+1, 10)
	}
	if n, err := strconv.ParseUint(from, 10, 64); err == nil && n > 0 {
		path += "?from=" + strconv.FormatUint(n, 10)
	}
	ctx, cancel := context.WithCancel(v.r.Context())
	defer cancel()
	v.w.Header().Set("Content-Type", "text/event-stream")
	out := &eventStream{v: v, in: in, take: v.filter(), flush: http.NewResponseController(v.w), end: cancel, header: http.Header{}}
	if err := out.send(": welcome\n\n"); err != nil {
		return nil // gone
	}
	var wg sync.WaitGroup
	wg.Go(func() { out.beat(ctx) })
	r, err := http.NewRequestWithContext(admin.WithActor(ctx, v.actor()), http.MethodGet, "http://latchkey"+path, http.NoBody)
	if err == nil {
		v.cfg.API.ServeHTTP(out, r) // until ctx ends, or the gateway
	}
	cancel()
	wg.Wait()
	return err
}

// eventStream makes server-sent events of the lines that the API writes, one JSON object each.
type eventStream struct {
	v      *visit
	in     *view
	take   filter
	flush  *http.ResponseController
	end    context.CancelFunc
	header http.Header
	line   []byte

	mu sync.Mutex // guards writing to the browser
}

func (s *eventStream) Header() http.Header { return s.header }

func (s *eventStream) WriteHeader(int) {}

func (s *eventStream) Write(b []byte) (int, error) {
	s.line = append(s.line, b...)
	for {
		i := bytes.IndexByte(s.line, '\n')
		if i < 0 {
			return len(b), nil
		}
		if err := s.event(s.line[:i]); err != nil {
			return 0, err
		}
		s.line = s.line[i+1:]
	}
}

func (s *eventStream) event(line []byte) error {
	var e access.Event
	if err := json.Unmarshal(line, &e); err != nil {
		return err
	}
	name, html := "other", ""
	if s.take.takes(e) {
		s.in.Now = s.v.cfg.Now()
		var err error
		if html, err = s.v.part("events", "row", s.in.With(rowOf(e))); err != nil {
			return err
		}
		name = "row"
	}
	return s.send(fmt.Sprintf("id: %d\nevent: %s\ndata: %s\n\n", e.Seq, name, strings.ReplaceAll(strings.TrimSpace(html), "\n", "\ndata: ")))
}

func (s *eventStream) send(text string) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	_ = s.flush.SetWriteDeadline(time.Now().Add(writeWait)) // as in bound
	if _, err := s.v.w.Write([]byte(text)); err != nil {
		s.end()
		return err
	}
	return s.flush.Flush()
}

// beat ends the stream when the sign-in is over, and notices a browser that has gone without saying so.
func (s *eventStream) beat(ctx context.Context) {
	t := time.NewTicker(heartbeat)
	defer t.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-t.C:
			now, err := s.v.accountOf(string(s.v.account.ID))
			if err != nil || now.ID == "" || now.Disabled || now.Epoch != s.v.account.Epoch {
				_ = s.send("event: over\ndata:\n\n") // the stream ends in any case
				s.end()
				return
			}
			if s.send(": here\n\n") != nil {
				return
			}
		}
	}
}
