package homeassistant

import (
	"context"
	"fmt"
	"log/slog"
	"maps"
	"slices"
	"strings"
	"sync"
	"time"

	"latchkey/coapres/wire"
	"latchkey/gateway/access"
	"latchkey/gateway/audit"
	"latchkey/gateway/door"
	"latchkey/gateway/doorwatch"
	"latchkey/gateway/feed"
	"latchkey/gateway/mqtt"
	"latchkey/gateway/session"
	"latchkey/keys"
)

// Config is what an Engine needs. All fields are required but Version and URL.
type Config struct {
	Site     access.ID // in all topics
	Policy   func() *access.Policy
	Feed     Feed
	Events   Events
	Doors    Doors
	Sessions Sessions
	// Operate runs an attempt: it is decided, recorded, and the target moves if it is granted. An
	// error means that nothing was decided.
	Operate func(ctx context.Context, a access.Attempt) error
	// CheckCode tells whether a code is the one of the hash. It is slow.
	CheckCode func(ctx context.Context, hash keys.Hidden, code string) (bool, error)
	// Pause pauses an integration, until somebody resumes it.
	Pause func(ctx context.Context, id access.ID, why string) error
	// ClockTrusted tells whether the time of day can be relied on.
	ClockTrusted func(now time.Time) (trusted bool, why string)
	Log          *slog.Logger

	Version string // of the program
	URL     string // of the console
}

// Feed has what is new, and takes new events. *feed.Feed is one.
type Feed interface {
	All(from uint64) *feed.Cursor
	Note(ev audit.Event) (kept audit.Event, ok bool)
}

// Events are those that have happened. *store.Store has them.
type Events interface {
	Events(ctx context.Context, from uint64, limit int) ([]audit.Event, error)
	Head() (seq uint64, hash keys.Hash)
	// PolicyChanged returns a channel that is closed after the next change of the policy.
	PolicyChanged() <-chan struct{}
}

// Doors knows the doors. *doorwatch.Watch is one.
type Doors interface {
	Door(p *access.Policy, target access.ID, now time.Time) door.State
	Readings(device access.ID) []doorwatch.Reading
	Alarms(place access.ID) []doorwatch.Alarm
}

// Sessions knows the devices. *session.Table is one.
type Sessions interface {
	View(device access.ID, now time.Time) (session.View, bool)
}

// Engine keeps one connection for each integration of the policy.
type Engine struct {
	cfg   Config
	acts  activities // for Run alone
	jams  jams
	tasks sync.WaitGroup // the bridges

	mu      sync.Mutex
	bridges map[access.ID]*bridge // guarded by mu
}

// New returns an engine. Run connects.
func New(cfg Config) *Engine { return &Engine{cfg: cfg, bridges: map[access.ID]*bridge{}} }

// Run follows the policy and the events until ctx ends. It returns nil then, and an error if the
// events cannot be read. While there is no integration it reads none.
func (e *Engine) Run(ctx context.Context) error {
	ctx, cancel := context.WithCancel(ctx)
	defer e.tasks.Wait()
	defer cancel()
	for e.await(ctx) {
		if err := e.followEvents(ctx); err != nil && ctx.Err() == nil {
			return fmt.Errorf("homeassistant: events: %w", err)
		}
	}
	return nil
}

// await waits until there is an integration, and returns false if ctx has ended.
func (e *Engine) await(ctx context.Context) bool {
	for ctx.Err() == nil {
		// Take the channel first, then look, so that nothing in between is missed.
		changed := e.cfg.Events.PolicyChanged()
		if len(e.cfg.Policy().Integrations) > 0 {
			return true
		}
		select {
		case <-changed:
		case <-ctx.Done():
		}
	}
	return false
}

// followEvents follows the policy and the events until there is no integration any more.
func (e *Engine) followEvents(ctx context.Context) error {
	cursor := e.cfg.Feed.All(0)
	e.follow(ctx)
	for {
		news, err := cursor.Next(ctx)
		if err != nil {
			return err
		}
		changed := false
		for _, ev := range news.Events {
			changed = changed || ev.Kind == audit.EventPolicy
			e.jams.note(ev)
			if act, ok := e.acts.note(ev); ok {
				e.each(func(b *bridge) { b.tell(ev.Target.ID, act) })
			}
		}
		if changed {
			e.follow(ctx)
			if len(e.cfg.Policy().Integrations) == 0 {
				return nil
			}
		}
		e.each((*bridge).wakeUp)
	}
}

func (e *Engine) each(f func(*bridge)) {
	e.mu.Lock()
	defer e.mu.Unlock()
	for _, b := range e.bridges {
		f(b)
	}
}

// follow starts and ends bridges, so that there is one for each integration.
func (e *Engine) follow(ctx context.Context) {
	integrations := e.cfg.Policy().Integrations
	e.mu.Lock()
	defer e.mu.Unlock()
	for id, b := range e.bridges {
		if now, is := integrations[id]; !is {
			b.retire()
			delete(e.bridges, id)
		} else if mark(now) != mark(b.integration) {
			if sharesTopics(now, b.integration) {
				b.end() // the next one goes on with what the broker keeps
			} else {
				b.retire()
			}
			e.start(ctx, now, b.done)
		} else {
			b.notePause(now.Paused != "")
		}
	}
	nothing := make(chan struct{})
	close(nothing)
	for id, integration := range integrations {
		if e.bridges[id] == nil {
			e.start(ctx, integration, nothing)
		}
	}
}

// start starts the bridge of an integration. It connects after the channel is closed: two
// connections with one client id would end each other. The caller holds mu.
func (e *Engine) start(ctx context.Context, r access.Integration, after <-chan struct{}) {
	delete(e.bridges, r.ID)
	b, err := newBridge(ctx, e.cfg, r, &e.jams)
	if err != nil {
		e.cfg.Log.Error("integration not started", "integration", r.Name, "err", err)
		return
	}
	e.bridges[r.ID] = b
	e.tasks.Go(func() { b.run(after) })
}

// mark is a text that differs between integrations that need another connection.
func mark(r access.Integration) string {
	return fmt.Sprintf("%s %q %q", r.Endpoint.Mark(), r.Base, r.Prefix)
}

// sharesTopics tells whether two integrations have the same topics at the same broker. If what the
// broker keeps there were emptied, Home Assistant would drop the devices, and what people have
// set up for them.
func sharesTopics(a, b access.Integration) bool {
	return a.Endpoint.HostPort() == b.Endpoint.HostPort() && a.Base == b.Base && a.Prefix == b.Prefix
}

// Status is what people are shown about an integration.
type Status struct {
	ID         access.ID
	Name       string
	Connection mqtt.Status
	Paused     string            // why it may do nothing; empty: it may
	Refused    map[string]uint64 // commands that were refused before a decision, by reason, since the start
	WrongCodes int               // within a day
	Shut       time.Duration     // how long no code is checked, because of wrong ones
	Trouble    string            // what the broker refuses, such as by its access list; empty: nothing
}

// Status returns how the integrations are, by name.
func (e *Engine) Status() []Status {
	e.mu.Lock()
	bridges := slices.Collect(maps.Values(e.bridges))
	e.mu.Unlock()
	var all []Status
	for _, b := range bridges {
		all = append(all, b.status())
	}
	slices.SortFunc(all, func(a, b Status) int { return strings.Compare(a.Name, b.Name) })
	return all
}

// jams knows the doors whose lock has refused to lock. It is safe for concurrent use.
type jams struct {
	mu sync.Mutex
	at map[access.ID]bool // guarded by mu
}

// note takes the outcome of a command: only one to lock that was refused is a jam, and any other
// outcome ends it.
func (j *jams) note(ev audit.Event) {
	if ev.Kind != audit.EventReceipt || ev.Target.ID == "" {
		return
	}
	j.mu.Lock()
	defer j.mu.Unlock()
	if ev.Action == wire.Lock && ev.Outcome == audit.OutcomeRefused {
		if j.at == nil {
			j.at = map[access.ID]bool{}
		}
		j.at[ev.Target.ID] = true
	} else {
		delete(j.at, ev.Target.ID)
	}
}

func (j *jams) jammed(target access.ID) bool {
	j.mu.Lock()
	defer j.mu.Unlock()
	return j.at[target]
}

// clear ends a jam: the lock said that it is locked.
func (j *jams) clear(target access.ID) {
	j.mu.Lock()
	defer j.mu.Unlock()
	delete(j.at, target)
}
