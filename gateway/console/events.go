package console

import (
	"encoding/csv"
	"encoding/json"
	"html/template"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"

	"latchkey/gateway/access"
	"latchkey/gateway/admin/api"
)

const (
	eventsShown  = 100    // on one page
	eventsLooked = 20_000 // looked through for one page; then there is a link to go on
	apiPage      = 1000   // what the API gives at once
)

// filter says which events to show. Empty fields let everything through.
type filter struct {
	Person string // part of the name
	Target string
	Reason string
	Kind   string
}

func (v *visit) filter() filter {
	q := v.r.URL.Query()
	get := func(name string) string { return clip(strings.TrimSpace(q.Get(name))) }
	return filter{Person: get("person"), Target: get("target"), Reason: get("reason"), Kind: get("kind")}
}

// Query is the filter as it stands in an address behind the question mark. It is escaped, and a
// template must not do so again.
func (f filter) Query() template.URL { return template.URL(f.values().Encode()) }

// QueryBefore is the same, for what was before an event.
func (f filter) QueryBefore(seq uint64) template.URL {
	q := f.values()
	q.Set("before", strconv.FormatUint(seq, 10))
	return template.URL(q.Encode())
}

func (f filter) values() url.Values {
	q := url.Values{}
	for name, value := range map[string]string{"person": f.Person, "target": f.Target, "reason": f.Reason,
		"kind": f.Kind} {
		if value != "" {
			q.Set(name, value)
		}
	}
	return q
}

func (f filter) takes(e access.Event) bool {
	return (f.Person == "" || strings.Contains(strings.ToLower(e.Person.Name), strings.ToLower(f.Person))) &&
		(f.Target == "" || e.Target.Name == f.Target || string(e.Target.ID) == f.Target) &&
		(f.Reason == "" || string(e.Reason) == f.Reason || string(e.Outcome) == f.Reason) &&
		(f.Kind == "" || string(e.Kind) == f.Kind)
}

// row is an event in a table.
type row struct {
	access.Event
	Text string
	Tone string // good, bad or plain
}

func rowOf(e access.Event) row {
	r := row{Event: e, Text: e.Line(), Tone: "plain"}
	switch {
	case e.Kind == access.EventDecision && e.Granted, e.Kind == access.EventReceipt &&
		e.Outcome == access.OutcomeDone:
		r.Tone = "good"
	case e.Kind == access.EventDecision, e.Kind == access.EventReceipt, e.Kind == access.EventThrottle,
		e.Kind == access.EventReport,
		e.Kind == access.EventAlarm, e.Kind == access.EventStale, e.Kind == access.EventFull:
		r.Tone = "bad"
	}
	return r
}

type eventsPage struct {
	Filter  filter
	Rows    []row
	Targets []api.Target
	Older   uint64 // before which event to go on; 0: that was all
	Last    uint64 // the newest that was looked at
	Shown   int    // how many are on a full page
	Next    uint64 // the first event that is not here yet
	Before  uint64 // this is a page of the past; 0: it is live
	Kinds   []access.EventKind
	Reasons []access.Reason
}

func (v *visit) showEvents() error {
	p := eventsPage{Filter: v.filter(), Shown: eventsShown, Kinds: access.EventKinds, Reasons: access.Reasons}
	p.Before, _ = strconv.ParseUint(v.r.URL.Query().Get("before"), 10, 64)
	var err error
	if p.Targets, err = list(v, api.ListTargets, api.Nothing{}); err != nil {
		return err
	}
	next, err := v.nextEvent()
	if err != nil {
		return err
	}
	p.Next = next
	end := next
	if p.Before > 0 {
		end = min(end, p.Before)
	}
	p.Last = end - 1
	if p.Rows, p.Older, err = v.eventsBefore(end, p.Filter); err != nil {
		return err
	}
	return v.show(v.status(), "events", p)
}

// nextEvent is the number that the next event will have.
func (v *visit) nextEvent() (uint64, error) {
	page, err := call(v, api.ListEvents, api.EventQuery{Limit: 1})
	return page.Next, err
}

// eventsBefore returns the newest events before end that the filter takes, newest first, and where
// to go on.
func (v *visit) eventsBefore(end uint64, f filter) (rows []row, older uint64, err error) {
	looked := 0
	for end > 1 && looked < eventsLooked {
		from := end - min(end-1, apiPage)
		page, err := call(v, api.ListEvents, api.EventQuery{From: from, Limit: int(end - from)})
		if err != nil {
			return nil, 0, err
		}
		for i := len(page.Items) - 1; i >= 0; i-- {
			e := page.Items[i]
			if !f.takes(e) {
				continue
			}
			if len(rows) == eventsShown {
				return rows, e.Seq + 1, nil
			}
			rows = append(rows, rowOf(e))
		}
		looked += int(end - from)
		end = from
	}
	if end <= 1 {
		end = 0
	}
	return rows, end, nil
}

// each calls f with every event that the filter takes, oldest first.
func (v *visit) each(from uint64, end uint64, f func(access.Event) error) error {
	take := v.filter()
	for from < end {
		page, err := call(v, api.ListEvents, api.EventQuery{From: from, Limit: apiPage})
		if err != nil {
			return err
		}
		if len(page.Items) == 0 {
			return nil
		}
		_ = http.NewResponseController(v.w).SetWriteDeadline(time.Now().Add(writeWait))
		for _, e := range page.Items {
			if e.Seq < end && take.takes(e) {
				if err := f(e); err != nil {
					return err
				}
			}
		}
		from = page.Next
	}
	return nil
}

// exportCSV writes what the filter takes, for a spreadsheet.
func (v *visit) exportCSV() error {
	end, err := v.nextEvent()
	if err != nil {
		return err
	}
	v.download("text/csv; charset=utf-8", "latchkey-events.csv")
	out := csv.NewWriter(v.w)
	_ = out.Write([]string{"number", "time", "kind", "person", "card", "actor", "device", "target", "action",
		"level", "granted", "reason", "outcome", "cause",
		"rule", "detail", "hash"}) // what fails shows in out.Error
	err = v.each(1, end, func(e access.Event) error {
		action, level := "", ""
		if e.Action != 0 {
			action, level = e.Action.String(), strconv.Itoa(int(e.Level))
		}
		cells := []string{strconv.FormatUint(e.Seq, 10), e.At.UTC().Format(time.RFC3339Nano), string(e.Kind),
			e.Person.Name, e.Card, e.Actor, e.Device.Name,
			e.Target.Name, action, level, strconv.FormatBool(e.Granted), string(e.Reason), string(e.Outcome),
			strconv.FormatUint(e.Cause, 10), e.Rule, e.Detail,
			e.Hash.String()}
		for i := range cells {
			cells[i] = inert(cells[i])
		}
		return out.Write(cells)
	})
	out.Flush()
	return v.cut(err, out.Error())
}

// inert keeps a spreadsheet from taking a name for a formula. Some take the wide signs for those,
// too.
func inert(cell string) string {
	if first, _ := utf8.DecodeRuneInString(cell); cell != "" && strings.ContainsRune("=+-@\t\r\n＝＋－＠",
		first) {
		return "'" + cell
	}
	return cell
}

// exportJSON writes what the filter takes as one array.
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
	err = v.each(1, end, func(e access.Event) error {
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
	return v.cut(err)
}

func (v *visit) download(kind, name string) {
	v.w.Header().Set("Content-Type", kind)
	v.w.Header().Set("Content-Disposition", `attachment; filename="`+name+`"`)
}

// cut ends a download that cannot go on in a way that nobody takes for its end: it has begun, so
// there is no other way to say so.
func (v *visit) cut(errs ...error) error {
	for _, err := range errs {
		if err != nil {
			v.cfg.Log.Warn("console export cut short", "err", err)
			panic(http.ErrAbortHandler)
		}
	}
	return nil
}
