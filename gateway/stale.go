package gateway

import (
	"fmt"
	"sync"
	"time"

	"latchkey/coapres"
	"latchkey/gateway/access"
	"latchkey/gateway/admin"
	"latchkey/keys"
)

// staleInterval is the least time between events of one device whose scans come too late.
const staleInterval = time.Minute

// stales are the scans that came too late to be decided, by device. The zero value is ready for use.
type stales struct {
	mu      sync.Mutex
	devices map[access.ID]*admin.LateScans // guarded by mu
}

// note counts one scan.
func (s *stales) note(device access.ID, after time.Duration, now time.Time) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.devices == nil {
		s.devices = map[access.ID]*admin.LateScans{}
	}
	l := s.devices[device]
	if l == nil {
		l = &admin.LateScans{}
		s.devices[device] = l
	}
	l.Count, l.Last, l.After = l.Count+1, now.UTC(), uint64(after.Milliseconds())
}

// of returns what is known of a device's late scans, nil if there were none.
func (s *stales) of(device access.ID) *admin.LateScans {
	s.mu.Lock()
	defer s.mu.Unlock()
	if l := s.devices[device]; l != nil {
		late := *l
		return &late
	}
	return nil
}

// forget drops what is known of a removed device.
func (s *stales) forget(device access.ID) {
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.devices, device)
}

// Late makes an event of a scan that came too late, at most one per device and minute. n is its counter.
func (c calls) Late(p *coapres.Peer, n uint64, after time.Duration) {
	now := time.Now()
	c.g.stale.note(p.Device, after, now)
	missed, ok := c.g.staleTold.Allow(p.Device, now)
	if !ok {
		return
	}
	what := "a scan"
	if p.Kind == keys.KindSwitch {
		what = "a press"
	}
	ev := access.Event{Kind: access.EventStale, Device: named(p), Counter: n,
		Detail: fmt.Sprintf("%s came %d ms after the tap, and was not decided", what, after.Milliseconds())}
	if missed > 0 {
		ev.Detail += fmt.Sprintf(" (and %d more since the event before)", missed)
	}
	ev.Target = c.g.placeOf(p)
	c.g.log.Warn("scan too late", "device", p.Name, "after", after)
	c.g.background(func() { c.g.feed.Note(ev) })
}

// placeOf names the door or lamp at which a device stands; zero if there is none, or several.
func (g *Gateway) placeOf(p *coapres.Peer) access.Named {
	policy := g.store.Snapshot()
	if d := policy.Devices[p.Device]; len(d.Targets) == 1 {
		return access.Named{ID: d.Targets[0], Name: policy.Targets[d.Targets[0]].Name}
	}
	return access.Named{}
}
