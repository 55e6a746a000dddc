package feed

import (
	"context"
	"slices"
	"strings"
	"time"

	"latchkey/gateway/audit"
)

// A search looks for events whose line contains a text: see [audit.Event.Line]. Upper and lower
// case are the same. One search runs at a time.

const (
	searchPage = 1000   // events that a search reads at once
	searchMost = 20_000 // and in all
)

// SearchFrom returns up to most events from a number upwards that contain a text, and the number to
// continue at.
func (f *Feed) SearchFrom(ctx context.Context, from uint64, most int, text string) (found []audit.Event,
	next uint64, err error) {
	if err := f.search.Enter(ctx); err != nil {
		return nil, from, err
	}
	defer f.search.Leave()
	next = from
	for looked := 0; looked < searchMost && len(found) < most; {
		page, err := f.chain.Events(ctx, next, searchPage)
		if err != nil || len(page) == 0 {
			return found, next, err
		}
		for _, ev := range page {
			if len(found) == most {
				break
			}
			if next = ev.Seq + 1; contains(ev, text) {
				found = append(found, ev)
			}
		}
		looked += len(page)
	}
	return found, next, nil
}

// SearchNewest returns up to most of the events up to head that contain a text and are not before
// since. It returns the newest ones, oldest first.
func (f *Feed) SearchNewest(ctx context.Context, head uint64, since time.Time, most int,
	text string) (found []audit.Event, err error) {
	if err := f.search.Enter(ctx); err != nil {
		return nil, err
	}
	defer f.search.Leave()
	for end, looked := head, 0; end > 0 && looked < searchMost && len(found) < most; {
		from := end - min(end, searchPage) + 1
		page, err := f.chain.Events(ctx, from, int(end-from+1))
		if err != nil {
			return nil, err
		}
		for _, ev := range slices.Backward(page) {
			if ev.Seq > end { // the first of the page were removed, so others came in their place
				continue
			}
			if len(found) < most && contains(ev, text) && !ev.At.Before(since) {
				found = append(found, ev)
			}
		}
		if len(page) == 0 || page[0].Seq > from {
			break // older events were removed
		}
		end, looked = from-1, looked+len(page)
	}
	slices.Reverse(found)
	return found, nil
}

func contains(ev audit.Event, text string) bool {
	return strings.Contains(strings.ToLower(ev.Line()), strings.ToLower(text))
}
