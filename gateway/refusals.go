package gateway

import (
	"sync"

	coap "github.com/plgd-dev/go-coap/v3/message/codes"

	"latchkey/coapres"
	"latchkey/gateway/access"
	"latchkey/gateway/admin"
)

// keepRefusals is how many devices' last refusals are remembered; of more, the newest.
const keepRefusals = 1024

// refusals remembers the last request of each device that was refused by either side, for people, in memory.
type refusals struct {
	mu   sync.Mutex
	last map[access.ID]coapres.Refusal // guarded by mu; by device record id
}

// note keeps a refusal. A 4.01 is how a node gets its first Echo, so it does not hide what else was wrong.
func (r *refusals) note(device access.ID, now coapres.Refusal) {
	r.mu.Lock()
	defer r.mu.Unlock()
	before, known := r.last[device]
	if known && now.Code == coap.Unauthorized && before.Code != coap.Unauthorized {
		return
	}
	if !known && len(r.last) >= keepRefusals {
		r.forgetOldest()
	}
	if r.last == nil {
		r.last = map[access.ID]coapres.Refusal{}
	}
	r.last[device] = now
}

// forgetOldest makes room. The caller holds mu.
func (r *refusals) forgetOldest() {
	oldest := access.ID("")
	for d, x := range r.last {
		if oldest == "" || x.At.Before(r.last[oldest].At) {
			oldest = d
		}
	}
	delete(r.last, oldest)
}

// of returns the last refusal of a device, nil if there was none.
func (r *refusals) of(device access.ID) *admin.Refusal {
	r.mu.Lock()
	defer r.mu.Unlock()
	x, ok := r.last[device]
	if !ok {
		return nil
	}
	return &admin.Refusal{At: x.At, ByDevice: x.ByDevice, Request: x.Request, Code: coapres.CodeText(x.Code), Why: x.Why}
}
