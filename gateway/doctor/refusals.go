package doctor

import (
	"sync"
	"time"

	"latchkey/coapres"
	"latchkey/gateway/access"
	"latchkey/gateway/limit"
)

// Refusal is a request that the device or the gateway refused.
type Refusal struct {
	At       time.Time `json:"at"`
	ByDevice bool      `json:"byDevice" doc:"the device refused what the gateway asked; otherwise the gateway what the device asked"`
	Request  string    `json:"request,omitempty" doc:"method and path; left out if it was refused before they were looked at"`
	Code     string    `json:"code" doc:"of the answer, such as 4.00"`
	Why      string    `json:"why,omitempty" doc:"the member or option that was wrong, in the words of the side that refused"`
}

// keepRefusals is for how many devices the last refusal is remembered; the oldest is evicted.
const keepRefusals = 1024

// RefusalLog remembers, in memory, the last request of each device that either side refused. The
// zero value is ready for use. Its methods are safe for concurrent use.
type RefusalLog struct {
	mu   sync.Mutex
	last limit.Recent[access.ID, Refusal] // guarded by mu
}

// unauthorized is the code with which a node gets its first Echo. It must not replace another
// refusal.
const unauthorized = "4.01"

// Note stores a refusal of a device.
func (l *RefusalLog) Note(device access.ID, r coapres.Refusal) {
	now := Refusal{At: r.At, ByDevice: r.ByDevice, Request: r.Request, Code: coapres.CodeText(r.Code),
		Why: r.Why}
	l.mu.Lock()
	defer l.mu.Unlock()
	before, known := l.last.Get(device)
	if known && now.Code == unauthorized && before.Code != unauthorized {
		return
	}
	l.last.Keep = keepRefusals
	l.last.Set(device, now, now.At)
}

// Last returns the last refusal of a device, or nil if there was none.
func (l *RefusalLog) Last(device access.ID) *Refusal {
	l.mu.Lock()
	defer l.mu.Unlock()
	if r, ok := l.last.Get(device); ok {
		return &r
	}
	return nil
}
