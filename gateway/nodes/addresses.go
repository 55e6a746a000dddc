package nodes

import (
	"cmp"
	"context"
	"maps"
	"net/netip"
	"slices"
	"sync"
	"time"

	"latchkey/gateway/access"
	"latchkey/keys"
)

// addressPause is how often addresses are written at most.
const addressPause = 10 * time.Second

// addresses are the last addresses of actuators that are not on disk yet. The zero value is ready
// for use.
type addresses struct {
	mu      sync.Mutex
	waiting map[access.ID]netip.AddrPort // guarded by mu
	kept    map[access.ID]netip.AddrPort // guarded by mu; as last written or read
	written time.Time                    // guarded by mu
}

// note takes the address from which an actuator has answered. Whoever is there need not be the
// actuator tomorrow: it is a place to ask, and no more.
func (a *addresses) note(device access.ID, at netip.AddrPort) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if !at.IsValid() {
		return
	}
	if a.kept[device] == at {
		delete(a.waiting, device)
		return
	}
	if a.waiting == nil {
		a.waiting = map[access.ID]netip.AddrPort{}
	}
	a.waiting[device] = at
}

// due returns what is to be written now.
func (a *addresses) due(now time.Time) map[access.ID]netip.AddrPort {
	a.mu.Lock()
	defer a.mu.Unlock()
	if len(a.waiting) == 0 || now.Sub(a.written) < addressPause {
		return nil
	}
	a.written = now
	return maps.Clone(a.waiting)
}

// done notes that those were written.
func (a *addresses) done(at map[access.ID]netip.AddrPort) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.kept == nil {
		a.kept = map[access.ID]netip.AddrPort{}
	}
	for device, addr := range at {
		if a.kept[device] = addr; a.waiting[device] == addr {
			delete(a.waiting, device)
		}
	}
}

// forget drops what is known of a removed device.
func (a *addresses) forget(device access.ID) {
	a.mu.Lock()
	defer a.mu.Unlock()
	delete(a.waiting, device)
	delete(a.kept, device)
}

// NoteAddress takes the address from which an actuator has answered, to ask there after a restart.
func (n *Nodes) NoteAddress(device access.ID, at netip.AddrPort) { n.addresses.note(device, at) }

// KeepAddresses writes where actuators are, if that is due. What cannot be written is tried again:
// a gateway that starts without it finds its actuators later.
func (n *Nodes) KeepAddresses(ctx context.Context, now time.Time) {
	at := n.addresses.due(now)
	if at == nil {
		return
	}
	left, err := n.Store.PutAddresses(ctx, at)
	switch {
	case err != nil:
		n.Log.Debug("addresses not kept", "err", err)
	case left == 0:
		n.addresses.done(at)
	}
}

// AskActuators has a hint sent to where each actuator was before the gateway stopped, locks first.
// Those that do not know that their session is gone would find out when they renew their
// registration, half a minute later.
func (n *Nodes) AskActuators(ctx context.Context, hint func(ctx context.Context, to []netip.AddrPort)) {
	at, err := n.Store.Addresses(ctx)
	if err != nil {
		n.Log.Warn("actuators not asked", "err", err)
		return // they come by themselves
	}
	n.addresses.done(at)
	p := n.Store.Snapshot()
	var order []access.Device
	for id := range at {
		if d, ok := p.Devices[id]; ok && d.Kind.Actuator() {
			order = append(order, d)
		}
	}
	slices.SortFunc(order, func(a, b access.Device) int {
		return cmp.Or(cmp.Compare(rank(a), rank(b)), cmp.Compare(a.ID, b.ID))
	})
	var to []netip.AddrPort
	asked := map[netip.AddrPort]bool{}
	for _, d := range order {
		if addr := at[d.ID]; !asked[addr] {
			asked[addr] = true
			to = append(to, addr)
		}
	}
	hint(ctx, to)
}

func rank(d access.Device) int {
	if d.Kind == keys.KindLock {
		return 0
	}
	return 1
}
