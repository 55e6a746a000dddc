package admin

import (
	"cmp"
	"context"
	"encoding/base64"
	"errors"
	"fmt"
	"slices"
	"strings"

	"latchkey/gateway/access"
	"latchkey/gateway/admin/api"
)

// What the operations on all kinds of records have in common.

// errChanged is the error of a change to a record that is not what the caller has seen.
var errChanged = errors.New("somebody else has changed it meanwhile: look at it as it is now")

// checkMatch refuses a change if the request says with If-Match that the record should be another
// one than is kept. kept is nil where there is none.
func (a *server) checkMatch(ctx context.Context, kept access.Record) error {
	reply := replyOf(ctx)
	if reply == nil || len(reply.ifMatch) == 0 {
		return nil
	}
	if kept == nil {
		return errChanged
	}
	match := strings.Join(reply.ifMatch, ",")
	if strings.TrimSpace(match) == "*" { // among others it would be a part of somebody else's tag
		return nil
	}
	tag, err := a.Store.Tag(kept)
	if err != nil {
		return err
	}
	for want := range strings.SplitSeq(match, ",") {
		if strings.TrimSpace(want) == quoteTag(tag) {
			return nil
		}
	}
	return errChanged
}

func quoteTag(tag string) string { return `"` + tag + `"` }

// view shows a record as the caller gets it.
func view[R access.Record, V any](a *server, p *access.Policy, r R,
	draw func(*access.Policy, R) V) (V, error) {
	v := draw(p, r)
	tagged, ok := any(&v).(interface{ SetTag(string) })
	if !ok {
		return v, nil
	}
	tag, err := a.Store.Tag(r)
	tagged.SetTag(tag)
	return v, err
}

// show answers with one record.
func show[R access.Record, V any](a *server, ref string, find func(*access.Policy, string) (R, error),
	draw func(*access.Policy, R) V) (V, error) {
	p := a.Store.Snapshot()
	r, err := find(p, ref)
	if err != nil {
		var none V
		return none, err
	}
	return view(a, p, r, draw)
}

// put writes a record, new or changed, and returns it as the policy keeps it.
func put[R access.Record, V any](ctx context.Context, a *server, from func(*access.Policy) (R, error),
	draw func(*access.Policy, R) V) (V, error) {
	var record R
	_, err := a.change(ctx, func(p *access.Policy) ([]access.Change, error) {
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
	return view(a, p, record, draw)
}

// remove deletes a record and all that belongs to it.
func remove[R access.Record](ctx context.Context, a *server, ref string,
	find func(*access.Policy, string) (R, error)) (api.Changed, error) {
	return a.change(ctx, func(p *access.Policy) ([]access.Change, error) {
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

// catalog says how the records of one kind are listed.
type catalog[R access.Record, V any] struct {
	draw func(*access.Policy, R) V
	key  func(V) string   // by which they are sorted; each has another one
	text func(V) []string // in which somebody may search, besides the key; nil: only there
}

// list answers with the records that are asked for.
func list[K comparable, R access.Record, V any](a *server, p *access.Policy, records map[K]R,
	c catalog[R, V], in api.ListQuery) (api.List[V], error) {
	items := make([]V, 0, len(records))
	for _, r := range records {
		v, err := view(a, p, r, c.draw)
		if err != nil {
			return api.List[V]{}, err
		}
		items = append(items, v)
	}
	return cut(items, c.key, c.text, in)
}

// cut sorts what can be listed, and leaves what is asked for.
func cut[V any](items []V, key func(V) string, text func(V) []string,
	in api.ListQuery) (out api.List[V], err error) {
	slices.SortFunc(items, func(x, y V) int { return strings.Compare(key(x), key(y)) })
	if in.Q != "" {
		q := strings.ToLower(in.Q)
		items = slices.DeleteFunc(items, func(v V) bool {
			texts := []string{key(v)}
			if text != nil {
				texts = text(v)
			}
			return !slices.ContainsFunc(texts, func(s string) bool { return strings.Contains(strings.ToLower(s), q) })
		})
	}
	if in.After != "" {
		last, err := base64.RawURLEncoding.DecodeString(in.After)
		if err != nil {
			return out, fmt.Errorf("after: %w: want what an answer gave as next", access.ErrInvalid)
		}
		n, found := slices.BinarySearchFunc(items, string(last), func(v V, s string) int { return strings.Compare(key(v), s) })
		if found {
			n++
		}
		items = items[n:]
	}
	if n := cmp.Or(in.Limit, len(items)); n < len(items) {
		items = items[:n]
		out.Next = base64.RawURLEncoding.EncodeToString([]byte(key(items[n-1])))
	}
	out.Items = append([]V{}, items...)
	return out, nil
}
