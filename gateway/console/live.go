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

	"latchkey/gateway/admin/api"
	"latchkey/gateway/admin/client"
	"latchkey/gateway/audit"
	"latchkey/gateway/console/page"
	"latchkey/gateway/limit"
)

// heartbeat is the time between two keep-alive comments in the stream. Before each, we check that
// the sign-in still holds.
const heartbeat = 15 * time.Second

// streamEvents sends events as they happen, each as a row of the table of events, until the browser
// disconnects or the sign-in ends.
func (v *visit) streamEvents() error {
	in, err := v.makeView("events", nil)
	if err != nil {
		return err
	}
	ctx, cancel := context.WithCancel(v.r.Context())
	defer cancel()
	out := &eventStream{v: v, in: in, filter: v.readFilter(), flush: http.NewResponseController(v.w),
		end: cancel, header: http.Header{}, status: http.StatusOK}
	var wg sync.WaitGroup
	wg.Go(func() { out.beat(ctx) })
	r, err := client.NewRequest(ctx, api.StreamEvents, api.StreamInput{From: v.firstEvent()})
	if err == nil {
		r.Body = http.NoBody
		v.describeVisitor(r)
		v.cfg.API.ServeHTTP(out, r) // until ctx, the sign-in or the gateway ends
	}
	if out.status == http.StatusOK && ctx.Err() == nil && !v.stillHere() {
		out.sayOver()
	}
	cancel()
	wg.Wait()
	if out.status == http.StatusTooManyRequests {
		return newProblem(out.status,
			"Too many pages are watching already. Close some, or reload this one to see what is new.")
	}
	if err == nil && out.status != http.StatusOK {
		err = fmt.Errorf("console: %s: %s", api.StreamEvents.ID, http.StatusText(out.status))
	}
	return err
}

// firstEvent returns the number of the event at which the browser wants its stream to begin: the
// one after the last that it has received, or the first that is not on its page; 0: only new
// events.
func (v *visit) firstEvent() uint64 {
	last := v.r.Header.Get("Last-Event-ID")
	if n, err := strconv.ParseUint(last, 10, 64); err == nil {
		return n + 1
	}
	n, err := strconv.ParseUint(v.r.URL.Query().Get("from"), 10, 64)
	if err != nil || last != "" {
		return 0
	}
	return n
}

// eventStream turns the lines that the API writes, one JSON object each, into server-sent events.
type eventStream struct {
	v      *visit
	in     *page.View
	filter page.Filter
	flush  *http.ResponseController
	end    context.CancelFunc
	header http.Header
	status int // of the API's answer
	line   []byte

	mu sync.Mutex // guards writing to the browser
}

func (s *eventStream) Header() http.Header { return s.header }

// WriteHeader starts the browser's stream when the API has started its own.
func (s *eventStream) WriteHeader(status int) {
	if s.status = status; status != http.StatusOK {
		return
	}
	limit.Detach(s.v.r.Context()) // from here on the API counts the stream
	s.v.w.Header().Set("Content-Type", "text/event-stream")
	_ = s.send(": welcome\n\n") // ends the stream if the browser is gone
}

func (s *eventStream) Write(b []byte) (int, error) {
	if s.status != http.StatusOK {
		return len(b), nil // the body says why, but the browser gets our own words
	}
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
	var e audit.Event
	if err := json.Unmarshal(line, &e); err != nil {
		return err
	}
	name, html := "other", ""
	if s.filter.Matches(e) {
		s.in.Now = s.v.cfg.Now()
		row, err := s.v.pages.DrawPart("row", s.in.With(page.NewRow(e)))
		if err != nil {
			return err
		}
		name, html = "row", row.String()
	}
	return s.send(fmt.Sprintf("id: %d\nevent: %s\ndata: %s\n\n", e.Seq, name,
		strings.ReplaceAll(strings.TrimSpace(html), "\n", "\ndata: ")))
}

// sayOver tells the browser that the sign-in has ended, and ends the stream.
func (s *eventStream) sayOver() {
	_ = s.send("event: over\ndata:\n\n") // the stream ends in any case
	s.end()
}

func (s *eventStream) send(text string) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	_ = s.flush.SetWriteDeadline(time.Now().Add(writeWait))
	if _, err := s.v.w.Write([]byte(text)); err != nil {
		s.end()
		return err
	}
	return s.flush.Flush()
}

// stillHere tells whether the sign-in of the visit still holds.
func (v *visit) stillHere() bool {
	now, err := call(v, api.GetClient, api.Nothing{})
	return err == nil && now.Account != ""
}

// beat ends the stream when the sign-in has ended. It also detects a browser that has disconnected
// silently.
func (s *eventStream) beat(ctx context.Context) {
	t := time.NewTicker(heartbeat)
	defer t.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-t.C:
			if !s.v.stillHere() {
				s.sayOver()
				return
			}
			if s.send(": here\n\n") != nil {
				return
			}
		}
	}
}
