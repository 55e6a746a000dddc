package audit

import (
	"fmt"
	"strconv"
	"time"
)

// Removed says that the oldest events were removed. The zero value: none was.
type Removed struct {
	Before uint64    `json:"before" doc:"the first event that is kept; all before it were removed"`
	At     time.Time `json:"at" doc:"when the last of them were removed"`
	Days   int       `json:"days" doc:"for how many days events were kept then"`
}

// IsZero tells whether no event was removed.
func (r Removed) IsZero() bool { return r.Before == 0 }

// Sentence says it for people, with the day in their time zone.
func (r Removed) Sentence(zone *time.Location) string {
	days := strconv.Itoa(r.Days) + " days"
	if r.Days == 1 {
		days = "1 day"
	}
	return fmt.Sprintf("Events before number %d were removed on %s, because events are kept for %s.", r.Before,
		r.At.In(zone).Format("2006-01-02"), days)
}
