package access

import (
	"cmp"
	"fmt"
	"maps"
	"time"

	"latchkey/gateway/access/edit"
	"latchkey/gateway/calendar"
	"latchkey/gateway/text"
)

// Schedule is weekly windows in the site's time zone, with dated exceptions. Text is its canonical
// form; see [calendar.ParseSchedule].
type Schedule struct {
	ID      ID        `json:"id"`
	Name    string    `json:"name"`
	Text    string    `json:"text"`
	Created time.Time `json:"created"`
}

// Schedules is the kind of [Schedule].
var Schedules = &Kind[ID, Schedule]{
	Name:   "schedule",
	ID:     func(r Schedule) ID { return r.ID },
	Order:  cmp.Compare[ID],
	Blank:  func(id ID) Schedule { return Schedule{ID: id} },
	NameOf: func(r Schedule) string { return r.Name },

	Normal: func(d *Draft, r Schedule) (Schedule, error) {
		w, err := calendar.ParseSchedule(r.Text)
		if err != nil {
			return r, fmt.Errorf("access: %s: %w", d.Label(r), err)
		}
		r.Text = w.String()
		r.Created = edit.NormalizeTime(r.Created)
		return r, nil
	},
	Check: func(d *Draft, r Schedule) error {
		return cmp.Or(CheckID(r.ID), text.CheckHandle(r.Name)) // the text was parsed when it was put
	},
	Index: indexSchedules,

	Label:   func(n Namer, r Schedule) string { return "schedule " + n.NameOr(r.Name, r.ID) },
	Details: func(_ Namer, r Schedule) string { return ": " + text.Quote(calendar.ShortenSchedule(r.Text)) },
	Difference: func(_ Namer, label string, b, a Schedule, say *edit.Sentences) {
		say.If(a.Name != b.Name, "rename ", label, " to ", text.Quote(a.Name))
		say.If(a.Text != b.Text, "change ", label, " to ", text.Quote(calendar.ShortenSchedule(a.Text)))
	},

	table: func(p *Policy) *map[ID]Schedule { return &p.Schedules },
}

func indexSchedules(d *Draft, e *Edit[ID, Schedule]) error {
	index := maps.Clone(d.Next.weekly)
	for _, id := range e.Touched {
		r, is := e.After(id)
		if !is {
			delete(index, id)
			continue
		}
		w, err := calendar.ParseSchedule(r.Text)
		if err != nil {
			return fmt.Errorf("access: %s: %w", d.Label(r), err)
		}
		index[id] = w
	}
	d.Next.weekly = index
	return nil
}

// ScheduleByName returns the schedule of that name.
func (p *Policy) ScheduleByName(name string) (Schedule, bool) { return Schedules.ByName(p, name) }
