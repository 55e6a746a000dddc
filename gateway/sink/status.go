package sink

import (
	"cmp"
	"context"
	"maps"
	"slices"
	"sync"
	"time"

	"latchkey/gateway/access"
	"latchkey/gateway/access/sinks"
	"latchkey/gateway/audit"
)

// State is what a sink is doing.
type State string

const (
	Waiting State = "waiting" // all is sent
	Sending State = "sending"
	Failing State = "failing" // it waits before it tries again
	Paused  State = "paused"  // nothing is sent until somebody resumes it
)

// Failure is a kind of failure to send.
type Failure string

const (
	Temporary Failure = "temporary"
	Refused   Failure = "refused" // of one event, which is a dead letter
	Halted    Failure = "halted"  // of all events
)

// Failures are all kinds of failure.
var Failures = []Failure{Temporary, Refused, Halted}

// Status is what is known of a sink. The counts begin with the engine.
type Status struct {
	Sink      access.ID          `json:"sink"`
	Name      string             `json:"name"`
	State     State              `json:"state"`
	Why       string             `json:"why,omitempty"` // it fails or is paused
	Seq       uint64             `json:"seq"`           // of the newest event that is done with
	Lag       uint64             `json:"lag"`           // events behind it
	Age       time.Duration      `json:"age"`           // of the first of these; 0 if there is none
	Taken     uint64             `json:"taken"`         // events
	Failed    map[Failure]uint64 `json:"failed"`
	Dead      int                `json:"dead"`
	LastError string             `json:"lastError,omitempty"`
	ErrorAt   time.Time          `json:"errorAt,omitzero"`
	NextTry   time.Time          `json:"nextTry,omitzero"`
	Since     time.Time          `json:"since,omitzero"` // since when it fails: see [audit.SinkCursor]
}

// state is what the engine knows of a sink. It outlives its workers.
type state struct {
	mu sync.Mutex
	// All are guarded by mu.
	sink      sinks.Sink
	moved     bool // somebody moved the beginning, and no worker knows yet
	now       State
	why       string
	cursor    audit.SinkCursor
	taken     uint64
	failed    map[Failure]uint64
	dead      int
	lastError string
	errorAt   time.Time
	nextTry   time.Time
}

// update runs f while it holds the lock.
func (s *state) update(f func()) {
	s.mu.Lock()
	defer s.mu.Unlock()
	f()
}

// set sets what the sink is doing. The caller holds the lock.
func (s *state) set(now State, why string) { s.now, s.why, s.nextTry = now, why, time.Time{} }

// noteError keeps the text of the last failure. The caller holds the lock.
func (s *state) noteError(why string) { s.lastError, s.errorAt = why, time.Now().UTC() }

// Status returns what is known of each sink, by name.
func (e *Engine) Status(ctx context.Context) ([]Status, error) {
	e.mu.Lock()
	states := slices.Collect(maps.Values(e.states))
	e.mu.Unlock()
	out := make([]Status, 0, len(states))
	for _, st := range states {
		s := st.view()
		if s.State == Paused || s.Dead > 0 { // no worker looks at these; dead letters go with their events
			cursor, _, err := e.cfg.Store.SinkCursor(ctx, s.Sink)
			if err != nil {
				return nil, err
			}
			dead, err := e.cfg.Store.DeadLetters(ctx, s.Sink, maxDead+1)
			if err != nil {
				return nil, err
			}
			s.Dead = len(dead)
			if s.State == Paused {
				s.Seq, s.Since = max(cursor.Seq, s.Seq), cursor.Failing
			}
		}
		if err := e.measureLag(ctx, &s); err != nil {
			return nil, err
		}
		if s.State == Waiting && s.Lag > 0 {
			s.State = Sending // it is between two batches
		}
		out = append(out, s)
	}
	slices.SortFunc(out, func(a, b Status) int { return cmp.Compare(a.Name, b.Name) })
	return out, nil
}

// measureLag sets how far a sink is behind.
func (e *Engine) measureLag(ctx context.Context, s *Status) error {
	head, _ := e.cfg.Store.Head()
	if s.Seq >= head {
		return nil
	}
	next, err := e.cfg.Store.Events(ctx, s.Seq+1, 1)
	if err != nil || len(next) == 0 {
		return err
	}
	s.Lag, s.Age = head-s.Seq, max(time.Since(next[0].At), 0)
	return nil
}

func (s *state) view() Status {
	s.mu.Lock()
	defer s.mu.Unlock()
	v := Status{Sink: s.sink.ID, Name: s.sink.Name, State: cmp.Or(s.now, Waiting), Why: s.why,
		Seq: max(s.cursor.Seq, s.sink.From-1), Taken: s.taken, Failed: maps.Clone(s.failed), Dead: s.dead,
		LastError: s.lastError, ErrorAt: s.errorAt, NextTry: s.nextTry, Since: s.cursor.Failing}
	if s.sink.Paused != "" {
		v.State, v.Why, v.NextTry = Paused, s.sink.Paused, time.Time{}
	}
	return v
}
