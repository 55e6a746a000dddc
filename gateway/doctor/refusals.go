package doctor

import (
	"sync"
	"time"

	"latchkey/coapres"
	"latchkey/gateway/access"
	"latchkey/gateway/limit"
)

// Refusal is a request between a device and the gateway that was refused.
type Refusal struct {
	At       time.Time `json:"at"`
	ByDevice bool      `json:"byDevice" doc:"the device refused what the gateway asked; otherwise the gateway what the device asked"`
	Request  string    `json:"request,omitempty" doc:"method and path; left out if it was refused before they were looked at"`
	Code     string    `json:"code" doc:"of the answer, such as 4.00"`
	Why      string    `json:"why,omitempty" doc:"the member or option that was wrong, in the words of the side that refused"`
}

// keepRefusals is how many devices' last refusals are remembered; of more, the newest.
const keepRefusals = 1024

// RefusalLog remembers the last request of each device that either side refused, for people, in
// memory. The zero value is ready for use, by many at a time.
type RefusalLog struct {
	mu   sync.Mutex
	last limit.Recent[access.ID, Refusal] // guarded by mu
}

// unauthorized is how a node gets its first Echo, so it does not hide what else was wrong.
const unauthorized = "4.01"

// Note keeps a refusal of a device.
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

// Last returns the last refusal of a device, nil if there was none.
func (l *RefusalLog) Last(device access.ID) *Refusal {
	l.mu.Lock()
	defer l.mu.Unlock()
	if r, ok := l.last.Get(device); ok {
		return &r
	}
	return nil
}
