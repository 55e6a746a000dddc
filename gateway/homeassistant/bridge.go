package homeassistant

import (
	"cmp"
	"context"
	"log/slog"
	"math/rand/v2"
	"slices"
	"sync"
	"time"

	"latchkey/coapres/wire"
	"latchkey/gateway/access"
	"latchkey/gateway/limit"
	"latchkey/gateway/mqtt"
)

const (
	online  = "online"
	offline = "offline"

	// lookAgain is how often the states are looked at without a change that was reported, and soon
	// while a state changes by itself.
	lookAgain     = time.Second
	lookAgainSoon = 250 * time.Millisecond

	// restShare is how often as long as a look took we rest behind it, up to mostRest: a house with many
	// doors, where something happens all the time, takes a fifth of a processor and not all of it.
	restShare = 4
	mostRest  = 50 * time.Millisecond

	birthDelay  = 5 * time.Second // at most, after Home Assistant has started
	staleWait   = 5 * time.Second // for announcements that the broker has kept
	leaveWithin = 5 * time.Second // to empty what the broker keeps, when the integration is removed
	refusedFor  = time.Minute     // until what the broker has refused is sent again

	maxTold  = 64 // activities that wait to be sent
	maxTasks = 16 // commands that are under way
	// maxStale bounds the announcements to empty, however many of ours a broker makes up. What is
	// beyond is emptied after the next start or connection.
	maxStale = 1024
)

// bridge joins one integration to its broker. Its [mqtt.Client] opens connections, and serve keeps
// what the broker retains as it should be while there is one.
type bridge struct {
	cfg         Config
	integration access.Integration
	topics      topics
	log         *slog.Logger
	client      *mqtt.Client
	jams        *jams

	ctx   context.Context
	end   context.CancelFunc
	leave chan struct{} // closed by retire
	done  chan struct{} // closed when run has returned
	wake  chan struct{}
	told  chan told // activities to send; dropped while there is no connection

	echoes echoes
	turn   limit.Gate             // one check of a code at a time
	places limit.Gate             // commands that are under way
	rate   limit.Every[access.ID] // commands for each target
	noted  limit.Every[refusal]   // events about refused commands
	tasks  sync.WaitGroup         // commands, and events about refused ones

	mu      sync.Mutex
	wrong   wrongCodes         // guarded by mu
	paused  bool               // guarded by mu; as the policy last said
	refused map[string]uint64  // guarded by mu
	again   time.Time          // guarded by mu; when to send everything again; zero: never
	stale   map[access.ID]bool // guarded by mu; announced, but no longer targets
	trouble string             // guarded by mu

	// For serve alone.
	refusal   string // what the broker has refused since the last look; empty: nothing
	announced struct {
		policy *access.Policy
		of     map[access.ID][]byte
	}
}

// told is an activity at a target.
type told struct {
	target access.ID
	activity
}

func newBridge(ctx context.Context, cfg Config, r access.Integration, j *jams) (b *bridge, err error) {
	b = &bridge{cfg: cfg, integration: r, topics: topics{r.Base, r.Prefix, cfg.Site}, jams: j,
		log:   cfg.Log.With("integration", r.Name),
		leave: make(chan struct{}), done: make(chan struct{}), wake: make(chan struct{}, 1),
		told: make(chan told, maxTold), turn: limit.NewGate(1), places: limit.NewGate(maxTasks),
		paused: r.Paused != "", refused: map[string]uint64{}, stale: map[access.ID]bool{}}
	b.rate.Pause, b.rate.Burst = time.Minute/ratePerMinute, ratePerMinute
	b.noted.Pause = time.Minute
	b.ctx, b.end = context.WithCancel(ctx)
	b.client, err = mqtt.NewClient(mqtt.Settings{Endpoint: r.Endpoint, ClientID: b.topics.clientID(r.ID),
		Will:          &mqtt.Will{Topic: b.topics.status(), Payload: []byte(offline)},
		Subscriptions: []mqtt.Subscription{{Topic: b.topics.sets()}, {Topic: b.topics.birth()}},
		Up:            b.serve, Message: b.take}, b.log)
	return b, err
}

// run keeps the connection until end is called or the context of newBridge ends. It begins when the
// bridge before it is over.
func (b *bridge) run(after <-chan struct{}) {
	defer close(b.done)
	defer b.end()
	// Even if this one is to end: who waits for it must not start while the one before is connected.
	<-after
	if b.ctx.Err() != nil {
		return
	}
	b.restoreWrongCodes()
	_ = b.client.Run(b.ctx) // it ends with the context alone
	b.tasks.Wait()
}

// retire ends the bridge, after the broker was asked to keep nothing of it any more.
func (b *bridge) retire() {
	close(b.leave)
	if b.client.Conn() == nil {
		b.end()
		return
	}
	time.AfterFunc(leaveWithin, b.end)
}

// name returns the integration's name, as it is now.
func (b *bridge) name() string {
	return cmp.Or(b.cfg.Policy().Integrations[b.integration.ID].Name, b.integration.Name)
}

func (b *bridge) wakeUp() {
	select {
	case b.wake <- struct{}{}:
	default:
	}
}

// tell sends an activity, if there is a connection.
func (b *bridge) tell(target access.ID, act activity) {
	if b.client.Conn() == nil {
		return
	}
	select {
	case b.told <- told{target, act}:
	default: // the broker is slow
	}
}

// take gets a message from the broker. It does not wait.
func (b *bridge) take(m mqtt.Message) {
	if target, ok := b.topics.targetOfSet(m.Topic); ok {
		b.takeCommand(target, m)
		return
	}
	switch target, ok := b.topics.targetOfConfig(m.Topic); {
	case ok && len(m.Payload) > 0:
		if _, is := b.cfg.Policy().Targets[target]; !is {
			b.mu.Lock()
			if len(b.stale) < maxStale {
				b.stale[target] = true
			}
			b.mu.Unlock()
			b.wakeUp()
		}
	case m.Topic == b.topics.birth() && string(m.Payload) == online:
		b.sendAgain(rand.N(birthDelay)) // not at once with all others
	}
}

// serve keeps the broker up to date by one connection, until ctx ends with it. When it ends, the
// broker sends the will.
func (b *bridge) serve(ctx context.Context, c *mqtt.Conn) {
	defer b.echoes.clear() // none outlives its connection
	b.setTrouble("")
	for len(b.told) > 0 { // of an earlier connection
		<-b.told
	}
	b.tasks.Go(func() { b.findStale(ctx, c) })
	sent := map[string]string{}
	for {
		now := time.Now()
		again := b.mustSendAgain(now)
		if again {
			for topic := range sent {
				sent[topic] = "\x00" // is sent again, or emptied if it is no longer wanted
			}
		}
		want, soon := b.desire(now)
		rest := min(restShare*time.Since(now), mostRest)
		b.refusal = ""
		if !b.keep(ctx, c, sent, want) {
			return
		}
		if again && b.refusal == "" {
			b.setTrouble("") // the broker takes all of it now
		}
		pause := lookAgain
		if soon {
			pause = lookAgainSoon
		}
		if !b.wait(ctx, c, rest, pause) {
			break
		}
	}
	select {
	case <-b.leave:
		b.keep(ctx, c, sent, nil)
		b.end()
	default:
	}
}

// wait sends activities until it is time for the next look: at most for pause, and for rest even if
// something has changed. It returns false if there is none.
func (b *bridge) wait(ctx context.Context, c *mqtt.Conn, rest, pause time.Duration) bool {
	var changed chan struct{} // nil while we rest
	rested, due := time.After(rest), time.After(pause)
	for {
		select {
		case act := <-b.told:
			b.send(ctx, c, retained{b.topics.of(act.target, leafEvent), encode(act.activity)}, false)
		case <-rested:
			changed = b.wake
		case <-changed:
			return true
		case <-due:
			return true
		case <-b.leave:
			return false
		case <-ctx.Done():
			return false
		}
	}
}

// findStale asks for the announcements that the broker has kept, for a while: some may be of
// targets that were removed while we were away.
func (b *bridge) findStale(ctx context.Context, c *mqtt.Conn) {
	if err := c.Subscribe(ctx, mqtt.Subscription{Topic: b.topics.configs(), Retained: true}); err != nil {
		b.log.Warn("old announcements not found", "err", err)
		return
	}
	select {
	case <-time.After(staleWait):
		_ = c.Unsubscribe(ctx, b.topics.configs()) // if that fails, the connection has ended
	case <-ctx.Done():
	}
}

// sendAgain plans to send everything again, unless that is planned for an earlier time.
func (b *bridge) sendAgain(after time.Duration) {
	at := time.Now().Add(after)
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.again.IsZero() || at.Before(b.again) {
		b.again = at
	}
}

func (b *bridge) mustSendAgain(now time.Time) bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	due := !b.again.IsZero() && !now.Before(b.again)
	if due {
		b.again = time.Time{}
	}
	return due
}

// desire returns what the broker should keep, in the order in which it is sent: a target is
// announced after its state, and all is called online last. soon tells that a state changes by
// itself soon.
func (b *bridge) desire(now time.Time) (want []retained, soon bool) {
	p := b.cfg.Policy()
	if b.announced.policy != p {
		b.announceAll(p)
	}
	age := echoAge
	if trusted, _ := b.cfg.ClockTrusted(now); !trusted {
		age = echoAgeUntrusted
	}
	b.echoes.keep(func(id access.ID) bool { _, is := p.Targets[id]; return is })
	ids := make([]access.ID, 0, len(p.Targets))
	for id := range p.Targets {
		ids = append(ids, id)
	}
	slices.Sort(ids)
	for _, id := range ids {
		state := b.look(p, p.Targets[id], now)
		soon = soon || state.soon
		echo := encode(attributes{b.echoes.current(id, now, age)})
		want = append(want, retained{b.topics.of(id, leafAvailability), []byte(state.availability)},
			retained{b.topics.of(id, leafSensed), state.sensed}, retained{b.topics.of(id, leafAttributes),
				echo},
			retained{b.topics.of(id, leafState), state.state}, retained{b.topics.config(id),
				b.announced.of[id]})
	}
	return append(b.forgetStale(p), append(want, retained{b.topics.status(), []byte(online)})...), soon
}

// forgetStale returns what must be emptied because its target is no more.
func (b *bridge) forgetStale(p *access.Policy) (out []retained) {
	b.mu.Lock()
	defer b.mu.Unlock()
	for id := range b.stale {
		if _, is := p.Targets[id]; is {
			continue
		}
		out = append(out, retained{topic: b.topics.config(id)})
		for _, leaf := range retainedLeaves {
			out = append(out, retained{topic: b.topics.of(id, leaf)})
		}
	}
	clear(b.stale)
	return out
}

// look returns the payloads of a target.
func (b *bridge) look(p *access.Policy, t access.Target, now time.Time) (l looked) {
	l.availability = offline
	actuator, fitted := p.Actuator(t.ID)
	v, seen := b.cfg.Sessions.View(actuator.ID, now)
	seen = seen && fitted
	if seen && v.Online {
		l.availability = online
	}
	l.sensed = makeSensed(v, seen, b.cfg.Doors.Readings(actuator.ID), b.cfg.Doors.Alarms(t.ID))
	if t.Kind == access.Lamp {
		l.state = makeLampState(v, seen)
		return l
	}
	s := b.cfg.Doors.Door(p, t.ID, now)
	state := lockState(s, b.jams.jammed(t.ID))
	if state == stateLocked {
		b.jams.clear(t.ID)
	}
	l.state, l.soon = []byte(state), isTransient(s, now)
	return l
}

// looked is what is stated about a target.
type looked struct {
	availability  string
	state, sensed []byte
	soon          bool // the state changes by itself soon
}

// announceAll makes the announcements by a policy.
func (b *bridge) announceAll(p *access.Policy) {
	b.announced.policy, b.announced.of = p, map[access.ID][]byte{}
	for id, target := range p.Targets {
		m := findMay(func(a wire.Action) bool { return p.IntegrationMay(b.integration.ID, id, a) })
		m.code = asksCode(p, b.integration.ID, id)
		b.announced.of[id] = b.topics.announce(target, m, about{b.cfg.Version, b.cfg.URL})
	}
}

func (b *bridge) status() Status {
	b.mu.Lock()
	defer b.mu.Unlock()
	now := time.Now()
	s := Status{ID: b.integration.ID, Name: b.name(), Connection: b.client.Status(),
		Paused: b.cfg.Policy().Integrations[b.integration.ID].Paused, Refused: map[string]uint64{},
		WrongCodes: b.wrong.today(now), Shut: b.wrong.wait(now), Trouble: b.trouble}
	for reason, n := range b.refused {
		s.Refused[reason] = n
	}
	return s
}
