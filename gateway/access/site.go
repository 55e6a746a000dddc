package access

import (
	"fmt"
	"time"

	"latchkey/gateway/access/edit"
	"latchkey/gateway/text"
)

// Site is the one record about the whole site.
type Site struct {
	Zone     string `json:"zone"` // IANA name, for schedules
	Lockdown bool   `json:"lockdown"`
	// TimeTrusted is the sequence number of the last "time trusted" event: events up to it no
	// longer count when the clock is compared with the last event.
	TimeTrusted uint64 `json:"timeTrusted,omitempty"`
	// Epoch is 1, and one more after each restore of an older copy: the numbers of events then
	// begin to differ from those that were sent out. 0 counts as 1.
	Epoch uint64 `json:"epoch,omitempty"`
}

// Sites is the kind of [Site]. Every policy has exactly one.
var Sites = &Kind[struct{}, Site]{
	Name:  "site",
	ID:    func(Site) struct{} { return struct{}{} },
	Order: func(_, _ struct{}) int { return 0 },
	Blank: func(struct{}) Site { return Site{} },

	Normal: func(d *Draft, r Site) (Site, error) {
		_, err := loadZone(d, r)
		return r, err
	},
	Check: func(*Draft, Site) error { return nil },
	CheckAll: func(d *Draft, e *Edit[struct{}, Site]) error {
		if r, is := e.After(struct{}{}); !is {
			return d.Invalid(r, "the site cannot be deleted: put another")
		}
		return nil
	},
	Index: func(d *Draft, e *Edit[struct{}, Site]) (err error) {
		d.Next.Site, _ = e.After(struct{}{})
		d.Next.zone, err = loadZone(d, d.Next.Site)
		return err
	},

	Label: func(Namer, Site) string { return "site" },
	Difference: func(_ Namer, _ string, b, a Site, say *edit.Sentences) {
		say.If(a.Lockdown && !b.Lockdown, "start lockdown")
		say.If(!a.Lockdown && b.Lockdown, "end lockdown")
		say.If(a.Zone != b.Zone, "set time zone ", text.Quote(a.Zone))
		say.If(a.Epoch != b.Epoch, "begin a new epoch")
		say.If(a.TimeTrusted != b.TimeTrusted, "trust the time from now on")
	},
	Restricted: func(before, _ Site) Site { before.Lockdown = true; return before },
	Stays: func(*Policy, Site) error {
		return fmt.Errorf("%w: the site cannot be removed: put another", ErrInvalid)
	},
}

// loadZone refuses "" and "Local". They would load, as UTC and as whatever the machine is set to: a
// door must not depend on either by accident.
func loadZone(d *Draft, r Site) (*time.Location, error) {
	if r.Zone == d.Base.Site.Zone {
		return d.Base.zone, nil
	}
	zone, err := time.LoadLocation(r.Zone)
	if err != nil || r.Zone == "" || r.Zone == "Local" {
		return nil, d.Invalid(r, "no time zone %q: want a name like Europe/Berlin or UTC", r.Zone)
	}
	return zone, nil
}

// Zone returns the site's time zone.
func (p *Policy) Zone() *time.Location {
	if p.zone == nil { // not made with New
		return time.UTC
	}
	return p.zone
}
