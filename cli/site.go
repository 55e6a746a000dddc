package cli

import (
	"errors"
	"fmt"
	"time"

	"latchkey/gateway/admin/api"
	"latchkey/gateway/admin/client"
)

func lockdownCommands() []spec {
	set := func(name, usage string, on bool) spec {
		return spec{name: name, usage: usage, makes: true, run: func(x *call) error {
			return ask(x, api.SetLockdown, api.With(api.Lockdown{On: on}), func(s api.Site) string {
				if s.Lockdown {
					return "lockdown: doors stay shut for everybody; lamps are not affected"
				}
				return "no lockdown"
			})
		}}
	}
	return []spec{set("on", "shut every door for everybody", true), set("off", "end the lockdown", false)}
}

func timeCommands() []spec {
	return []spec{{name: "trust", usage: "trust the clock, although it is behind recorded events",
		run: func(x *call) error {
			err := ask(x, api.TrustTime, api.Nothing{}, func(s api.Site) string {
				return fmt.Sprintf("the clock is no longer compared with events up to %d", s.TimeTrusted)
			})
			if err != nil {
				return err
			}
			switch now, _, err := callAPI(x, api.GetTime, api.Nothing{}); {
			case errors.As(err, new(*client.Problem)): // no gateway runs, and nobody needs the time
			case err != nil:
				return err
			case !now.Trusted:
				x.note("note: the clock is still not trusted: %s", now.Why)
			}
			return nil
		}}}
}

func siteCommands() []spec {
	return []spec{{name: "zone", args: "[ZONE]",
		usage: "show the time zone of schedules, or set it, like Europe/Berlin", makes: true,
		run: func(x *call) error {
			line := func(s api.Site) string { return s.Zone }
			if x.NArg() == 0 {
				return ask(x, api.GetSite, api.Nothing{}, line)
			}
			return ask(x, api.ChangeSite, api.With(api.SiteChange{Zone: x.arg(0)}), line)
		}}}
}

// zone is the site's time zone.
func (x *call) zone() (*time.Location, error) {
	if x.site != nil {
		return x.site, nil
	}
	s, _, err := callAPI(x, api.GetSite, api.Nothing{})
	if err != nil {
		return nil, err
	}
	zone, err := time.LoadLocation(s.Zone)
	if err != nil {
		return nil, fmt.Errorf("time zone %s: %w", s.Zone, err)
	}
	x.site = zone
	return zone, nil
}
