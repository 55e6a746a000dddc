package console

import (
	"time"

	"latchkey/gateway/admin/api"
	"latchkey/gateway/console/page"
)

// show writes a page. It is made whole before anything is sent.
func (v *visit) show(status int, name string, data any) error {
	in, err := v.view(name, data)
	if err != nil {
		return err
	}
	b, err := v.pages.Draw(in)
	if err != nil {
		return err
	}
	v.w.Header().Set("Content-Type", "text/html; charset=utf-8")
	v.w.WriteHeader(status)
	_, _ = b.WriteTo(v.w) // whoever asked is gone
	return nil
}

// view is what stands on every page, with the data of this one.
func (v *visit) view(name string, data any) (*page.View, error) {
	in := &page.View{Page: name, Account: v.account, Problem: v.problem, At: v.where, Typed: v.r.PostForm,
		Now: v.cfg.Now(), Data: data, Zone: time.UTC}
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
	if in.Site, err = v.askSite(); err != nil {
		return nil, err
	}
	if z, err := v.zones.find(in.Site.Zone); err == nil {
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

// askSite asks for the site, once in a visit: whoever changes it goes on to another page.
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
