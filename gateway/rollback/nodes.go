package rollback

import (
	"context"
	"slices"
	"time"

	"latchkey/coapres/wire"
	"latchkey/gateway/access"
	"latchkey/gateway/audit"
)

const (
	// A store makes fewer events a second than this. So a device that claims a command further ahead
	// than the time since the newest event allows is wrong.
	fastest = 1000
	// leastGap is the time that is allowed in any case, as clocks are wrong and events are rare.
	leastGap = 24 * time.Hour
	// mostEpochs is how many restores a store may be behind.
	mostEpochs = 1000
	// maxOfNodes is how many findings there are about devices, so that they do not push out others.
	maxOfNodes = maxFindings / 2
)

// claim is the newest command that a device says it has obeyed.
type claim struct{ epoch, id uint64 }

// Hear compares what a device says with the store. It does not wait. A device proves nothing: what
// it says is a finding that names it, once for each command.
func (w *Watch) Hear(device access.ID, st wire.State) {
	c := claim{uint64(max(st.ObeyedEpoch, 1)), st.Obeyed}
	if c.id == 0 {
		return
	}
	w.mu.Lock()
	if w.heard[device] == c {
		w.mu.Unlock()
		return
	}
	if w.heard == nil || len(w.heard) > maxQueue {
		w.heard = map[access.ID]claim{}
	}
	w.heard[device] = c
	w.mu.Unlock()

	what, ok := w.judgeClaim(c)
	if !ok {
		return
	}
	head := w.head()
	w.mu.Lock()
	known := w.isKnown(device, c)
	if !known {
		w.last++
	}
	number := w.last
	w.mu.Unlock()
	if known {
		return
	}
	f := finding{number: number, what: what, at: head, from: c.id, to: c.epoch, device: device}
	text, _ := f.text(w.cfg.Store.Snapshot())
	w.cfg.Log.Error("rollback", "found", text)
	w.enqueue(f.line())
}

// judgeClaim returns what is wrong, and false if nothing is.
func (w *Watch) judgeClaim(c claim) (what access.Reason, wrong bool) {
	head := w.head()
	switch {
	case c.epoch < head.epoch: // it has obeyed nothing since a restore
		return "", false
	case c.epoch > head.epoch+mostEpochs:
		return audit.ReasonNodeWrong, true
	case c.epoch > head.epoch:
		return audit.ReasonNodeAhead, true
	case c.id > head.seq:
		gap := leastGap
		if ev, ok := w.event(head.seq); ok {
			gap = max(gap, time.Since(ev.At))
		}
		if c.id-head.seq > uint64(gap.Seconds())*fastest {
			return audit.ReasonNodeWrong, true
		}
		return audit.ReasonNodeAhead, true
	}
	ev, ok := w.event(c.id)
	if !ok || ev.Kind == audit.EventDecision && ev.Granted {
		return "", false
	}
	if w.hasSeen(c.id) {
		return audit.ReasonNodeWrong, true
	}
	return audit.ReasonNodeOther, true
}

func (w *Watch) event(seq uint64) (audit.Event, bool) {
	if seq == 0 {
		return audit.Event{}, false
	}
	events, err := w.cfg.Store.Events(context.Background(), seq, 1)
	if err != nil || len(events) != 1 || events[0].Seq != seq {
		return audit.Event{}, false
	}
	return events[0], true
}

// hasSeen tells whether head.log proves that the store has never had another event of that number:
// head.log goes back further, and no older copy was put back since.
func (w *Watch) hasSeen(seq uint64) bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.cfg.Place.File != "" && !w.stuck && w.state.began.seq < seq &&
		!slices.ContainsFunc(w.state.found, func(f finding) bool { return f.device == "" })
}

// isKnown tells whether a finding says the same already: an older copy that lacks the command, or one
// about the device. The caller holds mu.
func (w *Watch) isKnown(device access.ID, c claim) bool {
	ofNodes := 0
	for _, f := range w.state.found {
		switch {
		case (f.what == audit.ReasonOlderCopy || f.what == audit.ReasonOtherChain) && c.id <= f.to:
			return true
		case f.device == "":
			continue
		}
		ofNodes++
		if f.device == device && (!f.seen || c.epoch == f.to && c.id <= f.from) {
			return true
		}
	}
	for _, l := range w.queue {
		if l.verb == verbFound {
			ofNodes++
		}
	}
	return ofNodes >= maxOfNodes
}
