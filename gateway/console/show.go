package console

import (
	"time"

	"latchkey/gateway/admin/api"
	"latchkey/gateway/console/page"
)

// showPage writes a page. It draws the whole page before it sends anything.
func (v *visit) showPage(status int, name string, data any) error {
	in, err := v.makeView(name, data)
	if err != nil {
		return err
	}
	b, err := v.pages.Draw(in)
	if err != nil {
		return err
	}
	v.w.Header().Set("Content-Type", "text/html; charset=utf-8")
	v.w.WriteHeader(status)
	_, _ = b.WriteTo(v.w) // the browser is gone
	return nil
}

// makeView returns what every page shows, with the data of this one.
func (v *visit) makeView(name string, data any) (*page.View, error) {
	in := &page.View{Page: name, Account: v.account, Problem: v.problem, At: v.where, Typed: v.r.PostForm,
		Now: v.cfg.Now(), Data: data, Zone: time.UTC}
	if v.r.Header.Get("Latchkey-Refresh") == "" { // the note is for the next page
		n := v.takeNote()
		in.Note = n.Text
		if in.Problem == "" {
			in.At = n.At
		}
	}
	if v.account.ID == "" {
		return in, nil // a visitor who is not signed in learns nothing about the site
	}
	var err error
	if in.Site, err = v.askSite(); err != nil {
		return nil, err
	}
	if z, err := v.zones.Find(in.Site.Zone); err == nil {
		in.Zone = z
	}
	clock, err := call(v, api.GetTime, api.Nothing{})
	if err != nil {
		return nil, err
	}
	in.Clock = clock.Why
	alarms, err := list(v, api.ListAlarms, api.ListQuery{})
	in.Alarms = alarms
	return in, err
}

// askSite asks for the site, once in a visit. A visit that changes the site ends with a redirect,
// so the answer cannot be out of date.
func (v *visit) askSite() (api.Site, error) {
	if v.site == nil {
		site, err := call(v, api.GetSite, api.Nothing{})
		if err != nil {
			return api.Site{}, err
		}
		v.site = &site
	}
	return *v.site, nil
}
