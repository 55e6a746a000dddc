package admin

import (
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
	"latchkey/gateway/limit"
)

// Bounds of what one answer holds and how long it waits.
const (
	defaultEvents = 100
	maxEvents     = 1000
	writeWait     = 30 * time.Second
)

// How many streams of events there are at a time, in all and for one address, account and token.
// This is where those of browsers, scripts and the admin socket are counted, each once.
const (
	maxStreams   = 128
	addrStreams  = 48
	ownStreams   = 12 // fewer than a browser has on one connection, so that its pages have some left
	tokenStreams = 8
)

const ndjson = "application/x-ndjson"

var eventType = reflect.TypeFor[access.Event]()

func (a *server) eventRoutes() {
	handle(a, api.ListEvents,
		func(ctx context.Context, in *api.EventQuery) (api.Events, error) {
			return a.events(ctx, in)
		})
	op := describe(api.StreamEvents)
	op.Responses = map[string]*huma.Response{"200": {
		Description: "events",
		Content: map[string]*huma.MediaType{ndjson: {
			Schema: a.OpenAPI().Components.Schemas.Schema(eventType, true, "Event"),
		}},
	}}
	a.checkBefore(&op, api.StreamEvents.Needs, false)
	huma.Register(a.API, op, func(ctx context.Context, in *api.StreamInput) (*huma.StreamResponse, error) {
		if a.Live == nil { // nobody else writes to the store while this process has it
			return nil, a.problem(ctx, op.OperationID, ErrNoGateway)
		}
		leave, err := a.watch(limit.ClientOf(ctx))
		if err != nil {
			return nil, a.problem(ctx, op.OperationID, err)
		}
		return &huma.StreamResponse{Body: func(c huma.Context) {
			defer leave()
			limit.Detach(ctx)
			r, w := humago.Unwrap(c)
			a.stream(r.Context(), w, in)
		}}, nil
	})
}

// watch counts one more stream of a client, until leave is called.
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
		return nil, crowded{fmt.Errorf("too many are watching (%v): end one of them, or ask for pages of events", full)}
	}
	return leave, nil
}

func (a *server) events(ctx context.Context, in *api.EventQuery) (api.Events, error) {
	limit := in.Limit
	if limit == 0 {
		limit = defaultEvents
	}
	if !in.Since.IsZero() && in.From != 0 {
		return api.Events{}, fmt.Errorf("events: %w: want from or since, not both", access.ErrInvalid)
	}
	head, _ := a.Store.Head()
	out := api.Events{Items: []access.Event{}, Next: head + 1}
	var err error
	switch {
	case !in.Since.IsZero():
		out.Items, err = a.Store.Since(ctx, in.Since, limit)
	case in.From != 0:
		if in.Wait > 0 {
			a.Feed.Await(ctx, in.From, time.Duration(in.Wait)*time.Second)
		}
		out.Items, err = a.Store.Events(ctx, in.From, limit)
		out.Next = max(in.From, 1)
	default:
		out.Items, err = a.Store.Events(ctx, head-min(head, uint64(limit))+1, limit)
	}
	if n := len(out.Items); n > 0 {
		out.Next = out.Items[n-1].Seq + 1
	} else {
		out.Items = []access.Event{}
	}
	return out, err
}

// news is a line of the stream that is no event.
type news struct {
	Devices []access.ID `json:"devices"`
}

// stream writes what is new until the client or the store is gone. Each page is flushed: somebody
// is watching.
func (a *server) stream(ctx context.Context, w http.ResponseWriter, in *api.StreamInput) {
	cursor := a.Feed.Events(in.From)
	if in.Devices {
		cursor = a.Feed.All(in.From)
	}
	out := http.NewResponseController(w)
	w.Header().Set("Content-Type", ndjson)
	w.WriteHeader(http.StatusOK)
	_ = out.Flush() // a writer that cannot be flushed will show the events later
	lines := json.NewEncoder(w)
	lines.SetEscapeHTML(false)
	write := func(line any) error {
		_ = out.SetWriteDeadline(time.Now().Add(writeWait)) // not every writer has one
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
		_ = out.SetWriteDeadline(time.Time{}) // in HTTP/2 it would end the stream while there is nothing to write
	}
}
