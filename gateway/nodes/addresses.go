package nodes

import (
	"cmp"
	"context"
	"maps"
	"net/netip"
	"slices"
	"sync"
	"time"

	"latchkey/coapres"
	"latchkey/coapres/transport"
	"latchkey/gateway/access"
	"latchkey/keys"
)

// addressPause is the least time between writes of addresses.
const addressPause = 10 * time.Second

// addresses holds the last addresses of nodes that are not on disk yet. The zero value is ready for
// use.
type addresses struct {
	mu      sync.Mutex
	waiting map[access.ID]netip.AddrPort // guarded by mu
	kept    map[access.ID]netip.AddrPort // guarded by mu; as last written or read
	written time.Time                    // guarded by mu
}

// note records the address where a device has proven its key. Another machine may have that address
// tomorrow, so it is only a place to ask.
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

// NoteAddress records the last address that a node has proven, to ask there after a restart.
func (n *Nodes) NoteAddress(p *coapres.Peer) {
	if c, ok := p.Caller.(interface{ Home() netip.AddrPort }); ok {
		n.addresses.note(p.Device, c.Home())
	}
}

// KeepAddresses writes the addresses of nodes, if that is due. It tries again later what it cannot
// write: without an address a node only finds out later that the gateway has restarted.
func (n *Nodes) KeepAddresses(ctx context.Context, now time.Time) {
	at := n.addresses.due(now)
	if at == nil {
		return
	}
	for left := len(at); left > 0; {
		var err error
		if left, err = n.Store.PutAddresses(ctx, at); err != nil {
			n.Log.Debug("addresses not kept", "err", err)
			return
		}
	}
	n.addresses.done(at)
}

// AskNodes sends a hint to the last address of each node, to locks first and then to lamps. Without a
// hint they would notice only at their next registration, half a minute later, that their session is
// gone.
func (n *Nodes) AskNodes(ctx context.Context, hint func(ctx context.Context, to []transport.LastSeen)) {
	at, err := n.Store.Addresses(ctx)
	if err != nil {
		n.Log.Warn("nodes not asked", "err", err)
		return // they connect by themselves
	}
	n.addresses.done(at)
	p := n.Store.Snapshot()
	newest := map[access.ID]keys.Key{}
	for _, k := range p.Keys {
		if was, ok := newest[k.Device]; k.State.Usable() && (!ok || k.LastUsed.After(was.LastUsed)) {
			newest[k.Device] = k
		}
	}
	var to []transport.LastSeen
	for device, addr := range at {
		if k, ok := newest[device]; ok {
			to = append(to, transport.LastSeen{Identity: string(k.ID), Addr: addr})
		}
	}
	rank := func(seen transport.LastSeen) int {
		switch kind := p.Devices[p.Keys[keys.ID(seen.Identity)].Device].Kind; {
		case kind == keys.KindLock:
			return 0
		case kind.Actuator():
			return 1
		}
		return 2
	}
	slices.SortFunc(to, func(a, b transport.LastSeen) int {
		return cmp.Or(cmp.Compare(rank(a), rank(b)), cmp.Compare(a.Identity, b.Identity))
	})
	hint(ctx, to)
}
