package admin

import (
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"reflect"
	"time"

	"github.com/danielgtaylor/huma/v2"
	"github.com/danielgtaylor/huma/v2/adapters/humago"

	"latchkey/gateway/access"
	"latchkey/gateway/admin/api"
	"latchkey/gateway/admin/openapi"
	"latchkey/gateway/admin/route"
	"latchkey/gateway/audit"
	"latchkey/gateway/limit"
)

// Bounds on the size of one answer and on the wait for it.
const (
	defaultEvents = 100
	writeWait     = 30 * time.Second
)

// How many streams of events there may be at a time, in all and for one address, account and token.
// Streams of browsers, scripts and the admin socket are all counted here, each once.
const (
	maxStreams   = 128
	addrStreams  = 48
	ownStreams   = 12 // fewer than the streams of one connection, so that a browser can still load pages
	tokenStreams = 8
)

const ndjson = "application/x-ndjson"

var eventType = reflect.TypeFor[audit.Event]()

func (a *server) addEventRoutes() {
	handle(a, api.ListEvents,
		func(ctx context.Context, in *api.EventQuery) (api.Events, error) {
			return a.events(ctx, in)
		})
	op := openapi.Describe(api.StreamEvents)
	op.Responses = map[string]*huma.Response{"200": {
		Description: "events",
		Content: map[string]*huma.MediaType{ndjson: {
			Schema: a.OpenAPI().Components.Schemas.Schema(eventType, true, "Event"),
		}},
	}}
	a.CheckBefore(&op, api.StreamEvents.Needs, false)
	huma.Register(a.API, op, func(ctx context.Context, in *api.StreamInput) (*huma.StreamResponse, error) {
		if a.Live == nil { // no other process can write to the store while this one has it open
			return nil, a.MakeProblem(ctx, op.OperationID, route.ErrNoGateway)
		}
		leave, err := a.watch(limit.ClientOf(ctx))
		if err != nil {
			return nil, a.MakeProblem(ctx, op.OperationID, err)
		}
		return &huma.StreamResponse{Body: func(c huma.Context) {
			defer leave()
			limit.Detach(ctx)
			r, w := humago.Unwrap(c)
			a.stream(r.Context(), w, in)
		}}, nil
	})
}

// watch counts a stream of the client until leave is called.
func (a *server) watch(c limit.Client) (leave func(), err error) {
	const what = "streams of events"
	claims := []limit.Claim{{What: what, N: 1, Most: maxStreams}}
	if c.Addr != "" {
		claims = append(claims, limit.Claim{What: what, Of: "address " + c.Addr, N: 1, Most: addrStreams})
	}
	if c.Account != "" {
		claims = append(claims, limit.Claim{What: what, Of: "account " + c.Account, N: 1, Most: ownStreams})
	}
	if c.Token != "" {
		claims = append(claims, limit.Claim{What: what, Of: "token " + c.Token, N: 1, Most: tokenStreams})
	}
	leave, full := a.streams.Take(claims...)
	if leave == nil {
		return nil, route.Crowded{Err: fmt.Errorf("too many are watching (%v): end one of them, "+
			"or ask for pages of events", full)}
	}
	return leave, nil
}

func (a *server) events(ctx context.Context, in *api.EventQuery) (out api.Events, err error) {
	most := cmp.Or(in.Limit, defaultEvents)
	from := in.From
	if in.After != 0 {
		from = max(in.After, in.After+1) // after the last number there is, there is nothing
	}
	if in.From != 0 && in.After != 0 || from != 0 && !in.Since.IsZero() {
		return out, fmt.Errorf("events: %w: want from, after or since, not both", access.ErrInvalid)
	}
	head, _ := a.Store.Head()
	out.Next, out.Removed = head+1, a.Store.Removed()
	switch {
	case from != 0:
		if in.Wait > 0 {
			a.Feed.Await(ctx, from, time.Duration(in.Wait)*time.Second)
		}
		if out.Next = max(from, out.Removed.Before, 1); in.Q != "" {
			out.Items, out.Next, err = a.Feed.SearchFrom(ctx, out.Next, most, in.Q)
		} else {
			out.Items, err = a.Store.Events(ctx, out.Next, most)
		}
	case in.Q != "":
		out.Items, err = a.Feed.SearchNewest(ctx, head, in.Since, most, in.Q)
	case !in.Since.IsZero():
		out.Items, err = a.Store.EventsSince(ctx, in.Since, most)
	default:
		out.Items, err = a.Store.Events(ctx, head-min(head, uint64(most))+1, most)
	}
	if n := len(out.Items); n > 0 && in.Q == "" {
		out.Next = out.Items[n-1].Seq + 1
	}
	out.Items = append([]audit.Event{}, out.Items...)
	return out, err
}

// news is a line of the stream about devices.
type news struct {
	Devices []access.ID `json:"devices"`
}

// stream writes news until the client disconnects or the store is closed. It flushes each page,
// since somebody is watching.
func (a *server) stream(ctx context.Context, w http.ResponseWriter, in *api.StreamInput) {
	cursor := a.Feed.Events(in.From)
	if in.Devices {
		cursor = a.Feed.All(in.From)
	}
	out := http.NewResponseController(w)
	w.Header().Set("Content-Type", ndjson)
	w.WriteHeader(http.StatusOK)
	_ = out.Flush() // a writer that cannot be flushed sends the events later
	lines := json.NewEncoder(w)
	lines.SetEscapeHTML(false)
	write := func(line any) error {
		_ = out.SetWriteDeadline(time.Now().Add(writeWait)) // not every writer has a deadline
		return lines.Encode(line)
	}
	for {
		found, err := cursor.Next(ctx)
		if err != nil {
			return
		}
		for _, ev := range found.Events {
			if write(ev) != nil {
				return
			}
		}
		if len(found.Devices) > 0 && write(news{found.Devices}) != nil {
			return
		}
		_ = out.Flush()
		// In HTTP/2 the deadline would end the stream while there is nothing to write.
		_ = out.SetWriteDeadline(time.Time{})
	}
}
