package rollback

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"slices"
	"sync"
	"time"

	"latchkey/gateway/access"
	"latchkey/gateway/audit"
	"latchkey/gateway/doctor"
	"latchkey/gateway/store/record"
	"latchkey/gateway/text"
	"latchkey/keys"
)

const (
	// writeEvery is how far head.log may be behind the store's newest event. Restrictions are
	// written at once.
	writeEvery = 10 * time.Second
	// settleWithin is how long the answer to a restriction waits for head.log.
	settleWithin = 5 * time.Second
	eventWithin  = 10 * time.Second // to write an event
	maxQueue     = 10_000
	// maxCatchUp is how many events are read that came while head.log was not written.
	maxCatchUp = 20_000
	page       = 256
)

// Store has the events and the policy. *store.Store is one.
type Store interface {
	Head() (seq uint64, hash keys.Hash)
	Snapshot() *access.Policy
	Events(ctx context.Context, from uint64, limit int) ([]audit.Event, error)
	Record(ctx context.Context, ev audit.Event) (audit.Event, error)
	SiteID() access.ID
	HeadLogKey() []byte
	OnChange(f func(record.PolicyChange))
}

// Config is what a Watch needs. Store and Log are required.
type Config struct {
	Store Store
	Place Place
	Log   *slog.Logger
}

// Watch compares the store with head.log and with what devices say, and keeps head.log. Its methods
// are safe for concurrent use.
type Watch struct {
	cfg  Config
	wake chan struct{} // has room for one

	writing sync.Mutex // held while the file is written; taken before mu
	file    *file      // nil: none, or not ours to write

	mu      sync.Mutex
	state   state               // guarded by mu; as it is in the file, or in memory if there is none
	queue   []line              // guarded by mu; not written yet
	tried   chan struct{}       // guarded by mu; closed at the next try to write
	trouble error               // guarded by mu; why the file is not written
	heard   map[access.ID]claim // guarded by mu; what each device said last
	last    uint64              // guarded by mu; number of the newest finding
	stuck   bool                // guarded by mu; it is not tried again until a restart
	untold  bool                // guarded by mu; the log says that an event could not be written
}

// Open reads head.log and compares the store with it. Nothing is wrong with a file that is missing
// when there was none. If the file cannot be read, compared or written, that is a finding and no
// error. The caller closes the watch.
func Open(ctx context.Context, cfg Config) *Watch {
	w := &Watch{cfg: cfg, wake: make(chan struct{}, 1), tried: make(chan struct{})}
	head := w.head()
	var lost access.Reason
	if cfg.Place.File != "" {
		w.file = &file{path: cfg.Place.File, site: cfg.Store.SiteID(), key: cfg.Store.HeadLogKey()}
		lost = w.load()
	} else if cfg.Place.Data != "" {
		cfg.Log.Warn("no head.log: an older copy of the data folder will not be noticed, except by locks and lamps")
	}
	if err := w.compareStore(ctx, head); err != nil {
		w.state = state{}
		w.giveUp(err)
	}
	if n := len(w.state.found); lost == audit.ReasonBadFile && n > 0 && w.state.found[n-1].number == 0 {
		w.state.found[n-1].vague |= atLeast
	}
	if lost != "" {
		w.state.found = append(w.state.found, finding{what: lost, at: head})
	}
	w.begin(head)
	cfg.Store.OnChange(w.noteChange)
	w.flush()
	if w.file != nil && w.trouble == nil {
		if err := cfg.Place.note(); err != nil {
			cfg.Log.Warn("place of head.log not noted", "err", err)
		}
	}
	return w
}

// giveUp leaves the file as it is until a restart.
func (w *Watch) giveUp(err error) {
	w.file, w.stuck = nil, true
	w.setTrouble(err)
}

// load reads the file, and returns what is lost of it.
func (w *Watch) load() (lost access.Reason) {
	st, exists, err := w.file.read()
	if had := w.cfg.Place.read(); !exists && err == nil && had != "" {
		moved := *w.file
		moved.path = had
		if st, exists, err = moved.read(); !exists && err == nil {
			lost = audit.ReasonNoFile
		}
	}
	w.state = st
	switch {
	case err == nil:
	case errors.Is(err, errDamaged):
		w.cfg.Log.Error("head.log damaged", "path", w.cfg.Place.File, "err", err)
		_ = os.Rename(w.file.path, w.file.path+".damaged") // else it is only not there to look at
		return audit.ReasonBadFile
	default: // it is another's, or may be whole: it is not replaced
		w.giveUp(err)
	}
	return lost
}

// begin makes the state that of a store which ends at head.
func (w *Watch) begin(head point) {
	for i := range w.state.found {
		f := &w.state.found[i]
		if f.number == 0 {
			w.state.last++
			f.number = w.state.last
			text, _ := f.text(w.cfg.Store.Snapshot())
			w.cfg.Log.Error("rollback", "found", text)
		}
	}
	if w.state.began == (point{}) {
		w.state.began = head
	}
	w.state.top, w.state.heads, w.last = head, nil, w.state.last
	w.state.fold()
}

func (w *Watch) head() (p point) {
	p.seq, p.hash = w.cfg.Store.Head()
	p.epoch = max(w.cfg.Store.Snapshot().Site.Epoch, 1)
	return p
}

// compareStore compares the store with what the file says.
func (w *Watch) compareStore(ctx context.Context, head point) (err error) {
	isNew := w.state.began == (point{})
	holds := func(p point) bool {
		if p == head || p.seq == 0 || p.seq > head.seq || err != nil {
			return p == head || p.seq == 0
		}
		var events []audit.Event
		if events, err = w.cfg.Store.Events(ctx, p.seq, 1); err != nil {
			return false
		}
		return len(events) == 1 && events[0].Hash == p.hash
	}
	f, wrong, known := w.state.compare(head, holds)
	if err != nil {
		return err
	}
	if wrong {
		w.state.found = append(w.state.found, f)
	}
	if isNew {
		return nil
	}
	return w.catchUp(ctx, known, head)
}

// catchUp notes the changes of the policy that were made while head.log was not written.
func (w *Watch) catchUp(ctx context.Context, after uint64, head point) error {
	skipped := head.seq-after > maxCatchUp
	if skipped {
		after = head.seq - maxCatchUp
	}
	for seq := after + 1; seq <= head.seq; {
		events, err := w.cfg.Store.Events(ctx, seq, page)
		if err != nil {
			return err
		}
		if len(events) == 0 {
			return nil
		}
		if skipped { // so what was taken away before is not known as a whole
			w.state.began, skipped = point{head.epoch, after, events[0].Prev}, false
		}
		for _, ev := range events {
			if ev.Kind == audit.EventPolicy {
				e := entry{at: point{head.epoch, ev.Seq, ev.Hash}, from: ev.Seq}
				e.counts[Unjudged]++
				w.state.entries = append(w.state.entries, e)
				w.state.fold()
			}
		}
		seq += uint64(len(events))
	}
	return nil
}

// noteChange queues what a change takes away.
func (w *Watch) noteChange(c record.PolicyChange) {
	counts := Judge(c.Before, c.After, c.Changes)
	if counts.Sum() == 0 {
		return
	}
	w.enqueue(line{verb: verbTook, at: point{max(c.After.Site.Epoch, 1), c.Seq, c.Hash}, counts: counts})
}

func (w *Watch) enqueue(l line) {
	w.mu.Lock()
	if len(w.queue) < maxQueue {
		w.queue = append(w.queue, l)
	}
	w.mu.Unlock()
	select {
	case w.wake <- struct{}{}:
	default:
	}
}

// Settle waits until head.log has the change of the policy with that event, for some seconds at most.
// It does not wait while head.log cannot be written.
func (w *Watch) Settle(seq uint64) {
	late := time.NewTimer(settleWithin)
	defer late.Stop()
	for {
		w.mu.Lock()
		tried := w.tried
		waits := w.trouble == nil && slices.ContainsFunc(w.queue, func(l line) bool { return l.at.seq <= seq })
		w.mu.Unlock()
		if !waits {
			return
		}
		select {
		case <-tried:
		case <-late.C:
			return
		}
	}
}

// Run makes the events of what was found, and keeps head.log until ctx ends.
func (w *Watch) Run(ctx context.Context) error {
	w.tell(ctx)
	t := time.NewTicker(writeEvery)
	defer t.Stop()
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-w.wake:
		case <-t.C:
		}
		w.flush()
		w.tell(ctx)
	}
}

// Close writes the newest event, and closes the file. Twice is harmless.
func (w *Watch) Close() {
	w.flush()
	w.writing.Lock()
	defer w.writing.Unlock()
	if w.file != nil {
		w.file.close()
		w.file = nil
	}
}

// flush writes what is new, durably.
func (w *Watch) flush() {
	w.writing.Lock()
	defer w.writing.Unlock()
	head := w.head()
	w.mu.Lock()
	lines := w.queue
	next := w.state.clone()
	w.mu.Unlock()
	n := len(lines)
	top := next.top
	for _, l := range lines {
		next.apply(l)
		top = next.top
	}
	if later(top, head) != top {
		l := line{verb: verbHead, at: head}
		lines = append(slices.Clip(lines), l)
		next.apply(l)
	}
	next.fold()
	err := w.write(lines, &next)

	w.mu.Lock()
	defer w.mu.Unlock()
	if err == nil {
		w.state, w.queue = next, w.queue[n:]
	}
	if w.file != nil {
		w.setTrouble(err)
	}
	close(w.tried)
	w.tried = make(chan struct{})
}

func (w *Watch) write(lines []line, next *state) error {
	if w.file == nil {
		return nil
	}
	if w.file.open != nil && len(lines) == 0 && w.file.isOurs() {
		return nil
	}
	err := w.file.append(lines)
	if err != nil {
		next.heads = nil
		err = w.file.replace(next)
	}
	return err
}

// setTrouble notes whether the file is written, and logs it when that changes.
func (w *Watch) setTrouble(err error) {
	switch was := w.trouble; {
	case err != nil && was == nil:
		w.cfg.Log.Error("head.log not written: a rollback may not be noticed", "path", w.cfg.Place.File, "err", err)
	case err == nil && was != nil:
		w.cfg.Log.Info("head.log written again", "path", w.cfg.Place.File)
	}
	w.trouble = err
}

// tell makes an event of each finding that has none.
func (w *Watch) tell(ctx context.Context) {
	p := w.cfg.Store.Snapshot()
	w.mu.Lock()
	found := slices.Clone(w.state.found)
	w.mu.Unlock()
	for _, f := range found {
		if f.event != 0 {
			continue
		}
		words, _ := f.text(p)
		ctx, cancel := context.WithTimeout(ctx, eventWithin)
		ev, err := w.cfg.Store.Record(ctx, audit.Event{Kind: audit.EventRollback, Device: f.name(p),
			Reason: f.what, Detail: words})
		cancel()
		w.mu.Lock()
		again := w.untold
		w.untold = err != nil
		w.mu.Unlock()
		if err != nil {
			if !again {
				w.cfg.Log.Error("rollback: event not written", "err", err)
			}
			return
		}
		w.enqueue(line{verb: verbTold, number: f.number, event: ev.Seq})
		w.flush()
	}
}

// Acknowledge records that somebody has taken note of a finding, which ends it. It fails with
// [access.ErrNotFound] if there is no such finding.
func (w *Watch) Acknowledge(ctx context.Context, actor string, seq uint64, remark string) (audit.Event,
	error) {
	w.mu.Lock()
	i := slices.IndexFunc(w.state.found, func(f finding) bool { return f.event == seq && seq != 0 && !f.seen })
	if i < 0 {
		w.mu.Unlock()
		return audit.Event{}, fmt.Errorf("finding %d: %w", seq, access.ErrNotFound)
	}
	f := w.state.found[i]
	w.mu.Unlock()
	ev, err := w.cfg.Store.Record(ctx, audit.Event{Kind: audit.EventAcknowledged, Actor: actor, Cause: seq,
		Device: f.name(w.cfg.Store.Snapshot()), Reason: f.what, Detail: remark})
	if err != nil {
		return ev, fmt.Errorf("finding %d: not acknowledged: %w", seq, err)
	}
	w.enqueue(line{verb: verbSeen, number: f.number})
	w.flush()
	return ev, nil
}

// Findings returns what is wrong, for package doctor.
func (w *Watch) Findings() (out []doctor.Finding) {
	p := w.cfg.Store.Snapshot()
	w.mu.Lock()
	defer w.mu.Unlock()
	for _, f := range w.state.found {
		if f.seen {
			continue
		}
		words, do := f.text(p)
		if f.event != 0 {
			do += fmt.Sprintf("; then: latchkey alarm acknowledge %d", f.event)
		}
		out = append(out, doctor.Finding{Code: doctor.CodeRollback, Device: f.name(p), Text: words, Do: do,
			Event: f.event})
	}
	if w.trouble != nil {
		do := "make its folder writable for the gateway (in its unit: StateDirectory=latchkey latchkey-head)"
		if w.stuck {
			do = "let the gateway read and write it, and restart the gateway"
		}
		if errors.Is(w.trouble, errOtherSite) {
			do = "move it away, or give the gateway another one with --head-log, and restart the gateway"
		}
		out = append(out, doctor.Finding{Code: doctor.CodeRollback, Do: do,
			Text: "head.log is not written, so a rollback of the store would not be noticed: " +
				w.cfg.Place.File + ": " +
				text.MakePlain(w.trouble.Error())})
	}
	return out
}

// clone returns a copy to which lines can be added.
func (st *state) clone() state {
	out := *st
	out.heads, out.entries, out.found = slices.Clone(st.heads), slices.Clone(st.entries), slices.Clone(st.found)
	return out
}
