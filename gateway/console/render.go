package console

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"html/template"
	"io/fs"
	"math"
	"net/url"
	"path"
	"strings"
	"time"

	"github.com/dustin/go-humanize"

	"latchkey/gateway/access"
	"latchkey/gateway/admin/api"
)

// view is what every page shows, and what is its own in Data.
type view struct {
	Page    string
	Account api.Account
	Site    api.Site
	Alarms  []api.Alarm // that nobody has acknowledged
	Clock   string      // why the time is not trusted; empty when it is
	Note    string      // what has just been done
	Problem string      // why it was not
	At      string      // the id of the card that Note or Problem belongs to; empty: the page's
	Typed   url.Values
	Now     time.Time
	Data    any
	zone    *time.Location
}

// section is an entry of the navigation.
type section struct {
	Name, Path, Label string
	Owner             bool // only for owners
}

var sections = []section{
	{"home", "/", "Home", false}, {"events", "/events", "Events", false}, {"people", "/people", "People",
		false},
	{"devices", "/devices", "Devices", false}, {"why", "/why", "Why", false}, {"health", "/health", "Health",
		false},
	{"account", "/account", "Account", false}, {"admins", "/admins", "Admins", true},
}

// parsePages reads each page together with what all of them share.
func parsePages() (map[string]*template.Template, error) {
	names, err := fs.Glob(files, "templates/*.html")
	if err != nil {
		return nil, err
	}
	stamps, err := stampStatic()
	if err != nil {
		return nil, err
	}
	shared := template.New("").Funcs(template.FuncMap{
		"static":   func(name string) string { return "/static/" + name + "?" + stamps[name] },
		"sentence": sentence,
		"span":     span,
		"bytes":    humanize.Bytes,
		"dict":     dict,
		"roles":    func() []access.Role { return access.Roles },
		"pages":    func() []section { return sections },
	})
	pages := map[string]*template.Template{}
	for _, name := range names {
		base := strings.TrimSuffix(path.Base(name), ".html")
		if !strings.HasPrefix(base, "_") {
			pages[base] = nil
		}
	}
	if shared, err = shared.ParseFS(files, "templates/_*.html"); err != nil {
		return nil, fmt.Errorf("console: %w", err)
	}
	for name := range pages {
		t, err := shared.Clone()
		if err == nil {
			t, err = t.ParseFS(files, "templates/"+name+".html")
		}
		if err != nil {
			return nil, fmt.Errorf("console: page %s: %w", name, err)
		}
		pages[name] = t
	}
	return pages, nil
}

// stampStatic names each file's content, so that a browser asks anew exactly when it has changed.
func stampStatic() (map[string]string, error) {
	stamps := map[string]string{}
	entries, err := fs.ReadDir(files, "static")
	for _, e := range entries {
		b, err := fs.ReadFile(files, "static/"+e.Name())
		if err != nil {
			return nil, err
		}
		sum := sha256.Sum256(b)
		stamps[e.Name()] = hex.EncodeToString(sum[:6])
	}
	return stamps, err
}

// dict hands several values to a template.
func dict(pairs ...any) (map[string]any, error) {
	m := map[string]any{}
	for i := 0; i+1 < len(pairs); i += 2 {
		name, ok := pairs[i].(string)
		if !ok {
			return nil, fmt.Errorf("dict: %v is no name", pairs[i])
		}
		m[name] = pairs[i+1]
	}
	return m, nil
}

// show writes a page. It is made whole before anything is sent.
func (v *visit) show(status int, page string, data any) error {
	t, ok := v.pages[page]
	if !ok {
		return fmt.Errorf("console: no page %q", page)
	}
	in, err := v.view(page, data)
	if err != nil {
		return err
	}
	var b bytes.Buffer
	if err := t.ExecuteTemplate(&b, "layout", in); err != nil {
		return fmt.Errorf("console: page %s: %w", page, err)
	}
	v.w.Header().Set("Content-Type", "text/html; charset=utf-8")
	v.w.WriteHeader(status)
	_, _ = b.WriteTo(v.w) // whoever asked is gone
	return nil
}

func (v *visit) view(page string, data any) (*view, error) {
	in := &view{Page: page, Account: v.account, Problem: v.problem, At: v.where, Typed: v.r.PostForm,
		Now: v.cfg.Now(), Data: data, zone: time.UTC}
	if v.r.Header.Get("Latchkey-Refresh") == "" { // a page that renews itself must not take what the next one is to say
		n := v.takeNote()
		in.Note = n.Text
		if in.Problem == "" {
			in.At = n.At
		}
	}
	if v.account.ID == "" {
		return in, nil // whoever is not signed in learns nothing of the site
	}
	var err error
	if in.Site, err = call(v, api.GetSite, api.Nothing{}); err != nil {
		return nil, err
	}
	if z, err := v.zones.find(in.Site.Zone); err == nil {
		in.zone = z
	}
	clock, err := call(v, api.GetTime, api.Nothing{})
	if err != nil {
		return nil, err
	}
	in.Clock = clock.Why
	alarms, err := list(v, api.ListAlarms, api.Nothing{})
	in.Alarms = alarms
	return in, err
}

// May tells whether whoever is signed in has the role, or one that includes it.
func (in *view) May(role string) bool { return in.Account.Role.Includes(access.Role(role)) }

// In is a section of the site that a page belongs to, for the navigation.
func (in *view) In(section string) bool {
	return section == map[string]string{"home": "home", "events": "events", "people": "people",
		"person": "people", "groups": "people", "group": "people",
		"schedules": "people", "devices": "devices", "device": "devices", "target": "devices",
		"bundle": "devices", "why": "why", "health": "health",
		"account": "account", "admins": "admins"}[in.Page]
}

// Old is what was typed into a field of a form that did not work, so that nothing is lost; only for
// the form that says so by its name.
func (in *view) Old(form, name string) string {
	if in.Problem == "" || in.Typed.Get("form") != form {
		return ""
	}
	return in.Typed.Get(name)
}

// When is a time by the site's wall clock.
func (in *view) When(t time.Time) string {
	if t.IsZero() {
		return "never"
	}
	return t.In(in.zone).Format("2006-01-02 15:04:05")
}

// DoorText is what a door is, in a line.
func (in *view) DoorText(s *api.DoorState) string { return s.Text(in.When) }

// DoorNow is what a door is apart from alarms.
func (in *view) DoorNow(s *api.DoorState) string { return s.NowText(in.When) }

// Day is a date by the site's calendar.
func (in *view) Day(t time.Time) string { return t.In(in.zone).Format(time.DateOnly) }

// ISO is a time for machines.
func (in *view) ISO(t time.Time) string { return t.UTC().Format(time.RFC3339) }

// Ago is how long ago a time was, roughly.
func (in *view) Ago(t time.Time) string {
	if t.IsZero() {
		return "never"
	}
	if t.After(in.Now) {
		t = in.Now
	}
	return humanize.CustomRelTime(t, in.Now, "ago", "", agoUnits)
}

// agoUnits are the units of [view.Ago], each with the time until which it is used.
var agoUnits = []humanize.RelTimeMagnitude{
	{D: 2 * time.Second, Format: "just now", DivBy: 1},
	{D: 2 * time.Minute, Format: "%d s %s", DivBy: time.Second},
	{D: 2 * time.Hour, Format: "%d min %s", DivBy: time.Minute},
	{D: 48 * time.Hour, Format: "%d h %s", DivBy: time.Hour},
	{D: math.MaxInt64, Format: "%d days %s", DivBy: 24 * time.Hour},
}

// With is the view with other data, for a part of a page.
func (in *view) With(data any) *view {
	part := *in
	part.Data = data
	return &part
}

// part writes a piece of a page, for what is sent live.
func (v *visit) part(page, name string, in *view) (string, error) {
	var b bytes.Buffer
	err := v.pages[page].ExecuteTemplate(&b, name, in)
	return b.String(), err
}
