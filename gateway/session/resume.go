package session

import (
	"time"

	"latchkey/coapres"
)

// Resume says that p's session, which was just opened, goes on from an earlier process, registered
// until that time. The first command is preceded by a reading: the node has not been heard since.
func (t *Table) Resume(p *coapres.Peer, until time.Time) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if _, s := t.of(p); s != nil {
		s.until, s.path = until, p.Caller.Path()-1 // no reading has come from any address
		t.changed(p.Device)
	}
}

// Until returns when p's registration expires, zero if it is not registered. ok is false if p is not
// the session of its device.
func (t *Table) Until(p *coapres.Peer) (until time.Time, ok bool) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if _, s := t.of(p); s != nil {
		return s.until, true
	}
	return time.Time{}, false
}
