package admin

import (
	"context"
	"strings"

	"latchkey/gateway/access"
	"latchkey/gateway/admin/api"
	"latchkey/gateway/admin/route"
)

// What the operations on all kinds of records share.

// checkMatch refuses a change if the tag of the kept record is not in the request's If-Match. kept
// is nil if there is no record.
func (a *server) checkMatch(ctx context.Context, kept access.Record) error {
	reply := route.ReplyOf(ctx)
	if reply == nil || len(reply.IfMatch) == 0 {
		return nil
	}
	if kept == nil {
		return route.ErrChanged
	}
	match := strings.Join(reply.IfMatch, ",")
	if strings.TrimSpace(match) == "*" { // among others it would be a part of somebody else's tag
		return nil
	}
	tag, err := a.Store.Tag(kept)
	if err != nil {
		return err
	}
	for want := range strings.SplitSeq(match, ",") {
		if strings.TrimSpace(want) == route.QuoteTag(tag) {
			return nil
		}
	}
	return route.ErrChanged
}

// viewRecord returns a record in the form that the caller gets, with its tag.
func viewRecord[R access.Record, V any](a *server, p *access.Policy, r R,
	draw func(*access.Policy, R) V) (V, error) {
	v := draw(p, r)
	return v, a.tag(&v, r)
}

// tag writes the tag of a record into the view of it, if that has a place for one.
func (a *server) tag(view any, r access.Record) error {
	tagged, ok := view.(interface{ SetTag(string) })
	if !ok {
		return nil
	}
	tag, err := a.Store.Tag(r)
	tagged.SetTag(tag)
	return err
}

// showRecord returns one record in the form that the caller gets.
func showRecord[R access.Record, V any](a *server, ref string, find func(*access.Policy, string) (R, error),
	draw func(*access.Policy, R) V) (V, error) {
	p := a.Store.Snapshot()
	r, err := find(p, ref)
	if err != nil {
		var none V
		return none, err
	}
	return viewRecord(a, p, r, draw)
}

// putRecord writes a record, new or changed, and returns it as the policy keeps it.
func putRecord[R access.Record, V any](ctx context.Context, a *server, from func(*access.Policy) (R, error),
	draw func(*access.Policy, R) V) (V, error) {
	var record R
	_, err := a.makeChange(ctx, func(p *access.Policy) ([]access.Change, error) {
		r, err := from(p)
		if err != nil {
			return nil, err
		}
		record = r
		kept, _ := p.Get(r)
		return []access.Change{{Put: r}}, a.checkMatch(ctx, kept)
	})
	if err != nil {
		var none V
		return none, err
	}
	p := a.Store.Snapshot()
	if kept, ok := p.Get(record); ok {
		record = kept.(R)
	}
	return viewRecord(a, p, record, draw)
}

// removeRecord deletes a record and everything that belongs to it.
func removeRecord[R access.Record](ctx context.Context, a *server, ref string,
	find func(*access.Policy, string) (R, error)) (api.Changed, error) {
	return a.makeChange(ctx, func(p *access.Policy) ([]access.Change, error) {
		r, err := find(p, ref)
		if err != nil {
			return nil, err
		}
		if err := a.checkMatch(ctx, r); err != nil {
			return nil, err
		}
		return p.Removal(r)
	})
}

// catalog describes the list of one kind of record.
type catalog[R access.Record, V any] struct {
	draw func(*access.Policy, R) V
	key  func(V) string   // sort key, different for each
	text func(V) []string // texts that a search looks at; nil: only the key
}

// listRecords answers with the records that are asked for.
func listRecords[K comparable, R access.Record, V any](a *server, p *access.Policy, records map[K]R,
	c catalog[R, V], in api.ListQuery) (api.List[V], error) {
	entries := make([]route.Entry[V], 0, len(records))
	for _, r := range records {
		v := c.draw(p, r)
		entries = append(entries, route.Entry[V]{Key: c.key(v), View: v, Record: r})
	}
	entries, next, err := route.SelectEntries(entries, c.text, in)
	if err != nil {
		return api.List[V]{}, err
	}
	out := api.List[V]{Items: make([]V, 0, len(entries)), Next: next}
	for _, e := range entries {
		if err := a.tag(&e.View, e.Record); err != nil {
			return api.List[V]{}, err
		}
		out.Items = append(out.Items, e.View)
	}
	return out, nil
}

// notNil returns a list that is [] in JSON if it is empty.
func notNil[T any](items []T) []T {
	if items == nil {
		return []T{}
	}
	return items
}
