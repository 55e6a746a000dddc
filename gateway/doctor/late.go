package doctor

import (
	"sync"
	"time"

	"latchkey/gateway/access"
)

// LateScans counts the scans of a device, since the gateway's start, that came too long after the
// tap to be decided.
type LateScans struct {
	Count uint64    `json:"count"`
	Last  time.Time `json:"last"`
	After uint64    `json:"after" doc:"how many ms after the tap the last of them came"`
}

// LateLog remembers, in memory, the scans of each device that came too late to be decided. The zero
// value is ready for use. Its methods are safe for concurrent use.
type LateLog struct {
	mu      sync.Mutex
	devices map[access.ID]*LateScans // guarded by mu
}

// Note counts one scan of a device.
func (l *LateLog) Note(device access.ID, after time.Duration, now time.Time) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.devices == nil {
		l.devices = map[access.ID]*LateScans{}
	}
	late := l.devices[device]
	if late == nil {
		late = &LateScans{}
		l.devices[device] = late
	}
	late.Count, late.Last, late.After = late.Count+1, now.UTC(), uint64(after.Milliseconds())
}

// Scans returns a device's late scans, or nil if there were none.
func (l *LateLog) Scans(device access.ID) *LateScans {
	l.mu.Lock()
	defer l.mu.Unlock()
	if late := l.devices[device]; late != nil {
		late := *late
		return &late
	}
	return nil
}

// Forget forgets a removed device.
func (l *LateLog) Forget(device access.ID) {
	l.mu.Lock()
	defer l.mu.Unlock()
	delete(l.devices, device)
}
