package doctor

import (
	"sync"
	"time"

	"latchkey/gateway/access"
)

// LateScans are the scans of a device, since the gateway's start, that came so long after the tap
// that nothing was decided.
type LateScans struct {
	Count uint64    `json:"count"`
	Last  time.Time `json:"last"`
	After uint64    `json:"after" doc:"how many ms after the tap the last of them came"`
}

// LateLog remembers the scans of each device that came too late to be decided, in memory. The zero
// value is ready for use, by many at a time.
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

// Scans returns what is known of a device's late scans, nil if there were none.
func (l *LateLog) Scans(device access.ID) *LateScans {
	l.mu.Lock()
	defer l.mu.Unlock()
	if late := l.devices[device]; late != nil {
		late := *late
		return &late
	}
	return nil
}

// Forget drops what is known of a removed device.
func (l *LateLog) Forget(device access.ID) {
	l.mu.Lock()
	defer l.mu.Unlock()
	delete(l.devices, device)
}
