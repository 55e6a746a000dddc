// Package feed tells subscribers what is new: the events of the chain, and the devices of which
// something has changed, such as a session, a reading or a state. It keeps no queues. Each
// subscriber reads at its own pace from a cursor, so a slow one delays nobody and misses no event.
// It also searches the events for a text.
package feed

import (
	"container/list"
	"context"
	"log/slog"
	"sync"
	"time"

	"latchkey/gateway/access"
	"latchkey/gateway/audit"
	"latchkey/gateway/limit"
	"latchkey/keys"
)

// Chain is the chain of events. *store.Store is one.
type Chain interface {
	// Record chains an event that is neither a decision nor a policy change.
	Record(ctx context.Context, ev audit.Event) (audit.Event, error)
	// Events returns up to limit durable events from a sequence number upwards, oldest first. If
	// some of these were removed, it begins at the first that is kept.
	Events(ctx context.Context, from uint64, limit int) ([]audit.Event, error)
	Head() (seq uint64, hash keys.Hash)
	// Changed returns a channel that is closed after the next new event, or when there will be no
	// more.
	Changed() <-chan struct{}
}

// Feed takes changes and serves subscribers. It is safe for concurrent use.
type Feed struct {
	chain  Chain
	log    *slog.Logger
	search limit.Gate // held by a search: many at once would delay scans

	mu      sync.Mutex
	changes uint64                      // guarded by mu; how many there were
	order   list.List                   // guarded by mu; of *change, one a device, the newest at the back
	last    map[access.ID]*list.Element // guarded by mu; the element of a device in order
	wake    chan struct{}               // guarded by mu; closed at the next change; nil if nobody waits
}

// change is the last change of a device.
type change struct {
	device access.ID
	number uint64
}

// New returns the feed of a chain. It logs events that it cannot write.
func New(chain Chain, log *slog.Logger) *Feed {
	return &Feed{chain: chain, log: log, search: limit.NewGate(1), last: map[access.ID]*list.Element{}}
}

// recordWithin bounds the time for writing an event in Note.
const recordWithin = 10 * time.Second

// Note chains an event that is neither a decision nor a policy change. It is for callers that
// cannot handle a failure: Note logs it and returns false. Note has its own deadline, so that no
// event is lost because a session ended.
func (f *Feed) Note(ev audit.Event) (kept audit.Event, ok bool) {
	ctx, cancel := context.WithTimeout(context.Background(), recordWithin)
	defer cancel()
	kept, err := f.chain.Record(ctx, ev)
	if err != nil {
		f.log.Error("event lost", "kind", string(ev.Kind), "device", ev.Device.Name, "err", err)
		return ev, false
	}
	return kept, true
}

// DeviceChanged reports that what is known of a device has changed. It does not wait for
// subscribers.
func (f *Feed) DeviceChanged(device access.ID) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.changes++
	if e := f.last[device]; e != nil {
		e.Value.(*change).number = f.changes
		f.order.MoveToBack(e)
	} else {
		f.last[device] = f.order.PushBack(&change{device, f.changes})
	}
	if f.wake != nil {
		close(f.wake)
		f.wake = nil
	}
}

// DeviceRemoved forgets a device, so that the feed does not keep removed devices.
func (f *Feed) DeviceRemoved(device access.ID) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if e := f.last[device]; e != nil {
		f.order.Remove(e)
		delete(f.last, device)
	}
}

// changed returns a channel that is closed when a device changes.
func (f *Feed) changed() <-chan struct{} {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.wake == nil {
		f.wake = make(chan struct{})
	}
	return f.wake
}

// since returns the devices that changed after change number, the newest change first, and the
// number of the last change.
func (f *Feed) since(number uint64) (devices []access.ID, last uint64) {
	f.mu.Lock()
	defer f.mu.Unlock()
	for e := f.order.Back(); e != nil; e = e.Prev() {
		c := e.Value.(*change)
		if c.number <= number {
			break
		}
		devices = append(devices, c.device)
	}
	return devices, f.changes
}
