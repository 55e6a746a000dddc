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

// addressPause is the least time between writes of addresses.
const addressPause = 10 * time.Second

// addresses holds the last addresses of actuators that are not on disk yet. The zero value is ready
// for use.
type addresses struct {
	mu      sync.Mutex
	waiting map[access.ID]netip.AddrPort // guarded by mu
	kept    map[access.ID]netip.AddrPort // guarded by mu; as last written or read
	written time.Time                    // guarded by mu
}

// note records the address from which an actuator has answered. Another machine may have that
// address tomorrow, so it is only a place to ask.
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

// due returns the addresses to write now.
func (a *addresses) due(now time.Time) map[access.ID]netip.AddrPort {
	a.mu.Lock()
	defer a.mu.Unlock()
	if len(a.waiting) == 0 || now.Sub(a.written) < addressPause {
		return nil
	}
	a.written = now
	return maps.Clone(a.waiting)
}

// done records that those were written.
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

// forget forgets a removed device.
func (a *addresses) forget(device access.ID) {
	a.mu.Lock()
	defer a.mu.Unlock()
	delete(a.waiting, device)
	delete(a.kept, device)
}

// NoteAddress records the address from which an actuator has answered, to ask there after a
// restart.
func (n *Nodes) NoteAddress(device access.ID, at netip.AddrPort) { n.addresses.note(device, at) }

// KeepAddresses writes the addresses of actuators, if that is due. It tries again later what it
// cannot write: without an address a gateway only finds its actuator later after a start.
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

// AskActuators sends a hint to the last address of each actuator, locks first. Without a hint they
// would notice only at their next registration, half a minute later, that their session is gone.
func (n *Nodes) AskActuators(ctx context.Context, hint func(ctx context.Context, to []netip.AddrPort)) {
	at, err := n.Store.Addresses(ctx)
	if err != nil {
		n.Log.Warn("actuators not asked", "err", err)
		return // they connect by themselves
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
