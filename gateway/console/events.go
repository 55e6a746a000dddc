package console

import (
	"encoding/csv"
	"encoding/json"
	"net/http"
	"strconv"
	"strings"
	"time"

	"latchkey/gateway/access"
	"latchkey/gateway/admin/api"
	"latchkey/gateway/audit"
	"latchkey/gateway/console/page"
)

const (
	eventsShown  = 100    // on one page
	eventsLooked = 20_000 // searched for one page; after that the page has a link to continue
	apiPage      = 1000   // the most that the API returns at once
)

func (v *visit) readFilter() page.Filter {
	q := v.r.URL.Query()
	get := func(name string) string { return clipText(strings.TrimSpace(q.Get(name))) }
	return page.Filter{Person: get("person"), Target: get("target"), Reason: get("reason"), Kind: get("kind")}
}

type eventsPage struct {
	Filter  page.Filter
	Rows    []page.Row
	Targets []api.Target
	Older   uint64 // the next page begins before this event; 0: there is none
	Last    uint64 // the newest event that was searched
	Shown   int    // how many events a full page has
	Next    uint64 // the number of the next event
	Before  uint64 // this is a page of the past; 0: it is live
	Removed audit.Removed
	Kinds   []audit.EventKind
	Reasons []access.Reason
}

func (v *visit) showEvents() error {
	p := eventsPage{Filter: v.readFilter(), Shown: eventsShown, Kinds: audit.EventKinds,
		Reasons: audit.Reasons}
	p.Before, _ = strconv.ParseUint(v.r.URL.Query().Get("before"), 10, 64)
	var err error
	if p.Targets, err = list(v, api.ListTargets, api.ListQuery{}); err != nil {
		return err
	}
	newest, err := call(v, api.ListEvents, v.queryNewestEvents())
	if err != nil {
		return err
	}
	p.Next, p.Removed = newest.Next, newest.Removed
	end := p.Next
	if p.Before > 0 {
		end = min(end, p.Before)
	}
	p.Last = end - 1
	if p.Rows, p.Older, err = v.eventsBefore(end, p.Filter, newest); err != nil {
		return err
	}
	return v.showPage(v.chooseStatus(), "events", p)
}

// queryNewestEvents returns the query for the newest event. On the first page it is the query for
// all events with which the page begins.
func (v *visit) queryNewestEvents() api.EventQuery {
	if before, _ := strconv.ParseUint(v.r.URL.Query().Get("before"), 10, 64); before > 0 {
		return api.EventQuery{Limit: 1}
	}
	return api.EventQuery{Limit: apiPage}
}

// nextEvent returns the number that the next event will have.
func (v *visit) nextEvent() (uint64, error) {
	got, err := call(v, api.ListEvents, api.EventQuery{Limit: 1})
	return got.Next, err
}

// eventsBefore returns the newest events before end that match the filter, newest first, and the
// number to continue at. It does not ask again for events that are in newest.
func (v *visit) eventsBefore(end uint64, f page.Filter,
	newest api.Events) (rows []page.Row, older uint64, err error) {
	looked, first := 0, max(newest.Removed.Before, 1)
	for end > first && looked < eventsLooked {
		from := end - min(end-first, apiPage)
		got := newest
		if end != newest.Next || uint64(len(newest.Items)) != end-from {
			got, err = call(v, api.ListEvents, api.EventQuery{From: from, Limit: int(end - from)})
			if err != nil {
				return nil, 0, err
			}
		}
		for i := len(got.Items) - 1; i >= 0; i-- {
			e := got.Items[i]
			if e.Seq >= end || !f.Matches(e) { // events that were removed meanwhile make room for later ones
				continue
			}
			if len(rows) == eventsShown {
				return rows, e.Seq + 1, nil
			}
			rows = append(rows, page.NewRow(e))
		}
		looked += int(end - from)
		end = from
	}
	if end <= first {
		end = 0
	}
	return rows, end, nil
}

// each calls f with every event that matches the filter, oldest first.
func (v *visit) each(from uint64, end uint64, f func(audit.Event) error) error {
	filter := v.readFilter()
	for from < end {
		got, err := call(v, api.ListEvents, api.EventQuery{From: from, Limit: apiPage})
		if err != nil {
			return err
		}
		if len(got.Items) == 0 {
			return nil
		}
		_ = http.NewResponseController(v.w).SetWriteDeadline(time.Now().Add(writeWait))
		for _, e := range got.Items {
			if e.Seq < end && filter.Matches(e) {
				if err := f(e); err != nil {
					return err
				}
			}
		}
		from = got.Next
	}
	return nil
}

// exportCSV writes the events that match the filter, for a spreadsheet.
func (v *visit) exportCSV() error {
	end, err := v.nextEvent()
	if err != nil {
		return err
	}
	v.download("text/csv; charset=utf-8", "latchkey-events.csv")
	out := csv.NewWriter(v.w)
	_ = out.Write(page.TableHead)
	// out.Error returns a failure of Write later.
	err = v.each(1, end, func(e audit.Event) error { return out.Write(page.NewTableRow(e)) })
	out.Flush()
	return v.abortDownload(err, out.Error())
}

// exportJSON writes the events that match the filter as one array.
func (v *visit) exportJSON() error {
	end, err := v.nextEvent()
	if err != nil {
		return err
	}
	v.download("application/json", "latchkey-events.json")
	if _, err := v.w.Write([]byte("[")); err != nil {
		return nil // gone
	}
	between := "\n"
	err = v.each(1, end, func(e audit.Event) error {
		b, err := json.Marshal(e)
		if err != nil {
			return err
		}
		_, err = v.w.Write(append([]byte(between), b...))
		between = ",\n"
		return err
	})
	if err == nil {
		_, err = v.w.Write([]byte("\n]\n"))
	}
	return v.abortDownload(err)
}

func (v *visit) download(kind, name string) {
	v.w.Header().Set("Content-Type", kind)
	v.w.Header().Set("Content-Disposition", `attachment; filename="`+name+`"`)
}

// abortDownload aborts a download that failed, so that the browser does not take it for complete.
// The answer has begun, so its status cannot be changed any more.
func (v *visit) abortDownload(errs ...error) error {
	for _, err := range errs {
		if err != nil {
			v.cfg.Log.Warn("console export cut short", "err", err)
			panic(http.ErrAbortHandler)
		}
	}
	return nil
}
