package route

import (
	"cmp"
	"encoding/base64"
	"fmt"
	"slices"
	"strings"

	"latchkey/gateway/access"
	"latchkey/gateway/admin/api"
)

// Entry is what can be listed.
type Entry[V any] struct {
	Key    string
	View   V
	Record access.Record // that is shown, if it is one
}

// SelectEntries returns the entries that a query asks for, sorted by key.
func SelectEntries[V any](entries []Entry[V], text func(V) []string,
	in api.ListQuery) (kept []Entry[V], next string, err error) {
	if in.Q != "" {
		q := strings.ToLower(in.Q)
		entries = slices.DeleteFunc(entries, func(e Entry[V]) bool {
			texts := []string{e.Key}
			if text != nil {
				texts = text(e.View)
			}
			return !slices.ContainsFunc(texts,
				func(s string) bool { return strings.Contains(strings.ToLower(s), q) })
		})
	}
	slices.SortFunc(entries, func(x, y Entry[V]) int { return strings.Compare(x.Key, y.Key) })
	if in.After != "" {
		last, err := base64.RawURLEncoding.DecodeString(in.After)
		if err != nil {
			return nil, "", fmt.Errorf("after: %w: want what an answer gave as next", access.ErrInvalid)
		}
		n, found := slices.BinarySearchFunc(entries, string(last),
			func(e Entry[V], key string) int { return strings.Compare(e.Key, key) })
		if found {
			n++
		}
		entries = entries[n:]
	}
	if n := cmp.Or(in.Limit, len(entries)); n < len(entries) {
		entries = entries[:n]
		next = base64.RawURLEncoding.EncodeToString([]byte(entries[n-1].Key))
	}
	return entries, next, nil
}
