package page

import (
	"fmt"
	"math"
	"net/url"
	"slices"
	"time"

	"github.com/dustin/go-humanize"

	"latchkey/gateway/access/accounts"
	"latchkey/gateway/admin/api"
	"latchkey/gateway/audit"
)

// View is what every page shows. Data is for this page alone.
type View struct {
	Page    string
	Account api.Account
	Site    api.Site
	Alarms  []api.Alarm // alarms that nobody has acknowledged
	Clock   string      // why the time is not trusted; empty when it is
	Note    string      // what was just done
	Problem string      // why it was not
	At      string      // the id of the card that Note or Problem belongs to; empty: the whole page
	Typed   url.Values
	Now     time.Time
	Data    any
	Zone    *time.Location // of the site's wall clock
}

// May tells whether the account that is signed in has the role, or one that includes it.
func (in *View) May(role string) bool { return in.Account.Role.Includes(accounts.Role(role)) }

// In returns the section of the site that a page belongs to, for the navigation.
func (in *View) In(section string) bool {
	return section == map[string]string{"home": "home", "events": "events", "people": "people",
		"person": "people", "groups": "people", "group": "people",
		"schedules": "people", "devices": "devices", "device": "devices", "target": "devices",
		"bundle": "devices", "why": "why", "health": "health", "sinks": "health",
		"sink": "health", "integrations": "health", "integration": "health",
		"account": "account", "admins": "admins"}[in.Page]
}

// Old returns what was typed into a field of a form that failed, so that the visitor need not type
// it again. It returns nothing for the page's other forms.
func (in *View) Old(form, name string) string {
	if in.Problem == "" || in.Typed.Get("form") != form {
		return ""
	}
	return in.Typed.Get(name)
}

// Chose tells whether that value was chosen in a form that failed, as Old does.
func (in *View) Chose(form, name string, value any) bool {
	return in.Old(form, "form") != "" && slices.Contains(in.Typed[name], fmt.Sprint(value))
}

// When writes a time by the site's wall clock.
func (in *View) When(t time.Time) string {
	if t.IsZero() {
		return "never"
	}
	return t.In(in.Zone).Format("2006-01-02 15:04:05")
}

// Removed says that the oldest events were removed.
func (in *View) Removed(r audit.Removed) string { return r.Sentence(in.Zone) }

// DoorText returns the state of a door in a line.
func (in *View) DoorText(s *api.DoorState) string { return s.Text(in.When) }

// DoorNow returns the state of a door without regard to alarms.
func (in *View) DoorNow(s *api.DoorState) string { return s.NowText(in.When) }

// Day writes a date by the site's calendar.
func (in *View) Day(t time.Time) string { return t.In(in.Zone).Format(time.DateOnly) }

// ISO writes a time for machines.
func (in *View) ISO(t time.Time) string { return t.UTC().Format(time.RFC3339) }

// Ago returns roughly how long ago a time was.
func (in *View) Ago(t time.Time) string {
	if t.IsZero() {
		return "never"
	}
	if t.After(in.Now) {
		t = in.Now
	}
	return humanize.CustomRelTime(t, in.Now, "ago", "", agoUnits)
}

// agoUnits are the units of [View.Ago], each with the time until which it is used.
var agoUnits = []humanize.RelTimeMagnitude{
	{D: 2 * time.Second, Format: "just now", DivBy: 1},
	{D: 2 * time.Minute, Format: "%d s %s", DivBy: time.Second},
	{D: 2 * time.Hour, Format: "%d min %s", DivBy: time.Minute},
	{D: 48 * time.Hour, Format: "%d h %s", DivBy: time.Hour},
	{D: math.MaxInt64, Format: "%d days %s", DivBy: 24 * time.Hour},
}

// With returns the view with other data, for a part of a page.
func (in *View) With(data any) *View {
	part := *in
	part.Data = data
	return &part
}
