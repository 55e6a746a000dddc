// Package restart writes the events of a start and of a stop, and carries the sessions of nodes from
// a clean stop to the next start: in one sealed file in a folder in memory. It knows the file and who
// may use it. What is in a session and who still has its key, others know.
//
//	sessions = sealed value (see store/FORMAT.md) of the state in coapres/transport/saved; its name
//	           is "sessions 1 " and the id of the site
//
// A state is used once, by the first start after the stop that wrote it. It names the event of that
// stop, and is refused if the store does not have that event, or has an event of a start after it.
// Each start writes such an event before it uses the state, and it removes the file before that. So a
// copied or rolled-back data folder, another one, and a file that was put back resume nothing.
package restart

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"time"

	"latchkey/coapres/transport/saved"
	"latchkey/gateway/audit"
	"latchkey/gateway/store/seal"
	"latchkey/keys"
)

const (
	eventWithin = 10 * time.Second // to write an event
	// How old a state may be: nodes have other sessions after that.
	oldest = 24 * time.Hour
	// How many events there may be between a stop and the next start.
	mostBetween = 10_000
	page        = 256 // events that are read at once

	notResumed = "saved sessions not resumed, and their file removed: nodes connect again"
)

// Config is what a Restart needs. All but Folder are required.
type Config struct {
	Folder *Folder // nil: nothing is saved
	Store  Store
	// Accept tells whether a saved session may go on: its key is still valid, and its device as it was.
	Accept func(*saved.Association) bool
	Log    *slog.Logger
}

// Store keeps the events and the key of the seal. *store.Store is one.
type Store interface {
	Record(ctx context.Context, ev audit.Event) (audit.Event, error)
	Events(ctx context.Context, from uint64, limit int) ([]audit.Event, error)
	Head() (seq uint64, hash keys.Hash)
	Digest() keys.Hash
	SessionSealer() (s seal.Sealer, name string)
}

// Restart connects a stop with the next start.
type Restart struct {
	Config
	started  chan struct{}       // closed when Start has returned
	sessions []saved.Association // to be resumed; set before started is closed
}

// New returns a Restart for one run of the gateway.
func New(cfg Config) *Restart { return &Restart{Config: cfg, started: make(chan struct{})} }

// Start writes the event of the start, and lets Resume return the sessions of the stop before. If
// the event cannot be written, none is resumed.
func (r *Restart) Start(version string) error {
	defer close(r.started)
	sessions := r.load()
	_, err := r.record(audit.Event{Kind: audit.EventStart, Detail: version, Digest: r.Store.Digest()})
	if err != nil {
		if len(sessions) > 0 {
			r.Log.Warn(notResumed, "err", "the event of the start was not written")
		}
		return err
	}
	for i := range sessions {
		if r.Accept(&sessions[i]) {
			r.sessions = append(r.sessions, sessions[i])
		}
	}
	if len(sessions) > 0 {
		r.Log.Info("sessions resumed", "count", len(r.sessions), "refused", len(sessions)-len(r.sessions))
	}
	return nil
}

// Resume returns the sessions to resume, once Start has returned, or nil when ctx ends.
func (r *Restart) Resume(ctx context.Context) []saved.Association {
	select {
	case <-r.started:
		return r.sessions
	case <-ctx.Done():
		return nil
	}
}

// Stop writes the event of the stop, and after it the file with the sessions, none of which is used
// any more. Without a file their nodes notice at their next request that they are gone.
func (r *Restart) Stop(sessions []saved.Association) error {
	ev, err := r.record(audit.Event{Kind: audit.EventStop})
	if err != nil || len(sessions) == 0 {
		return err
	}
	state := saved.State{At: time.Now(), Event: ev.Seq, Hash: [32]byte(ev.Hash), Associations: sessions}
	plain := state.AppendTo(nil)
	defer clear(plain)
	s, name := r.Store.SessionSealer()
	if err := r.Folder.put(s.Seal(name, plain)); err != nil {
		r.Log.Error("sessions not saved: nodes connect again", "err", err)
		return nil
	}
	r.Log.Info("sessions saved", "count", len(sessions))
	return nil
}

// record writes an event that is not a decision. It has its own deadline, so that the event is not
// lost because a context ended.
func (r *Restart) record(ev audit.Event) (audit.Event, error) {
	ctx, cancel := context.WithTimeout(context.Background(), eventWithin)
	defer cancel()
	got, err := r.Store.Record(ctx, ev)
	if err != nil {
		return got, fmt.Errorf("gateway: %s event: %w", ev.Kind, err)
	}
	return got, nil
}

// load takes the file away and returns the sessions in it, or nil if they may not be used.
func (r *Restart) load() []saved.Association {
	if r.Folder == nil {
		return nil
	}
	b, err := r.Folder.take(saved.MaxSize + seal.Overhead)
	if b == nil && err == nil {
		return nil
	}
	var state saved.State
	if err == nil {
		state, err = r.open(b)
	}
	if err != nil {
		r.Log.Warn(notResumed, "err", err)
		return nil
	}
	return state.Associations
}

// open opens the seal, and checks that the state is for this start.
func (r *Restart) open(b []byte) (saved.State, error) {
	s, name := r.Store.SessionSealer()
	plain, err := s.Open(name, b)
	if err != nil {
		return saved.State{}, fmt.Errorf("%w: the file is damaged, or of another site or version", err)
	}
	defer clear(plain)
	state, err := saved.Parse(plain)
	if err != nil {
		return saved.State{}, err
	}
	if age := time.Since(state.At); age > oldest || age < -time.Minute {
		return saved.State{}, fmt.Errorf("they were saved at %s: too long ago, or the clock is wrong",
			state.At.UTC().Format(time.RFC3339))
	}
	return state, r.checkUnused(&state)
}

// checkUnused checks that this store's last stop is the one that has saved the state.
func (r *Restart) checkUnused(state *saved.State) error {
	ctx, cancel := context.WithTimeout(context.Background(), eventWithin)
	defer cancel()
	head, _ := r.Store.Head()
	if state.Event == 0 || state.Event > head || head-state.Event > mostBetween {
		return errors.New("the store is an older copy, or many events have come since")
	}
	known := false
	for seq := state.Event; seq <= head; {
		events, err := r.Store.Events(ctx, seq, page)
		if err != nil {
			return err
		}
		for _, ev := range events {
			known = known || ev.Seq == state.Event
			switch {
			case ev.Seq == state.Event && (ev.Kind != audit.EventStop || ev.Hash != keys.Hash(state.Hash)):
				return errors.New("the store has another event in place of that stop: it is another store or a copy")
			case ev.Kind == audit.EventStart:
				return errors.New("the gateway has started since they were saved")
			}
		}
		if len(events) == 0 || !known {
			return errors.New("the store does not have the event of that stop, or its events end too early")
		}
		seq += uint64(len(events))
	}
	return nil
}
