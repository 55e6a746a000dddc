package console_test

import (
	"errors"
	"sync/atomic"
	"testing"

	"latchkey/gateway/admin/api"
	"latchkey/gateway/console/webtest"
	"latchkey/gateway/store"
)

// When the disk is full, Home says that no door opens. Whoever starts a lockdown reads that it is
// in effect but would not survive a restart.
func TestLockdownOnAFullDisk(t *testing.T) {
	for name, opts := range map[string]webtest.Options{"desk": {}, "phone": {Width: 390, Height: 844,
		Phone: true, Dark: true}, "without scripts": {NoScript: true}} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			var free atomic.Int64
			free.Store(1 << 30)
			h := furnish(newEmptyHouseOn(t, store.Options{Hold: true, Free: func() (uint64, error) {
				if n := free.Load(); n >= 0 {
					return uint64(n), nil
				}
				return 0, errors.New("i/o error") // not even restrictions can be kept
			}}, here))
			p := h.openSignedIn("owner", opts)
			p.DontSee("Cards that may enter are kept out.")
			free.Store(0)
			p.Open("/")
			p.See("Cards that may enter are kept out.")
			p.See("are free on the disk of the data")
			p.Open("/health")
			p.See("are free on the disk of the data")
			free.Store(-1)
			p.Open("/")
			p.Click("Lockdown…")
			p.Click("Start a lockdown")
			p.See("Lockdown: every door stays shut, for everybody.")
			p.See("It acts now, but it is NOT durable: the disk is full, and it is lost if the gateway " +
				"stops before there is space again.")
			p.In("Pages").Click("Home")
			p.See("Every door stays shut, for everybody.")
			p.See("1 restriction acts in memory and is NOT durable")
			free.Store(1 << 30)
			h.eventually("the lockdown is durable", func() bool {
				return h.store.Held() == 0 && h.store.CheckSpace() == nil
			})
			p.Open("/")
			p.DontSee("Cards that may enter are kept out.")
			p.Click("End the lockdown")
			p.See("The lockdown is over.")
			var site api.Site
			h.must("GET", "/v1/site", "", &site)
			if site.Lockdown {
				t.Error("the lockdown has not ended")
			}
		})
	}
}
